//! What is noted about folders.

use mailmove_core::{
    ErrorKind,
    model::{Annotation, FolderPath, LONGEST_ANNOTATION},
};
use mailmove_testkit::memory::Fault;

use crate::world::*;

fn path(name: &str) -> FolderPath {
    FolderPath::new([name])
}

/// Two folders, one with notes.
fn annotated() -> World {
    let mut world = World::new();
    world.options.annotations = true;
    add(world.source.account(), &["Box"], mail("a", 1));
    add(world.source.account(), &["Other"], mail("b", 1));
    let note = |name: &str, value: &[u8]| {
        let annotation = Annotation::new(name, value.to_vec());
        world.source.note(&path("Box"), annotation);
    };
    note("/private/comment", b"of mine");
    note("/shared/comment", b"any \0 bytes \r\n\xff");
    note("/shared/empty", b"");
    world
}

#[tokio::test]
async fn they_are_left_alone_unless_asked_for() {
    let mut world = annotated();
    world.options.annotations = false;
    let report = world.run().await;
    assert_eq!(of(&report, "Box").annotations, None);
    assert!(world.destination.notes(&path("Box")).found.is_empty());
    let asked = (
        world.source.counters().noted,
        world.destination.counters().noted,
    );
    assert_eq!(asked, (0, 0));
}

#[tokio::test]
async fn they_are_carried_over_once() {
    let world = annotated();
    let before = world.source.notes(&path("Box"));
    let report = world.run().await;
    let noted = of(&report, "Box").annotations.clone().unwrap();
    assert_eq!((noted.copied, noted.equal), (3, 0));
    assert_eq!(world.destination.notes(&path("Box")), before);
    let none = of(&report, "Other").annotations.clone().unwrap();
    assert_eq!((none.copied, none.left_out), (0, false));
    assert_eq!(world.destination.counters().noting, 1);
    // A second pass sends nothing that is equal, and what is new.
    let noted = of(&world.run().await, "Box").annotations.clone().unwrap();
    assert_eq!((noted.copied, noted.equal), (0, 3));
    assert_eq!(world.destination.counters().noting, 1);
    world
        .source
        .note(&path("Other"), Annotation::new("/private/new", "x"));
    let noted = of(&world.run().await, "Other").annotations.clone().unwrap();
    assert_eq!((noted.copied, world.destination.counters().noting), (1, 2));
    assert_eq!(world.source.notes(&path("Box")), before);
    assert_eq!(world.source.counters().noting, 0);
}

#[tokio::test]
async fn what_the_destination_has_stands_and_what_it_refuses_is_told() {
    let world = annotated();
    let long = Annotation::new("/private/long", vec![b'x'; LONGEST_ANNOTATION + 1]);
    world.source.note(&path("Box"), long);
    let own = Annotation::new("/PRIVATE/comment", "of the destination");
    add(world.destination.account(), &["Box"], mail("c", 1));
    world.destination.note(&path("Box"), own.clone());
    world.destination.refuse_note("/shared/comment");
    for pass in 0..2 {
        let report = world.run().await;
        let noted = of(&report, "Box").annotations.clone().unwrap();
        assert_eq!((noted.copied, noted.equal), (1 - pass, pass));
        assert_eq!(noted.kept, ["/private/comment"]);
        let refused: Vec<_> = noted.refused.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(refused, ["/shared/comment"]);
        assert!(noted.refused[0].reason.contains("no such annotation"));
        assert!(noted.left_out);
    }
    let there = world.destination.notes(&path("Box"));
    assert_eq!(there.value("/private/comment"), Some(&own.value));
    assert_eq!(there.value("/shared/empty").unwrap(), "");
}

#[tokio::test]
async fn passing_failures_are_tried_again() {
    // One folder after the other, so that each run does the same in the same order.
    let scene = || {
        let mut world = annotated();
        world.options.concurrency = Some(1);
        world
    };
    let last = {
        let again = scene();
        again.run().await;
        again.destination.counters().operations
    };
    let mut failed = 0;
    for at in 0..last {
        let world = scene();
        world
            .destination
            .arm(Fault::Operation(at, ErrorKind::Interrupted));
        world.run().await;
        let before = world.source.notes(&path("Box"));
        assert_eq!(world.destination.notes(&path("Box")), before, "{at}");
        failed += usize::from(world.destination.counters().noting > 1);
    }
    // At least once it was the request to note something itself.
    assert!(failed > 0);
}
