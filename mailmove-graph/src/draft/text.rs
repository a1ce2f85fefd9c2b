//! Texts of any character set.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// What a text's bytes say.
pub(super) struct Decoded {
    pub(super) text: String,
    /// Characters were guessed, or replaced.
    pub(super) odd: bool,
    /// NUL was left out.
    pub(super) nul: bool,
}

/// Decodes a text. `cut`: its end is missing, perhaps within a character.
pub(super) fn decode(bytes: &[u8], charset: Option<&str>, cut: bool) -> Decoded {
    let label = charset.map(|name| name.trim().to_ascii_lowercase());
    // What calls itself ASCII and has more in it is UTF-8 as often as anything.
    let label = label.filter(|name| !matches!(name.as_str(), "us-ascii" | "ascii"));
    let known = label.and_then(|name| Encoding::for_label(name.as_bytes()));
    let guessed = known.is_none() && !bytes.is_ascii();
    let encoding = known.unwrap_or(match is_utf8(bytes, cut) {
        true => UTF_8,
        // Western mail of old, which any bytes are valid in.
        false => WINDOWS_1252,
    });
    let (text, replaced) = encoding.decode_with_bom_removal(bytes);
    let nul = text.contains('\0');
    Decoded {
        text: match nul {
            true => text.replace('\0', ""),
            false => text.into_owned(),
        },
        odd: guessed || replaced && !cut,
        nul,
    }
}

fn is_utf8(bytes: &[u8], cut: bool) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => true,
        // The last character is not complete.
        Err(error) => cut && error.error_len().is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_set_is_read_and_guesses_are_told() {
        for (bytes, charset, text, odd) in [
            (&b"gr\xc3\xbc\xc3\x9fe"[..], Some("utf-8"), "grüße", false),
            (b"gr\xfc\xdfe", Some("ISO-8859-1"), "grüße", false),
            (b"gr\xfc\xdfe", Some("us-ascii"), "grüße", true),
            (b"gr\xfc\xdfe", None, "grüße", true),
            (b"gr\xc3\xbc\xc3\x9fe", None, "grüße", true),
            (b"plain", Some("unheard-of"), "plain", false),
            (b"gr\xfce", Some("utf-8"), "gr\u{fffd}e", true),
            (b"\x1b$B$3$s\x1b(B", Some("iso-2022-jp"), "こん", false),
        ] {
            let found = decode(bytes, charset, false);
            assert_eq!((found.text.as_str(), found.odd), (text, odd));
        }
        let found = decode(b"a\0b", Some("utf-8"), false);
        assert!(found.nul && found.text == "ab");
    }
}
