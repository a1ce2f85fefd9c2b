//! Every armed failure strikes where it should, and leaves what it should.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::time::Duration;

use mailmove_imap_testserver::{Action, Server};
use mailmove_testkit::mailbox::Account;
use support::{Client, server};

async fn armed(command: &str, nth: u64, action: Action) -> (Server, Account, Client) {
    let (server, account) = server(|b| b).await;
    let client = Client::login(&server).await;
    server.faults().arm(command, nth, action);
    (server, account, client)
}

#[tokio::test]
async fn answers_are_replaced() {
    let (server, account, mut client) =
        armed("APPEND", 2, Action::No("[OVERQUOTA] full".into())).await;
    assert!(client.append("INBOX", "", "x").await.starts_with("OK"));
    assert_eq!(client.append("INBOX", "", "x").await, "NO [OVERQUOTA] full");
    assert!(client.append("INBOX", "", "x").await.starts_with("OK"));
    server.faults().arm("NOOP", 1, Action::Bad("no".into()));
    assert_eq!(client.last("NOOP").await, "BAD no");
    server
        .faults()
        .arm_from("STATUS", 1, Action::No("never".into()));
    for _ in 0..3 {
        assert_eq!(client.last("STATUS INBOX (MESSAGES)").await, "NO never");
    }
    server
        .faults()
        .arm("*", 1, Action::Bye("maintenance".into()));
    assert_eq!(client.command("NOOP").await, ["* BYE maintenance", "END"]);
    assert_eq!(account.used_messages(), 2);
    assert_eq!(server.faults().struck(), 6);
}

#[tokio::test]
async fn closing_around_an_append() {
    for (action, stored) in [
        (Action::Close, 0),
        (Action::CloseInLiteral(0), 0),
        (Action::CloseInLiteral(3), 0),
        (Action::CloseUnanswered, 1),
        (Action::CloseInReply(4), 1),
    ] {
        let (_server, account, mut client) = armed("APPEND", 1, action.clone()).await;
        assert_eq!(
            client.append("INBOX", "", "hello").await,
            "END",
            "{action:?}"
        );
        assert_eq!(account.used_messages(), stored, "{action:?}");
    }
    let (_server, account, mut client) = armed("APPEND", 1, Action::CloseAnswered).await;
    assert!(client.append("INBOX", "", "hello").await.starts_with("OK"));
    assert!(client.is_closed().await);
    assert_eq!(account.used_messages(), 1);
}

#[tokio::test]
async fn an_append_lands_after_its_connection_died() {
    let (server, account, mut client) = armed("APPEND", 1, Action::LandOnRelease).await;
    let two = "APPEND INBOX {1+}\r\na {2+}\r\nbb";
    assert_eq!(client.last(two).await, "END");
    let mut other = Client::login(&server).await;
    assert_eq!(
        other.ok("STATUS INBOX (MESSAGES)").await[0],
        "* STATUS \"INBOX\" (MESSAGES 0)"
    );
    let mut changes = account.watch();
    server.faults().release();
    changes.changed().await.unwrap();
    assert_eq!(account.used_messages(), 2);

    server
        .faults()
        .arm("APPEND", 1, Action::LandAfter(Duration::from_millis(1)));
    let mut changes = account.watch();
    assert_eq!(other.append("INBOX", "", "late").await, "END");
    changes.changed().await.unwrap();
    assert_eq!(account.used_messages(), 3);
}

#[tokio::test]
async fn held_commands_go_on_when_released() {
    let (server, _, mut client) = armed("NOOP", 1, Action::Hold).await;
    client.send("n NOOP\r\n").await;
    let mut other = Client::login(&server).await;
    while server.faults().struck() == 0 {
        other.ok("NOOP").await;
    }
    server.faults().release();
    assert_eq!(client.line().await.unwrap(), "n OK NOOP done");
    server
        .faults()
        .arm("NOOP", 1, Action::Delay(Duration::from_millis(1)));
    client.ok("NOOP").await;
}

#[tokio::test]
async fn connections_are_refused() {
    let (server, _) = server(|b| b).await;
    server.faults().arm_connection(1, Action::Close);
    server
        .faults()
        .arm_connection(2, Action::Bye("too busy".into()));
    assert!(Client::open(server.plain_address()).await.is_closed().await);
    let (mut client, greeting) = Client::connect(server.plain_address()).await;
    assert_eq!(greeting, "* BYE too busy");
    assert!(client.is_closed().await);
    server.faults().arm_connection(1, Action::Close);
    server.faults().clear();
    Client::login(&server).await;
}
