//! Destinations that fold identical messages, and what happens to them later.

use super::{accounts, batches, moved};
use crate::world::{World, add, mail, subjects};

#[tokio::test]
async fn what_was_folded_stays_when_its_twin_moves() {
    for at in [1, 2] {
        let mut world = batches(World::new(), 2, false);
        world.destination = world.destination.with_late_merging();
        let (source, destination) = accounts(&world);
        for subject in ["twin", "twin", "other"] {
            add(&source, &["INBOX"], mail(subject, 1));
        }
        world.run().await;
        moved(&source, "INBOX", &[at], "Work");
        world.run().await;
        assert_eq!(subjects(&destination, "INBOX"), ["other", "twin"], "{at}");
        assert_eq!(subjects(&destination, "Work"), ["twin"], "{at}");
        assert!(world.verify().await.is_clean());
        // And when the other one follows it.
        moved(&source, "INBOX", &[3 - at], "Work");
        world.run().await;
        assert_eq!(subjects(&destination, "Work"), ["twin"], "{at}");
    }
}
