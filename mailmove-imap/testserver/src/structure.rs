//! BODYSTRUCTURE and BODY (RFC 3501 section 7.4.2).

use crate::envelope;
use crate::mime::{self, Children, ContentType, Part};
use crate::reply::{nstring, string};

/// Writes the structure of a part; the recursion is bounded by the parser's depth.
pub(crate) fn write(out: &mut Vec<u8>, all: &[u8], part: &Part, extended: bool) {
    out.push(b'(');
    match &part.children {
        Children::Parts(parts) => {
            for child in parts {
                write(out, all, child, extended);
            }
            out.push(b' ');
            string(out, part.content.subtype.as_bytes());
            if extended {
                out.push(b' ');
                parameters(out, &part.content.parameters);
                tail(out, header(all, part));
            }
        }
        _ => single(out, all, part, extended),
    }
    out.push(b')');
}

fn header<'a>(all: &'a [u8], part: &Part) -> &'a [u8] {
    all.get(part.header.clone()).unwrap_or_default()
}

fn single(out: &mut Vec<u8>, all: &[u8], part: &Part, extended: bool) {
    // A multipart in which no part was found can't be described as such.
    let (kind, subtype) = match part.content.kind.as_str() {
        "multipart" => ("text", "plain"),
        // Without the enclosed message its envelope can't be given (RFC 3501 asks for it).
        "message" if part.content.subtype == "rfc822" && part.message().is_none() => {
            ("application", "octet-stream")
        }
        kind => (kind, part.content.subtype.as_str()),
    };
    let header = header(all, part);
    let value = |name| mime::value(header, name);
    string(out, kind.as_bytes());
    out.push(b' ');
    string(out, subtype.as_bytes());
    out.push(b' ');
    parameters(out, &part.content.parameters);
    for name in ["content-id", "content-description"] {
        out.push(b' ');
        nstring(out, value(name).as_deref());
    }
    out.push(b' ');
    let encoding = value("content-transfer-encoding").filter(|value| !value.is_empty());
    string(out, encoding.as_deref().unwrap_or(b"7bit"));
    let body = all.get(part.body.clone()).unwrap_or_default();
    out.extend_from_slice(format!(" {}", body.len()).as_bytes());
    let lines = memchr::memchr_iter(b'\n', body).count();
    if let Some(inner) = part.message() {
        out.push(b' ');
        envelope::write(out, all.get(inner.header.clone()).unwrap_or_default());
        out.push(b' ');
        write(out, all, inner, extended);
        out.extend_from_slice(format!(" {lines}").as_bytes());
    } else if kind == "text" {
        out.extend_from_slice(format!(" {lines}").as_bytes());
    }
    if extended {
        out.push(b' ');
        nstring(out, value("content-md5").as_deref());
        tail(out, header);
    }
}

fn parameters(out: &mut Vec<u8>, parameters: &[(String, String)]) {
    let flat: Vec<String> = parameters
        .iter()
        .flat_map(|(name, value)| [name.clone(), value.clone()])
        .collect();
    envelope::string_list(out, &flat);
}

/// Disposition, language, location.
fn tail(out: &mut Vec<u8>, header: &[u8]) {
    out.push(b' ');
    let disposition = mime::value(header, "content-disposition");
    match disposition.and_then(|value| ContentType::parse(&value)) {
        Some(disposition) => {
            out.push(b'(');
            string(out, disposition.kind.as_bytes());
            out.push(b' ');
            parameters(out, &disposition.parameters);
            out.push(b')');
        }
        None => out.extend_from_slice(b"NIL"),
    }
    out.push(b' ');
    nstring(out, mime::value(header, "content-language").as_deref());
    out.push(b' ');
    nstring(out, mime::value(header, "content-location").as_deref());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(message: &str, extended: bool) -> String {
        let mut out = Vec::new();
        write(
            &mut out,
            message.as_bytes(),
            &mime::parse(message.as_bytes()),
            extended,
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn structures() {
        assert_eq!(
            shown("Subject: x\r\n\r\na\r\nb\r\n", false),
            r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 2)"#
        );
        let mixed = "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nhi\r\n--x\r\n\
            Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\
            Content-Disposition: attachment; filename=\"a b\"\r\n\r\nAAAA\r\n--x--\r\n";
        assert_eq!(
            shown(mixed, true),
            concat!(
                r#"(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 2 0 NIL NIL NIL NIL)"#,
                r#"("image" "png" NIL NIL NIL "base64" 4 NIL ("attachment" ("filename" "a b")) NIL NIL)"#,
                r#" "mixed" ("boundary" "x") NIL NIL NIL)"#
            )
        );
        let enclosed = "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nx\r\n";
        assert_eq!(
            shown(enclosed, false),
            concat!(
                r#"("message" "rfc822" NIL NIL NIL "7bit" 18 "#,
                r#"(NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL) "#,
                r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1) 3)"#
            )
        );
    }
}
