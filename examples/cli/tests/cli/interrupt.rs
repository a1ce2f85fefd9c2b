//! Signals, and two programs at once.

use std::{
    io::Read as _,
    process::{Child, Command, Stdio},
};

use crate::support::{World, run};

/// A run that is slow enough to be caught in the middle.
fn start(world: &World) -> Child {
    let mut command = world.command("migrate", &["--bandwidth", "100kB/s"]);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn until_it_copies(world: &World) {
    while world.destination.counters().messages_appended == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

async fn wait(mut child: Child) -> (Option<i32>, String) {
    tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        (child.wait().unwrap().code(), text)
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_in_order_and_the_same_command_goes_on() {
    let world = World::new().await;
    world.fill(300);
    let child = start(&world);
    until_it_copies(&world).await;

    // Meanwhile the same job cannot run twice.
    world.run("migrate", &[]).await.fails(3, &["remedy: "]);

    signal(&child, "-INT");
    let (code, text) = wait(child).await;
    assert_eq!(code, Some(130), "{text}");
    assert!(
        text.contains("interrupted: waiting for what was sent"),
        "{text}"
    );

    world.run("migrate", &[]).await.succeeds();
    world.difference().none().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_once_and_the_same_command_goes_on() {
    let world = World::new().await;
    world.fill(300);
    for name in ["-KILL", "-TERM"] {
        let child = start(&world);
        until_it_copies(&world).await;
        signal(&child, name);
        let (code, text) = wait(child).await;
        assert!(matches!(code, None | Some(130)), "{code:?}: {text}");
        world.destination.reset_counters();
    }
    // The test server stores at once what it stores at all.
    run(world.command("migrate", &["--late", "5"]))
        .await
        .succeeds();
    world.difference().none().unwrap();
}
