//! What goes wrong, told in one clear error with its remedy and the right exit code.

use crate::world::{Job, fresh, server, sum};

#[test]
fn a_wrong_password() {
    let Some(server) = server("a") else { return };
    let job = Job::new(
        server.tls(&fresh("ann")),
        server.tls(&fresh("bob")),
        &server.ca,
    );
    let output = job
        .command("migrate")
        .env("MAILMOVE_TO_PASSWORD", "wrong")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(
        errors.contains("remedy:") && errors.contains("destination"),
        "{errors}"
    );
    assert!(!errors.contains("wrong"), "the password is shown: {errors}");
}

#[test]
fn an_expired_certificate() {
    let Some(server) = server("a") else { return };
    let from = format!("imaps://{}@localhost:{}", fresh("ann"), server.expired_port);
    let job = Job::new(from, server.tls(&fresh("bob")), &server.ca);
    let (code, _, errors) = job.run("migrate");
    assert_eq!(code, Some(3), "{errors}");
    assert!(
        errors.contains("expired") && errors.contains("remedy:"),
        "{errors}"
    );
}

#[test]
fn an_unknown_authority() {
    let Some(server) = server("a") else { return };
    let job = Job::new(
        server.tls(&fresh("ann")),
        server.tls(&fresh("bob")),
        &server.ca,
    );
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mailmove"));
    let output = command
        .args(["plan", "--from", &job.from, "--to", &job.to, "--state"])
        .arg(job.state.path())
        .envs([
            ("MAILMOVE_FROM_PASSWORD", "pw"),
            ("MAILMOVE_TO_PASSWORD", "pw"),
        ])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(errors.contains("--ca-file"), "{errors}");
}

#[test]
fn a_full_mailbox_takes_what_fits() {
    let Some(server) = server("a") else { return };
    let (ann, bob) = (fresh("ann"), fresh("quota"));
    let mut client = server.client(&ann);
    let line = "x".repeat(70) + "\r\n";
    let filler = line.repeat(700);
    for n in 0..40 {
        let body = format!("Subject: {n}\r\n\r\n{filler}");
        let received = mailmove_core::model::Timestamp::new(1_500_000_000 + n, 0);
        client
            .append("INBOX", &[], received, body.as_bytes())
            .unwrap();
    }
    let job = Job::new(server.tls(&ann), server.tls(&bob), &server.ca);
    let (code, report, errors) = job.run("migrate");
    assert_eq!(code, Some(3), "{report:#}\n{errors}");
    let stopped = ["/stopped", "/report/stopped"]
        .iter()
        .find_map(|at| report.pointer(at))
        .unwrap();
    assert_eq!(stopped["kind"], "quota", "{report:#}");
    assert!(stopped["remedy"].is_string(), "{report:#}");
    let copied = sum(&report, "copied");
    // 1 MB takes about twenty of 50 KB.
    assert!((15..=22).contains(&copied), "{copied} copied: {report:#}");
    assert_eq!(server.dump(&bob).values().flatten().count() as u64, copied);
}

#[test]
fn a_read_only_folder_costs_that_folder() {
    let Some(server) = server("a") else { return };
    let (ann, bob) = (fresh("ann"), fresh("bob"));
    server.fill(&ann, 60, 14);
    server.client(&bob).ok("CREATE Work").unwrap();
    server.doveadm(&["acl", "set", "-u", &bob, "Work", "owner", "lookup", "read"]);
    let job = Job::new(server.tls(&ann), server.tls(&bob), &server.ca);
    let (code, report, errors) = job.run("migrate");
    assert_eq!(code, Some(1), "{report:#}\n{errors}");
    let source = server.dump(&ann);
    let destination = server.dump(&bob);
    assert_eq!(source.get("INBOX"), destination.get("INBOX"));
    assert!(
        !destination.contains_key("Work"),
        "{:?}",
        destination.keys()
    );
}
