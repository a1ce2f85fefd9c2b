//! Logins of users on a device that cannot show a page.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Tokens;

/// How long a code is good for.
pub(crate) const LIFETIME: Duration = Duration::from_secs(900);
/// How often may be asked.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

/// What a user said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nothing yet.
    Nothing,
    /// Yes, as this user.
    Yes(String),
    No,
}

/// A login that waits for its user.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    client: String,
    user_code: String,
    scope: String,
    until: Duration,
    asked: Option<Duration>,
    said: Said,
}

/// What may be renewed.
#[derive(Debug, Clone)]
struct Renewal {
    client: String,
    user: String,
}

/// Logins under way, and what came of others.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    devices: BTreeMap<String, Device>,
    renewals: BTreeMap<String, Renewal>,
    count: u64,
}

/// What becomes of a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    /// The user, and whether the login may be renewed.
    Done(String, bool),
    /// An error's name and number.
    Not(&'static str, u32),
}

impl Tokens {
    /// Begins a login: the codes of the device and of the user.
    pub(crate) fn begin(&self, client: &str, scope: &str, now: Duration) -> (String, String) {
        let mut given = self.lock();
        let logins = &mut given.logins;
        logins.count += 1;
        let digest = blake3::hash(format!("device {}", logins.count).as_bytes()).to_hex();
        let user_code = digest.get(..9).unwrap_or_default().to_uppercase();
        let device = Device {
            client: client.to_owned(),
            user_code: user_code.clone(),
            scope: scope.to_owned(),
            until: now + LIFETIME,
            asked: None,
            said: Said::Nothing,
        };
        logins.devices.insert(digest.to_string(), device);
        (digest.to_string(), user_code)
    }

    /// The user answers; false if there is no such code.
    pub(crate) fn say(&self, user_code: &str, said: &Said) -> bool {
        let mut given = self.lock();
        let mut all = given.logins.devices.values_mut();
        let device = all.find(|device| device.user_code == user_code);
        device.map(|device| device.said = said.clone()).is_some()
    }

    /// The device asks whether the user has answered.
    pub(crate) fn poll(&self, client: &str, code: &str, now: Duration) -> Polled {
        let mut given = self.lock();
        let devices = &mut given.logins.devices;
        let Some(device) = devices.get_mut(code).filter(|d| d.client == client) else {
            return Polled::Not("bad_verification_code", 501_813);
        };
        if now >= device.until {
            return Polled::Not("expired_token", 70_020);
        }
        let early = device.asked.is_some_and(|asked| now < asked + INTERVAL);
        device.asked = Some(now);
        match &device.said {
            _ if early => Polled::Not("slow_down", 70_019),
            Said::Nothing => Polled::Not("authorization_pending", 70_016),
            Said::No => Polled::Not("authorization_declined", 70_018),
            Said::Yes(user) => {
                let renews = device
                    .scope
                    .split(' ')
                    .any(|scope| scope == "offline_access");
                let done = Polled::Done(user.clone(), renews);
                devices.remove(code);
                done
            }
        }
    }

    /// Something to renew a login with.
    pub(crate) fn renewal(&self, client: &str, user: &str) -> String {
        let mut given = self.lock();
        given.logins.count += 1;
        let digest = blake3::hash(format!("renewal {}", given.logins.count).as_bytes());
        let token = format!("1.AXoA{}", digest.to_hex());
        let renewal = Renewal {
            client: client.to_owned(),
            user: user.to_owned(),
        };
        given.logins.renewals.insert(token.clone(), renewal);
        token
    }

    /// Whose login such a token renews. It stays good, as there, until it is revoked.
    pub(crate) fn renewed(&self, client: &str, token: &str) -> Option<String> {
        let given = self.lock();
        let renewal = given.logins.renewals.get(token)?;
        (renewal.client == client).then(|| renewal.user.clone())
    }

    pub(crate) fn revoke_renewals(&self) {
        self.lock().logins.renewals.clear();
    }
}
