//! One connection of the proxy.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use tokio_util::sync::CancellationToken;

use super::{Armed, Fault, Shared, State, Trip, Tripped, Way};

/// What both directions of a connection share.
struct Link {
    shared: Arc<Shared>,
    number: u64,
    passed: [AtomicU64; 2],
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

pub(super) async fn connection(
    client: TcpStream,
    server: TcpStream,
    shared: Arc<Shared>,
    number: u64,
) {
    // Without it, small packets wait for each other and the order of both directions blurs.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let link = Arc::new(Link {
        shared,
        number,
        passed: Default::default(),
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
    // The end of what was looked at, in which words may have begun.
    let mut heard = Vec::new();
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
        link.listen(way, &mut heard, bytes);
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
                Fault::Pause(time) => tokio::time::sleep(time).await,
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
    /// Looks for words that faults wait for.
    fn listen(&self, way: Way, heard: &mut Vec<u8>, bytes: &[u8]) {
        let mut state = self.shared.state();
        if state.cues.iter().all(|cue| cue.way != way) {
            // Whoever arms one later means what comes later.
            heard.clear();
            return;
        }
        let before = heard.len();
        heard.extend_from_slice(bytes);
        let passed = self.own(way).load(Ordering::Relaxed);
        let mut due = Vec::new();
        let mut longest = 0;
        state.cues.retain_mut(|cue| {
            if cue.way != way || cue.words.is_empty() {
                return cue.way != way;
            }
            longest = longest.max(cue.words.len());
            let said = heard.windows(cue.words.len()).enumerate();
            // Words that ended before this piece were counted with an earlier one.
            let said = said
                .filter(|(at, words)| *words == cue.words.as_slice() && at + words.len() > before);
            for (at, _) in said {
                cue.nth = cue.nth.saturating_sub(1);
                if cue.nth == 0 {
                    let begun = (passed + at as u64).saturating_sub(before as u64);
                    due.push(Armed {
                        trip: Trip::new(way, begun + cue.after, cue.fault),
                        on: Some(self.number),
                    });
                    return false;
                }
            }
            true
        });
        state.trips.extend(due);
        let keep = heard.len().min(longest.saturating_sub(1));
        heard.drain(..heard.len() - keep);
    }

    fn own(&self, way: Way) -> &AtomicU64 {
        let [up, down] = &self.passed;
        match way {
            Way::ToServer => up,
            Way::ToClient => down,
        }
    }

    /// Counts the bytes up to the next fault, and makes it happen.
    fn step(&self, way: Way, bytes: &[u8]) -> Step {
        let mut state = self.shared.state();
        let (all, own) = (*state.passed(way), self.own(way).load(Ordering::Relaxed));
        // How many bytes are left before it happens.
        let left = |armed: &Armed| match armed.on {
            None => Some(armed.trip.after.saturating_sub(all)),
            Some(number) if number == self.number => Some(armed.trip.after.saturating_sub(own)),
            Some(_) => None,
        };
        let next = state
            .trips
            .iter()
            .enumerate()
            .filter(|(_, armed)| armed.trip.way == way)
            .filter_map(|(at, armed)| Some((left(armed)?, at)))
            .min();
        let due = |left: u64| left <= bytes.len() as u64;
        let scheduled = state.scheduled(way).filter(|(left, _)| due(*left));
        let (left, trip) = match (next.filter(|(left, _)| due(*left)), scheduled) {
            (Some((left, at)), scheduled) if scheduled.is_none_or(|(later, _)| left <= later) => {
                (left, state.trips.swap_remove(at).trip)
            }
            (_, Some(scheduled)) => {
                state.draw_next();
                scheduled
            }
            _ => {
                self.pass(&mut state, way, bytes);
                return Step::Pass;
            }
        };
        state.happened += 1;
        let now = usize::try_from(left).unwrap_or(bytes.len());
        let head = bytes.get(..now).unwrap_or(bytes);
        self.pass(&mut state, way, head);
        drop(state);
        match trip.fault {
            Fault::Cut => self.cut.cancel(),
            Fault::Reset => self.reset.cancel(),
            Fault::Stall => self.stalled.cancel(),
            Fault::HalfClose | Fault::Corrupt | Fault::Trickle | Fault::Pause(_) => {}
        }
        Step::Fault(head.len(), trip)
    }

    fn pass(&self, state: &mut State, way: Way, bytes: &[u8]) {
        *state.passed(way) += bytes.len() as u64;
        self.own(way)
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
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
