//! Response codes of EWS.

use std::time::Duration;

use mailmove_core::error::{Error, ErrorKind, Retry, Scope};

use super::printable;
use crate::wire::SoapError;

/// What was being done: decides how far a refusal reaches when its code does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doing {
    pub(crate) operation: &'static str,
    pub(crate) scope: Scope,
}

impl Doing {
    pub(crate) const fn account(operation: &'static str) -> Self {
        let scope = Scope::Account;
        Self { operation, scope }
    }

    pub(crate) const fn folder(operation: &'static str) -> Self {
        let scope = Scope::Folder;
        Self { operation, scope }
    }

    pub(crate) const fn message(operation: &'static str) -> Self {
        let scope = Scope::Message;
        Self { operation, scope }
    }

    /// What a request is about as a whole.
    pub(crate) fn of(operation: &'static str) -> Self {
        match operation {
            "GetFolder" | "FindFolder" | "GetMailTips" => Self::account(operation),
            "SyncFolderItems" | "FindItem" | "CreateFolder" => Self::folder(operation),
            _ => Self::message(operation),
        }
    }
}

/// Wait that a busy server gets if it names none.
const BUSY: Duration = Duration::from_secs(60);

/// The meaning of a refusal.
pub(crate) fn refused(doing: Doing, said: &SoapError) -> Error {
    let error = match said.fault && said.code.is_empty() {
        true => Some(bare(doing, said)),
        false => by_code(doing, said),
    };
    let error = error.unwrap_or_else(|| {
        Error::new(ErrorKind::Refused, "the server refused")
            .with_code("ews/refused")
            .with_scope(doing.scope)
    });
    let error = error.with_context("operation", doing.operation);
    let error = match said.code.is_empty() {
        true => error,
        false => error.with_context("code", printable(&said.code)),
    };
    match printable(&said.text) {
        text if text.is_empty() => error,
        text => error.with_context("answer", text),
    }
}

/// A fault that names no code. It may be about anything: a moment's trouble of the server, one item that it
/// stumbles over, or an operation that it does not know.
fn bare(doing: Doing, said: &SoapError) -> Error {
    if is_unknown_operation(said) {
        return Error::new(ErrorKind::Unsupported, "the server knows no such operation")
            .with_code("ews/unknown-operation")
            .with_scope(doing.scope);
    }
    let error = match said.client {
        true => Error::new(ErrorKind::Refused, "the server refused and names no reason"),
        false => Error::new(
            ErrorKind::Unavailable,
            "the server failed and names no reason",
        ),
    };
    error.with_code(BARE).with_scope(doing.scope)
}

/// Code of a fault without one.
const BARE: &str = "ews/fault";

fn is_unknown_operation(said: &SoapError) -> bool {
    let text = said.text.to_ascii_lowercase();
    said.code.is_empty()
        && ["unknown request", "unknown operation"]
            .iter()
            .any(|one| text.contains(one))
}

/// Whether a request failed without a reason: by a fault without a code, or by HTTP 500 and nothing else.
pub(crate) fn is_bare(error: &Error) -> bool {
    let status = || error.context().any(|context| context == ("status", "500"));
    error.code() == BARE || error.code() == "http/unavailable" && status()
}

/// Whether a fault leaves open that the request was carried out, at least in part.
pub(crate) fn was_executed(fault: &SoapError) -> bool {
    if is_unknown_operation(fault) {
        return false;
    }
    match fault.code.as_str() {
        // What is judged before anything is done.
        "ErrorServerBusy"
        | "ErrorSchemaValidation"
        | "ErrorInvalidServerVersion"
        | "ErrorInvalidRequest"
        | "ErrorAccessDenied"
        | "ErrorImpersonateUserDenied"
        | "ErrorImpersonationDenied"
        | "ErrorImpersonationFailed"
        | "ErrorCannotFindUser"
        | "ErrorNonExistentMailbox"
        | "ErrorExceededConnectionCount"
        | "ErrorConnectionFailed"
        | "ErrorMailboxMoveInProgress"
        | "ErrorMailboxFailover"
        | "ErrorInvalidIdMalformed" => false,
        _ => !fault.client,
    }
}

pub(super) fn by_code(doing: Doing, said: &SoapError) -> Option<Error> {
    busy(said)
        .or_else(|| passing(said))
        .or_else(|| about_items(doing, &said.code))
        .or_else(|| about_contents(&said.code))
        .or_else(|| about_space(&said.code))
        .or_else(|| about_access(doing, &said.code))
}

fn busy(said: &SoapError) -> Option<Error> {
    match said.code.as_str() {
        "ErrorServerBusy" => Some(
            Error::new(ErrorKind::Throttled, "the server asks to slow down")
                .with_code("ews/busy")
                .with_retry(Retry::After(said.back_off.unwrap_or(BUSY))),
        ),
        "ErrorExceededConnectionCount" => Some(
            Error::new(ErrorKind::Capacity, "too many connections")
                .with_code("ews/too-many-connections")
                .with_remedy("Use fewer connections."),
        ),
        _ => None,
    }
}

fn passing(said: &SoapError) -> Option<Error> {
    let error = |kind, code, message: &'static str| Some(Error::new(kind, message).with_code(code));
    let error = match said.code.as_str() {
        "ErrorTimeoutExpired" => error(
            ErrorKind::Timeout,
            "ews/timeout-expired",
            "the server took too long",
        ),
        "ErrorBatchProcessingStopped" => error(
            ErrorKind::Unavailable,
            "ews/batch-stopped",
            "the server stopped in the middle of the request",
        )
        .map(|error| error.with_scope(Scope::Message).with_retry(Retry::Backoff)),
        "ErrorTooManyObjectsOpened"
        | "ErrorInternalServerTransientError"
        | "ErrorInternalServerError"
        | "ErrorMailboxStoreUnavailable"
        | "ErrorMailboxFailover"
        | "ErrorInsufficientResources"
        | "ErrorConnectionFailed"
        | "ErrorADUnavailable"
        | "ErrorADOperation"
        | "ErrorSubmissionQuotaExceeded"
        | "ErrorNoRespondingCASInDestinationSite" => error(
            ErrorKind::Unavailable,
            "ews/unavailable",
            "the server has a problem",
        ),
        "ErrorMailboxMoveInProgress" => error(
            ErrorKind::Unavailable,
            "ews/mailbox-move",
            "the mailbox is just being moved to another server",
        ),
        _ => None,
    };
    // The server's own wait counts whatever it says beside it.
    error.map(|error| match said.back_off {
        Some(wait) if !wait.is_zero() => error.with_retry(Retry::After(wait)),
        _ => error,
    })
}

fn about_items(doing: Doing, code: &str) -> Option<Error> {
    let error = |kind, code, message: &'static str| Some(Error::new(kind, message).with_code(code));
    match code {
        "ErrorItemNotFound" => error(
            ErrorKind::NotFound,
            "ews/no-item",
            "the item does not exist",
        )
        .map(|error| error.with_scope(Scope::Message)),
        "ErrorInvalidIdMalformed"
        | "ErrorInvalidId"
        | "ErrorInvalidIdEmpty"
        | "ErrorInvalidIdXml"
        | "ErrorInvalidIdNotAnItemAttachmentId" => error(
            ErrorKind::NotFound,
            "ews/bad-id",
            "the server does not know that id",
        )
        .map(|error| error.with_scope(doing.scope)),
        "ErrorFolderNotFound"
        | "ErrorParentFolderNotFound"
        | "ErrorToFolderNotFound"
        | "ErrorFolderPropertyRequestFailed"
        | "ErrorSyncFolderNotFound"
        | "ErrorFolderSave" => error(
            ErrorKind::NotFound,
            "ews/no-folder",
            "the folder does not exist",
        )
        .map(|error| error.with_scope(doing.scope.max(Scope::Folder))),
        "ErrorInvalidSyncStateData" => error(
            ErrorKind::Stale,
            "ews/sync-state",
            "the server does not know any more where the listing stood",
        ),
        "ErrorFolderExists" => error(
            ErrorKind::Conflict,
            "ews/folder-exists",
            "a folder of that name exists",
        )
        .map(|error| error.with_scope(Scope::Folder)),
        _ => None,
    }
}

/// One item cannot be made, read or saved.
fn about_contents(code: &str) -> Option<Error> {
    let error = |kind, code, message: &'static str| Some(Error::new(kind, message).with_code(code));
    match code {
        "ErrorMimeContentConversionFailed"
        | "ErrorContentConversionFailed"
        | "ErrorItemCorrupt"
        | "ErrorCorruptData"
        | "ErrorMimeContentInvalid"
        | "ErrorMimeContentInvalidBase64String"
        | "ErrorUnsupportedMimeConversion" => error(
            ErrorKind::Refused,
            "ews/conversion",
            "the server cannot convert this message",
        )
        .map(|error| error.with_scope(Scope::Message)),
        "ErrorIrresolvableConflict"
        | "ErrorStaleObject"
        | "ErrorItemSave"
        | "ErrorItemSavePropertyError" => error(
            ErrorKind::Refused,
            "ews/item-save",
            "the server could not save the item",
        )
        .map(|error| error.with_scope(Scope::Message)),
        _ => None,
    }
}

fn about_space(code: &str) -> Option<Error> {
    let error = |kind, code, message: &'static str| Some(Error::new(kind, message).with_code(code));
    match code {
        "ErrorQuotaExceeded" => {
            error(ErrorKind::Quota, "ews/quota", "the mailbox is full").map(|error| {
                error.with_remedy(
                    "Free some space in that mailbox or raise its quota, then run again.",
                )
            })
        }
        "ErrorMessageSizeExceeded" | "ErrorAttachmentSizeLimitExceeded" => error(
            ErrorKind::TooLarge,
            "ews/too-large",
            "the message is larger than the server takes",
        )
        .map(|error| {
            error.with_remedy("Ask the administrator to raise the limit of EWS requests.")
        }),
        _ => None,
    }
}

fn about_access(doing: Doing, code: &str) -> Option<Error> {
    let error = |kind, code, message: &'static str| Error::new(kind, message).with_code(code);
    Some(match code {
        "ErrorAccessDenied" | "ErrorCreateItemAccessDenied" => {
            error(ErrorKind::Denied, "ews/denied", "the server forbids it")
                .with_scope(doing.scope.max(Scope::Folder))
                .with_remedy("Ask the administrator for full access to that mailbox.")
        }
        "ErrorImpersonateUserDenied" | "ErrorImpersonationDenied" | "ErrorImpersonationFailed" => {
            error(
                ErrorKind::Denied,
                "ews/impersonation",
                "this account may not act in other users' mailboxes",
            )
            .with_remedy("Ask the administrator for the role ApplicationImpersonation.")
        }
        "ErrorCannotFindUser"
        | "ErrorNonExistentMailbox"
        | "ErrorMissingEmailAddress"
        | "ErrorNonPrimarySmtpAddress"
        | "ErrorInvalidSmtpAddress" => error(
            ErrorKind::Auth,
            "ews/no-mailbox",
            "there is no such mailbox on this server",
        )
        .with_remedy("Give the mailbox's primary e-mail address."),
        "ErrorAccountDisabled" | "ErrorPasswordExpired" | "ErrorPasswordChangeRequired" => error(
            ErrorKind::Auth,
            "ews/account",
            "the account cannot log in any more",
        )
        .with_remedy("Log in to Outlook on the web, and see what it asks for."),
        "ErrorInvalidServerVersion" | "ErrorInvalidSchemaVersionForMailboxVersion" => error(
            ErrorKind::Unsupported,
            "ews/version",
            "the server is too old for what was asked",
        ),
        "ErrorSchemaValidation"
        | "ErrorInvalidRequest"
        | "ErrorInvalidOperation"
        | "ErrorInvalidPropertyRequest"
        | "ErrorInvalidArgument" => error(
            ErrorKind::Refused,
            "ews/not-understood",
            "the server did not understand",
        )
        .with_scope(doing.scope),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: &str) -> SoapError {
        SoapError {
            code: code.to_owned(),
            text: "in the server's words".to_owned(),
            ..SoapError::default()
        }
    }

    #[test]
    fn codes_mean_what_the_engine_has_to_know() {
        use {ErrorKind as K, Scope as S};
        for (code, kind, scope) in [
            ("ErrorItemNotFound", K::NotFound, S::Message),
            ("ErrorFolderNotFound", K::NotFound, S::Folder),
            ("ErrorMimeContentConversionFailed", K::Refused, S::Message),
            ("ErrorQuotaExceeded", K::Quota, S::Account),
            ("ErrorMessageSizeExceeded", K::TooLarge, S::Message),
            ("ErrorInvalidSyncStateData", K::Stale, S::Folder),
            ("ErrorMailboxMoveInProgress", K::Unavailable, S::Account),
            ("ErrorNew", K::Refused, S::Message),
        ] {
            let error = refused(Doing::message("GetItem"), &said(code));
            assert_eq!((error.kind(), error.scope()), (kind, scope), "{code}");
            assert!(error.to_string().contains(code));
        }
    }

    #[test]
    fn the_servers_own_wait_is_kept() {
        let mut busy = said("ErrorServerBusy");
        assert_eq!(
            refused(Doing::account("x"), &busy).retry(),
            Retry::After(BUSY)
        );
        busy.back_off = Some(Duration::from_millis(1500));
        let error = refused(Doing::account("x"), &busy);
        assert_eq!(error.retry(), Retry::After(Duration::from_millis(1500)));
        assert!(!was_executed(&busy));
        assert!(was_executed(&said("ErrorInternalServerTransientError")));
    }
}
