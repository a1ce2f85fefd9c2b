//! Shows what happens: bars on a terminal, lines elsewhere, or JSON.

use std::{
    collections::HashMap,
    io::IsTerminal as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mailmove_core::{
    Event, Observer,
    model::{FolderPath, Timestamp},
    observe::Direction,
};

use crate::{
    meter::{Amount, Meter, duration},
    output::{self, clean, count},
};

/// How events are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// One JSON object a line, on standard output.
    Json,
    /// Bars that move.
    Bars,
    /// A line now and then.
    Lines,
    /// Not at all.
    Quiet,
}

impl Style {
    pub(crate) fn choose(json: bool, quiet: bool) -> Self {
        match (json, quiet) {
            (true, _) => Self::Json,
            (_, true) => Self::Quiet,
            _ if std::io::stderr().is_terminal() => Self::Bars,
            _ => Self::Lines,
        }
    }
}

/// Folders with a bar of their own at once; more would not fit on small terminals.
const MOST_BARS: usize = 8;

/// Time between two lines.
const PAUSE: Duration = Duration::from_secs(5);

/// Shows events. Cheap to clone; clones draw on the same screen.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    style: Style,
    started: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    meter: Meter,
    screen: Option<Screen>,
    last_line: Option<Duration>,
    last_note: Option<(Duration, String)>,
}

#[derive(Debug)]
struct Screen {
    bars: MultiProgress,
    all: ProgressBar,
    folders: HashMap<FolderPath, ProgressBar>,
}

impl Progress {
    pub(crate) fn new(style: Style) -> Self {
        Self(Arc::new(Inner {
            style,
            started: Instant::now(),
            state: Mutex::default(),
        }))
    }

    /// Says something beside the progress.
    pub(crate) fn say(&self, text: &str) {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        print(&state, text);
    }

    /// Takes the bars away; what comes next is printed on a clean screen.
    pub(crate) fn finish(&self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(screen) = state.screen.take() {
            for bar in screen.folders.values() {
                bar.finish_and_clear();
            }
            screen.all.finish_and_clear();
            let _ = screen.bars.clear();
        }
    }
}

impl Observer for Progress {
    fn on(&self, event: &Event) {
        let inner = &*self.0;
        match inner.style {
            Style::Json => return output::json(event),
            Style::Quiet => return,
            Style::Bars | Style::Lines => {}
        }
        let now = inner.started.elapsed();
        let mut state = inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.meter.take(event, now);
        if let Some(text) = words(event) {
            // A server that refuses again and again says so often; people want it once.
            let repeated = state
                .last_note
                .as_ref()
                .is_some_and(|(at, last)| *last == text && now.saturating_sub(*at) < PAUSE);
            if !repeated {
                print(&state, &text);
                state.last_note = Some((now, text));
            }
        }
        if inner.style == Style::Bars {
            state.draw(event, now);
        } else {
            state.line(event, now);
        }
    }
}

/// Above the bars, if there are any.
fn print(state: &State, text: &str) {
    match &state.screen {
        Some(screen) => {
            let _ = screen.bars.println(text);
        }
        None => output::notice(text),
    }
}

impl State {
    fn line(&mut self, event: &Event, now: Duration) {
        if !matches!(event, Event::Progress { .. }) {
            return;
        }
        let due = self
            .last_line
            .is_none_or(|last| now.saturating_sub(last) >= PAUSE);
        if due {
            let pace = self.meter.pace(now);
            let comma = if pace.is_empty() { "" } else { ", " };
            output::notice(&format!("{}{comma}{pace}", self.meter.all.text()));
            self.last_line = Some(now);
        }
    }

    fn draw(&mut self, event: &Event, now: Duration) {
        if let Event::Mapped { .. } = event {
            let bars = MultiProgress::new();
            let all = bars.add(bar(self.meter.all.of));
            all.set_prefix("all folders");
            self.screen = Some(Screen {
                bars,
                all,
                folders: HashMap::new(),
            });
        }
        let Some(screen) = &mut self.screen else {
            return;
        };
        match event {
            Event::FolderFinished { folder, .. } => {
                if let Some(bar) = screen.folders.remove(folder) {
                    bar.finish_and_clear();
                }
            }
            Event::Progress { folder, .. } => {
                if let Some(amount) = self.meter.folders.get(folder) {
                    screen.show(folder, amount);
                }
            }
            _ => {}
        }
        fill(&screen.all, &self.meter.all, self.meter.pace(now));
    }
}

impl Screen {
    fn show(&mut self, folder: &FolderPath, amount: &Amount) {
        if amount.done >= amount.of {
            // Makes room for another one; the folder is closed later, with all others.
            if let Some(bar) = self.folders.remove(folder) {
                bar.finish_and_clear();
                self.bars.remove(&bar);
            }
            return;
        }
        if !self.folders.contains_key(folder) && self.folders.len() < MOST_BARS {
            let bar = self.bars.insert_before(&self.all, bar(amount.of));
            bar.set_prefix(clean(&folder.to_string()).into_owned());
            self.folders.insert(folder.clone(), bar);
        }
        if let Some(bar) = self.folders.get(folder) {
            fill(bar, amount, String::new());
        }
    }
}

fn bar(length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:24!} [{bar:20}] {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(length).with_style(style)
}

fn fill(bar: &ProgressBar, amount: &Amount, pace: String) {
    bar.set_length(amount.of);
    bar.set_position(amount.done);
    let comma = if pace.is_empty() { "" } else { ", " };
    bar.set_message(format!("{}{comma}{pace}", amount.text()));
}

/// What is worth a line of its own.
fn words(event: &Event) -> Option<String> {
    let within = |folder: &Option<FolderPath>| {
        folder.as_ref().map_or(String::new(), |folder| {
            format!("{}: ", clean(&folder.to_string()))
        })
    };
    Some(match event {
        Event::Connected {
            source,
            destination,
        } => {
            format!("connected: {} -> {}", clean(source), clean(destination))
        }
        Event::Mapped {
            folders,
            messages,
            bytes,
        } => {
            let size = bytes.map_or(String::new(), |bytes| format!(", {}", output::bytes(bytes)));
            let (folders, messages) = (
                count(*folders as u64, "folder"),
                count(*messages, "message"),
            );
            format!("{folders}, {messages}{size}")
        }
        Event::MessageFailed {
            folder,
            message,
            code,
            reason,
            ..
        } => format!(
            "failed: {}, {}: {} [{}]",
            clean(&folder.to_string()),
            clean(message),
            clean(reason),
            clean(code)
        ),
        Event::Retrying {
            folder,
            reason,
            wait_ms,
        } => format!(
            "{}trying again in {}: {}",
            within(folder),
            duration(Duration::from_millis(*wait_ms)),
            clean(reason)
        ),
        Event::Settling {
            folder,
            messages,
            wait_ms,
        } => format!(
            "{}: {} in doubt after a lost connection, looking again in {}",
            clean(&folder.to_string()),
            count(*messages, "message"),
            duration(Duration::from_millis(*wait_ms))
        ),
        Event::DailyLimit {
            direction,
            bytes,
            until_ms,
        } => {
            let side = match direction {
                Direction::Down => "source",
                _ => "destination",
            };
            let until = i64::try_from(until_ms / 1000).unwrap_or(i64::MAX);
            format!(
                "the {side}'s {} of the day are used up, waiting until {}",
                output::bytes(*bytes),
                Timestamp::new(until, 0)
            )
        }
        Event::Note { folder, text } => format!("{}{}", within(folder), clean(text)),
        _ => return None,
    })
}
