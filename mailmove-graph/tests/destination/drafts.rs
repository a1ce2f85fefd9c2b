//! Drafts that go as MIME.

use std::{sync::Arc, time::Duration};

use mailmove_core::{
    Destination as _, Edges,
    destination::{Depth, Outcome, Outgoing},
    identity::{Aspect, Loss, MeaningReader},
    model::{Content, ContentDigest, Flags, Folder, FolderPath, FolderSpec, Timestamp},
};
use mailmove_graph::{Drafts, GraphDestination, Writing};
use mailmove_graph_testserver::{Action, Builder, Mangle, Server};
use mailmove_testkit::{
    clock::TestClock,
    mailbox::{Message, NewMessage},
};
use tokio::time::timeout;

use crate::support::{USER, account, append, existing, made, start, stored, with, words};

const ASIDE: &str = "mailmove drafts in the making";
const MARK: &str = "String {6f1d7a52-3c0e-4b6b-9d5a-8e0c2f4b7a91} Name mailmove";
const SIGNED: &str = "From: a@example.com\r\nSubject: signed\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/signed; boundary=b; micalg=pgp-sha256; protocol=\"application/pgp-signature\"\r\n\r\n\
    --b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\ntext\r\n--c\r\nContent-Type: text/html\r\n\r\n\
    <p>text</p>\r\n--c--\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nsignature\r\n--b--\r\n";

fn writing() -> Writing {
    Writing::new().with_drafts(Drafts::AsMime)
}

fn destination(server: &Server) -> GraphDestination {
    with(server, writing(), Edges::new())
}

fn at(server: &Server, clock: &TestClock) -> GraphDestination {
    let edges = Edges::new().with_clock(Arc::new(clock.clone()));
    with(server, writing(), edges)
}

fn draft(message: &str) -> Outgoing {
    Outgoing::new(Content::from_bytes(message.to_owned())).with_flags(Flags::parse("\\Draft"))
}

fn signed() -> Vec<Outgoing> {
    vec![draft(SIGNED)]
}

/// Flags of what lies where drafts are made; `None` if there is no such place.
fn aside(server: &Server) -> Option<Vec<String>> {
    let account = account(server);
    let folder = account.folder(&[ASIDE]).ok()?.id;
    let all = account.messages(folder).unwrap();
    let flags = |one: &Message| one.flags.iter().map(str::to_owned).collect::<Vec<_>>();
    Some(all.iter().map(|one| flags(one).join(" ")).collect())
}

/// Makes a place for drafts as an earlier run would have done it, and puts something there.
async fn put_aside(server: &Server, destination: &GraphDestination, folder: &Folder, put: &[&str]) {
    // Nobody removes it: what it is for never came.
    server.faults().arm("MoveMessage", 1, Action::Close);
    let outcomes = append(
        destination,
        folder,
        vec![draft("Subject: left\r\n\r\nx\r\n")],
    )
    .await;
    assert!(words(&outcomes)[0].starts_with("unknown"), "{outcomes:?}");
    let account = account(server);
    let folder = account.folder(&[ASIDE]).unwrap().id;
    for flags in put {
        let new = NewMessage::new(b"Subject: foreign\r\n\r\nx\r\n".to_vec());
        let flags = flags.split(' ').filter(|flag| !flag.is_empty());
        account.append(folder, vec![new.with_flags(flags)]).unwrap();
    }
}

#[tokio::test]
async fn a_signed_draft_arrives_whole_and_nothing_else_is_left() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let received = Timestamp::new(1_057_049_557, 0);
    let flags = Flags::parse("\\Seen \\Draft \\Flagged \\Answered Work");
    let outgoing = draft(SIGNED)
        .with_flags(flags.clone())
        .with_received(Some(received));
    let outcomes = append(&destination, &folder, vec![outgoing]).await;
    let [Outcome::Stored(receipt)] = outcomes.as_slice() else {
        panic!("{outcomes:?}");
    };
    assert!(receipt.altered.is_empty(), "{receipt:?}");
    assert_eq!(receipt.flags, Some(flags.clone()));
    let found = existing(&destination, &folder, Depth::Content).await;
    assert_eq!(found.len(), 1);
    assert_eq!(Some(&found[0].id), receipt.id.as_ref());
    assert_eq!(found[0].flags, flags);
    assert_eq!(found[0].received.unwrap().seconds(), received.seconds());
    let given = ContentDigest::of(SIGNED.as_bytes());
    assert_eq!(found[0].given, Some(given));
    // This server keeps bytes.
    assert_eq!(stored(&server)[0].body, SIGNED.as_bytes());
    assert_eq!(aside(&server), None);
    let counters = server.counters();
    assert_eq!(counters.operation("CreateMessage"), 1);
    assert_eq!(counters.operation("MoveMessage"), 1);
}

/// An unread one is unread, though the server makes it read.
#[tokio::test]
async fn drafts_go_beside_other_mail() {
    let server = start(Builder::drafts_keep_dates).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let received = Some(Timestamp::new(1_057_049_557, 0));
    let other = Outgoing::new(Content::from_bytes("Subject: other\r\n\r\nx\r\n"));
    let all = vec![
        other.clone(),
        draft(SIGNED).with_received(received),
        other,
        draft("Subject: plain\r\n\r\nx\r\n"),
    ];
    let outcomes = append(&destination, &folder, all).await;
    assert_eq!(words(&outcomes), ["stored"; 4]);
    let Outcome::Stored(receipt) = &outcomes[1] else {
        panic!("{outcomes:?}");
    };
    assert_eq!(receipt.flags, Some(Flags::parse("\\Draft")));
    let notes: Vec<String> = receipt
        .altered
        .iter()
        .map(|one| format!("{:?}", one.kind))
        .collect();
    assert_eq!(notes, ["DateReplaced"]);
    let drafts = stored(&server);
    let drafts = drafts.iter().filter(|one| one.flags.contains("\\Draft"));
    assert_eq!(drafts.count(), 2);
    assert_eq!(server.counters().operation("MoveMessage"), 2);
}

#[tokio::test]
async fn what_is_too_large_goes_as_fields() {
    let long = format!("Subject: long\r\n\r\n{}", "x".repeat(70).repeat(32_000));
    let short = "Subject: short\r\n\r\nx\r\n";
    // One of them is not even tried; of the other one the server makes nothing, and says that it went well, twice.
    for (message, max, creations) in [(long.as_str(), 4 << 20, 1), (short, 10, 3)] {
        let server = start(|builder| builder.max_mime(max)).await;
        let destination = destination(&server);
        let folder = made(&destination).await;
        let outcomes = append(&destination, &folder, vec![draft(message)]).await;
        let [Outcome::Stored(receipt)] = outcomes.as_slice() else {
            panic!("{outcomes:?}");
        };
        let mut notes = receipt.altered.iter();
        assert!(notes.any(|note| note.detail == "as fields (graph/too-large)"));
        assert_eq!(stored(&server).len(), 1);
        assert!(stored(&server)[0].flags.contains("\\Draft"));
        let counters = server.counters();
        assert_eq!(counters.operation("CreateMessage"), creations);
        assert_eq!(counters.operation("MoveMessage"), 0);
        assert_eq!(aside(&server), None);
    }
    // A signature does not go so.
    let server = start(|builder| builder.max_mime(10)).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let outcomes = append(&destination, &folder, signed()).await;
    assert_eq!(words(&outcomes), ["not stored: graph/signed"]);
    assert!(stored(&server).is_empty());
}

#[tokio::test]
async fn what_is_refused_as_mime_goes_as_fields() {
    for (operation, nth, times) in [
        ("CreateMessage", 1, 1),
        ("UpdateMessage", 1, 2),
        ("MoveMessage", 1, 1),
    ] {
        let server = start(|builder| builder).await;
        let destination = destination(&server);
        let folder = made(&destination).await;
        let code = "ErrorInvalidPropertySet".to_owned();
        for more in 0..times {
            let refusal = Action::Error(400, code.clone());
            server.faults().arm(operation, nth + more, refusal);
        }
        let message = draft("Subject: x\r\n\r\nx\r\n").with_received(Some(Timestamp::new(9, 0)));
        let outcomes = append(&destination, &folder, vec![message]).await;
        let [Outcome::Stored(receipt)] = outcomes.as_slice() else {
            panic!("{operation}: {outcomes:?}");
        };
        let mut notes = receipt.altered.iter();
        assert!(
            notes.any(|note| note.detail == "as fields (graph/refused)"),
            "{operation}"
        );
        assert_eq!(stored(&server).len(), 1, "{operation}");
        assert_eq!(aside(&server), None, "{operation}");
    }
}

/// Where the date is refused, all else is noted all the same.
#[tokio::test]
async fn a_date_that_is_refused_costs_the_date() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let refusal = Action::Error(400, "ErrorInvalidPropertySet".to_owned());
    server.faults().arm("UpdateMessage", 1, refusal);
    let message = draft(SIGNED).with_received(Some(Timestamp::new(9, 0)));
    let outcomes = append(&destination, &folder, vec![message]).await;
    let [Outcome::Stored(receipt)] = outcomes.as_slice() else {
        panic!("{outcomes:?}");
    };
    assert_eq!(receipt.altered.len(), 1);
    assert!(receipt.altered[0].detail.starts_with("1970-01-01"));
    assert_eq!(stored(&server)[0].body, SIGNED.as_bytes());
}

/// Until it is moved it is not stored, whatever was answered. Whoever sends it again stores one, and goes on with what
/// there is if it knows it.
#[tokio::test]
async fn what_is_not_moved_is_not_stored() {
    let lost = [
        Action::CloseUnanswered,
        Action::StatusAfter(504),
        Action::CloseInReply(60),
        Action::Mangle(Mangle::Truncated),
        Action::Close,
        Action::Status(503),
    ];
    for operation in ["CreateMessage", "UpdateMessage", "GetMessage"] {
        for action in lost.clone() {
            let server = start(|builder| builder).await;
            let destination = destination(&server);
            let folder = made(&destination).await;
            server.faults().arm(operation, 1, action.clone());
            let outcomes = append(&destination, &folder, signed()).await;
            let word = words(&outcomes).pop().unwrap();
            assert!(
                word.starts_with("not stored"),
                "{operation} {action:?}: {word}"
            );
            assert!(stored(&server).is_empty());
            let outcomes = append(&destination, &folder, signed()).await;
            assert_eq!(words(&outcomes), ["stored"], "{operation} {action:?}");
            assert_eq!(stored(&server).len(), 1);
            let found = existing(&destination, &folder, Depth::Meta).await;
            assert_eq!(found.len(), 1);
            let creations = server.counters().operation("CreateMessage");
            let expected = 1 + u64::from(operation == "CreateMessage");
            assert_eq!(creations, expected, "{operation} {action:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_to_the_move_that_is_lost_leaves_it_open() {
    for (action, landed) in [
        (Action::CloseUnanswered, 1),
        (Action::StatusAfter(504), 1),
        (Action::CloseInReply(60), 1),
        (Action::Mangle(Mangle::Truncated), 1),
        (Action::Mangle(Mangle::NoId), 1),
        (Action::Close, 0),
        (Action::Nothing, 0),
    ] {
        let server = start(Builder::rebuilds_mime).await;
        let destination = destination(&server);
        let folder = made(&destination).await;
        server.faults().arm("MoveMessage", 1, action.clone());
        let outcomes = append(&destination, &folder, signed()).await;
        let word = words(&outcomes).pop().unwrap();
        assert!(word.starts_with("unknown"), "{action:?}: {word}");
        let found = existing(&destination, &folder, Depth::Meta).await;
        assert_eq!(found.len(), landed, "{action:?}");
        let given = ContentDigest::of(SIGNED.as_bytes());
        assert!(found.iter().all(|one| one.given == Some(given)));
        // What is not there is gone on with; of what is there a twin is another one.
        let outcomes = append(&destination, &folder, signed()).await;
        assert_eq!(words(&outcomes), ["stored"]);
        assert_eq!(stored(&server).len(), landed + 1, "{action:?}");
        let creations = server.counters().operation("CreateMessage");
        assert_eq!(creations, 1 + landed as u64, "{action:?}");
        assert_eq!(aside(&server), None, "{action:?}");
    }
}

/// It lands while the same process goes on with it: there is one message.
#[tokio::test]
async fn a_move_that_lands_late_moves_one_message() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    server.faults().arm("MoveMessage", 1, Action::LandOnRelease);
    let outcomes = append(&destination, &folder, signed()).await;
    assert!(words(&outcomes)[0].starts_with("unknown"), "{outcomes:?}");
    server.faults().arm("UpdateMessage", 1, Action::Hold);
    let again = tokio::spawn({
        let (destination, folder) = (destination.clone(), folder.clone());
        async move { append(&destination, &folder, signed()).await }
    });
    let asked = async {
        while server.counters().operation("UpdateMessage") < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), asked).await.unwrap();
    server.faults().release();
    let outcomes = again.await.unwrap();
    assert_eq!(words(&outcomes), ["stored"]);
    assert_eq!(stored(&server).len(), 1);
    assert_eq!(existing(&destination, &folder, Depth::Meta).await.len(), 1);
}

/// Being asked to slow down is no reason to make another one.
#[tokio::test]
async fn a_draft_that_has_to_wait_is_gone_on_with() {
    let wait = Duration::from_secs(2);
    for operation in [
        "CreateMessage",
        "UpdateMessage",
        "GetMessage",
        "MoveMessage",
    ] {
        let clock = TestClock::new(Duration::from_secs(1_700_000_000));
        let server = start(|builder| builder.clock(Arc::new(clock.clone()))).await;
        let destination = at(&server, &clock);
        let folder = made(&destination).await;
        let busy = Action::Throttle(Some(wait));
        server.faults().arm(operation, 1, busy);
        let all = vec![draft(SIGNED), draft("Subject: y\r\n\r\ny\r\n")];
        let outcomes = append(&destination, &folder, all.clone()).await;
        // What one was told holds for the others.
        assert_eq!(words(&outcomes), ["not stored: graph/throttled"; 2]);
        clock.advance(wait);
        let outcomes = append(&destination, &folder, all).await;
        assert_eq!(words(&outcomes), ["stored"; 2], "{operation}");
        assert_eq!(stored(&server).len(), 2);
        assert_eq!(server.counters().created, 2, "{operation}");
        assert_eq!(aside(&server), None);
    }
}

/// What got old is made anew: somebody else may be about to remove it.
#[tokio::test]
async fn what_waited_too_long_is_not_moved() {
    let clock = TestClock::new(Duration::from_secs(1_700_000_000));
    let server = start(|builder| builder.clock(Arc::new(clock.clone()))).await;
    let destination = at(&server, &clock);
    let folder = made(&destination).await;
    server.faults().arm("MoveMessage", 1, Action::Close);
    append(&destination, &folder, signed()).await;
    clock.advance(Duration::from_secs(301));
    let outcomes = append(&destination, &folder, signed()).await;
    assert_eq!(words(&outcomes), ["stored"]);
    assert_eq!(server.counters().created, 2);
    assert_eq!(stored(&server).len(), 1);
    // Between two requests, too.
    let script = mailmove_graph_testserver::Script::new({
        let clock = clock.clone();
        move |_| clock.advance(Duration::from_secs(301))
    });
    server
        .faults()
        .arm("UpdateMessage", 1, Action::Meanwhile(script));
    let other = || vec![draft("Subject: other\r\n\r\nx\r\n")];
    let outcomes = append(&destination, &folder, other()).await;
    assert_eq!(words(&outcomes), ["not stored: graph/conflict"]);
    let outcomes = append(&destination, &folder, other()).await;
    assert_eq!(words(&outcomes), ["stored"]);
    assert_eq!(stored(&server).len(), 2);
}

/// Nobody goes on with what another process left, and each run removes what is old and a draft. The rest is not ours.
#[tokio::test]
async fn what_earlier_runs_left_is_removed_when_it_is_old() {
    let clock = TestClock::new(Duration::from_secs(1_700_000_000));
    let server = start(|builder| builder.clock(Arc::new(clock.clone()))).await;
    let first = at(&server, &clock);
    let folder = made(&first).await;
    put_aside(&server, &first, &folder, &["", "\\Seen"]).await;
    // A create that nobody heard of.
    server
        .faults()
        .arm("CreateMessage", 1, Action::CloseUnanswered);
    append(&first, &folder, signed()).await;
    assert_eq!(aside(&server).unwrap().len(), 4);

    let letter = || {
        vec![Outgoing::new(Content::from_bytes(
            "Subject: z\r\n\r\nz\r\n",
        ))]
    };
    clock.advance(Duration::from_secs(60));
    let second = at(&server, &clock);
    let same = vec![draft("Subject: left\r\n\r\nx\r\n")];
    assert_eq!(words(&append(&second, &folder, same).await), ["stored"]);
    assert_eq!(aside(&server).unwrap().len(), 4);
    clock.advance(Duration::from_secs(900));
    // Also one that has no draft to store.
    let third = at(&server, &clock);
    append(&third, &folder, letter()).await;
    let left = aside(&server).unwrap();
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|flags| !flags.contains("\\Draft")));
    // Whoever writes no drafts as MIME has nothing to do with it.
    let asked = server.counters().operation("ListFolders");
    let fourth = with(&server, Writing::new(), Edges::new());
    append(&fourth, &folder, letter()).await;
    assert_eq!(server.counters().operation("ListFolders"), asked);
}

/// Two texts that say different things arrive as MIME. Where one is gone all the same, that is no loss of this way.
#[tokio::test]
async fn nothing_is_excused_that_fields_would_lose() {
    let html =
        "From: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<p>two</p>\r\n";
    let message = "From: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
        --c\r\n\r\none\r\n--c\r\nContent-Type: text/html\r\n\r\n<p>two</p>\r\n--c--\r\n";
    let mut own = MeaningReader::new();
    own.update(message.as_bytes());
    let own = own.finish();
    for (writing, loss) in [(writing(), None), (Writing::new(), Some(Loss::SecondBody))] {
        let server = start(Builder::rebuilds_mime).await;
        let destination = with(&server, writing, Edges::new());
        let folder = made(&destination).await;
        let outcomes = append(&destination, &folder, vec![draft(message)]).await;
        assert_eq!(words(&outcomes), ["stored"]);
        let found = existing(&destination, &folder, Depth::Content).await;
        let differs = own.deviations(found[0].meaning.as_ref().unwrap());
        assert_eq!(differs.is_empty(), loss.is_none(), "{differs:?}");
        let account = account(&server);
        let inbox = account.folder(&["INBOX"]).unwrap().id;
        account.damage(inbox, 1, html, None).unwrap();
        let found = existing(&destination, &folder, Depth::Content).await;
        let differs = own.deviations(found[0].meaning.as_ref().unwrap());
        let text = differs.iter().find(|one| one.aspect == Aspect::Text);
        assert_eq!(text.unwrap().loss, loss, "{differs:?}");
    }
}

/// What was made for drafts is no folder of anybody's.
#[tokio::test]
async fn the_place_for_drafts_is_not_listed_and_goes_when_it_is_empty() {
    let clock = TestClock::new(Duration::from_secs(1_700_000_000));
    let server = start(|builder| builder.clock(Arc::new(clock.clone()))).await;
    let destination = at(&server, &clock);
    let folder = made(&destination).await;
    put_aside(&server, &destination, &folder, &[]).await;
    let folders = destination.folders().await.unwrap();
    assert!(folders.iter().all(|one| one.path.names() != [ASIDE]));
    clock.advance(Duration::from_secs(901));
    assert_eq!(
        words(&append(&destination, &folder, signed()).await),
        ["stored"]
    );
    assert_eq!(aside(&server), None);
    assert_eq!(server.counters().operation("PurgeFolder"), 1);
    assert_eq!(server.counters().operation("DeleteFolder"), 0);
}

/// Two processes make drafts at the same time; the place goes under the hands of one.
#[tokio::test]
async fn a_place_that_another_process_removed_is_made_anew() {
    let server = start(|builder| builder).await;
    let (one, other) = (destination(&server), destination(&server));
    let folder = made(&one).await;
    for operation in ["CreateMessage", "UpdateMessage", "MoveMessage"] {
        let script = mailmove_graph_testserver::Script::new(|account| {
            let place = account.folder(&[ASIDE]).unwrap().id;
            for message in account.messages(place).unwrap() {
                account.remove(place, &[message.uid]).unwrap();
            }
            account.delete(&[ASIDE.to_owned()]).unwrap();
        });
        server.reset_counters();
        let before = stored(&server).len();
        server.faults().clear();
        server.faults().arm(operation, 1, Action::Meanwhile(script));
        let outcomes = append(&one, &folder, signed()).await;
        assert_eq!(
            words(&outcomes),
            ["not stored: graph/conflict"],
            "{operation}"
        );
        assert_eq!(words(&append(&other, &folder, signed()).await), ["stored"]);
        assert_eq!(words(&append(&one, &folder, signed()).await), ["stored"]);
        assert_eq!(stored(&server).len(), before + 2);
    }
}

/// One whose answer was lost is found again, and one that is there is used.
#[tokio::test]
async fn there_is_one_place_for_drafts() {
    for action in [
        Action::CloseUnanswered,
        Action::StatusAfter(504),
        Action::Mangle(Mangle::NoId),
        Action::Mangle(Mangle::Truncated),
        Action::Close,
    ] {
        let server = start(|builder| builder.max_page(1)).await;
        let destination = destination(&server);
        let folder = made(&destination).await;
        let spec = FolderSpec::new(FolderPath::new(["Archive"]));
        let mut all = destination.ensure_folders(vec![spec]);
        while futures_util::StreamExt::next(&mut all).await.is_some() {}
        server.faults().arm("CreateFolder", 1, action.clone());
        let word = words(&append(&destination, &folder, signed()).await);
        match action {
            Action::Close => assert!(word[0].starts_with("not stored"), "{word:?}"),
            _ => assert_eq!(word, ["stored"], "{action:?}"),
        }
        append(&destination, &folder, signed()).await;
        assert_eq!(aside(&server), None);
    }
}

/// A visible folder of that name is the user's; where nothing can be hidden, or MIME lies elsewhere, fields have to do.
#[tokio::test]
async fn where_there_is_no_place_drafts_go_as_fields() {
    let plain = || vec![draft("Subject: x\r\n\r\nx\r\n")];
    let server = start(|builder| builder).await;
    let account = account(&server);
    account.create(&[ASIDE]).unwrap();
    let first = destination(&server);
    let folder = made(&first).await;
    assert_eq!(words(&append(&first, &folder, plain()).await), ["stored"]);
    assert_eq!(server.counters().operation("MoveMessage"), 0);
    assert_eq!(aside(&server), Some(Vec::new()));

    let server = start(Builder::hides_nothing).await;
    let second = destination(&server);
    let folder = made(&second).await;
    let outcomes = append(&second, &folder, plain()).await;
    let [Outcome::Stored(receipt)] = outcomes.as_slice() else {
        panic!("{outcomes:?}");
    };
    assert_eq!(receipt.altered[0].detail, "as fields (graph/no-mime)");
    assert_eq!(aside(&server), None);

    let server = start(Builder::mime_goes_to_drafts).await;
    let drafts = crate::support::account(&server);
    drafts.create_special(&["Drafts"], &["\\Drafts"]).unwrap();
    let third = destination(&server);
    let folder = made(&third).await;
    // The first one is known by its id.
    for moved in [1, 1] {
        assert_eq!(words(&append(&third, &folder, plain()).await), ["stored"]);
        assert_eq!(server.counters().operation("MoveMessage"), moved);
    }
    let mark = server.item_property(USER, &["INBOX"], 1, MARK).unwrap();
    assert!(mark.ends_with(" mime"), "{mark}");
}
