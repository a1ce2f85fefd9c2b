//! The suite that every adapter passes.
//!
//! An adapter's author writes a [`Harness`]: how to get a fresh account on a server, how to open the
//! adapter on it, and a *back door* through which the suite puts mail in and looks at what is there.
//! The back door never goes through the adapter: an adapter does not vouch for itself.
//!
//! The file `tests/conformance.rs` of the adapter (with `harness = false` in its manifest) is then:
//!
//! ```no_run
//! use std::sync::Arc;
//! use mailmove_testkit::conformance::{self, Harness, MemoryHarness, Wrapped};
//!
//! fn main() {
//!     let plain: Arc<dyn Harness> = Arc::new(MemoryHarness::new("memory"));
//!     // Once more through `Arc` and `Box`, which forward every method.
//!     let wrapped: Arc<dyn Harness> = Arc::new(Wrapped::boxed(Arc::clone(&plain)));
//!     conformance::main([plain, wrapped]);
//! }
//! ```
//!
//! Which trials run is decided by the adapter's [`Capabilities`];
//! what is left out is shown as ignored, with its reason. A harness whose server is absent shows one
//! ignored trial, and a failed one if the environment's `MAILMOVE_REQUIRE` (harness names with
//! commas between) names it: so a run in CI can't be green by absence.
//!
//! A harness can be tried with [`check`], which runs one trial and says how it went.
//!
//! Each trial gets an account of its own, so trials run at once. None depends on time; one that
//! gets no answer at all fails after two minutes.

mod context;
mod destination;
mod door;
mod harness;
mod memory;
mod source;
mod streams;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mailmove_core::{
    Edges,
    model::{Capabilities, Form},
};
use tokio::runtime::Runtime;

use context::{Check, Context, Stop};
pub use door::BackDoor;
pub use harness::{BoxError, Disturbance, Done, Harness, Keeps, Taken, TestAccount, Wrapped};
pub use memory::MemoryHarness;

/// Runs the suite on these harnesses with the arguments of the command line, and exits.
pub fn main(harnesses: impl IntoIterator<Item = Arc<dyn Harness>>) -> ! {
    let arguments = Arguments::from_args();
    let trials = harnesses.into_iter().flat_map(trials).collect();
    libtest_mimic::run(&arguments, trials).exit()
}

/// The trials for one harness, named `harness::subject::what`. Opens one account to ask what the
/// adapter can do.
#[must_use]
pub fn trials(harness: Arc<dyn Harness>) -> Vec<Trial> {
    let required = std::env::var("MAILMOVE_REQUIRE").unwrap_or_default();
    let name = harness.name();
    let runtime = match Runtime::new() {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => return vec![unusable(&name, format!("no runtime: {error}"))],
    };
    if let Err(reason) = runtime.block_on(harness.available()) {
        let verdict = absent(&name, &required, &reason);
        let trial = move || verdict.into_completion();
        return vec![Trial::ignorable_test(format!("{name}::available"), trial)];
    }
    let facts = match runtime.block_on(Facts::ask(harness.as_ref())) {
        Ok(facts) => facts,
        Err(Stop::Failed(why) | Stop::Ignored(why)) => return vec![unusable(&name, why)],
    };
    all()
        .map(|case| trial(case, &harness, &facts, &runtime))
        .collect()
}

/// Absence is a reason to skip, unless the environment wants this harness.
fn absent(name: &str, required: &str, reason: &str) -> Verdict {
    if required.split(',').any(|one| one.trim() == name) {
        Verdict::Failed(format!("required, but absent: {reason}"))
    } else {
        Verdict::Ignored(format!("absent: {reason}"))
    }
}

fn unusable(name: &str, why: String) -> Trial {
    Trial::test(format!("{name}::available"), move || Err(Failed::from(why)))
}

/// What the adapter says of itself.
#[derive(Clone, Debug)]
struct Facts {
    source: Option<Capabilities>,
    destination: Option<Capabilities>,
}

impl Facts {
    async fn ask(harness: &dyn Harness) -> Result<Self, Stop> {
        let edges = Edges::new();
        let account = harness.account().await?;
        let source = match account.source(&edges).await? {
            Some(source) => Some(source.capabilities().await?),
            None => None,
        };
        let destination = match account.destination(&edges).await? {
            Some(destination) => Some(destination.capabilities().await?),
            None => None,
        };
        Ok(Self {
            source,
            destination,
        })
    }
}

/// What a trial cannot do without.
#[derive(Clone, Copy, Debug)]
enum Need {
    Source,
    Destination,
    ChangeTokens,
    Deltas,
    ReturnsIds,
    KeepsReceived,
    SetsFlags,
    Moves,
    Copies,
    Removes,
    /// Contents in a form of the server's own.
    SourceStreams,
    DestinationStreams,
    /// A largest message that a test can exceed.
    SmallLimit,
    /// A largest batch that a test can exceed.
    SmallBatch,
}

impl Need {
    /// Why it is not met.
    fn missing(self, facts: &Facts) -> Option<&'static str> {
        let source = |ok: fn(&Capabilities) -> bool| facts.source.as_ref().is_some_and(ok);
        let destination =
            |ok: fn(&Capabilities) -> bool| facts.destination.as_ref().is_some_and(ok);
        let streams = |can: &Capabilities| can.forms.contains(&Form::ExchangeStream);
        let (met, reason) = match self {
            Self::Source => (source(|_| true), "needs a source"),
            Self::Destination => (destination(|_| true), "needs a destination"),
            Self::ChangeTokens => (source(|can| can.change_tokens), "needs change_tokens"),
            Self::Deltas => (source(|can| can.deltas), "needs deltas"),
            Self::ReturnsIds => (destination(|can| can.returns_ids), "needs returns_ids"),
            Self::KeepsReceived => (
                destination(|can| can.keeps_received),
                "needs keeps_received",
            ),
            Self::SetsFlags => (destination(|can| can.sets_flags), "needs sets_flags"),
            Self::Moves => (destination(|can| can.moves), "needs moves"),
            Self::Copies => (destination(|can| can.copies), "needs copies"),
            Self::Removes => (destination(|can| can.removes), "needs removes"),
            Self::SourceStreams => (source(streams), "needs a source of exports"),
            Self::DestinationStreams => (destination(streams), "needs a destination of exports"),
            Self::SmallLimit => (
                destination(|can| can.max_message.is_some_and(|most| most <= 64 << 20)),
                "needs max_message of 64 MiB or less",
            ),
            Self::SmallBatch => (
                destination(|can| can.batching.max_items <= 5000),
                "needs batches of 5000 messages or less",
            ),
        };
        (!met).then_some(reason)
    }
}

type Running = Pin<Box<dyn Future<Output = Check> + Send>>;

/// One trial of the suite.
struct Case {
    name: &'static str,
    needs: &'static [Need],
    run: fn(Context) -> Running,
}

/// `case!("subject::what", [needs], function)`
macro_rules! case {
    ($name:literal, [$($need:ident),*], $function:path) => {
        $crate::conformance::Case {
            name: $name,
            needs: &[$($crate::conformance::Need::$need),*],
            run: |context| Box::pin($function(context)),
        }
    };
}
use case;

fn trial(
    case: &'static Case,
    harness: &Arc<dyn Harness>,
    facts: &Facts,
    runtime: &Arc<Runtime>,
) -> Trial {
    let (harness, facts, runtime) = (Arc::clone(harness), facts.clone(), Arc::clone(runtime));
    let name = format!("{}::{}", harness.name(), case.name);
    Trial::ignorable_test(name, move || {
        runtime
            .block_on(run(case, harness, facts))
            .into_completion()
    })
}

/// How a trial went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The adapter does what it must.
    Passed,
    /// It could not be tried, for this reason.
    Ignored(String),
    /// The adapter does not do what it must.
    Failed(String),
}

impl Verdict {
    fn into_completion(self) -> Result<Completion, Failed> {
        match self {
            Self::Passed => Ok(Completion::Completed),
            Self::Ignored(reason) => Ok(Completion::ignored_with(reason)),
            Self::Failed(why) => Err(Failed::from(why)),
        }
    }
}

/// Names of all trials, without the harness.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|case| case.name)
}

/// Runs a single trial, such as `source::list_full`: for debugging, and to test harnesses.
pub async fn check(harness: Arc<dyn Harness>, name: &str) -> Verdict {
    let Some(case) = all().find(|case| case.name == name) else {
        return Verdict::Failed(format!("there is no trial {name}"));
    };
    match Facts::ask(harness.as_ref()).await {
        Ok(facts) => run(case, harness, facts).await,
        Err(Stop::Failed(why) | Stop::Ignored(why)) => Verdict::Failed(why),
    }
}

fn all() -> impl Iterator<Item = &'static Case> {
    let plain = source::CASES.iter().chain(destination::cases());
    plain.chain(streams::CASES)
}

async fn run(case: &'static Case, harness: Arc<dyn Harness>, facts: Facts) -> Verdict {
    if let Some(reason) = case.needs.iter().find_map(|need| need.missing(&facts)) {
        return Verdict::Ignored(reason.to_owned());
    }
    if let Some(reason) = harness.skips(case.name) {
        return Verdict::Ignored(reason);
    }
    let run = async {
        let context = Context::new(harness, facts).await?;
        (case.run)(context).await
    };
    // No measure of speed: a server that never answers must not hold up the run for good.
    match tokio::time::timeout(Duration::from_secs(120), run).await {
        Err(_) => Verdict::Failed("no answer for two minutes".to_owned()),
        Ok(Ok(())) => Verdict::Passed,
        Ok(Err(Stop::Ignored(reason))) => Verdict::Ignored(reason),
        Ok(Err(Stop::Failed(why))) => Verdict::Failed(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_harness_fails_only_where_it_is_required() {
        let ignored = Verdict::Ignored("absent: no such server".to_owned());
        for required in ["", "imap", "dovecot-tls,imap"] {
            assert_eq!(absent("dovecot", required, "no such server"), ignored);
        }
        let failed = absent("dovecot", "imap, dovecot", "no such server");
        assert!(matches!(failed, Verdict::Failed(why) if why.contains("no such server")));
    }

    #[test]
    fn names_are_unique_and_know_their_subject() {
        let mut all: Vec<&str> = names().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        let subjects = ["harness::", "source::", "destination::"];
        assert!(
            all.iter()
                .all(|name| subjects.iter().any(|s| name.starts_with(s)))
        );
    }

    #[test]
    fn what_is_not_claimed_is_ignored_with_its_reason() {
        let facts = Facts {
            source: None,
            destination: Some(Capabilities::new("plain")),
        };
        assert_eq!(Need::Source.missing(&facts), Some("needs a source"));
        assert_eq!(Need::Deltas.missing(&facts), Some("needs deltas"));
        assert_eq!(Need::ReturnsIds.missing(&facts), Some("needs returns_ids"));
        assert_eq!(Need::Destination.missing(&facts), None);
    }
}
