//! Mailbox names: what is decoded is encoded back to the same bytes, and never to two mailboxes.

use mailmove_imap::wire::utf7;

/// The bytes as a name from the wire, and as text if they are some.
pub fn check(data: &[u8]) {
    let lenient = utf7::decode_lenient(data);
    match utf7::decode(data) {
        Ok(name) => {
            assert_eq!(utf7::encode(&name).as_bytes(), data, "{name:?}");
            assert_eq!(lenient.as_ref(), Ok(&name), "two readings of one name");
        }
        // What is not read must not be what we would write.
        Err(_) => {
            if let Ok(name) = &lenient {
                assert_ne!(utf7::encode(name).as_bytes(), data, "{name:?}");
            }
        }
    }
    if let Ok(name) = lenient {
        there_and_back(&name);
    }
    there_and_back(&String::from_utf8_lossy(data));
    // Any UTF-16 that makes text.
    let units: Vec<u16> = data
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    there_and_back(&String::from_utf16_lossy(&units));
}

fn there_and_back(name: &str) {
    let wire = utf7::encode(name);
    assert!(
        wire.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
        "{wire:?}"
    );
    assert_eq!(
        utf7::decode(wire.as_bytes()).as_deref(),
        Ok(name),
        "{wire:?}"
    );
}

/// Names of several scripts, and ways to write them wrongly.
pub fn seeds() -> Vec<Vec<u8>> {
    let names = [
        "INBOX",
        "Entw&APw-rfe",
        "&ZeVnLIqe-",
        "a &- b",
        "&Jjo-!",
        "&2D3eAA-",
        "&AOQ",
        "&AOQ-&AOQ-",
        "&AGE-",
        "&2D0-",
        "&AOR-",
        "Ä/ö\u{1f600}",
        "&!!!-",
    ];
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}
