//! Clients that others wrote work with the server: msgraph-sdk, O365 and msal (Python), Microsoft's client for
//! JavaScript, io-msgraph (Rust).
//!
//! `cargo xtask oracles` gets them and runs this. `MAILMOVE_TEST_MSGRAPH` names a Python that has the first
//! three, `MAILMOVE_TEST_GRAPH_JS` a directory with the fourth, `MAILMOVE_TEST_IO_MSGRAPH` a program made of
//! the last. What is missing is skipped, unless `MAILMOVE_REQUIRE` lists it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::print_stderr, reason = "what was skipped is told")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use mailmove_graph_testserver::{Server, fixture};
use mailmove_testkit::clock::FastClock;
use serde_json::{Value, json};
use support::{builder, fill};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

type Said = BTreeMap<String, Value>;

const FOLDERS: [&str; 6] = [
    "Deleted Items",
    "Drafts",
    "Inbox",
    "Junk Email",
    "Outbox",
    "Sent Items",
];

fn external(variable: &str, name: &str) -> Option<PathBuf> {
    if let Some(program) = std::env::var_os(variable) {
        return Some(program.into());
    }
    let required = std::env::var("MAILMOVE_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|one| one == name),
        "{name} is required, but {variable} is not set"
    );
    eprintln!("skipped: no {name}, since {variable} is not set");
    None
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

/// A server for ann with twelve messages in the inbox; what these clients say is no affair of the gate.
async fn server() -> Server {
    let server = builder()
        .token("ann-token", "ann")
        .client("client", "secret")
        .client_certificate("client", &fixture::certificate_der())
        .public_client("public")
        .url_safe_ids()
        .without_shape_gate()
        // Whoever waits for seconds waits for tenths.
        .clock(Arc::new(FastClock::new(10)))
        .start()
        .await
        .unwrap();
    fill(&server, &["INBOX"], 12);
    server
}

fn begin(command: &mut Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// What a program prints, with what is done about single lines.
async fn said(mut child: Child, mut about: impl FnMut(&str, &Value)) -> Said {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut all = Said::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        let told: Said = serde_json::from_str(&line).unwrap();
        for (name, value) in told {
            about(&name, &value);
            all.insert(name, value);
        }
    }
    assert!(child.wait().await.unwrap().success(), "{all:?}");
    all
}

async fn python(program: &Path, name: &str, server: &Server, args: &[&str]) -> Said {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, server.ca_pem()).unwrap();
    let mut command = Command::new(program);
    command.arg(script(name)).args(args).arg(&ca);
    said(begin(&mut command), |_, _| {}).await
}

fn origin(server: &Server) -> String {
    format!("https://{}", server.tls_address())
}

#[tokio::test(flavor = "multi_thread")]
async fn oracle_msgraph_sdk() {
    let Some(program) = external("MAILMOVE_TEST_MSGRAPH", "msgraph") else {
        return;
    };
    let server = server().await;
    let args = [&server.tls_url(), "ann", "ann-token"];
    let said = python(&program, "msgraph_client.py", &server, &args).await;
    for (name, value) in [
        ("folders", json!(FOLDERS)),
        ("below", json!(["Below"])),
        ("inbox", json!({"messages": 12, "pages": 2})),
        ("mime", json!("From: \"Bob\" <bob@example.com>")),
        ("draft", json!(false)),
        ("received", json!("2001-02-03T04:05:06+00:00")),
        ("flag", json!(["flagged", false])),
        ("attachments", json!(["FileAttachment", "ItemAttachment"])),
        ("content", json!([0, 1, 2])),
        ("property", json!(["grüße", "16"])),
        ("changes", json!(["grüße"])),
        ("gone", json!([404, "ErrorItemNotFound"])),
        ("removed", json!(["deleted"])),
    ] {
        assert_eq!(said.get(name), Some(&value), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oracle_o365() {
    let Some(program) = external("MAILMOVE_TEST_MSGRAPH", "msgraph") else {
        return;
    };
    let server = server().await;
    let args = [&origin(&server), "ann", "app-token"];
    let said = python(&program, "o365_client.py", &server, &args).await;
    for (name, value) in [
        ("folders", json!(FOLDERS)),
        ("found", json!(["number 3"])),
        ("mime", json!("From: \"Bob\" <bob@example.com>")),
        ("draft", json!(["by O365", true, ["bob@example.com"]])),
        (
            "state",
            json!([true, "flagged", "2026-01-01T00:00:03+00:00"]),
        ),
        ("junk", json!(["number 3"])),
        ("made", json!("By O365")),
        ("deleted", json!(true)),
    ] {
        assert_eq!(said.get(name), Some(&value), "{name}");
    }
    let count = said.get("inbox").and_then(Value::as_array).map(Vec::len);
    assert_eq!(count, Some(12));
}

#[tokio::test(flavor = "multi_thread")]
async fn oracle_msal_logs_in_by_secret_certificate_and_device() {
    let Some(program) = external("MAILMOVE_TEST_MSGRAPH", "msgraph") else {
        return;
    };
    let server = server().await;
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, server.ca_pem()).unwrap();
    let fixture = |name: &str| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.join("fixture").join(name)
    };
    let mut command = Command::new(program);
    command
        .arg(script("entra_client.py"))
        .args([&origin(&server), server.tenant()])
        .args([&ca, &fixture("certificate.pem"), &fixture("key.pem")]);
    let said = said(begin(&mut command), |name, value| {
        if name == "code" {
            assert!(server.approve_device(value.as_str().unwrap(), "ann"));
        }
    })
    .await;
    for (name, value) in [
        ("secret", 200),
        ("wrong secret", 7_000_215),
        ("certificate", 200),
        ("other app", 700_016),
        ("device", 200),
        ("renewed", 200),
    ] {
        assert_eq!(said.get(name), Some(&json!(value)), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oracle_javascript() {
    let Some(modules) = external("MAILMOVE_TEST_GRAPH_JS", "graph-js") else {
        return;
    };
    let server = server().await;
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, server.ca_pem()).unwrap();
    let mut command = Command::new("node");
    command
        .arg(script("graph_client.mjs"))
        .arg(modules)
        .args([&origin(&server), "ann-token"])
        // It gives its token to nobody without TLS.
        .env("NODE_EXTRA_CA_CERTS", &ca);
    let said = said(begin(&mut command), |_, _| {}).await;
    for (name, value) in [
        ("folders", json!(FOLDERS)),
        ("mime", json!(["by MIME", true])),
        ("inbox", json!([12, true])),
        (
            "raw",
            json!("Subject: by MIME\r\nMIME-Version: 1.0\r\n\r\nhello\r\n"),
        ),
        ("batch", json!([201, 201])),
        ("error", json!([400, "ErrorInvalidIdMalformed"])),
    ] {
        assert_eq!(said.get(name), Some(&value), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oracle_io_msgraph() {
    let Some(program) = external("MAILMOVE_TEST_IO_MSGRAPH", "io-msgraph") else {
        return;
    };
    let server = server().await;
    let mut command = Command::new(program);
    command
        .arg(server.plain_address().to_string())
        .arg("ann-token");
    let said = said(begin(&mut command), |_, _| {}).await;
    for (name, value) in [
        ("folders", json!(FOLDERS)),
        ("inbox", json!([12, 2])),
        ("mime", json!("From: \"Bob\" <bob@example.com>")),
        ("draft", json!(["by MIME", true])),
        ("attachment", json!(["a.txt", "text"])),
        ("changes", json!([["by MIME", false], ["number 12", false]])),
    ] {
        assert_eq!(said.get(name), Some(&value), "{name}");
    }
}
