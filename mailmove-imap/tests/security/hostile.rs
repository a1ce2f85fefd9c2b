//! A server that answers as a test wants, and else as any server does.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use mailmove_core::{
    Edges,
    edge::{Credential, StaticCredential},
};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream},
    net::{TcpListener, TcpStream},
    sync::Mutex,
};

/// What is answered to a command.
pub(crate) enum Answer {
    /// As any server does.
    Usual,
    /// These bytes, with `TAG` for the command's tag.
    Text(Vec<u8>),
    /// These, and then the same again and again.
    Endless(Vec<u8>),
    /// These, one at a time, with so much time before each; again and again.
    Trickle(&'static [u8], Duration),
}

impl Answer {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into().into_bytes())
    }
}

type Ask = dyn Fn(&str) -> Answer + Send + Sync;

/// A server; what it was sent is kept.
pub(crate) struct Hostile {
    pub(crate) address: SocketAddr,
    sent: Arc<Mutex<Vec<String>>>,
}

/// Starts a server that asks `answer` what to say to each command, given as it came but for its tag,
/// and to the greeting, given as nothing.
pub(crate) async fn hostile(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Hostile {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (answer, sent): (Arc<Ask>, Arc<Mutex<Vec<String>>>) = (Arc::new(answer), Arc::default());
    let kept = Arc::clone(&sent);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            socket.set_nodelay(true).unwrap();
            tokio::spawn(talk(socket, Arc::clone(&answer), Arc::clone(&kept)));
        }
    });
    Hostile { address, sent }
}

impl Hostile {
    /// All commands, without tags.
    pub(crate) async fn sent(&self) -> Vec<String> {
        self.sent.lock().await.clone()
    }

    pub(crate) fn config(&self) -> ImapConfig {
        ImapConfig::new("127.0.0.1")
            .with_port(self.address.port())
            .with_user("ann")
            .with_security(Security::Plain)
            .with_compression(true)
    }

    pub(crate) fn source(&self) -> ImapSource {
        ImapSource::new(self.config(), credentials(), Edges::new())
    }

    pub(crate) fn source_as(&self, credential: &Credential) -> ImapSource {
        let credentials = StaticCredential::new(credential.clone());
        // A server that says good-bye is given so long to hang up.
        let config = self.config().with_timeout(Duration::from_millis(300));
        ImapSource::new(config, Arc::new(credentials), Edges::new())
    }

    pub(crate) fn destination(&self, edges: Edges) -> ImapDestination {
        ImapDestination::new(self.config(), credentials(), edges)
    }
}

pub(crate) fn credentials() -> Arc<StaticCredential> {
    Arc::new(StaticCredential::new(Credential::password("ann", "secret")))
}

async fn talk(
    socket: TcpStream,
    answer: Arc<Ask>,
    sent: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let mut stream = BufStream::new(socket);
    say(&mut stream, "", &answer("")).await?;
    let mut command = String::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        command.push_str(&String::from_utf8_lossy(&line));
        if let Some((len, waits)) = announced(&line) {
            if waits {
                let (_, rest) = command.split_once(' ').unwrap_or_default();
                match answer(rest.trim_end()) {
                    Answer::Usual => write(&mut stream, b"+ go on\r\n").await?,
                    other => say(&mut stream, "", &other).await?,
                }
            }
            let mut octets = vec![0; len];
            stream.read_exact(&mut octets).await?;
            command.push_str(&String::from_utf8_lossy(&octets));
            continue;
        }
        let whole = std::mem::take(&mut command);
        let (tag, rest) = whole.trim_end().split_once(' ').unwrap_or_default();
        sent.lock().await.push(rest.to_owned());
        match answer(rest) {
            Answer::Usual => write(&mut stream, usual(tag, rest).as_bytes()).await?,
            other => say(&mut stream, tag, &other).await?,
        }
    }
}

/// The literal at a line's end, and whether the client waits for leave to send it.
fn announced(line: &[u8]) -> Option<(usize, bool)> {
    let text = std::str::from_utf8(line)
        .ok()?
        .trim_end()
        .strip_suffix('}')?;
    let (_, number) = text.rsplit_once('{')?;
    let len = number.trim_end_matches('+').parse().ok()?;
    Some((len, !number.ends_with('+')))
}

async fn say(stream: &mut BufStream<TcpStream>, tag: &str, answer: &Answer) -> std::io::Result<()> {
    match answer {
        Answer::Usual => write(stream, b"* OK hello\r\n").await,
        Answer::Text(text) => {
            let parts: Vec<&[u8]> = split(text).collect();
            write(stream, &parts.join(tag.as_bytes())).await
        }
        Answer::Endless(text) => loop {
            write(stream, text).await?;
        },
        Answer::Trickle(text, pause) => loop {
            for byte in *text {
                tokio::time::sleep(*pause).await;
                write(stream, &[*byte]).await?;
            }
        },
    }
}

/// What is between the places where the tag stands.
fn split(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let at = text.windows(3).position(|word| word == b"TAG");
        rest = at.and_then(|at| text.get(at + 3..));
        text.get(..at.unwrap_or(text.len()))
    })
}

async fn write(stream: &mut BufStream<TcpStream>, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// A mailbox with one message in its inbox.
fn usual(tag: &str, command: &str) -> String {
    let words: Vec<&str> = command.split(' ').collect();
    let data = match words[..] {
        ["CAPABILITY", ..] => "* CAPABILITY IMAP4rev1 UIDPLUS\r\n",
        ["LIST", ..] => "* LIST () \"/\" INBOX\r\n",
        ["STATUS", "INBOX", ..] => "* STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 7)\r\n",
        ["EXAMINE" | "SELECT", ..] => {
            "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 2] x\r\n"
        }
        ["UID", "FETCH", ..] => {
            "* 1 FETCH (UID 1 FLAGS () RFC822.SIZE 3 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\")\r\n"
        }
        _ => "",
    };
    format!("{data}{tag} OK done\r\n")
}
