//! What a message means, where a server takes it apart and makes it anew at each read (Exchange).
//!
//! Bytes prove nothing there: boundaries, encodings, the order and folding of the header, made-up
//! alternatives differ from one read to the next. [`Meaning`] keeps of a message what a reader of mail
//! would miss, each part of it digested by itself, so that [`Meaning::deviations`] can say what differs,
//! and whether that is a loss such a server is known for. Both are written down in `docs/fidelity.md`.

mod facts;
mod reader;
#[cfg(test)]
mod tests;
mod text;

pub use reader::MeaningReader;

use facts::{Fact, Facts, Importance};
use text::Text;

/// What of two messages is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Aspect {
    /// `Message-ID`.
    MessageId,
    /// `Date`: the moment, not the zone.
    Date,
    /// The addresses of `From`, without names.
    From,
    /// Those of `Sender`.
    Sender,
    /// Those of `Reply-To`.
    ReplyTo,
    /// Those of `To`.
    To,
    /// Those of `Cc`.
    Cc,
    /// Those of `Bcc`.
    Bcc,
    /// `Subject`, decoded.
    Subject,
    /// `In-Reply-To`.
    InReplyTo,
    /// `References`.
    References,
    /// How important it is, as `Importance`, `X-Priority` or `X-MSMail-Priority` say.
    Importance,
    /// The text: the first part of type `text/plain` that is no attachment.
    Text,
    /// The first part of type `text/html` that is no attachment: what stands outside of its tags.
    Html,
    /// Every other part: its decoded bytes, wherever it stands. Messages within are compared as such.
    Attachment,
    /// The name of one.
    AttachmentName,
    /// How the parts belong together, where that means something: signatures, reports.
    Structure,
}

impl Aspect {
    /// Those that a header says.
    pub(crate) const HEADER: [Self; 11] = [
        Self::MessageId,
        Self::Date,
        Self::From,
        Self::Sender,
        Self::ReplyTo,
        Self::To,
        Self::Cc,
        Self::Bcc,
        Self::Subject,
        Self::InReplyTo,
        Self::References,
    ];

    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::MessageId,
        Self::Date,
        Self::From,
        Self::Sender,
        Self::ReplyTo,
        Self::To,
        Self::Cc,
        Self::Bcc,
        Self::Subject,
        Self::InReplyTo,
        Self::References,
        Self::Importance,
        Self::Text,
        Self::Html,
        Self::Attachment,
        Self::AttachmentName,
        Self::Structure,
    ];

    /// As reports name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MessageId => "message-id",
            Self::Date => "date",
            Self::From => "from",
            Self::Sender => "sender",
            Self::ReplyTo => "reply-to",
            Self::To => "to",
            Self::Cc => "cc",
            Self::Bcc => "bcc",
            Self::Subject => "subject",
            Self::InReplyTo => "in-reply-to",
            Self::References => "references",
            Self::Importance => "importance",
            Self::Text => "text",
            Self::Html => "html",
            Self::Attachment => "attachment",
            Self::AttachmentName => "attachment-name",
            Self::Structure => "structure",
        }
    }
}

/// What servers that make messages anew are known to lose, or to add.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Loss {
    /// Of text and HTML, the one that was missing was made from the other.
    AlternativeMade,
    /// Characters of an undeclared or wrong character set were replaced; ASCII letters and digits are all
    /// there.
    Characters,
    /// What came after a NUL in a text is gone.
    CutAtNul,
    /// What was signed or encrypted has been written anew: the signature is there and proves nothing.
    Signature,
    /// A report to machines (`multipart/report`) has become a message with attachments.
    Report,
    /// A calendar part was written anew.
    Calendar,
    /// A header field that is not well-formed was read otherwise.
    OddField,
    /// The same for the name of an attachment.
    OddName,
    /// A body whose encoding is damaged was read otherwise.
    Damaged,
    /// What says it holds parts and holds none: its text is gone.
    NoParts,
    /// A message whose parts are not well-formed was taken apart otherwise: boundaries that begin alike,
    /// parts that do not end, headers without an end.
    Malformed,
    /// What lies deeper than any mail program nests was not compared.
    Deep,
    /// Of text and HTML one was kept: where messages are made of fields there is room for one.
    SecondBody,
    /// Of several authors the first one was kept: Exchange has room for one ([MS-OXCMAIL] 2.2.3.1.3).
    ///
    /// [MS-OXCMAIL]: https://learn.microsoft.com/en-us/openspecs/exchange_server_protocols/ms-oxcmail/9a10ba92-a85a-421d-b9a8-fb31599ff039
    Authors,
    /// A large message within became a file: where messages are made of fields there is room for one.
    MessageAsFile,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::AlternativeMade,
        Self::Characters,
        Self::CutAtNul,
        Self::Signature,
        Self::Report,
        Self::Calendar,
        Self::OddField,
        Self::OddName,
        Self::Damaged,
        Self::NoParts,
        Self::Malformed,
        Self::Deep,
        Self::SecondBody,
        Self::Authors,
        Self::MessageAsFile,
    ];

    /// As reports name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AlternativeMade => "alternative-made",
            Self::Characters => "characters",
            Self::CutAtNul => "cut-at-nul",
            Self::Signature => "signature",
            Self::Report => "report",
            Self::Calendar => "calendar",
            Self::OddField => "odd-field",
            Self::OddName => "odd-name",
            Self::Damaged => "damaged",
            Self::NoParts => "no-parts",
            Self::Malformed => "malformed",
            Self::Deep => "deep",
            Self::SecondBody => "second-body",
            Self::Authors => "authors",
            Self::MessageAsFile => "message-as-file",
        }
    }

    /// What happened, in a few words.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::AlternativeMade => "of text and HTML, the missing one was made from the other",
            Self::Characters => "characters of an undeclared or wrong set were replaced",
            Self::CutAtNul => "what came after a NUL in a text is gone",
            Self::Signature => "a signed message was written anew: its signature proves nothing",
            Self::Report => "a report to machines became a message with attachments",
            Self::Calendar => "a calendar part was written anew",
            Self::OddField => "a field of the header that is not well-formed was read otherwise",
            Self::OddName => "a name of an attachment that is not well-formed was read otherwise",
            Self::Damaged => "a body with a damaged encoding was read otherwise",
            Self::NoParts => "a message that says it holds parts and holds none lost its text",
            Self::Malformed => "parts that are not well-formed were taken apart otherwise",
            Self::Deep => "what is nested deeper than four messages was not compared",
            Self::SecondBody => "of text and HTML one was kept, the other one was made from it",
            Self::Authors => "of several authors the first one was kept",
            Self::MessageAsFile => "a large message within became a file",
        }
    }
}

/// One way in which a message is not what it was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Deviation {
    /// What differs.
    pub aspect: Aspect,
    /// The known loss that this is; `None`: nothing explains it.
    pub loss: Option<Loss>,
}

/// What a message means. Made by a [`MeaningReader`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meaning {
    header: Facts,
    /// Of the message itself; nobody asks for that of a message within.
    importance: Importance,
    text: Option<Text>,
    html: Option<Text>,
    attachments: Vec<Attachment>,
    /// Messages within.
    embedded: Vec<Self>,
    signed: bool,
    report: bool,
    /// A multipart without parts.
    hollow: bool,
    /// Its parts are not well-formed: readers take it apart in different ways.
    malformed: bool,
    /// There is more within, which was not looked at.
    deep: bool,
    /// It was made of fields.
    of_fields: bool,
}

/// A part that is no text to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attachment {
    content: u64,
    /// Without carriage returns.
    lines: u64,
    /// It consists of lines, whose ends are no part of it: it is a text, or not encoded.
    has_lines: bool,
    name: Option<Fact>,
    what: What,
    /// Its encoding is.
    damaged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Calendar,
    /// Of type `message/…`, but no message.
    Report,
    Other,
}

/// Eight bytes of a digest: enough to tell a part from what it has become.
fn short(hasher: &blake3::Hasher) -> u64 {
    let digest = hasher.finalize();
    let first = digest.as_bytes().first_chunk::<8>().copied();
    u64::from_le_bytes(first.unwrap_or_default())
}

fn short_of(text: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(text.as_bytes());
    short(&hasher)
}

impl Meaning {
    /// Says that the system it is in got it as fields, with one body, and not as MIME: so that what there is no
    /// room for is told as a loss of that way.
    #[must_use]
    pub fn made_of_fields(mut self) -> Self {
        self.of_fields = true;
        let embedded = self.embedded.into_iter();
        self.embedded = embedded.map(Self::made_of_fields).collect();
        self
    }

    /// What differs in `found`, a copy of this message, in the order of the aspects. What a copy has
    /// beside is told only where a reader would take it for the sender's: recipients, subject, text,
    /// attachments.
    #[must_use]
    pub fn deviations(&self, found: &Self) -> Vec<Deviation> {
        let mut out = Vec::new();
        self.compare(found, &mut out);
        out.sort_unstable();
        out.dedup();
        out
    }

    fn compare(&self, found: &Self, out: &mut Vec<Deviation>) {
        let mut differs = |aspect, loss| out.push(Deviation { aspect, loss });
        let of_fields = found.of_fields;
        for (aspect, (given, found)) in Aspect::HEADER
            .into_iter()
            .zip(self.header.iter().zip(&found.header))
        {
            if let Some(loss) = field(aspect, given, found) {
                let is_first = given.first.is_some() && given.first == found.digest;
                let authors = aspect == Aspect::From && is_first;
                differs(aspect, loss.or(authors.then_some(Loss::Authors)));
            }
        }
        if self.importance.level != found.importance.level {
            let loss = self.importance.odd.then_some(Loss::OddField);
            differs(Aspect::Importance, loss);
        }
        let of_text = text(self.text, found.text, self.html.is_some());
        let of_html = text(self.html, found.html, self.text.is_some());
        let second = |one: Option<Option<Loss>>, other: Option<Option<Loss>>| match one {
            Some(None)
                if self.has_both() && of_fields && other.is_none_or(|loss| loss.is_some()) =>
            {
                Some(Some(Loss::SecondBody))
            }
            one => one,
        };
        let (of_text, of_html) = (second(of_text, of_html), second(of_html, of_text));
        for (aspect, loss) in [(Aspect::Text, of_text), (Aspect::Html, of_html)] {
            if let Some(loss) = loss {
                differs(aspect, loss.or_else(|| self.excuse()));
            }
        }
        for (was, is, loss) in [
            (self.signed, found.signed, Loss::Signature),
            (self.report, found.report, Loss::Report),
            (self.hollow, found.hollow, Loss::NoParts),
            (self.deep, found.deep, Loss::Deep),
        ] {
            if was != is {
                differs(Aspect::Structure, was.then_some(loss));
            }
        }
        self.attachments(found, out);
        self.embedded(found, out);
    }

    /// Text and HTML, of which fields have room for one.
    fn has_both(&self) -> bool {
        self.text.is_some() && self.html.is_some()
    }

    /// Why parts of it may be others than were seen here.
    fn excuse(&self) -> Option<Loss> {
        let hollow = self.hollow.then_some(Loss::NoParts);
        hollow.or(self.malformed.then_some(Loss::Malformed))
    }

    fn attachments(&self, found: &Self, out: &mut Vec<Deviation>) {
        let mut differs = |aspect, loss| out.push(Deviation { aspect, loss });
        let mut left = found.attachments.clone();
        let mut lost = Vec::new();
        for given in &self.attachments {
            // Of equal ones, the one with the same name.
            let same = |one: &Attachment| {
                let has_lines = one.has_lines || given.has_lines;
                one.content == given.content || has_lines && one.lines == given.lines
            };
            let named = left
                .iter()
                .position(|one| same(one) && one.name == given.name);
            let Some(at) = named.or_else(|| left.iter().position(same)) else {
                lost.push(*given);
                continue;
            };
            let one = left.swap_remove(at);
            if let Some(loss) = name(given.name, one.name) {
                differs(Aspect::AttachmentName, loss);
            }
        }
        for given in lost {
            let loss = match given.what {
                What::Calendar => Some(Loss::Calendar),
                What::Report if self.report => Some(Loss::Report),
                _ if given.damaged => Some(Loss::Damaged),
                _ if self.deep || found.deep => Some(Loss::Deep),
                _ => self.excuse(),
            };
            // What it has become.
            if let Some(at) = left
                .iter()
                .position(|one| one.what == given.what)
                .filter(|_| loss.is_some())
            {
                left.swap_remove(at);
            }
            differs(Aspect::Attachment, loss);
        }
        let deep = (self.deep || found.deep).then_some(Loss::Deep);
        let deep = deep.or_else(|| self.excuse());
        let mut files = self.become_files(found);
        let mut second = usize::from(found.of_fields && self.has_both());
        for _ in &left {
            // What else a body, or a message, can have become.
            let loss = match (files, second) {
                _ if deep.is_some() => deep,
                (1.., _) => Some(Loss::MessageAsFile),
                (_, 1..) => Some(Loss::SecondBody),
                _ => None,
            };
            match loss {
                Some(Loss::MessageAsFile) => files -= 1,
                Some(Loss::SecondBody) => second -= 1,
                _ => {}
            }
            differs(Aspect::Attachment, loss);
        }
    }

    /// How many messages within are none any more where there are fields.
    fn become_files(&self, found: &Self) -> usize {
        match found.of_fields {
            true => self.embedded.len().saturating_sub(found.embedded.len()),
            false => 0,
        }
    }

    fn embedded(&self, found: &Self, out: &mut Vec<Deviation>) {
        let deep = (self.deep || found.deep).then_some(Loss::Deep);
        let lost = Deviation {
            aspect: Aspect::Attachment,
            loss: deep
                .or_else(|| self.excuse())
                .or((self.become_files(found) > 0).then_some(Loss::MessageAsFile)),
        };
        let mut left: Vec<&Self> = found.embedded.iter().collect();
        for given in &self.embedded {
            // Of several, the one that differs least.
            let how_much = |one: &&Self| {
                let deviations = given.deviations(one);
                let bad = deviations
                    .iter()
                    .filter(|deviation| deviation.loss.is_none());
                (bad.count(), deviations.len())
            };
            let nearest = (0..left.len()).min_by_key(|at| left.get(*at).map(how_much));
            match nearest.map(|at| left.remove(at)) {
                Some(one) => given.compare(one, out),
                None => out.push(lost),
            }
        }
        out.extend(left.iter().map(|_| lost));
    }
}

/// `None`: no difference. Else the loss that explains it, if one does.
fn field(aspect: Aspect, given: &Fact, found: &Fact) -> Option<Option<Loss>> {
    let read = given.digest.is_some() || !given.odd;
    if given.digest == found.digest && (read || given.letters == found.letters) {
        return None;
    }
    let odd = given.odd.then_some(Loss::OddField);
    let named_by_server = matches!(
        aspect,
        Aspect::MessageId | Aspect::Date | Aspect::From | Aspect::Sender | Aspect::ReplyTo
    );
    match given.digest {
        // Servers give a message what it needs.
        None if named_by_server => odd.map(Some),
        _ => Some(odd),
    }
}

/// The same for a text. `made`: it could be made from another form that there is.
fn text(given: Option<Text>, found: Option<Text>, made: bool) -> Option<Option<Loss>> {
    let given = given.filter(|text| !text.empty || text.cut || text.odd);
    let found = found.filter(|text| !text.empty);
    match (given, found) {
        (None, None) => None,
        (None, Some(_)) => Some(made.then_some(Loss::AlternativeMade)),
        (Some(given), found) => {
            let same = match found {
                // All of it is there but NUL.
                Some(found) if given.cut && !found.cut && given.whole == found.digest => {
                    return None;
                }
                Some(found) => given.digest == found.digest,
                None => given.empty,
            };
            let letters = found.map_or(given.empty, |found| given.letters == found.letters);
            let still_cut = found.is_some_and(|found| found.cut);
            match (same, letters) {
                (true, _) => (given.cut && !still_cut).then_some(Some(Loss::CutAtNul)),
                (false, true) if given.odd => Some(Some(Loss::Characters)),
                _ if given.damaged => Some(Some(Loss::Damaged)),
                _ => Some(None),
            }
        }
    }
}

fn name(given: Option<Fact>, found: Option<Fact>) -> Option<Option<Loss>> {
    // Servers name what has no name.
    let given = given.filter(|name| name.digest.is_some())?;
    let same = found.is_some_and(|found| found.digest == given.digest);
    (!same).then_some(given.odd.then_some(Loss::OddName))
}
