//! Where MIME is made anew at each read, `verify` compares what messages mean: whatever is done to a
//! stored copy is told, and the losses that every copy has are known by name.

use std::collections::{BTreeMap, BTreeSet};

use mailmove_core::{
    Edges, Migration,
    destination::Depth,
    report::{Status, Verification},
    store::MemoryStore,
};
use mailmove_ews::EwsDestination;
use mailmove_ews_testserver::{Builder, Server};
use mailmove_testkit::{
    corpus::Corpus,
    mailbox::{Account, FlagOp, FolderId, InternalDate, NewMessage, Store},
    memory::MemoryMailbox,
};
use mailmove_testkit_exchange::letters::{SENT, filled, letter};

use crate::support::{account, config, password, start};

/// What is done to a copy, and what is told of it.
enum Change {
    /// In the stored bytes, the first of these becomes that.
    Text(&'static str, &'static str),
    Flag(FlagOp, &'static str),
    Date(i64),
    /// It was sent so many seconds later. Exchange makes the header's date of that.
    Sent(i64),
    Importance(&'static str),
    Gone,
    Elsewhere,
    Twice,
    /// Another message's bytes.
    Other,
}

const CHANGES: [(Change, &str); 46] = [
    (
        Change::Text("Message-ID: <", "Message-ID: <x"),
        "message-id",
    ),
    (
        Change::Text("Message-ID: <", "X-Message-ID: <"),
        "message-id",
    ),
    (Change::Sent(1), "date"),
    (Change::Sent(366 * 86_400), "date"),
    (Change::Sent(3600), "date"),
    (Change::Text("<ann@", "<eve@"), "from"),
    (Change::Text("From: Ann", "X-From: Ann"), "from"),
    (Change::Text("<bo@", "<eve@"), "sender"),
    (Change::Text("cy@", "eve@"), "reply-to"),
    (Change::Text("To: di@example.com, ", "To: "), "to"),
    (Change::Text("di@example.com", "di@example.org"), "to"),
    (
        Change::Text("<ed@example.com>", "<ed@example.com>, eve@example.com"),
        "to",
    ),
    (Change::Text("Cc: flo@example.com\r\n", ""), "cc"),
    (Change::Text("flo@", "eve@"), "cc"),
    (Change::Text("Bcc: gil@example.com\r\n", ""), "bcc"),
    (Change::Text("gil@", "eve@"), "bcc"),
    (Change::Text("=C3=BC", "=C3=B6"), "subject"),
    (Change::Text("Subject: ", "Subject: Re: "), "subject"),
    (
        Change::Text("In-Reply-To: <a@", "In-Reply-To: <c@"),
        "in-reply-to",
    ),
    (
        Change::Text("In-Reply-To:", "X-In-Reply-To:"),
        "in-reply-to",
    ),
    (Change::Text("<b@example.com> ", ""), "references"),
    (Change::Importance("Normal"), "importance"),
    (Change::Importance("Low"), "importance"),
    (Change::Text("um acht", "um neun"), "text"),
    (Change::Text("K=F6ln", "K=D6ln"), "text"),
    (Change::Text("heute um acht.\r\n--inner", "--inner"), "text"),
    (
        Change::Text("heute um acht.</p>", "heute um neun.</p>"),
        "html",
    ),
    (Change::Text("<b>K\u{f6}ln</b>", ""), "html"),
    (Change::Text("iVBORw0KGgo=", "iVBORw0KGgs="), "attachment"),
    (Change::Text("iVBORw0KGgo=", "iVBORw0K"), "attachment"),
    (Change::Text("JVBERi0xLjQ=", ""), "attachment"),
    (
        Change::Text(
            "--outer\r\nContent-Type: application/pdf",
            "--outer--\r\nContent-Type: application/pdf",
        ),
        "attachment",
    ),
    (
        Change::Text("filename=\"a.png\"", "filename=\"c.png\""),
        "attachment-name",
    ),
    (
        Change::Text("The message within", "A message within"),
        "text",
    ),
    (
        Change::Text("Subject: within", "Subject: without"),
        "subject",
    ),
    (Change::Text("From: hal@", "From: eve@"), "from"),
    (
        Change::Text("message/rfc822", "application/octet-stream"),
        "attachment",
    ),
    (Change::Flag(FlagOp::Add, "\\Draft"), "flags"),
    (Change::Flag(FlagOp::Remove, "\\Seen"), "flags"),
    (Change::Flag(FlagOp::Add, "\\Flagged"), "flags"),
    (Change::Flag(FlagOp::Remove, "Work"), "flags"),
    (Change::Date(SENT + 3600), "received"),
    (Change::Gone, "missing"),
    (Change::Elsewhere, "missing"),
    (Change::Twice, "doubled"),
    (Change::Other, "message-id"),
];

struct World {
    from: Account,
    to: Server,
    store: MemoryStore,
}

impl World {
    async fn new(from: Account) -> Self {
        let world = Self {
            from,
            to: start(|builder: Builder| builder.rebuilds_mime().without_shape_gate()).await,
            store: MemoryStore::new(),
        };
        let report = world.migration().run().await.unwrap();
        assert_eq!(report.status(), Status::Complete, "{report:?}");
        world
    }

    fn migration(&self) -> Migration {
        let source = MemoryMailbox::new(self.from.clone());
        let destination = EwsDestination::new(config(&self.to), password(), Edges::new());
        let builder = Migration::builder(source, destination).store(self.store.clone());
        builder.build().unwrap()
    }

    async fn verify(&self) -> Verification {
        self.migration().verify(Depth::Content).await.unwrap()
    }

    fn inbox(&self) -> (Account, FolderId) {
        let account = account(&self.to);
        let inbox = account.folder(&["INBOX"]).unwrap().id;
        (account, inbox)
    }

    fn change(&self, number: usize, change: &Change) {
        let (account, inbox) = self.inbox();
        let id = format!("Message-ID: <{number}@example.com>");
        let all = account.messages(inbox).unwrap();
        let wanted = |body: &[u8]| String::from_utf8_lossy(body).contains(&id);
        let message = all.iter().find(|one| wanted(&one.body)).unwrap();
        let uid = message.uid;
        match change {
            Change::Text(was, is) => {
                let text = String::from_utf8(message.body.to_vec()).unwrap();
                let changed = text.replacen(was, is, 1);
                assert_ne!(changed, text, "{was}");
                account.damage(inbox, uid, changed, None).unwrap();
            }
            Change::Date(date) => {
                let date = Some(InternalDate::utc(*date));
                account
                    .damage(inbox, uid, message.body.clone(), date)
                    .unwrap();
            }
            Change::Sent(later) => {
                let at = SENT + later;
                assert!(self.to.set_item_date("ann", &["INBOX"], uid, 0x0039, at));
            }
            Change::Importance(level) => {
                assert!(self.to.set_item_importance("ann", &["INBOX"], uid, level));
            }
            Change::Flag(op, flag) => {
                account.store(inbox, &[uid], *op, &[*flag], None).unwrap();
            }
            Change::Gone => {
                account.remove(inbox, &[uid]).unwrap();
            }
            Change::Elsewhere => {
                let other = account.create(&["Elsewhere"]).unwrap();
                account.move_messages(inbox, &[uid], other).unwrap();
            }
            Change::Twice => {
                account.copy(inbox, &[uid], inbox).unwrap();
            }
            Change::Other => {
                account.damage(inbox, uid, letter(999), None).unwrap();
            }
        }
    }
}

/// What differs without being a known loss, by message.
fn told(found: &Verification) -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut out = BTreeMap::new();
    for one in found.differences.iter().filter(|one| !one.known) {
        let told: &mut BTreeSet<_> = out.entry(one.message.clone()).or_default();
        told.insert(one.what);
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_to_a_stored_copy_is_told() {
    let world = World::new(filled(CHANGES.len() + 10)).await;
    let clean = world.verify().await;
    assert!(clean.is_clean(), "{:?}", told(&clean));
    // Of the message within.
    let messages = (CHANGES.len() + 10) as u64;
    assert_eq!(
        clean.losses,
        BTreeMap::from([("alternative-made".to_owned(), messages)])
    );
    let names = |found: &Verification| {
        let checked: u64 = found.folders.iter().map(|folder| folder.checked).sum();
        checked
    };
    assert_eq!(names(&clean), messages);
    for (number, (change, _)) in CHANGES.iter().enumerate() {
        world.change(number, change);
    }
    let found = world.verify().await;
    let told = told(&found);
    let inbox = world.from.folder(&["INBOX"]).unwrap().id;
    let source = MemoryMailbox::new(world.from.clone());
    let ids = source_ids(&source).await;
    assert_eq!(ids.len(), world.from.messages(inbox).unwrap().len());
    for (number, (_, expected)) in CHANGES.iter().enumerate() {
        let of_message = told.get(&ids[number]).cloned().unwrap_or_default();
        assert!(
            of_message.contains(expected),
            "{number}: {expected} in {of_message:?}"
        );
    }
    for id in &ids[CHANGES.len()..] {
        assert_eq!(told.get(id), None);
    }
}

async fn source_ids(source: &MemoryMailbox) -> Vec<String> {
    use mailmove_core::{Source as _, source::ListRequest};
    let folder = crate::support::inbox(source).await;
    let listed = crate::support::pages(source, ListRequest::new(&folder)).await;
    let ids = crate::support::ids(&listed.unwrap());
    ids.iter().map(|id| source.describe(id)).collect()
}

/// Migrates these, and asserts that each difference is a known loss. How many there were of each.
async fn losses(mail: impl Iterator<Item = NewMessage>) -> BTreeMap<String, u64> {
    let account = Store::new().add_account("ann");
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    for message in mail {
        // What this model of a mailbox itself refuses has no place here.
        let _ = account.append(inbox, vec![message]);
    }
    let world = World::new(account).await;
    let found = world.verify().await;
    let unnamed = told(&found);
    let bodies = world.from.messages(inbox).unwrap();
    let shown = unnamed.iter().take(40).map(|(id, told)| {
        let number = id.rsplit(' ').next().and_then(|uid| uid.parse().ok());
        let message = bodies.iter().find(|one| Some(one.uid) == number).unwrap();
        let text = String::from_utf8_lossy(&message.body);
        format!(
            "{id}: {told:?}\n{}\n",
            text.chars().take(900).collect::<String>()
        )
    });
    let shown: String = shown.collect();
    assert!(
        found.is_clean(),
        "{} with unnamed losses:\n{shown}",
        unnamed.len()
    );
    eprintln!("{} messages: {:?}", bodies.len(), found.losses);
    found.losses
}

/// Made-up mail of every kind, and the odd ones.
#[tokio::test(flavor = "multi_thread")]
async fn every_loss_of_made_up_mail_has_a_name() {
    let all = Corpus::new(7)
        .with_median(2000)
        .with_largest(200_000)
        .messages(400);
    let mail = all
        .chain(Corpus::ugly())
        .map(|message| message.to_new_message());
    let losses = losses(mail).await;
    for name in ["alternative-made", "signature", "characters", "cut-at-nul"] {
        assert!(losses.contains_key(name), "{name}: {losses:?}");
    }
}

/// Real mail of years ago: spam, ham, and what a parser was tested with.
#[tokio::test(flavor = "multi_thread")]
async fn every_loss_of_real_mail_has_a_name() {
    const VARIABLE: &str = "MAILMOVE_TEST_CORPORA";
    let required = std::env::var("MAILMOVE_REQUIRE").is_ok_and(|all| all.contains("corpora"));
    let Some(directory) = std::env::var_os(VARIABLE) else {
        assert!(
            !required,
            "{VARIABLE} is not set, and the corpora are required"
        );
        eprintln!("SKIPPED: {VARIABLE} is not set; see `cargo xtask corpora`");
        return;
    };
    let most = std::env::var("MAILMOVE_FIDELITY_MAILS").map_or(300, |text| text.parse().unwrap());
    let mut files = Vec::new();
    collect(directory.as_ref(), &mut files);
    files.sort();
    assert!(files.len() > 6000, "{} mails only", files.len());
    let step = (files.len() / most).max(1);
    let mail = files.iter().step_by(step).map(|file| {
        let raw = std::fs::read(file).unwrap();
        let text = match raw.strip_prefix(b"From ") {
            Some(line) => line
                .splitn(2, |byte| *byte == b'\n')
                .nth(1)
                .unwrap_or_default(),
            None => &raw,
        };
        // As IMAP shows it.
        let mut out = Vec::with_capacity(text.len());
        for (at, byte) in text.iter().enumerate() {
            let bare = *byte == b'\n' && (at == 0 || text[at - 1] != b'\r');
            out.extend(bare.then_some(b'\r'));
            out.push(*byte);
        }
        NewMessage::new(out)
    });
    assert!(losses(mail).await.contains_key("alternative-made"));
}

fn collect(directory: &std::path::Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let is_mail = path
            .extension()
            .is_some_and(|end| end == "txt" || end == "eml");
        match path.is_dir() {
            true => collect(&path, files),
            false => files.extend(is_mail.then_some(path)),
        }
    }
}
