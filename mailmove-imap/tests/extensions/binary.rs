//! BINARY (RFC 3516): the way for mail that holds NUL, out of one server and into the other.

use base64::Engine as _;
use futures_util::StreamExt as _;
use mailmove_core::{
    Options, RepairPolicy, Source as _,
    destination::Depth,
    model::Form,
    repair::repair,
    report::Status,
    source::{Change, FetchRequest, Fetched, ListRequest},
    store::MemoryStore,
};
use mailmove_imap_testserver::{Action, Builder, Capability};

use crate::support::*;

fn strict(server: Builder) -> Builder {
    server.nul_by_binary_alone()
}

fn without(server: Builder) -> Builder {
    strict(server).without(Capability::Binary)
}

/// NUL; what looks like it and is none; and what BINARY would bring in another form.
fn odd() -> Vec<Vec<u8>> {
    let encoded = base64::engine::general_purpose::STANDARD.encode("decoded text");
    let based = format!(
        "Subject: b\r\nContent-Transfer-Encoding: base64\r\nX-Euro: @\r\n\r\n{encoded}\r\n"
    );
    vec![
        b"Subject: nul\r\n\r\na\0b \0\0\r\n".to_vec(),
        b"Subject: euro in windows-1252\r\n\r\n5 \x80\r\n".to_vec(),
        based
            .into_bytes()
            .iter()
            .map(|b| if *b == b'@' { 0x80 } else { *b })
            .collect(),
        b"Subject: head\0er\r\n\r\n\x80 and \0\r\n".to_vec(),
        "Subject: utf-8\r\n\r\n\u{c0}\u{20ac}\r\n".into(),
    ]
}

fn fill(from: &Side) {
    for body in odd() {
        from.put(&["Box"], body);
    }
    let mut large = b"Subject: large\r\n\r\n".to_vec();
    large.resize(3 << 20, b'x');
    large.extend(b"\0 at its end\r\n");
    from.put(&["Box"], large);
    from.put(&["Box"], mail("plain"));
}

/// As a server shows it that has no other way.
fn masked(body: &[u8]) -> Vec<u8> {
    body.iter()
        .map(|b| if *b == 0 { 0x80 } else { *b })
        .collect()
}

#[tokio::test]
async fn nul_arrives_as_it_left() {
    for multi in [true, false] {
        let from = Side::new(strict).await;
        fill(&from);
        let to = Side::new(|server| match multi {
            true => strict(server),
            false => strict(server)
                .without(Capability::MultiAppend)
                .with(Capability::LiteralMinus),
        })
        .await;
        let migration = migration(&from, &to).build().unwrap();
        let report = migration.run().await.unwrap();
        assert_eq!(report.status(), Status::Complete, "{:?}", report.failures);
        let mut bodies = to.bodies(&["Box"]);
        let mut wanted = from.bodies(&["Box"]);
        bodies.sort();
        wanted.sort();
        assert!(bodies == wanted);
        assert_eq!(to.server.counters().bad + from.server.counters().bad, 0);
        // Looking at the destination needs the same care.
        let verified = migration.verify(Depth::Content).await.unwrap();
        assert!(verified.is_clean(), "{:?}", verified.differences);
        assert_eq!(migration.run().await.unwrap().total().copied, 0);
    }
}

#[tokio::test]
async fn a_source_without_it_gives_what_it_shows() {
    let (from, to) = (Side::new(without).await, Side::new(strict).await);
    fill(&from);
    let migration = migration(&from, &to).build().unwrap();
    let report = migration.run().await.unwrap();
    assert_eq!(report.status(), Status::Complete);
    let shown: Vec<_> = from
        .bodies(&["Box"])
        .iter()
        .map(|one| masked(one))
        .collect();
    assert!(to.bodies(&["Box"]) == shown);
    assert!(migration.verify(Depth::Content).await.unwrap().is_clean());
}

#[tokio::test]
async fn a_destination_without_it_refuses_those_alone() {
    let (from, to) = (Side::new(strict).await, Side::new(without).await);
    fill(&from);
    let mut options = Options::new();
    options.repair = RepairPolicy::Off;
    let store = MemoryStore::new();
    let run = |options: Options| {
        let store = store.clone();
        migration(&from, &to).store(store).options(options).build()
    };
    let report = run(options).unwrap().run().await.unwrap();
    assert_eq!(report.status(), Status::CompleteWithFailures);
    let codes: Vec<_> = report
        .failures
        .iter()
        .map(|one| one.code.as_str())
        .collect();
    assert_eq!(codes, ["imap/nul"; 3]);
    assert!(
        report.failures[0]
            .reason
            .contains("a message holds NUL characters")
    );
    let kept: Vec<_> = from.bodies(&["Box"]);
    let kept: Vec<_> = kept.into_iter().filter(|body| !body.contains(&0)).collect();
    let mut bodies = to.bodies(&["Box"]);
    bodies.sort();
    let mut wanted = kept;
    wanted.sort();
    assert!(bodies == wanted);
    // Repaired they arrive.
    let report = run(Options::new()).unwrap().run().await.unwrap();
    assert_eq!(
        (report.status(), report.repaired.len()),
        (Status::Complete, 3)
    );
    let repaired = |body: Vec<u8>| match body.contains(&0) {
        true => repair(&body).unwrap().bytes,
        false => body,
    };
    let mut wanted: Vec<_> = from.bodies(&["Box"]).into_iter().map(repaired).collect();
    let mut bodies = to.bodies(&["Box"]);
    bodies.sort();
    wanted.sort();
    assert!(bodies == wanted);
}

#[tokio::test]
async fn a_server_that_takes_nul_in_any_literal_gets_it() {
    let from = Side::new(|server| server.without(Capability::Binary)).await;
    let to = Side::new(|server| server.without(Capability::Binary)).await;
    fill(&from);
    assert_eq!(migrate(&from, &to).await.status(), Status::Complete);
    assert!(to.bodies(&["Box"]) == from.bodies(&["Box"]));
}

/// What a fetch of all messages brings.
async fn fetched(source: &mailmove_imap::ImapSource) -> Vec<Result<Vec<u8>, String>> {
    let folders = source.folders().await.unwrap();
    let folder = folders
        .iter()
        .find(|one| one.path.to_string() == "Box")
        .unwrap();
    let mut ids = Vec::new();
    let mut pages = source.list(ListRequest::new(folder));
    while let Some(page) = pages.next().await {
        for change in page.unwrap().changes {
            if let Change::Item(item) = change {
                ids.push(item.id.clone());
            }
        }
    }
    let request = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), ids.clone());
    assert_eq!(request.form, Form::Mime);
    let mut answers: Vec<_> = source.fetch(request).collect().await;
    answers.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(answers.len(), ids.len());
    let shown = |fetched| match fetched {
        Fetched::Content(content) => Ok(content.as_bytes().unwrap().to_vec()),
        Fetched::Failed(error) => Err(error.code().to_owned()),
        other => Err(format!("{other:?}")),
    };
    answers
        .into_iter()
        .map(|(_, fetched)| shown(fetched))
        .collect()
}

#[tokio::test]
async fn connections_that_break_at_it_cost_it_alone() {
    let from = Side::new(strict).await;
    from.put(&["Box"], odd().swap_remove(0));
    from.put(&["Box"], mail("plain"));
    let source = from.source(from.config());
    let nul = odd().swap_remove(0);
    let plain = mail("plain").into_bytes();
    assert_eq!(fetched(&source).await, [Ok(nul.clone()), Ok(plain.clone())]);
    // One command lists, one brings the contents, the third is BINARY.
    from.server.faults().arm("UID FETCH", 3, Action::Close);
    let broken = fetched(&source).await;
    assert_eq!(broken, [Err("imap/closed".to_owned()), Ok(plain.clone())]);
    assert_eq!(fetched(&source).await, [Ok(nul.clone()), Ok(plain.clone())]);
    from.server.faults().arm("UID FETCH", 3, Action::Close);
    let given_up = fetched(&source).await;
    assert_eq!(given_up, [Ok(masked(&nul)), Ok(plain.clone())]);
    from.server.faults().arm("UID FETCH", 3, Action::Close);
    assert_eq!(fetched(&source).await, [Ok(masked(&nul)), Ok(plain)]);
}
