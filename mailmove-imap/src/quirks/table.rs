//! The tables, and what a server is known by.
//!
//! From public documentation and transcripts: imapsync's FAQ, issue threads of mail libraries, the
//! servers' own documentation. **None of this was tried against the hosted services themselves**,
//! but by the test server in disguise. What Dovecot 2.3, Cyrus 3.6 and Courier 5.0 do was measured on
//! them (`tests/conformance`). Of Rackspace Email nothing is
//! documented that would be a quirk; it is served like any server.

use super::Quirks;
use crate::wire::{Capabilities, IdField};

/// Servers and services that have a table, or at least are known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KnownServer {
    /// Gmail and Google Workspace.
    Gmail,
    /// Exchange, on premises or hosted, and Microsoft 365.
    Exchange,
    /// iCloud Mail.
    ICloud,
    /// Yahoo Mail and AOL.
    Yahoo,
    /// Zimbra.
    Zimbra,
    /// Dovecot.
    Dovecot,
    /// Cyrus IMAP.
    Cyrus,
    /// Courier-IMAP.
    Courier,
}

impl KnownServer {
    #[cfg(test)]
    const ALL: [Self; 8] = [
        Self::Gmail,
        Self::Exchange,
        Self::ICloud,
        Self::Yahoo,
        Self::Zimbra,
        Self::Dovecot,
        Self::Cyrus,
        Self::Courier,
    ];

    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gmail => "Gmail",
            Self::Exchange => "Exchange",
            Self::ICloud => "iCloud",
            Self::Yahoo => "Yahoo",
            Self::Zimbra => "Zimbra",
            Self::Dovecot => "Dovecot",
            Self::Cyrus => "Cyrus",
            Self::Courier => "Courier",
        }
    }
}

/// What a server is known by; one fit is enough. Words are compared without case.
struct Sign {
    server: KnownServer,
    /// In the greeting.
    greeting: &'static [&'static str],
    /// In ID's name or vendor.
    id: &'static [&'static str],
    /// All of one of these lists.
    capabilities: &'static [&'static [&'static str]],
}

const SIGNS: [Sign; 8] = [
    Sign {
        server: KnownServer::Gmail,
        greeting: &["gimap ready"],
        id: &["gimap"],
        capabilities: &[&["X-GM-EXT-1"]],
    },
    Sign {
        server: KnownServer::Exchange,
        greeting: &["microsoft exchange imap4", "microsoft exchange server"],
        id: &["microsoft.exchange.imap4"],
        capabilities: &[],
    },
    Sign {
        server: KnownServer::ICloud,
        greeting: &["im-iscream", "iscream ready"],
        id: &[],
        // Sun's messaging server with Apple's push service.
        capabilities: &[&["X-SUN-IMAP", "XAPPLEPUSHSERVICE"]],
    },
    Sign {
        server: KnownServer::Yahoo,
        greeting: &["imapgate-"],
        id: &["y!imap", "yahoo! inc."],
        capabilities: &[&["XYMHIGHESTMODSEQ"]],
    },
    Sign {
        server: KnownServer::Zimbra,
        greeting: &["zimbra imap4rev1"],
        id: &["zimbra"],
        capabilities: &[],
    },
    Sign {
        server: KnownServer::Cyrus,
        greeting: &["cyrus imap"],
        id: &["cyrus imap"],
        capabilities: &[],
    },
    Sign {
        server: KnownServer::Courier,
        greeting: &["courier-imap ready"],
        id: &["courier-imap"],
        // Nobody else has this version of ACL.
        capabilities: &[&["ACL2=UNION"]],
    },
    // Last: others are built on it, and say so beside their own name.
    Sign {
        server: KnownServer::Dovecot,
        greeting: &["dovecot"],
        id: &["dovecot"],
        capabilities: &[],
    },
];

/// Who it is. What it says of itself by ID counts before its greeting, which may be anything, and
/// that before its capabilities.
pub(super) fn recognise(greeting: &str, id: &[IdField], can: &Capabilities) -> Option<KnownServer> {
    let greeting = greeting.to_ascii_lowercase();
    let fields: Vec<String> = id
        .iter()
        .filter(|(name, _)| {
            ["name", "vendor"]
                .iter()
                .any(|own| name.eq_ignore_ascii_case(own))
        })
        .filter_map(|(_, value)| value.as_deref().map(str::to_ascii_lowercase))
        .collect();
    let named = |sign: &&Sign| {
        let mut words = sign.id.iter();
        words.any(|word| fields.iter().any(|field| field.contains(word)))
    };
    let greets = |sign: &&Sign| sign.greeting.iter().any(|word| greeting.contains(word));
    let has = |sign: &&Sign| {
        let mut lists = sign.capabilities.iter();
        lists.any(|list| list.iter().all(|one| can.has(one)))
    };
    let found = SIGNS
        .iter()
        .find(named)
        .or_else(|| SIGNS.iter().find(greets))
        .or_else(|| SIGNS.iter().find(has));
    found.map(|sign| sign.server)
}

pub(super) fn quirks(server: KnownServer) -> Quirks {
    let plain = Quirks {
        name: server.name().to_owned(),
        ..Quirks::none()
    };
    match server {
        // `NO [CANNOT] Folder contains excess whitespace`; 15 connections for each account.
        KnownServer::Gmail => Quirks {
            forbidden_in_names: "^\"'\\".to_owned(),
            no_excess_blanks: true,
            max_connections: Some(15),
            ..plain
        },
        // `NO Folder name is reserved`; `BAD Command Argument Error. 11`; BYE after ten errors.
        KnownServer::Exchange => Quirks {
            new_keywords: false,
            flagged_after_append: true,
            reserved_names: vec!["Files".to_owned()],
            case_insensitive_names: true,
            counts_refusals: true,
            max_connections: Some(16),
            max_line: Some(9_900),
            ..plain
        },
        // BAD to `LIST … RETURN`, though LIST-STATUS is offered.
        KnownServer::ICloud => Quirks {
            list_return: false,
            ..plain
        },
        // `BAD [CLIENTBUG] Additional arguments found after last expected argument`.
        KnownServer::Yahoo => Quirks {
            needs_final_newline: true,
            hint: Some(
                "without UIDONLY, IMAP shows no more than 10,000 messages of a folder: the host \
                 export.imap.yahoo.com shows 100,000"
                    .to_owned(),
            ),
            ..plain
        },
        KnownServer::Zimbra => plain,
        // The other way round a date far ahead becomes that of arrival, which the engine sees.
        KnownServer::Dovecot => Quirks {
            earliest_received: Some(0),
            ..plain
        },
        // `NO Invalid mailbox name`; STATUS shows memory that is in use for something else by then,
        // line ends among it, and only EXAMINE the id; dates have 32 bits, and 0 stands for none.
        KnownServer::Cyrus => Quirks {
            forbidden_in_names: "!\"%;<>\\^`{|}".to_owned(),
            mailbox_ids: false,
            earliest_received: Some(1),
            latest_received: Some(0xffff_ffff),
            ..plain
        },
        // Names become UTF-16 in it; a date of 0 stands for none.
        KnownServer::Courier => Quirks {
            highest_in_names: Some('\u{ffff}'),
            unnumbered_inbox: true,
            earliest_received: Some(1),
            ..plain
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str, vendor: &str) -> Vec<IdField> {
        let field = |key: &str, value: &str| (key.into(), Some(value.into()));
        vec![field("NAME", name), field("vendor", vendor)]
    }

    fn found(greeting: &str, id: &[IdField], can: &[&str]) -> Option<KnownServer> {
        recognise(greeting, id, &can.iter().copied().collect())
    }

    /// Greetings, ID replies and capabilities as public transcripts show them.
    #[test]
    fn servers_are_known_by_what_they_say() {
        use KnownServer::{Courier, Cyrus, Dovecot, Exchange, Gmail, ICloud, Yahoo, Zimbra};
        for (greeting, server) in [
            ("Gimap ready for requests from 192.0.2.1 a1b2", Some(Gmail)),
            (
                "The Microsoft Exchange IMAP4 service is ready. [QQBN]",
                Some(Exchange),
            ),
            (
                "Microsoft Exchange Server 2003 IMAP4rev1 server version 6.5 ready",
                Some(Exchange),
            ),
            (
                "(2109B29-d3afe4d5aba6) pv33p00im-iscream021.me.com",
                Some(ICloud),
            ),
            (
                "IMAP4rev1 imapgate-1.8.1_01.20166 imap1015.mail.gq1.yahoo.com",
                Some(Yahoo),
            ),
            (
                "mail.example.com Zimbra IMAP4rev1 server ready",
                Some(Zimbra),
            ),
            ("Dovecot (Debian) ready.", Some(Dovecot)),
            (
                "mail.example.com Cyrus IMAP 3.6.1-Debian server ready",
                Some(Cyrus),
            ),
            (
                "Courier-IMAP ready. Copyright 1998-2022 Double Precision, Inc.",
                Some(Courier),
            ),
            ("IMAP4rev1 ready", None),
            ("", None),
        ] {
            assert_eq!(found(greeting, &[], &[]), server, "{greeting}");
        }
        assert_eq!(found("", &id("GImap", "Google, Inc."), &[]), Some(Gmail));
        assert_eq!(found("", &id("Y!IMAP", "Yahoo! Inc."), &[]), Some(Yahoo));
        let exchange = id("Microsoft.Exchange.Imap4.Imap4Server", "");
        assert_eq!(found("Welcome.", &exchange, &[]), Some(Exchange));
        assert_eq!(
            found("ready", &[], &["IMAP4rev1", "X-GM-EXT-1"]),
            Some(Gmail)
        );
        let icloud = ["X-SUN-IMAP", "XAPPLEPUSHSERVICE"];
        assert_eq!(found("ready", &[], &icloud), Some(ICloud));
        // One of the two is no sign: macOS Server and Oracle's server have it too.
        assert_eq!(found("ready", &[], &icloud[..1]), None);
        // ID before greeting, greeting before capabilities.
        assert_eq!(
            found("Gimap ready", &id("Dovecot", ""), &["X-GM-EXT-1"]),
            Some(Dovecot)
        );
        assert_eq!(found("Dovecot ready.", &[], &["X-GM-EXT-1"]), Some(Dovecot));
    }

    #[test]
    fn each_table_says_whose_it_is_and_leaves_nothing_out() {
        for server in KnownServer::ALL {
            let quirks = Quirks::of(server);
            assert_eq!(quirks.name, server.name());
            assert_eq!(quirks.max_message, None, "{server:?}");
            assert_eq!(
                quirks.is_none(),
                quirks.to_string().is_empty(),
                "{server:?}"
            );
        }
        let said = Quirks::of(KnownServer::Exchange).to_string();
        for word in [
            "keywords",
            "Files",
            "16 connections",
            "9900",
            "case",
            "refusals",
        ] {
            assert!(said.contains(word), "{said}");
        }
    }
}
