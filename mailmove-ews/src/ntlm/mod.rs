//! NTLMv2 with message integrity code and channel binding (MS-NLMP, RFC 5929), bare or within SPNEGO
//! (RFC 4178). Version 1 is not spoken, whatever the server offers.

mod binding;
mod crypto;
mod message;
mod spnego;

pub use binding::channel_binding;
pub use message::{Challenge, Identity, Logon, Nonces};

use mailmove_core::edge::Secret;
use ring::rand::{SecureRandom as _, SystemRandom};

use message::NEGOTIATE;

/// A challenge that cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NtlmError {
    /// It is no challenge.
    #[error("the server's challenge cannot be read")]
    Malformed,
    /// The server speaks no version that is still safe.
    #[error("the server offers NTLM version 1 only")]
    Old,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// How the messages are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrap {
    /// `NTLM`.
    Bare,
    /// `Negotiate`.
    Spnego,
}

impl Wrap {
    /// The scheme's name.
    pub(crate) const fn scheme(self) -> &'static str {
        match self {
            Self::Bare => "NTLM",
            Self::Spnego => "Negotiate",
        }
    }

    /// The first message.
    pub(crate) fn first(self) -> Vec<u8> {
        match self {
            Self::Bare => NEGOTIATE.to_vec(),
            Self::Spnego => spnego::first(&NEGOTIATE),
        }
    }

    /// The answer to the server's challenge.
    pub(crate) fn answer(
        self,
        challenge: &[u8],
        identity: &Identity<'_>,
        binding: Option<[u8; 16]>,
    ) -> Result<Vec<u8>, NtlmError> {
        let inner = match self {
            Self::Bare => challenge.to_vec(),
            Self::Spnego => spnego::token(challenge).ok_or(NtlmError::Malformed)?,
        };
        let parsed = Challenge::parse(&inner)?;
        let logon = Logon::new(identity, &inner, &parsed, binding, &nonces()?)?;
        Ok(match self {
            Self::Bare => logon.message().to_vec(),
            Self::Spnego => spnego::last(logon.message(), &logon.sign(&spnego::MECHANISMS)),
        })
    }
}

fn nonces() -> Result<Nonces, NtlmError> {
    let random = SystemRandom::new();
    let mut nonces = Nonces {
        challenge: [0; 8],
        key: [0; 16],
    };
    random
        .fill(&mut nonces.challenge)
        .map_err(|_| NtlmError::Random)?;
    random
        .fill(&mut nonces.key)
        .map_err(|_| NtlmError::Random)?;
    Ok(nonces)
}

/// `DOMAIN\user` taken apart. A name with `@` has its domain within, as far as Windows is concerned.
pub(crate) fn identity<'a>(user: &'a str, password: &'a Secret, host: &'a str) -> Identity<'a> {
    let (domain, user) = user.split_once('\\').unwrap_or(("", user));
    Identity {
        user,
        domain,
        password: password.expose(),
        service: host,
    }
}
