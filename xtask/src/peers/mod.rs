//! `cargo xtask peers`, `growth` and `counts`: whole migrations between real servers, measured.

mod counts;
mod growth;
mod options;
mod pair;
mod plot;
mod sample;
mod table;
mod tool;

use std::collections::BTreeMap;
use std::path::PathBuf;

use mailmove_benches::measure::letters::Mailbox;
use mailmove_benches::measure::mailbox::{self, Content};
use mailmove_benches::measure::raw::Folder;

use crate::{Result, process, servers, workspace};
pub(crate) use counts::command as counts;
pub(crate) use growth::command as growth;
use options::Options;
use pair::{Pair, Route, Way};
use sample::{Pass, Sample};
use tool::{Programs, Tool};

/// What the measuring library's errors are here.
fn plain<T>(result: mailmove_benches::measure::Result<T>) -> Result<T> {
    result.map_err(|error| -> Box<dyn std::error::Error> { error })
}

/// Runs `cargo xtask peers …`.
pub(crate) fn command(args: &[&str]) -> Result<()> {
    let options = Options::parse(args)?;
    let samples = measure(&options)?;
    let dir = results()?;
    std::fs::write(dir.join("samples.tsv"), sample::lines(&samples))?;
    let table = table::markdown(&samples, &options);
    let plot = plot::svg(&samples);
    std::fs::write(dir.join("peers.md"), &table)?;
    std::fs::write(dir.join("peers.svg"), &plot)?;
    println!("\n{table}\nAll of it is in {}", dir.display());
    if options.publish {
        publish(&table, &plot)?;
    }
    Ok(())
}

/// The smallest form, as a step of `cargo xtask test`; what it says of the copies.
pub(crate) fn smoke() -> Result<String> {
    let mut options = Options::parse(&["--smoke"])?;
    options.quiet = true;
    let samples = measure(&options)?;
    // Both are made of whatever was measured.
    let (table, plot) = (table::markdown(&samples, &options), plot::svg(&samples));
    let told = |tool: &Tool| {
        table.contains(tool.name()) && (*tool == Tool::Floor || plot.contains(tool.name()))
    };
    if let Some(tool) = options.tools.iter().find(|tool| !told(tool)) {
        return Err(format!("nothing is told of {}", tool.name()).into());
    }
    Ok(format!(
        "{} passes of {} tools",
        samples.len(),
        options.tools.len()
    ))
}

/// Where results go.
fn results() -> Result<PathBuf> {
    let dir = workspace::target()?.join("peers");
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// The program: built, unless one is given.
fn program(given: Option<&PathBuf>, optimised: bool) -> Result<PathBuf> {
    if let Some(program) = given {
        return Ok(program.clone());
    }
    let mut build = process::cargo();
    build.args(["build", "--locked", "-p", "mailmove-cli"]);
    let profile = match optimised {
        true => {
            build.arg("--release");
            "release"
        }
        false => "debug",
    };
    if !build.status()?.success() {
        return Err("mailmove was not built".into());
    }
    Ok(workspace::target()?.join(profile).join("mailmove"))
}

/// All rounds at all distances.
fn measure(options: &Options) -> Result<Vec<Sample>> {
    let tools = servers::fetch()?;
    if !tools.dovecot.is_v23() && options.tools.contains(&Tool::Doveadm) {
        return Err("doveadm's settings are known here for Dovecot 2.3 alone; see --tools".into());
    }
    let program = program(options.program.as_ref(), !options.smoke)?;
    let pair = Pair::start(&tools, "peers", options.poor)?;
    let mut programs = Programs::new(&tools, program, options.connections);
    programs.imapsync = options.imapsync.clone();
    programs.spread = options.spread;
    programs.more = options.more.clone();
    options.tell(&machine(&tools));
    let mut sources: BTreeMap<usize, Source> = BTreeMap::new();
    let mut samples = Vec::new();
    for &delay in &options.delays {
        let messages = options.messages_at(delay);
        if let std::collections::btree_map::Entry::Vacant(entry) = sources.entry(messages) {
            let source = Source::fill(&pair, messages, options.folders)?;
            options.tell(&source.line());
            entry.insert(source);
        }
        let Some(source) = sources.get(&messages) else {
            continue;
        };
        for round in 0..options.rounds {
            for &tls in &options.tls {
                let place = Place { delay, tls, round };
                one_round(options, &pair, &programs, source, place, &mut samples)?;
            }
        }
    }
    Ok(samples)
}

/// What the figures depend on.
fn machine(tools: &servers::Tools) -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "Dovecot {}, {cores} processors, load {load} before the first round",
        tools.dovecot.version
    )
}

/// A filled mailbox.
struct Source {
    user: String,
    folders: Vec<Folder>,
    content: Content,
}

impl Source {
    fn fill(pair: &Pair, messages: usize, folders: usize) -> Result<Self> {
        let user = format!("source-{messages}");
        let mut connection = pair.from.connect(&user)?;
        plain(mailbox::fill(
            &mut connection,
            Mailbox::new(messages, folders),
        ))?;
        // Whoever comes first would otherwise pay for the disk.
        let content = plain(Content::read(&mut connection))?;
        let folders = plain(connection.folders())?;
        Ok(Self {
            user,
            folders,
            content,
        })
    }

    fn line(&self) -> String {
        format!(
            "{} messages, {:.1} MB, {} folders",
            self.content.messages(),
            self.content.bytes() as f64 / 1e6,
            self.folders.len()
        )
    }
}

/// Where in the measurement a round is.
#[derive(Debug, Clone, Copy)]
struct Place {
    delay: u64,
    tls: bool,
    round: usize,
}

/// Each tool once, one after the other; another one begins in each round.
fn one_round(
    options: &Options,
    pair: &Pair,
    programs: &Programs,
    source: &Source,
    place: Place,
    samples: &mut Vec<Sample>,
) -> Result<()> {
    let mut tools = options.tools.clone();
    let first = place.round % tools.len();
    tools.rotate_left(first);
    // The raw sockets have no TLS.
    tools.retain(|tool| !(place.tls && *tool == Tool::Floor));
    for tool in tools {
        for sample in passes(pair, programs, source, place, tool)? {
            options.tell(&sample.line());
            samples.push(sample);
        }
    }
    Ok(())
}

/// A first pass into an empty mailbox, and one with nothing new.
fn passes(
    pair: &Pair,
    programs: &Programs,
    source: &Source,
    place: Place,
    tool: Tool,
) -> Result<Vec<Sample>> {
    let tls = if place.tls { "-tls" } else { "" };
    let copy = format!("{}-{}-{}{tls}", tool.name(), place.delay, place.round);
    let state = pair.work.join(&copy);
    let way = match place.delay {
        0 => Way::Direct,
        delay => Way::Through(delay),
    };
    // One for both passes: on another port would be another mailbox.
    let route = Route::new(pair, (&source.user, &copy), place.tls, way)?;
    let mut all = Vec::new();
    for pass in [Pass::First, Pass::Again] {
        if (tool, pass) == (Tool::Floor, Pass::Again) {
            // It would copy all of it again.
            break;
        }
        let usage = programs.run(tool, &route, &state, &source.folders)?;
        let passed = route.passed();
        let arrived = plain(Content::read(&mut pair.to.connect(&copy)?))?;
        all.push(Sample {
            tool,
            delay: place.delay,
            tls: place.tls,
            pass,
            round: place.round,
            messages: source.content.messages(),
            bytes: source.content.bytes(),
            usage,
            passed,
            changed: source.content.compare(&arrived),
        });
    }
    std::fs::remove_dir_all(&state)?;
    pair.to.forget(&copy)?;
    let whole = |sample: &Sample| sample.changed.missing + sample.changed.extra == 0;
    // Of the others it is told; of ours it is an error.
    if [Tool::Floor, Tool::Mailmove].contains(&tool) && !all.iter().all(whole) {
        return Err(format!("{} did not copy all: {all:#?}", tool.name()).into());
    }
    Ok(all)
}

const BEGIN: &str = "<!-- peers: written by `cargo xtask peers --publish` -->";
const END: &str = "<!-- /peers -->";

/// Puts the plot beside the benchmarks and the table where README shows it.
fn publish(table: &str, plot: &str) -> Result<()> {
    let root = workspace::root()?;
    std::fs::write(root.join("benches/peers.svg"), plot)?;
    let readme = root.join("README.md");
    let text = std::fs::read_to_string(&readme)?;
    let new = between_marks(&text, table).ok_or("README.md has no place for the table")?;
    std::fs::write(readme, new)?;
    Ok(())
}

fn between_marks(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let image = "![Seconds of each tool](benches/peers.svg)";
    Some(format!(
        "{before}{BEGIN}\n\n{image}\n\n{table}\n{END}{after}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readme_has_a_place_for_the_table() {
        let text = std::fs::read_to_string(workspace::root().unwrap().join("README.md")).unwrap();
        let once = between_marks(&text, "| a |\n").unwrap();
        assert_eq!(between_marks(&once, "| a |\n").unwrap(), once);
        assert!(once.contains("| a |"));
    }
}
