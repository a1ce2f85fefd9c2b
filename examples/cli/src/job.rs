//! From the command line to a migration that is connected and ready.

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mailmove_core::{
    Destination as _, Edges, Error, ErrorKind, Migration, Options, Order, RepairPolicy, Result,
    Source as _, Stop,
    dead_letter::DeadLetterDirectory,
    edge::{Bandwidth, MemoryBudget, Spool},
    map::{Pattern, Place},
    store::SqliteStore,
};

use crate::{
    adapter::{Key, Mailbox, Needs, tls_settings},
    args::{JobArgs, OutputArgs, SelectArgs, Switch},
    failure::Failure,
    interrupt,
    oauth::TokenCommand,
    progress::{Progress, Style},
    secrets::{Side, Wallet},
    state,
    url::MailboxUrl,
};

/// Said at the first Ctrl-C.
const INTERRUPTED: &str = "interrupted: waiting for what was sent; once more ends at once. The same \
                           command goes on later.";

/// Bytes of message bodies in memory at once; what is over goes to files.
const BODIES: u64 = 16 << 20;

/// Both mailboxes, connected, and what moves mail between them.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) migration: Migration,
    pub(crate) progress: Progress,
    from: MailboxUrl,
    to: MailboxUrl,
    stop: Stop,
}

impl Job {
    /// Reads the input, asks for passwords, opens the ledger, and logs in on both sides.
    pub(crate) async fn open(
        args: &JobArgs,
        select: &SelectArgs,
        output: &OutputArgs,
        repair: Switch,
    ) -> Result<Self, Failure> {
        // All input is judged before anybody is asked for a password.
        let mut options = options(select)?;
        options.daily_down = args.daily_down;
        options.daily_up = args.daily_up;
        options.waits_for_next_day = !args.no_wait;
        options.late = args.late.map(|late| Duration::from_secs(late.into()));
        options.streams = !args.as_mime;
        options.streams_across = args.as_exports;
        if args.any_order {
            options.order = Order::Relaxed;
        }
        if repair == Switch::Off {
            options.repair = RepairPolicy::Off;
        }
        let from = mailbox(args, Side::Source)?;
        let to = mailbox(args, Side::Destination)?;
        let state = state_directory(output, &from, &to)?;
        let commands = (
            token_command(args, Side::Source, &from)?,
            token_command(args, Side::Destination, &to)?,
        );
        let from_key = key(args, Side::Source, &from, commands.0)?;
        let to_key = key(args, Side::Destination, &to, commands.1)?;
        state::create(&state)?;

        let progress = Progress::new(Style::choose(output.json, output.quiet));
        let stop = Stop::new();
        interrupt::watch(stop.clone(), progress.clone(), INTERRUPTED);
        let edges = edges(&state, args.bandwidth);
        let store = SqliteStore::new(&state);
        let source = from.source(from_key, &edges)?;
        let destination = to.destination(to_key, &edges)?;
        let migration = Migration::builder(Arc::clone(&source), Arc::clone(&destination))
            .store(store.clone())
            .dead_letters(dead_letters(&state, &edges))
            .observer(progress.clone())
            .options(options)
            .edges(edges)
            .stop(stop.clone())
            .build()?;
        let job = Self {
            migration,
            progress,
            from: from.url,
            to: to.url,
            stop,
        };
        // Both at once, and before the engine: what fails here is the user's to repair, and who
        // mistyped a port should not wait for retries.
        let connected = async { tokio::join!(source.capabilities(), destination.capabilities()) };
        let (source, destination) = job.unless_stopped(async { Ok(connected.await) }).await?;
        source.map_err(|error| job.at(Side::Source, error))?;
        destination.map_err(|error| job.at(Side::Destination, error))?;
        Ok(job)
    }

    /// Does something that may be dropped at any time, until the user interrupts.
    pub(crate) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T, Failure> {
        let done = tokio::select! {
            done = work => done,
            () = self.stop.requested() => {
                Err(Error::new(ErrorKind::Cancelled, "interrupted"))
            }
        };
        done.map_err(|error| self.locate(error))
    }

    /// Says on which side it was, if the error names just one of the hosts.
    pub(crate) fn locate(&self, error: Error) -> Failure {
        let named = |url: &MailboxUrl| {
            let context = |name| {
                error
                    .context()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| value)
            };
            context("host").is_some_and(|host| host.eq_ignore_ascii_case(&url.host))
                && context("port").is_none_or(|port| port == url.port.to_string())
        };
        match (named(&self.from), named(&self.to)) {
            (true, false) => self.at(Side::Source, error),
            (false, true) => self.at(Side::Destination, error),
            _ => Failure::from(error),
        }
    }

    fn at(&self, side: Side, error: Error) -> Failure {
        let url = match side {
            Side::Source => &self.from,
            Side::Destination => &self.to,
        };
        let connecting = matches!(
            error.kind(),
            ErrorKind::Connect
                | ErrorKind::Timeout
                | ErrorKind::Tls
                | ErrorKind::Protocol
                | ErrorKind::Interrupted
        );
        let hint = url.suspicion().filter(|_| connecting).map(str::to_owned);
        Failure {
            error,
            place: Some(format!("{} {url}", side.name())),
            hint,
        }
    }
}

fn mailbox(args: &JobArgs, side: Side) -> Result<Mailbox> {
    let (text, own_pin) = match side {
        Side::Source => (&args.from, &args.from_pin),
        Side::Destination => (&args.to, &args.to_pin),
    };
    let url = MailboxUrl::parse(side.option(), text)?;
    let tls = tls_settings(
        side,
        &url,
        args.ca_file.as_deref(),
        args.pin.as_deref(),
        own_pin.as_deref(),
    )?;
    Ok(Mailbox::new(url, tls, args.connections)?.compressed(args.compress))
}

fn token_command(args: &JobArgs, side: Side, mailbox: &Mailbox) -> Result<Option<TokenCommand>> {
    let text = match side {
        Side::Source => &args.from_oauth_token_command,
        Side::Destination => &args.to_oauth_token_command,
    };
    let read = |text: &String| TokenCommand::new(side, mailbox.user(), text);
    text.as_ref().map(read).transpose()
}

fn key(
    args: &JobArgs,
    side: Side,
    mailbox: &Mailbox,
    command: Option<TokenCommand>,
) -> Result<Key> {
    let file = match side {
        Side::Source => &args.from_password_file,
        Side::Destination => &args.to_password_file,
    };
    Ok(match command {
        Some(command) => Key::Token(Arc::new(command)),
        None if mailbox.needs() == Needs::Nothing => Key::User,
        None => {
            let wallet = Wallet::of_process();
            let whole = mailbox.needs() == Needs::Text;
            Key::Password(wallet.password(side, &mailbox.url.user, file.as_deref(), whole)?)
        }
    })
}

/// What could not be delivered is kept beside the ledger.
pub(crate) fn dead_letters(state: &Path, edges: &Edges) -> DeadLetterDirectory {
    DeadLetterDirectory::new(state.join("dead-letters"), edges.spool.clone())
}

pub(crate) fn state_directory(
    output: &OutputArgs,
    from: &Mailbox,
    to: &Mailbox,
) -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name);
    match &output.state {
        Some(directory) => Ok(directory.clone()),
        None => state::default_directory(&variable, &from.endpoint(), &to.endpoint()),
    }
}

/// The edges of a job: bodies wait beside the ledger, since `/tmp` may be memory.
pub(crate) fn edges(state: &Path, bandwidth: Option<u64>) -> Edges {
    Edges::new()
        .with_spool(Spool::new(state.join("spool"), MemoryBudget::new(BODIES)))
        .with_bandwidth(bandwidth.map_or_else(Bandwidth::unlimited, Bandwidth::bytes_per_second))
}

fn options(select: &SelectArgs) -> Result<Options> {
    let mut options = Options::new();
    let rules = &mut options.folders;
    rules.include = patterns(&select.folder)?;
    rules.exclude = patterns(&select.exclude)?;
    rules.places = select
        .map
        .iter()
        .map(|text| Place::parse(text))
        .collect::<Result<_>>()?;
    rules.root.clone_from(&select.into);
    rules.foreign = select.shared;
    options.filter.since = select.since;
    options.filter.before = select.before;
    options.filter.max_size = select.max_size;
    options.flags = select.flags == Switch::On;
    options.annotations = select.annotations;
    options.accept_lost = select.accept_lost;
    if let (Some(since), Some(before)) = (select.since, select.before)
        && since >= before
    {
        return Err(Error::new(
            ErrorKind::Config,
            "no message can be on or after --since and before --before",
        )
        .with_code("config/dates")
        .with_remedy("Give a --since that is earlier than --before."));
    }
    Ok(options)
}

fn patterns(texts: &[String]) -> Result<Vec<Pattern>> {
    texts
        .iter()
        .map(|text| Pattern::new(text.as_str()))
        .collect()
}
