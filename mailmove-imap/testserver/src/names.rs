//! Mailbox names on the wire: modified UTF-7 (RFC 3501 section 5.1.3), separator, prefix.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::config::Config;
use crate::reply::{Stop, quoted};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Modified UTF-7 of a name.
pub(crate) fn encode(name: &str) -> String {
    let mut out = String::new();
    let mut pending: Vec<u8> = Vec::new();
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            flush(&mut pending, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                pending.extend_from_slice(&unit.to_be_bytes());
            }
        }
    }
    flush(&mut pending, &mut out);
    out
}

fn flush(pending: &mut Vec<u8>, out: &mut String) {
    if !pending.is_empty() {
        out.push('&');
        BASE64.encode_string(&*pending, out);
        out.push('-');
        pending.clear();
    }
}

/// The name that this modified UTF-7 stands for; `None` if it isn't valid.
pub(crate) fn decode(wire: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(wire).ok()?;
    let mut out = String::new();
    let mut rest = text;
    while let Some((plain, coded)) = rest.split_once('&') {
        out.push_str(plain);
        let (coded, tail) = coded.split_once('-')?;
        rest = tail;
        if coded.is_empty() {
            out.push('&');
            continue;
        }
        let bytes = BASE64.decode(coded).ok()?;
        if bytes.len() % 2 != 0 {
            return None;
        }
        let units = bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| u16::from_be_bytes(*pair));
        for c in char::decode_utf16(units) {
            match c.ok()? {
                // What can stand for itself must: one name, one spelling.
                '\0' | ' '..='~' => return None,
                c => out.push(c),
            }
        }
    }
    out.push_str(rest);
    text.bytes()
        .all(|b| matches!(b, b' '..=b'~'))
        .then_some(out)
}

/// The decoded wire name of a folder: prefix and components joined.
pub(crate) fn join(config: &Config, path: &[String]) -> String {
    let separator = config.separator.to_string();
    match path {
        [only] if only == "INBOX" => only.clone(),
        _ => format!("{}{}", config.prefix, path.join(&separator)),
    }
}

/// The folder a decoded wire name means; `None` outside the namespace.
pub(crate) fn split(config: &Config, name: &str) -> Option<Vec<String>> {
    if name.eq_ignore_ascii_case("INBOX") {
        return Some(vec!["INBOX".to_owned()]);
    }
    let prefix = config.prefix.len();
    let head = name.get(..prefix)?;
    // The prefix may begin with INBOX, which has no case.
    if !head.eq_ignore_ascii_case(&config.prefix) {
        return None;
    }
    let tail = name.get(prefix..)?;
    Some(tail.split(config.separator).map(str::to_owned).collect())
}

/// The folder that a mailbox argument means.
pub(crate) fn path(config: &Config, wire: &[u8], utf8: bool) -> Result<Vec<String>, Stop> {
    let name = read(wire, utf8).ok_or_else(|| Stop::no("[CANNOT] invalid mailbox name"))?;
    let separator = config.separator;
    let name = name.strip_suffix(separator).unwrap_or(&name);
    split(config, name).ok_or_else(|| Stop::no("[CANNOT] name is outside the namespace"))
}

/// A decoded wire name as it is sent.
pub(crate) fn on_wire(name: &str, utf8: bool) -> String {
    if utf8 {
        quoted(name)
    } else {
        quoted(&encode(name))
    }
}

/// The name that is meant: in UTF-8 where that is enabled (RFC 6855), else in modified UTF-7.
pub(crate) fn read(wire: &[u8], utf8: bool) -> Option<String> {
    if utf8 {
        String::from_utf8(wire.to_vec()).ok()
    } else {
        decode(wire)
    }
}

/// A folder's name as it is sent.
pub(crate) fn wire(config: &Config, path: &[String], utf8: bool) -> String {
    on_wire(&join(config, path), utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_examples() {
        // RFC 3501 section 5.1.3 and RFC 2152.
        for (name, wire) in [
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Entwürfe & Co", "Entw&APw-rfe &- Co"),
            ("Hi Mom ☺!", "Hi Mom &Jjo-!"),
            ("😀", "&2D3eAA-"),
        ] {
            assert_eq!(encode(name), wire);
            assert_eq!(decode(wire.as_bytes()).as_deref(), Some(name));
        }
    }

    #[test]
    fn invalid_names_are_refused() {
        for wire in [
            "&", "&AP", "&APw", "&AAA-", "&AGE-", "ü", "&2D0-", "a\tb", "&A/w-", "&APw=-",
        ] {
            assert_eq!(decode(wire.as_bytes()), None, "{wire}");
        }
    }
}
