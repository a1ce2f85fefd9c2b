//! The header digest: as it is written down, and blind to what servers change.

use mailmove_core::identity::{HEADER_FIELDS, HeaderDigest};
use mailmove_testkit::corpus::Corpus;

/// The bytes as a message.
pub fn check(data: &[u8]) {
    let digest = HeaderDigest::of(data);
    assert_eq!(
        *digest.as_bytes(),
        as_written_down(data),
        "another digest than h1"
    );
    // The body does not count, whatever it holds.
    let followed = [data, b"\r\n\r\nReceived: x\r\nSubject: y\r\n"].concat();
    assert_eq!(HeaderDigest::of(&followed), digest, "the body counts");
    // Nor do tracing fields, line ends, and the munging of bytes above 0x7F and NUL.
    let stamped = [b"X-TUID: abc\r\n", data].concat();
    assert_eq!(HeaderDigest::of(&stamped), digest, "a stamp counts");
    let bare: Vec<u8> = String::from_utf8_lossy(data)
        .replace("\r\n", "\n")
        .into_bytes();
    if std::str::from_utf8(data).is_ok() {
        assert_eq!(HeaderDigest::of(&bare), digest, "line ends count");
    }
    let munge = |byte: &u8| {
        if *byte > 0x7f || *byte == 0 {
            b'X'
        } else {
            *byte
        }
    };
    let munged: Vec<u8> = data.iter().map(munge).collect();
    if !names_are_munged(data) {
        assert_eq!(HeaderDigest::of(&munged), digest, "munging counts");
    }
    let json = serde_json::to_string(&digest).expect("a string");
    assert_eq!(
        serde_json::from_str::<HeaderDigest>(&json).expect("the same"),
        digest
    );
    let _ = serde_json::from_slice::<HeaderDigest>(data);
}

/// Only values are munged, so bytes of a name that become an X may make it another field.
fn names_are_munged(data: &[u8]) -> bool {
    data.split(|byte| *byte == b'\n').any(|line| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or(line);
        name.iter().any(|byte| *byte > 0x7f || *byte == 0)
    })
}

/// The digest computed from its description, slowly.
fn as_written_down(message: &[u8]) -> [u8; 16] {
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    let mut continued = false;
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.iter().all(|byte| b"\r\n".contains(byte)) {
            break;
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            if let Some((_, value)) = fields.last_mut().filter(|_| continued) {
                value.extend_from_slice(line);
            }
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        continued = colon.is_some();
        if let Some(colon) = colon {
            let name: String = line[..colon]
                .trim_ascii_end()
                .iter()
                .map(|b| char::from(*b))
                .collect();
            fields.push((name.to_ascii_lowercase(), line[colon + 1..].to_vec()));
        }
    }
    let mut text = Vec::new();
    let mut received = false;
    for name in HEADER_FIELDS.map(str::to_ascii_lowercase) {
        for (_, value) in fields.iter().filter(|(found, _)| *found == name) {
            received |= name == "received";
            let words = value.split(|byte| b" \t\r\n".contains(byte));
            let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
            let munge = |byte: u8| if byte > 0x7f || byte == 0 { b'X' } else { byte };
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            text.extend(words.join(&b' ').into_iter().map(munge));
            text.push(b'\n');
        }
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&blake3::hash(&text).as_bytes()[..16]);
    digest[15] = digest[15] & 0xfe | u8::from(received);
    digest
}

/// Headers of the corpus, and odd ones.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        &b"Received: from a\r\n\tby b\r\nMessage-ID: <1@x>\r\nX-TUID: abc\r\nSubject: a  b\r\n\r\nbody"[..],
        b" continues nothing\nSUBJECT : a\n\tb\nno colon\n continues that\nFrom:\nFrom: \xe4\0\n\n",
        b"To: a\r\r\n b\rc\r\n\r\r\nCc: no",
        b"",
    ]
    .iter()
    .map(|seed| seed.to_vec())
    .collect();
    for message in Corpus::new(7).messages(6) {
        seeds.push(message.body[..message.body.len().min(1500)].to_vec());
    }
    seeds
}
