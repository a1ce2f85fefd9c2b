//! The suite of `mailmove-testkit` on the test server.

mod embedded;

use std::sync::Arc;

use embedded::Embedded;
use mailmove_ews::Auth;
use mailmove_ews_testserver::{Language, Scheme};
use mailmove_testkit::conformance::{self, Harness};

fn main() {
    let plain = Embedded::new("ews", |builder| {
        builder
            .language(Language::English)
            .without_default_folders()
    });
    // A server that shows odd dates, and is logged in to by NTLM over TLS.
    let odd = Embedded::new("ews-odd", |builder| {
        builder
            .without_default_folders()
            .schemes(&[Scheme::Ntlm])
            .fraction_digits(9)
            .no_charset()
            .refuses_chunked()
    })
    .by_tls(Auth::Offered);
    // Folders as public ones are.
    let find = Embedded::new("ews-find", |builder| {
        builder.without_default_folders().without_sync()
    })
    .without_deltas();
    let all: [Arc<dyn Harness>; 3] = [Arc::new(plain), Arc::new(odd), Arc::new(find)];
    conformance::main(all);
}
