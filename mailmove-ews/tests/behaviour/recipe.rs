//! What is told of a message beside its content when it is stored.

use std::sync::Arc;

use futures_util::StreamExt as _;
use mailmove_core::{
    Destination as _,
    destination::{Batch, Depth, NoFence, Outgoing},
    model::{Content, Flags},
};
use mailmove_ews_testserver::Server;

use crate::support::{account, destination, existing, made, start};

/// Stores these, and gives the UIDs that they got.
async fn stored(server: &Server, letters: &[(&str, &str)]) -> Vec<u32> {
    let destination = destination(server);
    let folder = made(&destination).await;
    let items = letters.iter().map(|(header, flags)| {
        let text = format!("{header}Subject: x\r\n\r\nText.\r\n");
        Outgoing::new(Content::from_bytes(text)).with_flags(Flags::parse(flags))
    });
    let mark = folder.mark.clone().unwrap();
    let batch = Batch::new(folder.id.clone(), mark, items.collect(), Arc::new(NoFence));
    let outcomes: Vec<_> = destination.append(batch).collect().await;
    assert_eq!(outcomes.len(), letters.len());
    let inbox = account(server).folder(&["INBOX"]).unwrap().id;
    let messages = account(server).messages(inbox).unwrap();
    messages.iter().map(|message| message.uid).collect()
}

#[tokio::test]
async fn the_sent_date_and_the_importance_come_from_the_header() {
    let server = start(|builder| builder).await;
    let letters = [
        // A form of the date that the server itself does not read.
        (
            "Date: Tue, 1 Jul 03 10:52 EST\r\nX-MSMail-Priority: High\r\n",
            "",
        ),
        (
            "Date: 1 Jul 03 10:52 GMT\r\nX-Priority: 5 (Lowest)\r\n",
            "\\Seen Work",
        ),
        (
            "Date: 1 Jul 03 10:52 GMT\r\nImportance: normal\r\nX-Priority: 1\r\n",
            "\\Draft",
        ),
        ("Date: some day\r\n", "\\Seen"),
    ];
    let uids = stored(&server, &letters).await;
    let property = |uid: &u32, tag| server.item_property("ann", &["INBOX"], *uid, tag);
    let told: Vec<_> = uids
        .iter()
        .map(|uid| (property(uid, 0x0039), property(uid, 0x0017).unwrap()))
        .collect();
    let sent = |at: &str| Some(at.to_owned());
    let expected = [
        (sent("2003-07-01T15:52:00Z"), "2".to_owned()),
        (sent("2003-07-01T10:52:00Z"), "0".to_owned()),
        // A draft was never sent.
        (None, "1".to_owned()),
        (None, "1".to_owned()),
    ];
    assert_eq!(told, expected);
}

/// Replied and forwarded are two flags; Exchange has one verb, and an icon.
#[tokio::test]
async fn replied_and_forwarded_are_both_kept() {
    let server = start(|builder| builder).await;
    let both = "\\Answered $Forwarded";
    let all = [both, "\\Answered", "$Forwarded", ""];
    let letters: Vec<_> = all.iter().map(|flags| ("", *flags)).collect();
    let uids = stored(&server, &letters).await;
    let icons: Vec<_> = uids
        .iter()
        .map(|uid| server.item_property("ann", &["INBOX"], *uid, 0x1080))
        .collect();
    let icon = |number: &str| Some(number.to_owned());
    assert_eq!(icons, [icon("262"), icon("261"), icon("262"), None]);
    let destination = destination(&server);
    let mut folder = made(&destination).await;
    folder.mark = None;
    let there = existing(&destination, &folder, Depth::Meta).await;
    let flags: Vec<_> = there.into_iter().map(|one| one.flags).collect();
    assert_eq!(flags, all.map(Flags::parse));
}
