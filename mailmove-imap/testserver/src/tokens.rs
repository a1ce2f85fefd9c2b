//! OAuth access tokens, as an authorization server would hand them out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct Token {
    user: String,
    /// Logins that are left.
    uses: Option<u64>,
    /// When it ends, by the clock of these tokens.
    ends: Option<u64>,
    revoked: bool,
}

#[derive(Debug, Default)]
struct State {
    tokens: BTreeMap<String, Token>,
    issued: u64,
    now: u64,
    accepted: u64,
    refused: u64,
}

/// The tokens that open mailboxes by XOAUTH2 and OAUTHBEARER. Clones share them. They have a clock
/// of their own, in seconds, which only [`advance`](Self::advance) moves.
#[derive(Debug, Clone, Default)]
pub struct Tokens(Arc<Mutex<State>>);

impl Tokens {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, user: &str, uses: Option<u64>, seconds: Option<u64>) -> String {
        let mut state = self.lock();
        state.issued += 1;
        // As long as real ones, with the characters that occur in them.
        let name = format!("ya29.{:08}~-_+/{}==", state.issued, "tOkEn".repeat(40));
        let token = Token {
            user: user.to_owned(),
            uses,
            ends: seconds.map(|seconds| state.now.saturating_add(seconds)),
            revoked: false,
        };
        state.tokens.insert(name.clone(), token);
        name
    }

    /// A token that opens this user's mailbox until it is revoked.
    #[must_use]
    pub fn issue(&self, user: &str) -> String {
        self.add(user, None, None)
    }

    /// A token for so many logins.
    #[must_use]
    pub fn issue_for_logins(&self, user: &str, logins: u64) -> String {
        self.add(user, Some(logins), None)
    }

    /// A token that ends after so many seconds.
    #[must_use]
    pub fn issue_for_seconds(&self, user: &str, seconds: u64) -> String {
        self.add(user, None, Some(seconds))
    }

    /// Moves the clock on.
    pub fn advance(&self, seconds: u64) {
        let mut state = self.lock();
        state.now = state.now.saturating_add(seconds);
    }

    /// Takes a token back.
    pub fn revoke(&self, token: &str) {
        if let Some(token) = self.lock().tokens.get_mut(token) {
            token.revoked = true;
        }
    }

    /// How many tokens were handed out.
    #[must_use]
    pub fn issued(&self) -> u64 {
        self.lock().issued
    }

    /// How many logins by token succeeded, and how many were refused.
    #[must_use]
    pub fn logins(&self) -> (u64, u64) {
        let state = self.lock();
        (state.accepted, state.refused)
    }

    /// Whether this token opens this user's mailbox now; uses it.
    pub(crate) fn take(&self, user: &str, token: &str) -> bool {
        let mut guard = self.lock();
        let state = &mut *guard;
        let now = state.now;
        let good = state.tokens.get_mut(token).is_some_and(|token| {
            let live = !token.revoked && token.ends.is_none_or(|ends| now < ends);
            let fits = live && token.user == user && token.uses != Some(0);
            if fits && let Some(uses) = &mut token.uses {
                *uses -= 1;
            }
            fits
        });
        if good {
            state.accepted += 1;
        } else {
            state.refused += 1;
        }
        good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_end_by_use_by_time_and_by_revocation() {
        let tokens = Tokens::default();
        let twice = tokens.issue_for_logins("u", 2);
        assert!(!tokens.take("other", &twice));
        assert!(tokens.take("u", &twice) && tokens.take("u", &twice));
        assert!(!tokens.take("u", &twice));
        let hour = tokens.issue_for_seconds("u", 3600);
        tokens.advance(3599);
        assert!(tokens.take("u", &hour));
        tokens.advance(1);
        assert!(!tokens.take("u", &hour));
        let lasting = tokens.issue("u");
        assert!(tokens.take("u", &lasting));
        tokens.revoke(&lasting);
        assert!(!tokens.take("u", &lasting));
        assert_eq!((tokens.issued(), tokens.logins()), (3, (4, 4)));
    }
}
