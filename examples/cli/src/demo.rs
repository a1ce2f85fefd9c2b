//! `mailmove demo`: a whole migration between two servers inside this program.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use mailmove_core::{
    Error, ErrorKind, Migration, Report, Stop, destination::Depth, edge::Secret, model::FolderPath,
    report::Status, store::SqliteStore,
};
use mailmove_testkit::{
    corpus::{Corpus, CorpusMessage},
    mailbox::{Account, FlagOp, FolderInfo, StoreError},
    snapshot::{Compare, Snapshot},
};
use serde::Serialize;

mod host;

use host::Host;

use crate::{
    adapter::Key,
    args::{DemoArgs, Protocol},
    commands::{show_report, show_verification},
    exit::Exit,
    failure::Failure,
    interrupt,
    job::edges,
    output::{self, count, number},
    progress::{self, Progress},
};

/// The same mail at every run.
const SEED: u64 = 2;
const USER: &str = "ann@example.com";
/// Guards nothing: the servers listen on this machine alone, and live as long as the program.
const PASSWORD: &str = "demo";
/// What happens at the source between the passes.
const ARRIVING: usize = 50;
const FLAGGED: usize = 20;
const MOVED: usize = 5;
/// Differences that are shown one by one.
const EXAMPLES: usize = 5;
const NOTHING_MORE: &str = "known losses of this destination, which makes messages anew (docs/fidelity.md): none, since \
                            the source had made them anew before\n";

pub(crate) async fn demo(args: &DemoArgs) -> Result<Exit, Failure> {
    let scene = Scene::set(args).await?;
    let exit = scene.play(args).await?;
    if args.keep {
        let (from, to) = (scene.source.access(), scene.destination.access());
        scene.tell(&format!("\nBoth servers run until Ctrl-C:\n{from}{to}"));
        scene.stop.requested().await;
    }
    Ok(exit)
}

/// Both servers, and a migration between them.
struct Scene {
    directory: PathBuf,
    source: Host,
    destination: Host,
    store: SqliteStore,
    migration: Migration,
    progress: Progress,
    stop: Stop,
    json: bool,
    /// Of source and destination.
    protocols: (Protocol, Protocol),
}

/// Both servers, for people.
fn servers((from, to): (Protocol, Protocol)) -> String {
    let name = |protocol| match protocol {
        Protocol::Imap => "IMAP server",
        Protocol::Ews => "Exchange (EWS) server",
        Protocol::Graph => "Microsoft 365 (Graph) server",
    };
    if from == to {
        return format!("Two {}s", name(from));
    }
    let article = |protocol| match protocol {
        Protocol::Imap | Protocol::Ews => "an",
        Protocol::Graph => "a",
    };
    let first = match from {
        Protocol::Graph => "A",
        Protocol::Imap | Protocol::Ews => "An",
    };
    format!("{first} {} and {} {}", name(from), article(to), name(to))
}

impl Scene {
    async fn set(args: &DemoArgs) -> Result<Self, Failure> {
        let directory = directory()?;
        let progress = Progress::new(progress::Style::choose(args.json, args.quiet));
        let stop = Stop::new();
        interrupt::watch(stop.clone(), progress.clone(), "the demo ends");
        let source = Host::start("source", args.from, &directory).await?;
        let destination = Host::start("destination", args.to, &directory).await?;
        let store = SqliteStore::new(&directory);
        let edges = edges(&directory, None);
        let password = || Key::Password(Secret::new(PASSWORD));
        let migration = Migration::builder(
            source.mailbox.source(password(), &edges)?,
            destination.mailbox.destination(password(), &edges)?,
        )
        .store(store.clone())
        .observer(progress.clone())
        .edges(edges)
        .stop(stop.clone())
        .build()?;
        let json = args.json;
        Ok(Self {
            directory,
            source,
            destination,
            store,
            migration,
            progress,
            stop,
            json,
            protocols: (args.from, args.to),
        })
    }

    async fn play(&self, args: &DemoArgs) -> Result<Exit, Failure> {
        let messages = usize::try_from(args.messages).unwrap_or(usize::MAX);
        let bytes = fill(&self.source.account, messages).await?;
        self.tell(&format!(
            "{} run on this machine, with TLS. The source holds {} ({}).\n",
            servers(self.protocols),
            count(u64::from(args.messages), "message"),
            output::bytes(bytes)
        ));
        let first = self.pass().await?;
        if first.status() != Status::Complete {
            return Ok(Exit::of_report(&first));
        }
        let changed = change(&self.source.account, messages)?;
        self.tell(&format!("\nMeanwhile at the source: {changed}.\n"));
        let second = self.pass().await?;
        if second.status() != Status::Complete {
            return Ok(Exit::of_report(&second));
        }
        let verified = self.migration.verify(Depth::Content).await;
        self.progress.finish();
        let verified = verified?;
        show_verification(&verified, self.json, EXAMPLES);
        if self.protocols.0 != Protocol::Imap
            && self.protocols.1 != Protocol::Imap
            && verified.losses.is_empty()
        {
            self.tell(NOTHING_MORE);
        }

        // The servers themselves are asked, past their protocols: the migration does not vouch for itself.
        let lines = self.differences(&second);
        self.conclude(&second, &lines);
        let good = lines.is_empty() && verified.is_clean() && second.total().is_closed();
        Ok(if good { Exit::Complete } else { Exit::Failures })
    }

    /// How the mailboxes differ.
    fn differences(&self, report: &Report) -> Vec<String> {
        let source = Snapshot::of(&self.source.account);
        let destination = Snapshot::of(&self.destination.account);
        let (expected, compare) = match self.protocols {
            (Protocol::Imap, Protocol::Imap) => (mapped(source, report), Compare::all()),
            // Exchange has folders of its own, and a message's bytes are another matter.
            _ => {
                let compare = Compare::messages().with_bytes(false).with_keywords(false);
                (mapped_alone(source, report), compare.with_folders(false))
            }
        };
        compare.diff(&expected, &destination).lines
    }

    async fn pass(&self) -> Result<Report, Error> {
        let ran = self.migration.run().await;
        self.progress.finish();
        let report = ran?;
        show_report(&report, self.json);
        Ok(report)
    }

    fn tell(&self, text: &str) {
        if !self.json {
            output::result(text);
        }
    }

    /// Says how the servers differ, and where everything is.
    fn conclude(&self, second: &Report, differences: &[String]) {
        let ledger = self.store.file(&self.migration.job());
        let equal = differences.is_empty();
        if self.json {
            output::json(&DemoLine {
                event: "demo",
                equal,
                differences,
                ledger: &ledger,
            });
            return;
        }
        let total = second.total();
        let mut text = String::new();
        let _ = writeln!(
            text,
            "\nledger {}: {} found = {} copied + {} earlier + {} already there + {} excluded + {} vanished + {} failed",
            if total.is_closed() {
                "closed"
            } else {
                "not closed"
            },
            number(total.found),
            number(total.copied),
            number(total.earlier),
            number(total.already_there),
            number(total.excluded),
            number(total.vanished),
            number(total.failed)
        );
        text.push_str(match (equal, self.protocols) {
            (true, (Protocol::Imap, Protocol::Imap)) => {
                "both servers hold the same: every byte, flag, date, folder and copy\n"
            }
            (true, _) => "both servers hold the same messages: every flag, date, folder and copy\n",
            (false, _) => "the servers differ:\n",
        });
        for line in differences.iter().take(20) {
            let _ = writeln!(text, "  {}", output::clean(line));
        }
        let directory = self.directory.display();
        let _ = write!(
            text,
            "\nLedger (SQLite)      {}\nServer certificates  {directory}/*.pem\nRemove all of it with: rm -r {directory}\n",
            ledger.display()
        );
        output::result(&text);
    }
}

#[derive(Serialize)]
struct DemoLine<'a> {
    event: &'static str,
    equal: bool,
    differences: &'a [String],
    ledger: &'a Path,
}

/// A snapshot of the source with its folders where the map puts them: a few names are rewritten,
/// since IMAP servers commonly refuse them.
fn mapped(mut snapshot: Snapshot, report: &Report) -> Snapshot {
    let mut renamed = Vec::new();
    for folder in &report.folders {
        if let Some(destination) = &folder.destination
            && let Some(contents) = snapshot.folders.remove(&folder.source)
        {
            renamed.push((destination.clone(), contents));
        }
    }
    snapshot.folders.extend(renamed);
    snapshot
}

/// The same without folders that are left out, such as calendars.
fn mapped_alone(mut snapshot: Snapshot, report: &Report) -> Snapshot {
    let went = |path: &FolderPath| {
        let mut all = report.folders.iter();
        all.any(|folder| folder.source == *path && folder.destination.is_some())
    };
    snapshot.folders.retain(|path, _| went(path));
    mapped(snapshot, report)
}

fn directory() -> Result<PathBuf, Error> {
    let made = tempfile::Builder::new().prefix("mailmove-demo-").tempdir();
    made.map(tempfile::TempDir::keep).map_err(|error| {
        Error::new(ErrorKind::Io, "cannot make a directory for the demo").with_source(error)
    })
}

/// The demo's mail. An empty message is left out: IMAP has no way to store one.
fn mail() -> impl Iterator<Item = CorpusMessage> {
    let all = Corpus::new(SEED).messages(usize::MAX);
    all.filter(|message| !message.body.is_empty())
}

fn put(account: &Account, message: &CorpusMessage) -> Result<u64, StoreError> {
    let folder = account.folder(&message.folder)?;
    account.append(folder.id, vec![message.to_new_message()])?;
    Ok(message.body.len() as u64)
}

async fn fill(account: &Account, messages: usize) -> Result<u64, Error> {
    let account = account.clone();
    let work = move || -> Result<u64, StoreError> {
        Corpus::new(SEED).fill(&account, 0)?;
        mail()
            .take(messages)
            .map(|message| put(&account, &message))
            .sum()
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(ErrorKind::Bug, "the generator died").with_source(error))?
        .map_err(refused)
}

fn refused(error: StoreError) -> Error {
    Error::new(ErrorKind::Bug, "the demo's own server refused a change").with_source(error)
}

/// New mail arrives, flags change, messages move. Says what happened.
fn change(account: &Account, messages: usize) -> Result<String, Error> {
    for message in mail().skip(messages).take(ARRIVING) {
        put(account, &message).map_err(refused)?;
    }
    let (largest, other) = two_largest(account)?;
    let uids = account.uids(largest.id).map_err(refused)?;
    let (flagged, rest) = uids.split_at(FLAGGED.min(uids.len()));
    account
        .store(
            largest.id,
            flagged,
            FlagOp::Add,
            &["\\Flagged", "Demo"],
            None,
        )
        .map_err(refused)?;
    account
        .store(largest.id, flagged, FlagOp::Remove, &["\\Seen"], None)
        .map_err(refused)?;
    let moved = rest.get(..MOVED.min(rest.len())).unwrap_or_default();
    account
        .move_messages(largest.id, moved, other.id)
        .map_err(refused)?;
    Ok(format!(
        "{ARRIVING} messages arrived, {} got other flags, {} moved from {} to {}",
        flagged.len(),
        moved.len(),
        largest.path.join("/"),
        other.path.join("/")
    ))
}

fn two_largest(account: &Account) -> Result<(FolderInfo, FolderInfo), Error> {
    let mut folders = Vec::new();
    for folder in account.folders() {
        folders.push((account.status(folder.id).map_err(refused)?.messages, folder));
    }
    folders.sort_by_key(|(messages, _)| std::cmp::Reverse(*messages));
    let mut folders = folders.into_iter().map(|(_, folder)| folder);
    folders.next().zip(folders.next()).ok_or_else(|| {
        Error::new(
            ErrorKind::Bug,
            "the demo's mailbox has fewer than two folders",
        )
    })
}
