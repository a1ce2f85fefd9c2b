//! The gate notices what was never validated, and the server shares nothing with the adapter.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use support::*;

#[tokio::test]
async fn an_unlisted_shape_fails_the_test() {
    if std::env::var_os("MAILMOVE_EWS_RECORD").is_some() {
        // What is recorded is to be valid.
        return;
    }
    let (server, _account) = server(|b| b).await;
    let mut client = Client::login(&server).await;
    client.folder("inbox").await;
    assert!(server.unlisted_shapes().is_empty());
    let odd = get_folder("inbox").replace("<m:GetFolder>", "<m:GetFolder Odd=\"1\">");
    client.soap(&odd).await;
    assert_eq!(server.unlisted_shapes(), ["m:GetFolder @Odd"]);
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(server)));
    let told = dropped.unwrap_err();
    assert!(
        told.downcast::<String>()
            .unwrap()
            .contains("m:GetFolder @Odd")
    );
}

#[test]
fn the_server_shares_no_code_with_the_adapter() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ground = here.join("../../mailmove-core/testkit/exchange");
    let dependencies = |dir: &Path| -> Vec<String> {
        let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        let lines = manifest.lines().map(str::to_owned);
        lines.filter(|line| line.starts_with("mailmove-")).collect()
    };
    assert_eq!(
        dependencies(here),
        [
            "mailmove-core.workspace = true",
            "mailmove-testkit.workspace = true",
            "mailmove-testkit-exchange.workspace = true"
        ]
    );
    assert_eq!(dependencies(&ground), ["mailmove-testkit.workspace = true"]);
    let mut files = 0;
    let mut left = vec![here.join("src"), ground.join("src")];
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
