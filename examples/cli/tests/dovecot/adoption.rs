//! Destinations that hold some of it already: put there by another program, or by a run whose state is
//! lost. What a run finds there it does not copy.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    time::Duration,
};

use mailmove_core::model::{ContentDigest, Timestamp};

use crate::world::{Job, PASSWORD, Server, assert_equal, fresh, server, sum};

/// Plain mail: with a trace and without, some of it twice.
fn letters(server: &Server, user: &str, folder: &str, numbers: std::ops::Range<u32>) {
    let mut client = server.client(user);
    if folder != "INBOX" {
        // It may be there already.
        let _ = client.command(&format!("CREATE {folder}"));
    }
    for n in numbers {
        // Each seventh is the one before once more.
        let k = if n % 7 == 6 { n - 1 } else { n };
        let trace = if k % 2 == 0 {
            format!(
                "Received: from a by b with ESMTP id {k};\r\n Tue, 1 Jul 2025 10:00:00 +0000\r\n"
            )
        } else {
            String::new()
        };
        let body = format!(
            "{trace}Message-ID: <{k}@{folder}.example>\r\nFrom: a@example.org\r\nTo: b@example.org\r\n\
             Subject: letter {k} of {folder}\r\nDate: Tue, 1 Jul 2025 10:00:00 +0000\r\n\r\n\
             This is letter {k}.\r\n"
        );
        let flags: &[String] = if k % 3 == 0 {
            &["\\Seen".to_owned()]
        } else {
            &[]
        };
        let received = Timestamp::new(1_751_364_000 + i64::from(k) * 60, 0);
        client
            .append(folder, flags, received, body.as_bytes())
            .unwrap();
    }
}

/// Folder → digests of what follows the header, sorted.
fn bodies(server: &Server, user: &str) -> BTreeMap<String, Vec<String>> {
    let mut client = server.client(user);
    let mut out = BTreeMap::new();
    for folder in ["INBOX", "Work"] {
        client.ok(&format!("EXAMINE {folder}")).unwrap();
        let mut all: Vec<String> = client
            .fetch_all()
            .unwrap()
            .into_iter()
            .map(|message| {
                let at = message.body.windows(4).position(|four| four == b"\r\n\r\n");
                ContentDigest::of(&message.body[at.unwrap()..]).to_string()
            })
            .collect();
        all.sort();
        out.insert(folder.to_owned(), all);
    }
    out
}

/// mbsync copies INBOX and Work, as it does by itself: received now, with a header of its own.
fn mbsync(from: (&Server, &str), to: (&Server, &str)) -> bool {
    let Some(program) = std::env::var_os("MAILMOVE_TEST_MBSYNC") else {
        let required = std::env::var("MAILMOVE_REQUIRE").is_ok_and(|all| all.contains("mbsync"));
        assert!(
            !required,
            "MAILMOVE_TEST_MBSYNC is not set, and mbsync is required"
        );
        eprintln!("SKIPPED: MAILMOVE_TEST_MBSYNC is not set; see `cargo xtask servers`");
        return false;
    };
    let home = tempfile::tempdir().unwrap();
    let side = |name: &str, (server, user): (&Server, &str)| {
        format!(
            "IMAPStore {name}\nHost localhost\nPort {}\nUser {user}\nPass {PASSWORD}\nSSLType IMAPS\n\
             CertificateFile {}\nAuthMechs PLAIN\n\n",
            server.tls_port, server.ca
        )
    };
    let config = format!(
        "{}{}Channel all\nFar :left:\nNear :right:\nPatterns INBOX Work\nSync Pull\nCreate Near\n\
         SyncState {}/\n",
        side("left", from),
        side("right", to),
        home.path().display()
    );
    let file = home.path().join("config");
    std::fs::write(&file, config).unwrap();
    let output = Command::new(program)
        .env("HOME", home.path())
        .arg("-c")
        .arg(&file)
        .args(["-V", "all"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    true
}

#[test]
fn half_filled_by_mbsync() {
    let (Some(source), Some(destination)) = (server("a"), server("b")) else {
        return;
    };
    let (ann, bob) = (fresh("ann"), fresh("bob"));
    for folder in ["INBOX", "Work"] {
        letters(&source, &ann, folder, 0..60);
    }
    if !mbsync((&source, &ann), (&destination, &bob)) {
        return;
    }
    let mut client = destination.client(&bob);
    client.ok("SELECT INBOX").unwrap();
    client.ok("UID STORE 1:10 +FLAGS (\\Flagged)").unwrap();
    drop(client);
    for folder in ["INBOX", "Work"] {
        letters(&source, &ann, folder, 60..110);
    }
    let job = || Job::new(source.tls(&ann), destination.tls(&bob), &source.ca);
    let first = job();
    let report = first.migrate();
    assert_eq!(sum(&report, "already_there"), 120, "{report:#}");
    assert_eq!(sum(&report, "copied"), 100, "{report:#}");
    assert_eq!(bodies(&source, &ann), bodies(&destination, &bob));
    assert_eq!(sum(&first.migrate(), "copied"), 0);
    let (code, verification, errors) = first.run_with("verify", &["--full"]);
    assert_eq!(code, Some(0), "{verification:#}\n{errors}");
    // Nor does one copy anything that remembers nothing.
    let report = job().migrate();
    assert_eq!(sum(&report, "copied"), 0, "{report:#}");
    assert_eq!(sum(&report, "already_there"), 220);
}

#[test]
fn state_deleted_after_kills() {
    let (Some(source), Some(destination)) = (server("a"), server("b")) else {
        return;
    };
    let (ann, bob) = (fresh("ann"), fresh("bob"));
    source.fill(&ann, 1200, 21);
    let mut killed = 0;
    for wait in [400, 900, 1500] {
        // Each with a state of its own, which goes with it.
        let job = Job::new(source.tls(&ann), destination.tls(&bob), &source.ca);
        let mut child = job
            .command("migrate")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        killed += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(killed > 0, "each run was faster than its kill");
    let job = Job::new(source.tls(&ann), destination.tls(&bob), &source.ca);
    job.migrate();
    assert_equal(&source.dump(&ann), &destination.dump(&bob));
    assert_eq!(sum(&job.migrate(), "copied"), 0);
}

#[test]
fn numbers_that_change_on_either_side() {
    for of_source in [true, false] {
        let (Some(source), Some(destination)) = (server("a"), server("b")) else {
            return;
        };
        let (ann, bob) = (fresh("ann"), fresh("bob"));
        source.fill(&ann, 250, 22);
        let job = Job::new(source.tls(&ann), destination.tls(&bob), &source.ca);
        let copied = sum(&job.migrate(), "copied");
        let (side, user) = if of_source {
            (&source, &ann)
        } else {
            (&destination, &bob)
        };
        for folder in ["INBOX", "Work"] {
            let validity = ["mailbox", "update", "-u", user, "--uid-validity", "77777"];
            side.doveadm(&[&validity[..], &[folder]].concat());
        }
        let report = job.migrate();
        assert_eq!(sum(&report, "copied"), 0, "{report:#}");
        assert_eq!(
            sum(&report, "earlier") + sum(&report, "already_there"),
            copied
        );
        assert_equal(&source.dump(&ann), &destination.dump(&bob));
        let (code, verification, errors) = job.run_with("verify", &["--full"]);
        assert_eq!(code, Some(0), "{verification:#}\n{errors}");
    }
}

#[test]
fn what_a_destination_lost_is_repaired() {
    let (Some(source), Some(destination)) = (server("a"), server("b")) else {
        return;
    };
    let (ann, bob) = (fresh("ann"), fresh("bob"));
    source.fill(&ann, 250, 23);
    let job = Job::new(source.tls(&ann), destination.tls(&bob), &source.ca);
    job.migrate();
    let mut client = destination.client(&bob);
    client.ok("SELECT INBOX").unwrap();
    client.ok("UID STORE 1:40 +FLAGS (\\Deleted)").unwrap();
    client.ok("EXPUNGE").unwrap();
    client.ok("UNSELECT").unwrap();
    client.ok("DELETE Work").unwrap();
    drop(client);
    let (code, _, _) = job.run("verify");
    assert_eq!(code, Some(1));
    let (code, report, _) = job.run("migrate");
    assert_eq!(code, Some(1), "the loss is told: {report:#}");
    let (code, verification, errors) = job.run_with("verify", &["--full", "--repair"]);
    assert_eq!(code, Some(0), "{verification:#}\n{errors}");
    assert_equal(&source.dump(&ann), &destination.dump(&bob));
    assert_eq!(sum(&job.migrate(), "copied"), 0);
}
