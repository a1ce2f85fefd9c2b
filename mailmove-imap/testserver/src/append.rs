//! APPEND and MULTIAPPEND, with what can go wrong in them.

use std::sync::Arc;

use bytes::Bytes;
use mailmove_testkit::mailbox::{
    Account, Appended, FolderId, NewMessage, SYSTEM_FLAGS, StoreError,
};

use crate::faults::Action;
use crate::parser::{Announced, Parser, announced};
use crate::reply::{Outcome, Stop};
use crate::sequence::compress;
use crate::session::Session;
use crate::{Capability, date, gmail};

/// What was read of an APPEND so far.
struct Request {
    wire: Vec<u8>,
    messages: Vec<NewMessage>,
    /// The message that is being read comes as `UTF8 (~{n})` (RFC 6855).
    utf8: bool,
}

impl Session {
    /// Runs an APPEND whose first line is `line`.
    pub(crate) async fn append(
        &mut self,
        line: &[u8],
        arguments: usize,
        fault: Option<&Action>,
    ) -> Outcome {
        let mut text = line.get(arguments..).unwrap_or_default().to_vec();
        self.collect_mailbox(&mut text).await?;
        let mut request: Option<Request> = None;
        let (mut nul, mut unsaid) = (false, false);
        loop {
            let Some(literal) = announced(&text) else {
                // Either the end of the command or no message at all.
                let Some(request) = request.filter(|_| text.is_empty()) else {
                    return Err(Stop::bad("expected a message literal"));
                };
                if nul && self.shared.config.nul_by_binary_alone {
                    return Err(Stop::no("a message holds NUL characters"));
                }
                if unsaid {
                    return Err(Stop::no(
                        "a header in UTF-8 needs UTF8=ACCEPT and the item UTF8",
                    ));
                }
                self.check_limit(request.messages.len())?;
                return self.finish_append(request, fault).await;
            };
            let head = text.len() - literal.length;
            let head = text.get(..head).unwrap_or_default();
            let parsed = self.parse_message(head, &mut request, &literal);
            let mut message = match parsed {
                Ok(message) => message,
                Err(stop) => return self.refuse_append(stop, literal).await,
            };
            self.invite(&literal);
            message.body = self.read_message(literal.size, fault).await?;
            nul |= message.body.contains(&0) && !literal.binary;
            let utf8 = request.as_ref().is_some_and(|request| request.utf8);
            let config = &self.shared.config;
            let told = self.utf8 && config.utf8_item || config.utf8_by_enable_alone;
            unsaid |= told && !utf8 && has_utf8_header(&message.body);
            if let Some(request) = &mut request {
                request.messages.push(message);
            }
            text = self.rest_of_line().await?;
            if utf8 && text.first() == Some(&b')') {
                text.remove(0);
            } else if utf8 {
                return Err(Stop::bad("expected the end of UTF8"));
            }
        }
    }

    /// Reads the mailbox name if it is a literal, so that the next one is a message.
    async fn collect_mailbox(&mut self, text: &mut Vec<u8>) -> Result<(), Stop> {
        let Some(literal) = announced(text).filter(|l| text.len() == l.length + 1) else {
            return Ok(());
        };
        let checked = self.check_literal(&literal).and_then(|()| {
            if literal.binary {
                Err(Stop::bad("only a message may be a binary literal"))
            } else if literal.size > 4096 {
                Err(Stop::bad("mailbox name too long"))
            } else {
                Ok(())
            }
        });
        if let Err(stop) = checked {
            self.swallow(literal).await?;
            return Err(stop);
        }
        self.invite(&literal);
        let name = self
            .io
            .read_exact(usize::try_from(literal.size).unwrap_or(0))
            .await?;
        text.extend_from_slice(b"\r\n");
        text.extend_from_slice(&name);
        text.extend_from_slice(&self.rest_of_line().await?);
        Ok(())
    }

    /// What stands before a message literal: the mailbox once, then flags and date.
    fn parse_message(
        &self,
        head: &[u8],
        request: &mut Option<Request>,
        literal: &Announced,
    ) -> Result<NewMessage, Stop> {
        let mut p = Parser::new(head);
        p.space()?;
        let account = self.account()?;
        if request.is_none() {
            let wire = p.astring()?;
            p.space()?;
            *request = Some(Request {
                wire,
                messages: Vec::new(),
                utf8: false,
            });
        } else if !self.has(Capability::MultiAppend) {
            return Err(Stop::bad("only one message at a time"));
        }
        let mut message = NewMessage::new(Bytes::new());
        if p.peek() == Some(b'(') {
            message.flags = p.list(flag)?;
            p.space()?;
        }
        if p.peek() == Some(b'"') {
            let text = p.string()?;
            let date = std::str::from_utf8(&text).ok().and_then(date::parse);
            message.date = Some(date.ok_or_else(|| Stop::bad("invalid date"))?);
            p.space()?;
        }
        let item = self.utf8 && self.shared.config.utf8_item;
        let utf8 = item && literal.binary && p.eat_word("UTF8");
        if utf8 {
            p.space()?;
            p.expect(b'(')?;
        }
        if let Some(request) = request {
            request.utf8 = utf8;
        }
        p.end()?;
        self.check_literal(literal)?;
        self.check_utf8()?;
        if let Some(request) = request
            && request.messages.is_empty()
        {
            self.target(&account, &request.wire)?;
        }
        // RFC 3502 section 6.3.11: an empty literal cancels the command.
        if literal.size == 0 {
            return Err(Stop::no("an empty message can't be saved"));
        }
        let own = request
            .as_ref()
            .and_then(|request| self.path(&request.wire).ok())
            .and_then(|path| self.folder_limit(&path));
        let limit = own.map_or(self.append_limit(), |own| own.min(self.append_limit()));
        if literal.size > limit {
            return Err(StoreError::TooBig(limit).into());
        }
        Ok(message)
    }

    fn target(&self, account: &Account, wire: &[u8]) -> Result<FolderId, Stop> {
        let folder = account
            .folder(&self.path(wire)?)
            .map_err(Stop::for_target)?;
        if folder.read_only {
            return Err(StoreError::ReadOnly.into());
        }
        self.check_right(&folder.path, 'i')?;
        Ok(folder.id)
    }

    /// Answers a refusal that came before the literal was read.
    async fn refuse_append(&mut self, stop: Stop, literal: Announced) -> Outcome {
        let run_lines = self.shared.config.run_refused_literals && matches!(stop, Stop::Bad(_));
        if !run_lines {
            self.swallow(literal).await?;
        }
        Err(stop)
    }

    async fn read_message(&mut self, size: u64, fault: Option<&Action>) -> Result<Bytes, Stop> {
        if let Some(Action::CloseInLiteral(bytes)) = fault {
            self.io.skip(size.min(*bytes)).await?;
            return Err(Stop::Gone);
        }
        let size = usize::try_from(size).map_err(|_| Stop::bad("literal too large"))?;
        Ok(self.io.read_exact(size).await?)
    }

    /// Refusals of the kind that some services answer with BAD.
    fn check_forms(&self, messages: &[NewMessage]) -> Result<(), Stop> {
        let config = &self.shared.config;
        for message in messages {
            if config.final_newline && !message.body.ends_with(b"\n") {
                return Err(Stop::bad(
                    "[CLIENTBUG] Additional arguments found after last expected argument",
                ));
            }
            let mut lines = message.body.split(|byte| *byte == b'\n');
            if let Some(most) = config.max_body_line
                && lines.any(|line| line.len() > most)
            {
                return Err(Stop::bad("Command Argument Error. 11"));
            }
        }
        Ok(())
    }

    async fn finish_append(&mut self, mut request: Request, fault: Option<&Action>) -> Outcome {
        let account = self.account()?;
        match fault {
            Some(Action::No(text)) => return Err(Stop::No(text.clone())),
            Some(Action::Bad(text)) => return Err(Stop::Bad(text.clone())),
            Some(Action::LandAfter(_) | Action::LandOnRelease) => {
                self.land_later(&account, request, fault);
                return Err(Stop::Gone);
            }
            _ => {}
        }
        self.check_forms(&request.messages)?;
        if self.shared.config.forgets_flagged {
            for message in &mut request.messages {
                message
                    .flags
                    .retain(|flag| !flag.eq_ignore_ascii_case("\\Flagged"));
            }
        }
        // The folder may have gone while the message was on its way.
        let id = self.target(&account, &request.wire)?;
        let count = request.messages.len() as u64;
        if self.is_gmail() {
            let mut code = String::new();
            for message in request.messages {
                let (validity, uid) = gmail::append(&account, id, message)?;
                code = format!("[APPENDUID {validity} {uid}] (Success)");
            }
            self.shared.counting.lock().messages_appended += count;
            return Ok(code);
        }
        let landed = account.append(id, request.messages)?;
        self.shared.counting.lock().messages_appended += count;
        Ok(self.append_code(&landed))
    }

    fn append_code(&self, landed: &Appended) -> String {
        if !self.has(Capability::UidPlus) {
            return String::new();
        }
        format!(
            "[APPENDUID {} {}] appended",
            landed.uid_validity,
            compress(&landed.uids)
        )
    }

    /// Stores the messages after the connection is gone.
    fn land_later(&self, account: &Account, request: Request, fault: Option<&Action>) {
        let Ok(id) = self.target(account, &request.wire) else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        let released = shared.faults.released();
        let (account, delay) = (account.clone(), fault.cloned());
        shared.tasks.clone().spawn(async move {
            let wait = async {
                match delay {
                    Some(Action::LandAfter(delay)) => shared.config.clock.sleep(delay).await,
                    _ => released.await,
                }
            };
            tokio::select! {
                () = shared.stop.cancelled() => return,
                () = wait => {}
            }
            let count = request.messages.len() as u64;
            if account.append(id, request.messages).is_ok() {
                shared.counting.lock().messages_appended += count;
            }
        });
    }
}

/// A flag that APPEND may carry.
fn flag(p: &mut Parser<'_>) -> Result<String, Stop> {
    let flag = p.flag()?;
    let known = SYSTEM_FLAGS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(&flag));
    if flag.starts_with('\\') && !known {
        return Err(Stop::Bad(format!("flag {flag} can't be set")));
    }
    Ok(flag)
}

pub(crate) fn has_utf8_header(body: &[u8]) -> bool {
    let end = memchr::memmem::find(body, b"\r\n\r\n").unwrap_or(body.len());
    let header = body.get(..end).unwrap_or_default();
    !header.is_ascii() && std::str::from_utf8(header).is_ok()
}
