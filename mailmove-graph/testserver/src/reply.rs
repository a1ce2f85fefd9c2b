//! Answers and refusals, as OData has them.

use std::borrow::Cow;
use std::time::Duration;

use mailmove_testkit::mailbox::StoreError;
use mailmove_testkit_exchange::dates;
use mailmove_testkit_exchange::http::Response;
use serde_json::{Value, json};

/// Why a request failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: Cow<'static, str>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// What comes of a request.
pub(crate) type Answer = Result<Response, Failure>;

impl Failure {
    pub(crate) fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            retry_after: None,
            headers: Vec::new(),
        }
    }

    /// Something in the request is not understood.
    pub(crate) fn bad(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "RequestBodyRead", message)
    }

    /// No such segment.
    pub(crate) fn segment(name: &str) -> Self {
        let text = format!("Resource not found for the segment '{name}'.");
        Self::new(400, "BadRequest", text)
    }

    /// Nothing has this id.
    pub(crate) fn missing() -> Self {
        Self::new(
            404,
            "ErrorItemNotFound",
            "The specified object was not found in the store.",
        )
    }

    /// This is no id.
    pub(crate) fn malformed() -> Self {
        Self::new(400, "ErrorInvalidIdMalformed", "Id is malformed.")
    }

    pub(crate) fn wait(mut self, time: Option<Duration>) -> Self {
        self.retry_after = time;
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The body.
    pub(crate) fn json(&self) -> Value {
        let id = blake3::hash(self.code.as_bytes()).to_hex();
        let id = id.get(..32).unwrap_or_default();
        json!({"error": {
            "code": self.code,
            "message": self.message,
            "innerError": {
                "date": dates::format(1_767_225_600, 0).trim_end_matches('Z'),
                "request-id": id,
                "client-request-id": id,
            },
        }})
    }

    /// As it is sent.
    pub(crate) fn response(&self) -> Response {
        let mut response = respond(self.status, &self.json());
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response = response.header("Retry-After", seconds.to_string());
        }
        for (name, value) in &self.headers {
            response = response.header(name, value.clone());
        }
        response
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (status, code) = match error {
            StoreError::NoSuchFolder => return Self::missing(),
            StoreError::AlreadyExists => (409, "ErrorFolderExists"),
            StoreError::InvalidName(_) => (400, "ErrorInvalidFolderName"),
            StoreError::InboxIsFixed => (403, "ErrorDeleteDistinguishedFolder"),
            StoreError::ReadOnly => (403, "ErrorAccessDenied"),
            StoreError::OverQuota => (507, "ErrorQuotaExceeded"),
            StoreError::TooBig(_) => (413, "ErrorMessageSizeExceeded"),
            StoreError::BadFlag(_) => (400, "ErrorInvalidPropertySet"),
            StoreError::BadContent(_) => (400, "ErrorMimeContentInvalid"),
            _ => (500, "ErrorInternalServerError"),
        };
        Self::new(status, code, error.to_string())
    }
}

/// JSON with this status.
pub(crate) fn respond(status: u16, body: &Value) -> Response {
    Response::new(status, body.to_string()).header(
        "Content-Type",
        "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8",
    )
}

/// Nothing but a status.
pub(crate) fn empty(status: u16) -> Response {
    Response::new(status, "")
}
