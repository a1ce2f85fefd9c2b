//! Each extension switched off alone: the same mail arrives, and what it costs is written down in
//! CAPABILITIES.md. With `MAILMOVE_BLESS=1` the file is written anew.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use mailmove_core::{Migration, report::Status, store::MemoryStore};
use mailmove_imap_testserver::{Builder, Capability, Counters};
use mailmove_testkit::mailbox::{FlagOp, InternalDate, NewMessage};

use crate::support::*;

const STAGES: [&str; 4] = ["plan", "first pass", "changes", "nothing new"];

/// What one side was asked in one stage: commands by name, and waits for the server's `+`.
type Asked = BTreeMap<String, u64>;

/// Counted beside the commands.
const WAITS: &str = "waits for leave";

/// By stage: source, destination.
struct Measured(Vec<(Asked, Asked)>);

fn asked(counters: &Counters) -> Asked {
    let mut asked = counters.commands.clone();
    if counters.continuations > 0 {
        asked.insert(WAITS.to_owned(), counters.continuations);
    }
    asked
}

/// A small mailbox with a bit of everything.
fn fill(from: &Side) {
    for number in 0..20 {
        from.put(&["INBOX"], mail(&format!("inbox{number}")));
        from.put(&["Box"], mail(&format!("box{number}")));
    }
    from.put(&["Box", "Below"], mail("below"));
    from.put(&["INBOX"], b"Subject: nul\r\n\r\na\0b\r\n".to_vec());
    from.account
        .create_special(&["Gone out"], &["\\Sent"])
        .unwrap();
    let sent = from.account.folder(&["Gone out"]).unwrap().id;
    let message = NewMessage::new(mail("sent"))
        .with_flags(["\\Seen", "Work"])
        .with_date(InternalDate::utc(1_600_000_000));
    from.account.append(sent, vec![message]).unwrap();
    from.account.subscribe(&["Box"], true);
}

/// A new message, a changed flag, and a message that moved.
fn change(from: &Side) {
    from.put(&["INBOX"], mail("new"));
    let id = |path: &[&str]| from.account.folder(path).unwrap().id;
    let (inbox, other) = (id(&["INBOX"]), id(&["Box"]));
    from.account
        .store(inbox, &[3], FlagOp::Add, &["\\Flagged"], None)
        .unwrap();
    from.account.move_messages(inbox, &[5], other).unwrap();
}

/// Content, flags and folder of all messages, as the source shows them.
fn all(side: &Side) -> Vec<(String, Vec<u8>, String)> {
    let mut all = Vec::new();
    for folder in side.account.folders() {
        for message in side.account.messages(folder.id).unwrap() {
            let name = folder.path.join("/").replace("Gone out", "Sent");
            let mut body = message.body.to_vec();
            // Without BINARY the source shows it so.
            body.iter_mut().filter(|b| **b == 0).for_each(|b| *b = 0x80);
            let mut flags: Vec<_> = message.flags.iter().collect();
            flags.sort_unstable();
            all.push((name, body, format!("{flags:?}")));
        }
    }
    all.sort();
    all
}

async fn measure(name: &str, setup: impl Fn(Builder) -> Builder) -> Measured {
    let from = Side::new(|server| setup(server.nul_by_binary_alone())).await;
    let to = Side::new(&setup).await;
    fill(&from);
    let source = from.source(from.config().with_compression(true));
    let destination = to.destination(to.config().with_compression(true));
    let migration = Migration::builder(source, destination)
        .store(MemoryStore::new())
        .build()
        .unwrap();
    let moves = !["UIDPLUS", "none"].contains(&name);
    let mut stages = Vec::new();
    for stage in STAGES {
        if stage == "plan" {
            migration.plan().await.unwrap();
        } else {
            if stage == "changes" {
                change(&from);
            }
            let report = migration.run().await.unwrap();
            assert_eq!(report.status(), Status::Complete, "{name}: {report:#?}");
            let mut here = all(&from);
            if !moves && stage != "first pass" {
                // The message that moved cannot be removed where it was.
                here.push(("INBOX".into(), mail("inbox4").into(), "[]".into()));
                here.sort();
            }
            assert!(all(&to) == here, "{name}, {stage}: the mailboxes differ");
        }
        let counters = (from.server.counters(), to.server.counters());
        assert_eq!(counters.0.bad + counters.1.bad, 0, "{name}, {stage}");
        stages.push((asked(&counters.0), asked(&counters.1)));
        from.server.reset_counters();
        to.server.reset_counters();
    }
    Measured(stages)
}

impl Measured {
    /// `5 / 7` for each stage.
    fn cells(&self) -> String {
        let sum = |asked: &Asked| asked.values().sum::<u64>();
        let cells = self.0.iter();
        let cells = cells.map(|(from, to)| format!("{} / {}", sum(from), sum(to)));
        cells.collect::<Vec<_>>().join(" | ")
    }

    fn total(&self) -> (Asked, Asked) {
        let mut total = (Asked::new(), Asked::new());
        for (from, to) in &self.0 {
            for (sum, side) in [(&mut total.0, from), (&mut total.1, to)] {
                for (name, count) in side {
                    *sum.entry(name.clone()).or_default() += count;
                }
            }
        }
        total
    }

    /// What was asked more or less often than there, by command.
    fn against(&self, base: &Self) -> String {
        let (own, base) = (self.total(), base.total());
        let mut out = Vec::new();
        for (side, own, base) in [
            ("source", &own.0, &base.0),
            ("destination", &own.1, &base.1),
        ] {
            let names: std::collections::BTreeSet<_> = own.keys().chain(base.keys()).collect();
            let count = |asked: &Asked, name: &String| asked.get(name).copied().unwrap_or(0);
            let differences: Vec<String> = names
                .into_iter()
                .map(|name| (name, count(own, name), count(base, name)))
                .filter(|(_, own, base)| own != base)
                .map(|(name, own, base)| format!("{name} {base} → {own}"))
                .collect();
            if !differences.is_empty() {
                out.push(format!("{side}: {}", differences.join(", ")));
            }
        }
        if out.is_empty() {
            "–".to_owned()
        } else {
            out.join("; ")
        }
    }
}

/// What it is used for, and what is done where it is missing.
fn path(capability: Capability) -> (&'static str, &'static str) {
    match capability {
        Capability::SaslIr => (
            "the login is one round trip",
            "the server is waited for first",
        ),
        Capability::Id => ("names us, and the server for the log", "not asked"),
        Capability::Enable => (
            "switches QRESYNC, CONDSTORE and UTF8=ACCEPT on",
            "QRESYNC is not used; CONDSTORE begins with its first use",
        ),
        Capability::Namespace => (
            "prefix, separator, other users' folders",
            "the separator is asked by LIST",
        ),
        Capability::ListExtended => (
            "subscriptions and special uses in the same LIST",
            "LIST and LSUB",
        ),
        Capability::ListStatus => (
            "folders and all their numbers in one round trip",
            "STATUS for each folder, sent ahead",
        ),
        Capability::StatusSize => (
            "bytes of each folder for plan and progress",
            "progress counts messages, and plans list folders for what is too large",
        ),
        Capability::SpecialUse => ("which folder is Sent, Trash, …", "names in many languages"),
        Capability::CreateSpecialUse => ("new folders get their special use", "CREATE alone"),
        Capability::UidPlus => (
            "APPENDUID proves and names what was stored; single messages are removed",
            "new messages are looked up; nothing is moved or removed there",
        ),
        Capability::LiteralPlus => (
            "bodies are sent without waiting",
            "LITERAL-, or a wait for each",
        ),
        Capability::LiteralMinus => (
            "bodies up to 4096 bytes are sent without waiting",
            "a wait for each",
        ),
        Capability::MultiAppend => (
            "a batch is one command, stored whole or not at all",
            "one APPEND for each, sent ahead",
        ),
        Capability::Condstore => (
            "unchanged folders are not looked at; only changed flags are fetched",
            "flags of all messages in each pass",
        ),
        Capability::Qresync => ("removals are told", "a search tells which messages went"),
        Capability::Move => (
            "what moved at the source moves in one command",
            "COPY, STORE and UID EXPUNGE of that message",
        ),
        Capability::Esearch => (
            "tells what went where QRESYNC is missing, if it agrees with the count",
            "the folder is listed again (see QRESYNC, ESEARCH)",
        ),
        Capability::Unselect => (
            "leaves a folder without expunging it",
            "another folder is opened instead",
        ),
        Capability::Idle => ("not used", "the same"),
        Capability::ObjectId => (
            "a renamed folder is known again; what several folders show is fetched once",
            "path and UIDVALIDITY; contents come along with their listing",
        ),
        Capability::Children => ("not used: LIST brings every folder", "the same"),
        Capability::Quota => ("a plan says whether there is room", "not said"),
        Capability::AppendLimit => (
            "too large a message fails before it is sent",
            "the server refuses it",
        ),
        Capability::Acl => (
            "a plan says which folders may not be read or written",
            "said when they are refused",
        ),
        Capability::ListMyRights => (
            "the rights of all folders in one LIST",
            "MYRIGHTS for each folder, sent ahead",
        ),
        Capability::Utf8Accept => (
            "enabled, so that headers in UTF-8 come and go as they are; names have another form then",
            "headers in UTF-8 as the server shows and takes them",
        ),
        Capability::Utf8Only => (
            "(switched on) UTF8=ACCEPT is enabled: names and headers in UTF-8",
            "names in modified UTF-7",
        ),
        Capability::Binary => (
            "NUL leaves and arrives as it is",
            "NUL as the server shows it; what it refuses fails",
        ),
        Capability::Metadata => (
            "opt-in: annotations of folders are carried over (not in this test)",
            "annotations stay where they are",
        ),
        Capability::MessageLimit => (
            "(switched on, for 10) commands are about so many messages, and what was left out is asked for",
            "commands of any size",
        ),
        Capability::UidOnly => (
            "(switched on, with MESSAGELIMIT) enabled: folders show what they hid (Yahoo)",
            "not enabled: sequence numbers prove that nothing was left out",
        ),
        Capability::Compress => ("opt-in: fewer bytes on slow lines", "not compressed"),
        Capability::StartTls => (
            "protects a plain connection (not in this test)",
            "refused unless configured",
        ),
        Capability::AuthPlain => ("login by SASL, also for another's mailbox", "LOGIN"),
        Capability::AuthXoauth2 | Capability::AuthOauthBearer => (
            "login by token, if there is one",
            "refused, with the remedy",
        ),
        other => panic!("{other:?} has no words in the matrix"),
    }
}

fn head(out: &mut String) {
    let _ = write!(
        out,
        "# Capabilities\n\n\
        What each IMAP extension is used for, what is done where a server lacks it, and what that\n\
        costs. Written by the test `matrix` of `mailmove-imap/tests/extensions`, which fails if it is\n\
        not so any more; `MAILMOVE_BLESS=1 cargo test -p mailmove-imap --test extensions matrix`\n\
        writes it anew.\n\n\
        A mailbox of 43 messages in four folders is moved between two servers that both lack the\n\
        extension: a plan; a first pass; a pass after one new message, one changed flag and one moved\n\
        message; a pass with nothing new; all over one connection to either side. The numbers are\n\
        commands to the source / to the destination, with one more for each wait for the server's\n\
        leave to go on (for a literal, say); most commands are sent ahead of the answers, so that\n\
        round trips are fewer. The last column says what was asked how often in all, with everything\n\
        on → without the extension.\n\n\
        | Switched off | {} | With it | Without it | Difference |\n|{}\n",
        STAGES.join(" | "),
        "---|".repeat(STAGES.len() + 4)
    );
}

async fn written() -> String {
    let mut out = String::new();
    head(&mut out);
    let base = measure("all", |server| server).await;
    let _ = writeln!(out, "| nothing | {} | | | |", base.cells());
    // Gmail's is another kind of server, with tests of its own.
    let all = Capability::ALL.into_iter();
    for capability in all.filter(|one| *one != Capability::GmailExt) {
        let measured = match capability {
            // Off at first; it shows where its greater brother is missing.
            Capability::LiteralMinus => measure("small", |server| server.with(capability)).await,
            // Not off, but on.
            Capability::Utf8Only => measure("UTF-8", |server| server.with(capability)).await,
            Capability::MessageLimit => measure("limit", |server| server.message_limit(10)).await,
            Capability::UidOnly => {
                measure("UIDs", |server| {
                    server.message_limit(1000).shows_newest(10).with(capability)
                })
                .await
            }
            _ => measure(capability.name(), |server| server.without(capability)).await,
        };
        let (with, without) = path(capability);
        let name = match capability {
            Capability::LiteralMinus => "LITERAL+ (LITERAL- is left)",
            Capability::Utf8Only => "(UTF8=ONLY is on)",
            Capability::MessageLimit => "(MESSAGELIMIT is on)",
            Capability::UidOnly => "(UIDONLY is on)",
            _ => capability.name(),
        };
        let _ = writeln!(
            out,
            "| {name} | {} | {with} | {without} | {} |",
            measured.cells(),
            measured.against(&base)
        );
    }
    let both = |server: Builder| {
        let server = server.without(Capability::Qresync);
        server.without(Capability::Esearch)
    };
    let both = measure("both", both).await;
    let _ = writeln!(
        out,
        "| QRESYNC, ESEARCH | {} | | a folder is listed again when messages went | {} |",
        both.cells(),
        both.against(&base)
    );
    let bare = measure("none", |server| server.only(&[])).await;
    let _ = writeln!(
        out,
        "| everything | {} | | RFC 3501 alone | {} |",
        bare.cells(),
        bare.against(&base)
    );
    out
}

#[tokio::test]
async fn matrix() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("CAPABILITIES.md");
    let written = written().await;
    if std::env::var_os("MAILMOVE_BLESS").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    for (had, has) in committed.lines().zip(written.lines()) {
        assert_eq!(had, has, "set MAILMOVE_BLESS=1 if it is meant to change");
    }
    assert_eq!(committed.lines().count(), written.lines().count());
}
