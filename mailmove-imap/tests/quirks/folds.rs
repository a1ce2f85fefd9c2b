//! Destinations that keep one of several equal messages, and do not say beforehand that they do.

use std::sync::{Mutex, PoisonError};

use mailmove_core::{model::AlterationKind, report::Status};
use mailmove_imap_testserver::Capability;

use crate::{
    twist::{Act, Twist},
    world::{Side, World, mails},
};

/// Of messages with the same size the first is stored, and named for the others too.
fn folding() -> Twist {
    let stored = Mutex::new(Vec::<String>::new());
    Twist::commands(move |command| {
        let Some(size) = command.strip_prefix("APPEND \"INBOX\"") else {
            return Act::Pass;
        };
        let size = size.trim_end().rsplit('{').next().unwrap().to_owned();
        let mut stored = stored.lock().unwrap_or_else(PoisonError::into_inner);
        match stored.iter().position(|one| *one == size) {
            Some(at) => Act::Answer(format!("T OK [APPENDUID 1 {}] done", at + 1)),
            None => {
                stored.push(size);
                Act::Pass
            }
        }
    })
}

#[tokio::test]
async fn a_server_that_folds_equal_messages() {
    let mut to = Side::new(|it| it.without(Capability::MultiAppend), None).await;
    let inbox = to.account.folder(&["INBOX"]).unwrap();
    to.account.force_uidvalidity(inbox.id, 1).unwrap();
    let port = folding().before(to.server.plain_address().port()).await;
    to.config = to.config.clone().with_port(port);
    let world = World::of(Side::new(|it| it, None).await, to);
    let mut messages = mails(0..3);
    messages.insert(1, messages[0].clone());
    messages.push(messages[2].clone());
    world.from.add(&["INBOX"], messages);

    let report = world.run().await;
    assert_eq!(report.status(), Status::Complete, "{report:#?}");
    let total = report.total();
    assert_eq!((total.copied, total.already_there, total.open), (3, 2, 0));
    let altered = &report.folders[0].altered;
    assert_eq!(altered[&AlterationKind::MergedByServer], 2);
    assert_eq!(world.to.account.messages(inbox.id).unwrap().len(), 3);

    let again = world.run().await.total();
    assert_eq!((again.copied, again.removed_there, again.open), (0, 0, 0));
    assert_eq!(world.to.account.messages(inbox.id).unwrap().len(), 3);
}
