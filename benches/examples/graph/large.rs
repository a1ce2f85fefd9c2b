//! One large attachment: what it costs in memory. Both servers run in a process of their own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use mailmove_benches::measure::{Result, number, usage};
use mailmove_core::edge::{Credential, MemoryBudget, Spool, StaticCredential};
use mailmove_core::{Edges, Options};
use mailmove_graph::{GraphDestination, GraphSource};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use mailmove_testkit::mailbox::{NewMessage, Store};
use tokio::runtime::Runtime;

use crate::sides::{self, FROM, TO};

const PASSWORD: &str = "secret";

/// Memory for bodies that the program has unless it is told otherwise.
const BODIES: u64 = 16 << 20;

/// Moves it from IMAP to Graph and from there to IMAP, each in a process of its own; tells their peaks.
pub(crate) fn command(options: &[&str]) -> Result<()> {
    if let ["--way", way, url, imap] = options {
        return one_way(way, url, imap);
    }
    let mib = number(options, "--mib", 100)?.max(1);
    let served = Served::start(mib)?;
    for way in ["imap-graph", "graph-imap"] {
        let mut each = Command::new(std::env::current_exe()?);
        each.args(["large", "--way", way, &served.url, &served.imap]);
        if !each.status()?.success() {
            return Err(format!("{way} failed").into());
        }
    }
    Ok(())
}

fn one_way(way: &str, url: &str, imap: &str) -> Result<()> {
    let (url, tenant) = url.split_once(' ').ok_or("no tenant")?;
    let directory = tempfile::tempdir()?;
    let spool = Spool::new(directory.path(), MemoryBudget::new(BODIES));
    let edges = Edges::new().with_spool(spool);
    let (host, port) = imap.rsplit_once(':').ok_or("no port")?;
    let port = port.parse()?;
    let imap = |user: &str| {
        let config = ImapConfig::new(host).with_port(port);
        config.with_security(Security::Plain).with_user(user)
    };
    let login = |user: &str| Arc::new(StaticCredential::new(Credential::password(user, PASSWORD)));
    let graph = sides::config(tenant, url, TO)?;
    let runtime = Runtime::new()?;
    let copied = runtime.block_on(async {
        let options = Options::new();
        if way == "imap-graph" {
            let source = ImapSource::new(imap(FROM), login(FROM), edges.clone());
            let destination = GraphDestination::new(graph, sides::token(), edges.clone());
            return sides::migrate(source, destination, options, &edges).await;
        }
        let source = GraphSource::new(graph, sides::token(), edges.clone());
        let destination = ImapDestination::new(imap(TO), login(TO), edges.clone());
        sides::migrate(source, destination, options, &edges).await
    })?;
    let peak = usage::own_peak() as f64 / 1024.0 / 1024.0;
    println!("{way}: {copied} message, peak memory {peak:.1} MiB");
    Ok(())
}

/// Runs both servers until the one who started them is gone.
pub(crate) fn serve(mib: &str) -> Result<()> {
    let bytes = mib.parse::<usize>()? << 20;
    let runtime = Runtime::new()?;
    let graph = runtime.block_on(sides::builder().start())?;
    let store = Store::new();
    let mut imap = mailmove_imap_testserver::Server::builder(store.clone());
    for user in [FROM, TO] {
        imap = imap.user(user, PASSWORD);
    }
    let imap = runtime.block_on(imap.start())?;
    let full = store.account(FROM).ok_or("no mailbox")?;
    let inbox = full
        .folder(&["INBOX"])
        .map_err(|error| error.to_string())?
        .id;
    let line = format!("{}\r\n", "TWFpbCBtb3Zlcy4u".repeat(4) + "TWFpbCBtb3Zl");
    let text = line.repeat(bytes / 57);
    let mail = format!(
        "Message-ID: <large@example.com>\r\nFrom: a@example.com\r\nSubject: large\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nHere it is.\r\n\
         --b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=large.bin\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{text}--b--\r\n"
    );
    let stored = full.append(inbox, vec![NewMessage::new(mail)]);
    stored.map_err(|error| error.to_string())?;
    println!("{} {}", graph.url(), graph.tenant());
    println!("{}", imap.plain_address());
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// The process with the servers, which ends when this is dropped.
struct Served {
    child: Child,
    url: String,
    imap: String,
}

impl Served {
    fn start(mib: usize) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", &mib.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = child.stdout.take().ok_or("no output")?;
        let mut lines = BufReader::new(said).lines();
        let mut next = || lines.next().ok_or("the servers did not start");
        let (url, imap) = (next()??, next()??);
        Ok(Self { child, url, imap })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Its input ends, and so does it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
