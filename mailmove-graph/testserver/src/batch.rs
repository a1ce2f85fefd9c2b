//! Several requests in one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use mailmove_testkit_exchange::http::{Request, Response};
use mailmove_testkit_exchange::listen::Outcome;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::answer::{count, generic, one, refuse};
use crate::auth::Caller;
use crate::faults::Action;
use crate::gate;
use crate::mangle;
use crate::reply::{Failure, respond};
use crate::server::Shared;

/// More in one are refused.
const MOST: usize = 20;

/// So many of one mailbox run at a time.
const PARALLEL: usize = 4;

/// One of the requests.
#[derive(Debug, Clone)]
struct Step {
    id: String,
    request: Request,
    path: String,
    after: Vec<String>,
}

/// What became of one.
#[derive(Debug)]
enum Done {
    Answered(Response),
    /// Its answer, and so that of the batch, is lost.
    Lost,
}

/// Answers a batch, unless a fault of the batch as such says otherwise.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    caller: &Caller,
    base: String,
    request: Request,
) -> Outcome {
    count(shared, "Batch");
    let steps = match read(&request) {
        Ok(steps) => steps,
        Err(failure) => return refuse(shared, failure),
    };
    gate::batch(shared, &request, None);
    let fault = shared.faults.on_operation("Batch");
    match &fault {
        Some(Action::Status(status)) => return refuse(shared, generic(*status)),
        Some(Action::Error(status, code)) => {
            return refuse(shared, Failure::new(*status, code.clone(), "It failed."));
        }
        Some(Action::Throttle(wait)) => return refuse(shared, generic(429).wait(*wait)),
        Some(Action::Unavailable(wait)) => return refuse(shared, generic(503).wait(*wait)),
        Some(Action::Close) => return Outcome::Gone,
        Some(Action::Delay(time)) => shared.config.clock.sleep(*time).await,
        Some(Action::Hold) => shared.faults.released().await,
        Some(Action::LandAfter(_) | Action::LandOnRelease) => {
            land_later(shared, caller, base, steps, fault);
            return Outcome::Gone;
        }
        _ => {}
    }
    let refused_at = match &fault {
        Some(Action::ErrorAt(at, code)) => Some((*at, code.clone())),
        _ => None,
    };
    let answered = run(shared, caller, &base, steps, refused_at).await;
    if let Some(response) = &answered {
        gate::batch(shared, &request, Some(response));
    }
    match (fault, answered) {
        (_, None) | (Some(Action::CloseUnanswered), _) => Outcome::Gone,
        (Some(Action::StatusAfter(status)), _) => refuse(shared, generic(status)),
        (Some(Action::CloseAnswered), Some(response)) => Outcome::Raw(response.bytes(), false),
        (Some(Action::CloseInReply(bytes)), Some(response)) => {
            let mut raw = response.bytes();
            raw.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
            Outcome::Raw(raw, false)
        }
        (Some(Action::Mangle(how)), Some(response)) => Outcome::Reply(mangle::spoil(how, response)),
        (_, Some(response)) => Outcome::Reply(response),
    }
}

fn land_later(
    shared: &Arc<Shared>,
    caller: &Caller,
    base: String,
    steps: Vec<Step>,
    fault: Option<Action>,
) {
    let (shared, caller) = (Arc::clone(shared), caller.clone());
    let tasks = shared.tasks.clone();
    tasks.spawn(async move {
        let due = async {
            match fault {
                Some(Action::LandAfter(time)) => shared.config.clock.sleep(time).await,
                _ => shared.faults.released().await,
            }
        };
        tokio::select! {
            () = shared.stop.cancelled() => {}
            () = due => {
                run(&shared, &caller, &base, steps, None).await;
            }
        }
    });
}

fn bad(why: impl Into<std::borrow::Cow<'static, str>>) -> Failure {
    Failure::new(400, "BadRequest", why)
}

fn read(request: &Request) -> Result<Vec<Step>, Failure> {
    if request.method != "POST" {
        return Err(Failure::new(405, "BadRequest", "A batch is posted."));
    }
    let body: Value =
        serde_json::from_slice(&request.body).map_err(|_| bad("Invalid batch payload format."))?;
    let list = body.get("requests").and_then(Value::as_array);
    let list = list.ok_or_else(|| bad("Invalid batch payload format."))?;
    if list.len() > MOST {
        return Err(bad(
            "Number of batch request steps exceeds the maximum value of 20.",
        ));
    }
    let mut ids = BTreeSet::new();
    let mut steps = Vec::new();
    for entry in list {
        let step = step(request, entry)?;
        if let Some(missing) = step.after.iter().find(|id| !ids.contains(*id)) {
            return Err(bad(format!(
                "Request step '{missing}' that is depended on is not before."
            )));
        }
        if !ids.insert(step.id.clone()) {
            return Err(bad("Request step ids have to differ."));
        }
        steps.push(step);
    }
    Ok(steps)
}

fn step(whole: &Request, entry: &Value) -> Result<Step, Failure> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let missing = |name: &str| bad(format!("Invalid batch payload format: {name} is missing."));
    let url = text("url").ok_or_else(|| missing("url"))?;
    let url = format!("/{}", url.trim_start_matches('/'));
    let mut headers = Vec::new();
    // What says who asks holds for all; the rest each says for itself.
    headers.extend(whole.headers.iter().filter(|(n, _)| n == "host").cloned());
    for (name, value) in entry
        .get("headers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let value = value.as_str().unwrap_or_default().to_owned();
        headers.push((name.to_ascii_lowercase(), value));
    }
    let json = headers.iter().any(|(n, v)| {
        n == "content-type" && v.to_ascii_lowercase().starts_with("application/json")
    });
    let body = match entry.get("body") {
        None => Vec::new(),
        Some(body) if json => body.to_string().into_bytes(),
        Some(_) => {
            return Err(bad(
                "Content-Type of a request step with a body has to be JSON.",
            ));
        }
    };
    let after = entry.get("dependsOn").and_then(Value::as_array);
    let after = after.into_iter().flatten();
    Ok(Step {
        id: text("id").ok_or_else(|| missing("id"))?.to_owned(),
        path: url.split('?').next().unwrap_or_default().to_owned(),
        request: Request {
            method: text("method")
                .ok_or_else(|| missing("method"))?
                .to_ascii_uppercase(),
            target: format!("/v1.0{url}"),
            headers,
            body,
            ..Request::default()
        },
        after: after.filter_map(Value::as_str).map(str::to_owned).collect(),
    })
}

/// Runs all of them, some at a time; `None` if the answer is lost.
async fn run(
    shared: &Arc<Shared>,
    caller: &Caller,
    base: &str,
    steps: Vec<Step>,
    refused_at: Option<(usize, String)>,
) -> Option<Response> {
    let mut done: BTreeMap<String, Done> = BTreeMap::new();
    let arrived = shared.config.clock.now();
    let order: Vec<_> = steps.iter().map(|step| step.id.clone()).collect();
    let mut waiting: Vec<_> = steps.into_iter().enumerate().collect();
    let mut running = JoinSet::new();
    loop {
        let mut at = 0;
        while at < waiting.len() && running.len() < PARALLEL {
            let ready = waiting
                .get(at)
                .is_some_and(|(_, step)| step.after.iter().all(|id| done.contains_key(id)));
            if !ready {
                at += 1;
                continue;
            }
            let (index, step) = waiting.remove(at);
            if let Some(failure) = not_run(&step, index, &done, refused_at.as_ref()) {
                let response = match refuse(shared, failure) {
                    Outcome::Reply(response) => Done::Answered(response),
                    _ => Done::Lost,
                };
                done.insert(step.id, response);
                continue;
            }
            let (shared, caller, base) = (Arc::clone(shared), caller.clone(), base.to_owned());
            running.spawn(async move {
                let outcome = one(&shared, &caller, base, &step.path, step.request, arrived).await;
                (step.id, outcome)
            });
        }
        match running.join_next().await {
            Some(Ok((id, Outcome::Reply(response)))) => done.insert(id, Done::Answered(response)),
            Some(Ok((id, _))) => done.insert(id, Done::Lost),
            Some(Err(_)) => return None,
            None if waiting.is_empty() => break,
            None => continue,
        };
    }
    let mut responses = Vec::new();
    // In whatever order they come; the ids say which is which.
    for id in order.into_iter().rev() {
        match done.remove(&id)? {
            Done::Answered(response) => responses.push(entry(&id, &response)),
            Done::Lost => return None,
        }
    }
    Some(respond(200, &json!({"responses": responses})))
}

/// Why a step is not run.
fn not_run(
    step: &Step,
    index: usize,
    done: &BTreeMap<String, Done>,
    refused_at: Option<&(usize, String)>,
) -> Option<Failure> {
    if let Some((at, code)) = refused_at
        && *at == index
    {
        return Some(Failure::new(400, code.clone(), "The request failed."));
    }
    let failed = step.after.iter().any(|id| match done.get(id) {
        Some(Done::Answered(response)) => response.status >= 400,
        _ => true,
    });
    failed.then(|| {
        Failure::new(
            424,
            "FailedDependency",
            "A request that this one depends on failed.",
        )
    })
}

fn entry(id: &str, response: &Response) -> Value {
    let mut headers = Map::new();
    for (name, value) in &response.headers {
        headers.insert(name.clone(), value.clone().into());
    }
    let mut out = Map::new();
    out.insert("id".to_owned(), id.into());
    out.insert("status".to_owned(), response.status.into());
    out.insert("headers".to_owned(), headers.into());
    if !response.body.is_empty() {
        let body = serde_json::from_slice(&response.body);
        let body = body.unwrap_or_else(|_| URL_SAFE.encode(&response.body).into());
        out.insert("body".to_owned(), body);
    }
    out.into()
}
