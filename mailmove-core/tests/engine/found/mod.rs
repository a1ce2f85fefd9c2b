//! Ways in which mail was lost or doubled once, each found by reading or by [`crate::simulate`].

mod changes;
mod doubt;
mod folded;
mod surplus;
mod there;
mod variants;

use mailmove_core::model::Batching;
use mailmove_testkit::mailbox::Account;

use crate::world::World;

pub(crate) fn accounts(world: &World) -> (Account, Account) {
    let (source, destination) = (world.source.account(), world.destination.account());
    (source.clone(), destination.clone())
}

pub(crate) fn batches(mut world: World, most: usize, atomic: bool) -> World {
    let batching = Batching::new(most, 1 << 20, atomic);
    world.destination = world.destination.configure(|can| can.batching = batching);
    world
}

pub(crate) fn moved(account: &Account, from: &str, uids: &[u32], to: &str) {
    let from = account.folder(&[from]).unwrap().id;
    let to = match account.folder(&[to]) {
        Ok(folder) => folder.id,
        Err(_) => account.create(&[to]).unwrap(),
    };
    account.move_messages(from, uids, to).unwrap();
}

pub(crate) fn removed(account: &Account, folder: &str, uids: &[u32]) {
    let id = account.folder(&[folder]).unwrap().id;
    account.remove(id, uids).unwrap();
}
