//! Logging in as a user, who enters a code in a browser.

use std::{fmt, time::Duration};

use mailmove_core::{
    edge::Secret,
    error::{Error, ErrorKind, Result},
};
use serde::Deserialize;

use super::{Given, Inner, State, ask};
use crate::error::{self, printable};

/// What a user is asked to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DevicePrompt {
    /// The page to open, in any browser.
    pub address: String,
    /// What to enter there.
    pub code: String,
    /// The same for people, as Microsoft says it.
    pub message: String,
    /// How long the code holds.
    pub holds: Duration,
}

/// Shows a [`DevicePrompt`] to the user.
pub trait Prompt: fmt::Debug + Send + Sync + 'static {
    /// Shows it. Must not block.
    fn show(&self, prompt: &DevicePrompt);
}

/// How often it is asked whether the user is done, if that is not said.
const INTERVAL: u64 = 5;

/// A user was asked, and has not answered yet.
pub(super) struct Pending {
    code: Secret,
    prompt: DevicePrompt,
    interval: Duration,
    /// When `next` was set.
    noted: Duration,
    /// Not to be asked before.
    pub(super) next: Duration,
    until: Duration,
}

impl Pending {
    fn wait_from(&mut self, now: Duration) {
        self.noted = now;
        self.next = now.saturating_add(self.interval);
    }
}

#[derive(Deserialize)]
struct Begun {
    device_code: String,
    user_code: String,
    #[serde(alias = "verification_url")]
    verification_uri: String,
    #[serde(default)]
    expires_in: Option<u64>,
    #[serde(default)]
    interval: Option<u64>,
    #[serde(default)]
    message: Option<String>,
}

/// A token of the user's: by the last login, or by a new one that the user is asked for.
pub(super) async fn token(
    inner: &Inner,
    state: &mut State,
    prompt: Option<&dyn Prompt>,
) -> Result<Given> {
    if let Some(refresh) = state.refresh.clone() {
        let form = vec![
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", refresh.expose().to_owned()),
        ];
        match ask::grant(inner, form).await {
            // It was revoked, or has ended: the user has to log in anew.
            Err(error) if is_over(&error) => state.refresh = None,
            given => return given,
        }
    }
    let now = inner.edges.clock.now();
    if state
        .pending
        .as_ref()
        .is_some_and(|pending| now >= pending.until)
    {
        state.pending = None;
    }
    let pending = match &mut state.pending {
        Some(pending) => pending,
        none => {
            let begun = begin(inner).await?;
            if let Some(prompt) = prompt {
                prompt.show(&begun.prompt);
            }
            let begun = none.insert(begun);
            return Err(waiting(begun));
        }
    };
    // A clock that was set back has nothing to say of when it is time.
    if pending.noted <= now && now < pending.next {
        return Err(waiting(pending));
    }
    pending.wait_from(now);
    let kind = "urn:ietf:params:oauth:grant-type:device_code";
    let form = vec![
        ("grant_type", kind.to_owned()),
        ("device_code", pending.code.expose().to_owned()),
    ];
    match ask::grant(inner, form).await {
        Err(error) if said(&error) == "authorization_pending" => Err(waiting(pending)),
        Err(error) if said(&error) == "slow_down" => {
            pending.interval += Duration::from_secs(INTERVAL);
            pending.wait_from(now);
            Err(waiting(pending))
        }
        Err(error) if error.is_transient() => Err(error),
        answer => {
            state.pending = None;
            answer
        }
    }
}

async fn begin(inner: &Inner) -> Result<Pending> {
    let form = vec![("scope", ask::scope(inner))];
    let body = ask::post(inner, "devicecode", form).await?;
    let begun: Begun = serde_json::from_slice(&body).map_err(error::unreadable)?;
    let holds = Duration::from_secs(begun.expires_in.unwrap_or(900).min(86_400));
    let interval = Duration::from_secs(begun.interval.unwrap_or(INTERVAL).clamp(1, 300));
    let prompt = DevicePrompt {
        address: printable(&begun.verification_uri),
        code: printable(&begun.user_code),
        message: begun.message.as_deref().map(printable).unwrap_or_default(),
        holds,
    };
    let now = inner.edges.clock.now();
    Ok(Pending {
        code: Secret::new(begun.device_code),
        prompt,
        interval,
        noted: now,
        next: now + interval,
        until: now + holds,
    })
}

fn waiting(pending: &Pending) -> Error {
    let DevicePrompt { address, code, .. } = &pending.prompt;
    Error::new(ErrorKind::WaitingForUser, "the user has to log in")
        .with_code("login/waiting-for-user")
        .with_remedy(format!(
            "Open {address} in a browser, and enter the code {code}."
        ))
}

fn is_over(error: &Error) -> bool {
    matches!(
        error.code(),
        "login/expired" | "login/interaction" | "login/no-consent"
    )
}

/// The word that the login said.
fn said(error: &Error) -> &str {
    let mut context = error.context();
    let code = context.find(|(name, _)| *name == "code");
    code.map_or("", |(_, code)| code)
}
