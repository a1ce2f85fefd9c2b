//! IMAP keywords as Outlook's categories, and back.
//!
//! A category may be any text, a keyword is an atom. What is no atom travels in modified UTF-7, as
//! Thunderbird writes its tags, and so comes back as the category that it was.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use mailmove_core::model::Keyword;

/// The keyword of forwarded mail, which Exchange keeps by itself.
pub const FORWARDED: &str = "$Forwarded";

const CODE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The category that a keyword becomes.
pub fn category(keyword: &Keyword) -> String {
    let text = keyword.as_str();
    decode(text)
        // Only what was written so by this very rule: any other keyword stays as it is.
        .filter(|category| !is_plain(category) && encode(category) == text)
        .unwrap_or_else(|| text.to_owned())
}

/// The keyword that a category becomes; `None` if it is too long to be one.
pub fn keyword(category: &str) -> Option<Keyword> {
    match is_plain(category) {
        true => Keyword::new(category).ok(),
        false => Keyword::new(&encode(category)).ok(),
    }
}

/// A category that is its own keyword: an atom that would not be taken for an encoded one.
fn is_plain(category: &str) -> bool {
    let other = || decode(category).filter(|inner| !is_atom(inner) && encode(inner) == category);
    is_atom(category) && other().is_none()
}

fn is_atom(text: &str) -> bool {
    Keyword::new(text).is_ok()
}

/// Modified UTF-7, with everything encoded that no atom may have, and `&`.
fn encode(text: &str) -> String {
    let direct = |c: char| c != '&' && c.is_ascii_graphic() && !"(){%*\"\\]".contains(c);
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !direct(c)).unwrap_or(rest.len());
        let (plain, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        out.push_str(plain);
        if let Some(tail) = tail.strip_prefix('&') {
            out.push_str("&-");
            rest = tail;
            continue;
        }
        let end = tail.find(|c| direct(c) || c == '&').unwrap_or(tail.len());
        let (odd, tail) = tail.split_at_checked(end).unwrap_or((tail, ""));
        if !odd.is_empty() {
            let bytes: Vec<u8> = odd.encode_utf16().flat_map(u16::to_be_bytes).collect();
            out.push('&');
            out.push_str(&CODE.encode(bytes));
            out.push('-');
        }
        rest = tail;
    }
    out
}

fn decode(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((plain, tail)) = rest.split_once('&') {
        out.push_str(plain);
        let (code, tail) = tail.split_once('-')?;
        if code.is_empty() {
            out.push('&');
        } else {
            let bytes = CODE.decode(code).ok()?;
            let units: Vec<u16> = bytes
                .chunks(2)
                .map(|pair| <[u8; 2]>::try_from(pair).map(u16::from_be_bytes))
                .collect::<Result<_, _>>()
                .ok()?;
            out.push_str(&String::from_utf16(&units).ok()?);
        }
        rest = tail;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_categories_become_each_other() {
        for (word, name) in [
            ("Work", "Work"),
            ("$Junk", "$Junk"),
            ("sch&APY-n", "schön"),
            ("Red&ACA-Category", "Red Category"),
            ("A&B", "A&B"),
            ("R&-D", "R&-D"),
            ("A&-B&ACA-C", "A&B C"),
        ] {
            assert_eq!(category(&Keyword::new(word).unwrap()), name);
            assert_eq!(keyword(name).unwrap().as_str(), word, "{name}");
        }
        assert_eq!(keyword(&"ä".repeat(200)), None);
        assert_eq!(keyword(""), None);
    }

    proptest::proptest! {
        #[test]
        fn any_keyword_comes_back(word in "[!-~]{1,30}") {
            if let Ok(word) = Keyword::new(&word) {
                let back = keyword(&category(&word)).unwrap();
                proptest::prop_assert_eq!(back.as_str(), word.as_str());
            }
        }

        #[test]
        fn any_category_comes_back(name in "\\PC{1,20}") {
            if let Some(word) = keyword(&name) {
                proptest::prop_assert_eq!(category(&word), name);
            }
        }
    }
}
