//! A small IMAP client as back door to a real server: one command at a time, synchronising literals
//! alone, no line shared with the adapter.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use base64::{Engine as _, alphabet::IMAP_MUTF7, engine::GeneralPurpose, engine::general_purpose};
use mailmove_core::model::Timestamp;
use mailmove_testkit::conformance::BoxError;

const BASE64: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, general_purpose::NO_PAD);
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// One connection, logged in.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    tag: u32,
}

/// What a command brought.
pub(crate) struct Answer {
    /// Untagged responses, literals included.
    pub(crate) untagged: Vec<Vec<u8>>,
    /// What follows the tag.
    pub(crate) status: String,
}

/// A mailbox of LIST.
pub(crate) struct Listed {
    pub(crate) attributes: String,
    pub(crate) name: String,
}

/// A message of FETCH.
pub(crate) struct Fetched {
    pub(crate) uid: u32,
    pub(crate) flags: String,
    pub(crate) received: Timestamp,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn open(port: u16, user: &str, password: &str) -> Result<Self, BoxError> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut client = Self {
            stream: BufReader::new(stream),
            tag: 0,
        };
        client.response()?;
        client.ok(&format!("LOGIN {user} {password}"))?;
        Ok(client)
    }

    /// A line with the literals in it.
    fn response(&mut self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            if self.stream.read_until(b'\n', &mut out)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some(len) = announced(&out) else {
                return Ok(out);
            };
            let at = out.len();
            out.resize(at + len, 0);
            self.stream.read_exact(&mut out[at..])?;
        }
    }

    fn send(&mut self, line: &str) -> io::Result<String> {
        self.tag += 1;
        let tag = format!("B{}", self.tag);
        self.stream
            .get_mut()
            .write_all(format!("{tag} {line}\r\n").as_bytes())?;
        Ok(tag)
    }

    fn finish(&mut self, tag: &str) -> io::Result<Answer> {
        let mut untagged = Vec::new();
        loop {
            let response = self.response()?;
            match response.strip_prefix(tag.as_bytes()) {
                Some(status) => {
                    let status = String::from_utf8_lossy(status).trim().to_owned();
                    return Ok(Answer { untagged, status });
                }
                None => untagged.push(response),
            }
        }
    }

    pub(crate) fn command(&mut self, line: &str) -> Result<Answer, BoxError> {
        let tag = self.send(line)?;
        Ok(self.finish(&tag)?)
    }

    pub(crate) fn ok(&mut self, line: &str) -> Result<Vec<Vec<u8>>, BoxError> {
        let answer = self.command(line)?;
        if answer.status.starts_with("OK") {
            Ok(answer.untagged)
        } else {
            Err(format!("{line}: {}", answer.status).into())
        }
    }

    pub(crate) fn append(
        &mut self,
        mailbox: &str,
        flags: &[String],
        received: Timestamp,
        body: &[u8],
    ) -> Result<(), BoxError> {
        let (flags, date) = (flags.join(" "), date(received));
        let line = format!("APPEND {mailbox} ({flags}) \"{date}\" {{{}}}", body.len());
        let tag = self.send(&line)?;
        let go = self.response()?;
        if go.first() != Some(&b'+') {
            return Err(format!("{line}: {}", String::from_utf8_lossy(&go)).into());
        }
        self.stream.get_mut().write_all(body)?;
        self.stream.get_mut().write_all(b"\r\n")?;
        let answer = self.finish(&tag)?;
        match answer.status.starts_with("OK") {
            true => Ok(()),
            false => Err(format!("{line}: {}", answer.status).into()),
        }
    }

    /// Puts NUL back where the server showed 0x80 for it, as its BINARY tells (RFC 3516).
    pub(crate) fn unmask(&mut self, message: &mut Fetched) -> Result<(), BoxError> {
        let answer = self.command(&format!("UID FETCH {} BINARY.PEEK[]", message.uid))?;
        // What it cannot decode (NO [PARSE], NO [UNKNOWN-CTE]) it only shows.
        let decoded = answer.status.starts_with("OK");
        for line in answer.untagged.into_iter().filter(|_| decoded) {
            let Some(split) = line.windows(3).position(|window| window == b"}\r\n") else {
                continue;
            };
            let body = line.get(split + 3..split + 3 + message.body.len());
            let same = |body: &&[u8]| {
                let mut pairs = body.iter().zip(&message.body);
                pairs.all(|(true_one, shown)| true_one == shown || (*true_one, *shown) == (0, 0x80))
            };
            if let Some(body) = body.filter(same) {
                message.body = body.to_vec();
            }
        }
        Ok(())
    }

    pub(crate) fn list(&mut self) -> Result<Vec<Listed>, BoxError> {
        let extended = self.command("LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE)")?;
        if extended.status.starts_with("OK") {
            return read_list(&extended.untagged, "* LIST (");
        }
        let mut all = read_list(&self.ok("LIST \"\" \"*\"")?, "* LIST (")?;
        let subscribed = read_list(&self.ok("LSUB \"\" \"*\"")?, "* LSUB (")?;
        for one in &mut all {
            let same =
                |other: &Listed| other.name == one.name && !other.attributes.contains("\\No");
            if subscribed.iter().any(same) {
                one.attributes += " \\Subscribed";
            }
        }
        Ok(all)
    }

    /// Closes the mailbox that is open, without expunging anything (RFC 3691, and for servers
    /// without: what a failed EXAMINE does, RFC 3501 §6.3.1).
    pub(crate) fn unselect(&mut self) -> Result<(), BoxError> {
        if !self.command("UNSELECT")?.status.starts_with("OK") {
            self.command("EXAMINE \"no such mailbox\"")?;
        }
        Ok(())
    }

    /// The messages of the mailbox that is open.
    pub(crate) fn fetch_all(&mut self) -> Result<Vec<Fetched>, BoxError> {
        let lines = self.ok("UID FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])")?;
        let fetches = lines.iter().filter(|line| contains(line, b" FETCH ("));
        fetches
            .map(|line| fetched(line).ok_or_else(|| unreadable(line)))
            .collect()
    }
}

fn contains(line: &[u8], what: &[u8]) -> bool {
    line.windows(what.len())
        .take(40)
        .any(|window| window == what)
}

fn unreadable(line: &[u8]) -> BoxError {
    let start = &line[..line.len().min(100)];
    format!("unreadable: {}", start.escape_ascii()).into()
}

fn announced(line: &[u8]) -> Option<usize> {
    let head = line.strip_suffix(b"}\r\n")?;
    let open = head.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(&head[open + 1..]).ok()?.parse().ok()
}

fn read_list(lines: &[Vec<u8>], start: &str) -> Result<Vec<Listed>, BoxError> {
    lines
        .iter()
        .map(|line| listed(line, start).ok_or_else(|| unreadable(line)))
        .collect()
}

fn listed(line: &[u8], start: &str) -> Option<Listed> {
    let text = std::str::from_utf8(line)
        .ok()?
        .trim_end()
        .strip_prefix(start)?;
    let (attributes, rest) = text.split_once(") ")?;
    let (_, name) = rest.split_once(' ')?;
    let name = match name.split_once("}\r\n") {
        Some((_, literal)) => literal.to_owned(),
        None => match name
            .strip_prefix('"')
            .and_then(|name| name.strip_suffix('"'))
        {
            Some(quoted) => unescape(quoted),
            None => name.to_owned(),
        },
    };
    Some(Listed {
        attributes: attributes.to_owned(),
        name,
    })
}

fn unescape(quoted: &str) -> String {
    let mut out = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

fn fetched(line: &[u8]) -> Option<Fetched> {
    let split = line.windows(3).position(|window| window == b"}\r\n")?;
    let head = std::str::from_utf8(&line[..split]).ok()?;
    let between = |start: &str, end: char| {
        let (_, rest) = head.split_once(start)?;
        Some(rest.split_once(end)?.0)
    };
    let len: usize = head.rsplit_once('{')?.1.parse().ok()?;
    let told = between("FLAGS (", ')')?;
    let flags = told.split(' ').filter(|flag| *flag != "\\Recent");
    // A keyword may be `UID`, or `U`.
    let without_flags = head.replacen(&format!("FLAGS ({told})"), "", 1);
    Some(Fetched {
        uid: uid_of(&without_flags)?,
        flags: flags.collect::<Vec<_>>().join(" "),
        received: read_date(between("INTERNALDATE \"", '"')?.trim_start())?,
        body: line.get(split + 3..split + 3 + len)?.to_vec(),
    })
}

fn uid_of(head: &str) -> Option<u32> {
    let (_, rest) = head.split_once("UID ")?;
    rest.split(' ').next()?.parse().ok()
}

/// A mailbox name as an argument, in modified UTF-7 (RFC 3501 §5.1.3).
pub(crate) fn quoted(name: &str) -> String {
    format!(
        "\"{}\"",
        encode(name).replace('\\', "\\\\").replace('"', "\\\"")
    )
}

fn encode(name: &str) -> String {
    let mut out = String::new();
    let mut shifted: Vec<u8> = Vec::new();
    let close = |shifted: &mut Vec<u8>, out: &mut String| {
        if !shifted.is_empty() {
            *out += &format!("&{}-", BASE64.encode(&*shifted));
            shifted.clear();
        }
    };
    for c in name.chars() {
        if (' '..='~').contains(&c) {
            close(&mut shifted, &mut out);
            out.push(c);
            out += if c == '&' { "-" } else { "" };
        } else {
            shifted.extend(
                c.encode_utf16(&mut [0; 2])
                    .iter()
                    .flat_map(|unit| unit.to_be_bytes()),
            );
        }
    }
    close(&mut shifted, &mut out);
    out
}

pub(crate) fn decode(wire: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = wire;
    while let Some((plain, tail)) = rest.split_once('&') {
        out += plain;
        let (shifted, tail) = tail.split_once('-')?;
        if shifted.is_empty() {
            out.push('&');
        } else {
            let bytes = BASE64.decode(shifted).ok()?;
            let units: Vec<u16> = bytes
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect();
            out += &String::from_utf16(&units).ok()?;
        }
        rest = tail;
    }
    Some(out + rest)
}

fn date(moment: Timestamp) -> String {
    let (year, month, day, hour, minute, second) = moment.civil();
    let offset = moment.offset_minutes();
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
    let month = MONTHS[usize::from(month) - 1];
    format!(
        "{day:02}-{month}-{year:04} {hour:02}:{minute:02}:{second:02} {sign}{hours:02}{minutes:02}"
    )
}

fn read_date(text: &str) -> Option<Timestamp> {
    let mut words = text.split_ascii_whitespace();
    let (day, time, zone) = (words.next()?, words.next()?, words.next()?);
    let mut parts = day.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let midnight = Timestamp::from_date(
        year.parse().ok()?,
        u8::try_from(month).ok()?,
        day.parse().ok()?,
    )?;
    let clock: Vec<i64> = time
        .split(':')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    let [hour, minute, second] = clock[..] else {
        return None;
    };
    let zone: i16 = zone.parse().ok()?;
    let offset = zone / 100 * 60 + zone % 100;
    let local = midnight.seconds() + hour * 3600 + minute * 60 + second;
    Some(Timestamp::new(local - i64::from(offset) * 60, offset))
}
