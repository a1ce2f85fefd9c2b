//! URLs that say by themselves who may use them: of uploads and imports.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mailmove_testkit_exchange::dates;
use mailmove_testkit_exchange::http::Request;
use mailmove_testkit_exchange::mailbox::Mailbox;
use mailmove_testkit_exchange::mime::Attachment;

use crate::call::Call;
use crate::items::mailbox_id;
use crate::server::Shared;

/// What a session is for.
#[derive(Debug, Clone)]
pub(crate) enum Purpose {
    /// An attachment of the message with this id, which has so many bytes in the end.
    Upload {
        message: String,
        attachment: Attachment,
        size: usize,
    },
    /// Items of the mailbox.
    Import,
}

/// A session.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    user: String,
    until: Duration,
    pub(crate) purpose: Purpose,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<BTreeMap<String, Open>>);

impl Sessions {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mailbox of a session that is not over.
    pub(crate) fn mailbox(&self, shared: &Shared, id: &str) -> Option<Mailbox> {
        let user = {
            let all = self.lock();
            let open = all.get(id)?;
            (shared.config.clock.now() < open.until).then(|| open.user.clone())?
        };
        shared.mailboxes.open(&shared.store, &user)
    }

    /// Opens one: its URL, and when it ends.
    pub(crate) fn open(&self, call: &Call, purpose: Purpose) -> (String, String) {
        let config = &call.shared.config;
        let until = config.clock.now() + config.session_lifetime;
        let user = call.mailbox.account.user().to_owned();
        let mut all = self.lock();
        let digest = blake3::hash(format!("session {user} {}", all.len()).as_bytes());
        let id = format!("eyJ.{}", URL_SAFE_NO_PAD.encode(digest.as_bytes()));
        let place = match &purpose {
            Purpose::Upload { .. } => format!("AttachmentSessions('{}')", all.len()),
            Purpose::Import => {
                let mailbox = mailbox_id(&call.shared, &user);
                format!("Mailboxes('{mailbox}')/importItem")
            }
        };
        let open = Open {
            user,
            until,
            purpose,
        };
        all.insert(id.clone(), open);
        let origin = call.base.trim_end_matches("/v1.0");
        let ends = i64::try_from(until.as_secs()).unwrap_or(i64::MAX / 2);
        let url = format!("{origin}/api/gv1.0/{place}?authtoken={id}");
        (url, dates::format(ends, 7))
    }
}

/// The operation and the session that such a request is about.
pub(crate) fn of(request: &Request) -> Option<(&'static str, String)> {
    let path = request.target.split('?').next().unwrap_or_default();
    let place = path.strip_prefix("/api/gv1.0/")?;
    let operation = match request.method.as_str() {
        "PUT" if place.starts_with("AttachmentSessions") => "UploadRange",
        "DELETE" if place.starts_with("AttachmentSessions") => "CancelUpload",
        "POST" if place.ends_with("/importItem") => "ImportItem",
        _ => return None,
    };
    Some((operation, request.query("authtoken").unwrap_or_default()))
}
