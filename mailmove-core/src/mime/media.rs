//! What a part's header says of its body.

use mail_parser::{MessageParser, MimeHeaders as _};

use super::Encoding;
use crate::repair::fields;

/// What a part's header says of its body.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Media {
    /// `text/plain`, in lower case.
    pub kind: String,
    /// The character set that it names.
    pub charset: Option<String>,
    /// What stands between its parts.
    pub boundary: Option<String>,
    /// How it is encoded.
    pub encoding: Encoding,
    /// It says that it is an attachment.
    pub attachment: bool,
    /// Its name, decoded.
    pub name: Option<String>,
    /// `Content-ID`, without the angle brackets.
    pub id: Option<String>,
    /// The header is ASCII alone.
    pub ascii: bool,
    /// The header is not written so that all readers see the same in it.
    pub odd: bool,
}

impl Media {
    /// Reads a header. `digest`: the parts around are messages unless they say otherwise.
    #[must_use]
    pub fn of(header: &[u8], digest: bool) -> Self {
        let default = if digest {
            "message/rfc822"
        } else {
            "text/plain"
        };
        let mut out = Self {
            kind: default.to_owned(),
            ascii: header.is_ascii(),
            odd: is_odd(header),
            ..Self::default()
        };
        let Some(message) = MessageParser::new().parse_headers(header) else {
            return out;
        };
        if let Some(found) = message.content_type() {
            out.kind = match found.subtype() {
                Some(subtype) => format!("{}/{subtype}", found.ctype()).to_ascii_lowercase(),
                None => default.to_owned(),
            };
            out.charset = found.attribute("charset").map(str::to_owned);
            out.boundary = found.attribute("boundary").map(str::to_owned);
        }
        out.encoding = message
            .content_transfer_encoding()
            .map(Encoding::of)
            .unwrap_or_default();
        let disposition = message.content_disposition();
        out.attachment =
            disposition.is_some_and(|found| found.ctype().eq_ignore_ascii_case("attachment"));
        out.name = message.attachment_name().map(str::to_owned);
        let id = message.content_id().map(|id| {
            let id = id.trim();
            id.strip_prefix('<')
                .and_then(|id| id.strip_suffix('>'))
                .unwrap_or(id)
        });
        out.id = id.filter(|id| !id.is_empty()).map(str::to_owned);
        out
    }

    /// Holds parts.
    #[must_use]
    pub fn is_multipart(&self) -> bool {
        self.kind.starts_with("multipart/")
    }
}

/// It has lines that are no fields, says twice what the body is, or has lost a semicolon there.
fn is_odd(header: &[u8]) -> bool {
    let mut lines = header.split(|byte| *byte == b'\n');
    let no_field =
        |line: &[u8]| !line.starts_with(b" ") && !line.starts_with(b"\t") && !line.contains(&b':');
    let types = fields(header, b"Content-Type");
    let parameter = |value: &Vec<u8>| value.contains(&b'=') && !value.contains(&b';');
    lines.any(|line| !line.trim_ascii().is_empty() && no_field(line))
        || types.len() > 1
        || types.iter().any(parameter)
}
