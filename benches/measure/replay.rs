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
        fetch(source, &folder.name, |message| {
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
    // The largest first: what is begun last should be short.
    let mut order: Vec<Folder> = folders.to_vec();
    order.sort_by_key(|folder| std::cmp::Reverse(folder.messages));
    let queue = Mutex::new(VecDeque::from(order));
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
    queue: &Mutex<VecDeque<Folder>>,
    size: usize,
    sender: &SyncSender<Batch>,
) -> Result<()> {
    loop {
        let next = queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let Some(folder) = next else {
            return Ok(());
        };
        let (mut messages, mut bytes) = (Vec::with_capacity(size), 0);
        fetch(source, &folder.name, |message| {
            bytes += message.body.len();
            messages.push(message);
            if messages.len() >= size || bytes >= BATCH_BYTES {
                bytes = 0;
                hand_over(sender, &folder, std::mem::take(&mut messages))?;
            }
            Ok(())
        })?;
        if !messages.is_empty() {
            hand_over(sender, &folder, messages)?;
        }
    }
}

fn hand_over(sender: &SyncSender<Batch>, folder: &Folder, messages: Vec<Message>) -> Result<()> {
    let folder = folder.name.clone();
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

/// Streams one folder.
pub(super) fn fetch(
    source: &mut Connection,
    folder: &[u8],
    mut each: impl FnMut(Message) -> Result<()>,
) -> Result<()> {
    source.command(&[b"EXAMINE ", folder].concat())?;
    let tag = source.start(b"UID FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])")?;
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
