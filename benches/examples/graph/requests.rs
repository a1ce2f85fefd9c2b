//! How many requests a message takes, by the way in which it is read or written.

use mailmove_benches::measure::{Result, number};
use mailmove_core::{Edges, Options};
use mailmove_graph::{GraphDestination, GraphSource};
use mailmove_testkit::mailbox::{Account, NewMessage, Store};
use mailmove_testkit::memory::MemoryMailbox;
use tokio::runtime::Runtime;

use crate::sides::{self, FROM, TO};

/// Bytes of attachments, as text: below what travels along with a message, below what takes a session, and above.
const ATTACHED: [(&str, usize); 3] = [
    ("an attachment of 20 KB", 20_000),
    ("an attachment of 2 MB", 2_000_000),
    ("an attachment of 6 MB", 6_000_000),
];

/// Which side is the server's.
#[derive(Clone, Copy)]
enum Way {
    Read,
    Written,
    Exported,
}

pub(crate) fn command(options: &[&str]) -> Result<()> {
    let messages = number(options, "--messages", 500)?.max(1);
    println!(
        "| Way | Messages | HTTP requests | for each message | with those in batches | for each message |"
    );
    println!("|---|---|---|---|---|---|");
    let plain = |account: &Account| sides::fill(account, "Folder", messages, 4096);
    let few = (messages / 20).max(1);
    count("read as MIME", Way::Read, plain)?;
    count("written from fields (A)", Way::Written, plain)?;
    for (name, bytes) in ATTACHED {
        let name = format!("the same with {name}");
        count(&name, Way::Written, |account| attached(account, few, bytes))?;
    }
    count("export and import (C)", Way::Exported, plain)
}

fn attached(account: &Account, messages: usize, bytes: usize) -> Result<()> {
    let id = account
        .create(&["Folder"])
        .map_err(|error| error.to_string())?;
    let line = format!("{}\r\n", "A".repeat(76));
    let text = line.repeat(bytes.div_ceil(57));
    let mail = (0..messages).map(|number| {
        NewMessage::new(format!(
            "Message-ID: <{number}@example.com>\r\nFrom: a@example.com\r\nSubject: {number}\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nHere it is.\r\n\
             --b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=a.bin\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{text}--b--\r\n"
        ))
    });
    account
        .append(id, mail.collect())
        .map_err(|error| error.to_string())?;
    Ok(())
}

fn count(name: &str, way: Way, fill: impl Fn(&Account) -> Result<()>) -> Result<()> {
    let runtime = Runtime::new()?;
    let server = runtime.block_on(sides::builder().start())?;
    let full = match way {
        Way::Written => Store::new().add_account(FROM),
        _ => server.store().account(FROM).ok_or("no mailbox")?,
    };
    fill(&full)?;
    let edges = Edges::new();
    let source = sides::config(server.tenant(), &server.url(), FROM)?;
    let source = GraphSource::new(source, sides::token(), edges.clone());
    let destination = sides::config(server.tenant(), &server.url(), TO)?;
    let destination = GraphDestination::new(destination, sides::token(), edges.clone());
    let memory = match way {
        Way::Written => MemoryMailbox::new(full),
        _ => MemoryMailbox::new(Store::new().add_account(TO)),
    };
    let options = Options::new();
    let copied = runtime.block_on(async {
        match way {
            Way::Read => sides::migrate(source, memory, options, &edges).await,
            Way::Written => sides::migrate(memory, destination, options, &edges).await,
            Way::Exported => sides::migrate(source, destination, options, &edges).await,
        }
    })?;
    let counters = server.counters();
    let each = |requests: u64| requests as f64 / copied as f64;
    let all = counters.total_operations();
    println!(
        "| {name} | {copied} | {} | {:.2} | {all} | {:.2} |",
        counters.requests,
        each(counters.requests),
        each(all)
    );
    Ok(())
}
