//! The same requests once more, as fast as sockets can.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use mailmove_benches::measure::Result;

use crate::record::{Asked, Recorded, whole};

/// How long the message of HTTP is that begins here, if its header is complete.
pub(crate) fn message_len(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(bytes.get(..head).unwrap_or_default()).into_owned();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().to_owned())
    });
    let length = length.map_or(Ok(0), |length| length.parse::<usize>())?;
    Ok(Some(head + 4 + length))
}

/// How many items of a reply tell that something was refused, such as folders that are not there.
pub(crate) fn refusals(reply: &[u8]) -> usize {
    const REFUSED: &[u8] = b"ResponseClass=\"Error\"";
    let all = reply.windows(REFUSED.len());
    all.filter(|at| *at == REFUSED).count()
}

/// Which requests were answered, by their places in the recording.
#[derive(Debug)]
struct Answered {
    done: Mutex<(Vec<bool>, usize)>,
    changed: Condvar,
}

impl Answered {
    fn note(&self, place: usize) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = done.0.get_mut(place) {
            *slot = true;
        }
        while done.0.get(done.1) == Some(&true) {
            done.1 += 1;
        }
        self.changed.notify_all();
    }

    /// Nobody shall wait any more: one failed, and what depends on it would never come.
    fn give_up(&self) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).1 = usize::MAX;
        self.changed.notify_all();
    }

    /// Until the first `count` ones were.
    fn wait(&self, count: usize) {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_while(done, |done| done.1 < count);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Sends each request as soon as those are answered that were answered before it in the recording, and
/// reads its answer; the seconds from the first connection to the last answer.
///
/// # Errors
/// If the server refuses one.
pub(crate) fn run(recorded: &Recorded, server: SocketAddr) -> Result<f64> {
    let places = recorded.asked.len();
    let answered = Answered {
        done: Mutex::new((vec![false; places], 0)),
        changed: Condvar::new(),
    };
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..recorded.connections())
            .map(|connection| {
                let mine = recorded
                    .asked
                    .iter()
                    .filter(move |asked| asked.connection == connection);
                let answered = &answered;
                scope.spawn(move || {
                    let done = one(mine, server, answered);
                    if done.is_err() {
                        answered.give_up();
                    }
                    done
                })
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(begun.elapsed().as_secs_f64())
    })
}

fn one<'a>(
    mine: impl Iterator<Item = &'a Asked>,
    server: SocketAddr,
    answered: &Answered,
) -> Result<()> {
    let mut stream = None;
    for asked in mine {
        answered.wait(asked.after);
        let stream = match &mut stream {
            Some(stream) => stream,
            none => {
                let opened = TcpStream::connect(server)?;
                opened.set_nodelay(true)?;
                none.insert(opened)
            }
        };
        stream.write_all(&asked.bytes)?;
        let reply = whole(stream)?.ok_or("the server hung up")?;
        let place = asked
            .answered
            .ok_or("a request was not answered when it was recorded")?;
        answered.note(place);
        if refusals(&reply) != asked.refusals {
            return Err("the server refuses what it took when it was recorded".into());
        }
    }
    Ok(())
}
