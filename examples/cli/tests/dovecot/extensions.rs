//! Extensions that a real server has.

use mailmove_core::model::Timestamp;

use crate::world::{Job, assert_equal, fresh, server, sum};

#[test]
fn compressed_both_ways() {
    let (Some(source), Some(destination)) = (server("a"), server("b")) else {
        return;
    };
    let (ann, bob) = (fresh("ann"), fresh("bob"));
    source.fill(&ann, 300, 21);
    let job = Job::new(source.tls(&ann), destination.starttls(&bob), &source.ca);
    for copied in [true, false] {
        let (code, report, errors) = job.run_with("migrate", &["--compress"]);
        assert_eq!(code, Some(0), "{report:#}\n{errors}");
        assert_eq!(sum(&report, "copied") > 0, copied);
        assert_equal(&source.dump(&ann), &destination.dump(&bob));
    }
}

#[test]
fn nul_arrives_where_binary_is_offered() {
    let (Some(source), Some(destination)) = (server("a"), server("b")) else {
        return;
    };
    let (ann, bob) = (fresh("ann"), fresh("bob"));
    let body = b"Subject: nul\r\n\r\none \0 two \0\0 and \x80\r\n";
    let mut client = source.client(&ann);
    client
        .append("INBOX", &[], Timestamp::new(1_500_000_000, 0), body)
        .unwrap();
    let job = Job::new(source.tls(&ann), destination.tls(&bob), &source.ca);
    assert_eq!(sum(&job.migrate(), "copied"), 1);
    let mut client = destination.client(&bob);
    client.ok("EXAMINE INBOX").unwrap();
    let mut one = client.fetch_all().unwrap().pop().unwrap();
    client.unmask(&mut one).unwrap();
    assert_eq!(one.body, body);
    let (code, _, errors) = job.run_with("verify", &["--full"]);
    assert_eq!(code, Some(0), "{errors}");
}

#[test]
fn a_plan_warns_of_a_quota() {
    let Some(server) = server("a") else { return };
    let (ann, bob) = (fresh("ann"), fresh("quota"));
    let mut client = server.client(&ann);
    for n in 0..4 {
        let body = format!("Subject: {n}\r\n\r\n{}", "x\r\n".repeat(120_000));
        let received = Timestamp::new(1_500_000_000 + n, 0);
        client
            .append("INBOX", &[], received, body.as_bytes())
            .unwrap();
    }
    let job = Job::new(server.tls(&ann), server.tls(&bob), &server.ca);
    let (code, told, errors) = job.run("plan");
    assert_eq!(code, Some(0), "{errors}");
    let warning = told
        .pointer("/plan/warnings/0")
        .or(told.pointer("/warnings/0"))
        .unwrap_or_else(|| panic!("{told:#}"));
    assert_eq!(warning["warning"], "no-room", "{told:#}");
    assert_eq!(warning["free"], 1 << 20, "{told:#}");
    assert!(warning["needed"].as_u64().unwrap() > 1_400_000, "{told:#}");
}

#[test]
fn a_plan_warns_of_a_read_only_folder() {
    let Some(server) = server("a") else { return };
    let (ann, bob) = (fresh("ann"), fresh("bob"));
    server.fill(&ann, 60, 22);
    server.client(&bob).ok("CREATE Work").unwrap();
    server.doveadm(&["acl", "set", "-u", &bob, "Work", "owner", "lookup", "read"]);
    let job = Job::new(server.tls(&ann), server.tls(&bob), &server.ca);
    let (code, told, errors) = job.run("plan");
    assert_eq!(code, Some(0), "{errors}");
    let warnings = told["plan"]["warnings"]
        .as_array()
        .or(told["warnings"].as_array())
        .unwrap_or_else(|| panic!("{told:#}"));
    let kinds: Vec<_> = warnings.iter().map(|one| &one["warning"]).collect();
    // Of the folder, and of the one below it that is yet to be made.
    assert_eq!(kinds, ["read-only", "cannot-create"], "{told:#}");
}
