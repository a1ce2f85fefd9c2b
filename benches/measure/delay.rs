//! A TCP proxy that makes a connection on loopback as slow to answer as one over a distance, and
//! counts what passes.
//!
//! What comes in is noted with its time and goes out one way's delay later: nothing waits for anything
//! else, so any amount may be on its way (up to [`IN_FLIGHT`] bytes each way) and the rate is that of
//! loopback. Opening a connection takes a round trip too, as TCP's handshake does.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Result;

/// Bytes on their way in one direction of a connection before the sender has to wait: 400 MB/s at
/// 150 ms.
pub const IN_FLIGHT: usize = 64 << 20;

/// What passed through a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "used in this workspace alone")]
pub struct Passed {
    /// Connections that clients opened.
    pub connections: u64,
    /// Bytes that clients sent.
    pub to_server: u64,
    /// Bytes that servers sent.
    pub to_client: u64,
    /// How often clients sent something after they had got something since they sent last, added up over
    /// all connections.
    pub turns: u64,
    /// The most of them on one connection. With the one of its opening, that many round trips one after
    /// the other at least.
    pub most_turns: u64,
}

/// A running proxy; it ends when dropped.
#[derive(Debug)]
pub struct DelayProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    one_way: Duration,
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    passed: Passed,
    sockets: Vec<TcpStream>,
}

impl DelayProxy {
    /// Listens on a free port of 127.0.0.1, and connects each client to `to`.
    ///
    /// # Errors
    /// If no port can be had.
    pub fn start(to: SocketAddr, round_trip: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            to,
            one_way: round_trip / 2,
            closed: AtomicBool::new(false),
            state: Mutex::default(),
        });
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || listen(&listener, &shared)
        });
        Ok(Self {
            address,
            shared,
            listener: Some(thread),
        })
    }

    /// The port that clients connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What passed so far, or since it was asked last.
    #[must_use]
    pub fn passed(&self) -> Passed {
        std::mem::take(&mut self.shared.state().passed)
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        for socket in &self.shared.state().sockets {
            let _ = socket.shutdown(Shutdown::Both);
        }
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.listener.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.closed.load(Ordering::Relaxed) {
            return;
        }
        let Ok(client) = client else { continue };
        let shared = Arc::clone(shared);
        // Each connection ends by itself, at the latest when the proxy shuts its sockets.
        std::thread::spawn(move || {
            // Whoever is cut off sees it.
            let _ = connection(client, &shared);
        });
    }
}

fn connection(client: TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    let opened = Instant::now();
    // The handshake: the client may send after one round trip, and with its third packet half a round
    // trip later the server knows of it.
    let usable = opened + 2 * shared.one_way;
    std::thread::sleep(3 * shared.one_way);
    let server = TcpStream::connect(shared.to)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    {
        let mut state = shared.state();
        state.passed.connections += 1;
        state.sockets.push(client.try_clone()?);
        state.sockets.push(server.try_clone()?);
    }
    let turns = Arc::new(Mutex::new(Turns::default()));
    let up = Way {
        shared: Arc::clone(shared),
        turns: Arc::clone(&turns),
        to_server: true,
        not_before: usable,
    };
    let down = Way {
        to_server: false,
        shared: Arc::clone(shared),
        turns,
        ..up
    };
    let (client_too, server_too) = (client.try_clone()?, server.try_clone()?);
    let upwards = std::thread::spawn(move || up.carry(client, server));
    down.carry(server_too, client_too);
    let _ = upwards.join();
    Ok(())
}

/// Whose turn it is on a connection.
#[derive(Debug, Default)]
struct Turns {
    heard: bool,
    count: u64,
}

struct Way {
    shared: Arc<Shared>,
    turns: Arc<Mutex<Turns>>,
    to_server: bool,
    not_before: Instant,
}

impl Way {
    fn carry(&self, mut from: TcpStream, to: TcpStream) {
        let line = Arc::new(Line::default());
        let writer = std::thread::spawn({
            let line = Arc::clone(&line);
            let turns = (!self.to_server).then(|| Arc::clone(&self.turns));
            move || line.deliver(to, turns.as_deref())
        });
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            let Some(bytes) = buffer.get(..len) else {
                break;
            };
            self.count(len as u64);
            let sent = Instant::now().max(self.not_before);
            line.send(sent + self.shared.one_way, bytes.to_vec());
        }
        line.send(Instant::now() + self.shared.one_way, Vec::new());
        let _ = writer.join();
    }

    fn count(&self, bytes: u64) {
        let mut state = self.shared.state();
        let passed = &mut state.passed;
        if !self.to_server {
            passed.to_client += bytes;
            return;
        }
        passed.to_server += bytes;
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut turns.heard) {
            turns.count += 1;
            passed.turns += 1;
            passed.most_turns = passed.most_turns.max(turns.count);
        }
    }
}

/// What is on its way.
#[derive(Debug, Default)]
struct Line {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    broken: bool,
}

impl Line {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        let changed = self.changed.wait(queue);
        changed.unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, due: Instant, bytes: Vec<u8>) {
        let mut queue = self.queue();
        while queue.bytes >= IN_FLIGHT && !queue.broken {
            queue = self.wait(queue);
        }
        queue.bytes += bytes.len();
        queue.pieces.push_back((due, bytes));
        drop(queue);
        self.changed.notify_all();
    }

    /// Writes each piece when it is due, until an empty one: the end.
    fn deliver(&self, mut to: TcpStream, turns: Option<&Mutex<Turns>>) {
        loop {
            let mut queue = self.queue();
            let (due, bytes) = loop {
                match queue.pieces.pop_front() {
                    Some(piece) => break piece,
                    None => queue = self.wait(queue),
                }
            };
            queue.bytes -= bytes.len();
            drop(queue);
            self.changed.notify_all();
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if bytes.is_empty() {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
            if let Some(turns) = turns {
                let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
                turns.heard = true;
            }
            if to.write_all(&bytes).is_err() {
                let mut queue = self.queue();
                queue.broken = true;
                let ended = queue.pieces.iter().any(|(_, bytes)| bytes.is_empty());
                queue.pieces.clear();
                if ended {
                    return;
                }
                drop(queue);
                self.changed.notify_all();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                std::thread::spawn(move || {
                    socket.write_all(b"hello").unwrap();
                    let mut writer = socket.try_clone().unwrap();
                    let _ = std::io::copy(&mut socket, &mut writer);
                    let _ = writer.shutdown(Shutdown::Write);
                });
            }
        });
        address
    }

    #[test]
    fn an_answer_takes_a_round_trip_and_is_counted() {
        let proxy = DelayProxy::start(echo(), Duration::from_millis(40)).unwrap();
        let start = Instant::now();
        let mut socket = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let mut five = [0; 5];
        socket.read_exact(&mut five).unwrap();
        // Handshake, its last packet, the greeting.
        assert!(start.elapsed() >= Duration::from_millis(80));
        for _ in 0..3 {
            let start = Instant::now();
            socket.write_all(b"12345").unwrap();
            socket.read_exact(&mut five).unwrap();
            assert!(start.elapsed() >= Duration::from_millis(40));
        }
        socket.shutdown(Shutdown::Write).unwrap();
        assert_eq!(socket.read(&mut five).unwrap(), 0);
        let passed = proxy.passed();
        let (to_server, to_client) = (passed.to_server, passed.to_client);
        assert_eq!((passed.connections, to_server, to_client), (1, 15, 20));
        assert_eq!((passed.turns, passed.most_turns), (3, 3));
    }

    #[test]
    fn much_may_be_on_its_way() {
        const BYTES: usize = 8 << 20;
        let proxy = DelayProxy::start(echo(), Duration::from_millis(200)).unwrap();
        let start = Instant::now();
        let mut socket = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let mut reader = socket.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            socket.write_all(&vec![7; BYTES]).unwrap();
            socket.shutdown(Shutdown::Write).unwrap();
        });
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        writer.join().unwrap();
        assert_eq!(all.len(), BYTES + 5);
        // With 64 KiB on their way it would be 26 s; a second is what it takes.
        assert!(start.elapsed() < Duration::from_secs(20));
        assert_eq!(proxy.passed().to_server, BYTES as u64);
    }
}
