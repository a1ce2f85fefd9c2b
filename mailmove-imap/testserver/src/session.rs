//! One connection: reading commands, running them in order, answering.

use std::sync::Arc;

use mailmove_testkit::mailbox::Account;

use crate::faults::Action;
use crate::io::{Io, Line};
use crate::parser::{Announced, Parser, announced};
use crate::reply::{Outcome, Stop};
use crate::server::Shared;
use crate::view::Selected;
use crate::{Capability, names};

pub(crate) struct Session {
    pub(crate) io: Io,
    pub(crate) shared: Arc<Shared>,
    pub(crate) tls: bool,
    pub(crate) account: Option<Account>,
    /// An administrator is logged in who has yet to say whose mailbox it is.
    pub(crate) may_proxy: bool,
    pub(crate) selected: Option<Selected>,
    pub(crate) condstore: bool,
    pub(crate) qresync: bool,
    /// UTF8=ACCEPT is enabled.
    pub(crate) utf8: bool,
    /// UIDONLY is enabled.
    pub(crate) uid_only: bool,
    /// Tag of the command being run.
    pub(crate) tag: String,
    bad: u32,
}

/// A command without its arguments.
struct Command {
    tag: String,
    name: String,
    /// Where the arguments begin.
    arguments: usize,
}

impl Session {
    pub(crate) fn new(io: Io, shared: Arc<Shared>, tls: bool) -> Self {
        Self {
            io,
            shared,
            tls,
            account: None,
            may_proxy: false,
            selected: None,
            condstore: false,
            qresync: false,
            utf8: false,
            uid_only: false,
            tag: String::new(),
            bad: 0,
        }
    }

    pub(crate) fn has(&self, capability: Capability) -> bool {
        self.shared.config.has(capability)
    }

    pub(crate) fn account(&self) -> Result<Account, Stop> {
        self.account
            .clone()
            .ok_or_else(|| Stop::bad("not authenticated"))
    }

    /// A folder's name as it is sent.
    pub(crate) fn wire(&self, path: &[String]) -> String {
        names::wire(&self.shared.config, path, self.utf8)
    }

    /// Serves until the connection ends.
    pub(crate) async fn run(mut self) {
        self.greet();
        let end = loop {
            if let Err(stop) = self.step().await {
                break stop;
            }
        };
        if let Stop::Bye(text) = end {
            self.io.line(&format!("* BYE {text}"));
            self.io.close().await;
        }
    }

    fn greet(&mut self) {
        let config = &self.shared.config;
        let preauth = config
            .preauth
            .as_deref()
            .and_then(|user| self.shared.store.account(user));
        let status = if preauth.is_some() { "PREAUTH" } else { "OK" };
        self.account = preauth;
        let (capabilities, text) = (self.capabilities(), self.shared.config.greeting.clone());
        self.io
            .line(&format!("* {status} [CAPABILITY {capabilities}] {text}"));
    }

    /// Reads and runs one command. An error ends the connection.
    async fn step(&mut self) -> Result<(), Stop> {
        let line = match self.io.read_line(self.shared.config.max_line).await? {
            Line::Text(line) => line,
            Line::TooLong => return Err(Stop::Bye("line too long".to_owned())),
            Line::End => return Err(Stop::Gone),
            Line::Stop => return Err(Stop::Bye("server shutting down".to_owned())),
        };
        let Some(command) = Command::parse(&line) else {
            self.io.line("* BAD no command");
            return self.count_bad();
        };
        self.tag.clone_from(&command.tag);
        self.shared.counting.command(&command.name);
        let fault = self.shared.faults.on_command(&command.name);
        let outcome = self.run_faulty(&command, line, fault.as_ref()).await;
        self.answer(&command, outcome).await?;
        if fault == Some(Action::CloseAnswered) {
            self.io.close().await;
            return Err(Stop::Gone);
        }
        if command.name == "LOGOUT" {
            self.io.close().await;
            return Err(Stop::Gone);
        }
        Ok(())
    }

    /// Runs a command with the failure that was armed for it, if any.
    async fn run_faulty(
        &mut self,
        command: &Command,
        line: Vec<u8>,
        fault: Option<&Action>,
    ) -> Outcome {
        let append = command.name == "APPEND";
        match fault {
            Some(Action::Bye(text)) => return Err(Stop::Bye(text.clone())),
            Some(Action::Close) => return Err(Stop::Gone),
            Some(Action::Delay(time)) => {
                self.io.flush().await?;
                self.shared.config.clock.sleep(*time).await;
            }
            Some(Action::Meanwhile(script)) => {
                if let Some(account) = &self.account {
                    script.run(account);
                }
            }
            Some(Action::Hold) => {
                let released = self.shared.faults.released();
                self.io.flush().await?;
                released.await;
            }
            Some(Action::CloseInReply(bytes)) => {
                self.io.flush().await?;
                self.io.limit_output(*bytes);
            }
            _ => {}
        }
        let outcome = if append {
            self.append(&line, command.arguments, fault).await
        } else {
            let text = self.collect(line, command.name == "SETMETADATA").await?;
            match fault {
                Some(Action::No(text)) => return Err(Stop::No(text.clone())),
                Some(Action::Bad(text)) => return Err(Stop::Bad(text.clone())),
                _ => {}
            }
            let arguments = text.get(command.arguments..).unwrap_or_default();
            self.dispatch(command, arguments).await
        };
        if fault == Some(&Action::CloseUnanswered) {
            self.io.forget();
            return Err(Stop::Gone);
        }
        outcome
    }

    /// Sends what changed and the tagged answer.
    async fn answer(&mut self, command: &Command, outcome: Outcome) -> Result<(), Stop> {
        let (tag, name) = (&command.tag, command.name.as_str());
        // Message numbers must not change while the client may be using them (RFC 3501 section 7.4.1).
        let expunge = !matches!(name, "FETCH" | "STORE" | "SEARCH");
        if !matches!(outcome, Err(Stop::Gone | Stop::Bye(_))) {
            self.sync(expunge).await?;
        }
        let compress = name == "COMPRESS" && outcome.is_ok();
        match outcome {
            Ok(text) if text.is_empty() => self.io.line(&format!("{tag} OK {name} done")),
            Ok(text) => self.io.line(&format!("{tag} OK {text}")),
            Err(Stop::No(text)) => self.io.line(&format!("{tag} NO {text}")),
            Err(Stop::Bad(text)) => {
                self.io.line(&format!("{tag} BAD {text}"));
                return self.count_bad();
            }
            Err(stop) => return Err(stop),
        }
        if name == "STARTTLS" {
            self.io.start_tls().await?;
            self.tls = true;
        }
        if compress {
            self.io.start_deflate().await?;
        }
        Ok(self.io.relieve().await?)
    }

    /// Whether mailboxes may be named yet.
    pub(crate) fn check_utf8(&self) -> Result<(), Stop> {
        if self.has(Capability::Utf8Only) && !self.utf8 {
            return Err(Stop::no("[CANNOT] ENABLE UTF8=ACCEPT comes first"));
        }
        Ok(())
    }

    fn count_bad(&mut self) -> Result<(), Stop> {
        self.bad += 1;
        self.shared.counting.lock().bad += 1;
        if self.bad >= self.shared.config.max_bad_commands {
            return Err(Stop::Bye("too many invalid commands".to_owned()));
        }
        Ok(())
    }

    /// Whether a literal may be sent without waiting for a continuation.
    pub(crate) fn check_literal(&self, literal: &Announced) -> Result<(), Stop> {
        if literal.binary && !self.has(Capability::Binary) {
            return Err(Stop::bad("binary literals are not supported"));
        }
        if literal.synchronising || self.has(Capability::LiteralPlus) {
            return Ok(());
        }
        if self.has(Capability::LiteralMinus) && literal.size <= 4096 {
            return Ok(());
        }
        Err(Stop::bad("non-synchronising literal not accepted"))
    }

    /// Counts a literal and asks for it if the client waits.
    pub(crate) fn invite(&mut self, literal: &Announced) {
        let mut counters = self.shared.counting.lock();
        if literal.synchronising {
            counters.literals_synchronising += 1;
            counters.continuations += 1;
            drop(counters);
            self.io.line("+ go ahead");
        } else {
            counters.literals_non_synchronising += 1;
        }
    }

    /// Reads the literals and the further lines of a command.
    async fn collect(&mut self, mut text: Vec<u8>, binary: bool) -> Result<Vec<u8>, Stop> {
        let mut from = 0;
        while let Some(literal) = announced(text.get(from..).unwrap_or_default()) {
            let max = self.shared.config.max_command as u64;
            let size = literal.size;
            let plain = Announced {
                binary: literal.binary && !binary,
                ..literal
            };
            let allowed = self.check_literal(&plain).and_then(|()| {
                if plain.binary {
                    return Err(Stop::bad("only a message may be a binary literal"));
                }
                let total = size.saturating_add(text.len() as u64);
                if total > max {
                    Err(Stop::bad("command too large"))
                } else {
                    Ok(())
                }
            });
            if let Err(stop) = allowed {
                self.swallow(literal).await?;
                return Err(stop);
            }
            self.invite(&literal);
            let body = self
                .io
                .read_exact(usize::try_from(size).unwrap_or(0))
                .await?;
            text.extend_from_slice(b"\r\n");
            text.extend_from_slice(&body);
            from = text.len();
            text.extend_from_slice(&self.rest_of_line().await?);
        }
        Ok(text)
    }

    /// Reads the line that goes on after a literal.
    pub(crate) async fn rest_of_line(&mut self) -> Result<Vec<u8>, Stop> {
        match self.io.read_line(self.shared.config.max_line).await? {
            Line::Text(line) => Ok(line),
            Line::TooLong => Err(Stop::Bye("line too long".to_owned())),
            Line::End => Err(Stop::Gone),
            Line::Stop => Err(Stop::Bye("server shutting down".to_owned())),
        }
    }

    /// Skips what a client sent without waiting, to the end of its command. A client that waits for a
    /// continuation sends nothing more.
    pub(crate) async fn swallow(&mut self, first: Announced) -> Result<(), Stop> {
        let mut next = Some(first);
        while let Some(literal) = next.filter(|literal| !literal.synchronising) {
            self.shared.counting.lock().literals_non_synchronising += 1;
            self.io.skip(literal.size).await?;
            next = announced(&self.rest_of_line().await?);
        }
        Ok(())
    }

    async fn dispatch(&mut self, command: &Command, arguments: &[u8]) -> Outcome {
        let mut p = Parser::new(arguments);
        let (name, by_uid) = match command.name.strip_prefix("UID ") {
            Some(name) => (name, true),
            None => (command.name.as_str(), false),
        };
        if by_uid
            && !matches!(
                name,
                "FETCH" | "STORE" | "COPY" | "MOVE" | "SEARCH" | "EXPUNGE"
            )
        {
            return Err(Stop::bad("unknown command"));
        }
        match name {
            "CAPABILITY" | "NOOP" | "LOGOUT" | "ID" | "ENABLE" | "STARTTLS" | "LOGIN"
            | "PROXYAUTH" | "AUTHENTICATE" => self.any_state(name, &mut p).await,
            "NAMESPACE" | "LIST" | "LSUB" | "SUBSCRIBE" | "UNSUBSCRIBE" | "CREATE" | "DELETE"
            | "RENAME" | "STATUS" | "SELECT" | "EXAMINE" | "GETQUOTA" | "GETQUOTAROOT" | "IDLE"
            | "COMPRESS" | "MYRIGHTS" | "GETMETADATA" | "SETMETADATA" => {
                self.account()?;
                self.authenticated(name, &mut p).await
            }
            "CLOSE" | "UNSELECT" | "CHECK" | "EXPUNGE" | "FETCH" | "STORE" | "SEARCH" | "COPY"
            | "MOVE" => {
                self.account()?;
                self.selected()?;
                self.with_mailbox(name, &mut p, by_uid).await
            }
            _ => Err(Stop::bad("unknown command")),
        }
    }

    async fn any_state(&mut self, name: &str, p: &mut Parser<'_>) -> Outcome {
        match name {
            "CAPABILITY" => self.capability(p),
            "ID" => self.id(p),
            "ENABLE" => self.enable(p),
            "STARTTLS" => self.start_tls(p),
            "LOGIN" => self.login(p),
            "AUTHENTICATE" => self.authenticate(p).await,
            "PROXYAUTH" => self.proxyauth(p),
            "LOGOUT" => {
                p.end()?;
                self.selected = None;
                self.io.line("* BYE logging out");
                Ok(String::new())
            }
            _ => p.end().map(|()| String::new()),
        }
    }

    async fn authenticated(&mut self, name: &str, p: &mut Parser<'_>) -> Outcome {
        self.check_utf8()?;
        match name {
            "NAMESPACE" => self.namespace(p),
            "LIST" => self.list(p).await,
            "LSUB" => self.lsub(p),
            "SUBSCRIBE" => self.subscribe(p, true),
            "UNSUBSCRIBE" => self.subscribe(p, false),
            "CREATE" => self.create(p),
            "DELETE" => self.delete(p),
            "RENAME" => self.rename(p),
            "STATUS" => self.status(p),
            "SELECT" => self.select(p, false).await,
            "EXAMINE" => self.select(p, true).await,
            "COMPRESS" => self.compress(p),
            "MYRIGHTS" => self.my_rights(p),
            "GETMETADATA" => self.get_metadata(p),
            "SETMETADATA" => self.set_metadata(p),
            "GETQUOTA" => self.get_quota(p),
            "GETQUOTAROOT" => self.get_quota_root(p),
            _ => self.idle(p).await,
        }
    }

    async fn with_mailbox(&mut self, name: &str, p: &mut Parser<'_>, by_uid: bool) -> Outcome {
        match name {
            "CHECK" => p.end().map(|()| String::new()),
            "CLOSE" => self.close_mailbox(p, true),
            "UNSELECT" => self.close_mailbox(p, false),
            "EXPUNGE" => self.expunge(p, by_uid),
            _ if self.check_numbers(by_uid).is_err() => {
                self.check_numbers(by_uid).map(|()| String::new())
            }
            "FETCH" => self.fetch(p, by_uid).await,
            "STORE" => self.store_flags(p, by_uid).await,
            "SEARCH" => self.search(p, by_uid).await,
            "COPY" => self.copy(p, by_uid),
            _ => self.move_messages(p, by_uid),
        }
    }
}

impl Command {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut p = Parser::new(line);
        let tag = p.tag().ok()?.to_owned();
        p.space().ok()?;
        let mut name = p.keyword().ok()?;
        if name == "UID" {
            p.space().ok()?;
            name = format!("UID {}", p.keyword().ok()?);
        }
        Some(Self {
            tag,
            name,
            arguments: line.len() - p.rest().len(),
        })
    }
}
