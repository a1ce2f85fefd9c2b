//! What a migration into Exchange takes, beside the time in which its own requests can be made: one run is
//! recorded, and its requests go to a fresh server once more, over as many plain sockets.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measuring tool talks to the person who started it"
)]

mod other;
mod record;
mod replay;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mailmove_benches::{
    measure::{Result, median},
    message,
};
use mailmove_core::edge::{Credential, StaticCredential};
use mailmove_core::store::SqliteStore;
use mailmove_core::{Edges, Migration};
use mailmove_ews::{Auth, EwsConfig, EwsDestination};
use mailmove_ews_testserver::{Action, Server};
use mailmove_testkit::mailbox::{NewMessage, Store};
use mailmove_testkit::memory::MemoryMailbox;
use tokio::runtime::Runtime;

const HELP: &str = "\
Migrates from memory into the embedded EWS server, by turns with a replay of the same requests.

  ewsreplay run [options]
      --messages N             [1000]
      --bytes N                of each message [20480]
      --folders N              [8]
      --connections N          [4]
      --rounds N               [9]
      --wait MS                that each call takes the server longer, as those over a network do [0]
      --exchangelib PYTHON     the same upload by exchangelib, too; `cargo xtask oracles fetch` names such a Python";

/// What a migration into Exchange asks for.
const OPERATIONS: [&str; 7] = [
    "CreateFolder",
    "CreateItem",
    "FindFolder",
    "GetFolder",
    "GetItem",
    "SyncFolderItems",
    "UpdateItem",
];

const USER: &str = "ann";
const PASSWORD: &str = "secret";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["run", rest @ ..] => Options::read(rest).and_then(|options| measure(&options)),
        _ => {
            println!("{HELP}");
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ewsreplay: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    messages: usize,
    bytes: usize,
    folders: usize,
    connections: usize,
    rounds: usize,
    wait: usize,
    exchangelib: Option<String>,
}

impl Options {
    fn read(arguments: &[&str]) -> Result<Self> {
        let mut options = Self {
            messages: 1000,
            bytes: 20 << 10,
            folders: 8,
            connections: 4,
            rounds: 9,
            wait: 0,
            exchangelib: None,
        };
        for pair in arguments.chunks(2) {
            let [name, value] = pair else {
                return Err(format!("{pair:?} is no option with its value").into());
            };
            if *name == "--exchangelib" {
                options.exchangelib = Some((*value).to_owned());
                continue;
            }
            let number: usize = value.parse()?;
            match *name {
                "--messages" => options.messages = number,
                "--bytes" => options.bytes = number,
                "--folders" => options.folders = number.max(1),
                "--connections" => options.connections = number.max(1),
                "--rounds" => options.rounds = number.max(1),
                "--wait" => options.wait = number,
                _ => return Err(format!("unknown option {name}").into()),
            }
        }
        Ok(options)
    }
}

/// The source, and threads for the server alone.
struct Bench<'a> {
    options: &'a Options,
    source: Store,
    servers: Runtime,
}

impl Bench<'_> {
    /// A fresh one, with the folders, so that they have the same ids each time.
    fn server(&self) -> Result<Server> {
        // What others say was never validated.
        let builder = Server::builder(Store::new()).user(USER, PASSWORD);
        let builder = builder.without_shape_gate();
        let server = self.servers.block_on(builder.start())?;
        let wait = Duration::from_millis(self.options.wait as u64);
        for operation in OPERATIONS.iter().filter(|_| !wait.is_zero()) {
            server.faults().arm_every(operation, 1, Action::Delay(wait));
        }
        let account = server.store().account(USER).ok_or("no destination")?;
        for folder in 0..self.options.folders {
            let made = account.create(&[name(folder)]);
            // Items' ids hold this number, which else comes from the clock.
            let numbered = made.and_then(|made| account.force_uidvalidity(made, 1));
            numbered.map_err(|error| error.to_string())?;
        }
        Ok(server)
    }

    /// A migration by way of this address; its seconds.
    fn migrate(&self, address: std::net::SocketAddr) -> Result<f64> {
        let account = self.source.account("from").ok_or("no source")?;
        let login = StaticCredential::new(Credential::password(USER, PASSWORD));
        let config = EwsConfig::at(&format!("http://{address}/EWS/Exchange.asmx"))?
            .with_user("ann@example.com")
            .with_auth(Auth::Basic)
            .with_connections(self.options.connections);
        let directory = tempfile::tempdir()?;
        let runtime = Runtime::new()?;
        let begun = Instant::now();
        let copied = runtime.block_on(async {
            let edges = Edges::new();
            let destination = EwsDestination::new(config, Arc::new(login), edges.clone());
            let migration = Migration::builder(MemoryMailbox::new(account), destination)
                .store(SqliteStore::new(directory.path()))
                .edges(edges)
                .build()?;
            migration.run().await.map(|report| report.total().copied)
        })?;
        let seconds = begun.elapsed().as_secs_f64();
        match copied == self.options.messages as u64 {
            true => Ok(seconds),
            false => Err(format!("{copied} messages were copied").into()),
        }
    }
}

fn name(folder: usize) -> String {
    format!("Folder {folder}")
}

fn measure(options: &Options) -> Result<()> {
    let source = Store::new();
    let account = source.add_account("from");
    let other = options.exchangelib.as_deref().map(other::Other::new);
    let other = other.transpose()?;
    for folder in 0..options.folders {
        let made = account.create(&[name(folder)]);
        let id = made.map_err(|error| error.to_string())?;
        let numbers = (folder..options.messages).step_by(options.folders);
        let whole = |n| message(n, options.bytes);
        if let Some(other) = &other {
            for number in numbers.clone() {
                other.add(&name(folder), number, &whole(number))?;
            }
        }
        let mail = numbers.map(|n| NewMessage::new(whole(n)).with_flags(["\\Seen"]));
        account
            .append(id, mail.collect())
            .map_err(|error| error.to_string())?;
    }
    let servers = Runtime::new()?;
    let bench = Bench {
        options,
        source,
        servers,
    };
    let server = bench.server()?;
    let recorder = record::Recorder::start(server.plain_address())?;
    bench.migrate(recorder.address())?;
    let recorded = recorder.finish();
    println!(
        "{} messages of {} bytes in {} folders: {} requests, {} bytes, {} connections",
        options.messages,
        options.bytes,
        options.folders,
        recorded.requests(),
        recorded.bytes(),
        recorded.connections(),
    );
    // Once without looking at the clock: the first run of each warms up what there is.
    replay::run(&recorded, bench.server()?.plain_address())?;
    let (mut ratios, mut times) = (Vec::new(), [Vec::new(), Vec::new()]);
    let mut others = Vec::new();
    for round in 0..options.rounds {
        let mut pair = [0.0, 0.0];
        for turn in 0..2 {
            // Which comes first alternates.
            let which = (round + turn) % 2;
            let server = bench.server()?;
            let seconds = match which {
                0 => bench.migrate(server.plain_address())?,
                _ => replay::run(&recorded, server.plain_address())?,
            };
            let created = server.counters().created;
            if created != options.messages as u64 {
                return Err(format!("the server holds {created} messages").into());
            }
            if let Some(slot) = pair.get_mut(which) {
                *slot = seconds;
            }
        }
        let [migration, raw] = pair;
        ratios.push(migration / raw);
        for (all, seconds) in times.iter_mut().zip(pair) {
            all.push(seconds);
        }
        print!("migration {migration:.3} s, replay {raw:.3} s");
        if let Some(other) = &other {
            let server = bench.server()?;
            let seconds = other.run(&server.url(), USER, PASSWORD)?;
            let counters = server.counters();
            if counters.created != options.messages as u64 {
                return Err(format!("exchangelib made {} messages", counters.created).into());
            }
            others.push(seconds);
            print!(
                ", exchangelib {seconds:.3} s in {} requests",
                counters.requests
            );
        }
        println!();
    }
    let [migrations, raws] = times;
    println!(
        "medians: migration {:.3} s, replay {:.3} s; ratio {:.2}",
        median(migrations),
        median(raws),
        median(ratios)
    );
    if !others.is_empty() {
        println!("median of exchangelib: {:.3} s", median(others));
    }
    Ok(())
}
