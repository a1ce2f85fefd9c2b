//! Clients that others wrote work with the server: exchangelib, pyspnego, DavMail.
//!
//! `cargo xtask oracles` gets them and runs this. `MAILMOVE_TEST_EXCHANGELIB` names a Python that has
//! exchangelib, `MAILMOVE_TEST_DAVMAIL` a program that is DavMail. What is missing is skipped, unless
//! `MAILMOVE_REQUIRE` lists it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::print_stderr, reason = "what was skipped is told")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use mailmove_ews_testserver::{Binding, Certificate, Scheme, Server};
use mailmove_testkit::mailbox::InternalDate;
use serde_json::{Value, json};
use support::server;
use tokio::process::Command;

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

async fn python(python: &Path, script_name: &str, server: &Server, args: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, server.ca_pem()).unwrap();
    let mut command = Command::new(python);
    command.arg(script(script_name)).arg(args[0]).arg(&ca);
    command
        .args(&args[1..])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

async fn exchangelib(tls: bool) {
    let Some(program) = external("MAILMOVE_TEST_EXCHANGELIB", "exchangelib") else {
        return;
    };
    let (server, account) = server(|b| {
        b.schemes(&[Scheme::Basic, Scheme::Ntlm])
            .binding(Binding::Require)
            .without_shape_gate()
    })
    .await;
    let (url, scheme) = match tls {
        true => (server.tls_url(), "NTLM"),
        false => (server.url(), "basic"),
    };
    let said = python(&program, "exchangelib_client.py", &server, &[&url, scheme]).await;
    let said: BTreeMap<String, Value> = said
        .lines()
        .flat_map(|line| {
            let line: BTreeMap<String, Value> = serde_json::from_str(line).unwrap();
            line
        })
        .collect();
    for (what, expected) in [
        ("inbox", json!("Inbox")),
        ("made", json!(3)),
        ("subject", json!("by exchangelib")),
        ("sender", json!("a@example.com")),
        ("received", json!("2001-02-03 04:05:07+00:00")),
        ("sent", json!("2001-02-03 04:05:06+00:00")),
        ("draft", json!(false)),
        ("read", json!(true)),
        ("categories", json!(["Red"])),
        ("flags", json!(1041)),
        ("mime", json!(true)),
        ("attachments", json!(["a.pdf"])),
        ("attached", json!(true)),
        ("synced", json!(["create", "create", "create"])),
        ("changed", json!(["read_flag_change"])),
        ("uploaded", json!(2)),
        ("in inbox", json!(2)),
        ("left", json!(2)),
        ("draft made", json!(true)),
    ] {
        assert_eq!(said[what], expected, "{what}");
    }
    // What it did, seen through the back door.
    let inbox = account.folder(&["INBOX"]).unwrap();
    let uploaded = account.messages(inbox.id).unwrap();
    assert_eq!(uploaded.len(), 2);
    assert!(uploaded.iter().all(|message| {
        message.date == InternalDate::utc(981_173_107)
            && message.flags.contains("Red")
            && !message.flags.contains("\\Draft")
    }));
    let counters = server.counters();
    assert_eq!(counters.created, 6);
    assert!(counters.logins[if tls { "NTLM" } else { "Basic" }] > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn oracle_exchangelib_by_basic() {
    exchangelib(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oracle_exchangelib_by_ntlm_with_channel_binding() {
    exchangelib(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oracle_pyspnego_is_held_to_the_binding() {
    let Some(program) = external("MAILMOVE_TEST_EXCHANGELIB", "exchangelib") else {
        return;
    };
    use Binding::{Allow, Require};
    use Certificate::{EcdsaSha256, EcdsaSha384};
    for (certificate, binding, other, hash, lets_in) in [
        (EcdsaSha256, Require, false, "sha256", true),
        (EcdsaSha256, Require, false, "none", false),
        (EcdsaSha256, Require, false, "wrong", false),
        (EcdsaSha256, Allow, false, "none", true),
        (EcdsaSha256, Allow, false, "wrong", false),
        (EcdsaSha256, Allow, true, "sha256", false),
        (EcdsaSha384, Require, false, "sha384", true),
        (EcdsaSha384, Require, false, "sha256", false),
    ] {
        for protocol in ["ntlm", "negotiate"] {
            let (server, _account) = server(|b| {
                let b = b.schemes(&[Scheme::Ntlm, Scheme::Negotiate]);
                let b = b.certificate(certificate).binding(binding);
                let b = b.without_shape_gate();
                if other { b.other_certificate() } else { b }
            })
            .await;
            let address = server.tls_address().to_string();
            let said = python(
                &program,
                "ntlm_client.py",
                &server,
                &[&address, hash, protocol],
            )
            .await;
            let said: Value = serde_json::from_str(&said).unwrap();
            let statuses = match lets_in {
                true => json!([401, 200, 200]),
                false => json!([401, 401, 401]),
            };
            assert_eq!(
                said["statuses"], statuses,
                "{certificate:?} {binding:?} {other} {hash} {protocol}"
            );
            assert_eq!(said["mechanism"], json!("ntlm"));
            // At the end of SPNEGO it checks the server's own code.
            assert!(!lets_in || said["complete"] == json!(true));
            assert_eq!(said["code"], json!(lets_in && protocol == "negotiate"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oracle_davmail_serves_it_by_imap() {
    let Some(program) = external("MAILMOVE_TEST_DAVMAIL", "davmail") else {
        return;
    };
    let Some(interpreter) = external("MAILMOVE_TEST_EXCHANGELIB", "exchangelib") else {
        return;
    };
    let (server, account) = server(mailmove_ews_testserver::Builder::without_shape_gate).await;
    let directory = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let properties = directory.path().join("davmail.properties");
    let settings = [
        "davmail.server=true".to_owned(),
        "davmail.mode=EWS".to_owned(),
        "davmail.enableKerberos=false".to_owned(),
        "davmail.bindAddress=127.0.0.1".to_owned(),
        format!("davmail.url={}", server.url()),
        format!("davmail.imapPort={port}"),
        "davmail.popPort=\ndavmail.smtpPort=\ndavmail.caldavPort=\ndavmail.ldapPort=".to_owned(),
        "davmail.disableUpdateCheck=true".to_owned(),
        format!(
            "davmail.logFilePath={}",
            directory.path().join("log").display()
        ),
    ];
    std::fs::write(&properties, settings.join("\n")).unwrap();
    let mut davmail = Command::new(program)
        .arg(&properties)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut client = Command::new(interpreter);
    client
        .arg(script("davmail_client.py"))
        .arg(port.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = client.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{wrong}");
    assert!(said.contains("all checks passed"), "{said}{wrong}");
    davmail.kill().await.unwrap();

    let made = account.folder(&["Made here"]).unwrap();
    assert!(account.messages(made.id).unwrap().is_empty());
    let inbox = account.folder(&["INBOX"]).unwrap();
    let copied = account.messages(inbox.id).unwrap();
    assert_eq!(copied.len(), 1);
    assert_eq!(copied[0].date, InternalDate::utc(981_173_107));
    for flag in ["\\Seen", "\\Flagged", "\\Answered"] {
        assert!(copied[0].flags.contains(flag), "{:?}", copied[0].flags);
    }
    assert!(!copied[0].flags.contains("\\Draft"));
}
