//! What servers were seen to say, word by word, from a script.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::sync::Arc;

use mailmove_core::{
    Edges, ErrorKind, Scope,
    edge::{Credential, StaticCredential},
    model::{CompactText, Folder, FolderId, FolderPath, Form, MessageId},
    source::{Change, Coverage, FetchRequest, Fetched, ListRequest, Source as _},
};
use mailmove_imap::{ImapConfig, ImapSource, Security};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};

use crate::support::{Summary, collect, summary};

/// Answers to commands that begin with the key. `T` at the beginning of a line is the tag.
type Script = &'static [(&'static str, &'static str)];

/// A server that says what is written, and OK to everything else.
async fn scripted(capabilities: &'static str, script: Script) -> (ImapSource, Folder) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, capabilities, script));
        }
    });
    let config = ImapConfig::new("127.0.0.1")
        .with_user("ann")
        .with_port(port)
        .with_security(Security::Plain)
        .with_connections(1);
    let credentials = StaticCredential::new(Credential::password("ann", "secret"));
    let source = ImapSource::new(config, Arc::new(credentials), Edges::new());
    let mut folder = Folder::new(FolderId::new("INBOX"), FolderPath::inbox(), "");
    folder.identity = CompactText::new("7=INBOX");
    (source, folder)
}

async fn serve(stream: tokio::net::TcpStream, capabilities: &str, script: Script) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let greeting = format!("* OK [CAPABILITY IMAP4rev1 {capabilities}] hi\r\n");
    if write.write_all(greeting.as_bytes()).await.is_err() {
        return;
    }
    while let Ok(Some(line)) = lines.next_line().await {
        let Some((tag, command)) = line.split_once(' ') else {
            return;
        };
        let known = script.iter().find(|(key, _)| command.starts_with(key));
        let answer = match known {
            Some((_, answer)) => answer.replace("\nT ", &format!("\n{tag} ")),
            None if command.starts_with("LOGIN") => {
                format!("{tag} OK [CAPABILITY IMAP4rev1 {capabilities}] in\r\n")
            }
            None => format!("{tag} OK done\r\n"),
        };
        // The script's own line ends are LF.
        let answer = answer.replace("\r\n", "\n").replace('\n', "\r\n");
        let answer = answer.strip_prefix("\r\n").unwrap_or(&answer);
        if write.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn ids(uids: impl IntoIterator<Item = u32>) -> Vec<MessageId> {
    let id = |uid| MessageId::format(format_args!("0000000007-{uid:010}"));
    uids.into_iter().map(id).collect()
}

fn uids(summary: &Summary, source: &ImapSource) -> Vec<String> {
    let names = summary.items.keys().map(|id| source.describe(id));
    names.map(|name| name.replace("UID ", "")).collect()
}

const FOUR: (&str, &str) = (
    "EXAMINE",
    "\n* 4 EXISTS\n* OK [UIDVALIDITY 7] x\n* OK [UIDNEXT 9] x\nT OK [READ-ONLY] x\n",
);

#[tokio::test]
async fn answers_in_any_order_and_shape() {
    let (source, folder) = scripted(
        "",
        &[
            FOUR,
            (
                "UID FETCH",
                "\n* 3 FETCH (BODY[] {3}\nc\n UID 7 FLAGS () INTERNALDATE NIL RFC822.SIZE 3)\n\
                 * 1 FETCH (FLAGS (\\Seen))\n\
                 * 1 FETCH (UID 2 FLAGS (\\Seen \"odd one\") INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" \
                 RFC822.SIZE 99 BODY[] \"a\")\n\
                 * 7 FETCH (UID 900 FLAGS () RFC822.SIZE 1 BODY[] \"?\")\n\
                 * 4 FETCH (UID 8 FLAGS () INTERNALDATE \"yesterday\" X-NEW (1 (2)) RFC822.SIZE 5 BODY[] NIL)\n\
                 * 4 FETCH (UID 8 FLAGS (\\Deleted))\n\
                 * 2 FETCH (UID 5 FLAGS () RFC822.SIZE 5 BODY[] \"\")\n\
                 * 2 FETCH (UID 5 FLAGS () RFC822.SIZE 5 BODY[] \"again\")\n\
                 T OK done\n",
            ),
        ],
    )
    .await;
    let request = ListRequest::new(&folder).with_inline(Some(Form::Mime));
    let found = summary(source.list(request)).await;
    assert_eq!(uids(&found, &source), ["2", "5", "7", "8"]);
    assert_eq!(found.exists, Some(4));
    let items: Vec<_> = found.items.values().collect();
    // The literal's length is the truth; what is empty but should not be is left out.
    let contents = items.iter().map(|item| item.content.as_deref());
    let expected: [Option<&[u8]>; 4] = [Some(b"a"), None, Some(b"c\r\n"), None];
    assert_eq!(contents.collect::<Vec<_>>(), expected);
    assert_eq!(items[0].notes, ["odd one"]);
    assert_eq!(items[0].received.unwrap().seconds(), 837_596_665);
    assert_eq!((items[2].received, items[3].received), (None, None));
}

/// What nobody could read is listed all the same, and its copy keeps the flags of before.
#[tokio::test]
async fn flags_that_were_not_told_are_said_to_be_unknown() {
    let (source, folder) = scripted(
        "",
        &[
            FOUR,
            (
                "UID FETCH",
                "\n* 1 FETCH (UID 2 FLAGS (\\Seen) RFC822.SIZE 5)\n\
                 * 2 FETCH (UID 5 FLAGS () RFC822.SIZE 5)\n\
                 * 3 FETCH (UID 7 RFC822.SIZE 5)\n\
                 * 4 FETCH (UID 8 FLAGS (\\Seen RFC822.SIZE 5)\n\
                 T OK done\n",
            ),
        ],
    )
    .await;
    let pages = collect(source.list(ListRequest::new(&folder))).await;
    let changes = pages.into_iter().flat_map(|page| page.unwrap().changes);
    let mut told: Vec<_> = changes
        .map(|change| match change {
            Change::Item(item) => (source.describe(&item.id), item.flags_told),
            other => panic!("{other:?}"),
        })
        .collect();
    told.sort();
    let told: Vec<_> = told.iter().map(|(id, told)| (id.as_str(), *told)).collect();
    assert_eq!(
        told,
        [
            ("UID 2", true),
            ("UID 5", true),
            ("UID 7", false),
            ("UID 8", false)
        ]
    );
}

#[tokio::test]
async fn a_server_that_tells_no_uidnext_and_counts_no_changes() {
    let (source, folder) = scripted(
        "CONDSTORE ENABLE",
        &[
            (
                "EXAMINE",
                "\n* 2 EXISTS\n* OK [UIDVALIDITY 7] x\n* OK [NOMODSEQ] x\nT OK x\n",
            ),
            ("UID FETCH 4294967295:* (UID)", "\n* 2 FETCH (UID 8)\nT OK x\n"),
            (
                "UID FETCH 1:8",
                "\n* 1 FETCH (UID 3 FLAGS () RFC822.SIZE 1)\n* 2 FETCH (UID 8 FLAGS () RFC822.SIZE 1)\nT OK x\n",
            ),
        ],
    )
    .await;
    let first = summary(source.list(ListRequest::new(&folder))).await;
    assert_eq!(uids(&first, &source), ["3", "8"]);
    assert_eq!(first.exists, Some(2));
    let request = ListRequest::new(&folder).with_since(first.last);
    let second = summary(source.list(request)).await;
    assert_eq!(second.coverage, Some(Coverage::Full));
    assert_eq!(second.items.len(), 2);
}

#[tokio::test]
async fn parameters_that_are_offered_but_not_understood() {
    let (source, folder) = scripted(
        "CONDSTORE",
        &[
            ("EXAMINE \"INBOX\" (CONDSTORE)", "\nT BAD what?\n"),
            (
                "EXAMINE",
                "\n* 0 EXISTS\n* OK [UIDVALIDITY 7] x\n* OK [UIDNEXT 9] x\nT OK x\n",
            ),
        ],
    )
    .await;
    let found = summary(source.list(ListRequest::new(&folder))).await;
    assert_eq!((found.exists, found.pages.len()), (Some(0), 1));
}

#[tokio::test]
async fn ok_without_data_is_not_taken_for_gone() {
    let (source, folder) = scripted(
        "",
        &[
            FOUR,
            // Exchange: nothing of 2, an empty 5, and 7 does not exist any more.
            (
                "UID FETCH 2,5,7:8 (UID BODY.PEEK[])",
                "\n* 4 FETCH (UID 8 BODY[] {1}\nx)\n* 2 FETCH (UID 5 BODY[] \"\")\nT OK x\n",
            ),
            (
                "UID FETCH 2,5,7 (UID RFC822.SIZE)",
                "\n* 1 FETCH (UID 2 RFC822.SIZE 10)\n* 2 FETCH (UID 5 RFC822.SIZE 0)\nT OK x\n",
            ),
        ],
    )
    .await;
    let request = FetchRequest::new(folder.id.clone(), "7=INBOX", ids([2, 5, 7, 8]));
    let mut found = collect(source.fetch(request)).await;
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let told: Vec<String> = found
        .iter()
        .map(|(_, fetched)| match fetched {
            Fetched::Content(content) => format!("{} bytes", content.size()),
            Fetched::Vanished => "vanished".to_owned(),
            Fetched::Failed(error) => format!("{} {:?}", error.code(), error.scope()),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        ["imap/empty-fetch Message", "0 bytes", "vanished", "1 bytes"]
    );
}

#[tokio::test]
async fn throttling_is_the_accounts_matter() {
    let (source, folder) = scripted(
        "",
        &[
            FOUR,
            (
                "UID FETCH",
                "\nT NO Request is throttled. Suggested Backoff Time: 2000 milliseconds\n",
            ),
        ],
    )
    .await;
    let request = FetchRequest::new(folder.id.clone(), "7=INBOX", ids([2, 5]));
    for (_, fetched) in collect(source.fetch(request)).await {
        let Fetched::Failed(error) = fetched else {
            unreachable!("{fetched:?}")
        };
        assert_eq!(error.kind(), ErrorKind::Throttled);
        assert_eq!(error.scope(), Scope::Account);
    }
}

#[tokio::test]
async fn news_of_the_folder_that_was_open_before_is_not_taken_for_this_ones() {
    let (source, folder) = scripted(
        "CONDSTORE QRESYNC ENABLE",
        &[
            ("ENABLE", "\n* ENABLED QRESYNC CONDSTORE\nT OK x\n"),
            (
                "EXAMINE \"INBOX\" (QRESYNC",
                "\n* VANISHED (EARLIER) 1\n* 1 FETCH (UID 2 FLAGS (\\Flagged))\n\
                 * OK [CLOSED] x\n* 3 EXISTS\n* OK [UIDVALIDITY 7] x\n* OK [UIDNEXT 9] x\n\
                 * OK [HIGHESTMODSEQ 20] x\n* VANISHED (EARLIER) 5,30\n\
                 * 3 FETCH (UID 8 FLAGS (\\Answered) MODSEQ (20))\nT OK x\n",
            ),
            (
                "EXAMINE",
                "\n* 4 EXISTS\n* OK [UIDVALIDITY 7] x\n* OK [UIDNEXT 9] x\n* OK [HIGHESTMODSEQ 10] x\nT OK x\n",
            ),
            (
                "UID FETCH",
                "\n* 1 FETCH (UID 2 FLAGS () RFC822.SIZE 1)\n* 2 FETCH (UID 5 FLAGS () RFC822.SIZE 1)\n\
                 * 3 FETCH (UID 7 FLAGS () RFC822.SIZE 1)\n* 4 FETCH (UID 8 FLAGS () RFC822.SIZE 1)\nT OK x\n",
            ),
        ],
    )
    .await;
    let first = summary(source.list(ListRequest::new(&folder))).await;
    assert_eq!(first.exists, Some(4));
    let request = ListRequest::new(&folder).with_since(first.last);
    let delta = summary(source.list(request)).await;
    assert_eq!(delta.coverage, Some(Coverage::Delta));
    assert_eq!(delta.removed, ids([5]));
    assert_eq!(delta.flags.keys().cloned().collect::<Vec<_>>(), ids([8]));
    assert_eq!(delta.exists, Some(3));
}

#[tokio::test]
async fn a_server_that_forgot_what_was_removed_when() {
    let (source, folder) = scripted(
        "CONDSTORE QRESYNC ENABLE",
        &[
            ("ENABLE", "\n* ENABLED QRESYNC\nT OK x\n"),
            (
                "EXAMINE \"INBOX\" (QRESYNC",
                "\n* 1 EXISTS\n* OK [UIDVALIDITY 7] x\n* OK [UIDNEXT 4000000000] x\n\
                 * OK [HIGHESTMODSEQ 20] x\n* VANISHED (EARLIER) 1:3999999998\nT OK x\n",
            ),
            (
                "EXAMINE",
                "\n* 1 EXISTS\n* OK [UIDVALIDITY 7] x\n* OK [UIDNEXT 4000000000] x\n* OK [HIGHESTMODSEQ 10] x\nT OK x\n",
            ),
            (
                "UID FETCH",
                "\n* 1 FETCH (UID 3999999999 FLAGS () RFC822.SIZE 1)\nT OK x\n",
            ),
        ],
    )
    .await;
    let first = summary(source.list(ListRequest::new(&folder))).await;
    let request = ListRequest::new(&folder).with_since(first.last);
    let again = summary(source.list(request)).await;
    assert_eq!(again.coverage, Some(Coverage::Full));
    assert_eq!((again.items.len(), again.exists), (1, Some(1)));
}
