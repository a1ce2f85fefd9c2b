//! Dovecots that can do less: an extension missing, another separator, one connection.

use mailmove_testkit::corpus::Corpus;

use crate::{
    compare,
    world::{Mail, Server},
};

fn both_ways(name: &str) {
    let (Some(full), Some(limited)) = (Server::find("b"), Server::find(name)) else {
        return;
    };
    for (source, destination) in [(&full, &limited), (&limited, &full)] {
        let mails = Corpus::new(5)
            .messages(100)
            .enumerate()
            .map(|(n, message)| Mail {
                folder: ["INBOX", "Work", "Work/2019", "Grüße"]
                    .get(n % 5)
                    .unwrap_or(&"INBOX")
                    .to_string(),
                flags: message.flags,
                received: message.received,
                body: message.body,
            });
        compare::moves("limited", source, destination, mails.collect());
    }
}

#[test]
fn literals_that_wait_and_another_separator() {
    both_ways("no-literals");
}

#[test]
fn no_ids_no_deltas_and_a_prefix() {
    both_ways("no-ids");
}

#[test]
fn one_connection_per_user() {
    both_ways("one-connection");
}
