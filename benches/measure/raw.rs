//! The least that speaks IMAP: one blocking socket, no parser to speak of.
//!
//! It shares no code with the library, since it is what the library is measured against.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::Result;

/// A mailbox name as the server wrote it, quotes included, and how much is in it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Folder {
    /// With its quotes.
    pub name: Vec<u8>,
    /// As STATUS says.
    pub messages: u64,
}

/// What is replayed of a message.
#[derive(Debug)]
#[non_exhaustive]
pub struct Message {
    /// Those that can be sent back, with blanks between them.
    pub flags: Vec<u8>,
    /// With its quotes.
    pub date: Vec<u8>,
    /// All of it.
    pub body: Vec<u8>,
}

/// A login.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<TcpStream>,
    tag: u32,
    capabilities: String,
}

impl Connection {
    /// Connects and logs in.
    ///
    /// # Errors
    /// If either is refused.
    pub fn open(host: &str, port: u16, user: &str, password: &str) -> Result<Self> {
        let socket = TcpStream::connect((host, port))
            .map_err(|error| format!("cannot connect to {host}:{port}: {error}"))?;
        socket.set_nodelay(true)?;
        // A server that hangs shall not hang the measurement.
        socket.set_read_timeout(Some(Duration::from_secs(300)))?;
        let mut connection = Self {
            reader: BufReader::with_capacity(1 << 20, socket),
            tag: 0,
            capabilities: String::new(),
        };
        connection.line()?;
        let quoted = password.replace('\\', "\\\\").replace('"', "\\\"");
        connection.command(format!("LOGIN \"{user}\" \"{quoted}\"").as_bytes())?;
        let lines = connection.command(b"CAPABILITY")?;
        let text = lines.concat();
        connection.capabilities = String::from_utf8_lossy(&text).to_ascii_uppercase();
        Ok(connection)
    }

    /// Whether the server named this capability.
    #[must_use]
    pub fn offers(&self, capability: &str) -> bool {
        self.capabilities
            .split_ascii_whitespace()
            .any(|word| word == capability)
    }

    /// One line, with its end.
    ///
    /// # Errors
    /// If the connection fails or the server refuses.
    pub fn line(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err("the server closed the connection".into());
        }
        Ok(line)
    }

    /// So many bytes.
    ///
    /// # Errors
    /// If the connection fails or the server refuses.
    pub fn literal(&mut self, size: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; size];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Sends as it is.
    ///
    /// # Errors
    /// If the connection fails or the server refuses.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.reader.get_mut().write_all(bytes)?)
    }

    /// A command sent at once, without waiting; returns its tag and the blank after it.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn start(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        let tag = self.next_tag();
        self.send(&[&tag, command, b"\r\n"].concat())?;
        Ok(tag)
    }

    /// The next tag, with the blank after it.
    pub fn next_tag(&mut self) -> Vec<u8> {
        self.tag += 1;
        format!("r{} ", self.tag).into_bytes()
    }

    /// Reads to the end of a command; literals are elements of their own.
    ///
    /// # Errors
    /// If the server refuses the command or the connection fails.
    pub fn finish(&mut self, tag: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut all = Vec::new();
        loop {
            let line = self.line()?;
            if line.starts_with(tag) {
                if line
                    .get(tag.len()..)
                    .is_some_and(|rest| rest.starts_with(b"OK"))
                {
                    return Ok(all);
                }
                return Err(format!("refused: {}", String::from_utf8_lossy(&line).trim()).into());
            }
            let size = literal_size(&line);
            all.push(line);
            if let Some(size) = size {
                all.push(self.literal(size)?);
            }
        }
    }

    /// A command and its answers.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn command(&mut self, command: &[u8]) -> Result<Vec<Vec<u8>>> {
        let tag = self.start(command)?;
        self.finish(&tag)
    }

    /// Every folder that can hold mail, with its number of messages.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn folders(&mut self) -> Result<Vec<Folder>> {
        let mut lines = self.command(b"LIST \"\" \"*\"")?.into_iter().peekable();
        let mut names = Vec::new();
        while let Some(line) = lines.next() {
            let Some((attributes, mut name)) = list_line(&line) else {
                continue;
            };
            if literal_size(&line).is_some() {
                let raw = lines.next().unwrap_or_default();
                name = quoted(&raw);
            }
            if !attributes.contains("\\noselect") && !attributes.contains("\\nonexistent") {
                names.push(name);
            }
        }
        names.into_iter().map(|name| self.count(name)).collect()
    }

    fn count(&mut self, name: Vec<u8>) -> Result<Folder> {
        let lines = self.command(&[b"STATUS ", &*name, b" (MESSAGES)"].concat())?;
        let text = String::from_utf8_lossy(&lines.concat()).into_owned();
        let messages = text
            .rsplit_once("(MESSAGES ")
            .and_then(|(_, rest)| rest.split(')').next())
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| format!("STATUS answered {text:?}"))?;
        Ok(Folder { name, messages })
    }
}

/// Attributes in lower case, and the name as it was sent.
fn list_line(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let rest = line.strip_prefix(b"* LIST (")?;
    let end = rest.iter().position(|&byte| byte == b')')?;
    let attributes = String::from_utf8_lossy(rest.get(..end)?).to_ascii_lowercase();
    let rest = rest.get(end + 2..)?.strip_suffix(b"\r\n")?;
    // The separator is NIL or one character in quotes, which may be an escaped backslash.
    let skip = if rest.starts_with(b"NIL ") {
        4
    } else if rest.starts_with(b"\"\\") {
        5
    } else {
        4
    };
    Some((attributes, rest.get(skip..)?.to_vec()))
}

fn quoted(raw: &[u8]) -> Vec<u8> {
    let mut name = vec![b'"'];
    for &byte in raw {
        if byte == b'"' || byte == b'\\' {
            name.push(b'\\');
        }
        name.push(byte);
    }
    name.push(b'"');
    name
}

/// The size that a line announces at its end.
pub(super) fn literal_size(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"}\r\n")?;
    let open = line.iter().rposition(|&byte| byte == b'{')?;
    std::str::from_utf8(line.get(open + 1..)?)
        .ok()?
        .parse()
        .ok()
}
