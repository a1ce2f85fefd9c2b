//! What goes wrong outside: one clear error with its remedy, exit code 3 (or 1 if mail was moved).

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    process::Command,
};

use mailmove_testkit::mailbox::NewMessage;

use crate::support::{PASSWORD, USER, World, run};

/// From `url` to a good server.
fn from(world: &World, url: &str) -> Command {
    world.between("migrate", url, &world.destination_url(), &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_host() {
    let world = World::new().await;
    let run = run(from(&world, "imaps://ann@no-such-host.invalid")).await;
    run.fails(
        3,
        &[
            "error: cannot find the host's address",
            "no-such-host.invalid",
            "remedy: ",
            "net/unknown-host",
            "where: source",
        ],
    );
    assert_eq!(run.stdout, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_port() {
    let world = World::new().await;
    // A port that was free a moment ago: nobody listens.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("imaps://ann@127.0.0.1:{port}");
    run(from(&world, &url)).await.fails(
        3,
        &[
            "error: cannot connect",
            &port.to_string(),
            "remedy: ",
            "where: source",
        ],
    );
    let to = world.between("migrate", &world.source_url(), &url, &[]);
    run(to)
        .await
        .fails(3, &["error: cannot connect", "where: destination"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_password() {
    let world = World::new().await;
    let mut command = world.command("migrate", &[]);
    command.env("MAILMOVE_TO_PASSWORD", "hunter2");
    let run = run(command).await;
    run.fails(3, &["where: destination", "remedy: ", USER]);
    assert!(!run.stderr.contains("hunter2"), "{run:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_certificate() {
    let world = World::with(
        mailmove_imap_testserver::Builder::expired_certificate,
        |destination| destination,
    )
    .await;
    world
        .run("migrate", &[])
        .await
        .fails(3, &["certificate", "expired", "where: source", "remedy: "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_of_an_unknown_authority_unless_pinned() {
    let world = World::new().await;
    world.fill(3);
    std::fs::write(
        world.directory.path().join("ca.pem"),
        world.destination.ca_pem(),
    )
    .unwrap();
    world
        .run("migrate", &[])
        .await
        .fails(3, &["certificate", "where: source", "remedy: "]);
    let print = mailmove_core::edge::tls::Fingerprint::of(world.source.certificate_der());
    let pin = format!("--from-pin={print}");
    world.run("migrate", &[&pin]).await.succeeds();
    let other = format!("--from-pin={}", "ab".repeat(32));
    world
        .run("migrate", &[&other])
        .await
        .fails(3, &["certificate", "where: source"]);
}

/// Answers each connection with that, then reads until the client goes.
fn speaks(text: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(text.as_bytes());
            let _ = stream.flush();
            let mut sink = [0; 1024];
            while stream.read(&mut sink).is_ok_and(|n| n > 0) {}
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_do_not_speak_imap() {
    let world = World::new().await;
    for greeting in [
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "220 mail.example.com ESMTP\r\n",
        "+OK POP3 ready\r\n",
    ] {
        let port = speaks(greeting);
        for url in [
            format!("imap://ann@127.0.0.1:{port}?tls=off"),
            format!("imap://ann@127.0.0.1:{port}"),
            format!("imaps://ann@127.0.0.1:{port}"),
        ] {
            run(from(&world, &url))
                .await
                .fails(3, &["where: source", "remedy: "]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_where_the_server_starts_without() {
    let world = World::new().await;
    let url = format!(
        "imaps://{USER}@127.0.0.1:{}",
        world.source.plain_address().port()
    );
    run(from(&world, &url))
        .await
        .fails(3, &["where: source", "remedy: "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn starttls_and_plain_work_where_offered() {
    let world = World::new().await;
    world.fill(5);
    let port = world.source.plain_address().port();
    let starttls = format!("imap://{USER}@127.0.0.1:{port}");
    run(from(&world, &starttls)).await.succeeds();
    let plain = format!("imap://{USER}@127.0.0.1:{port}?tls=off");
    run(from(&world, &plain)).await.succeeds();
    world.difference().none().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn full_quota_stops_and_more_room_goes_on() {
    let world = World::new().await;
    world.fill(30);
    world
        .to()
        .configure(|limits| limits.quota_messages = Some(10));
    let run = world.run("migrate", &[]).await;
    assert_eq!(run.code, Some(3), "{run:#?}");
    assert!(
        run.stdout.contains("stopped") && run.stdout.contains("remedy: "),
        "{run:#?}"
    );
    world.to().configure(|limits| limits.quota_messages = None);
    world.run("migrate", &[]).await.succeeds();
    world.difference().none().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_folder_costs_that_folder() {
    let world = World::new().await;
    world.fill(30);
    let sent = world.to().create(&["Sent"]).unwrap();
    world.to().set_read_only(sent, true).unwrap();
    let run = world.run("migrate", &[]).await;
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(
        run.stdout.contains("Sent") && run.stdout.contains("remedy: "),
        "{run:#?}"
    );
    let expected = world
        .from()
        .status(world.from().folder(&["INBOX"]).unwrap().id)
        .unwrap()
        .messages;
    let found = world
        .to()
        .status(world.to().folder(&["INBOX"]).unwrap().id)
        .unwrap()
        .messages;
    assert_eq!(expected, found, "the other folders are complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_that_is_refused_costs_one_message() {
    let world = World::new().await;
    world.fill(20);
    let inbox = world.from().folder(&["INBOX"]).unwrap().id;
    let large = format!("Subject: secret plans\r\n\r\n{}\r\n", "x".repeat(200_000));
    world
        .from()
        .append(inbox, vec![NewMessage::new(large)])
        .unwrap();
    world
        .to()
        .configure(|limits| limits.max_message_size = Some(100_000));
    let run = world.run("migrate", &[]).await;
    assert_eq!(run.code, Some(1), "{run:#?}");
    for text in [
        "1 message could not be moved",
        "INBOX, UID ",
        "reason: ",
        "complete with failures",
    ] {
        assert!(run.stdout.contains(text), "no {text:?} in {run:#?}");
    }
    assert!(
        !run.stdout.contains("secret plans"),
        "subjects stay private: {run:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_json_too_when_asked() {
    let world = World::new().await;
    let mut command = world.command("migrate", &["--json"]);
    command.env("MAILMOVE_FROM_PASSWORD", "hunter2");
    let run = run(command).await;
    run.fails(3, &["error: ", "remedy: "]);
    let lines = run.lines();
    let last = lines.last().unwrap();
    assert_eq!(last["event"], "error");
    assert!(
        last["place"]
            .as_str()
            .unwrap()
            .starts_with("source imaps://")
    );
    assert!(!run.stdout.contains("hunter2") && !run.stdout.contains(PASSWORD));
}
