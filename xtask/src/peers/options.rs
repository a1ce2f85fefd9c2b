//! What is to be measured.

use std::path::PathBuf;

use super::tool::Tool;
use crate::Result;

/// What was asked for.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) rounds: usize,
    /// Milliseconds of a round trip.
    pub(super) delays: Vec<u64>,
    /// Without delay.
    pub(super) messages: usize,
    /// With delay, where every tool but one takes long.
    pub(super) messages_delayed: usize,
    pub(super) folders: usize,
    pub(super) connections: usize,
    /// Without and with.
    pub(super) tls: Vec<bool>,
    pub(super) tools: Vec<Tool>,
    pub(super) imapsync: Option<PathBuf>,
    /// The program, if it is not to be built.
    pub(super) program: Option<PathBuf>,
    /// An unoptimised build will do: nothing is learnt but whether it works.
    pub(super) smoke: bool,
    /// Nothing is told while it is measured.
    pub(super) quiet: bool,
    /// The destination offers neither LITERAL+ nor MULTIAPPEND.
    pub(super) poor: bool,
    /// Whether the replay may put one folder on several connections.
    pub(super) spread: bool,
    /// More words for `mailmove migrate`.
    pub(super) more: Vec<String>,
    /// The result goes to the documents.
    pub(super) publish: bool,
}

impl Options {
    pub(super) fn parse(args: &[&str]) -> Result<Self> {
        let mut options = Self {
            rounds: 5,
            delays: vec![0, 10, 40, 150],
            messages: 10_000,
            messages_delayed: 1000,
            folders: 24,
            connections: 4,
            tls: vec![false, true],
            tools: Tool::ALL.to_vec(),
            imapsync: None,
            program: None,
            smoke: false,
            quiet: false,
            poor: false,
            spread: false,
            more: Vec::new(),
            publish: false,
        };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            match *name {
                "--smoke" => options.be_small(),
                "--publish" => options.publish = true,
                "--poor" => options.poor = true,
                "--spread" => options.spread = true,
                "--" => options.more = args.by_ref().map(|word| (*word).to_owned()).collect(),
                _ => {
                    let value = args.next().ok_or_else(|| unknown(name))?;
                    options.set(name, value)?;
                }
            }
        }
        if options.imapsync.is_none() {
            options.tools.retain(|tool| *tool != Tool::Imapsync);
        }
        if options.poor {
            options.tools.retain(|tool| *tool != Tool::Floor);
        }
        if options.rounds == 0 || options.tools.is_empty() || options.delays.is_empty() {
            return Err("nothing would be measured".into());
        }
        Ok(options)
    }

    /// What an automatic test runs: all parts once.
    fn be_small(&mut self) {
        self.smoke = true;
        self.rounds = 1;
        self.delays = vec![0, 10];
        self.messages = 200;
        self.messages_delayed = 60;
        self.folders = 6;
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let number = || {
            let number = value.parse::<usize>();
            number.map_err(|_| format!("{name} takes a number, not {value:?}"))
        };
        match name {
            "--rounds" => self.rounds = number()?,
            "--messages" => self.messages = number()?,
            "--messages-delayed" => self.messages_delayed = number()?,
            "--folders" => self.folders = number()?.max(1),
            "--connections" => self.connections = number()?.max(1),
            "--delays" => {
                let delays = value.split(',').map(str::parse);
                let delays: std::result::Result<Vec<u64>, _> = delays.collect();
                self.delays = delays.map_err(|_| "--delays takes milliseconds, e.g. 0,40")?;
            }
            "--tls" => {
                self.tls = match value {
                    "off" => vec![false],
                    "on" => vec![true],
                    "both" => vec![false, true],
                    _ => return Err("--tls takes off, on or both".into()),
                };
            }
            "--tools" => {
                let tools = value.split(',').map(Tool::named);
                self.tools = tools.collect::<Result<_>>()?;
            }
            "--imapsync" => self.imapsync = Some(std::path::absolute(value)?),
            "--program" => self.program = Some(std::path::absolute(value)?),
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    /// Shows a line as it is measured.
    pub(super) fn tell(&self, line: &str) {
        if !self.quiet {
            println!("{line}");
        }
    }

    /// Messages of the mailbox that is moved at this delay.
    pub(super) fn messages_at(&self, delay: u64) -> usize {
        match delay {
            0 => self.messages,
            _ => self.messages_delayed,
        }
    }
}

fn unknown(name: &str) -> Box<dyn std::error::Error> {
    format!("unknown: peers {name}; its options are in benches/README.md").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let read = Options::parse(&[
            "--delays",
            "0,40",
            "--tls",
            "off",
            "--tools",
            "floor,mbsync",
        ]);
        let read = read.unwrap();
        assert_eq!((read.delays, read.tls), (vec![0, 40], vec![false]));
        assert_eq!(read.tools, [Tool::Floor, Tool::Mbsync]);
        assert_eq!(Options::parse(&[]).unwrap().tools.len(), 4);
        for wrong in [&["--rounds", "0"][..], &["--rounds"], &["--tools", "rsync"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
