//! Two servers, a state directory, and runs of the program.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use mailmove_imap_testserver::{Builder, Server};
use mailmove_testkit::{
    corpus::{Corpus, CorpusFolder},
    mailbox::{Account, Store},
    snapshot::{Difference, Snapshot},
};

pub(crate) const USER: &str = "ann@example.com";
pub(crate) const PASSWORD: &str = "correct horse";

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    /// It ended so, and says all of that on standard error.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for text in says {
            assert!(self.stderr.contains(text), "no {text:?} in {self:#?}");
        }
        assert!(
            !self.stderr.contains(PASSWORD) && !self.stdout.contains(PASSWORD),
            "{self:#?}"
        );
    }

    #[track_caller]
    pub(crate) fn succeeds(&self) {
        assert_eq!(self.code, Some(0), "{self:#?}");
    }

    /// Standard output as JSON lines.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        let read = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.stdout.lines().map(read).collect()
    }
}

/// The program with these arguments, without terminal, home directory or passwords.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailmove"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("HOME")
        .env_remove("XDG_STATE_HOME")
        .env_remove("MAILMOVE_FROM_PASSWORD")
        .env_remove("MAILMOVE_TO_PASSWORD");
    command
}

/// Runs it beside the servers, which need this runtime's threads.
pub(crate) async fn run(mut command: Command) -> Run {
    tokio::task::spawn_blocking(move || command.output().unwrap().into())
        .await
        .unwrap()
}

/// A source with some mail, an empty destination, and a state directory.
pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) source: Server,
    pub(crate) destination: Server,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|builder| builder, |builder| builder).await
    }

    pub(crate) async fn with(
        source: impl FnOnce(Builder) -> Builder,
        destination: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let start = |change: Builder| async move { change.start().await.unwrap() };
        let new = || Server::builder(Store::new()).user(USER, PASSWORD);
        let (source, destination) = (start(source(new())).await, start(destination(new())).await);
        let directory = tempfile::tempdir().unwrap();
        let ca = format!("{}{}", source.ca_pem(), destination.ca_pem());
        std::fs::write(directory.path().join("ca.pem"), ca).unwrap();
        Self {
            directory,
            source,
            destination,
        }
    }

    /// Fills the source with so many small messages in a few folders.
    pub(crate) fn fill(&self, messages: usize) {
        let mut sent = CorpusFolder::new(&["Sent"]);
        sent.special_use = Some("\\Sent");
        let others = [&["INBOX"][..], &["Letters", "2023"]].map(CorpusFolder::new);
        let folders = others.into_iter().chain([sent]).collect();
        Corpus::new(5)
            .with_folders(folders)
            .with_median(800)
            .with_largest(4_000)
            .with_special(0)
            .fill(&self.from(), messages)
            .unwrap();
    }

    pub(crate) fn from(&self) -> Account {
        self.source.store().account(USER).unwrap()
    }

    pub(crate) fn to(&self) -> Account {
        self.destination.store().account(USER).unwrap()
    }

    /// How the two mailboxes differ.
    pub(crate) fn difference(&self) -> Difference {
        Snapshot::of(&self.from()).diff(&Snapshot::of(&self.to()))
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn source_url(&self) -> String {
        format!(
            "imaps://{USER}@127.0.0.1:{}",
            self.source.tls_address().port()
        )
    }

    pub(crate) fn destination_url(&self) -> String {
        format!(
            "imaps://{USER}@127.0.0.1:{}",
            self.destination.tls_address().port()
        )
    }

    /// `mailmove COMMAND` from here to there, with passwords, state and trust.
    pub(crate) fn command(&self, name: &str, more: &[&str]) -> Command {
        self.between(name, &self.source_url(), &self.destination_url(), more)
    }

    pub(crate) fn between(&self, name: &str, from: &str, to: &str, more: &[&str]) -> Command {
        let mut command = program(&[name, "--from", from, "--to", to]);
        command
            .arg("--state")
            .arg(self.state())
            .arg("--ca-file")
            .arg(self.directory.path().join("ca.pem"))
            .args(more)
            .env("MAILMOVE_FROM_PASSWORD", PASSWORD)
            .env("MAILMOVE_TO_PASSWORD", PASSWORD);
        command
    }

    pub(crate) async fn run(&self, name: &str, more: &[&str]) -> Run {
        run(self.command(name, more)).await
    }
}
