//! The header as it came, in place of the one that Exchange makes.
//!
//! Exchange keeps no MIME: what it hands out is made anew, without Received, DKIM-Signature and most of
//! `X-*`, and with addresses and dates written in its own way. The header of the day a message came stands
//! in a property. It takes the place of the made one, but for the fields that say how the body is written:
//! those belong to the body, which is the made one.

use mailmove_core::{edge::Spool, error::Result, model::Content};

use crate::header::Said;

/// Longest header that is looked at.
pub const HEADER_MAX: usize = 1 << 20;

/// A field: its name, and all its lines with their ends.
type Field<'a> = (&'a [u8], &'a [u8]);

/// Splits a header into its fields; what comes after the first empty line is no part of it. Also says how
/// long it is, with the empty line.
fn fields(header: &[u8]) -> (Vec<Field<'_>>, usize) {
    let mut out: Vec<(usize, usize, usize)> = Vec::new();
    let mut at = 0;
    while let Some(rest) = header.get(at..).filter(|rest| !rest.is_empty()) {
        let len = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let line = rest.get(..len).unwrap_or_default();
        let text = line.trim_ascii_end();
        at += len;
        if text.is_empty() {
            break;
        }
        let continues = matches!(line.first(), Some(b' ' | b'\t'));
        match (continues, out.last_mut(), memchr::memchr(b':', line)) {
            (true, Some(last), _) => last.2 = at,
            (false, _, Some(colon)) => out.push((at - len, at - len + colon, at)),
            // A line that is no field goes with the one before it.
            (_, Some(last), None) => last.2 = at,
            _ => {}
        }
    }
    let fields = out.into_iter().filter_map(|(start, colon, end)| {
        let name = header.get(start..colon)?.trim_ascii_end();
        Some((name, header.get(start..end)?))
    });
    (fields.collect(), at)
}

/// Fields that say how a body is written.
fn is_structure(name: &[u8]) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.starts_with(b"content-") || lower == b"mime-version"
}

fn is_importance(name: &[u8]) -> bool {
    let names: [&[u8]; 3] = [b"importance", b"x-priority", b"x-msmail-priority"];
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether the made header says that a message is more or less important than the original did: somebody
/// changed that since.
fn importance_changed(made_bytes: &[u8], made: &[Field<'_>], original: &[u8]) -> bool {
    let says = made
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(b"importance"));
    says && Said::read(made_bytes).importance != Said::read(original).importance
}

/// Whether the header of the day a message came can take the place of the made one. Of drafts it can't: they are
/// written on, and have another by now. In which character set one that is not ASCII was written, nobody
/// knows any more.
#[must_use]
pub fn is_usable(original: &str, is_draft: bool) -> bool {
    !is_draft && original.contains(':') && original.is_ascii()
}

/// The header to be used instead of the made one, and how long that is; `None` if the made one has all
/// fields of the original, or there is no original to speak of.
pub fn header(made: &[u8], original: &str) -> Option<(Vec<u8>, usize)> {
    let (made_bytes, original_text) = (made, original.as_bytes());
    let (original, _) = fields(original_text);
    let (made, len) = fields(made);
    let has = |all: &[Field<'_>], name: &[u8]| {
        all.iter()
            .any(|(found, _)| found.eq_ignore_ascii_case(name))
    };
    let lost = original
        .iter()
        .any(|(name, _)| !is_structure(name) && !has(&made, name));
    // One that is as long may go on.
    if !lost || len >= HEADER_MAX {
        return None;
    }
    let changed = importance_changed(made_bytes, &made, original_text);
    let left = |name: &[u8]| is_structure(name) || changed && is_importance(name);
    let kept = original.iter().filter(|(name, _)| !left(name));
    let structure = made.iter().filter(|(name, _)| {
        is_structure(name) || changed && name.eq_ignore_ascii_case(b"importance")
    });
    let mut out = Vec::new();
    for (_, lines) in kept.chain(structure) {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            out.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    Some((out, len))
}

/// The message with its header as it came, where Exchange made another.
pub async fn restore(content: Content, original: Option<&str>, spool: &Spool) -> Result<Content> {
    let Some(original) = original else {
        return Ok(content);
    };
    let made = content.prefix(HEADER_MAX).await?;
    let Some((header, len)) = header(&made, original) else {
        return Ok(content);
    };
    let size = content.size() - (len as u64).min(content.size()) + header.len() as u64;
    let mut writer = spool.writer(size)?;
    writer.write(&header)?;
    let (mut reader, mut skip) = (content.reader(), len);
    while let Some(piece) = reader.next().await? {
        let now = skip.min(piece.len());
        writer.write(piece.get(now..).unwrap_or_default())?;
        skip -= now;
    }
    Ok(writer.finish())
}

#[cfg(test)]
mod tests {
    use mailmove_core::edge::MemoryBudget;

    use super::*;

    const ORIGINAL: &str = "Received: from a\n\tby b\nDate: Tue, 1 Jul 2003 10:52:37 +0200\nSubject: x\n\
        Content-Type: text/plain\nX-Own: 1\n";
    const MADE: &str = "Date: Tue, 1 Jul 2003 08:52:37 +0000\r\nSubject: x\r\nThread-Index: y\r\n\
        Content-Type: multipart/mixed;\r\n boundary=\"b\"\r\nMIME-Version: 1.0\r\n\r\n--b\r\n";

    #[tokio::test]
    async fn the_header_is_the_original_but_for_how_the_body_is_written() {
        let spool = Spool::new(std::env::temp_dir(), MemoryBudget::new(1 << 20));
        let content = Content::from_bytes(MADE);
        let restored = restore(content, Some(ORIGINAL), &spool).await.unwrap();
        let expected = "Received: from a\r\n\tby b\r\nDate: Tue, 1 Jul 2003 10:52:37 +0200\r\nSubject: x\r\n\
            X-Own: 1\r\nContent-Type: multipart/mixed;\r\n boundary=\"b\"\r\nMIME-Version: 1.0\r\n\r\n--b\r\n";
        assert_eq!(restored.as_bytes().unwrap(), expected);
        // What has lost nothing stays as it is, byte by byte.
        for original in [
            None,
            Some(""),
            Some("Subject: other\nDate: x\n\nX-Body: 1\n"),
            Some("no field"),
        ] {
            let same = restore(Content::from_bytes(MADE), original, &spool)
                .await
                .unwrap();
            assert_eq!(same.as_bytes().unwrap(), MADE, "{original:?}");
        }
        let bare = restore(Content::from_bytes("body alone"), Some("X: 1\n"), &spool)
            .await
            .unwrap();
        assert!(bare.as_bytes().unwrap().starts_with(b"X: 1\r\n\r\n"));
    }

    #[test]
    fn a_header_that_may_go_on_stays() {
        let made = |len: usize| {
            let mut made = b"Subject: x\r\nX: ".to_vec();
            made.resize(len, b'y');
            made
        };
        assert!(header(&made(HEADER_MAX - 1), "X-Own: 1\n").is_some());
        assert!(header(&made(HEADER_MAX), "X-Own: 1\n").is_none());
    }

    #[test]
    fn what_was_made_more_important_since_stays_so() {
        let made = |level: &str| format!("Subject: x\r\nImportance: {level}\r\n\r\n");
        for (level, original, expected) in [
            ("High", "X-Own: 1\n", "X-Own: 1\r\nImportance: High\r\n\r\n"),
            (
                "Normal",
                "X-Own: 1\nX-Priority: 1\nImportance: high\n",
                "X-Own: 1\r\nImportance: Normal\r\n\r\n",
            ),
            // As it came.
            ("Normal", "X-Own: 1\n", "X-Own: 1\r\n\r\n"),
            (
                "High",
                "X-Priority: 2\nX-Own: 1\n",
                "X-Priority: 2\r\nX-Own: 1\r\n\r\n",
            ),
        ] {
            let (header, _) = header(made(level).as_bytes(), original).unwrap();
            assert_eq!(String::from_utf8(header).unwrap(), expected, "{level}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_headers_are_survived(made: Vec<u8>, original: String) {
            if let Some((header, len)) = header(&made, &original) {
                proptest::prop_assert!(len <= made.len() && header.ends_with(b"\r\n\r\n"));
            }
        }
    }
}
