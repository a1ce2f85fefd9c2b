//! Exchange on either side.

use mailmove_core::model::{Flags, FolderPath, SystemFlag};
use mailmove_ews_testserver::{Builder, Scheme, Server};
use mailmove_testkit::{
    mailbox::{Account, Store},
    snapshot::{Compare, Snapshot},
};

use crate::support::{PASSWORD, USER, World, run};

const NAME: &str = "ann";

async fn exchange(world: &World, change: impl FnOnce(Builder) -> Builder) -> Server {
    let builder = Server::builder(Store::new()).user(NAME, PASSWORD);
    let server = change(builder).start().await.unwrap();
    // Trusted beside the others.
    let path = world.directory.path().join("ca.pem");
    let all = std::fs::read_to_string(&path).unwrap() + server.ca_pem();
    std::fs::write(path, all).unwrap();
    server
}

fn url(server: &Server) -> String {
    format!("ews://{USER}@127.0.0.1:{}/owa", server.tls_address().port())
}

/// All mail, by folder. Exchange's own folders came along, and are called as they are there. The test
/// server keeps one of "answered" and "forwarded", like mail programs that set the one or the other.
fn mail(account: &Account) -> Snapshot {
    let forwarded = Flags::parse("$Forwarded");
    let mut all = Snapshot::of(account);
    all.folders.retain(|_, folder| !folder.messages.is_empty());
    if let Some(sent) = all.folders.remove(&FolderPath::new(["Sent Items"])) {
        all.folders.insert(FolderPath::new(["Sent"]), sent);
    }
    for message in all
        .folders
        .values_mut()
        .flat_map(|folder| &mut folder.messages)
    {
        if message.flags.contains(SystemFlag::Answered) {
            message.flags = message.flags.difference(&forwarded);
        }
    }
    all
}

fn account(server: &Server) -> Account {
    server.store().account(NAME).unwrap()
}

/// Passwords, certificates and all: IMAP to Exchange, to Exchange, and back to IMAP.
#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_through_two_exchanges_and_comes_back() {
    let world = World::new().await;
    world.fill(120);
    let one = exchange(&world, |builder| {
        builder.schemes(&[Scheme::Ntlm, Scheme::Basic])
    })
    .await;
    let two = exchange(&world, |builder| builder.schemes(&[Scheme::Negotiate])).await;
    let imap = (world.source_url(), world.destination_url());
    let steps = [
        (imap.0.as_str(), url(&one)),
        (&url(&one), url(&two)),
        (&url(&two), imap.1.clone()),
    ];
    for (from, to) in &steps {
        let first = run(world.between("migrate", from, to, &["--exclude", "Outbox"])).await;
        first.succeeds();
        let all = "complete: every message accounted for (120 found, 120 copied";
        assert!(first.stdout.contains(all), "{first:#?}");
        let second = run(world.between("migrate", from, to, &["--exclude", "Outbox"])).await;
        second.succeeds();
        assert!(
            second.stdout.contains("complete: nothing new"),
            "{second:#?}"
        );
    }
    let (here, there) = (mail(&world.from()), mail(&world.to()));
    Compare::messages().diff(&here, &there).none().unwrap();
    // Nobody was let in by Basic.
    assert_eq!(one.counters().logins.get("Basic"), None);
}

/// Exchange makes other bytes of what it is given.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_rebuilds_mail_gets_each_message_once() {
    let world = World::new().await;
    world.fill(60);
    let server = exchange(&world, Builder::rebuilds_mime).await;
    let to = url(&server);
    let first = run(world.between("migrate", &world.source_url(), &to, &[])).await;
    first.succeeds();
    let second = run(world.between("migrate", &world.source_url(), &to, &[])).await;
    assert!(
        second.stdout.contains("complete: nothing new"),
        "{second:#?}"
    );
    let there = Snapshot::of(&account(&server));
    let count: usize = there
        .folders
        .values()
        .map(|folder| folder.messages.len())
        .sum();
    assert_eq!(count, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_with_a_remedy() {
    let world = World::new().await;
    let server = exchange(&world, |builder| builder.schemes(&[Scheme::Ntlm])).await;
    let nobody = url(&server).replace(USER, "nobody@example.com");
    let refused = run(world.between("migrate", &world.source_url(), &nobody, &[])).await;
    refused.fails(3, &["ews/ntlm-refused", "Extended Protection"]);
}
