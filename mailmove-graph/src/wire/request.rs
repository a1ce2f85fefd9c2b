//! Requests.

use bytes::Bytes;
use mailmove_core::model::Content;
use reqwest::Method;
use serde::Serialize;

use super::Path;
use crate::{error::Doing, http::Piece};

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// Below the mailbox: `/users/{user}` or `/me`.
    Mailbox(Path),
    /// Below the address of Graph.
    Service(Path),
    /// To a link that the server gave; it must not lead to another server.
    Link(String),
}

/// What a request carries.
#[derive(Clone, Debug, Default)]
pub(crate) enum Body {
    /// Nothing.
    #[default]
    None,
    /// JSON, written.
    Json(Bytes),
    /// Something else, with its type.
    Raw(&'static str, Bytes),
    /// JSON with contents in it, as Base64.
    Pieces(Vec<Piece>),
    /// A message as it is, which Graph takes as Base64 and says is a text.
    Mime(Content),
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) to: To,
    /// Preferences beside that for ids that last.
    pub(crate) prefer: Vec<String>,
    pub(crate) body: Body,
    pub(crate) doing: Doing,
}

impl Request {
    fn new(method: Method, to: To, doing: Doing) -> Self {
        Self {
            method,
            to,
            prefer: Vec::new(),
            body: Body::None,
            doing,
        }
    }

    /// Reads something of the mailbox.
    pub(crate) fn get(path: Path, doing: Doing) -> Self {
        Self::new(Method::GET, To::Mailbox(path), doing)
    }

    /// Goes on with what a link of the server's leads to.
    pub(crate) fn follow(link: &str, doing: Doing) -> Self {
        Self::new(Method::GET, To::Link(link.to_owned()), doing)
    }

    /// Makes something in the mailbox, or has something done.
    pub(crate) fn post(path: Path, doing: Doing) -> Self {
        Self::new(Method::POST, To::Mailbox(path), doing)
    }

    /// Changes something in the mailbox.
    pub(crate) fn patch(path: Path, doing: Doing) -> Self {
        Self::new(Method::PATCH, To::Mailbox(path), doing)
    }

    /// Removes something from the mailbox.
    pub(crate) fn delete(path: Path, doing: Doing) -> Self {
        Self::new(Method::DELETE, To::Mailbox(path), doing)
    }

    /// The same below the address of Graph, not below the mailbox.
    #[must_use]
    pub(crate) fn of_service(mut self) -> Self {
        if let To::Mailbox(path) = self.to {
            self.to = To::Service(path);
        }
        self
    }

    /// With a preference, such as `odata.maxpagesize=50`.
    #[must_use]
    pub(crate) fn prefer(mut self, preference: impl Into<String>) -> Self {
        self.prefer.push(preference.into());
        self
    }

    /// With JSON.
    #[must_use]
    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        // What is written here are our own types and `Value`s, which cannot fail.
        let text = serde_json::to_vec(body).unwrap_or_default();
        self.body = Body::Json(Bytes::from(text));
        self
    }

    /// With a message as it is.
    #[must_use]
    pub(crate) fn mime(mut self, message: Content) -> Self {
        self.body = Body::Mime(message);
        self
    }

    /// Bytes of the body.
    pub(crate) fn size(&self) -> u64 {
        match &self.body {
            Body::None => 0,
            Body::Json(bytes) | Body::Raw(_, bytes) => bytes.len() as u64,
            Body::Pieces(pieces) => pieces.iter().map(Piece::size).sum(),
            Body::Mime(message) => Piece::Base64(message.clone()).size(),
        }
    }
}
