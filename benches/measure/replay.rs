//! The floor: read on one connection, append on another, as fast as two sockets can.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::Instant;

use super::Result;
use super::raw::{Connection, Folder, Message, literal_size};

/// A batch ends earlier than asked if it holds this many bytes, so that memory stays in bounds.
const BATCH_BYTES: usize = 16 << 20;

/// A mailbox on a port without TLS.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "used in this workspace alone")]
pub struct Side<'a> {
    /// Name or address.
    pub host: &'a str,
    /// Port without TLS.
    pub port: u16,
    /// Whose mailbox.
    pub user: &'a str,
    /// In the clear.
    pub password: &'a str,
}

impl Side<'_> {
    /// Connects and logs in.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn connect(&self) -> Result<Connection> {
        Connection::open(self.host, self.port, self.user, self.password)
    }
}

/// What is replayed, and how.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "used in this workspace alone")]
pub struct Replay<'a> {
    /// Where it is.
    pub from: Side<'a>,
    /// Where it goes.
    pub to: Side<'a>,
    /// To each side.
    pub connections: usize,
    /// Messages in one APPEND.
    pub batch: usize,
    /// Whether one folder may be on several connections, in whatever order its messages then arrive.
    pub spread: bool,
}

impl Replay<'_> {
    /// Parts of the work, the largest first: what is begun last should be short.
    fn parts(&self, folders: &[Folder]) -> VecDeque<Part> {
        let mut parts = Vec::new();
        for folder in folders {
            let size = match self.spread {
                true => (folder.messages.div_ceil(self.connections as u64)).max(self.batch as u64),
                false => folder.messages.max(1),
            };
            let mut first = 1;
            while first <= folder.messages {
                let last = folder.messages.min(first + size - 1);
                let name = folder.name.clone();
                parts.push(Part { name, first, last });
                first = last + 1;
            }
        }
        parts.sort_by_key(|part| std::cmp::Reverse(part.last - part.first));
        parts.into()
    }
}

/// Some or all messages of a folder, by their numbers there.
struct Part {
    name: Vec<u8>,
    first: u64,
    last: u64,
}

struct Batch {
    folder: Vec<u8>,
    messages: Vec<Message>,
}

/// Reads everything once; returns the bytes of all bodies.
///
/// # Errors
/// As [`Connection`]'s.
pub fn read_all(source: &mut Connection, folders: &[Folder]) -> Result<u64> {
    let mut bytes = 0;
    for folder in folders {
        fetch(source, &folder.name, ALL, |message| {
            bytes += message.body.len() as u64;
            Ok(())
        })?;
    }
    Ok(bytes)
}

/// Copies everything to an empty mailbox; returns the seconds from the first FETCH to the last
/// APPEND's OK. Connections and folders are made before the clock starts.
///
/// # Errors
/// If either server refuses something, or lacks LITERAL+.
pub fn run(replay: &Replay<'_>, folders: &[Folder]) -> Result<f64> {
    let mut first = replay.to.connect()?;
    for folder in folders {
        // Some exist from the start; what really fails shows at the first APPEND.
        let _ = first.command(&[b"CREATE ", &*folder.name].concat());
    }
    drop(first);
    let queue = Mutex::new(replay.parts(folders));
    let mut pairs = Vec::new();
    for _ in 0..replay.connections {
        let source = replay.from.connect()?;
        let destination = replay.to.connect()?;
        if !destination.offers("LITERAL+") {
            return Err("the replay needs a destination with LITERAL+".into());
        }
        pairs.push((source, destination));
    }
    let ready = Barrier::new(2 * pairs.len() + 1);
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (mut source, mut destination) in pairs {
            let (sender, receiver) = sync_channel(8);
            let (queue, ready) = (&queue, &ready);
            threads.push(scope.spawn(move || {
                ready.wait();
                read(&mut source, queue, replay.batch, &sender)
            }));
            threads.push(scope.spawn(move || {
                ready.wait();
                write(&mut destination, &receiver)
            }));
        }
        ready.wait();
        let start = Instant::now();
        let mut results = Vec::new();
        for thread in threads {
            results.push(
                thread
                    .join()
                    .map_err(|_| "a thread of the replay panicked")?,
            );
        }
        let seconds = start.elapsed().as_secs_f64();
        // The writers' errors first: a reader whose writer is gone knows only that.
        results.sort_by_key(|result| {
            result
                .as_ref()
                .is_err_and(|error| error.to_string() == GONE)
        });
        results.into_iter().collect::<Result<()>>()?;
        Ok(seconds)
    })
}

const GONE: &str = "the writing half has stopped";

fn read(
    source: &mut Connection,
    queue: &Mutex<VecDeque<Part>>,
    size: usize,
    sender: &SyncSender<Batch>,
) -> Result<()> {
    loop {
        let next = queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let Some(part) = next else {
            return Ok(());
        };
        let (mut messages, mut bytes) = (Vec::with_capacity(size), 0);
        let some = format!("FETCH {}:{}", part.first, part.last);
        fetch(source, &part.name, &some, |message| {
            bytes += message.body.len();
            messages.push(message);
            if messages.len() >= size || bytes >= BATCH_BYTES {
                bytes = 0;
                hand_over(sender, &part, std::mem::take(&mut messages))?;
            }
            Ok(())
        })?;
        if !messages.is_empty() {
            hand_over(sender, &part, messages)?;
        }
    }
}

fn hand_over(sender: &SyncSender<Batch>, part: &Part, messages: Vec<Message>) -> Result<()> {
    let folder = part.name.clone();
    sender
        .send(Batch { folder, messages })
        .map_err(|_| GONE.into())
}

fn write(destination: &mut Connection, receiver: &Receiver<Batch>) -> Result<()> {
    let together = destination.offers("MULTIAPPEND");
    while let Ok(batch) = receiver.recv() {
        let mut tags = Vec::new();
        let mut out = Vec::new();
        for message in &batch.messages {
            if tags.is_empty() || !together {
                let tag = destination.next_tag();
                write!(out, "{}APPEND ", String::from_utf8_lossy(&tag))?;
                out.write_all(&batch.folder)?;
                tags.push(tag);
            }
            out.write_all(b" (")?;
            out.write_all(&message.flags)?;
            out.write_all(b") ")?;
            out.write_all(&message.date)?;
            write!(out, " {{{}+}}\r\n", message.body.len())?;
            out.write_all(&message.body)?;
            if !together {
                out.write_all(b"\r\n")?;
            }
        }
        if together {
            out.write_all(b"\r\n")?;
        }
        destination.send(&out)?;
        for tag in tags {
            destination.finish(&tag)?;
        }
    }
    Ok(())
}

/// All messages of a folder, if there are any.
pub(super) const ALL: &str = "UID FETCH 1:*";

/// Streams messages of one folder.
pub(super) fn fetch(
    source: &mut Connection,
    folder: &[u8],
    of: &str,
    mut each: impl FnMut(Message) -> Result<()>,
) -> Result<()> {
    source.command(&[b"EXAMINE ", folder].concat())?;
    let command = format!("{of} (UID FLAGS INTERNALDATE BODY.PEEK[])");
    let tag = source.start(command.as_bytes())?;
    loop {
        let mut line = source.line()?;
        if line.starts_with(&tag) {
            if line
                .get(tag.len()..)
                .is_some_and(|rest| rest.starts_with(b"OK"))
            {
                return Ok(());
            }
            return Err(format!("refused: {}", String::from_utf8_lossy(&line).trim()).into());
        }
        if !line.starts_with(b"* ") {
            continue;
        }
        let Some(size) = literal_size(&line) else {
            continue;
        };
        let body = source.literal(size)?;
        line.extend(source.line()?);
        each(Message {
            flags: flags(between(&line, b"FLAGS (", b")").unwrap_or_default()),
            date: date(between(&line, b"INTERNALDATE \"", b"\"").unwrap_or_default())?,
            body,
        })?;
    }
}

/// Only what can be sent back: a server that refuses a flag reads the mail as commands.
fn flags(list: &[u8]) -> Vec<u8> {
    const SYSTEM: [&[u8]; 5] = [
        b"\\Seen",
        b"\\Answered",
        b"\\Flagged",
        b"\\Deleted",
        b"\\Draft",
    ];
    let keyword = |flag: &[u8]| {
        flag.iter()
            .all(|b| b.is_ascii_alphanumeric() || b"$_.-".contains(b))
    };
    let kept: Vec<&[u8]> = list
        .split(|&byte| byte == b' ')
        .filter(|flag| !flag.is_empty() && (SYSTEM.contains(flag) || keyword(flag)))
        .collect();
    kept.join(&b' ')
}

fn date(text: &[u8]) -> Result<Vec<u8>> {
    let fits = |b: &u8| b.is_ascii_alphanumeric() || b" +-:".contains(b);
    if text.len() != 26 || !text.iter().all(fits) {
        return Err(format!("date {:?}", String::from_utf8_lossy(text)).into());
    }
    Ok([b"\"", text, b"\""].concat())
}

fn between<'a>(line: &'a [u8], start: &[u8], end: &[u8]) -> Option<&'a [u8]> {
    let find = |text: &[u8], part: &[u8]| text.windows(part.len()).position(|at| at == part);
    let rest = line.get(find(line, start)? + start.len()..)?;
    rest.get(..find(rest, end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_in_one_part() {
        let side = Side {
            host: "",
            port: 0,
            user: "",
            password: "",
        };
        let mut replay = Replay {
            from: side,
            to: side,
            connections: 4,
            batch: 10,
            spread: true,
        };
        let folder = |name: &str, messages| Folder {
            name: name.into(),
            messages,
        };
        let folders = [folder("a", 0), folder("b", 15), folder("c", 1001)];
        let parts = |replay: &Replay<'_>| -> Vec<(Vec<u8>, u64, u64)> {
            let parts = replay.parts(&folders).into_iter();
            let mut parts: Vec<_> = parts.map(|one| (one.name, one.first, one.last)).collect();
            parts.sort();
            parts
        };
        let named = |name: &str, first, last| (name.as_bytes().to_vec(), first, last);
        let expected = vec![
            named("b", 1, 10),
            named("b", 11, 15),
            named("c", 1, 251),
            named("c", 252, 502),
            named("c", 503, 753),
            named("c", 754, 1001),
        ];
        assert_eq!(parts(&replay), expected);
        replay.spread = false;
        assert_eq!(parts(&replay), [named("b", 1, 15), named("c", 1, 1001)]);
    }
}
