//! What kinds of messages there are.

use std::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident = $name:literal,)+) => {
        /// What is special about a message, so that a failing test can say what it was.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])+ $kind,)+
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// A stable name in lower case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }
        }
    };
}

kinds! {
    /// A text in ASCII.
    Letter = "letter",
    /// A text in UTF-8, sent as 8-bit.
    Utf8 = "utf-8",
    /// A text in ISO-8859-1, as quoted-printable.
    Latin1 = "latin-1",
    /// A Japanese text in ISO-2022-JP (escape sequences, 7-bit).
    Iso2022Jp = "iso-2022-jp",
    /// Subject and names as encoded words (RFC 2047), in several charsets.
    EncodedWords = "encoded-words",
    /// HTML alone, as quoted-printable.
    Html = "html",
    /// Text and HTML as `multipart/alternative`.
    Alternative = "alternative",
    /// A text with one to three attachments in base64.
    Attachment = "attachment",
    /// Signed by S/MIME: `multipart/signed` with a PKCS #7 part.
    Smime = "s-mime",
    /// Signed by PGP/MIME: `multipart/signed` with an armoured part.
    Pgp = "pgp",
    /// An invitation with a `text/calendar; method=REQUEST` part.
    Invitation = "invitation",
    /// Byte for byte the message before it in the same folder, with the same date.
    Duplicate = "duplicate",
    /// The Message-ID of the message before it, with another body.
    SameMessageId = "same-message-id",
    /// The Message-ID *and size* of the message before it, with another body.
    SameMessageIdSameSize = "same-message-id-same-size",
    /// No Message-ID.
    NoMessageId = "no-message-id",
    /// No Date header.
    NoDate = "no-date",
    /// A Date header that is none.
    BadDate = "bad-date",
    /// Received before the epoch, on the last day of 1969, in a zone 14 hours east.
    ReceivedBefore1970 = "received-before-1970",
    /// Received in 1904, in a zone of 9½ hours west.
    ReceivedLongAgo = "received-long-ago",
    /// Received in 2100: more seconds than 32 bits hold.
    ReceivedIn2100 = "received-in-2100",
    /// Bytes above 127 in the body that are no UTF-8, without a charset.
    EightBitBody = "8-bit-body",
    /// Bytes above 127 in the header, raw.
    EightBitHeader = "8-bit-header",
    /// NUL bytes in the body.
    Nul = "nul",
    /// NUL bytes in the header.
    NulInHeader = "nul-in-header",
    /// Lines that end in LF alone.
    BareLf = "bare-lf",
    /// Carriage returns that no LF follows.
    BareCr = "bare-cr",
    /// Lines that end in CRLF and in LF.
    MixedLineEnds = "mixed-line-ends",
    /// No line end after the last line.
    NoFinalNewline = "no-final-newline",
    /// No byte at all.
    Empty = "empty",
    /// A header, the empty line, and no body.
    HeaderOnly = "header-only",
    /// A header without even the empty line.
    HeaderWithoutEnd = "header-without-end",
    /// An empty line, then a body.
    NoHeader = "no-header",
    /// Lines in the header that are no fields.
    BrokenHeader = "broken-header",
    /// A line of 10,000 characters.
    LongLine = "long-line",
    /// One header field of 40,000 bytes, folded, and one of 12,000 on a single line.
    LongHeader = "long-header",
    /// 1,500 header fields.
    ManyHeaders = "many-headers",
    /// 60 nested multiparts.
    DeepMime = "deep-mime",
    /// 500 nested multiparts: more than a recursive parser's stack may bear.
    VeryDeepMime = "very-deep-mime",
    /// 60 nested `message/rfc822` parts.
    Forwarded = "forwarded",
    /// A multipart whose closing boundary is missing.
    UnclosedMime = "unclosed-mime",
    /// A body whose lines are IMAP commands and literal announcements.
    ImapCommands = "imap-commands",
    /// Lines that begin with `From `, as mbox writes between messages.
    MboxFrom = "mbox-from",
    /// Lines of dots, as SMTP ends a message with.
    Dots = "dots",
    /// All five system flags.
    AllFlags = "all-flags",
    /// Keywords with odd characters, and many of them.
    OddKeywords = "odd-keywords",
    /// As large as the test asks.
    Huge = "huge",
}

impl Kind {
    /// True for what a mailbox is mostly made of.
    #[must_use]
    pub const fn is_common(self) -> bool {
        matches!(
            self,
            Self::Letter
                | Self::Utf8
                | Self::Latin1
                | Self::Iso2022Jp
                | Self::EncodedWords
                | Self::Html
                | Self::Alternative
                | Self::Attachment
                | Self::Smime
                | Self::Pgp
                | Self::Invitation
        )
    }

    /// True for kinds that say something about the message before them.
    pub(super) const fn repeats(self) -> bool {
        matches!(
            self,
            Self::Duplicate | Self::SameMessageId | Self::SameMessageIdSameSize
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
