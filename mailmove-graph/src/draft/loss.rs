//! What fields can't carry.

/// What a message loses on its way as fields, one body and attachments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Loss {
    /// Of text and HTML, the HTML was sent; the server makes a text of it.
    SecondBody,
    /// Signed mail: its parts are there, and the signature proves nothing any more.
    Signature,
    /// Encrypted mail: what is encrypted is an attachment, which programs don't open by themselves.
    Encryption,
    /// An invitation is an attachment, and no invitation.
    Calendar,
    /// A report to machines is a message with attachments.
    Report,
    /// What lies elsewhere is not said to lie there any more.
    ExternalBody,
    /// Characters of an undeclared, wrong or unknown character set were guessed or replaced.
    Characters,
    /// NUL was left out.
    Nul,
    /// A body with a damaged encoding was read as well as it goes.
    Damaged,
    /// Parts that are not well-formed were taken apart as well as it goes.
    Malformed,
    /// What says it holds parts and holds none is a text.
    NoParts,
    /// What is nested deeper than four messages is a file.
    Deep,
    /// People without a valid address were left out; the header as it came has them.
    OddAddress,
    /// Of several authors the first one was kept; the header as it came has them.
    Authors,
    /// A message within was too large to be one, or has too many attachments: it is a file, byte for byte.
    MessageAsFile,
    /// An attachment's name was too long.
    Name,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::SecondBody,
        Self::Signature,
        Self::Encryption,
        Self::Calendar,
        Self::Report,
        Self::ExternalBody,
        Self::Characters,
        Self::Nul,
        Self::Damaged,
        Self::Malformed,
        Self::NoParts,
        Self::Deep,
        Self::OddAddress,
        Self::Authors,
        Self::MessageAsFile,
        Self::Name,
    ];

    /// As reports name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SecondBody => "second-body",
            Self::Signature => "signature",
            Self::Encryption => "encryption",
            Self::Calendar => "calendar",
            Self::Report => "report",
            Self::ExternalBody => "external-body",
            Self::Characters => "characters",
            Self::Nul => "nul",
            Self::Damaged => "damaged",
            Self::Malformed => "malformed",
            Self::NoParts => "no-parts",
            Self::Deep => "deep",
            Self::OddAddress => "odd-address",
            Self::Authors => "authors",
            Self::MessageAsFile => "message-as-file",
            Self::Name => "name",
        }
    }

    /// What happened, in a few words.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::SecondBody => "of text and HTML, the HTML was sent",
            Self::Signature => "a signed message was taken apart: its signature proves nothing",
            Self::Encryption => "what is encrypted became an attachment",
            Self::Calendar => "an invitation became an attachment",
            Self::Report => "a report to machines became a message with attachments",
            Self::ExternalBody => "where a part lies that lies elsewhere is not said any more",
            Self::Characters => "characters of an undeclared or wrong set were guessed",
            Self::Nul => "NUL was left out of a text",
            Self::Damaged => "a body with a damaged encoding was read as well as it goes",
            Self::Malformed => "parts that are not well-formed were taken apart as well as it goes",
            Self::NoParts => "a message that says it holds parts and holds none became a text",
            Self::Deep => "what is nested deeper than four messages became a file",
            Self::OddAddress => "people without a valid address are in the original header alone",
            Self::Authors => "of several authors the first one was kept",
            Self::MessageAsFile => "a large message within became a file",
            Self::Name => "an attachment's name was cut",
        }
    }
}
