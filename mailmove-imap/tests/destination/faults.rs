use std::time::Duration;

use mailmove_core::{Destination as _, ErrorKind, destination::Outcome, model::Content};
use mailmove_imap_testserver::{Action, Builder, Capability};

use crate::support::*;

fn singles(server: Builder) -> Builder {
    server.without(Capability::MultiAppend)
}

fn abc() -> Vec<mailmove_core::destination::Outgoing> {
    ["a", "b", "c"].map(outgoing).to_vec()
}

#[tokio::test]
async fn a_refused_batch_says_that_one_of_it_is_at_fault() {
    let world = world(|server| server).await;
    world.account.configure(|limits| limits.refuse_nul = true);
    let folder = world.ensure(&["Box"]).await;
    let mut items = abc();
    items[1].content = Content::from_bytes("Subject: x\r\n\r\n\0\r\n");
    let outcomes = world.append(&folder, items.clone()).await;
    assert_eq!(shown(&outcomes), ["not-stored imap/batch-refused"; 3]);
    assert!(world.stored(&["Box"]).is_empty());
    // The engine sends them one by one then.
    let outcomes = world.append(&folder, vec![items.remove(1)]).await;
    let [Outcome::NotStored(error)] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(
        (error.kind(), error.scope()),
        (ErrorKind::Refused, mailmove_core::Scope::Message)
    );
    assert_eq!(shown(&world.append(&folder, items).await), ["stored"; 2]);
}

#[tokio::test]
async fn of_single_appends_only_the_refused_one_is_not_stored() {
    let world = world(singles).await;
    let folder = world.ensure(&["Box"]).await;
    world
        .server
        .faults()
        .arm("APPEND", 2, Action::No("I do not like it".to_owned()));
    let outcomes = world.append(&folder, abc()).await;
    assert_eq!(shown(&outcomes), ["stored", "not-stored imap/no", "stored"]);
    assert_eq!(world.bodies(&["Box"]), [mail("a"), mail("c")]);
}

#[tokio::test]
async fn a_refusal_of_unsure_meaning_is_unknown() {
    for code in ["UNAVAILABLE", "SERVERBUG", "INUSE"] {
        for multi in [true, false] {
            let world = world(|server| if multi { server } else { singles(server) }).await;
            let folder = world.ensure(&["Box"]).await;
            world
                .server
                .faults()
                .arm("APPEND", 1, Action::No(format!("[{code}] oh")));
            let outcomes = world.append(&folder, vec![outgoing("a")]).await;
            assert!(
                matches!(&outcomes[0], Outcome::Unknown(_)),
                "{code} {outcomes:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_full_mailbox_stops_the_rest() {
    let world = world(singles).await;
    let folder = world.ensure(&["Box"]).await;
    world
        .account
        .configure(|limits| limits.quota_messages = Some(40));
    let items: Vec<_> = (0..80).map(|n| outgoing(&format!("m{n}"))).collect();
    let outcomes = world.append(&folder, items).await;
    let shown = shown(&outcomes);
    assert_eq!(shown.iter().filter(|one| *one == "stored").count(), 40);
    assert_eq!(
        shown
            .iter()
            .filter(|one| *one == "not-stored imap/overquota")
            .count(),
        40
    );
    // Not every one of them was tried.
    assert!(world.server.counters().command("APPEND") < 80);
    let [.., Outcome::NotStored(error)] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(error.kind(), ErrorKind::Quota);
    assert!(error.remedy().is_some());
}

#[tokio::test]
async fn a_read_only_folder_is_said_once_for_all() {
    let world = world(|server| server).await;
    let folder = world.ensure(&["Box"]).await;
    let id = world.account.folder(&["Box"]).unwrap().id;
    world.account.set_read_only(id, true).unwrap();
    let outcomes = world.append(&folder, abc()).await;
    for outcome in &outcomes {
        let Outcome::NotStored(error) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(
            (error.kind(), error.scope()),
            (ErrorKind::Denied, mailmove_core::Scope::Folder)
        );
    }
}

#[tokio::test]
async fn bad_drops_the_connection_and_no_literal_goes_unasked_again() {
    for multi in [true, false] {
        let world = world(|server| if multi { server } else { singles(server) }).await;
        let folder = world.ensure(&["Box"]).await;
        world
            .server
            .faults()
            .arm("APPEND", 1, Action::Bad("what?".to_owned()));
        let outcomes = world.append(&folder, abc()).await;
        assert!(matches!(&outcomes[0], Outcome::Unknown(_)), "{outcomes:?}");
        assert!(
            !shown(&outcomes).contains(&"stored".to_owned()),
            "{outcomes:?}"
        );
        let before = world.server.counters();
        let outcomes = world.append(&folder, abc()).await;
        assert_eq!(shown(&outcomes), ["stored"; 3]);
        let after = world.server.counters();
        assert_eq!(
            after.literals_non_synchronising,
            before.literals_non_synchronising
        );
        assert_eq!(
            after.literals_synchronising - before.literals_synchronising,
            3
        );
        assert!(after.connections > before.connections);
    }
}

#[tokio::test]
async fn a_connection_lost_before_the_answer_leaves_it_open() {
    let cut = [
        Action::Close,
        Action::CloseInLiteral(10),
        Action::CloseUnanswered,
        Action::CloseInReply(3),
        Action::LandAfter(Duration::from_millis(20)),
    ];
    for action in cut {
        for multi in [true, false] {
            let world = world(|server| if multi { server } else { singles(server) }).await;
            let folder = world.ensure(&["Box"]).await;
            world.server.faults().arm("APPEND", 1, action.clone());
            let outcomes = world.append(&folder, vec![outgoing("a")]).await;
            assert!(
                matches!(&outcomes[0], Outcome::Unknown(_)),
                "{action:?} {outcomes:?}"
            );
            // The next request finds a new connection.
            assert_eq!(
                shown(&world.append(&folder, vec![outgoing("b")]).await),
                ["stored"]
            );
        }
    }
}

#[tokio::test]
async fn answers_that_came_before_the_loss_count() {
    let world = world(singles).await;
    let folder = world.ensure(&["Box"]).await;
    world
        .server
        .faults()
        .arm("APPEND", 2, Action::CloseAnswered);
    let outcomes = world.append(&folder, abc()).await;
    let shown = shown(&outcomes);
    assert_eq!(shown[..2], ["stored", "stored"]);
    assert_ne!(shown[2], "stored");
    assert_eq!(world.bodies(&["Box"]), [mail("a"), mail("b")]);
}

#[tokio::test]
async fn a_good_bye_is_repeated_to_the_user() {
    let world = world(|server| server).await;
    let folder = world.ensure(&["Box"]).await;
    world.server.faults().arm(
        "APPEND",
        1,
        Action::Bye("maintenance until noon".to_owned()),
    );
    let outcomes = world.append(&folder, abc()).await;
    let Outcome::Unknown(error) = &outcomes[0] else {
        panic!("{outcomes:?}")
    };
    assert!(
        error.to_string().contains("maintenance until noon"),
        "{error}"
    );
}

#[tokio::test]
async fn a_lost_idle_connection_is_replaced() {
    let world = world(|server| server).await;
    world
        .server
        .faults()
        .arm("STATUS", 1, Action::CloseAnswered);
    let folder = world.ensure(&["Box"]).await;
    // The server needs a moment to close; whether it has or not, the next request must do.
    for _ in 0..3 {
        if let Ok(mark) = world.destination.mark(&folder.id).await {
            assert_eq!(Some(mark), folder.mark);
            return;
        }
    }
    panic!("no new connection was opened");
}
