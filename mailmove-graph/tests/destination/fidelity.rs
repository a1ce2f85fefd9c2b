//! Messages are made of fields, and their MIME anew at each read: `verify` compares what they mean, and tells
//! whatever is done to a stored copy.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::StreamExt as _;
use mailmove_core::{
    Destination, Migration, Source,
    destination::{Depth, Outcome},
    model::MessageId,
    report::{Status, Verification},
    store::MemoryStore,
};
use mailmove_graph_testserver::Server;
use mailmove_testkit::{
    mailbox::{Account, FlagOp, InternalDate},
    memory::MemoryMailbox,
};
use mailmove_testkit_exchange::letters::{SENT, filled, letter};

use crate::support::*;

/// What is done to a copy, and what is told of it.
enum Change {
    /// In the stored bytes, each of these becomes that.
    Text(&'static str, &'static str),
    /// The same within what is stored as base64.
    Coded(&'static str, &'static str),
    /// A part of the stored bytes, from the first of these up to the next of those, is gone.
    Without(&'static str, &'static str),
    Importance(&'static str),
    /// It was sent so many seconds later.
    Sent(i64),
    /// It was received so many seconds later.
    Received(i64),
    Flag(FlagOp, &'static str),
    Gone,
    Elsewhere,
    Twice,
    /// Another message's bytes.
    Other,
}

use Change::*;

const CHANGES: [(Change, &str); 45] = [
    (Text("Message-ID: <", "Message-ID: <x"), "message-id"),
    (Text("Message-ID: <", "X-Message-ID: <"), "message-id"),
    (Sent(1), "date"),
    (Sent(3600), "date"),
    (Sent(366 * 86_400), "date"),
    (Text("<ann@", "<eve@"), "from"),
    (Text("From: ", "X-From: "), "from"),
    (Text("<bo@", "<eve@"), "sender"),
    (Text("cy@", "eve@"), "reply-to"),
    (Text("Reply-To: ", "X-Reply-To: "), "reply-to"),
    (Text("di@example.com", "di@example.org"), "to"),
    (
        Text("<ed@example.com>", "<ed@example.com>, <eve@example.com>"),
        "to",
    ),
    (
        Text("To: \"di@example.com\" <di@example.com>,\r\n ", "To: "),
        "to",
    ),
    (Text("Cc: ", "X-Cc: "), "cc"),
    (Text("flo@", "eve@"), "cc"),
    (Text("Bcc: ", "X-Bcc: "), "bcc"),
    (Text("gil@", "eve@"), "bcc"),
    (Text("Subject: =", "Subject: Re: ="), "subject"),
    (Text("Subject: =", "X-Subject: ="), "subject"),
    (Text("In-Reply-To: <a@", "In-Reply-To: <c@"), "in-reply-to"),
    (
        Text("References: <b@example.com> ", "References: "),
        "references",
    ),
    (Importance("Normal"), "importance"),
    (Importance("Low"), "importance"),
    (Coded("um acht", "um neun"), "html"),
    (Coded("<b>K\u{f6}ln</b>", ""), "html"),
    (Coded("K\u{f6}ln", "K\u{d6}ln"), "html"),
    (Coded("<p>Gr\u{fc}\u{df}e", "<p>"), "html"),
    (Text("iVBORw0KGgo=", "iVBORw0KGgs="), "attachment"),
    (Text("iVBORw0KGgo=", "iVBORw0K"), "attachment"),
    (Text("JVBERi0xLjQ=", ""), "attachment"),
    (
        Without(
            "Content-Type: application/pdf",
            "Content-Type: message/rfc822",
        ),
        "attachment",
    ),
    (Text("\"a.png\"", "\"c.png\""), "attachment-name"),
    (Coded("The message within", "A message within"), "text"),
    (Text("Subject: within", "Subject: without"), "subject"),
    (Text("<hal@", "<eve@"), "from"),
    (Text("b.pdf", "b.txt"), "attachment-name"),
    (Flag(FlagOp::Add, "\\Draft"), "flags"),
    (Flag(FlagOp::Remove, "\\Seen"), "flags"),
    (Flag(FlagOp::Add, "\\Flagged"), "flags"),
    (Flag(FlagOp::Remove, "Work"), "flags"),
    (Received(3600), "received"),
    (Gone, "missing"),
    (Elsewhere, "missing"),
    (Twice, "doubled"),
    (Other, "message-id"),
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
            to: start(|builder| builder.rebuilds_mime().without_shape_gate()).await,
            store: MemoryStore::new(),
        };
        let report = world.migration().run().await.unwrap();
        assert_eq!(report.status(), Status::Complete, "{report:?}");
        world
    }

    fn migration(&self) -> Migration {
        let source = MemoryMailbox::new(self.from.clone());
        let builder = Migration::builder(source, destination(&self.to)).store(self.store.clone());
        builder.build().unwrap()
    }

    async fn verify(&self) -> Verification {
        self.migration().verify(Depth::Content).await.unwrap()
    }

    /// Where each message of the source is at the destination.
    fn uid(&self, number: usize) -> u32 {
        let id = format!("Message-ID: <{number}@example.com>");
        let wanted = |body: &[u8]| String::from_utf8_lossy(body).contains(&id);
        let all = stored(&self.to);
        all.iter().find(|one| wanted(&one.body)).unwrap().uid
    }

    /// As people do, so that the copy has all that the message has.
    async fn copy(&self, uid: u32) {
        let destination = destination(&self.to);
        let folder = made(&destination).await;
        let id = self.to.item_id(USER, &["INBOX"], uid, true).unwrap();
        let ids = vec![MessageId::new(id)];
        let updater = Destination::updater(&destination).unwrap();
        let copied = updater.duplicate(&folder.id, ids, &folder.id);
        let copied: Vec<(MessageId, Outcome)> = copied.collect().await;
        assert!(
            matches!(&copied[..], [(_, Outcome::Stored(_))]),
            "{copied:?}"
        );
    }

    async fn change(&self, uid: u32, change: &Change) {
        let account = account(&self.to);
        let inbox = account.folder(&["INBOX"]).unwrap().id;
        let message = account.fetch(inbox, &[uid]).unwrap().remove(0);
        let text = String::from_utf8(message.body.to_vec()).unwrap();
        let put = |changed: String| {
            assert_ne!(changed, text, "nothing to change");
            account.damage(inbox, uid, changed, None).unwrap();
        };
        match change {
            Text(was, is) => put(text.replace(was, is)),
            Coded(was, is) => put(coded(&text, was, is)),
            Without(from, to) => {
                let (before, rest) = text.split_once(from).unwrap();
                let (_, after) = rest.split_once(to).unwrap();
                put(format!("{before}{to}{after}"));
            }
            Importance(level) => {
                assert!(self.to.set_item_importance(USER, &["INBOX"], uid, level));
            }
            Sent(later) => {
                assert!(
                    self.to
                        .set_item_date(USER, &["INBOX"], uid, 0x0039, SENT + later)
                );
            }
            Received(later) => {
                let date = Some(InternalDate::utc(SENT + later));
                account
                    .damage(inbox, uid, message.body.clone(), date)
                    .unwrap();
            }
            Flag(op, flag) => {
                account.store(inbox, &[uid], *op, &[*flag], None).unwrap();
            }
            Gone => {
                account.remove(inbox, &[uid]).unwrap();
            }
            Elsewhere => {
                let other = account.create(&["Elsewhere"]).unwrap();
                account.move_messages(inbox, &[uid], other).unwrap();
            }
            Twice => self.copy(uid).await,
            Other => put(letter(999)),
        }
    }
}

/// The text with `was` replaced in the parts that are base64.
fn coded(text: &str, was: &str, is: &str) -> String {
    let parts = text.split("\r\n\r\n").map(|part| {
        let (code, rest) = part.split_once("\r\n--").unwrap_or((part, ""));
        let code: String = code.split_whitespace().collect();
        let decoded = STANDARD.decode(code).ok();
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        match decoded.filter(|decoded| decoded.contains(was)) {
            Some(decoded) if rest.is_empty() => STANDARD.encode(decoded.replace(was, is)),
            Some(decoded) => {
                format!("{}\r\n--{rest}", STANDARD.encode(decoded.replace(was, is)))
            }
            None => part.to_owned(),
        }
    });
    parts.collect::<Vec<_>>().join("\r\n\r\n")
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

async fn source_ids(source: &dyn Source) -> Vec<String> {
    use mailmove_core::source::{Change, ListRequest};
    let folders = source.folders().await.unwrap();
    let inbox = folders
        .iter()
        .find(|folder| folder.path.is_inbox())
        .unwrap();
    let pages: Vec<_> = source.list(ListRequest::new(inbox)).collect().await;
    let changes = pages.into_iter().flat_map(|page| page.unwrap().changes);
    let ids = changes.filter_map(|change| match change {
        Change::Item(listed) => Some(source.describe(&listed.id)),
        _ => None,
    });
    ids.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_to_a_stored_copy_is_told() {
    let world = World::new(filled(CHANGES.len() + 5)).await;
    let clean = world.verify().await;
    assert!(clean.is_clean(), "{:?}", told(&clean));
    let messages = CHANGES.len() as u64 + 5;
    let losses = ["alternative-made", "second-body"].map(|loss| (loss.to_owned(), messages));
    assert_eq!(clean.losses, BTreeMap::from(losses));
    let uids: Vec<u32> = (0..CHANGES.len()).map(|number| world.uid(number)).collect();
    for ((change, _), uid) in CHANGES.iter().zip(uids) {
        world.change(uid, change).await;
    }
    let told = told(&world.verify().await);
    let ids = source_ids(&MemoryMailbox::new(world.from.clone())).await;
    assert_eq!(ids.len(), CHANGES.len() + 5);
    let mut wrong = Vec::new();
    for ((number, (_, expected)), id) in CHANGES.iter().enumerate().zip(&ids) {
        let of_message = told.get(id).cloned().unwrap_or_default();
        if !of_message.contains(expected) {
            wrong.push(format!("{number}: {expected} in {of_message:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Of those that nothing was done to, nothing is told.
    for id in ids.iter().skip(CHANGES.len()) {
        assert_eq!(told.get(id), None);
    }
}
