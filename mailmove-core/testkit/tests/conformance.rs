//! The in-memory mailbox passes the suite, in all its variations, and through pointers.

use std::sync::Arc;

use mailmove_core::model::{Batching, Capabilities};
use mailmove_testkit::{
    conformance::{self, Harness, MemoryHarness, Wrapped},
    memory::MemoryMailbox,
};

fn main() {
    let memory: Arc<dyn Harness> = Arc::new(MemoryHarness::new("memory"));
    // As little as an adapter may promise.
    let plain = MemoryHarness::new("memory-plain").with(|mailbox| {
        mailbox.with_page(7).with_inline(None).configure(|can| {
            can.batching = Batching::new(3, 5000, false);
            can.keeps_keywords = false;
            can.keeps_received = false;
            can.returns_ids = false;
            can.change_tokens = false;
            can.deltas = false;
            can.sets_flags = false;
            can.moves = false;
            can.removes = false;
        })
    });
    let picky = MemoryHarness::new("memory-picky").with(|mailbox| {
        mailbox
            .with_page(1)
            .with_inline(Some(1000))
            .with_opaque_marks()
            .configure(|can| {
                can.batching = Batching::new(4, 1 << 16, true);
                can.naming.separator = Some('.');
                can.naming.forbidden = "%*".to_owned();
                can.naming.case_insensitive = true;
                can.max_message = Some(60 << 20);
            })
    });
    let streams = MemoryHarness::new("memory-streams").with(MemoryMailbox::with_streams);
    let one_by_one = MemoryHarness::new("memory-streams-singly").with(|mailbox| {
        let single = |can: &mut Capabilities| can.batching = Batching::new(4, 1 << 16, false);
        mailbox.with_streams().configure(single)
    });
    conformance::main([
        Arc::clone(&memory),
        Arc::new(plain),
        Arc::new(picky),
        Arc::new(streams),
        Arc::new(one_by_one),
        Arc::new(Wrapped::arc(Arc::clone(&memory))),
        Arc::new(Wrapped::boxed(memory)),
    ]);
}
