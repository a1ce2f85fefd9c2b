//! `cargo xtask growth`: whether a mailbox that is a thousand times as large takes a thousand times as
//! long, and no more memory.

use std::path::{Path, PathBuf};

use mailmove_benches::measure::letters::Mailbox;
use mailmove_benches::measure::mailbox;

use super::pair::{Pair, Route, Way};
use super::tool::{Programs, Tool};
use super::{machine, plain, program, results};
use crate::{Result, servers};

struct Options {
    /// Messages in one folder.
    sizes: Vec<usize>,
    /// Folders with ten messages each; 0 for none.
    folders: usize,
    /// Bytes of each message.
    bytes: usize,
    /// Of a mailbox with a single message; 0 for none.
    large: usize,
    connections: usize,
    program: Option<PathBuf>,
}

fn options(args: &[&str]) -> Result<Options> {
    let mut options = Options {
        sizes: vec![1000, 10_000, 100_000, 1_000_000],
        folders: 1000,
        bytes: 1024,
        large: 150_000_000,
        connections: 4,
        program: None,
    };
    let mut rest = args;
    while let [name, value, more @ ..] = rest {
        match *name {
            "--sizes" => {
                let sizes = value.split(',').map(str::parse);
                options.sizes = sizes.collect::<std::result::Result<_, _>>()?;
            }
            "--folders" => options.folders = value.parse()?,
            "--large" => options.large = value.parse()?,
            "--bytes" => options.bytes = value.parse()?,
            "--connections" => options.connections = value.parse()?,
            "--program" => options.program = Some(std::path::absolute(value)?),
            _ => break,
        }
        rest = more;
    }
    match rest {
        [] => Ok(options),
        [name, ..] => Err(format!("unknown: growth {name}\n\n{}", crate::HELP).into()),
    }
}

const HEAD: &str = "\
| messages | folders | MB | first pass | for each message | CPU for each | peak memory | state for each | nothing new | peak memory |
|---|---|---|---|---|---|---|---|---|---|
";

/// Runs `cargo xtask growth …`.
pub(crate) fn command(args: &[&str]) -> Result<()> {
    let options = options(args)?;
    let tools = servers::fetch()?;
    let program = program(options.program.as_ref(), true)?;
    let pair = Pair::start(&tools, "growth", false)?;
    let programs = Programs::new(&tools, program, options.connections);
    println!("{}\n\n{}", machine(&tools), HEAD.trim_end());
    let mut table = String::from(HEAD);
    let one = options.sizes.iter().map(|&size| Mailbox::new(size, 1));
    let many = (options.folders > 0).then(|| Mailbox::new(10 * options.folders, options.folders));
    let small = one
        .chain(many)
        .map(|mailbox| mailbox.of_size(options.bytes));
    let large = (options.large > 0).then(|| Mailbox::new(1, 1).of_size(options.large));
    for mailbox in small.chain(large) {
        let row = row(&pair, &programs, mailbox)?;
        print!("{row}");
        table += &row;
    }
    let file = results()?.join("growth.md");
    std::fs::write(&file, table)?;
    println!("\nThe table is in {}", file.display());
    Ok(())
}

fn row(pair: &Pair, programs: &Programs, mailbox: Mailbox) -> Result<String> {
    let user = format!("grown-{}-{}", mailbox.messages, mailbox.folders);
    let copy = format!("copy-{user}");
    let bytes = plain(mailbox::fill(&mut pair.from.connect(&user)?, mailbox))?;
    let state = pair.work.join(&copy);
    let route = Route::new(pair, (&user, &copy), false, Way::Direct)?;
    let first = programs.run(Tool::Mailmove, &route, &state, &[])?;
    let ledger = size_of(&state.join("state"))?;
    let again = programs.run(Tool::Mailmove, &route, &state, &[])?;
    let folders = plain(pair.to.connect(&copy)?.folders())?;
    let arrived: u64 = folders.iter().map(|folder| folder.messages).sum();
    if arrived != mailbox.messages as u64 {
        return Err(format!("{arrived} of {} arrived", mailbox.messages).into());
    }
    std::fs::remove_dir_all(&state)?;
    pair.from.forget(&user)?;
    pair.to.forget(&copy)?;
    let count = mailbox.messages as f64;
    let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
    Ok(format!(
        "| {} | {} | {:.0} | {:.2} s | {:.0} µs | {:.0} µs | {:.1} MiB | {:.0} bytes | {:.2} s | {:.1} MiB |\n",
        mailbox.messages,
        mailbox.folders,
        bytes as f64 / 1e6,
        first.seconds,
        first.seconds * 1e6 / count,
        first.cpu_seconds() * 1e6 / count,
        mib(first.peak_bytes),
        ledger as f64 / count,
        again.seconds,
        mib(again.peak_bytes),
    ))
}

/// Of all files of a state directory.
fn size_of(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_file() {
            sum += meta.len();
        }
    }
    Ok(sum)
}
