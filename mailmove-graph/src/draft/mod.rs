//! A MIME message as Graph takes one: no MIME, but fields, one body, and attachments that follow.
//!
//! [`Draft::read`] looks through a message once, and keeps fields and texts. Of attachments it keeps where they
//! stand, so that they are read when they are sent, in pieces ([`Attachment::reader`]): none is ever held as a
//! whole, unless it is small enough to go in one request. What the way by fields can't carry has a [`Loss`] with a
//! name. Nothing here asks a server. Messages with `\Draft` may go as the MIME that they are: see
//! [`Drafts`](crate::Drafts).

mod header;
mod json;
mod loss;
mod pieces;
mod read;
mod text;

use std::collections::BTreeSet;

use mailmove_core::{
    error::Result,
    mime::{Decoder, Encoding},
    model::Content,
};
use mailmove_exchange::header::Said;

pub(crate) use json::flags;
pub use json::{Beside, EMBEDDED_MAX};
pub use loss::Loss;
pub use pieces::Pieces;

/// Bytes of text that a message may have in one request of 4 MB, beside what else it says.
pub const TEXT_MAX: usize = 3 << 20;

/// A message as Graph takes one.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Draft {
    /// What its header says.
    pub fields: Fields,
    /// What people read.
    pub body: Body,
    /// What follows it, in its order.
    pub attachments: Vec<Attachment>,
    /// There are more attachments than any server takes.
    pub too_many: bool,
    /// What this way can't carry. Those of messages within are among them.
    pub losses: BTreeSet<Loss>,
}

/// A mailbox somebody has, as a header names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Person {
    /// What stands before the address.
    pub name: Option<String>,
    /// The address.
    pub address: String,
}

/// What a header says.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Fields {
    /// The header itself, as it came.
    pub header: String,
    /// `Subject`, decoded.
    pub subject: Option<String>,
    /// `From`: Graph has room for one.
    pub from: Option<Person>,
    /// `Sender`.
    pub sender: Option<Person>,
    /// `Reply-To`.
    pub reply_to: Vec<Person>,
    /// `To`.
    pub to: Vec<Person>,
    /// `Cc`.
    pub cc: Vec<Person>,
    /// `Bcc`.
    pub bcc: Vec<Person>,
    /// `Message-ID`, with its angle brackets.
    pub message_id: Option<String>,
    /// `In-Reply-To`.
    pub in_reply_to: Option<String>,
    /// `References`.
    pub references: Option<String>,
    /// When it was sent, and how important it is.
    pub said: Said,
}

/// What people read: Graph has room for one form of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Body {
    /// It is HTML.
    pub html: bool,
    /// The text, of whatever character set it was written in.
    pub text: String,
    /// It is longer than [`TEXT_MAX`]; `text` is its beginning.
    pub too_long: bool,
}

/// A part that is no text to be read at once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attachment {
    /// What it is called.
    pub name: String,
    /// What it is: `image/png`.
    pub kind: String,
    /// `Content-ID`, without the angle brackets.
    pub id: Option<String>,
    /// It belongs into the text.
    pub inline: bool,
    /// Where its bytes stand in the message, and how they are encoded there.
    pub place: Place,
    /// How many bytes it has, decoded.
    pub size: u64,
    /// It is a message.
    pub message: bool,
}

/// Where bytes stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The first one.
    pub start: u64,
    /// Where they end.
    pub end: u64,
    /// How they are encoded.
    pub encoding: Encoding,
}

impl Draft {
    /// Looks through a message.
    ///
    /// # Errors
    /// If its bytes can't be read.
    pub async fn read(content: &Content) -> Result<Self> {
        let mut reading = read::Reading::new();
        let mut reader = content.reader();
        while let Some(piece) = reader.next().await? {
            reading.update(&piece);
        }
        Ok(reading.finish())
    }

    /// The same of bytes in memory.
    #[must_use]
    pub fn of(message: &[u8]) -> Self {
        let mut reading = read::Reading::new();
        reading.update(message);
        reading.finish()
    }

    /// Whether signatures would prove nothing any more, or what is encrypted could not be read.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.losses.contains(&Loss::Signature) || self.losses.contains(&Loss::Encryption)
    }
}

impl Attachment {
    /// Its bytes, decoded, read from the message it was found in.
    #[must_use]
    pub fn reader(&self, message: &Content) -> Pieces {
        Pieces::new(message, self.place)
    }

    /// Its bytes, decoded, of a message in memory.
    #[must_use]
    pub fn bytes_in(&self, message: &[u8]) -> Vec<u8> {
        let at = |offset: u64| {
            usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(message.len())
        };
        let raw = message.get(at(self.place.start)..at(self.place.end));
        let (mut decoder, mut out) = (Decoder::new(self.place.encoding), Vec::new());
        decoder.update(raw.unwrap_or_default(), &mut out);
        decoder.finish(&mut out);
        out
    }
}

#[cfg(test)]
mod tests;
