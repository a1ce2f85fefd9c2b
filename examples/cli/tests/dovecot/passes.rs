//! First, second and third run.

use mailmove_core::model::Timestamp;

use crate::world::{Job, Server, assert_equal, fresh, server, sum};

fn migrates(from: &str, to: &str, url: impl Fn(&Server, &str) -> String) {
    let (Some(source), Some(destination)) = (server(from), server(to)) else {
        return;
    };
    let (ann, bob) = (fresh("ann"), fresh("bob"));
    source.fill(&ann, 400, 11);
    let job = Job::new(url(&source, &ann), url(&destination, &bob), &source.ca);
    let report = job.migrate();
    assert_eq!(sum(&report, "copied"), sum(&report, "found"));
    assert_equal(&source.dump(&ann), &destination.dump(&bob));
    let again = job.migrate();
    assert_eq!(sum(&again, "copied"), 0);
    assert_eq!(sum(&again, "earlier"), sum(&report, "copied"));
    assert_equal(&source.dump(&ann), &destination.dump(&bob));
}

#[test]
fn over_tls() {
    migrates("a", "b", Server::tls);
}

#[test]
fn over_starttls() {
    migrates("b", "a", Server::starttls);
}

#[test]
fn in_plain() {
    migrates("a", "a", Server::plain);
}

#[test]
fn to_and_from_a_server_that_can_do_little() {
    migrates("a", "c", Server::tls);
    migrates("c", "a", Server::tls);
}

#[test]
fn a_third_run_brings_the_new_merges_flags_and_moves_the_moved() {
    let (Some(source), Some(destination)) = (server("a"), server("b")) else {
        return;
    };
    let (ann, bob) = (fresh("ann"), fresh("bob"));
    source.fill(&ann, 300, 12);
    let job = Job::new(source.tls(&ann), destination.tls(&bob), &source.ca);
    job.migrate();
    let next_before = uid_next(&destination, &bob);
    let mut client = source.client(&ann);
    for n in 0..50 {
        let body = format!("Message-ID: <new{n}@x>\r\nSubject: new {n}\r\n\r\nhello {n}\r\n");
        let received = Timestamp::new(1_700_000_000 + n, 60);
        client
            .append("INBOX", &[], received, body.as_bytes())
            .unwrap();
    }
    client.ok("SELECT INBOX").unwrap();
    client
        .ok("UID STORE 1:20 +FLAGS (\\Flagged $Later)")
        .unwrap();
    client.ok("UID MOVE 21:25 Work").unwrap();
    client.ok("UNSELECT").unwrap();
    let report = job.migrate();
    assert_eq!(sum(&report, "copied"), 50);
    assert_eq!(sum(&report, "moved"), 5);
    assert_eq!(sum(&report, "flags_changed"), 20);
    assert_equal(&source.dump(&ann), &destination.dump(&bob));
    // Exactly the new ones came into the inbox: nothing was appended beside them.
    assert_eq!(uid_next(&destination, &bob) - next_before, 50);
    let (code, verification, errors) = job.run("verify");
    assert_eq!(code, Some(0), "{verification:#}\n{errors}");
}

fn uid_next(server: &Server, user: &str) -> u32 {
    let lines = server.client(user).ok("STATUS INBOX (UIDNEXT)").unwrap();
    let text = String::from_utf8_lossy(&lines.concat()).into_owned();
    let digits = text.rsplit("UIDNEXT ").next().unwrap();
    digits.trim_end_matches([')', '\r', '\n']).parse().unwrap()
}

#[test]
fn a_lost_state_directory_doubles_nothing() {
    let (Some(source), Some(destination)) = (server("a"), server("b")) else {
        return;
    };
    let (ann, bob) = (fresh("ann"), fresh("bob"));
    source.fill(&ann, 300, 13);
    let job = || Job::new(source.tls(&ann), destination.tls(&bob), &source.ca);
    job().migrate();
    let report = job().migrate();
    assert_eq!(sum(&report, "already_there"), sum(&report, "found"));
    assert_equal(&source.dump(&ann), &destination.dump(&bob));
}
