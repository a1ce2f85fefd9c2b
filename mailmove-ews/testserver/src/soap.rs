//! From a SOAP request to its reply.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::auth;
use crate::faults::Action;
use crate::http::{Request, Response};
use crate::mailbox::Mailbox;
use crate::server::{Outcome, Session, Shared, tell};
use crate::xml::{self, Element, el, text};
use crate::{dates, gate, mangle, operations, order};

/// How a fault without a code puts it.
const CANNOT: &str = "E-3034: the request cannot be run";
const ERRORS: &str = "http://schemas.microsoft.com/exchange/services/2006/errors";

/// An operation that somebody asked for.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    /// Who logged in.
    pub(crate) user: String,
    /// Whose mailbox it is about: the user's, or that of who is impersonated.
    pub(crate) mailbox: Mailbox,
    pub(crate) operation: Arc<Element>,
    pub(crate) fault: Option<Action>,
}

/// A SOAP fault.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) code: Cow<'static, str>,
    pub(crate) text: Cow<'static, str>,
    pub(crate) back_off: Option<Duration>,
}

impl Fault {
    pub(crate) fn new(code: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: Cow::Borrowed(code),
            text: text.into(),
            back_off: None,
        }
    }

    fn schema(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new("ErrorSchemaValidation", text)
    }
}

/// Why one item of a batch failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) code: Cow<'static, str>,
    pub(crate) back_off: Option<Duration>,
}

impl Failure {
    pub(crate) fn new(code: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: code.into(),
            back_off: None,
        }
    }
}

/// What is said of one item of a batch: attributes and children of its response message.
pub(crate) type Answer = Result<Vec<Element>, Failure>;

/// Answers a POST to the EWS endpoint.
pub(crate) async fn post(
    shared: &Arc<Shared>,
    session: &Session,
    user: &str,
    request: Request,
) -> Outcome {
    let envelope = match xml::parse(&request.body) {
        Ok(envelope) => envelope,
        Err(why) => return fault(shared, 500, &Fault::schema(why)),
    };
    let operation = envelope
        .child("s:Body")
        .filter(|body| envelope.name == "s:Envelope" && body.children.len() == 1)
        .and_then(|body| body.children.first())
        .filter(|operation| operation.name.starts_with("m:"));
    let Some(operation) = operation else {
        return fault(shared, 500, &Fault::schema("no operation in a SOAP body"));
    };
    let name = operation.local().to_owned();
    {
        let mut counters = shared.counting.lock();
        *counters.operations.entry(name.clone()).or_default() += 1;
        counters.during_backoff += u64::from(shared.in_back_off());
    }
    mangle::transcript(shared, "request", &request.body);
    let mut action = shared.faults.on_operation(&name);
    if action.is_none() {
        action = busy(shared);
    }
    if !session.allowed {
        let text = "You have exceeded the available concurrent connections for your account.";
        return fault(
            shared,
            500,
            &Fault::new("ErrorExceededConnectionCount", text),
        );
    }
    let prepared = prepare(shared, user, &envelope, operation);
    let mut call = match prepared {
        Ok(call) => call,
        Err(why) => return fault(shared, 500, &why),
    };
    gate::request(shared, &envelope, operation);
    call.fault = action.clone();
    match before(shared, &call, action.as_ref()).await {
        Some(outcome) => outcome,
        None => run(shared, &call, action),
    }
}

/// Every so many operations the server is busy.
fn busy(shared: &Shared) -> Option<Action> {
    let (nth, back_off) = shared.config.busy_every?;
    let total = shared.counting.lock().total_operations();
    if !total.is_multiple_of(nth) {
        return None;
    }
    Some(match (total / nth).is_multiple_of(2) {
        true => Action::Busy(back_off),
        false => Action::BusyFault(back_off),
    })
}

fn prepare(
    shared: &Arc<Shared>,
    user: &str,
    envelope: &Element,
    operation: &Element,
) -> Result<Call, Fault> {
    let header = envelope.child("s:Header");
    if let Some(version) = header.and_then(|h| h.child("t:RequestServerVersion"))
        && shared.config.oldest_version
        && version
            .get("Version")
            .is_some_and(|v| !v.starts_with("Exchange2007") && !v.starts_with("Exchange2010"))
    {
        return Err(Fault::new(
            "ErrorInvalidServerVersion",
            "The specified server version is invalid.",
        ));
    }
    order::check(operation).map_err(Fault::schema)?;
    if shared.config.oldest_version && order::is_newer(operation) {
        return Err(Fault::schema("this came with Exchange 2013"));
    }
    let mut of = user.to_owned();
    if let Some(impersonation) = header.and_then(|h| h.child("t:ExchangeImpersonation")) {
        let who = impersonation.path(&["t:ConnectingSID"]);
        let who = who.and_then(|sid| sid.children.first());
        let who = who.ok_or_else(|| Fault::schema("nobody to impersonate"))?;
        let found = auth::find(&shared.config, &who.text);
        let allowed = shared
            .config
            .users
            .get(user)
            .is_some_and(|u| u.impersonates);
        of = match found {
            Some(name) if allowed || name == user => name.to_owned(),
            Some(_) => {
                return Err(Fault::new(
                    "ErrorImpersonateUserDenied",
                    "The account does not have permission to impersonate the requested user.",
                ));
            }
            None => {
                return Err(Fault::new(
                    "ErrorNonExistentMailbox",
                    "No mailbox with such guid or address.",
                ));
            }
        };
    }
    let mailbox = shared.mailboxes.open(&shared.store, &of).ok_or_else(|| {
        Fault::new(
            "ErrorMissingEmailAddress",
            "When making a request as an account that does not have a mailbox, you must specify the \
             mailbox primary SMTP address for any distinguished folder Ids.",
        )
    })?;
    Ok(Call {
        shared: Arc::clone(shared),
        user: user.to_owned(),
        mailbox,
        operation: Arc::new(operation.clone()),
        fault: None,
    })
}

/// What happens instead of running the operation, or before it.
async fn before(shared: &Arc<Shared>, call: &Call, action: Option<&Action>) -> Option<Outcome> {
    match action? {
        Action::Status(401) => Some(Outcome::Reply(auth::challenge(shared))),
        Action::Status(302) => Some(Outcome::Reply(Response::new(302, "").header(
            "Location",
            "/owa/auth/errorfe.aspx?msg=genericerrorpage.htm",
        ))),
        Action::Status(400) => {
            let mut response = Response::new(400, "");
            response.close = true;
            Some(Outcome::Reply(response))
        }
        Action::Status(status) => Some(Outcome::Reply(Response::new(*status, ""))),
        Action::BusyFault(back_off) => {
            shared.begin_back_off(*back_off);
            let mut why = Fault::new(
                "ErrorServerBusy",
                "The server cannot service this request right now. Try again later.",
            );
            why.back_off = Some(*back_off);
            Some(fault(shared, 500, &why))
        }
        Action::Fault(status, code) => {
            let mut why = Fault::new("", "The request failed.");
            why.code = Cow::Owned(code.clone());
            Some(fault(shared, *status, &why))
        }
        Action::BareFault => Some(Outcome::Reply(xml_response(
            shared,
            200,
            &bare_fault(CANNOT),
        ))),
        Action::FaultTwice => {
            tell(shared, 500);
            let mut bytes = xml_response(shared, 500, &bare_fault(CANNOT)).bytes();
            let name = format!("m:{}Response", call.operation.local());
            bytes.extend(xml_response(shared, 200, &envelope(shared, named(name))).bytes());
            Some(Outcome::Raw(bytes, true))
        }
        Action::OtherReply => {
            let name = match call.operation.local() {
                "GetFolder" => "m:GetItemResponse",
                _ => "m:GetFolderResponse",
            };
            let reply = envelope(shared, el(name).with(el("m:ResponseMessages")));
            Some(Outcome::Reply(xml_response(shared, 200, &reply)))
        }
        Action::Close => Some(Outcome::Gone),
        Action::LandAfter(_) | Action::LandOnRelease => {
            land_later(call.clone(), action.cloned());
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

/// Runs the operation after its connection is gone.
fn land_later(call: Call, action: Option<Action>) {
    let shared = Arc::clone(&call.shared);
    let released = shared.faults.released();
    let tasks = shared.tasks.clone();
    tasks.spawn(async move {
        let wait = async {
            match action {
                Some(Action::LandAfter(delay)) => shared.config.clock.sleep(delay).await,
                _ => released.await,
            }
        };
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = wait => {}
        }
        // Nobody is there to hear it.
        let _ = operations::run(&call);
    });
}

fn run(shared: &Arc<Shared>, call: &Call, action: Option<Action>) -> Outcome {
    let reply = match operations::run(call) {
        Ok(reply) => reply,
        Err(why) => return fault(shared, 500, &why),
    };
    count_codes(shared, &reply);
    let reply = envelope(shared, reply);
    gate::reply(shared, &reply);
    let response = match action {
        Some(Action::Mangle(how)) => mangle::spoil(shared, reply, how),
        _ => xml_response(shared, 200, &reply),
    };
    mangle::transcript(shared, "reply", &response.body);
    match action {
        Some(Action::StatusAfter(status)) => Outcome::Reply(Response::new(status, "")),
        Some(Action::CloseUnanswered) => Outcome::Gone,
        Some(Action::CloseAnswered) => Outcome::Raw(response.bytes(), false),
        Some(Action::CloseInReply(bytes)) => {
            let mut all = response.bytes();
            all.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
            Outcome::Raw(all, false)
        }
        Some(Action::Twice) => {
            let bytes = response.bytes();
            Outcome::Raw([bytes.clone(), bytes].concat(), true)
        }
        _ => Outcome::Reply(response),
    }
}

fn count_codes(shared: &Shared, reply: &Element) {
    let mut counters = shared.counting.lock();
    for message in reply
        .child("m:ResponseMessages")
        .iter()
        .flat_map(|m| &m.children)
    {
        if let Some(code) = message.child_text("m:ResponseCode") {
            *counters.codes.entry(code.to_owned()).or_default() += 1;
        }
    }
}

/// An element whose name is made up.
pub(crate) fn named(name: String) -> Element {
    let mut element = el("");
    element.name = Cow::Owned(name);
    element
}

/// The reply around what an operation says.
fn envelope(shared: &Shared, reply: Element) -> Element {
    let (major, minor) = shared.config.version;
    let version = el("t:ServerVersionInfo")
        .attr("MajorVersion", major.to_string())
        .attr("MinorVersion", minor.to_string())
        .attr("MajorBuildNumber", "2507")
        .attr("MinorBuildNumber", "6");
    let version = match shared.config.oldest_version {
        true => version.attr("Version", "Exchange2010_SP2"),
        false => version.attr("Version", "V2017_07_11"),
    };
    el("s:Envelope")
        .with(el("s:Header").with(version))
        .with(el("s:Body").with(reply))
}

pub(crate) fn xml_response(shared: &Shared, status: u16, envelope: &Element) -> Response {
    let kind = match shared.config.no_charset {
        true => "text/xml",
        false => "text/xml; charset=utf-8",
    };
    let now = i64::try_from(shared.config.clock.now().as_secs()).unwrap_or(i64::MAX);
    Response::new(status, envelope.render())
        .header("Content-Type", kind)
        .header("Date", dates::format_mail(now).replace("+0000", "GMT"))
}

fn fault(shared: &Shared, status: u16, why: &Fault) -> Outcome {
    if why.code.is_empty() {
        return Outcome::Reply(xml_response(shared, status, &bare_fault(&why.text)));
    }
    let mut detail = el("detail")
        .with(text("e:ResponseCode", why.code.clone()).attr("xmlns:e", ERRORS))
        .with(text("e:Message", why.text.clone()).attr("xmlns:e", ERRORS));
    if let Some(back_off) = why.back_off {
        detail = detail.with(message_xml("t:MessageXml", back_off));
    }
    let body = el("s:Fault")
        .with(text("faultcode", format!("t:{}", why.code)))
        .with(text("faultstring", why.text.clone()).attr("xml:lang", "en-US"))
        .with(detail);
    let code = why.code.clone().into_owned();
    *shared.counting.lock().codes.entry(code).or_default() += 1;
    let envelope = el("s:Envelope").with(el("s:Body").with(body));
    let response = xml_response(shared, status, &envelope);
    mangle::transcript(shared, "fault", &response.body);
    Outcome::Reply(response)
}

pub(crate) fn message_xml(name: &'static str, back_off: Duration) -> Element {
    let milliseconds = back_off.as_millis().to_string();
    el(name).with(text("t:Value", milliseconds).attr("Name", "BackOffMilliseconds"))
}

/// In words alone.
fn bare_fault(words: &str) -> Element {
    let body = el("s:Fault")
        .with(text("faultcode", "SOAP:Server"))
        .with(text("faultstring", words.to_owned()));
    el("s:Envelope").with(el("s:Body").with(body))
}

/// An element with text whose name is made up.
pub(crate) fn named_text(name: String, value: &str) -> Element {
    let mut element = named(name);
    value.clone_into(&mut element.text);
    element
}
