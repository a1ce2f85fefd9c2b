//! Tests of the corpus.

use std::collections::{BTreeMap, BTreeSet};

use mailmove_core::identity::HeaderDigest;

use super::*;
use crate::mailbox::Store;

#[test]
fn the_same_seed_gives_the_same_mail_however_many_are_asked_for() {
    let few: Vec<_> = Corpus::new(3).messages(40).collect();
    let many: Vec<_> = Corpus::new(3).messages(400).take(40).collect();
    for (a, b) in few.iter().zip(&many) {
        assert_eq!(
            (&a.body, &a.flags, &a.folder),
            (&b.body, &b.flags, &b.folder)
        );
        assert_eq!((a.received, a.kind), (b.received, b.kind));
    }
    assert!(Corpus::new(4).messages(1).next().unwrap().body != few[0].body);
}

#[test]
fn ugly_holds_every_kind_and_each_is_what_it_says() {
    let all: Vec<_> = Corpus::ugly().collect();
    let kinds: BTreeSet<Kind> = all.iter().map(|m| m.kind).collect();
    let wanted = Kind::ALL.iter().filter(|k| **k != Kind::Huge).copied();
    assert_eq!(kinds, wanted.collect());
    for (before, message) in all.iter().zip(all.iter().skip(1)) {
        let body = &message.body;
        let has = |needle: &[u8]| body.windows(needle.len()).any(|w| w == needle);
        let longest = body.split(|b| *b == b'\n').map(<[u8]>::len).max().unwrap();
        match message.kind {
            Kind::Duplicate => {
                assert_eq!(before.body, *body);
                assert_eq!(before.received, message.received);
            }
            Kind::SameMessageIdSameSize => {
                assert_eq!(before.body.len(), body.len());
                assert_ne!(before.body, *body);
                assert_eq!(HeaderDigest::of(&before.body), HeaderDigest::of(body));
            }
            Kind::SameMessageId => {
                assert_eq!(id_line(&before.body), id_line(body));
                assert_ne!(before.body, *body);
            }
            Kind::NoMessageId => assert!(!has(b"Message-ID")),
            Kind::NoDate => assert!(!has(b"\r\nDate: ")),
            Kind::Nul | Kind::NulInHeader => assert!(has(b"\0")),
            Kind::BareLf => assert!(!has(b"\r") && has(b"\n")),
            Kind::MixedLineEnds => assert!(has(b"\r\n") && !all_crlf(body)),
            Kind::NoFinalNewline => assert!(!body.ends_with(b"\n")),
            Kind::Empty => assert!(body.is_empty()),
            Kind::HeaderOnly => assert!(body.ends_with(b"\r\n\r\n")),
            Kind::HeaderWithoutEnd => assert!(!has(b"\r\n\r\n")),
            Kind::NoHeader => assert!(body.starts_with(b"\r\n")),
            Kind::LongLine => assert!(longest >= 10_000),
            Kind::LongHeader => assert!(body.len() > 50_000),
            Kind::ImapCommands => assert!(has(b"a1 DELETE INBOX\r\n") && has(b"{10+}\r\n")),
            Kind::VeryDeepMime => assert!(has(b"--b499--")),
            Kind::DeepMime => assert!(has(b"--b59--") && !has(b"b60")),
            Kind::ReceivedBefore1970 => assert!(message.received.seconds() < 0),
            _ => {}
        }
        let (year, ..) = message.received.civil();
        assert!(
            (1000..=9999).contains(&year),
            "INTERNALDATE has four digits"
        );
    }
}

fn id_line(message: &[u8]) -> Option<&[u8]> {
    let mut lines = message.split(|b| *b == b'\n');
    lines.find(|line| line.starts_with(b"Message-ID:"))
}

fn all_crlf(body: &[u8]) -> bool {
    body.split_inclusive(|b| *b == b'\n')
        .filter(|line| line.ends_with(b"\n"))
        .all(|line| line.ends_with(b"\r\n"))
}

#[test]
fn a_mixture_holds_duplicates_in_one_folder_and_all_folders_get_mail() {
    let corpus = Corpus::new(11).with_median(500).with_special(100);
    let mut seen: BTreeMap<(Vec<String>, Bytes), usize> = BTreeMap::new();
    let mut duplicates = 0;
    let mut folders = BTreeSet::new();
    for message in corpus.messages(2000) {
        folders.insert(message.folder.clone());
        let count = seen.entry((message.folder, message.body)).or_default();
        if message.kind == Kind::Duplicate {
            assert!(*count > 0, "a duplicate of nothing");
            duplicates += 1;
        }
        *count += 1;
    }
    assert!(duplicates > 0);
    let filled = corpus.folders().iter().filter(|f| !f.empty).count();
    assert_eq!(folders.len(), filled);
}

#[test]
fn huge_is_as_large_as_asked_and_lazy() {
    assert_eq!(Corpus::huge(1_000_003).body.len(), 1_000_003);
    // Not made before it is asked for: this would need a terabyte.
    let mut messages = Corpus::new(1).with_huge(1 << 40).messages(100);
    assert!(messages.next().is_some());
    let small = Corpus::new(1).with_huge(100_000);
    let huge: Vec<_> = small
        .messages(10)
        .filter(|m| m.kind == Kind::Huge)
        .collect();
    assert_eq!(huge.len(), 1);
    assert_eq!(huge[0].body.len(), 100_000);
}

#[test]
fn fills_an_account_with_roles_and_empty_folders() {
    let account = Store::new().add_account("ann");
    let corpus = Corpus::new(5).with_median(300);
    let bytes = corpus.fill(&account, 300).unwrap();
    assert_eq!(account.used_messages(), 300);
    assert_eq!(account.used_bytes(), bytes);
    assert_eq!(account.folder(&["Sent"]).unwrap().special_use, ["\\Sent"]);
    let empty = account
        .folder(&["Projects", "2021", "Nothing yet"])
        .unwrap();
    assert_eq!(account.status(empty.id).unwrap().messages, 0);
    assert!(account.folder(&["日本語", "受信トレイ"]).is_ok());
}

#[test]
fn separators_decide_which_names_there_are() {
    let names = |corpus: &Corpus| -> Vec<String> {
        corpus
            .folders()
            .iter()
            .flat_map(|f| f.path.clone())
            .collect()
    };
    let slash = names(&Corpus::new(1));
    assert!(slash.contains(&"v1.2.3".to_owned()) && !slash.contains(&"either/or".to_owned()));
    let dot = names(&Corpus::new(1).with_separator('.'));
    assert!(!dot.contains(&"v1.2.3".to_owned()) && dot.contains(&"either/or".to_owned()));
}
