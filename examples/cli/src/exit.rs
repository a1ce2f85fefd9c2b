//! What the program tells whoever started it.

use mailmove_core::{
    Error, ErrorKind,
    report::{Report, Status, Verification},
};

/// The exit codes, a part of the program's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Every message is accounted for.
    Complete = 0,
    /// At its end, with failures or differences.
    Failures = 1,
    /// The input is wrong.
    Input = 2,
    /// An error ended it.
    Stopped = 3,
    /// A server counts other messages than it shows: the ledger does not close.
    Mismatch = 4,
    /// Asked to stop.
    Interrupted = 130,
}

impl Exit {
    pub(crate) fn of_error(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Config => Self::Input,
            ErrorKind::Cancelled => Self::Interrupted,
            _ => Self::Stopped,
        }
    }

    pub(crate) fn of_report(report: &Report) -> Self {
        match report.status() {
            Status::Complete => Self::Complete,
            Status::CompleteWithFailures => Self::Failures,
            Status::Cancelled => Self::Interrupted,
            Status::Mismatch => Self::Mismatch,
            // Whatever is added there later is not known to be complete.
            _ => Self::Stopped,
        }
    }

    pub(crate) fn of_verification(verification: &Verification) -> Self {
        if verification.is_clean() {
            Self::Complete
        } else {
            Self::Failures
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use mailmove_core::{
        model::FolderPath,
        report::{FolderReport, MISMATCH, Problem},
    };

    use super::*;

    #[test]
    fn reports_map_to_codes() {
        let mut report = Report::new(1, "a", "b");
        assert_eq!(Exit::of_report(&report), Exit::Complete);
        let mut folder = FolderReport::new(FolderPath::inbox());
        folder.tally.found = 1;
        folder.tally.failed = 1;
        report.folders.push(folder);
        assert_eq!(Exit::of_report(&report), Exit::Failures);
        let mismatch = Error::new(ErrorKind::Mismatch, "x").with_code(MISMATCH);
        report.folders[0].problem = Some(Problem::from(&mismatch));
        assert_eq!(Exit::of_report(&report), Exit::Mismatch);
        for (kind, exit) in [
            (ErrorKind::Quota, Exit::Stopped),
            (ErrorKind::Cancelled, Exit::Interrupted),
        ] {
            report.stopped = Some(Problem::from(&Error::new(kind, "x")));
            assert_eq!(Exit::of_report(&report), exit);
        }
    }

    #[test]
    fn errors_map_to_codes() {
        for (kind, exit) in [
            (ErrorKind::Config, Exit::Input),
            (ErrorKind::Auth, Exit::Stopped),
            (ErrorKind::Locked, Exit::Stopped),
            (ErrorKind::WaitingForUser, Exit::Stopped),
            (ErrorKind::Cancelled, Exit::Interrupted),
        ] {
            assert_eq!(Exit::of_error(&Error::new(kind, "x")), exit);
        }
    }
}
