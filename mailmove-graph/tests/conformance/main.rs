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
    let all: [Arc<dyn Harness>; 2] = [Arc::new(plain), Arc::new(odd)];
    conformance::main(all);
}
