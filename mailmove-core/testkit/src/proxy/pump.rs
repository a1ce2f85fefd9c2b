//! One connection of the proxy.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use tokio_util::sync::CancellationToken;

use super::{Fault, Shared, State, Trip, Tripped, Way};

/// What both directions of a connection share.
struct Link {
    shared: Arc<Shared>,
    /// The client is to be dropped, and the server to be let finish.
    cut: CancellationToken,
    /// Nothing passes any more.
    stalled: CancellationToken,
    reset: CancellationToken,
    sent: Mutex<Vec<u8>>,
}

/// What to do with the bytes that were read.
enum Step {
    /// Pass so many on, then this happens.
    Fault(usize, Trip),
    /// Pass all of them on.
    Pass,
}

pub(super) async fn connection(client: TcpStream, server: TcpStream, shared: Arc<Shared>) {
    // Without it, small packets wait for each other and the order of both directions blurs.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let link = Arc::new(Link {
        shared,
        cut: CancellationToken::new(),
        stalled: CancellationToken::new(),
        reset: CancellationToken::new(),
        sent: Mutex::default(),
    });
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = tokio::spawn(way(
        Arc::clone(&link),
        Way::ToServer,
        from_client,
        to_server,
    ));
    let down = way(Arc::clone(&link), Way::ToClient, from_server, to_client).await;
    let up = up.await.ok();
    if link.reset.is_cancelled() {
        // Closing with this set sends a reset instead of an end.
        if let (Some((from_client, to_server)), (from_server, to_client)) = (up, down) {
            for whole in [
                from_client.reunite(to_client).ok(),
                from_server.reunite(to_server).ok(),
            ] {
                let _ = whole.map(|stream| stream.set_zero_linger());
            }
        }
        return;
    }
    if link.cut.is_cancelled() {
        drop(down.1);
        if let Some((from_client, mut to_server)) = up {
            drop(from_client);
            let _ = to_server.shutdown().await;
            // To close with unread answers would reset the connection, and take from the server
            // what it did not read yet.
            drain(down.0, &link.shared.closed).await;
        }
    }
}

async fn drain(mut from: OwnedReadHalf, closed: &CancellationToken) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            () = closed.cancelled() => return,
            read = from.read(&mut buffer) => if !matches!(read, Ok(1..)) { return },
        }
    }
}

/// Carries one direction until it ends or breaks.
async fn way(
    link: Arc<Link>,
    way: Way,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
) -> (OwnedReadHalf, OwnedWriteHalf) {
    let mut buffer = vec![0; 64 * 1024];
    let (mut trickle, mut corrupt) = (false, false);
    loop {
        let read = tokio::select! {
            // What is broken carries nothing more, whatever has arrived.
            biased;
            () = link.cut.cancelled() => break,
            () = link.reset.cancelled() => break,
            () = link.shared.closed.cancelled() => break,
            () = link.stalled.cancelled() => {
                link.shared.closed.cancelled().await;
                break;
            }
            read = from.read(&mut buffer) => read,
        };
        let Some(mut bytes) = read.ok().and_then(|len| buffer.get(..len)) else {
            break;
        };
        if bytes.is_empty() {
            let _ = to.shutdown().await;
            break;
        }
        while !bytes.is_empty() {
            let (now, trip) = match link.step(way, bytes) {
                Step::Pass => (bytes.len(), None),
                Step::Fault(now, trip) => (now, Some(trip)),
            };
            let (head, tail) = bytes.split_at(now);
            bytes = tail;
            let mut head = head.to_vec();
            if let Some(first) = head.first_mut().filter(|_| std::mem::take(&mut corrupt)) {
                *first ^= 0x55;
            }
            if write(&mut to, &head, trickle).await.is_err() {
                return (from, to);
            }
            let Some(trip) = trip else { continue };
            link.announce(trip);
            match trip.fault {
                Fault::Trickle => trickle = true,
                Fault::Corrupt => corrupt = true,
                Fault::HalfClose => {
                    let _ = to.shutdown().await;
                    return (from, to);
                }
                Fault::Cut | Fault::Reset | Fault::Stall => break,
            }
        }
    }
    (from, to)
}

async fn write(to: &mut OwnedWriteHalf, bytes: &[u8], trickle: bool) -> std::io::Result<()> {
    if !trickle {
        return to.write_all(bytes).await;
    }
    for byte in bytes {
        to.write_all(std::slice::from_ref(byte)).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

impl Link {
    /// Counts the bytes up to the next fault, and makes it happen.
    fn step(&self, way: Way, bytes: &[u8]) -> Step {
        let mut state = self.shared.state();
        let passed = *state.passed(way);
        let end = passed + bytes.len() as u64;
        let next = state
            .trips
            .iter()
            .enumerate()
            .filter(|(_, trip)| trip.way == way && trip.after <= end)
            .min_by_key(|(_, trip)| trip.after)
            .map(|(at, _)| at);
        let Some(at) = next else {
            self.pass(&mut state, way, bytes);
            return Step::Pass;
        };
        let trip = state.trips.swap_remove(at);
        state.happened += 1;
        let now = usize::try_from(trip.after.saturating_sub(passed)).unwrap_or(bytes.len());
        let head = bytes.get(..now).unwrap_or(bytes);
        self.pass(&mut state, way, head);
        drop(state);
        match trip.fault {
            Fault::Cut => self.cut.cancel(),
            Fault::Reset => self.reset.cancel(),
            Fault::Stall => self.stalled.cancel(),
            Fault::HalfClose | Fault::Corrupt | Fault::Trickle => {}
        }
        Step::Fault(head.len(), trip)
    }

    fn pass(&self, state: &mut State, way: Way, bytes: &[u8]) {
        *state.passed(way) += bytes.len() as u64;
        if let Some(transcript) = &mut state.transcript {
            transcript.push((way, bytes.to_vec()));
            if way == Way::ToServer {
                self.sent().extend_from_slice(bytes);
            }
        }
    }

    fn sent(&self) -> MutexGuard<'_, Vec<u8>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that it happened, once the bytes before it were passed on.
    fn announce(&self, trip: Trip) {
        self.shared.happened.send_replace(Some(Tripped {
            way: trip.way,
            fault: trip.fault,
            sent: self.sent().clone(),
        }));
    }
}
