//! The gate notices what was never validated, and the server shares nothing with the adapter.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use support::{client, start};

#[tokio::test(flavor = "multi_thread")]
async fn an_unlisted_shape_fails_the_test() {
    if std::env::var_os("MAILMOVE_GRAPH_RECORD").is_some() {
        // What is recorded is to be valid.
        return;
    }
    let server = start().await;
    let client = client(&server);
    client.get("/users/ann/mailFolders/inbox").await.ok(200);
    assert!(server.unlisted_shapes().is_empty());
    client
        .get("/users/ann/mailFolders/inbox?$odd=1")
        .await
        .ok(200);
    let shape = "GET /users/{id}/mailFolders/{id} ?$odd";
    assert_eq!(server.unlisted_shapes(), [shape]);
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(server)));
    let told = dropped.unwrap_err();
    assert!(told.downcast::<String>().unwrap().contains(shape));
}

#[test]
fn the_server_shares_no_code_with_the_adapter() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(here.join("Cargo.toml")).unwrap();
    let ours: Vec<_> = manifest
        .lines()
        .filter(|line| line.starts_with("mailmove-"))
        .collect();
    // What the ground depends on, a test of the EWS server says.
    assert_eq!(
        ours,
        [
            "mailmove-core.workspace = true",
            "mailmove-testkit.workspace = true",
            "mailmove-testkit-exchange.workspace = true"
        ]
    );
    let (mut files, mut left) = (0, vec![here.join("src")]);
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for way in ["#[path", "include!("] {
            assert!(!text.contains(way), "{way} in {}", path.display());
        }
        files += 1;
    }
    assert!(files > 20);
}
