//! The suite of `mailmove-testkit` on the test server.

mod embedded;

use std::sync::Arc;

use embedded::Embedded;
use mailmove_graph_testserver::Language;
use mailmove_testkit::conformance::{self, Harness};

fn main() {
    let plain = Embedded::new("graph", |builder| {
        builder
            .language(Language::English)
            .without_default_folders()
    });
    // Small pages, over TLS with a token that the login gave.
    let odd = Embedded::new("graph-odd", |builder| {
        builder
            .without_default_folders()
            .client("program", "hush")
            .max_page(50)
            .tells_sizes()
    })
    .by_tls();
    // What is stored is made of fields: other bytes, of which sources know nothing.
    let filled = Embedded::new("graph-fill", |builder| {
        builder
            .language(Language::English)
            .without_default_folders()
    })
    .filled();
    // A server that tells changes again, in short pages.
    let replays = Embedded::new("graph-fill-odd", |builder| {
        builder
            .without_default_folders()
            .client("program", "hush")
            .replays()
            .max_page(3)
            .sessions_lose_content_ids()
    })
    .by_tls()
    .filled()
    .with_mime_drafts();
    let all: [Arc<dyn Harness>; 4] = [
        Arc::new(plain),
        Arc::new(odd),
        Arc::new(filled),
        Arc::new(replays),
    ];
    conformance::main(all);
}
