//! Any bytes become a message as Graph takes one, whose attachments are where it says.

use mailmove_core::model::Flags;
use mailmove_graph::draft::{Beside, Draft, EMBEDDED_MAX, Loss, TEXT_MAX};
use mailmove_testkit::corpus::Corpus;

/// The bytes as a message.
pub fn check(mail: &[u8]) {
    let draft = Draft::of(mail);
    assert!(draft.body.text.len() <= TEXT_MAX + 4);
    assert!(draft.losses.iter().all(|loss| Loss::ALL.contains(loss)));
    let json = draft.json(&Beside::new(Flags::parse("\\Seen Work"), None));
    assert!(json.contains_key("body") && json.contains_key("singleValueExtendedProperties"));
    let mut last = 0;
    for one in &draft.attachments {
        assert!(one.place.start >= last && one.place.start <= one.place.end);
        assert!(one.place.end <= mail.len() as u64);
        last = one.place.start;
        let bytes = one.bytes_in(mail);
        assert_eq!(bytes.len() as u64, one.size, "{one:?}");
        assert!(!one.name.is_empty() && !one.name.contains(['\r', '\n', '\0']));
        if one.is_message() && one.size <= EMBEDDED_MAX {
            assert!(one.json(&bytes).contains_key("item"), "{one:?}");
        }
        assert!(one.json_as_file(&bytes).contains_key("contentBytes"));
    }
}

/// Mail of all kinds.
pub fn seeds() -> Vec<Vec<u8>> {
    let mails = Corpus::new(41).messages(60).chain(Corpus::ugly());
    mails
        .map(|message| message.body.to_vec())
        .filter(|body| body.len() < 20_000)
        .collect()
}
