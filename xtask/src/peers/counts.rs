//! `cargo xtask counts`: what does not depend on how busy the machine is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use mailmove_benches::measure::delay::Passed;

use super::pair::{Pair, Route, Way};
use super::tool::{Programs, Tool};
use super::{Source, plain, program, results};
use crate::{Result, servers};

struct Options {
    messages: usize,
    folders: usize,
    connections: usize,
    /// Messages under callgrind, which is fifty times slower.
    instructions: usize,
    program: Option<PathBuf>,
}

fn options(args: &[&str]) -> Result<Options> {
    let mut options = Options {
        messages: 10_000,
        folders: 24,
        connections: 4,
        instructions: 1000,
        program: None,
    };
    let mut rest = args;
    while let [name, value, more @ ..] = rest {
        match *name {
            "--messages" => options.messages = value.parse()?,
            "--folders" => options.folders = value.parse()?,
            "--connections" => options.connections = value.parse()?,
            "--instructions" => options.instructions = value.parse()?,
            "--program" => options.program = Some(std::path::absolute(value)?),
            _ => break,
        }
        rest = more;
    }
    match rest {
        [] => Ok(options),
        [name, ..] => Err(format!("unknown: counts {name}\n\n{}", crate::HELP).into()),
    }
}

/// Runs `cargo xtask counts …`.
pub(crate) fn command(args: &[&str]) -> Result<()> {
    let options = options(args)?;
    let tools = servers::fetch()?;
    let program = program(options.program.as_ref(), true)?;
    let pair = Pair::start(&tools, "counts", false)?;
    let mut programs = Programs::new(&tools, program, options.connections);
    let source = Source::fill(&pair, options.messages, options.folders)?;
    println!("{}", source.line());
    on_the_wire(&pair, &programs, &source)?;
    match servers::client("strace") {
        Ok(strace) => system_calls(&pair, &mut programs, &source, &strace)?,
        Err(error) => println!("system calls not counted: {error}"),
    }
    if options.instructions == 0 {
        return Ok(());
    }
    match servers::client("valgrind") {
        Ok(valgrind) => {
            let few = Source::fill(&pair, options.instructions, options.folders)?;
            println!("{}", few.line());
            instructions(&pair, &mut programs, &few, &valgrind)?;
        }
        Err(error) => println!("instructions not counted: {error}"),
    }
    Ok(())
}

/// Copies once into a mailbox of that name; what passed.
fn copy(
    pair: &Pair,
    programs: &Programs,
    source: &Source,
    name: &str,
) -> Result<[(Passed, Passed); 2]> {
    let state = pair.work.join(name);
    let mut both = Vec::new();
    let route = Route::new(pair, (&source.user, name), false, Way::Through(0))?;
    for _ in 0..2 {
        programs.run(Tool::Mailmove, &route, &state, &[])?;
        both.push(route.passed().unwrap_or_default());
    }
    both.try_into().map_err(|_| "two passes".into())
}

fn on_the_wire(pair: &Pair, programs: &Programs, source: &Source) -> Result<()> {
    let passes = copy(pair, programs, source, "wire")?;
    let messages = source.content.messages() as f64;
    let bodies = source.content.bytes();
    println!(
        "\n| | connections | round trips on the longest | on all | bytes sent | received |\n|---|---|---|---|---|---|"
    );
    let names = ["first pass", "nothing new"];
    for (name, (from, to)) in names.iter().zip(passes) {
        for (side, passed) in [("source", from), ("destination", to)] {
            println!(
                "| {name}, {side} | {} | {} | {} | {} | {} |",
                passed.connections,
                // That of opening it comes first.
                passed.most_turns + u64::from(passed.connections > 0),
                passed.turns + passed.connections,
                passed.to_server,
                passed.to_client
            );
        }
    }
    let [(from, to), _] = passes;
    let (asked, sent) = (
        from.to_server as f64,
        to.to_server.saturating_sub(bodies) as f64,
    );
    println!(
        "\nfor each message: {:.1} bytes asked, {:.1} bytes sent beside its body",
        asked / messages,
        sent / messages
    );
    Ok(())
}

fn system_calls(
    pair: &Pair,
    programs: &mut Programs,
    source: &Source,
    strace: &Path,
) -> Result<()> {
    let file = results()?.join("strace.txt");
    programs.under = words(strace, &["-f", "-c", "-o"]);
    programs.under.push(file.clone().into());
    let run = once(pair, programs, source, "strace");
    programs.under.clear();
    run?;
    let said = std::fs::read_to_string(&file)?;
    let calls = calls(&said);
    let all: u64 = calls.iter().map(|(_, count)| count).sum();
    let messages = source.content.messages() as f64;
    let most: Vec<String> = calls
        .iter()
        .take(8)
        .map(|(name, count)| format!("{name} {:.2}", *count as f64 / messages))
        .collect();
    println!(
        "system calls for each message: {:.2} ({}); all in {}",
        all as f64 / messages,
        most.join(", "),
        file.display()
    );
    Ok(())
}

/// The lines of `strace -c`, most frequent first.
fn calls(said: &str) -> Vec<(String, u64)> {
    let mut all: Vec<(String, u64)> = said
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let [_share, _seconds, _each, count, .., name] = words.as_slice() else {
                return None;
            };
            Some(((*name).to_owned(), count.parse().ok()?))
        })
        .filter(|(name, _)| name != "total")
        .collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    all
}

fn instructions(
    pair: &Pair,
    programs: &mut Programs,
    source: &Source,
    valgrind: &Path,
) -> Result<()> {
    let file = results()?.join("callgrind.out");
    let mut out = OsString::from("--callgrind-out-file=");
    out.push(&file);
    programs.under = words(valgrind, &["--tool=callgrind"]);
    programs.under.push(out);
    let run = once(pair, programs, source, "callgrind");
    programs.under.clear();
    run?;
    let said = std::fs::read_to_string(&file)?;
    let sums = said.lines().filter_map(|line| {
        let rest = line.strip_prefix("totals: ")?;
        rest.trim().parse::<u64>().ok()
    });
    let all: u64 = sums.sum();
    let megabytes = source.content.bytes() as f64 / 1e6;
    println!(
        "instructions: {:.1} million for each MB, {:.0} thousand for each message; all in {} (callgrind_annotate)",
        all as f64 / 1e6 / megabytes,
        all as f64 / 1e3 / source.content.messages() as f64,
        file.display()
    );
    Ok(())
}

/// A first pass without proxies.
fn once(pair: &Pair, programs: &Programs, source: &Source, name: &str) -> Result<()> {
    let route = Route::new(pair, (&source.user, name), false, Way::Direct)?;
    programs.run(Tool::Mailmove, &route, &pair.work.join(name), &[])?;
    let arrived = plain(super::Content::read(&mut pair.to.connect(name)?))?;
    match source.content.compare(&arrived).any {
        0 => Ok(()),
        changed => Err(format!("{changed} messages arrived changed").into()),
    }
}

fn words(program: &Path, args: &[&str]) -> Vec<OsString> {
    let args = args.iter().map(OsString::from);
    std::iter::once(OsString::from(program))
        .chain(args)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::calls;

    #[test]
    fn system_calls_are_read() {
        let said = "% time     seconds  usecs/call     calls    errors syscall\n\
                    ------ ----------- ----------- --------- --------- ----------------\n\
                    77.67   22.774895        3906      5830       584 futex\n\
                    10.38    3.042745        2253     13500           epoll_wait\n\
                    ------ ----------- ----------- --------- --------- ----------------\n\
                    100.00   25.817640                 19330       584 total\n";
        let expected = [
            ("epoll_wait".to_owned(), 13_500),
            ("futex".to_owned(), 5830),
        ];
        assert_eq!(calls(said), expected);
    }
}
