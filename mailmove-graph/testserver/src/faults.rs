//! Failures on demand.

use std::time::Duration;

pub use mailmove_testkit_exchange::faults::Script;

/// The failures a server was told to show.
pub type Faults = mailmove_testkit_exchange::faults::Faults<Action>;

/// What goes wrong when an armed operation comes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Answered with this HTTP status and a code that goes with it; not run.
    Status(u16),
    /// Run, but answered with this HTTP status, such as 504.
    StatusAfter(u16),
    /// Answered with this HTTP status and this code; not run.
    Error(u16, String),
    /// 429 with this `Retry-After`, or without one; not run. With one, a back-off begins.
    Throttle(Option<Duration>),
    /// 503 with this `Retry-After`, or without one; not run. With one, a back-off begins.
    Unavailable(Option<Duration>),
    /// 401 with a claims challenge; not run.
    Claims(String),
    /// 410 with a `Location` to begin anew at; not run.
    Resync,
    /// 200 without anything; not run.
    Nothing,
    /// The connection is closed; not run.
    Close,
    /// A connection: closed when so many bytes were read from it.
    CloseInRequest(u64),
    /// Run, then the connection is closed without an answer.
    CloseUnanswered,
    /// Run and answered, then the connection is closed without saying so.
    CloseAnswered,
    /// Run, but the connection is closed after this many bytes of the answer.
    CloseInReply(u64),
    /// The connection is closed; the operation is run this much later.
    LandAfter(Duration),
    /// The connection is closed; the operation is run when [`Faults::release`](mailmove_testkit_exchange::faults::Faults::release) is called.
    LandOnRelease,
    /// Run after this time.
    Delay(Duration),
    /// Waits until [`Faults::release`](mailmove_testkit_exchange::faults::Faults::release) is called.
    Hold,
    /// Something happens to the mailbox, then the operation is run.
    Meanwhile(Script),
    /// Run; the reply is spoilt.
    Mangle(Mangle),
    /// MIME, an attachment or each exported stream ends in the middle, as if it were whole; streams end
    /// in the mark of a truncation.
    Truncate,
    /// A creation: run as if nothing had been said of the message flags, so that a draft comes of it.
    StaysDraft,
    /// The item with this index (0 is the first) of an export or a batch fails with this code.
    ErrorAt(usize, String),
}

/// How a reply is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mangle {
    /// The text is no JSON but a page of HTML.
    Html,
    /// The document ends in the middle, with a fitting `Content-Length`.
    Truncated,
    /// An id is missing: that of the item, or that of the first of a list.
    NoId,
    /// `nextLink` and `deltaLink` lead to another host.
    ForeignLink,
    /// The first item of a list comes twice; so does the first answer of a batch.
    Twice,
    /// Of the first item of a list only its id is told.
    Bare,
    /// What would be a `deltaLink` is a `nextLink`: the listing has no end.
    NoEnd,
    /// A message in the inbox names its folder by the name that is the same everywhere, and not by its id.
    ParentByName,
}
