//! Ctrl-C and SIGTERM: once ends in order, twice at once.

use mailmove_core::Stop;

use crate::{exit::Exit, progress::Progress};

/// Watches for signals until the program ends. The first one says `text`.
pub(crate) fn watch(stop: Stop, progress: Progress, text: &'static str) {
    tokio::spawn(async move {
        let Some(mut signals) = Signals::new() else {
            // The system's own way stays: the program ends at once, which loses nothing either.
            return;
        };
        signals.next().await;
        stop.request();
        progress.say(text);
        signals.next().await;
        // What is in doubt now was recorded before it was sent; the next run settles it.
        progress.finish();
        std::process::exit(i32::from(Exit::Interrupted as u8));
    });
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Option<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Some(Self {
            interrupt: signal(SignalKind::interrupt()).ok()?,
            terminate: signal(SignalKind::terminate()).ok()?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> Option<Self> {
        tokio::signal::windows::ctrl_c().ok().map(Self)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}
