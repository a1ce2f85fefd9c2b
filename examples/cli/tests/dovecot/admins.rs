//! Master users: by authorization identity, and by a login name that says both.

use crate::world::{Job, MASTER_PASSWORD, assert_equal, fresh, server, sum};

#[test]
fn a_master_user_opens_other_peoples_mailboxes_in_both_styles() {
    let (Some(source), Some(destination)) = (server("a"), server("b")) else {
        return;
    };
    let (ann, bob) = (fresh("ann"), fresh("bob"));
    source.fill(&ann, 60, 21);
    let mut found = 0;
    for (style, protected) in [
        ("", true),
        ("&style=master", true),
        ("&style=master", false),
    ] {
        let url = |server: &crate::world::Server, user: &str| match protected {
            true => format!("{}?as={user}{style}", server.tls("boss")),
            false => format!("{}&as={user}{style}", server.plain("boss")),
        };
        let job = Job::new(url(&source, &ann), url(&destination, &bob), &source.ca);
        let mut command = job.command("migrate");
        command
            .env("MAILMOVE_FROM_PASSWORD", MASTER_PASSWORD)
            .env("MAILMOVE_TO_PASSWORD", MASTER_PASSWORD);
        let (code, report, errors) = Job::finish(command);
        assert_eq!(code, Some(0), "{style}: {errors}");
        // Each job has a ledger of its own here: what is there already is recognised.
        assert_eq!(
            sum(&report, "copied") + sum(&report, "already_there"),
            sum(&report, "found")
        );
        found = sum(&report, "found");
    }
    assert!(found > 50);
    assert_equal(&source.dump(&ann), &destination.dump(&bob));
}
