//! SEARCH with RETURN (RFC 3501, RFC 4731, RFC 7162).

use mailmove_testkit::mailbox::Message;

use crate::parser::Parser;
use crate::reply::{Outcome, Stop, quoted};
use crate::search_keys::{Key, Order};
use crate::sequence::compress;
use crate::session::Session;
use crate::view::Selected;
use crate::{Capability, date, mime};

/// Messages looked at between two breaths, so that a search doesn't starve other connections.
const CHUNK: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Min,
    Max,
    All,
    Count,
}

impl Session {
    pub(crate) async fn search(&mut self, p: &mut Parser<'_>, by_uid: bool) -> Outcome {
        p.space()?;
        let wanted = self.return_clause(p)?;
        if p.eat_word("CHARSET") {
            p.space()?;
            let charset = p.text()?.to_ascii_uppercase();
            p.space()?;
            if !matches!(charset.as_str(), "UTF-8" | "US-ASCII") {
                return Err(Stop::no("[BADCHARSET (US-ASCII UTF-8)] unknown charset"));
            }
        }
        let key = self.search_keys(p)?;
        p.end()?;
        let with_modseq = has_modseq(&key);
        self.condstore |= with_modseq;
        let (uids, cut) = self.searched(&key)?;
        let (numbers, modseq) = self.find(&uids, &key, by_uid).await?;
        let modseq = modseq.filter(|_| with_modseq);
        match wanted {
            Some(wanted) => self.tell_esearch(&wanted, &numbers, modseq, by_uid),
            None => {
                let list: String = numbers.iter().map(|number| format!(" {number}")).collect();
                let tail = modseq.map_or_else(String::new, |m| format!(" (MODSEQ {m})"));
                self.io.line(&format!("* SEARCH{list}{tail}"));
            }
        }
        Ok(self.with_limit(cut, String::new()))
    }

    fn return_clause(&mut self, p: &mut Parser<'_>) -> Result<Option<Vec<Wanted>>, Stop> {
        if !self.has(Capability::Esearch) || !p.eat_word("RETURN") {
            return Ok(None);
        }
        p.space()?;
        let mut wanted = p.list(|p| match p.keyword()?.as_str() {
            "MIN" => Ok(Wanted::Min),
            "MAX" => Ok(Wanted::Max),
            "ALL" => Ok(Wanted::All),
            "COUNT" => Ok(Wanted::Count),
            _ => Err(Stop::bad("unknown return option")),
        })?;
        p.space()?;
        if wanted.is_empty() {
            wanted.push(Wanted::All);
        }
        Ok(Some(wanted))
    }

    /// The messages that match, as the client numbers them, and their highest modification sequence.
    async fn find(
        &self,
        uids: &[u32],
        key: &Key,
        by_uid: bool,
    ) -> Result<(Vec<u32>, Option<u64>), Stop> {
        let selected = self.selected()?;
        let account = self.account()?;
        let mut numbers = Vec::new();
        let mut modseq = None;
        // What came last is not in the index yet.
        let lag = selected.uids.len() - self.shared.config.search_lag.min(selected.uids.len());
        let fresh = selected.uids.get(lag..).unwrap_or_default();
        let indexed: Vec<u32> = uids
            .iter()
            .filter(|uid| !fresh.contains(uid))
            .copied()
            .collect();
        for chunk in indexed.chunks(CHUNK) {
            for message in account.fetch(selected.id, chunk)? {
                let Some(position) = selected.position(message.uid) else {
                    continue;
                };
                let position = u32::try_from(position).unwrap_or(u32::MAX);
                if holds(key, &message, position, selected) {
                    numbers.push(if by_uid { message.uid } else { position });
                    modseq = modseq.max(Some(message.modseq));
                }
            }
            tokio::task::yield_now().await;
        }
        Ok((numbers, modseq))
    }

    fn tell_esearch(
        &mut self,
        wanted: &[Wanted],
        numbers: &[u32],
        modseq: Option<u64>,
        by_uid: bool,
    ) {
        let mut answer = format!("* ESEARCH (TAG {})", quoted(&self.tag));
        if by_uid {
            answer.push_str(" UID");
        }
        for wanted in wanted {
            let item = match (wanted, numbers.first(), numbers.last()) {
                (Wanted::Count, _, _) => format!(" COUNT {}", numbers.len()),
                (Wanted::Min, Some(first), _) => format!(" MIN {first}"),
                (Wanted::Max, _, Some(last)) => format!(" MAX {last}"),
                (Wanted::All, Some(_), _) => format!(" ALL {}", compress(numbers)),
                _ => String::new(),
            };
            answer.push_str(&item);
        }
        if let Some(modseq) = modseq {
            answer.push_str(&format!(" MODSEQ {modseq}"));
        }
        self.io.line(&answer);
    }
}

fn has_modseq(key: &Key) -> bool {
    match key {
        Key::ModSeq(_) => true,
        Key::And(keys) => keys.iter().any(has_modseq),
        Key::Or(a, b) => has_modseq(a) || has_modseq(b),
        Key::Not(key) => has_modseq(key),
        _ => false,
    }
}

/// Whether a message meets a condition. Nesting was bounded when it was read.
fn holds(key: &Key, message: &Message, position: u32, selected: &Selected) -> bool {
    let again = |key: &Key| holds(key, message, position, selected);
    let body = &message.body;
    match key {
        Key::All => true,
        Key::And(keys) => keys.iter().all(again),
        Key::Or(a, b) => again(a) || again(b),
        Key::Not(key) => !again(key),
        Key::Flag(flag) => message.flags.contains(flag),
        Key::Recent => message.uid >= selected.first_recent,
        Key::Header(name, text) => {
            let header = body.get(..mime::header_end(body)).unwrap_or_default();
            mime::values(header, name)
                .iter()
                .any(|value| contains(value, text))
        }
        Key::Body(text) => contains(body.get(mime::header_end(body)..).unwrap_or_default(), text),
        Key::Text(text) => contains(body, text),
        Key::Received(order, day) => compare(*order, date::day(message.date), *day),
        Key::Sent(order, day) => {
            let header = body.get(..mime::header_end(body)).unwrap_or_default();
            let sent = mime::value(header, "date");
            let sent = sent.and_then(|v| date::header_day(&String::from_utf8_lossy(&v)));
            sent.is_some_and(|sent| compare(*order, sent, *day))
        }
        Key::Larger(size) => body.len() as u64 > *size,
        Key::Smaller(size) => (body.len() as u64) < *size,
        Key::Uid(set) => set.contains(message.uid, selected.uids.last().copied().unwrap_or(0)),
        Key::Position(set) => set.contains(
            position,
            u32::try_from(selected.uids.len()).unwrap_or(u32::MAX),
        ),
        Key::ModSeq(modseq) => message.modseq >= *modseq,
        Key::EmailId(id) => message.email_id.to_string() == *id,
    }
}

fn compare(order: Order, have: i64, wanted: i64) -> bool {
    match order {
        Order::Before => have < wanted,
        Order::On => have == wanted,
        Order::Since => have >= wanted,
    }
}

/// Whether `text` (in lower case) occurs, whatever its case. Encoded words aren't decoded.
fn contains(hay: &[u8], text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    let lower = String::from_utf8_lossy(hay).to_lowercase();
    memchr::memmem::find(lower.as_bytes(), text.as_bytes()).is_some()
}
