//! Failures on demand.

use std::time::Duration;

pub use mailmove_testkit_exchange::faults::Script;

/// The failures a server was told to show.
pub type Faults = mailmove_testkit_exchange::faults::Faults<Action>;

/// What goes wrong when an armed operation comes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Answered with this HTTP status, and not run. 401 comes with the usual challenges, 302 leads to
    /// the generic error page, after 400 the connection is closed.
    Status(u16),
    /// Run, but answered with this HTTP status.
    StatusAfter(u16),
    /// `ErrorServerBusy` as a fault with HTTP 500, with this back-off; not run.
    BusyFault(Duration),
    /// `ErrorServerBusy` in each response message of HTTP 200, with this back-off; not run.
    Busy(Duration),
    /// Each response message has this code; not run.
    Error(String),
    /// The item with this index (0 is the first) has this code and isn't run; the others are.
    ErrorAt(usize, String),
    /// The items before this index are run. It fails with `ErrorTimeoutExpired`, and those after it
    /// with `ErrorBatchProcessingStopped`.
    StopBatch(usize),
    /// A SOAP fault with this HTTP status and response code, or without one if that is empty; not run.
    Fault(u16, String),
    /// A SOAP fault without any detail, with HTTP 200 (gromox); not run.
    BareFault,
    /// A SOAP fault with HTTP 500, and then, unasked, an empty reply with HTTP 200 (gromox); not run.
    FaultTwice,
    /// Run, and answered twice.
    Twice,
    /// Answered with the reply of another operation; not run.
    OtherReply,
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
    /// Exported streams end in the mark of a truncation.
    TruncateExport,
}

/// How a reply is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mangle {
    /// A reference to U+001A at the start of each subject and display name.
    IllegalReference,
    /// A raw U+0001 at the start of each subject and display name.
    IllegalCharacter,
    /// MIME contents lose their padding and gain line ends.
    OddBase64,
    /// MIME contents hold characters that are no base64.
    BrokenBase64,
    /// A DOCTYPE stands before the envelope.
    Doctype,
    /// The document ends in the middle, with a fitting `Content-Length`.
    Truncated,
    /// The last response message is missing.
    MissingMessage,
    /// The text is no XML.
    NoXml,
}
