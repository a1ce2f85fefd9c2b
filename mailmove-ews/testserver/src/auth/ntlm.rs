//! The server's side of NTLMv2 ([MS-NLMP]), plain and inside SPNEGO (RFC 4178).

mod digests;
mod messages;
mod spnego;
#[cfg(test)]
mod tests;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::{Binding, Config};
use digests::{hmac_md5, md4, md5, rc4};
use messages::{Authenticate, challenge_message};
use spnego::Token;

/// How far a connection is.
#[derive(Debug, Default)]
pub(crate) struct Login {
    negotiate: Vec<u8>,
    challenge: Vec<u8>,
    nonce: [u8; 8],
    /// The list of mechanisms that SPNEGO began with, for its own check.
    mechanisms: Vec<u8>,
    user: Option<String>,
}

/// What follows from a token.
pub(crate) enum Step {
    Challenge(Vec<u8>),
    /// The user, and a last token if there is something left to say.
    Accepted(String, Option<Vec<u8>>),
    Refused,
}

/// What a client must not have lost on the way.
pub(crate) struct Expected<'a> {
    pub(crate) config: &'a Config,
    pub(crate) secure: bool,
    /// What follows `tls-server-end-point:`.
    pub(crate) end_point: Option<&'a [u8]>,
}

impl Login {
    /// Who logged in this connection.
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Takes a token, bare or inside SPNEGO.
    pub(crate) fn step(&mut self, expected: &Expected<'_>, token: &[u8], negotiate: bool) -> Step {
        let unwrapped = match negotiate && !token.starts_with(b"NTLMSSP\0") {
            true => spnego::unwrap(token),
            false => Some(Token {
                ntlm: token.to_vec(),
                ..Token::default()
            }),
        };
        let Some(unwrapped) = unwrapped else {
            return Step::Refused;
        };
        let inside = negotiate && !token.starts_with(b"NTLMSSP\0");
        match unwrapped.ntlm.get(8) {
            Some(1) => {
                self.user = None;
                self.negotiate = unwrapped.ntlm;
                self.mechanisms = unwrapped.mechanisms.unwrap_or_default();
                self.nonce = nonce();
                self.challenge = challenge_message(&self.negotiate, self.nonce, now());
                Step::Challenge(match inside {
                    true => spnego::challenge(&self.challenge),
                    false => self.challenge.clone(),
                })
            }
            Some(3) => self.finish(expected, &unwrapped, inside),
            _ => Step::Refused,
        }
    }

    fn finish(&mut self, expected: &Expected<'_>, token: &Token, inside: bool) -> Step {
        if self.challenge.is_empty() {
            return Step::Refused;
        }
        let Some(done) = self.verify(expected, &token.ntlm) else {
            // One challenge, one attempt.
            *self = Self::default();
            return Step::Refused;
        };
        let mut last = None;
        if inside {
            let key = spnego::Keys::new(&done.session_key, done.flags);
            if let Some(mic) = &token.mic
                && *mic != key.client_mic(&self.mechanisms)
            {
                *self = Self::default();
                return Step::Refused;
            }
            let mic = token.mic.as_ref();
            last = Some(spnego::accepted(
                mic.map(|_| key.server_mic(&self.mechanisms)),
            ));
        }
        self.challenge.clear();
        self.user = Some(done.user.clone());
        Step::Accepted(done.user, last)
    }

    fn verify(&self, expected: &Expected<'_>, message: &[u8]) -> Option<Done> {
        let authenticate = Authenticate::read(message)?;
        let login = match authenticate.domain.is_empty() || authenticate.user.contains('@') {
            true => authenticate.user.clone(),
            false => format!("{}\\{}", authenticate.domain, authenticate.user),
        };
        let name = super::find(expected.config, &login)?;
        let password = &expected.config.users.get(name)?.password;
        let nt_hash = md4(&utf16(password));
        let identity = authenticate.user.to_uppercase() + &authenticate.domain;
        let key = hmac_md5(&nt_hash, &[&utf16(&identity)]);
        // NTLMv2: 16 bytes of proof, and what it proves. NTLMv1 has 24 bytes in all.
        let (proof, blob) = authenticate.nt_response.split_at_checked(16)?;
        if blob.len() < 28 || hmac_md5(&key, &[&self.nonce, blob]) != *proof {
            return None;
        }
        let base = hmac_md5(&key, &[proof]);
        let session_key = match authenticate.flags & messages::KEY_EXCHANGE != 0 {
            true => rc4(&base, &authenticate.session_key).try_into().ok()?,
            false => base,
        };
        let pairs = messages::pairs(blob.get(28..)?)?;
        let pair = |id: u16| {
            let mut all = pairs.iter();
            all.find(|(have, _)| *have == id).map(|(_, value)| value)
        };
        // The blob says that there is a code over all three messages: then there has to be one.
        if pair(messages::AV_FLAGS).is_some_and(|flags| flags.first().is_some_and(|b| b & 2 != 0)) {
            let (mic, cleared) = authenticate.mic(message)?;
            let found = hmac_md5(&session_key, &[&self.negotiate, &self.challenge, &cleared]);
            if found.as_slice() != mic {
                return None;
            }
        } else {
            // A client that was told the time has to send one ([MS-NLMP] 3.1.5.1.2), and our challenge
            // tells it, as those of all servers since Windows Vista do.
            return None;
        }
        let binding = pair(messages::AV_BINDINGS).map(Vec::as_slice);
        if !bound(expected, binding) {
            return None;
        }
        Some(Done {
            user: name.to_owned(),
            session_key,
            flags: authenticate.flags,
        })
    }
}

struct Done {
    user: String,
    session_key: [u8; 16],
    flags: u32,
}

/// Whether the binding is what the policy asks for.
fn bound(expected: &Expected<'_>, binding: Option<&[u8]>) -> bool {
    let binding = binding.filter(|binding| binding.iter().any(|byte| *byte != 0));
    match (expected.config.binding, binding) {
        (Binding::Off, _) | (Binding::Allow, None) => true,
        (Binding::Require, None) => false,
        (Binding::Allow | Binding::Require, Some(binding)) => {
            expected.secure
                && expected
                    .end_point
                    .is_some_and(|end_point| md5(&channel(end_point)) == *binding)
        }
    }
}

/// `gss_channel_bindings_struct` with the certificate's hash as application data.
fn channel(end_point: &[u8]) -> Vec<u8> {
    let data = [b"tls-server-end-point:", end_point].concat();
    let mut bytes = vec![0; 16];
    bytes.extend(u32::try_from(data.len()).unwrap_or(0).to_le_bytes());
    bytes.extend(data);
    bytes
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Never the same twice.
fn nonce() -> [u8; 8] {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one("nonce").to_le_bytes()
}

/// Now, in tenths of microseconds since 1601.
fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (since.as_secs() + 11_644_473_600) * 10_000_000
}
