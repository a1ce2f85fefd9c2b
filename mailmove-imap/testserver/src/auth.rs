//! Commands that need no login, and the login.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Capability;
use crate::config::Config;
use crate::parser::Parser;
use crate::reply::{Outcome, Stop, quoted};
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
                Capability::AuthPlain | Capability::AuthXoauth2 | Capability::AuthOauthBearer => {
                    outside && !disabled
                }
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
                Capability::MessageLimit if self.shared.config.hides_limit => {
                    names.pop();
                }
                Capability::MessageLimit => {
                    names.pop();
                    names.push(format!("MESSAGELIMIT={}", self.shared.config.message_limit));
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
        names.extend(self.shared.config.advertised.iter().cloned());
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
        let fields = self.shared.config.id.iter();
        let fields: Vec<String> = fields
            .map(|(name, value)| format!("{} {}", quoted(name), quoted(value)))
            .collect();
        match fields.is_empty() {
            true => self.io.line("* ID NIL"),
            false => self.io.line(&format!("* ID ({})", fields.join(" "))),
        }
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
                "UIDONLY" if self.has(Capability::UidOnly) => self.uid_only = true,
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
        let capability = match mechanism.as_str() {
            "PLAIN" => Capability::AuthPlain,
            "XOAUTH2" => Capability::AuthXoauth2,
            "OAUTHBEARER" => Capability::AuthOauthBearer,
            _ => return Err(Stop::no("[CANNOT] mechanism not supported")),
        };
        if !self.has(capability) {
            return Err(Stop::no("[CANNOT] mechanism not supported"));
        }
        let message = self.first_message(p).await?;
        match capability {
            Capability::AuthPlain => {
                let mut parts = message.split('\0');
                let (Some(role), Some(user), Some(password), None) =
                    (parts.next(), parts.next(), parts.next(), parts.next())
                else {
                    return Err(Stop::bad("invalid PLAIN message"));
                };
                self.log_in(role, user, password)
            }
            Capability::AuthXoauth2 => {
                let (user, token) = xoauth2(&message)?;
                self.log_in_by_token(user, token, "").await
            }
            _ => {
                let (user, token) = oauthbearer(&message)?;
                self.log_in_by_token(&user, token, "AQ==").await
            }
        }
    }

    /// The client's first message, on the command's line or asked for.
    async fn first_message(&mut self, p: &mut Parser<'_>) -> Result<String, Stop> {
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
        let bad = || Stop::bad("invalid message");
        let message = STANDARD.decode(answer).map_err(|_| bad())?;
        String::from_utf8(message).map_err(|_| bad())
    }

    /// A refusal is first explained in a challenge, and the client has to answer that in its
    /// mechanism's way (RFC 7628 section 3.2.3).
    async fn log_in_by_token(&mut self, user: &str, token: &str, answer: &str) -> Outcome {
        let account = self.shared.store.account(user);
        let good = self.shared.config.tokens.take(user, token);
        if let Some(account) = account.filter(|_| good) {
            self.account = Some(account);
            return Ok(format!("[CAPABILITY {}] logged in", self.capabilities()));
        }
        let why = r#"{"status":"invalid_token","schemes":"bearer","scope":"mail"}"#;
        self.io.line(&format!("+ {}", STANDARD.encode(why)));
        let said = self.rest_of_line().await?;
        if said == answer.as_bytes() {
            Err(Stop::no("[AUTHENTICATIONFAILED] invalid token"))
        } else {
            Err(Stop::bad("that is no answer to the challenge"))
        }
    }

    /// Logs in as `user`, acting as `role` if that isn't empty.
    fn log_in(&mut self, role: &str, user: &str, password: &str) -> Outcome {
        let config = &self.shared.config;
        let (name, mailbox) = admin_login(config, user).unwrap_or((user, role));
        let matches = |known: Option<&String>| known.is_some_and(|known| known == password);
        let own = matches(config.passwords.get(name));
        let admin = matches(config.admins.get(name));
        if !own && !admin {
            return Err(Stop::no(
                "[AUTHENTICATIONFAILED] wrong user name or password",
            ));
        }
        if admin && mailbox.is_empty() && config.proxyauth {
            self.may_proxy = true;
            return Ok("logged in".to_owned());
        }
        let mailbox = if mailbox.is_empty() { name } else { mailbox };
        let account = self
            .shared
            .store
            .account(mailbox)
            .filter(|_| admin || mailbox == name);
        if account.is_none() {
            return Err(Stop::no("[AUTHORIZATIONFAILED] may not act as that user"));
        }
        self.account = account;
        Ok(format!("[CAPABILITY {}] logged in", self.capabilities()))
    }

    pub(crate) fn proxyauth(&mut self, p: &mut Parser<'_>) -> Outcome {
        p.space()?;
        let user = p.text()?;
        p.end()?;
        if !self.may_proxy || self.account.is_some() {
            return Err(Stop::bad("not an administrator"));
        }
        self.account = self.shared.store.account(&user);
        match self.account {
            Some(_) => Ok(String::new()),
            None => Err(Stop::no("no such user")),
        }
    }
}

/// The administrator and the mailbox in a login name that says both.
fn admin_login<'a>(config: &Config, user: &'a str) -> Option<(&'a str, &'a str)> {
    let master = config.master_separator;
    if let Some((mailbox, admin)) = master.and_then(|separator| user.split_once(separator)) {
        return Some((admin, mailbox));
    }
    let (admin, mailbox) = user.rsplit_once('\\').filter(|_| config.exchange_logins)?;
    let admin = admin.split_once('\\').map_or(admin, |(_, admin)| admin);
    Some((admin, mailbox))
}

/// `user=…^Aauth=Bearer …^A^A`
fn xoauth2(message: &str) -> Result<(&str, &str), Stop> {
    let parts = message.strip_prefix("user=").and_then(|rest| {
        let (user, rest) = rest.split_once('\x01')?;
        let token = rest.strip_prefix("auth=Bearer ")?;
        Some((user, token.strip_suffix("\x01\x01")?))
    });
    parts.ok_or_else(|| Stop::bad("invalid XOAUTH2 message"))
}

/// `n,a=…,^Ahost=…^Aport=…^Aauth=Bearer …^A^A` (RFC 7628 section 3.1)
fn oauthbearer(message: &str) -> Result<(String, &str), Stop> {
    let parts = message.strip_prefix("n,a=").and_then(|rest| {
        let (user, rest) = rest.split_once(",\x01")?;
        let mut pairs = rest.strip_suffix("\x01\x01")?.split('\x01');
        let token = pairs.find_map(|pair| pair.strip_prefix("auth=Bearer "))?;
        let whole = !user.contains([',', '\0']);
        whole.then(|| (user.replace("=2C", ",").replace("=3D", "="), token))
    });
    parts.ok_or_else(|| Stop::bad("invalid OAUTHBEARER message"))
}
