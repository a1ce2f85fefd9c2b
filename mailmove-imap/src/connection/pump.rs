//! Moving bytes in both directions at once.

use std::{
    collections::VecDeque,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::{Buf as _, Bytes};
use mailmove_core::error::{Error, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWrite as _},
    time::Instant,
};

use super::{Connection, DIRECT};
use crate::error;

/// How much is read at a time.
const READ: usize = 64 << 10;
/// Body octets read at a time.
const READ_BODY: usize = 256 << 10;
/// Answers that pile up unread while we write; far more than any of our pipelines can bring.
const INPUT_MAX: usize = 32 << 20;

/// What one step of I/O moved.
#[derive(Default)]
pub(super) struct Moved {
    bytes: usize,
    end: bool,
}

impl Connection {
    /// One step of I/O in both directions: writes from the buffer, then from `direct`, and reads.
    pub(super) async fn step(&mut self, direct: &mut Bytes) -> Result<()> {
        if self.dead {
            return Err(error::closed(self.bye.as_ref()));
        }
        self.rearm();
        let begun = Instant::now();
        let moved = std::future::poll_fn(|context| self.poll_step(context, direct)).await;
        if let Ok(moved) = &moved {
            let measured = self
                .measure
                .waited(begun.elapsed(), moved.bytes, self.patience);
            measured.inspect_err(|_| self.dead = true)?;
        }
        match moved {
            Ok(moved) if moved.end => {
                let error = self.lost(None);
                // Answers that came with the end are still to be taken.
                if self.held.is_empty() {
                    Err(error)
                } else {
                    Ok(())
                }
            }
            Ok(moved) => {
                if moved.bytes > 0 {
                    let passed = self.transport.take_passed(moved.bytes);
                    self.bandwidth.pass(passed).await;
                }
                Ok(())
            }
            Err(failure) if failure.kind() == io::ErrorKind::TimedOut => {
                self.dead = true;
                Err(error::silent(self.patience))
            }
            Err(failure) => Err(self.lost(Some(failure))),
        }
    }

    fn poll_step(
        &mut self,
        context: &mut Context<'_>,
        direct: &mut Bytes,
    ) -> Poll<io::Result<Moved>> {
        let mut moved = Moved::default();
        self.poll_write(context, direct, &mut moved)?;
        if self.input.len() < INPUT_MAX {
            self.poll_read(context, &mut moved)?;
        }
        if moved.bytes > 0 || moved.end {
            return Poll::Ready(Ok(moved));
        }
        match self.stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    pub(super) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        direct: &mut Bytes,
        moved: &mut Moved,
    ) -> io::Result<()> {
        loop {
            let gathered = !self.output.is_empty();
            let bytes: &[u8] = if gathered { &self.output } else { direct };
            if bytes.is_empty() {
                break;
            }
            match Pin::new(&mut self.transport).poll_write(context, bytes) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.unflushed = true;
                    moved.bytes += count;
                    if gathered {
                        self.output.advance(count);
                    } else {
                        direct.advance(count);
                    }
                }
                Poll::Ready(Err(failure)) => return Err(failure),
                Poll::Pending => return Ok(()),
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.transport).poll_flush(context) {
                Poll::Ready(flushed) => {
                    flushed?;
                    self.unflushed = false;
                }
                Poll::Pending => {}
            }
        }
        Ok(())
    }

    fn poll_read(&mut self, context: &mut Context<'_>, moved: &mut Moved) -> io::Result<()> {
        let wanted = self.framer.wanted(self.input.len());
        if self.input.capacity() - self.input.len() < DIRECT {
            self.input.reserve(wanted.clamp(READ, READ_BODY));
        }
        let read = pin!(self.transport.read_buf(&mut self.input)).poll(context);
        match read {
            Poll::Ready(Ok(0)) => moved.end = true,
            Poll::Ready(Ok(count)) => moved.bytes += count,
            Poll::Ready(Err(failure)) => return Err(failure),
            Poll::Pending => {}
        }
        Ok(())
    }

    /// The connection is lost: takes what the server still said, and tells why.
    fn lost(&mut self, cause: Option<io::Error>) -> Error {
        self.salvage();
        self.dead = true;
        match cause {
            Some(cause) if self.bye.is_none() => error::io(cause),
            _ => error::closed(self.bye.as_ref()),
        }
    }

    /// Reads and sorts what has arrived, without waiting.
    pub(super) fn salvage(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        while self.input.len() < INPUT_MAX {
            let mut moved = Moved::default();
            let read = self.poll_read(&mut context, &mut moved);
            if read.is_err() || moved.end {
                self.dead = true;
            }
            if read.is_err() || moved.bytes == 0 {
                break;
            }
        }
        let mut found = VecDeque::new();
        while let Ok(Some(incoming)) = self.ready() {
            found.push_back(incoming);
        }
        self.held = found;
    }
}
