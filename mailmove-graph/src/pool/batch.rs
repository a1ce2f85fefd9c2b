//! Several requests in one: they share a round trip, and each has an answer of its own.

use std::time::Duration;

use mailmove_core::{destination::Fence, model::Timestamp};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answer, Lane, Pool, Weight};
use crate::{
    error::{self, Doing, Said},
    http::{Failed, Origin, retry_after},
    wire::{self, Body, Path, Request, To},
};

/// Most requests in one.
pub(crate) const ITEMS: usize = 20;
/// Most bytes of their bodies: 4 MB are allowed for all of it.
pub(crate) const BYTES: u64 = 3_500_000;
/// What a request has beside its body.
const FRAME: u64 = 2_000;

#[derive(Deserialize)]
struct Responses {
    responses: Vec<Response>,
}

#[derive(Deserialize)]
struct Response {
    id: String,
    status: u16,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    body: Value,
}

impl Response {
    /// Some write what is a number as one.
    fn field(&self, name: &str) -> Option<String> {
        let mut all = self.headers.iter();
        let (_, value) = all.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// What it says, if it refuses.
    fn said(&self) -> Option<Said> {
        if (200..=299).contains(&self.status) {
            return None;
        }
        let mut said = Said::new(self.status, self.body.to_string().as_bytes());
        said.retry_after = retry_after(self.field("retry-after").as_deref());
        Some(said)
    }
}

/// How the requests of a batch are run.
enum Way {
    /// Several at once; perhaps with leave for that.
    AtOnce(Option<Lane>),
    /// Each after the one before it, if that went well.
    InOrder,
}

/// It was not tried since another one before it failed.
pub(crate) fn is_stopped(failed: &Failed) -> bool {
    failed.error.code() == "graph/batch-stopped" && !failed.perhaps_executed
}

impl Pool {
    /// Sends requests, as many at once as may be. Each has one answer, in their order; what failed as a
    /// whole failed for each. Bodies are JSON, and no larger than a batch.
    pub(crate) async fn batch(
        &self,
        requests: &[Request],
        fence: Option<&dyn Fence>,
    ) -> Vec<Result<Answer, Failed>> {
        self.batches(requests, false, fence).await
    }

    /// The same, one after the other: each is run when the one before it went well, and else none of those that
    /// follow.
    pub(crate) async fn in_order(
        &self,
        requests: &[Request],
        fence: Option<&dyn Fence>,
    ) -> Vec<Result<Answer, Failed>> {
        self.batches(requests, true, fence).await
    }

    async fn batches(
        &self,
        requests: &[Request],
        ordered: bool,
        fence: Option<&dyn Fence>,
    ) -> Vec<Result<Answer, Failed>> {
        let mut out = Vec::with_capacity(requests.len());
        for some in parts(requests) {
            let all: Vec<&Request> = some.iter().collect();
            let way = match ordered {
                true => Way::InOrder,
                false => Way::AtOnce(None),
            };
            out.extend(self.batch_of(&all, way, fence).await);
        }
        out
    }

    /// Sends requests that read, and may be few enough for one batch: at once if they need not wait for that, else one
    /// after the other, so that no lane stays empty until all are free for them.
    pub(crate) async fn as_it_fits(&self, requests: &[Request]) -> Vec<Result<Answer, Failed>> {
        let mut out: Vec<_> = requests.iter().map(|_| None).collect();
        loop {
            let left = requests.iter().zip(&mut out);
            let left: Vec<_> = left.filter(|(_, answer)| answer.is_none()).collect();
            let (now, places): (Vec<&Request>, Vec<_>) = left.into_iter().take(ITEMS).unzip();
            if now.is_empty() {
                break;
            }
            let way = match self.lanes.try_enter(now.len()) {
                Some(lane) => Way::AtOnce(Some(lane)),
                None => Way::InOrder,
            };
            let answers = self.batch_of(&now, way, None).await;
            for (at, (place, answer)) in places.into_iter().zip(answers).enumerate() {
                // One before it failed, which says nothing of this one.
                let stopped = at > 0 && answer.as_ref().is_err_and(is_stopped);
                *place = (!stopped).then_some(answer);
            }
        }
        out.into_iter().flatten().collect()
    }

    /// One batch; what failed as a whole failed for each.
    async fn batch_of(
        &self,
        some: &[&Request],
        way: Way,
        fence: Option<&dyn Fence>,
    ) -> Vec<Result<Answer, Failed>> {
        match self.run(some, way, fence).await {
            Ok(answers) => answers,
            Err(failed) => some.iter().map(|_| Err(again(&failed))).collect(),
        }
    }

    async fn run(
        &self,
        some: &[&Request],
        way: Way,
        fence: Option<&dyn Fence>,
    ) -> Result<Vec<Result<Answer, Failed>>, Failed> {
        let ordered = matches!(way, Way::InOrder);
        let mut written = Vec::with_capacity(some.len());
        for (at, request) in some.iter().enumerate() {
            let mut item = self.item(at, request)?;
            if let Some(before) = at.checked_sub(1).filter(|_| ordered) {
                insert(&mut item, "dependsOn", json!([before.to_string()]));
            }
            written.push(item);
        }
        let weight = Weight {
            lanes: if ordered { 1 } else { some.len() },
            lane: match way {
                Way::AtOnce(lane) => lane,
                Way::InOrder => None,
            },
            requests: some.len(),
            is_batch: true,
        };
        let all = Request::post(Path::new().at("$batch"), Doing::account("$batch"));
        let all = all.of_service().json(&json!({ "requests": written }));
        let answer = self.send_weighing(&all, weight, fence).await?;
        let read: Responses = wire::read(answer.json).map_err(Failed::after)?;
        let said: Vec<_> = read.responses.iter().map(Response::said).collect();
        let wait = self.heed_batch(&said);
        let mut answers: Vec<_> = some.iter().map(|_| None).collect();
        for (response, said) in read.responses.into_iter().zip(said) {
            let at = response.id.parse::<usize>().ok();
            let place = at.and_then(|at| Some((answers.get_mut(at)?, some.get(at)?)));
            if let Some((place, request)) = place {
                *place = Some(match place {
                    None => self.judged(request, response, said, (answer.date, wait)),
                    // Which of them is true, nobody knows.
                    Some(_) => Err(Failed::after(error::twice())),
                });
            }
        }
        let missing = || Err(Failed::after(error::missing()));
        Ok(answers
            .into_iter()
            .map(|answer| answer.unwrap_or_else(missing))
            .collect())
    }

    /// What several requests of a batch were told is one objection, and keeps all others from leaving for the longest
    /// of the times.
    fn heed_batch(&self, said: &[Option<Said>]) -> Option<Duration> {
        let objections = said.iter().flatten().filter(|said| said.is_throttling());
        let wait = objections.map(|said| said.retry_after).max();
        if wait.is_none() {
            self.went_well();
        }
        wait.map(|told| self.heed(told))
    }

    fn judged(
        &self,
        request: &Request,
        response: Response,
        said: Option<Said>,
        (date, wait): (Option<Timestamp>, Option<Duration>),
    ) -> Result<Answer, Failed> {
        let Some(mut said) = said else {
            return Ok(Answer {
                status: response.status,
                json: response.body,
                date,
            });
        };
        if said.is_throttling() {
            said.retry_after = wait;
        }
        Err(self.of_one(request, error::refused(request.doing, &said)))
    }

    fn item(&self, at: usize, request: &Request) -> Result<Value, Failed> {
        let mut headers = Map::new();
        headers.insert("Prefer".to_owned(), Value::from(super::prefer(request)));
        let mut out = json!({
            "id": at.to_string(),
            "method": request.method.as_str(),
            "url": self.relative(&request.to)?,
        });
        let body = match &request.body {
            Body::None if request.method == Method::POST => Some(json!({})),
            Body::None => None,
            Body::Json(bytes) => {
                let read = serde_json::from_slice(bytes);
                Some(read.map_err(|cause| Failed::before(error::malformed(cause)))?)
            }
            Body::Raw(..) | Body::Pieces(..) | Body::Mime(..) => {
                return Err(Failed::before(error::unexpected("no JSON in a batch")));
            }
        };
        if let Some(body) = body {
            headers.insert("Content-Type".to_owned(), Value::from("application/json"));
            insert(&mut out, "body", body);
        }
        insert(&mut out, "headers", Value::Object(headers));
        Ok(out)
    }

    /// The address of a request within a batch.
    fn relative(&self, to: &To) -> Result<String, Failed> {
        let config = &self.access().config;
        Ok(match to {
            To::Mailbox(path) => format!("{}{}", config.mailbox(), path.as_str()),
            To::Service(path) => path.as_str().to_owned(),
            To::Link(_) => {
                let (url, base) = (self.url(to)?, self.base()?);
                let same = Origin::of(&url) == Origin::of(&base);
                let path = url.path().strip_prefix(base.path().trim_end_matches('/'));
                let path = path.filter(|_| same);
                let path = path.ok_or_else(|| Failed::before(error::foreign_link()))?;
                let query = url
                    .query()
                    .map_or(String::new(), |query| format!("?{query}"));
                format!("{path}{query}")
            }
        })
    }
}

fn insert(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

/// Cuts requests into batches.
fn parts(requests: &[Request]) -> impl Iterator<Item = &[Request]> {
    let mut rest = requests;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(ITEMS).take_while(|request| {
            bytes += request.size() + FRAME;
            bytes <= BYTES
        });
        let len = fits.count().max(1).min(rest.len());
        let (now, later) = rest.split_at_checked(len)?;
        rest = later;
        (!now.is_empty()).then_some(now)
    })
}

fn again(failed: &Failed) -> Failed {
    Failed {
        error: error::again(&failed.error),
        perhaps_executed: failed.perhaps_executed,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_wait_may_be_a_number() {
        for field in [json!("7"), json!(7), json!(6.5)] {
            let response = json!({
                "id": "0", "status": 429, "headers": {"Retry-After": field}, "body": {}
            });
            let response: Response = serde_json::from_value(response).unwrap();
            let said = response.said().unwrap();
            assert_eq!(said.retry_after, Some(Duration::from_secs(7)));
        }
    }

    #[test]
    fn batches_have_twenty_requests_or_four_megabytes() {
        let request = |bytes: usize| {
            let mut request = Request::post(Path::new(), Doing::message("x"));
            request.body = Body::Json(Bytes::from(vec![b' '; bytes]));
            request
        };
        let small: Vec<_> = (0..45).map(|_| request(10)).collect();
        let lens: Vec<_> = parts(&small).map(<[_]>::len).collect();
        assert_eq!(lens, [20, 20, 5]);
        let large: Vec<_> = [1_000_000, 3_000_000, 4_000_000, 10].map(request).into();
        let lens: Vec<_> = parts(&large).map(<[_]>::len).collect();
        assert_eq!(lens, [1, 1, 1, 1]);
        assert_eq!(parts(&[]).count(), 0);
    }
}
