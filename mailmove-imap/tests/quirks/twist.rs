//! A proxy before the test server that makes it say, or refuse, what odd servers were seen to.

use std::sync::Arc;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};

/// What becomes of a command.
pub(crate) enum Act {
    /// The server gets it.
    Pass,
    /// Answered here: lines without their ends, `T` at the beginning of one is the tag. A literal
    /// that came with it is swallowed, so that nothing of it counts as a command.
    Answer(String),
    /// These lines are said, and the connection is closed.
    Close(String),
    /// The server gets it, after these untagged lines were said.
    Before(String),
    /// Nothing more is read from this client, and nothing said to it.
    Stall,
}

type Commands = dyn Fn(&str) -> Act + Send + Sync;
type Responses = dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync;

/// What is done to commands and responses; by itself nothing.
#[derive(Clone)]
pub(crate) struct Twist {
    commands: Arc<Commands>,
    responses: Arc<Responses>,
    patience: usize,
}

impl Default for Twist {
    fn default() -> Self {
        Self {
            commands: Arc::new(|_| Act::Pass),
            responses: Arc::new(|response| response),
            patience: usize::MAX,
        }
    }
}

impl Twist {
    /// Decides about each command, seen without its tag.
    pub(crate) fn commands(act: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        Self {
            commands: Arc::new(act),
            ..Self::default()
        }
    }

    /// Changes each response: its lines and literals, with all line ends. An empty one is not sent.
    pub(crate) fn responses(edit: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::default().and_responses(edit)
    }

    /// As [`responses`](Self::responses), beside what is done to commands.
    pub(crate) fn and_responses(
        mut self,
        edit: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        self.responses = Arc::new(edit);
        self
    }

    /// Hangs up after so many BADs that were answered here.
    pub(crate) fn with_patience(mut self, bads: usize) -> Self {
        self.patience = bads;
        self
    }

    /// Stands before the server at `port`; the port to go to instead.
    pub(crate) async fn before(self, port: u16) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let twist = self.clone();
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                        twist.between(client, server).await;
                    }
                });
            }
        });
        own
    }

    async fn between(self, client: TcpStream, server: TcpStream) {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let (say, said) = mpsc::unbounded_channel();
        let edit = Arc::clone(&self.responses);
        let answers = tokio::spawn(answers(from_server, to_client, said, edit));
        self.take_commands(from_client, to_server, say).await;
        // What the server still says goes through; then both sides are closed.
        let _ = answers.await;
    }

    async fn take_commands(
        &self,
        from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        say: mpsc::UnboundedSender<Vec<u8>>,
    ) {
        let mut from = BufReader::new(from);
        let mut bads = 0;
        while let Some(line) = line(&mut from).await {
            let text = String::from_utf8_lossy(&line).into_owned();
            let (tag, command) = text.trim_end().split_once(' ').unwrap_or(("*", &text));
            let answer = match (self.commands)(command) {
                Act::Pass => {
                    if pass(&mut from, &mut to, line).await.is_none() {
                        return;
                    }
                    continue;
                }
                Act::Before(words) => {
                    let _ = say.send(lines(&words, tag));
                    if pass(&mut from, &mut to, line).await.is_none() {
                        return;
                    }
                    continue;
                }
                Act::Answer(words) => words,
                Act::Stall => {
                    std::future::pending::<()>().await;
                    return;
                }
                Act::Close(words) => {
                    let _ = say.send(lines(&words, tag));
                    // An empty one closes.
                    let _ = say.send(Vec::new());
                    return;
                }
            };
            if swallow(&mut from, line).await.is_none() {
                return;
            }
            let _ = say.send(lines(&answer, tag));
            bads += usize::from(answer.contains("T BAD"));
            if bads >= self.patience {
                let _ = say.send(b"* BYE Too many invalid commands.\r\n".to_vec());
                let _ = say.send(Vec::new());
                return;
            }
        }
    }
}

fn lines(words: &str, tag: &str) -> Vec<u8> {
    let mut out = String::new();
    for line in words
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.is_empty())
    {
        match line.strip_prefix("T ") {
            Some(rest) => out.push_str(&format!("{tag} {rest}\r\n")),
            None => out.push_str(&format!("{line}\r\n")),
        }
    }
    // A byte that is no UTF-8.
    replace(out.as_bytes(), b"%E9", b"\xe9")
}

/// A line with its end.
async fn line<R: tokio::io::AsyncRead + Unpin>(from: &mut BufReader<R>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    match from.read_until(b'\n', &mut line).await {
        Ok(count) if count > 0 => Some(line),
        _ => None,
    }
}

/// The literal that a line announces, and whether the other side waits for leave.
fn literal(line: &[u8]) -> Option<(usize, bool)> {
    let text = std::str::from_utf8(line.strip_suffix(b"}\r\n")?.rsplit(|b| *b == b'{').next()?);
    let text = text.ok()?;
    let waits = !text.ends_with('+');
    Some((text.trim_end_matches('+').parse().ok()?, waits))
}

async fn pass(
    from: &mut BufReader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
    mut line_: Vec<u8>,
) -> Option<()> {
    loop {
        to.write_all(&line_).await.ok()?;
        let Some((len, _)) = literal(&line_) else {
            return Some(());
        };
        // A refused literal is not sent: what comes is the next command then.
        let mut octets = vec![0; len];
        from.read_exact(&mut octets).await.ok()?;
        to.write_all(&octets).await.ok()?;
        line_ = line(from).await?;
    }
}

/// Drops the rest of a command that was not passed on.
async fn swallow(from: &mut BufReader<OwnedReadHalf>, mut last: Vec<u8>) -> Option<()> {
    while let Some((len, false)) = literal(&last) {
        let mut octets = vec![0; len];
        from.read_exact(&mut octets).await.ok()?;
        last = line(from).await?;
    }
    Some(())
}

/// Passes on what the server says, and what is said in its name between its responses.
async fn answers(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut said: mpsc::UnboundedReceiver<Vec<u8>>,
    edit: Arc<Responses>,
) {
    let (send, mut responses) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut from = BufReader::new(from);
        while let Some(response) = response(&mut from).await {
            if send.send(response).is_err() {
                return;
            }
        }
    });
    let mut open = true;
    loop {
        let bytes = tokio::select! {
            words = said.recv(), if open => match words {
                Some(words) if words.is_empty() => return,
                Some(words) => words,
                None => {
                    open = false;
                    continue;
                }
            },
            response = responses.recv() => match response {
                Some(response) => edit(response),
                None => return,
            },
        };
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn response(from: &mut BufReader<OwnedReadHalf>) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let next = line(from).await?;
        let announced = literal(&next);
        whole.extend_from_slice(&next);
        let Some((len, _)) = announced else {
            return Some(whole);
        };
        let start = whole.len();
        whole.resize(start + len, 0);
        from.read_exact(&mut whole[start..]).await.ok()?;
    }
}

/// `bytes` with one text instead of another, wherever it stands.
pub(crate) fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = find(rest, from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Where a text stands first.
pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// What stands between two texts; nothing if they are not there.
pub(crate) fn between<'a>(bytes: &'a [u8], before: &str, after: &str) -> Option<&'a str> {
    let start = find(bytes, before.as_bytes())? + before.len();
    let rest = bytes.get(start..)?;
    let end = find(rest, after.as_bytes())?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// The UID that a FETCH response names.
pub(crate) fn uid(response: &[u8]) -> Option<u32> {
    let rest = response.get(find(response, b"UID ")? + 4..)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(rest.get(..digits)?).ok()?.parse().ok()
}

/// Another content for messages: `edit` gets UID (0 if it comes later) and content; `None` makes it
/// NIL.
pub(crate) fn with_body(
    response: Vec<u8>,
    edit: impl Fn(u32, &[u8]) -> Option<Vec<u8>>,
) -> Vec<u8> {
    const NAME: &[u8] = b"BODY[] {";
    let Some(start) = find(&response, NAME) else {
        return response;
    };
    let uid = uid(&response).unwrap_or(0);
    let digits = between(&response[start..], "{", "}").unwrap();
    let from = start + NAME.len() + digits.len() + 3;
    let len: usize = digits.parse().unwrap();
    let content = match edit(uid, &response[from..from + len]) {
        Some(content) => [format!("{{{}}}\r\n", content.len()).as_bytes(), &content].concat(),
        None => b"NIL".to_vec(),
    };
    [
        &response[..start],
        b"BODY[] ",
        &content,
        &response[from + len..],
    ]
    .concat()
}

/// Whether it is a FETCH response with content.
pub(crate) fn has_body(response: &[u8]) -> bool {
    find(response, b"BODY[] {").is_some()
}
