//! Streams written as straight code, for adapters.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_core::Stream;

use crate::source::BoxStream;

/// Runs `body` as a stream: what it hands to [`Out::send`] are the items. It runs only while the
/// stream is polled and ends when the stream is dropped, so nothing is sent to a server that
/// nobody waits for, and no task is spawned. Dropping the stream drops `body` where it waits.
pub fn generate<T, F>(body: impl FnOnce(Out<T>) -> F) -> BoxStream<T>
where
    T: Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let slot = Arc::new(Mutex::new(None));
    let out = Out(Arc::clone(&slot));
    Box::pin(Generator {
        slot,
        body: Some(Box::pin(body(out))),
    })
}

/// Where a [`generate`] body puts its items.
#[derive(Debug)]
pub struct Out<T>(Arc<Mutex<Option<T>>>);

impl<T> Out<T> {
    /// Hands over one item; goes on once it was taken and the next is wanted.
    pub async fn send(&self, item: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(item);
        let mut handed = false;
        std::future::poll_fn(|_| {
            // The stream takes the item after this poll, and polls again when the next is wanted.
            if std::mem::replace(&mut handed, true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// The same for several, one after the other.
    pub async fn send_all(&self, items: impl IntoIterator<Item = T>) {
        for item in items {
            self.send(item).await;
        }
    }
}

struct Generator<T> {
    slot: Arc<Mutex<Option<T>>>,
    body: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<T> Stream for Generator<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let done = body.as_mut().poll(context).is_ready();
        if done {
            self.body = None;
        }
        let item = self
            .slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match (item, done) {
            (Some(item), _) => Poll::Ready(Some(item)),
            (None, true) => Poll::Ready(None),
            (None, false) => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn items_come_in_order_and_the_body_waits_for_the_reader() {
        let ran = Arc::new(Mutex::new(0));
        let count = Arc::clone(&ran);
        let mut stream = generate(|out| async move {
            for n in 0..3 {
                *count.lock().unwrap() += 1;
                out.send(n).await;
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(*ran.lock().unwrap(), 0);
        assert_eq!(stream.next().await, Some(0));
        assert_eq!(*ran.lock().unwrap(), 1);
        assert_eq!(stream.collect::<Vec<_>>().await, [1, 2]);
        assert_eq!(*ran.lock().unwrap(), 3);
    }
}
