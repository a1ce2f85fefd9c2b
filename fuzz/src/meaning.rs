//! What a message means is the same in any pieces, and a copy of it differs in nothing.

use mailmove_core::identity::{Aspect, Meaning, MeaningReader};
use mailmove_testkit::corpus::Corpus;

/// The bytes as a message.
pub fn check(mail: &[u8]) {
    let whole = read(mail, mail.len());
    let sizes = [1, 3, 1 + mail.first().map_or(16, |byte| usize::from(*byte))];
    for size in sizes {
        assert_eq!(read(mail, size), whole, "in pieces of {size}");
    }
    // What was lost of it already may be told again; nothing else.
    let same = whole.deviations(&whole);
    assert!(same.iter().all(|one| one.loss.is_some()), "{same:?}");
    // Within another message: what is beside it is told, whatever it is.
    let within = |more: &str| {
        let start = "Content-Type: multipart/mixed; boundary=around\r\n\r\n--around\r\n\
            Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        let text = format!("{start}{more}\r\n--around\r\nContent-Type: message/rfc822\r\n\r\n");
        let all = [text.as_bytes(), mail, b"\r\n--around--\r\n"].concat();
        read(&all, 100)
    };
    let (one, other) = (within("AAAA"), within("AAAB"));
    assert_eq!(one.deviations(&within("AAAA")), one.deviations(&one));
    let differs = one.deviations(&other);
    assert!(
        differs.iter().any(|one| one.aspect == Aspect::Attachment),
        "{differs:?}"
    );
}

fn read(mail: &[u8], size: usize) -> Meaning {
    let mut reader = MeaningReader::new();
    mail.chunks(size.max(1))
        .for_each(|piece| reader.update(piece));
    reader.finish()
}

/// Ugly mail, and mail in many parts.
pub fn seeds() -> Vec<Vec<u8>> {
    let small = |body: &bytes::Bytes| (body.len() <= 4000).then(|| body.to_vec());
    let ugly = Corpus::ugly().filter_map(|message| small(&message.body));
    let usual = Corpus::new(3).messages(60);
    let mut seeds: Vec<Vec<u8>> = ugly
        .chain(usual.filter_map(|message| small(&message.body)))
        .collect();
    for text in [
        "Content-Type: multipart/digest; boundary=q\r\n\r\n--q\r\n\r\nSubject: a\r\n\r\nb\r\n--q--\r\n",
        "Content-Type: text/html; charset=utf-16le\r\nContent-Transfer-Encoding: base64\r\n\r\nPABhAD4A",
        "Subject: =?utf-7?q?+APY-?=\r\nTo: a@b, \"c\" <d@e>, undisclosed:;\r\n\r\nx =\r\n",
    ] {
        seeds.push(text.as_bytes().to_vec());
    }
    seeds
}
