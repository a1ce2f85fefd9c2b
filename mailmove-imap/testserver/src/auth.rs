//! Commands that need no login, and the login.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Capability;
use crate::parser::Parser;
use crate::reply::{Outcome, Stop};
use crate::session::Session;

impl Session {
    /// The capabilities in this state, without the word CAPABILITY.
    pub(crate) fn capabilities(&self) -> String {
        let outside = self.account.is_none();
        let mut names = vec!["IMAP4rev1".to_owned()];
        let disabled = self.login_disabled();
        for capability in Capability::ALL {
            let offered = match capability {
                Capability::StartTls => outside && !self.tls,
                Capability::SaslIr => outside,
                Capability::AuthPlain => outside && !disabled,
                Capability::Compress => !outside && !self.io.is_deflated(),
                _ => true,
            };
            if !offered || !self.has(capability) {
                continue;
            }
            names.push(capability.name().to_owned());
            match capability {
                Capability::AppendLimit if self.shared.config.folder_limits.is_empty() => {
                    names.pop();
                    names.push(format!("APPENDLIMIT={}", self.append_limit()));
                }
                Capability::Quota => {
                    names.extend(["QUOTA=RES-STORAGE".into(), "QUOTA=RES-MESSAGE".into()]);
                }
                _ => {}
            }
        }
        if outside && disabled {
            names.push("LOGINDISABLED".to_owned());
        }
        names.join(" ")
    }

    /// Largest message APPEND takes.
    pub(crate) fn append_limit(&self) -> u64 {
        let own = self
            .account
            .as_ref()
            .and_then(|account| account.limits().max_message_size);
        let server = self.shared.config.max_literal;
        own.map_or(server, |own| own.min(server))
    }

    /// Largest message that this folder takes, if it has a limit of its own.
    pub(crate) fn folder_limit(&self, path: &[String]) -> Option<u64> {
        self.shared.config.folder_limits.get(path).copied()
    }

    fn login_disabled(&self) -> bool {
        self.shared.config.login_needs_tls && !self.tls
    }

    pub(crate) fn capability(&mut self, p: &Parser<'_>) -> Outcome {
        p.end()?;
        let capabilities = self.capabilities();
        self.io.line(&format!("* CAPABILITY {capabilities}"));
        Ok(String::new())
    }

    pub(crate) fn id(&mut self, p: &mut Parser<'_>) -> Outcome {
        if !self.has(Capability::Id) {
            return Err(Stop::bad("unknown command"));
        }
        p.space()?;
        if !p.eat_word("NIL") {
            p.list(|p| {
                if p.eat_word("NIL") {
                    Ok(Vec::new())
                } else {
                    p.string()
                }
            })?;
        }
        p.end()?;
        self.io.line("* ID (\"name\" \"mailmove test server\")");
        Ok(String::new())
    }

    pub(crate) fn enable(&mut self, p: &mut Parser<'_>) -> Outcome {
        if !self.has(Capability::Enable) {
            return Err(Stop::bad("unknown command"));
        }
        self.account()?;
        let mut enabled = Vec::new();
        while !p.is_empty() {
            p.space()?;
            let name = p.keyword()?;
            match name.as_str() {
                "UTF8=ACCEPT"
                    if self.has(Capability::Utf8Accept) || self.has(Capability::Utf8Only) =>
                {
                    self.utf8 = true;
                }
                "CONDSTORE" if self.has(Capability::Condstore) => self.condstore = true,
                "QRESYNC" if self.has(Capability::Qresync) => {
                    self.condstore = true;
                    self.qresync = true;
                }
                // Unknown names are no error (RFC 5161 section 3.1).
                _ => continue,
            }
            enabled.push(name);
        }
        let list: String = enabled.iter().map(|name| format!(" {name}")).collect();
        self.io.line(&format!("* ENABLED{list}"));
        Ok(String::new())
    }

    pub(crate) fn start_tls(&mut self, p: &Parser<'_>) -> Outcome {
        p.end()?;
        if !self.has(Capability::StartTls) {
            return Err(Stop::bad("unknown command"));
        }
        if self.tls || self.account.is_some() {
            return Err(Stop::bad("too late for STARTTLS"));
        }
        Ok("begin TLS negotiation now".to_owned())
    }

    pub(crate) fn compress(&self, p: &mut Parser<'_>) -> Outcome {
        p.space()?;
        let mechanism = p.keyword()?;
        p.end()?;
        if !self.has(Capability::Compress) {
            return Err(Stop::bad("unknown command"));
        }
        if mechanism != "DEFLATE" {
            return Err(Stop::no("unknown compression mechanism"));
        }
        if self.io.is_deflated() {
            return Err(Stop::no("[COMPRESSIONACTIVE] DEFLATE is active already"));
        }
        Ok("DEFLATE active".to_owned())
    }

    fn may_log_in(&self) -> Result<(), Stop> {
        if self.account.is_some() {
            return Err(Stop::bad("already authenticated"));
        }
        if self.login_disabled() {
            return Err(Stop::no("[PRIVACYREQUIRED] login needs TLS"));
        }
        Ok(())
    }

    pub(crate) fn login(&mut self, p: &mut Parser<'_>) -> Outcome {
        p.space()?;
        let user = p.text()?;
        p.space()?;
        let password = p.text()?;
        p.end()?;
        self.may_log_in()?;
        self.log_in("", &user, &password)
    }

    pub(crate) async fn authenticate(&mut self, p: &mut Parser<'_>) -> Outcome {
        p.space()?;
        let mechanism = p.keyword()?;
        self.may_log_in()?;
        if mechanism != "PLAIN" || !self.has(Capability::AuthPlain) {
            return Err(Stop::no("[CANNOT] mechanism not supported"));
        }
        let answer = if p.is_empty() {
            self.shared.counting.lock().continuations += 1;
            self.io.line("+ ");
            self.rest_of_line().await?
        } else if self.has(Capability::SaslIr) {
            p.space()?;
            p.rest().to_vec()
        } else {
            return Err(Stop::bad("initial response not supported"));
        };
        if answer == b"*" {
            return Err(Stop::bad("authentication cancelled"));
        }
        let bad = || Stop::bad("invalid PLAIN message");
        let message = STANDARD.decode(answer).map_err(|_| bad())?;
        let message = String::from_utf8(message).map_err(|_| bad())?;
        let mut parts = message.split('\0');
        let (Some(role), Some(user), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        self.log_in(role, user, password)
    }

    /// Logs in as `user`, acting as `role` if that isn't empty.
    fn log_in(&mut self, role: &str, user: &str, password: &str) -> Outcome {
        let config = &self.shared.config;
        let matches = |known: Option<&String>| known.is_some_and(|known| known == password);
        let own = matches(config.passwords.get(user));
        let admin = matches(config.admins.get(user));
        if !own && !admin {
            return Err(Stop::no(
                "[AUTHENTICATIONFAILED] wrong user name or password",
            ));
        }
        let role = if role.is_empty() { user } else { role };
        let account = self
            .shared
            .store
            .account(role)
            .filter(|_| admin || role == user);
        if account.is_none() {
            return Err(Stop::no("[AUTHORIZATIONFAILED] may not act as that user"));
        }
        self.account = account;
        Ok(format!("[CAPABILITY {}] logged in", self.capabilities()))
    }
}
