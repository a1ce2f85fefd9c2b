//! Messages as they are sent.

use mailmove_core::{
    destination::Outgoing,
    edge::Spool,
    error::{Error, ErrorKind, Result, Scope},
    identity::HeaderDigest,
    model::{Alteration, AlterationKind, Content, Flags, Form, SystemFlag},
};

use mailmove_exchange::stamp::Stamp;

use crate::{
    header, items,
    wire::{Field, NewItem, Property},
};

/// A message that is ready to be sent.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) item: NewItem,
    pub(super) flags: Flags,
    pub(super) altered: Vec<Alteration>,
    /// The content is an export, at which this is noted once it is there: it takes no properties along.
    pub(super) stamp: Option<String>,
}

/// Header bytes that are digested.
const HEADER_MAX: usize = 1 << 20;

/// Prepares a message.
///
/// # Errors
/// If it cannot be sent at all.
pub(super) async fn prepare(
    outgoing: Outgoing,
    most: u64,
    spool: &Spool,
    mailbox: u64,
) -> Result<Ready> {
    match outgoing.form {
        Form::Mime => {}
        Form::ExchangeStream => return export(outgoing, most, mailbox),
        _ => {
            let what = "only MIME messages and exports are taken";
            let error = Error::new(ErrorKind::Unsupported, what);
            return Err(error.with_code("ews/form").with_scope(Scope::Message));
        }
    }
    let given = outgoing.content;
    let start = given.prefix(HEADER_MAX).await?;
    let stamp = Stamp {
        content: given.digest(),
        header: HeaderDigest::of(&start),
        mailbox,
    };
    let mut altered = Vec::new();
    let content = match given.size() {
        0 => {
            // Some servers refuse a whole request for one empty message in it.
            let detail = "an empty message was sent as an empty line";
            altered.push(Alteration::new(AlterationKind::ContentRewritten, detail));
            Content::from_bytes("\r\n")
        }
        _ => with_crlf(given, spool).await?,
    };
    if content.size() > most {
        return Err(too_large(content.size(), most));
    }
    let mut fields = items::new_fields(&outgoing.flags);
    fields.extend(header::fields(
        &start,
        outgoing.flags.contains(SystemFlag::Draft),
    ));
    fields.push(Field::Extended(Property::Stamp, stamp.write()));
    Ok(Ready {
        item: NewItem {
            content,
            received: outgoing.received,
            fields,
        },
        flags: outgoing.flags,
        altered,
        stamp: None,
    })
}

/// An export has all in it, and cannot be changed.
fn export(outgoing: Outgoing, most: u64, mailbox: u64) -> Result<Ready> {
    let content = outgoing.content;
    if content.size() > most {
        return Err(too_large(content.size(), most));
    }
    let stamp = Stamp {
        content: content.digest(),
        // Items are told apart by their properties where exports are taken.
        header: HeaderDigest::of(b""),
        mailbox,
    };
    Ok(Ready {
        item: NewItem {
            content,
            received: outgoing.received,
            fields: Vec::new(),
        },
        flags: outgoing.flags,
        altered: Vec::new(),
        stamp: Some(stamp.write()),
    })
}

fn too_large(size: u64, most: u64) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        "the message is larger than a request may be",
    )
    .with_code("ews/too-large")
    .with_context("bytes", size.to_string())
    .with_context("limit", most.to_string())
    .with_remedy(
        "Ask the administrator to raise the limit of EWS requests, and tell it to mailmove.",
    )
}

/// The message with CRLF at the end of each line, as MIME wants it: Exchange makes one line of several
/// that end in LF alone.
async fn with_crlf(content: Content, spool: &Spool) -> Result<Content> {
    let mut bare = 0;
    let mut last = 0;
    let mut reader = content.reader();
    while let Some(piece) = reader.next().await? {
        for at in memchr::memchr_iter(b'\n', &piece) {
            let before = at.checked_sub(1).and_then(|at| piece.get(at)).copied();
            bare += u64::from(before.unwrap_or(last) != b'\r');
        }
        last = piece.last().copied().unwrap_or(last);
    }
    if bare == 0 {
        return Ok(content);
    }
    let mut writer = spool.writer(content.size() + bare)?;
    let mut last = 0;
    let mut reader = content.reader();
    while let Some(piece) = reader.next().await? {
        let mut from = 0;
        for at in memchr::memchr_iter(b'\n', &piece) {
            let before = at.checked_sub(1).and_then(|at| piece.get(at)).copied();
            if before.unwrap_or(last) != b'\r' {
                writer.write(piece.get(from..at).unwrap_or_default())?;
                writer.write(b"\r")?;
                from = at;
            }
        }
        writer.write(piece.get(from..).unwrap_or_default())?;
        last = piece.last().copied().unwrap_or(last);
    }
    Ok(writer.finish())
}

#[cfg(test)]
mod tests {
    use mailmove_core::edge::MemoryBudget;

    use super::*;

    #[tokio::test]
    async fn lines_get_crlf_and_nothing_else_changes() {
        let spool = Spool::new(std::env::temp_dir(), MemoryBudget::new(1 << 20));
        for (given, sent) in [
            ("a\r\nb\r\n", "a\r\nb\r\n"),
            ("a\nb\n\nc", "a\r\nb\r\n\r\nc"),
            ("\n", "\r\n"),
            ("a\r\r\nb\rc\n", "a\r\r\nb\rc\r\n"),
        ] {
            let content = with_crlf(Content::from_bytes(given), &spool).await.unwrap();
            assert_eq!(content.as_bytes().unwrap(), sent);
        }
    }
}
