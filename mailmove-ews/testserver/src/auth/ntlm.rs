//! NTLM's place: nothing is logged in by connection yet.

#![allow(dead_code, reason = "the next commit fills it")]

use crate::config::Config;

#[derive(Debug, Default)]
pub(crate) struct Login(Option<String>);

pub(crate) enum Step {
    Challenge(Vec<u8>),
    Accepted(String),
    Refused,
}

impl Login {
    pub(crate) fn user(&self) -> Option<&str> {
        self.0.as_deref()
    }

    pub(crate) fn step(
        &mut self,
        _: &Config,
        _: &[u8],
        _: bool,
        _: bool,
        _: Option<&[u8]>,
    ) -> Step {
        Step::Refused
    }
}
