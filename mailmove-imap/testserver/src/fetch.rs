//! FETCH.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mailmove_testkit::mailbox::{FlagOp, Message};

use crate::append::has_utf8_header;
use crate::date;
use crate::fetch_args::{FetchArguments, Item, Section, Text};
use crate::mime::{self, Part};
use crate::parser::Parser;
use crate::reply::{Outcome, Stop, quoted};
use crate::sequence::compress;
use crate::session::Session;
use crate::{envelope, gmail, structure};

/// Messages looked up at a time.
const CHUNK: usize = 64;

impl Session {
    pub(crate) async fn fetch(&mut self, p: &mut Parser<'_>, by_uid: bool) -> Outcome {
        p.space()?;
        let set = p.set_text()?;
        p.space()?;
        let mut arguments = self.fetch_arguments(p, by_uid)?;
        let (mut uids, cut) = self.within_limit(self.resolve(set, by_uid)?);
        if cut.is_some() {
            // RFC 9738 section 3.1: from the highest down.
            uids.reverse();
        }
        let modseq = arguments.items.contains(&Item::ModSeq);
        self.condstore |= modseq;
        if arguments.vanished {
            self.tell_vanished(set, &arguments)?;
        }
        let selected = self.selected()?;
        let (id, read_only) = (selected.id, selected.read_only);
        let reads = !read_only && arguments.items.iter().any(Item::reads);
        let asked_flags = arguments.items.contains(&Item::Flags);
        let account = self.account()?;
        let labels = match arguments.items.contains(&Item::GmLabels) {
            true => self.labels()?,
            false => BTreeMap::new(),
        };
        for chunk in uids.chunks(CHUNK) {
            let mut messages = account.fetch(id, chunk)?;
            if cut.is_some() {
                messages.sort_unstable_by_key(|m| std::cmp::Reverse(m.uid));
            }
            if let Some(since) = arguments.changed_since {
                messages.retain(|m| m.modseq > since);
            }
            if let Some(text) = &self.shared.config.leaves_out {
                let holds = |m: &Message| {
                    let text = text.as_bytes();
                    m.body.windows(text.len().max(1)).any(|part| part == text)
                };
                messages.retain(|m| !holds(m));
            }
            let unread: Vec<u32> = if reads {
                let new = messages.iter().filter(|m| !m.flags.contains("\\Seen"));
                new.map(|m| m.uid).collect()
            } else {
                Vec::new()
            };
            if !unread.is_empty() {
                account.store(id, &unread, FlagOp::Add, &["\\Seen"], None)?;
                let known: Vec<u32> = messages.iter().map(|m| m.uid).collect();
                messages = account.fetch(id, &known)?;
            }
            for message in &messages {
                let changed = unread.contains(&message.uid);
                if changed && !asked_flags {
                    arguments.items.push(Item::Flags);
                }
                let labels = labels.get(&message.email_id).map_or(&[][..], Vec::as_slice);
                self.tell_message(message, &arguments.items, labels).await?;
                if changed && !asked_flags {
                    arguments.items.pop();
                }
                if let Some(selected) = self.selected.as_mut().filter(|_| changed) {
                    selected.hush(std::slice::from_ref(message));
                }
            }
        }
        Ok(self.with_limit(cut, String::new()))
    }

    fn tell_vanished(&mut self, set: &str, arguments: &FetchArguments) -> Result<(), Stop> {
        let account = self.account()?;
        let selected = self.selected()?;
        let since = arguments.changed_since.unwrap_or(0);
        let named = crate::sequence::Sequence::parse(set)?;
        let largest = selected.uids.last().copied().unwrap_or(u32::MAX);
        let mut gone = account.vanished(selected.id, since)?;
        gone.retain(|uid| named.contains(*uid, largest));
        if !gone.is_empty() {
            self.io
                .line(&format!("* VANISHED (EARLIER) {}", compress(&gone)));
        }
        Ok(())
    }

    /// The message as it is shown before `ENABLE UTF8=ACCEPT` by a server that downgrades what needs it
    /// (RFC 6858).
    fn downgraded(&self, message: &Message) -> Option<Message> {
        let shows = self.utf8 || !self.shared.config.utf8_by_enable_alone;
        if shows || !has_utf8_header(&message.body) {
            return None;
        }
        let mut body = message.body.to_vec();
        let end = mime::header_end(&message.body);
        let header = body.iter_mut().take(end);
        header.filter(|b| !b.is_ascii()).for_each(|b| *b = b'?');
        let mut message = message.clone();
        message.body = body.into();
        Some(message)
    }

    async fn tell_message(
        &mut self,
        message: &Message,
        items: &[Item],
        labels: &[u8],
    ) -> Result<(), Stop> {
        let selected = self.selected()?;
        let Some(position) = selected.position(message.uid) else {
            return Ok(());
        };
        let flags = selected.flags(message);
        let downgraded = self.downgraded(message);
        let message = downgraded.as_ref().unwrap_or(message);
        // Parsed once, whatever number of parts is asked for.
        let tree = items
            .iter()
            .any(needs_tree)
            .then(|| mime::parse(&message.body));
        let bodies = items.iter().filter(|item| item.is_whole()).count() as u64;
        self.shared.counting.lock().bodies_fetched += bodies;
        let masks = self.shared.config.nul_by_binary_alone;
        let head = self.fetch_head(position, message.uid);
        self.io.raw(head.as_bytes());
        // Its UID is said already in UIDFETCH.
        let told = |item: &&Item| !self.uid_only || **item != Item::Uid;
        let items: Vec<&Item> = items.iter().filter(told).collect();
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.io.raw(b" ");
            }
            if *item == Item::GmLabels {
                self.io.raw(b"X-GM-LABELS (");
                self.io.raw(labels);
                self.io.raw(b")");
                continue;
            }
            match value(item, message, &flags, tree.as_ref()) {
                Value::Inline(bytes) => self.io.raw(&bytes),
                Value::Literal(name, body) if masks && body.contains(&0) => {
                    let mut shown = body.to_vec();
                    shown
                        .iter_mut()
                        .filter(|b| **b == 0)
                        .for_each(|b| *b = 0x80);
                    self.io
                        .raw(format!("{name} {{{}}}\r\n", body.len()).as_bytes());
                    self.io.body(&shown.into()).await?;
                }
                Value::Binary(body) => {
                    let tilde = if body.contains(&0) { "~" } else { "" };
                    let head = format!("BINARY[] {tilde}{{{}}}\r\n", body.len());
                    self.io.raw(head.as_bytes());
                    self.io.body(&body).await?;
                }
                Value::Literal(name, body) => {
                    self.io
                        .raw(format!("{name} {{{}}}\r\n", body.len()).as_bytes());
                    self.io.body(&body).await?;
                }
            }
        }
        self.io.line(")");
        Ok(self.io.relieve().await?)
    }
}

enum Value {
    Inline(Vec<u8>),
    /// Name and content.
    Literal(Cow<'static, str>, Bytes),
    /// What `BINARY[]` is.
    Binary(Bytes),
}

fn needs_tree(item: &Item) -> bool {
    match item {
        Item::Structure { .. } => true,
        Item::Body(section) => !section.part.is_empty(),
        _ => false,
    }
}

fn value(item: &Item, message: &Message, flags: &str, tree: Option<&Arc<Part>>) -> Value {
    let body = &message.body;
    let text = match item {
        Item::Uid => format!("UID {}", message.uid),
        Item::Flags => format!("FLAGS {flags}"),
        Item::InternalDate => format!("INTERNALDATE {}", quoted(&date::format(message.date))),
        Item::Size => format!("RFC822.SIZE {}", body.len()),
        Item::ModSeq => format!("MODSEQ ({})", message.modseq),
        Item::EmailId => format!("EMAILID ({})", message.email_id),
        Item::ThreadId => "THREADID NIL".to_owned(),
        Item::GmMsgId => format!("X-GM-MSGID {}", gmail::message_id(message.email_id)),
        Item::GmThrId => format!("X-GM-THRID {}", gmail::message_id(message.email_id)),
        // Written where they are known.
        Item::GmLabels => String::new(),
        Item::Rfc822 => return Value::Literal("RFC822".into(), body.clone()),
        Item::Rfc822Header => return Value::Literal("RFC822.HEADER".into(), header(body)),
        Item::Rfc822Text => {
            return Value::Literal("RFC822.TEXT".into(), body.slice(mime::header_end(body)..));
        }
        Item::Envelope => {
            let mut out = b"ENVELOPE ".to_vec();
            envelope::write(&mut out, &header(body));
            return Value::Inline(out);
        }
        Item::Structure { extended } => {
            let name: &[u8] = if *extended {
                b"BODYSTRUCTURE "
            } else {
                b"BODY "
            };
            let mut out = name.to_vec();
            if let Some(part) = tree {
                structure::write(&mut out, body, part, *extended);
            }
            return Value::Inline(out);
        }
        Item::Body(section) => return section_value(section, body, tree),
        Item::Binary { .. } => return Value::Binary(decoded(body)),
    };
    Value::Inline(text.into_bytes())
}

/// A message in base64 as the octets that it stands for; any other as it is.
fn decoded(body: &Bytes) -> Bytes {
    let head = header(body);
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    if !text.contains("content-transfer-encoding: base64") {
        return body.clone();
    }
    let mut rest = body.slice(head.len()..).to_vec();
    rest.retain(|b| !b.is_ascii_whitespace());
    match STANDARD.decode(rest) {
        Ok(decoded) => [&head[..], &decoded].concat().into(),
        Err(_) => body.clone(),
    }
}

fn header(body: &Bytes) -> Bytes {
    body.slice(..mime::header_end(body))
}

fn section_value(section: &Section, body: &Bytes, tree: Option<&Arc<Part>>) -> Value {
    let mut name = format!("BODY[{}]", section_name(section));
    let Some(mut content) = section_content(section, body, tree) else {
        name.push_str(" NIL");
        return Value::Inline(name.into_bytes());
    };
    if let Some((offset, length)) = section.partial {
        name.push_str(&format!("<{offset}>"));
        let bounded = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(content.len());
        let (from, to) = (bounded(offset), bounded(offset.saturating_add(length)));
        content = content.slice(from..to);
    }
    Value::Literal(name.into(), content)
}

fn section_name(section: &Section) -> String {
    let mut words: Vec<String> = section.part.iter().map(u32::to_string).collect();
    match &section.text {
        Text::All => {}
        Text::Header => words.push("HEADER".to_owned()),
        Text::Content => words.push("TEXT".to_owned()),
        Text::Mime => words.push("MIME".to_owned()),
        Text::Fields { names, not } => {
            let kind = if *not {
                "HEADER.FIELDS.NOT"
            } else {
                "HEADER.FIELDS"
            };
            let plain =
                |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let names: Vec<String> = names
                .iter()
                .map(|n| if plain(n) { n.clone() } else { quoted(n) })
                .collect();
            words.push(format!("{kind} ({})", names.join(" ")));
        }
    }
    words.join(".")
}

/// What a section names; `None` if the message has no such part.
fn section_content(section: &Section, body: &Bytes, tree: Option<&Arc<Part>>) -> Option<Bytes> {
    let (header, text) = if section.part.is_empty() {
        let end = mime::header_end(body);
        if section.text == Text::All {
            return Some(body.clone());
        }
        (body.slice(..end), body.slice(end..))
    } else {
        let (part, is_part) = mime::find(tree?, &section.part)?;
        match section.text {
            Text::All => return Some(body.slice(part.body.clone())),
            Text::Mime => return Some(body.slice(part.header.clone())),
            _ => {}
        }
        // HEADER and TEXT of a part exist only where a message is enclosed.
        let inner = part.message().filter(|_| is_part)?;
        (
            body.slice(inner.header.clone()),
            body.slice(inner.body.clone()),
        )
    };
    Some(match &section.text {
        Text::Header => header,
        Text::Fields { names, not } => mime::select_fields(&header, names, *not),
        _ => text,
    })
}
