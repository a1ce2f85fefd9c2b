//! Servers repeat what they were told: in refusals, alerts, good-byes, and lines that make no sense. What
//! was a secret goes no further than here, neither into errors nor into logs.

use mailmove_core::{
    edge::Secret,
    error::{Error, ErrorKind},
};

use super::Connection;
use crate::{
    error::{self, without},
    wire::{Code, Malformed, Response, Status, WireError},
};

/// Shorter ones would be found in any text, and so be told by what is cut out.
const SHORTEST: usize = 4;

impl Connection {
    /// Cuts these out of whatever the server says from now on.
    pub(crate) fn guard(&mut self, secrets: &[&str]) {
        let long = secrets.iter().filter(|secret| secret.len() >= SHORTEST);
        // Excerpts show what is not plain text as escapes.
        let forms = |secret: &&str| {
            let escaped = Secret::new(secret.as_bytes().escape_ascii().to_string());
            [Secret::new(*secret), escaped]
        };
        self.secrets = long.flat_map(forms).collect();
    }

    /// A response without what it repeats.
    pub(super) fn scrubbed(&self, mut response: Response) -> Response {
        match &mut response {
            Response::Tagged { status, .. } | Response::Status(status) => self.scrub(status),
            // Their excerpts are for people alone.
            Response::Malformed(malformed) if self.repeats(&malformed.to_string()) => {
                *malformed = Malformed::default();
            }
            _ => {}
        }
        response
    }

    /// What could not be read, without what it repeats.
    pub(super) fn unreadable(&self, failure: WireError) -> Error {
        if self.repeats(&failure.to_string()) {
            return Error::new(ErrorKind::Protocol, "the server's answers make no sense")
                .with_code("imap/protocol");
        }
        error::wire(failure)
    }

    fn scrub(&self, status: &mut Status) {
        if self.repeats(&status.text) {
            status.text = without(&status.text, &self.exposed());
        }
        if let Some(Code::Other(text)) = &mut status.code
            && self.repeats(text)
        {
            *text = without(text, &self.exposed());
        }
    }

    fn repeats(&self, text: &str) -> bool {
        !self.secrets.is_empty() && without(text, &self.exposed()) != text
    }

    fn exposed(&self) -> Vec<&str> {
        self.secrets.iter().map(Secret::expose).collect()
    }
}
