//! A relay that remembers what a client asked, on which connection, and what it had heard by then.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mailmove_benches::measure::Result;

use crate::replay::{message_len, refusals};

/// A request.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) connection: usize,
    pub(crate) bytes: Vec<u8>,
    /// So many requests had been answered when it was begun; it may have come of them.
    pub(crate) after: usize,
    /// In which place it was answered itself.
    pub(crate) answered: Option<usize>,
    /// How much of it was refused.
    pub(crate) refusals: usize,
}

#[derive(Debug, Default)]
struct State {
    asked: Vec<Asked>,
    answered: usize,
    connections: usize,
}

/// All requests, in the order in which they were begun.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) asked: Vec<Asked>,
}

impl Recorded {
    pub(crate) fn requests(&self) -> usize {
        self.asked.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.asked.iter().map(|asked| asked.bytes.len()).sum()
    }

    pub(crate) fn connections(&self) -> usize {
        let all = self.asked.iter().map(|asked| asked.connection + 1);
        all.max().unwrap_or(0)
    }
}

/// Between a client and a server.
pub(crate) struct Recorder {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder {
    /// Its threads end with the connections; the one that listens, with the program.
    pub(crate) fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(std::io::Result::ok) {
                let state = Arc::clone(&shared);
                // What breaks off breaks off for the client, too.
                std::thread::spawn(move || relay(&state, client, server).ok());
            }
        });
        Ok(Self { state, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked by now.
    pub(crate) fn finish(self) -> Recorded {
        let asked = std::mem::take(&mut lock(&self.state).asked);
        Recorded { asked }
    }
}

/// Request by request: a client of HTTP/1.1 that does not send ahead.
fn relay(state: &Mutex<State>, mut client: TcpStream, server: SocketAddr) -> Result<()> {
    let mut server = TcpStream::connect(server)?;
    let connection = {
        let mut state = lock(state);
        state.connections += 1;
        state.connections - 1
    };
    while let Some(bytes) = whole(&mut client)? {
        let number = {
            let mut state = lock(state);
            let after = state.answered;
            state.asked.push(Asked {
                connection,
                bytes: bytes.clone(),
                after,
                answered: None,
                refusals: 0,
            });
            state.asked.len() - 1
        };
        server.write_all(&bytes)?;
        let Some(reply) = whole(&mut server)? else {
            break;
        };
        let place = {
            let mut state = lock(state);
            state.answered += 1;
            state.answered - 1
        };
        if let Some(asked) = lock(state).asked.get_mut(number) {
            asked.answered = Some(place);
            asked.refusals = refusals(&reply);
        }
        client.write_all(&reply)?;
    }
    Ok(())
}

/// A whole message; none if the connection ended.
pub(crate) fn whole(stream: &mut TcpStream) -> Result<Option<Vec<u8>>> {
    let mut all = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        if message_len(&all)? == Some(all.len()) {
            return Ok(Some(all));
        }
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(None);
        }
        all.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
}
