//! All requests of one side go through here: within the server's limits, with a token, judged.

mod batch;
mod lanes;
mod pace;
mod token;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use mailmove_core::{
    destination::Fence,
    edge::Secret,
    error::{Error, ErrorKind, Result, Retry, Scope},
    model::Timestamp,
};
use mailmove_exchange::header::parse_date;
use reqwest::{
    Method, Url,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use serde_json::Value;

pub(crate) use batch::{BYTES as BATCH_BYTES, ITEMS as BATCH_ITEMS, is_stopped};
use lanes::{Lane, Lanes};
use pace::Pace;
use token::Tokens;

use crate::{
    config::Access,
    error::{self, Doing, Said},
    folders::Opened,
    http::{Client, Failed, Origin, Piece, Received, Sending, retry_after},
    wire::{Body, Path, Request, To},
};

/// Longest JSON that is read as a whole.
const JSON_MAX: usize = 32 << 20;
/// Longest page of an error that is read.
const PAGE_MAX: usize = 64 << 10;
/// Longest wait where the server names none, or always the same.
const FLOOR_MAX: u64 = 60;

/// All requests of one side.
pub(crate) struct Pool {
    access: Access,
    client: Arc<Client>,
    lanes: Arc<Lanes>,
    pace: Pace,
    tokens: Tokens,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The mailbox, once it was looked at.
    opened: Option<Opened>,
    /// Graph answered before.
    known: bool,
    /// No request leaves before the second of these, by the program's clock; the first is when that was noted.
    busy: Option<(Duration, Duration)>,
    /// Objections since a request last went well.
    objections: u32,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({})", self.access.config.endpoint())
    }
}

/// What answered a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `Null` if there was nothing.
    pub(crate) json: Value,
    /// When it was, by the server's clock.
    pub(crate) date: Option<Timestamp>,
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub(crate) struct Open {
    received: Received,
    _lane: Lane,
}

impl Open {
    /// It may be a content that the server hands out as it is: neither a page for people nor what Graph has to say
    /// itself, and it can be told whether all of it came.
    pub(crate) fn is_content(&self) -> bool {
        let kind = self.received.field("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let kind = kind.to_ascii_lowercase();
        let is_other =
            kind.ends_with("/html") || kind.ends_with("/json") || kind.ends_with("+json");
        self.received.status == 200 && !is_other && self.received.has_end()
    }

    /// The next piece of the body; `None` at its end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>> {
        self.received.piece().await
    }
}

/// What a request counts for.
#[derive(Debug)]
struct Weight {
    /// Of those that may be under way at once.
    lanes: usize,
    /// Leave for these, if it has it already.
    lane: Option<Lane>,
    /// Of those that may be sent within a time.
    requests: usize,
    /// Whether it went well is said by the answers within its own.
    is_batch: bool,
}

impl Weight {
    const ONE: Self = Self {
        lanes: 1,
        lane: None,
        requests: 1,
        is_batch: false,
    };
}

impl Pool {
    pub(crate) fn new(access: Access) -> Arc<Self> {
        let config = &access.config;
        Arc::new(Self {
            client: Client::new(access.edges.clone(), config.tls().clone(), config.timeout()),
            lanes: Lanes::new(config.concurrency()),
            pace: Pace::new(config.request_limit(), config.upload_limit()),
            tokens: Tokens::default(),
            state: Mutex::default(),
            access,
        })
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// What is known of the mailbox since it was looked at first.
    pub(crate) fn opened<T>(&self, look: impl FnOnce(&mut Option<Opened>) -> T) -> T {
        look(&mut self.state().opened)
    }

    /// How many requests may be under way now.
    pub(crate) fn concurrency(&self) -> usize {
        self.lanes.limit()
    }

    /// Time that was waited for the limits of requests and bytes.
    pub(crate) fn waited(&self) -> Duration {
        self.pace.waited()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request that changes nothing.
    pub(crate) async fn call(&self, request: &Request) -> Result<Answer> {
        let answer = self.send(request, None).await;
        answer.map_err(|failed| failed.error)
    }

    /// Sends a request and reads its answer. The fence is asked last, when all is ready to be sent.
    ///
    /// # Errors
    /// If there is no answer, or it refuses.
    pub(crate) async fn send(
        &self,
        request: &Request,
        fence: Option<&dyn Fence>,
    ) -> Result<Answer, Failed> {
        self.send_weighing(request, Weight::ONE, fence).await
    }

    async fn send_weighing(
        &self,
        request: &Request,
        weight: Weight,
        fence: Option<&dyn Fence>,
    ) -> Result<Answer, Failed> {
        let mut open = self.open_weighing(request, weight, fence).await?;
        self.read(&mut open.received).await
    }

    /// The same for an answer that is no JSON; the request changes nothing.
    ///
    /// # Errors
    /// If there is no answer, or it refuses.
    pub(crate) async fn open(&self, request: &Request) -> Result<Open> {
        let open = self.open_weighing(request, Weight::ONE, None).await;
        open.map_err(|failed| failed.error)
    }

    async fn open_weighing(
        &self,
        request: &Request,
        weight: Weight,
        fence: Option<&dyn Fence>,
    ) -> Result<Open, Failed> {
        let is_batch = weight.is_batch;
        let lane = self.enter(weight, request.size()).await?;
        let mut renewed = false;
        loop {
            let token = self
                .tokens
                .get(&self.access)
                .await
                .map_err(Failed::before)?;
            let mut headers = headers(request);
            headers.insert(header::AUTHORIZATION, token.field);
            let sending = Sending {
                method: request.method.clone(),
                url: self.url(&request.to)?,
                headers,
                pieces: pieces(&request.body),
            };
            let last_word = || self.last_word(fence);
            let mut received = self.client.send(sending, last_word).await?;
            if received.status.is_success() {
                if !is_batch {
                    self.went_well();
                }
                let _lane = lane;
                return Ok(Open { received, _lane });
            }
            let said = self.said(&mut received).await;
            // Refused tokens are renewed once. Nothing was done.
            if said.status == 401 && said.claims.is_none() && !renewed {
                self.tokens.refused(token.number);
                renewed = true;
                continue;
            }
            let failed = self.passing(error::refused(request.doing, &said));
            return Err(self.of_one(request, failed));
        }
    }

    /// Sends something to an address that was made for just that, such as an upload's: without a token, for
    /// it holds one.
    ///
    /// # Errors
    /// If the address leads to a server where uploads don't go, there is no answer, or it refuses.
    pub(crate) async fn send_to(
        &self,
        address: &Secret,
        method: Method,
        fields: &[(&'static str, String)],
        body: Body,
        doing: Doing,
        fence: Option<&dyn Fence>,
    ) -> Result<Answer, Failed> {
        let url = Url::parse(address.expose()).ok();
        let origin = url.as_ref().and_then(Origin::of);
        let (Some(url), Some(origin)) = (url, origin) else {
            return Err(Failed::before(error::foreign_link()));
        };
        if !self
            .access
            .config
            .may_upload_to(&origin.host, origin.secure)
        {
            let error = error::foreign_link().with_context("host", origin.host);
            return Err(Failed::before(error));
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, agent());
        if let Some(kind) = kind(&body) {
            headers.insert(header::CONTENT_TYPE, kind);
        }
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let pieces = pieces(&body);
        let size = pieces.iter().map(Piece::size).sum();
        let _lane = self.enter(Weight::ONE, size).await?;
        let sending = Sending {
            method,
            url,
            headers,
            pieces,
        };
        let last_word = || self.last_word(fence);
        let mut received = self.client.send(sending, last_word).await?;
        if received.status.is_success() {
            self.went_well();
            return self.read(&mut received).await;
        }
        let mut said = self.said(&mut received).await;
        // It may repeat the address, which is a secret.
        said.is_secret = true;
        Err(error::refused(doing, &said))
    }

    /// Waits for its turn.
    async fn enter(&self, weight: Weight, size: u64) -> Result<Lane, Failed> {
        let lane = match weight.lane {
            Some(lane) => lane,
            None => self.lanes.enter(weight.lanes).await,
        };
        self.leave_alone()?;
        let clock = &self.access.edges.clock;
        self.pace.pass(&**clock, weight.requests as u64, size).await;
        self.leave_alone()?;
        Ok(lane)
    }

    fn went_well(&self) {
        self.lanes.went_well();
        let mut state = self.state();
        state.known = true;
        state.objections = 0;
    }

    /// What one request was told holds for all of them: none leaves before the time is over. The engine
    /// waits, and is told how long.
    fn leave_alone(&self) -> Result<(), Failed> {
        self.is_left_alone().map_err(Failed::before)
    }

    fn is_left_alone(&self) -> Result<()> {
        let now = self.access.edges.clock.now();
        let mut state = self.state();
        match state.busy {
            // A clock that was set back has nothing to say of when the time is over.
            Some((noted, until)) if noted <= now && until > now => {
                let error = Error::new(ErrorKind::Throttled, "the server asks to slow down");
                Err(error
                    .with_code("graph/throttled")
                    .with_retry(Retry::After(until - now)))
            }
            _ => {
                state.busy = None;
                Ok(())
            }
        }
    }

    /// Asked when a request is ready and has leave to go: others may have been told to slow down while it waited.
    fn last_word(&self, fence: Option<&dyn Fence>) -> Result<()> {
        self.is_left_alone()?;
        fence.map_or(Ok(()), Fence::check)
    }

    /// In a mailbox that was opened one message may be kept from being read.
    fn of_one(&self, request: &Request, failed: Failed) -> Failed {
        let is_one = failed.error.code() == "graph/denied"
            && request.doing.scope == Scope::Message
            && request.method == Method::GET
            && self.state().opened.is_some();
        match is_one {
            true => Failed {
                error: failed.error.with_scope(Scope::Message),
                ..failed
            },
            false => failed,
        }
    }

    /// Notes how long the server wants to be left alone. It may name no time, or the same short one
    /// however often it is asked: from the second objection in a row on there is a longer one.
    fn heed(&self, told: Option<Duration>) -> Duration {
        let now = self.access.edges.clock.now();
        let mut state = self.state();
        let before = state.busy.filter(|(noted, _)| *noted <= now);
        let until = before.map_or(now, |(_, until)| until);
        // What several that were under way at once are told is one objection.
        if until <= now {
            state.objections = state.objections.saturating_add(1);
            self.lanes.objected();
        }
        let doublings = state.objections.saturating_sub(2).min(6);
        let floor = match (told, state.objections) {
            (Some(_), 0 | 1) => 0,
            (None, 0 | 1) => 1,
            _ => (1 << doublings).min(FLOOR_MAX),
        };
        let wait = told.unwrap_or_default().max(Duration::from_secs(floor));
        state.busy = Some((now, until.max(now.saturating_add(wait))));
        wait
    }

    /// The whole address of something of the mailbox, as the server's own links have it.
    pub(crate) fn link(&self, path: &Path) -> String {
        let config = &self.access.config;
        format!("{}{}{}", config.base(), config.mailbox(), path.as_str())
    }

    /// The same of something that is not below the mailbox.
    pub(crate) fn service_link(&self, path: &Path) -> String {
        format!("{}{}", self.access.config.base(), path.as_str())
    }

    fn base(&self) -> Result<Url, Failed> {
        crate::http::parse(self.access.config.base()).map_err(Failed::before)
    }

    /// Where a request goes.
    fn url(&self, to: &To) -> Result<Url, Failed> {
        let text = match to {
            To::Mailbox(path) => self.link(path),
            To::Service(path) => self.service_link(path),
            To::Link(link) => link.clone(),
        };
        let url = Url::parse(&text).ok();
        let url = url.ok_or_else(|| Failed::before(error::foreign_link()))?;
        // Also of a path: nothing that stands in it may lead elsewhere.
        match Origin::of(&url) == Origin::of(&self.base()?) {
            true => Ok(url),
            false => Err(Failed::before(error::foreign_link())),
        }
    }

    async fn read(&self, received: &mut Received) -> Result<Answer, Failed> {
        let bytes = received.bytes(JSON_MAX).await.map_err(Failed::after)?;
        let json = match bytes.trim_ascii() {
            [] => Value::Null,
            [b'{' | b'[', ..] => serde_json::from_slice(&bytes)
                .map_err(|cause| Failed::after(error::malformed(cause)))?,
            _ => return Err(self.passing(Failed::after(error::not_graph()))),
        };
        Ok(Answer {
            status: received.status.as_u16(),
            json,
            date: received.field("date").and_then(parse_date),
        })
    }

    /// Reads a refusal.
    async fn said(&self, received: &mut Received) -> Said {
        let body = received.beginning(PAGE_MAX).await;
        let mut said = Said::new(received.status.as_u16(), &body);
        said.retry_after = retry_after(received.field("retry-after"));
        said.claims = received.field("www-authenticate").and_then(claims);
        if said.is_throttling() {
            said.retry_after = Some(self.heed(said.retry_after));
        }
        said
    }

    /// Where Graph was before, anything else that answers will pass: a proxy, a server that starts.
    fn passing(&self, failed: Failed) -> Failed {
        let is_other = failed.error.code() == "graph/not-graph" && self.state().known;
        match is_other {
            true => Failed {
                error: failed.error.with_retry(Retry::Backoff),
                ..failed
            },
            false => failed,
        }
    }
}

fn agent() -> HeaderValue {
    HeaderValue::from_static(concat!("mailmove/", env!("CARGO_PKG_VERSION")))
}

/// All preferences of a request: ids that last are asked for each time.
fn prefer(request: &Request) -> String {
    let mut out = "IdType=\"ImmutableId\"".to_owned();
    for preference in &request.prefer {
        out.push_str(", ");
        out.push_str(preference);
    }
    out
}

fn headers(request: &Request) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::USER_AGENT, agent());
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if let Ok(prefer) = HeaderValue::from_str(&prefer(request)) {
        headers.insert(HeaderName::from_static("prefer"), prefer);
    }
    if let Some(kind) = kind(&request.body) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers
}

fn kind(body: &Body) -> Option<HeaderValue> {
    match body {
        Body::None => None,
        Body::Json(_) | Body::Pieces(_) => Some(HeaderValue::from_static("application/json")),
        Body::Raw(kind, _) => Some(HeaderValue::from_static(kind)),
        Body::Mime(_) => Some(HeaderValue::from_static("text/plain")),
    }
}

fn pieces(body: &Body) -> Vec<Piece> {
    match body {
        Body::None => Vec::new(),
        Body::Json(bytes) | Body::Raw(_, bytes) => vec![Piece::Bytes(bytes.clone())],
        Body::Pieces(pieces) => pieces.clone(),
        Body::Mime(message) => vec![Piece::Base64(message.clone())],
    }
}

/// What a new token has to claim.
fn claims(field: &str) -> Option<String> {
    if !field.contains("insufficient_claims") {
        return None;
    }
    let (_, rest) = field.split_once("claims=\"")?;
    let (text, _) = rest.split_once('"')?;
    let decoded = STANDARD.decode(text).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    Some(decoded.unwrap_or_else(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read() {
        let field = "Bearer realm=\"\", error=\"insufficient_claims\", claims=\"eyJhIjoxfQ==\"";
        assert_eq!(claims(field).as_deref(), Some("{\"a\":1}"));
        assert_eq!(claims("Bearer error=\"invalid_token\""), None);
    }
}
