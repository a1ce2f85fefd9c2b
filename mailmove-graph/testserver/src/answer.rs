//! From a request to its answer.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use mailmove_testkit_exchange::http::{Request, Response};
use mailmove_testkit_exchange::listen::Outcome;
use mailmove_testkit_exchange::mailbox::Mailbox;

use crate::auth::{self, Caller};
use crate::call::{Call, prefer};
use crate::faults::Action;
use crate::odata::Query;
use crate::reply::{Answer, Failure, respond};
use crate::route::{Route, Whose, route};
use crate::server::{Session, Shared};
use crate::{
    attachments, batch, create, delta, exports, folders, gate, items, list, mangle, sessions,
    uploads,
};

/// Answers whatever comes.
pub(crate) async fn answer(shared: &Arc<Shared>, session: Session, request: Request) -> Outcome {
    transcript(shared, &request.method, &request.target, &request.body);
    let path = request.target.split('?').next().unwrap_or_default();
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    if let [tenant, "oauth2", "v2.0", what] = segments.as_slice() {
        return login(shared, tenant, what, &request).await;
    }
    if let [tenant, "v2.0", ".well-known", "openid-configuration"] = segments.as_slice() {
        let here = origin(session, &request);
        return Outcome::Reply(auth::description(&here, tenant));
    }
    if let Some((operation, id)) = sessions::of(&request) {
        return authorised(shared, session, operation, &id, request).await;
    }
    let Some(rest) = path.strip_prefix("/v1.0") else {
        return Outcome::Reply(Failure::segment(path).response());
    };
    let rest = rest.to_owned();
    let outcome = graph(shared, session, &rest, request).await;
    if let Outcome::Reply(response) = &outcome {
        transcript(
            shared,
            "answer",
            &response.status.to_string(),
            &response.body,
        );
    }
    outcome
}

/// Answers what comes to the endpoint that gives tokens.
async fn login(shared: &Arc<Shared>, tenant: &str, what: &str, request: &Request) -> Outcome {
    let name = if what == "token" {
        "Token"
    } else {
        "DeviceCode"
    };
    count(shared, name);
    let fault = shared.faults.on_operation(name);
    match &fault {
        Some(Action::Status(status)) => return Outcome::Reply(Response::new(*status, "")),
        Some(Action::Error(status, code)) => {
            let body = serde_json::json!({"error": code, "error_description": "It failed."});
            return Outcome::Reply(respond(*status, &body));
        }
        Some(Action::Throttle(wait)) => return Outcome::Reply(generic(429).wait(*wait).response()),
        Some(Action::Unavailable(wait)) => {
            return Outcome::Reply(generic(503).wait(*wait).response());
        }
        Some(Action::Close) => return Outcome::Gone,
        Some(Action::Delay(time)) => shared.config.clock.sleep(*time).await,
        Some(Action::Hold) => shared.faults.released().await,
        _ => {}
    }
    let response = auth::endpoint(shared, tenant, what, request);
    match fault {
        Some(Action::CloseUnanswered) => Outcome::Gone,
        Some(Action::Mangle(how)) => Outcome::Reply(mangle::spoil(how, response)),
        _ => Outcome::Reply(response),
    }
}

pub(crate) fn count(shared: &Shared, operation: &str) {
    let mut counters = shared.counting.lock();
    *counters.operations.entry(operation.to_owned()).or_default() += 1;
}

pub(crate) fn tell(shared: &Shared, answer: &Answer) {
    let mut counters = shared.counting.lock();
    match answer {
        Ok(response) => *counters.answers.entry(response.status).or_default() += 1,
        Err(failure) => {
            *counters.answers.entry(failure.status).or_default() += 1;
            *counters.codes.entry(failure.code.to_string()).or_default() += 1;
        }
    }
}

/// A refusal as an outcome, counted.
pub(crate) fn refuse(shared: &Shared, failure: Failure) -> Outcome {
    let answer = Err(failure);
    tell(shared, &answer);
    Outcome::Reply(finish(answer))
}

fn finish(answer: Answer) -> Response {
    answer.unwrap_or_else(|failure| failure.response())
}

/// Answers what is below `/v1.0`.
async fn graph(shared: &Arc<Shared>, session: Session, path: &str, request: Request) -> Outcome {
    let caller = match auth::check(shared, &request) {
        Ok(caller) => caller,
        Err(failure) => return refuse(shared, failure),
    };
    let base = format!("{}/v1.0", origin(session, &request));
    match path.trim_end_matches('/').to_ascii_lowercase().as_str() {
        "/$batch" => batch::answer(shared, &caller, base, request).await,
        _ => {
            let arrived = shared.config.clock.now();
            one(shared, &caller, base, path, request, arrived).await
        }
    }
}

/// Scheme and host, as the client has them.
fn origin(session: Session, request: &Request) -> String {
    let host = request.header("host").unwrap_or_default();
    let scheme = if session.secure { "https" } else { "http" };
    format!("{scheme}://{host}")
}

/// Answers one request: alone, or of a batch that arrived when it did.
pub(crate) async fn one(
    shared: &Arc<Shared>,
    caller: &Caller,
    base: String,
    path: &str,
    request: Request,
    arrived: Duration,
) -> Outcome {
    let route = match route(&request.method, path) {
        Ok(route) => route,
        Err(failure) => return refuse(shared, failure),
    };
    count(shared, route.operation);
    if shared.config.without.contains(route.operation) {
        return refuse(shared, Failure::segment(route.operation));
    }
    match admitted(shared, caller, &route) {
        Ok(mailbox) => serve(shared, mailbox, route, base, request, arrived).await,
        Err(failure) => refuse(shared, failure),
    }
}

/// Answers a request to a URL that says by itself who may use it.
async fn authorised(
    shared: &Arc<Shared>,
    session: Session,
    operation: &'static str,
    id: &str,
    request: Request,
) -> Outcome {
    count(shared, operation);
    // Whoever sends a token there gives it away.
    if request.header("authorization").is_some() {
        shared.counting.lock().leaked_tokens += 1;
        let why = "The request has a token, and may not.";
        return refuse(shared, Failure::new(401, "InvalidAudience", why));
    }
    let Some(mailbox) = shared.sessions.mailbox(shared, id) else {
        let why = "The session is not known, or over.";
        return refuse(shared, Failure::new(404, "ErrorItemNotFound", why));
    };
    let route = Route {
        operation,
        whose: Whose::Nobody,
        template: format!("/{operation}"),
        folder: None,
        message: Some(id.to_owned()),
        attachment: None,
    };
    let base = format!("{}/v1.0", origin(session, &request));
    let arrived = shared.config.clock.now();
    serve(shared, mailbox, route, base, request, arrived).await
}

/// Runs an operation on a mailbox, within its limits.
async fn serve(
    shared: &Arc<Shared>,
    mailbox: Mailbox,
    route: Route,
    base: String,
    request: Request,
    arrived: Duration,
) -> Outcome {
    let prefer = prefer(&request);
    shared.counting.lock().immutable += u64::from(prefer.immutable);
    let user = mailbox.account.user();
    let slot = match shared.enter(user, request.body.len() as u64, arrived) {
        Ok(slot) => slot,
        Err(failure) => return refuse(shared, failure),
    };
    let fault = shared.faults.on_operation(route.operation);
    let query = request
        .target
        .split_once('?')
        .map_or("", |(_, query)| query);
    let call = Call {
        shared: Arc::clone(shared),
        route: Arc::new(route),
        mailbox,
        query: Query::parse(query),
        request: Arc::new(request),
        prefer,
        base,
        fault,
    };
    gate::request(&call);
    if let Some(outcome) = before(&call).await {
        return outcome;
    }
    if !shared.config.latency.is_zero() {
        shared.config.clock.sleep(shared.config.latency).await;
    }
    let answer = run(&call);
    gate::answer(&call, &answer);
    drop(slot);
    after(&call, answer)
}

/// The mailbox that a request is about, if the caller may open it.
fn admitted(shared: &Arc<Shared>, caller: &Caller, route: &Route) -> Result<Mailbox, Failure> {
    let denied = || {
        Failure::new(
            403,
            "ErrorAccessDenied",
            "Access is denied. Check credentials and try again.",
        )
    };
    if shared.config.no_consent {
        return Err(Failure::new(
            403,
            "Authorization_RequestDenied",
            "Insufficient privileges to complete the operation.",
        ));
    }
    let unknown = |name: &str| {
        Failure::new(
            404,
            "ErrorInvalidUser",
            format!("The requested user '{name}' is invalid."),
        )
    };
    let user = match (&route.whose, caller) {
        (Whose::Me, Caller::User(user)) => user.clone(),
        (Whose::Me, Caller::App) => {
            return Err(Failure::new(
                400,
                "BadRequest",
                "/me request is only valid with delegated authentication flow.",
            ));
        }
        (Whose::User(name), _) => {
            let found = auth::find(&shared.config, name);
            found.ok_or_else(|| unknown(name))?.to_owned()
        }
        (Whose::Mailbox(id), _) => items::user_of(shared, id).ok_or_else(Failure::malformed)?,
        // A batch within a batch, say.
        (Whose::Nobody, _) => return Err(Failure::segment("$batch")),
    };
    if matches!(caller, Caller::User(own) if *own != user) || shared.config.denied.contains(&user) {
        return Err(denied());
    }
    if shared.config.not_enabled.contains(&user) {
        return Err(Failure::new(
            404,
            "MailboxNotEnabledForRESTAPI",
            "The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
        ));
    }
    let mailbox = shared.mailboxes.open(&shared.store, &user);
    mailbox.ok_or_else(|| unknown(&user))
}

/// What happens instead of running the operation, or before it.
async fn before(call: &Call) -> Option<Outcome> {
    let shared = &call.shared;
    let refuse = |failure| Some(refuse(shared, failure));
    let user = call.mailbox.account.user();
    match call.fault.as_ref()? {
        Action::Status(status) => refuse(generic(*status)),
        Action::Error(status, code) => {
            refuse(Failure::new(*status, code.clone(), "The request failed."))
        }
        Action::Throttle(wait) => {
            shared.begin_back_off(user, *wait);
            refuse(generic(429).wait(*wait))
        }
        Action::Unavailable(wait) => {
            shared.begin_back_off(user, *wait);
            refuse(generic(503).wait(*wait))
        }
        Action::Claims(claims) => refuse(auth::claims(claims)),
        Action::Resync => refuse(delta::resync(call)),
        Action::Nothing => Some(Outcome::Reply(Response::new(200, ""))),
        Action::Close => Some(Outcome::Gone),
        Action::LandAfter(_) | Action::LandOnRelease => {
            land_later(call.clone());
            Some(Outcome::Gone)
        }
        Action::Delay(time) => {
            shared.config.clock.sleep(*time).await;
            None
        }
        Action::Hold => {
            shared.faults.released().await;
            None
        }
        Action::Meanwhile(script) => {
            script.run(&call.mailbox.account);
            None
        }
        _ => None,
    }
}

pub(crate) fn generic(status: u16) -> Failure {
    let (code, message) = match status {
        401 => ("InvalidAuthenticationToken", "Access token has expired."),
        403 => ("ErrorAccessDenied", "Access is denied."),
        404 => ("ErrorItemNotFound", "The specified object was not found."),
        429 => ("ApplicationThrottled", "Application is over its limit."),
        503 => ("ServiceUnavailable", "The service is unavailable."),
        504 => ("UnknownError", ""),
        _ => (
            "ErrorInternalServerError",
            "An internal server error occurred.",
        ),
    };
    Failure::new(status, code, message)
}

fn land_later(call: Call) {
    let shared = Arc::clone(&call.shared);
    let tasks = shared.tasks.clone();
    tasks.spawn(async move {
        let due = async {
            match &call.fault {
                Some(Action::LandAfter(time)) => shared.config.clock.sleep(*time).await,
                _ => shared.faults.released().await,
            }
        };
        tokio::select! {
            () = shared.stop.cancelled() => {}
            () = due => {
                tell(&shared, &run(&call));
            }
        }
    });
}

/// What becomes of the answer of an operation that was run.
fn after(call: &Call, answer: Answer) -> Outcome {
    let shared = &call.shared;
    let answer = match (&call.fault, answer) {
        (Some(Action::StatusAfter(status)), Ok(_)) => Err(generic(*status)),
        (_, answer) => answer,
    };
    tell(shared, &answer);
    let mut response = finish(answer);
    match &call.fault {
        Some(Action::CloseUnanswered) => Outcome::Gone,
        Some(Action::CloseAnswered) => Outcome::Raw(response.bytes(), false),
        Some(Action::CloseInReply(bytes)) => {
            let mut raw = response.bytes();
            raw.truncate(usize::try_from(*bytes).unwrap_or(usize::MAX));
            Outcome::Raw(raw, false)
        }
        Some(Action::Mangle(how)) => {
            response = mangle::spoil(*how, response);
            Outcome::Reply(response)
        }
        _ => Outcome::Reply(response),
    }
}

/// Runs the operation.
pub(crate) fn run(call: &Call) -> Answer {
    match call.route.operation {
        "GetUser" => items::user(call),
        "ExchangeSettings" => items::exchange_settings(call),
        "TranslateIds" => items::translate(call),
        "ListFolders" | "ListChildFolders" => folders::list(call),
        "FolderDelta" => delta::folders(call),
        "GetFolder" => folders::get(call),
        "CreateFolder" => folders::create(call),
        "UpdateFolder" => folders::update(call),
        "MoveFolder" => folders::move_to(call),
        "DeleteFolder" | "PurgeFolder" => folders::delete(call),
        "MessageDelta" => delta::messages(call),
        "ListMessages" => list::messages(call),
        "GetMessage" => items::get(call),
        "GetMime" => items::mime(call),
        "CreateMessage" => create::message(call),
        "UpdateMessage" => create::update(call),
        "DeleteMessage" => items::delete(call, false),
        "PurgeMessage" => items::delete(call, true),
        "MoveMessage" => items::carry(call, true),
        "CopyMessage" => items::carry(call, false),
        "ListAttachments" => attachments::list(call),
        "GetAttachment" => attachments::get(call),
        "GetAttachmentContent" => attachments::content(call),
        "AddAttachment" => attachments::add(call),
        "DeleteAttachment" => attachments::delete(call),
        "CreateUploadSession" => uploads::create(call),
        "ListMailboxFolders" | "ListMailboxChildFolders" => exports::folders(call),
        "MailboxFolderDelta" => delta::mailbox_folders(call),
        "GetMailboxFolder" => exports::folder(call),
        "ListMailboxItems" => exports::items(call),
        "MailboxItemDelta" => delta::mailbox_items(call),
        "GetMailboxItem" => exports::item(call),
        "CreateMailboxFolder" => exports::create_folder(call),
        "DeleteMailboxItem" => exports::delete(call),
        "ExportItems" => exports::export(call),
        "CreateImportSession" => exports::session(call),
        "ImportItem" => exports::import(call),
        "UploadRange" => uploads::put(call),
        "CancelUpload" => uploads::cancel(call),
        other => Err(Failure::segment(other)),
    }
}

fn transcript(shared: &Shared, what: &str, target: &str, body: &[u8]) {
    let Some(path) = &shared.config.transcript else {
        return;
    };
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path);
    if let Ok(mut file) = file {
        // A transcript that can't be written is no reason to fail.
        let _ = writeln!(file, "{what} {target}\n{}\n", String::from_utf8_lossy(body));
    }
}
