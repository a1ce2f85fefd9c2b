//! Refusals of Graph: a status, a code and words for people.

use std::time::Duration;

use mailmove_core::error::{Error, ErrorKind, Retry, Scope};
use serde::Deserialize;
use serde_json::Value;

use super::printable;
use crate::http::Failed;

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
}

/// A refusal as it came, of a request or of one in a batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) status: u16,
    /// Graph's own word, such as `ErrorItemNotFound`; empty if the answer was none of Graph's.
    pub(crate) code: String,
    pub(crate) text: String,
    pub(crate) retry_after: Option<Duration>,
    /// What a new token has to claim, as the server wrote it.
    pub(crate) claims: Option<String>,
    /// It was Graph that answered.
    pub(crate) graph: bool,
    /// Its text may hold what nobody is to see.
    pub(crate) is_secret: bool,
}

#[derive(Default, Deserialize)]
struct Envelope {
    #[serde(default)]
    error: Inner,
}

#[derive(Default, Deserialize)]
struct Inner {
    #[serde(default)]
    code: Value,
    #[serde(default)]
    message: Value,
}

impl Said {
    /// Reads a refusal from a body that may be anything.
    pub(crate) fn new(status: u16, body: &[u8]) -> Self {
        let read = serde_json::from_slice::<Envelope>(body).ok();
        let read = read.filter(|envelope| envelope.error.code.is_string());
        match read {
            Some(Envelope { error }) => Self {
                status,
                code: error.code.as_str().unwrap_or_default().to_owned(),
                text: error.message.as_str().unwrap_or_default().to_owned(),
                graph: true,
                ..Self::default()
            },
            None => Self {
                status,
                text: String::from_utf8_lossy(body).into_owned(),
                ..Self::default()
            },
        }
    }

    /// The same of one that stands in an answer that came well, such as an item's in an export.
    pub(crate) fn within(error: &Value) -> Self {
        let text = |name: &str| {
            let value = error.get(name).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        Self {
            status: 400,
            code: text("code"),
            text: text("message"),
            graph: true,
            ..Self::default()
        }
    }

    fn is(&self, any: &[&str]) -> bool {
        any.iter().any(|one| self.code.eq_ignore_ascii_case(one))
    }

    fn mentions(&self, any: &[&str]) -> bool {
        let text = self.text.to_ascii_lowercase();
        any.iter().any(|one| text.contains(one))
    }

    fn wait(&self) -> Retry {
        self.retry_after.map_or(Retry::Backoff, Retry::After)
    }

    /// The server asks to slow down: nobody sends anything before the time is over.
    pub(crate) fn is_throttling(&self) -> bool {
        self.status == 429
            || self.is(&[
                "TooManyRequests",
                "ApplicationThrottled",
                "ActivityLimitReached",
                "ErrorServerBusy",
                "ErrorExceededConnectionCount",
            ])
    }
}

/// The meaning of a refusal, and whether it leaves open that the request was carried out.
pub(crate) fn refused(doing: Doing, said: &Said) -> Failed {
    let error = meaning(doing, said);
    let error = error
        .with_context("operation", doing.operation)
        .with_context("status", said.status.to_string());
    let error = match said.code.is_empty() {
        true => error,
        false => error.with_context("code", printable(&said.code)),
    };
    let error = match printable(&said.text) {
        text if text.is_empty() || said.is_secret => error,
        text => error.with_context("answer", text),
    };
    Failed {
        error,
        perhaps_executed: was_executed(said),
    }
}

/// What is judged before anything is done says so by its status; a gateway's 504 may come after all was done.
fn was_executed(said: &Said) -> bool {
    match said.status {
        // Some of Exchange's refusals come as 500, and name what was wrong with the request.
        500 if said.graph => by_content(said).is_none(),
        503 if said.graph && said.is_throttling() => false,
        507 => false,
        400..=499 => said.status == 408,
        _ => true,
    }
}

fn meaning(doing: Doing, said: &Said) -> Error {
    slow_down(said)
        .or_else(|| access(said))
        .or_else(|| sync_state(said))
        .or_else(|| room(said))
        .or_else(|| by_content(said))
        .or_else(|| absent(doing, said))
        .or_else(|| elsewhere(said))
        .or_else(|| passing(said))
        .unwrap_or_else(|| match said.graph {
            true => Error::new(ErrorKind::Refused, "the server refused")
                .with_code("graph/refused")
                .with_scope(doing.scope),
            false => super::not_graph(),
        })
}

fn slow_down(said: &Said) -> Option<Error> {
    said.is_throttling().then(|| {
        Error::new(ErrorKind::Throttled, "the server asks to slow down")
            .with_code("graph/throttled")
            .with_retry(said.wait())
    })
}

fn access(said: &Said) -> Option<Error> {
    if let Some(claims) = &said.claims {
        return Some(
            Error::new(
                ErrorKind::Auth,
                "the server wants a token with other claims",
            )
            .with_code("graph/claims-challenge")
            .with_context("claims", printable(claims))
            .with_remedy(
                "A policy of conditional access applies: log in anew, or ask the administrator to \
                     exempt this program.",
            ),
        );
    }
    let mailbox = [
        "MailboxNotEnabledForRESTAPI",
        "MailboxNotSupportedForRESTAPI",
        "ErrorMailboxNotEnabledForRESTAPI",
        "ErrorNonExistentMailbox",
        "ErrorMissingEmailAddress",
    ];
    let error = match said.status {
        401 => login_refused(),
        _ if said.is(&mailbox) && said.mentions(&["licens"]) => no_licence(),
        _ if said.is(&mailbox) => no_mailbox(),
        _ if said.is(&["AuthenticationErrorNoLicense", "ErrorNoLicense"]) => no_licence(),
        _ if said.is(&["Request_ResourceNotFound", "ErrorInvalidUser"]) => no_user(),
        _ if said.is(&["Authorization_RequestDenied"]) => no_consent(),
        403 if said.mentions(&["insufficient privileges", "missing role", "missing scope"]) => {
            no_consent()
        }
        403 if said.mentions(&["access to odata is disabled", "application access policy"]) => {
            policy()
        }
        403 if said.graph => denied(),
        _ => return None,
    };
    Some(error)
}

fn login_refused() -> Error {
    Error::new(ErrorKind::Auth, "the server refused the token")
        .with_code("graph/login")
        .with_remedy(
            "Check that the token is for this cloud (each has its own addresses), and that the program is \
             still registered.",
        )
}

fn no_mailbox() -> Error {
    Error::new(ErrorKind::NotFound, "there is no mailbox that Graph reaches")
        .with_code("graph/no-mailbox")
        .with_scope(Scope::Account)
        .with_remedy(
            "The user has no licence for Exchange Online, the mailbox is inactive or deleted, or it is on a \
             server of the company's own: use EWS there.",
        )
}

fn no_licence() -> Error {
    Error::new(ErrorKind::NotFound, "the user has no licence for a mailbox")
        .with_code("graph/no-licence")
        .with_scope(Scope::Account)
        .with_remedy("Assign a licence with Exchange Online, and wait until the mailbox is there.")
}

fn no_user() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such user")
        .with_code("graph/no-user")
        .with_scope(Scope::Account)
        .with_remedy("Check the user's address and the tenant.")
}

fn no_consent() -> Error {
    Error::new(ErrorKind::Denied, "the program was not given this permission")
        .with_code("graph/no-consent")
        .with_remedy(
            "An administrator has to consent to the permissions of this program, such as Mail.ReadWrite; \
             then log in anew.",
        )
}

fn policy() -> Error {
    Error::new(ErrorKind::Denied, "a policy keeps this program from the mailbox")
        .with_code("graph/policy-denied")
        .with_remedy(
            "Ask the administrator to add the mailbox to the scope of this program (RBAC for Applications, or \
             its application access policy); changes may take an hour to show.",
        )
}

fn denied() -> Error {
    Error::new(ErrorKind::Denied, "the mailbox may not be opened")
        .with_code("graph/denied")
        .with_scope(Scope::Account)
        .with_remedy(
            "Check that the program has the permission for all mailboxes and no policy keeps it from this one, or \
             that the user has the right to open it.",
        )
}

fn sync_state(said: &Said) -> Option<Error> {
    let forgotten = said.status == 410
        || said.is(&[
            "SyncStateNotFound",
            "SyncStateInvalid",
            "ErrorInvalidSyncStateData",
            "ResyncRequired",
        ]);
    forgotten.then(|| {
        Error::new(ErrorKind::Stale, "the server forgot where the listing was")
            .with_code("graph/sync-state")
    })
}

fn room(said: &Said) -> Option<Error> {
    let full = said.status == 507
        || said.is(&["ErrorQuotaExceeded", "QuotaExceeded", "quotaLimitReached"]);
    if full {
        return Some(
            Error::new(ErrorKind::Quota, "the mailbox is full")
                .with_code("graph/quota")
                .with_remedy("Free space in the mailbox, or raise its limit."),
        );
    }
    let large = said.status == 413
        || said.is(&[
            "ErrorMessageSizeExceeded",
            "ErrorAttachmentSizeLimitExceeded",
            "ErrorItemSizeLimitExceeded",
            "RequestEntityTooLarge",
        ])
        || (said.status == 400 && said.mentions(&["maximum request length"]));
    large.then(|| {
        Error::new(ErrorKind::TooLarge, "it is larger than the server takes")
            .with_code("graph/too-large")
            .with_remedy("Ask the administrator to raise the mailbox's largest message.")
    })
}

/// What is wrong with one message, whatever the status.
fn by_content(said: &Said) -> Option<Error> {
    let conversion = [
        "ErrorMimeContentConversionFailed",
        "ErrorContentConversionFailed",
        "ErrorMimeContentInvalid",
        "ErrorMimeContentInvalidBase64String",
    ];
    let corrupt = [
        "ErrorCorruptData",
        "ErrorInvalidRecipients",
        "ErrorCannotOpenFileAttachment",
        "ErrorItemCorrupt",
        "ErrorInvalidPropertyValue",
        "ErrorPropertyValidationFailure",
        "ErrorInvalidPropertyRequest",
        "ErrorAttachmentNestLevelLimitExceeded",
    ];
    let error = if said.is(&conversion) {
        Error::new(ErrorKind::Refused, "the server can't convert this message")
            .with_code("graph/conversion")
            .with_remedy(
                "Signed and encrypted mail is often such: it goes between two Exchange mailboxes as an export.",
            )
    } else if said.is(&corrupt) {
        Error::new(ErrorKind::Refused, "the server finds this message damaged")
            .with_code("graph/corrupt")
    } else if said.is(&["ErrorFolderExists"]) {
        Error::new(ErrorKind::Conflict, "a folder of that name is there")
            .with_code("graph/folder-exists")
            .with_scope(Scope::Folder)
    } else {
        return None;
    };
    Some(error)
}

fn absent(doing: Doing, said: &Said) -> Option<Error> {
    let bad_id = said.is(&[
        "ErrorInvalidIdMalformed",
        "ErrorInvalidId",
        "ErrorInvalidIdEmpty",
    ]);
    if bad_id {
        // Nothing is said of whether what was meant is there.
        return Some(
            Error::new(ErrorKind::NotFound, "the server does not know that id")
                .with_code("graph/bad-id")
                .with_scope(doing.scope),
        );
    }
    let gone = said.is(&[
        "ErrorItemNotFound",
        "ErrorFolderNotFound",
        "ErrorParentFolderNotFound",
        "ResourceNotFound",
        "itemNotFound",
    ]);
    let is_absent = gone || (said.status == 404 && said.graph);
    if !is_absent {
        return None;
    }
    let what = || Error::new(ErrorKind::NotFound, "it is not there");
    Some(match doing.scope {
        Scope::Message => what().with_code("graph/no-item").with_scope(Scope::Message),
        Scope::Folder => crate::folders::no_folder(),
        _ => what().with_code("graph/not-found").with_scope(doing.scope),
    })
}

/// Where it leads is not told: it may hold a secret, and nobody goes there.
fn elsewhere(said: &Said) -> Option<Error> {
    (300..=399).contains(&said.status).then(|| {
        Error::new(ErrorKind::Protocol, "the server leads elsewhere")
            .with_code("graph/redirected")
            .with_remedy(
                "Check the address. Archive mailboxes that were moved to another place are not reached by Graph yet.",
            )
    })
}

fn passing(said: &Said) -> Option<Error> {
    let unavailable = |code: &'static str| {
        Error::new(ErrorKind::Unavailable, "the server has a problem")
            .with_code(code)
            .with_retry(said.wait())
    };
    match said.status {
        408 => Some(unavailable("http/timeout")),
        // Somebody else changed it meanwhile.
        409 | 412 | 423 if said.graph => Some(
            Error::new(ErrorKind::Unavailable, "it was changed meanwhile")
                .with_code("graph/conflict")
                .with_scope(Scope::Message)
                .with_retry(Retry::Backoff),
        ),
        // One before it in the batch failed.
        424 => Some(
            Error::new(ErrorKind::Unavailable, "the batch ended before it")
                .with_code("graph/batch-stopped")
                .with_scope(Scope::Message)
                .with_retry(Retry::Backoff),
        ),
        501 => None,
        500..=599 if said.graph => Some(unavailable("graph/unavailable")),
        500..=599 => Some(unavailable("http/unavailable")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, code: &str, text: &str) -> Said {
        let body = serde_json::json!({"error": {"code": code, "message": text, "innerError": {}}});
        Said::new(status, body.to_string().as_bytes())
    }

    #[test]
    fn refusals_mean_what_they_mean() {
        let message = Doing::message("get");
        for (status, code, text, is, executed) in [
            (429, "ApplicationThrottled", "", "graph/throttled", false),
            (503, "ErrorServerBusy", "", "graph/throttled", false),
            (503, "serviceNotAvailable", "", "graph/unavailable", true),
            (504, "UnknownError", "", "graph/unavailable", true),
            (404, "ErrorItemNotFound", "", "graph/no-item", false),
            (400, "ErrorInvalidIdMalformed", "", "graph/bad-id", false),
            (404, "ErrorInvalidId", "", "graph/bad-id", false),
            (410, "SyncStateNotFound", "", "graph/sync-state", false),
            (400, "SyncStateInvalid", "", "graph/sync-state", false),
            (
                500,
                "ErrorMimeContentConversionFailed",
                "",
                "graph/conversion",
                false,
            ),
            (500, "ErrorCorruptData", "", "graph/corrupt", false),
            (
                500,
                "ErrorInternalServerError",
                "",
                "graph/unavailable",
                true,
            ),
            (
                403,
                "ErrorAccessDenied",
                "Access is denied.",
                "graph/denied",
                false,
            ),
            (
                403,
                "ErrorAccessDenied",
                "Access to OData is disabled.",
                "graph/policy-denied",
                false,
            ),
            (
                403,
                "Authorization_RequestDenied",
                "",
                "graph/no-consent",
                false,
            ),
            (
                404,
                "MailboxNotEnabledForRESTAPI",
                "",
                "graph/no-mailbox",
                false,
            ),
            (
                404,
                "MailboxNotEnabledForRESTAPI",
                "The user has no license",
                "graph/no-licence",
                false,
            ),
            (404, "Request_ResourceNotFound", "", "graph/no-user", false),
            (507, "ErrorQuotaExceeded", "", "graph/quota", false),
            (
                400,
                "ErrorMessageSizeExceeded",
                "",
                "graph/too-large",
                false,
            ),
            (409, "ErrorFolderExists", "", "graph/folder-exists", false),
            (401, "InvalidAuthenticationToken", "", "graph/login", false),
            (400, "ErrorWhatever", "", "graph/refused", false),
            (424, "FailedDependency", "", "graph/batch-stopped", false),
        ] {
            let failed = refused(message, &said(status, code, text));
            assert_eq!(
                (failed.error.code(), failed.perhaps_executed),
                (is, executed),
                "{status} {code}"
            );
        }
    }

    #[test]
    fn what_may_hold_a_secret_is_not_repeated() {
        let doing = Doing::message("import");
        for is_secret in [false, true] {
            let mut said = said(400, "ErrorX", "at https://h/import?authtoken=hush");
            said.is_secret = is_secret;
            let error = refused(doing, &said).error;
            assert_ne!(
                error.chain().contains("hush"),
                is_secret,
                "{}",
                error.chain()
            );
            assert_ne!(format!("{error:?}").contains("hush"), is_secret);
        }
    }

    #[test]
    fn what_is_not_graphs_is_said_so() {
        let doing = Doing::account("get");
        for (status, body, code) in [
            (200, "<html>", "graph/not-graph"),
            (404, "<html>", "graph/not-graph"),
            (502, "<html>", "http/unavailable"),
            (308, "", "graph/redirected"),
            (200, "{}", "graph/not-graph"),
        ] {
            let failed = refused(doing, &Said::new(status, body.as_bytes()));
            assert_eq!(failed.error.code(), code, "{status} {body}");
        }
    }

    #[test]
    fn damage_reaches_as_far_as_what_was_done() {
        for (doing, code) in [
            (Doing::message("x"), "graph/no-item"),
            (Doing::folder("x"), "graph/no-folder"),
            (Doing::account("x"), "graph/not-found"),
        ] {
            let failed = refused(doing, &said(404, "ErrorItemNotFound", ""));
            assert_eq!(failed.error.code(), code);
            assert_eq!(failed.error.scope(), doing.scope);
        }
    }
}
