//! The program between all pairs of Dovecot, Cyrus and Courier: what arrives is what left, or the
//! report says why not; a second run copies nothing.
//!
//! The servers are started by `cargo xtask test`; without them the tests say so and pass, unless
//! `MAILMOVE_REQUIRE` names the missing one. `cargo xtask pairs` runs the same with more mail, as
//! `MAILMOVE_PAIR_MESSAGES` and `MAILMOVE_PAIR_MAILS` say.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is how a test fails"
)]

#[allow(
    dead_code,
    reason = "shared with the conformance suite, which needs all of it"
)]
#[path = "../../../../mailmove-imap/tests/conformance/client.rs"]
mod client;
mod compare;
mod corpora;
mod exchange;
mod limited;
mod shared;
mod world;

use mailmove_testkit::corpus::{Corpus, Kind};

use world::{Mail, Server, number};

/// Made-up mail per pair, unless the environment says otherwise.
const MESSAGES: usize = 120;
/// Real mail per pair, unless the environment says otherwise.
const MAILS: usize = 60;

/// Ordinary and ugly mail of the testkit, in folders.
///
/// Without the one that is nested 500 parts deep: Courier stores it, but shows only its beginning and
/// says that this is its size, so that as a source it cannot be found out. `mailmove verify` tells
/// where it is the destination.
fn made_up(seed: u64) -> Vec<Mail> {
    let folders = ["INBOX", "Work", "Work/2019", "Entwürfe & Co", "日本語"];
    let many = number("MAILMOVE_PAIR_MESSAGES", MESSAGES);
    let corpus = Corpus::new(seed).messages(many).chain(Corpus::ugly());
    corpus
        .filter(|message| message.kind != Kind::VeryDeepMime)
        .enumerate()
        .map(|(index, message)| Mail {
            folder: (*folders.get(index % 7).unwrap_or(&"INBOX")).to_owned(),
            flags: message.flags,
            received: message.received,
            body: message.body,
        })
        .collect()
}

fn between(from: &str, to: &str) {
    let (Some(source), Some(destination)) = (Server::find(from), Server::find(to)) else {
        return;
    };
    let seed = from.len() * 31 + to.len();
    compare::moves("made-up", &source, &destination, made_up(seed as u64));
    let Some(mails) = corpora::mails(number("MAILMOVE_PAIR_MAILS", MAILS)) else {
        return;
    };
    compare::moves("real", &source, &destination, mails);
}

macro_rules! pairs {
    ($($name:ident: $from:literal, $to:literal;)+) => {
        $(#[test]
        fn $name() {
            between($from, $to);
        })+
    };
}

// Dovecot `a` keeps mail in mdbox, `b` in maildir. One of the two Cyruses has `/` and munges headers,
// the other one has `.` below `INBOX.` and refuses 8-bit headers.
pairs! {
    dovecot_to_dovecot: "a", "b";
    dovecot_to_cyrus: "b", "cyrus";
    dovecot_to_courier: "a", "courier";
    cyrus_to_dovecot: "cyrus-dots", "a";
    cyrus_to_cyrus: "cyrus", "cyrus-dots";
    cyrus_to_courier: "cyrus", "courier";
    courier_to_dovecot: "courier", "b";
    courier_to_cyrus: "courier", "cyrus-dots";
    courier_to_courier: "courier", "courier";
}
