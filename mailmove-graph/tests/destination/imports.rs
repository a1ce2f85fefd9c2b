//! Items as another Exchange exported them.

use std::{sync::Arc, time::Duration};

use mailmove_core::{
    Destination as _, Edges,
    destination::{Depth, Existing, Outcome, Outgoing, Probe},
    model::{Content, ContentDigest, Flags, Folder, Form, ItemClass},
};
use mailmove_graph::{GraphDestination, Writing};
use mailmove_graph_testserver::{Action, Server};
use mailmove_testkit::{
    clock::TestClock,
    mailbox::{InternalDate, NewMessage, Store},
};
use mailmove_testkit_exchange::{props::Props, streams};

use crate::support::{append, destination, letter, made, start, stored, with, words};

/// A signed letter, which fields could not carry.
fn signed(number: usize) -> String {
    let letter = letter(number);
    let (header, body) = letter.split_once("\r\n\r\n").unwrap();
    format!(
        "{header}\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n{body}\r\n--b--\r\n"
    )
}

/// What Exchange would export.
fn export(message: &str) -> Vec<u8> {
    let account = Store::new().add_account("source");
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    let new = NewMessage::new(message.to_owned())
        .with_flags(["\\Seen", "Work"])
        .with_date(InternalDate::utc(1_600_000_000));
    account.append(inbox, vec![new]).unwrap();
    let message = account.messages(inbox).unwrap().pop().unwrap();
    streams::encode(&message, &Props::default())
}

fn outgoing(stream: Vec<u8>) -> Outgoing {
    Outgoing::new(Content::from_bytes(stream).with_form(Form::ExchangeStream))
}

async fn found(destination: &GraphDestination, folder: &Folder) -> Vec<Existing> {
    let probe = Probe::new(folder.id.clone(), Depth::Header)
        .with_form(Form::ExchangeStream)
        .with_since(folder.mark.clone());
    let pages: Vec<_> = futures_util::StreamExt::collect(destination.existing(probe)).await;
    pages.into_iter().flat_map(Result::unwrap).collect()
}

fn bodies(server: &Server) -> Vec<Vec<u8>> {
    let all = stored(server).into_iter();
    all.map(|message| message.body.to_vec()).collect()
}

/// `messages` does not list it: it would look as if it were not there, and be sent again.
#[tokio::test]
async fn what_is_no_mail_is_not_put_among_mail() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let mut contact = outgoing(export(&signed(0)));
    contact.class = ItemClass::Contact;
    let outcomes = append(
        &destination,
        &folder,
        vec![contact, outgoing(export(&signed(1)))],
    )
    .await;
    assert_eq!(words(&outcomes), ["not stored: graph/not-mail", "stored"]);
    assert_eq!(bodies(&server), [signed(1).into_bytes()]);
}

#[tokio::test]
async fn exports_are_stored_as_they_are_without_a_token() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let forms = destination.capabilities().await.unwrap().forms;
    assert!(forms.contains(&Form::ExchangeStream));
    let exports: Vec<Vec<u8>> = (0..3).map(|number| export(&signed(number))).collect();
    let items = exports.iter().map(|stream| outgoing(stream.clone()));
    let outcomes = append(&destination, &folder, items.collect()).await;
    assert_eq!(words(&outcomes), ["stored"; 3]);
    let expected: Vec<Vec<u8>> = (0..3).map(|number| signed(number).into_bytes()).collect();
    assert_eq!(bodies(&server), expected);
    let found = found(&destination, &folder).await;
    for (outcome, stream) in outcomes.iter().zip(&exports) {
        let Outcome::Stored(receipt) = outcome else {
            panic!("{outcome:?}");
        };
        let found = found
            .iter()
            .find(|one| Some(&one.id) == receipt.id.as_ref());
        let found = found.unwrap();
        assert_eq!(receipt.flags, Some(Flags::parse("\\Seen Work")));
        assert_eq!(found.given, Some(ContentDigest::of(stream)));
        assert!(found.header.is_some());
    }
    let counters = server.counters();
    assert_eq!(counters.leaked_tokens, 0);
    assert_eq!(counters.operation("CreateImportSession"), 1);
    assert_eq!(counters.operation("CreateMessage"), 0);
}

#[tokio::test]
async fn an_altered_export_is_refused_and_costs_itself_alone() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let mut altered = export(&letter(1));
    *altered.last_mut().unwrap() ^= 1;
    let mut cut = export(&letter(2));
    cut.truncate(cut.len() / 2);
    let items = [export(&letter(0)), altered, cut, export(&letter(3))];
    let items = items.into_iter().map(outgoing).collect();
    let outcomes = append(&destination, &folder, items).await;
    let refused = "not stored: graph/corrupt";
    assert_eq!(words(&outcomes), ["stored", refused, refused, "stored"]);
    assert_eq!(stored(&server).len(), 2);
}

#[tokio::test]
async fn an_import_whose_answer_is_lost_is_unknown_and_is_told_apart_by_what_it_is() {
    for (action, landed) in [
        (Action::CloseUnanswered, 1),
        (Action::StatusAfter(504), 1),
        (Action::Close, 0),
        (Action::Nothing, 0),
    ] {
        let server = start(|builder| builder).await;
        let destination = destination(&server);
        let folder = made(&destination).await;
        server.faults().arm("ImportItem", 1, action.clone());
        let outcomes = append(&destination, &folder, vec![outgoing(export(&letter(0)))]).await;
        assert!(
            words(&outcomes)[0].starts_with("unknown"),
            "{action:?}: {outcomes:?}"
        );
        let lost = found(&destination, &folder).await;
        assert_eq!(lost.len(), landed, "{action:?}");
        // The same once more, whose answer came: it is known by the same digest.
        append(&destination, &folder, vec![outgoing(export(&letter(0)))]).await;
        let all = found(&destination, &folder).await;
        assert!(
            all.iter()
                .all(|one| one.header.is_some() && one.header == all[0].header)
        );
    }
}

#[tokio::test]
async fn an_address_whose_time_is_over_is_replaced() {
    let clock = TestClock::new(Duration::from_secs(1_700_000_000));
    let server = start(|builder| builder.clock(Arc::new(clock.clone()))).await;
    let edges = Edges::new().with_clock(Arc::new(clock.clone()));
    let destination = with(&server, Writing::new(), edges);
    let folder = made(&destination).await;
    for number in 0..2 {
        let outcomes = append(
            &destination,
            &folder,
            vec![outgoing(export(&letter(number)))],
        )
        .await;
        assert_eq!(words(&outcomes), ["stored"]);
        clock.advance(Duration::from_secs(7200));
    }
    // One that the server forgets before its time.
    server.faults().arm("ImportItem", 1, Action::Status(404));
    let outcomes = append(&destination, &folder, vec![outgoing(export(&letter(2)))]).await;
    assert_eq!(words(&outcomes), ["stored"]);
    assert_eq!(stored(&server).len(), 3);
    // Nobody is shown the address.
    assert!(!format!("{destination:?}").contains("authtoken"));
}

#[tokio::test]
async fn where_imports_are_not_allowed_messages_go_as_fields() {
    let server = start(|builder| builder.without("CreateImportSession")).await;
    let destination = destination(&server);
    let forms = destination.capabilities().await.unwrap().forms;
    assert_eq!(forms, [Form::Mime]);
    // It is asked once.
    destination.capabilities().await.unwrap();
    assert_eq!(server.counters().operation("CreateImportSession"), 1);
}
