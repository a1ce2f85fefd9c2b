//! Logging in: passwords by LOGIN and PLAIN, OAuth tokens by XOAUTH2 and OAUTHBEARER, and the ways
//! in which one user opens another's mailbox.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailmove_core::{
    edge::{Credential, CredentialRequest, Secret},
    error::{Error, ErrorKind, Result},
};

use crate::{
    config::{Access, ActAs},
    connection::{Connection, Incoming, Sent},
    error,
    wire::{Capabilities, Command, EncodeError, Segment, Status, StatusKind},
};

/// Logs in with what the credential provider gives; `refused`: the last login was refused.
///
/// A token that the server refuses has mostly just expired, and its end belongs to logging in: the
/// provider is asked for another one at once, and that is tried one time. Passwords don't expire,
/// and to try them again locks accounts.
///
/// # Errors
/// What the provider says, [`ErrorKind::WaitingForUser`] included, as it is; else what the server's
/// refusal means.
pub(crate) async fn login(
    connection: &mut Connection,
    access: &Access,
    offered: &Capabilities,
    refused: bool,
) -> Result<()> {
    let mut login = Login {
        connection,
        access,
        offered,
    };
    let first = login.ask(refused).await?;
    let mut error = match login.with(&first).await {
        Err(error) if error.code() == error::TOKEN_REFUSED && !refused => error,
        done => return done,
    };
    // Another connection may have got a new one meanwhile.
    let current = login.ask(false).await?;
    if is_other(&first, &current) {
        match login.with(&current).await {
            Err(again) if again.code() == error::TOKEN_REFUSED => error = again,
            done => return done,
        }
    }
    match login.ask(true).await {
        Ok(new) if is_other(&current, &new) => login.with(&new).await,
        // The provider has no other one, and the server's words say more than its.
        Ok(_) => Err(error),
        Err(own) if own.kind() == ErrorKind::Auth => Err(error.with_source(own)),
        Err(own) => Err(own),
    }
}

/// Whether a credential is not the same token as before.
fn is_other(old: &Credential, new: &Credential) -> bool {
    match (old, new) {
        (
            Credential::BearerToken { token: old, .. },
            Credential::BearerToken { token: new, .. },
        ) => old.expose() != new.expose(),
        _ => true,
    }
}

struct Login<'a> {
    connection: &'a mut Connection,
    access: &'a Access,
    offered: &'a Capabilities,
}

/// How a token is told (SASL).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bearer {
    /// Google's and Microsoft's form, from before the RFC.
    Xoauth2,
    /// RFC 7628.
    OauthBearer,
}

impl Login<'_> {
    async fn ask(&self, refused: bool) -> Result<Credential> {
        let mut request = CredentialRequest::new(self.access.config.endpoint());
        if refused {
            request = request.after_refusal();
        }
        self.access.credentials.credential(request).await
    }

    async fn with(&mut self, credential: &Credential) -> Result<()> {
        match credential {
            Credential::Password {
                user,
                password,
                authorize_as: None,
            } => self.by_password(user, password, "").await,
            Credential::Password {
                user,
                password,
                authorize_as: Some(other),
            } => self.for_another(user, password, other).await,
            Credential::BearerToken { user, token } => self.by_token(user, token).await,
            _ => Err(
                Error::new(ErrorKind::Unsupported, "IMAP knows no such way to log in")
                    .with_code("imap/credential"),
            ),
        }
    }

    // ---- passwords ---------------------------------------------------------------------------

    async fn for_another(&mut self, user: &str, password: &Secret, other: &str) -> Result<()> {
        match self.access.config.act_as() {
            ActAs::ProxyAuth => {
                self.by_password(user, password, "").await?;
                self.proxy(other).await
            }
            style if style.is_ambiguous(other) => Err(unsendable(None)),
            style => match style.login_name(user, other) {
                Some(name) => self.by_password(&name, password, "").await,
                None => self.by_password(user, password, other).await,
            },
        }
    }

    /// LOGIN, or AUTHENTICATE PLAIN where it is offered. `other`: the authorization identity.
    async fn by_password(&mut self, user: &str, password: &Secret, other: &str) -> Result<()> {
        let (offered, password) = (self.offered, password.expose());
        let plain = offered.auth("PLAIN");
        if !other.is_empty() && !plain {
            return Err(Error::new(
                ErrorKind::Auth,
                "the server takes no authorization identity to open another user's mailbox",
            )
            .with_code("imap/no-plain")
            .with_remedy(
                "Log in as the mailbox's own user, or try another style of administrators' logins: \
                 style=master, style=exchange or style=proxyauth in the URL.",
            ));
        }
        if !plain && offered.login_disabled() {
            return Err(error::login_disabled());
        }
        let pair = STANDARD.encode(format!("{other}\0{user}\0{password}"));
        self.connection.guard(&[password, &pair]);
        let tag = self.prepare();
        let encoder = self.connection.encoder();
        let command = if plain {
            let initial = offered.has("SASL-IR");
            encoder.authenticate_plain(tag, other, user, password, initial)
        } else {
            encoder.login(tag, user, password)
        };
        let status = self.connection.run(sendable(command)?, |_| {}).await?;
        if status.kind == StatusKind::Ok {
            return Ok(());
        }
        let error = error::login_refused(&status, user, &[password, &pair]);
        Err(match other {
            "" => error,
            other => error.with_context("mailbox", other),
        })
    }

    /// PROXYAUTH: the administrator becomes the user (Netscape, iPlanet, Sun, Oracle).
    async fn proxy(&mut self, other: &str) -> Result<()> {
        let tag = self.prepare();
        let command = self.connection.encoder().proxyauth(tag, other);
        let status = self.connection.run(sendable(command)?, |_| {}).await?;
        if status.kind == StatusKind::Ok {
            return Ok(());
        }
        Err(error::login_refused(&status, other, &[])
            .with_code("imap/proxyauth")
            .with_remedy(
                "The server does not let this user act for others by PROXYAUTH. Ask its \
                 administrator for that right, or try another style: style=authzid, style=master.",
            ))
    }

    // ---- tokens ------------------------------------------------------------------------------

    async fn by_token(&mut self, user: &str, token: &Secret) -> Result<()> {
        let bearer = if self.offered.auth("XOAUTH2") {
            Bearer::Xoauth2
        } else if self.offered.auth("OAUTHBEARER") {
            Bearer::OauthBearer
        } else if self.offered.login_disabled() && !self.connection.is_tls() {
            return Err(error::login_disabled());
        } else {
            return Err(
                Error::new(ErrorKind::Auth, "the server takes no OAuth tokens")
                    .with_code("imap/no-oauth")
                    .with_context("user", user)
                    .with_remedy("Use a password, e.g. an application password of the provider."),
            );
        };
        let (name, message) = self.bearer(bearer, user, token.expose())?;
        let coded = STANDARD.encode(message.expose());
        self.connection.guard(&[token.expose(), &coded]);
        let tag = self.prepare();
        let initial = self.offered.has("SASL-IR");
        let command =
            self.connection
                .encoder()
                .authenticate(tag, name, message.expose().as_bytes(), initial);
        let (status, challenge) = self.exchange(sendable(command)?, bearer).await?;
        if status.kind == StatusKind::Ok {
            return Ok(());
        }
        let secrets = [token.expose(), coded.as_str()];
        Err(error::token_refused(
            &status,
            user,
            challenge.as_deref(),
            &secrets,
        ))
    }

    fn bearer(&self, bearer: Bearer, user: &str, token: &str) -> Result<(&'static str, Secret)> {
        // \x01 separates the fields, and a token is printable ASCII (RFC 6750 §2.1).
        let bad = user.contains(char::is_control)
            || token.is_empty()
            || !token.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
        if bad {
            return Err(unsendable(None));
        }
        let config = &self.access.config;
        Ok(match bearer {
            Bearer::Xoauth2 => (
                "XOAUTH2",
                Secret::new(format!("user={user}\x01auth=Bearer {token}\x01\x01")),
            ),
            Bearer::OauthBearer => {
                let name = user.replace('=', "=3D").replace(',', "=2C");
                let (host, port) = (config.host(), config.port());
                let text = format!(
                    "n,a={name},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01"
                );
                ("OAUTHBEARER", Secret::new(text))
            }
        })
    }

    /// Sends the command; a server that refuses first says why in a challenge, which wants an answer
    /// before it comes to the refusal itself (RFC 7628 §3.2.3; XOAUTH2 wants an empty one).
    async fn exchange(
        &mut self,
        command: Command,
        bearer: Bearer,
    ) -> Result<(Status, Option<String>)> {
        let tag = command.tag();
        // Cut: the answer is there already, and is taken below.
        let (Sent::Whole | Sent::Cut) = self.connection.send(command).await?;
        let mut challenge = None;
        loop {
            match self.connection.next().await? {
                Incoming::Done(done, status) if done == tag => return Ok((status, challenge)),
                Incoming::Continue(text) if challenge.is_none() => {
                    let decoded = STANDARD.decode(text.trim().as_bytes()).unwrap_or_default();
                    challenge = Some(String::from_utf8_lossy(&decoded).into_owned());
                    let answer: &'static [u8] = match bearer {
                        Bearer::Xoauth2 => b"\r\n",
                        Bearer::OauthBearer => b"AQ==\r\n",
                    };
                    self.connection
                        .segment(tag, Segment::Bytes(answer.into()))
                        .await?;
                }
                Incoming::Continue(_) => {
                    self.connection.kill();
                    return Err(error::unexpected(
                        "the server asks on and on during the login",
                    ));
                }
                _ => {}
            }
        }
    }

    /// Whatever was announced before is void after login, and until then decides how a literal may
    /// go: a password may need one.
    fn prepare(&mut self) -> crate::wire::Tag {
        self.connection.set_literals(self.offered.literal_mode());
        self.connection.take_announced();
        self.connection.tag()
    }
}

fn sendable(command: Result<Command, EncodeError>) -> Result<Command> {
    command.map_err(|cause| unsendable(Some(cause)))
}

fn unsendable(cause: Option<EncodeError>) -> Error {
    let error = Error::new(
        ErrorKind::Config,
        "the user name, password or token cannot be sent by IMAP",
    )
    .with_code("imap/login-text");
    match cause {
        Some(cause) => error.with_source(cause),
        None => error,
    }
}
