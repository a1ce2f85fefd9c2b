//! What is stored, what is not, and what nobody knows.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use mailmove_core::{
    Destination as _, Edges, ErrorKind, Scope,
    destination::{Depth, Outcome, Outgoing},
    model::{Content, ContentDigest, Flags, FolderPath, FolderSpec, Timestamp},
};
use mailmove_graph::{Protected, Writing};
use mailmove_graph_testserver::{Action, Builder, Mangle};

use crate::support::{
    USER, append, destination, existing, letter, letters, made, of, parcel, start, stored, with,
    words,
};

#[tokio::test]
async fn a_message_arrives_with_flags_dates_and_header_and_is_no_draft() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let received = Timestamp::new(1_057_049_557, 0);
    let flags = Flags::parse("\\Seen \\Flagged \\Answered $Forwarded Work");
    let message = "Received: from x\r\nDate: Tue, 1 Jul 2003 08:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\
        From: Ann <a@example.com>\r\nReply-To: nobody at all\r\nTo: b@example.com\r\nSubject: =?utf-8?q?gr=C3=BC?=\r\n\
        In-Reply-To: <0@example.com>\r\nReferences: <8@example.com> <0@example.com>\r\n\r\nText\r\n";
    let outgoing = Outgoing::new(Content::from_bytes(message))
        .with_flags(flags.clone())
        .with_received(Some(received));
    let outcomes = append(&destination, &folder, vec![outgoing]).await;
    let [Outcome::Stored(receipt)] = outcomes.as_slice() else {
        panic!("{outcomes:?}");
    };
    assert_eq!(receipt.flags, Some(flags.clone()));
    let altered: Vec<&str> = receipt
        .altered
        .iter()
        .map(|one| one.detail.as_str())
        .collect();
    let told = "odd-address: people without a valid address are in the original header alone";
    assert_eq!(altered, [told]);
    let found = existing(&destination, &folder, Depth::Meta).await;
    assert_eq!(found[0].flags, flags);
    assert_eq!(found[0].received.unwrap().seconds(), received.seconds());
    assert_eq!(found[0].given, Some(ContentDigest::of(message.as_bytes())));
    let property = |id| server.item_property(USER, &["INBOX"], 1, id).unwrap();
    assert!(property("String 0x007D").starts_with("Received: from x\r\n"));
    assert_eq!(property("String 0x1039"), "<8@example.com> <0@example.com>");
    assert_eq!(property("SystemTime 0x0039"), "2003-07-01T08:00:00Z");
    assert_eq!(server.counters().operation("CreateMessage"), 1);
}

#[tokio::test]
async fn twenty_messages_take_two_round_trips() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let before = server.counters().requests;
    let outcomes = append(&destination, &folder, letters(20)).await;
    assert_eq!(words(&outcomes), ["stored"; 20]);
    // All are made in one, and read back in another.
    assert_eq!(server.counters().requests - before, 2);
    let found = existing(&destination, &folder, Depth::Header).await;
    assert_eq!(found.len(), 20);
    assert_eq!(server.counters().operation("GetMime"), 0);
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_it_open_and_the_mark_tells() {
    for (action, landed) in [
        (Action::CloseUnanswered, 1),
        (Action::StatusAfter(504), 1),
        (Action::CloseInReply(60), 1),
        (Action::Mangle(Mangle::Truncated), 1),
        (Action::Mangle(Mangle::NoId), 1),
        (Action::Close, 0),
        // What was never made, and answered well.
        (Action::Nothing, 0),
    ] {
        let server = start(Builder::rebuilds_mime).await;
        let destination = destination(&server);
        let folder = made(&destination).await;
        server.faults().arm("CreateMessage", 1, action.clone());
        let outcomes = append(&destination, &folder, letters(1)).await;
        let word = words(&outcomes).pop().unwrap();
        assert!(word.starts_with("unknown"), "{action:?}: {word}");
        let found = existing(&destination, &folder, Depth::Content).await;
        assert_eq!(found.len(), landed, "{action:?}");
        for found in found {
            let given = ContentDigest::of(letter(0).as_bytes());
            assert_eq!(found.given, Some(given));
            assert_ne!(found.digest, Some(given), "the server makes other bytes");
        }
        assert_eq!(server.counters().operation("CreateMessage"), 1);
    }
}

#[tokio::test]
async fn each_message_of_a_batch_has_its_own_outcome() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    for (code, word) in [
        ("ErrorInvalidRecipients", "not stored: graph/corrupt"),
        ("ErrorMessageSizeExceeded", "not stored: graph/too-large"),
    ] {
        let before = stored(&server).len();
        server
            .faults()
            .arm("Batch", 1, Action::ErrorAt(1, code.to_owned()));
        let outcomes = append(&destination, &folder, letters(3)).await;
        assert_eq!(words(&outcomes), ["stored", word, "stored"]);
        assert_eq!(stored(&server).len() - before, 2);
    }
    // 429 within 200 is about all of them: those behind are not even tried.
    server.reset_counters();
    let busy = Action::ErrorAt(1, "TooManyRequests".to_owned());
    server.faults().arm("Batch", 1, busy);
    let outcomes = append(&destination, &folder, letters(3)).await;
    let throttled = "not stored: graph/throttled";
    assert_eq!(words(&outcomes), ["stored", throttled, throttled]);
    assert_eq!(server.counters().operation("CreateMessage"), 1);
}

#[tokio::test]
async fn what_would_stay_a_draft_stops_all_and_nothing_is_left() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    server
        .faults()
        .arm_every("CreateMessage", 1, Action::StaysDraft);
    let outcomes = append(&destination, &folder, letters(1)).await;
    assert_eq!(words(&outcomes), ["not stored: graph/made-a-draft"]);
    assert!(matches!(&outcomes[0], Outcome::NotStored(error) if error.scope() == Scope::Account));
    assert!(stored(&server).is_empty());
    // A draft is one.
    let draft = letters(1)
        .pop()
        .unwrap()
        .with_flags(Flags::parse("\\Draft"));
    assert_eq!(
        words(&append(&destination, &folder, vec![draft]).await),
        ["stored"]
    );
}

/// Of two answers for one message nobody knows which is true.
#[tokio::test]
async fn what_is_answered_twice_is_unknown() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    server
        .faults()
        .arm("Batch", 1, Action::Mangle(Mangle::Twice));
    let outcomes = append(&destination, &folder, letters(3)).await;
    // The last one's comes first, and twice.
    let unknown = "unknown: graph/answered-twice";
    assert_eq!(words(&outcomes), ["stored", "stored", unknown]);
}

/// The server confirmed it, and shows nothing of it.
#[tokio::test]
async fn what_is_not_there_when_it_is_read_back_is_unknown() {
    for message in [letter(0), parcel(&[100])] {
        let server = start(|builder| builder).await;
        let destination = destination(&server);
        let folder = made(&destination).await;
        let gone = Action::Error(404, "ErrorItemNotFound".to_owned());
        server.faults().arm("GetMessage", 1, gone);
        let outcomes = append(&destination, &folder, of(&message)).await;
        assert_eq!(words(&outcomes), ["unknown: graph/unexpected"]);
        assert!(matches!(&outcomes[0], Outcome::Unknown(error) if error.scope() == Scope::Message));
    }
}

/// Where other requests are under way, they are read back one after the other; one that is not there stops those
/// behind it, which are asked for again.
#[tokio::test]
async fn what_is_read_back_beside_others_takes_one_place() {
    let server = start(|builder| builder).await;
    let destination = Arc::new(destination(&server));
    let folder = made(&destination).await;
    let stored = append(&destination, &folder, letters(1)).await;
    assert_eq!(words(&stored), ["stored"]);
    server.faults().arm("GetMime", 1, Action::Hold);
    let slow = tokio::spawn({
        let (destination, folder) = (Arc::clone(&destination), folder.clone());
        async move { existing(&destination, &folder, Depth::Content).await }
    });
    while server.counters().operation("GetMime") == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    server.reset_counters();
    let gone = Action::Error(404, "ErrorItemNotFound".to_owned());
    server.faults().arm("GetMessage", 3, gone);
    let outcomes = append(&destination, &folder, letters(6).split_off(1)).await;
    let expected = [
        "stored",
        "stored",
        "unknown: graph/unexpected",
        "stored",
        "stored",
    ];
    assert_eq!(words(&outcomes), expected);
    let counters = server.counters();
    assert_eq!(
        (
            counters.operation("GetMessage"),
            counters.operation("Batch")
        ),
        (5, 3)
    );
    server.faults().release();
    slow.await.unwrap();
}

/// What went wrong with reading one of them says nothing about the others.
#[tokio::test]
async fn who_cannot_be_read_back_at_once_is_asked_for_alone() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    server
        .faults()
        .arm_every("CreateMessage", 1, Action::StaysDraft);
    server.faults().arm("GetMessage", 2, Action::Status(500));
    let outcomes = append(&destination, &folder, letters(3)).await;
    assert_eq!(words(&outcomes), ["not stored: graph/made-a-draft"; 3]);
    assert!(stored(&server).is_empty());
}

/// A draft that nobody could remove is told; one that may be gone is not said to be stored.
#[tokio::test]
async fn what_became_a_draft_and_stays_is_noted() {
    for (failure, expected) in [
        (Action::Error(403, "ErrorAccessDenied".to_owned()), "stored"),
        (Action::Status(500), "unknown: graph/made-a-draft"),
        (Action::CloseUnanswered, "unknown: graph/made-a-draft"),
    ] {
        let server = start(|builder| builder).await;
        let destination = destination(&server);
        let folder = made(&destination).await;
        server
            .faults()
            .arm_every("CreateMessage", 1, Action::StaysDraft);
        server.faults().arm("PurgeMessage", 1, failure);
        let outcomes = append(&destination, &folder, letters(1)).await;
        assert_eq!(words(&outcomes), [expected]);
        if let Outcome::Stored(receipt) = &outcomes[0] {
            let mut notes = receipt.altered.iter();
            assert!(notes.any(|note| note.detail.starts_with("made-a-draft")));
        }
    }
}

#[tokio::test]
async fn signed_and_encrypted_mail_has_a_rule() {
    let server = start(|builder| builder).await;
    let signed = "From: a@example.com\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n\
        Content-Type: application/pgp-signature\r\n\r\nsignature\r\n--b--\r\n";
    let encrypted = "From: a@example.com\r\nContent-Type: application/pkcs7-mime; name=smime.p7m\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n";
    let careful = destination(&server);
    let folder = made(&careful).await;
    for (message, code) in [(signed, "graph/signed"), (encrypted, "graph/encrypted")] {
        let outcomes = append(&careful, &folder, of(message)).await;
        assert_eq!(words(&outcomes), [format!("not stored: {code}")]);
        assert!(matches!(&outcomes[0], Outcome::NotStored(error)
            if error.kind() == ErrorKind::Refused && error.remedy().is_some()));
    }
    assert!(stored(&server).is_empty());
    let writing = Writing::new().with_protected(Protected::Store);
    let lenient = with(&server, writing, Edges::new());
    for (message, loss) in [(signed, "signature"), (encrypted, "encryption")] {
        let outcomes = append(&lenient, &folder, of(message)).await;
        let [Outcome::Stored(receipt)] = outcomes.as_slice() else {
            panic!("{outcomes:?}");
        };
        assert!(
            receipt
                .altered
                .iter()
                .any(|one| one.detail.starts_with(loss))
        );
    }
    assert_eq!(stored(&server).len(), 2);
}

#[tokio::test]
async fn a_folder_whose_answer_was_lost_is_found_and_no_second_one_made() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let spec = || vec![FolderSpec::new(FolderPath::new(["Projects", "A/b"]))];
    server
        .faults()
        .arm("CreateFolder", 1, Action::CloseUnanswered);
    let first: Vec<_> = destination.ensure_folders(spec()).collect().await;
    assert!(first[0].1.is_err());
    // It was made meanwhile; and somebody else makes it where we would.
    server
        .faults()
        .arm("CreateFolder", 2, Action::StatusAfter(409));
    let again: Vec<_> = destination.ensure_folders(spec()).collect().await;
    let folder = again.into_iter().next().unwrap().1.unwrap();
    assert_eq!(folder.path.names(), ["Projects", "A/b"]);
    let folders = destination.folders().await.unwrap();
    assert_eq!(
        folders
            .iter()
            .filter(|folder| folder.path.names()[0] == "Projects")
            .count(),
        2
    );
}
