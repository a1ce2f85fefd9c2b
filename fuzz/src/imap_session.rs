//! Whole sessions: whatever a server answers, nothing panics or hangs, a source is never altered,
//! and a destination gets no command that destroys.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt as _;
use mailmove_core::{
    Destination as _, Edges, Source as _,
    destination::{Batch, Depth, FlagChange, NoFence, Outgoing, Probe},
    edge::{
        Credential, Secret, StaticCredential,
        tls::{Fingerprint, TlsSettings},
    },
    model::{
        Annotation, Content, Flags, Folder, FolderPath, FolderSpec, Mark, MessageId, Role,
        Timestamp,
    },
    source::{Change, FetchRequest, ListRequest},
};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What is answered to what: a segment of the input begins with the number of one of these.
const VERBS: [&str; 26] = [
    "", // the greeting
    "LOGIN",
    "AUTHENTICATE",
    "CAPABILITY",
    "ID",
    "NAMESPACE",
    "ENABLE",
    "LIST",
    "LSUB",
    "STATUS",
    "EXAMINE",
    "SELECT",
    "FETCH",
    "SEARCH",
    "STORE",
    "COPY",
    "MOVE",
    "EXPUNGE",
    "APPEND",
    "CREATE",
    "SUBSCRIBE",
    "GETQUOTAROOT",
    "MYRIGHTS",
    "COMPRESS",
    "GETMETADATA",
    "SETMETADATA",
];

/// Between segments.
const END: u8 = 0xff;
/// Stands for the command's tag.
const TAG: u8 = 0xfe;
/// Lines that a server takes on a connection before it hangs up.
const MOST_LINES: usize = 300;

/// The first byte chooses what is done; the rest are the answers.
pub fn check(data: &[u8]) {
    let source = data.first().is_some_and(|choice| choice & 1 == 0);
    commands(data).iter().for_each(|verb| allowed(source, verb));
}

/// The commands that were sent.
#[must_use]
pub fn commands(data: &[u8]) -> Vec<String> {
    let Some((&choice, rest)) = data.split_first() else {
        return Vec::new();
    };
    let answers = Arc::new(Answers::read(rest));
    let sent = Arc::new(Mutex::new(Vec::new()));
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let port = listener.local_addr().expect("an address").port();
            let server = tokio::spawn(serve(listener, answers, Arc::clone(&sent)));
            // With the clock of the runtime, which goes on when nobody has anything to do.
            let done = tokio::time::timeout(Duration::from_secs(86_400), work(choice, port)).await;
            assert!(done.is_ok(), "it does not end");
            server.abort();
        });
    });
    std::mem::take(&mut *sent.lock().unwrap_or_else(PoisonError::into_inner))
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().expect("a runtime")
    };
}

/// What may be asked of a server, by side.
fn allowed(source: bool, verb: &str) {
    let both = [
        "LOGIN",
        "AUTHENTICATE",
        "CAPABILITY",
        "ID",
        "NAMESPACE",
        "ENABLE",
        "COMPRESS",
        "LIST",
        "LSUB",
        "STATUS",
        "EXAMINE",
        "UID FETCH",
        "FETCH",
        "UID SEARCH",
        "NOOP",
        "LOGOUT",
        "MYRIGHTS",
        "UNSELECT",
        "GETQUOTAROOT",
        "GETMETADATA",
    ];
    let writes = [
        "SETMETADATA",
        "SELECT",
        "CREATE",
        "SUBSCRIBE",
        "APPEND",
        "UID STORE",
        "UID COPY",
        "UID MOVE",
        "UID EXPUNGE",
    ];
    let may = both.contains(&verb) || (!source && writes.contains(&verb));
    assert!(may, "{verb:?} was sent");
}

// ---- the server ------------------------------------------------------------------------------

/// Answers by verb, in their order; the last one is given again and again.
struct Answers(HashMap<&'static str, Vec<Vec<u8>>>);

impl Answers {
    fn read(data: &[u8]) -> Self {
        let mut answers: HashMap<_, Vec<_>> = HashMap::new();
        for segment in data.split(|byte| *byte == END) {
            if let Some((verb, text)) = segment.split_first() {
                let verb = VERBS[usize::from(*verb) % VERBS.len()];
                answers.entry(verb).or_default().push(text.to_vec());
            }
        }
        Self(answers)
    }

    fn to(&self, verb: &'static str, nth: usize, tag: &[u8]) -> Vec<u8> {
        let last = |texts: &'_ Vec<Vec<u8>>| texts.get(nth).or(texts.last()).cloned();
        let text = self.0.get(verb).and_then(last);
        if verb.is_empty() {
            return text.unwrap_or_else(|| b"* OK [CAPABILITY IMAP4rev1 UIDPLUS] hi\r\n".to_vec());
        }
        let mut text = text.unwrap_or_default();
        if !text.contains(&TAG) {
            text.push(TAG);
            text.extend_from_slice(b" OK done\r\n");
        }
        let put = |byte: u8| {
            if byte == TAG {
                tag.to_vec()
            } else {
                vec![byte]
            }
        };
        text.into_iter().flat_map(put).collect()
    }
}

type Sent = Arc<Mutex<Vec<String>>>;

async fn serve(listener: TcpListener, answers: Arc<Answers>, sent: Sent) {
    let mut nth: HashMap<&'static str, usize> = HashMap::new();
    while let Ok((socket, _)) = listener.accept().await {
        // One after the other would wait for a client that holds two; their order is the same.
        let greeting = count(&mut nth, "");
        let begun = nth.clone();
        tokio::spawn(talk(
            socket,
            Arc::clone(&answers),
            Arc::clone(&sent),
            greeting,
            begun,
        ));
    }
}

fn count(nth: &mut HashMap<&'static str, usize>, verb: &'static str) -> usize {
    let count = nth.entry(verb).or_default();
    *count += 1;
    *count - 1
}

async fn talk(
    mut socket: TcpStream,
    answers: Arc<Answers>,
    sent: Sent,
    greeting: usize,
    mut nth: HashMap<&'static str, usize>,
) -> Option<()> {
    // What is held back for a moment would be late: the clock does not wait.
    socket.set_nodelay(true).ok()?;
    socket
        .write_all(&answers.to("", greeting, b""))
        .await
        .ok()?;
    let (mut input, mut command) = (VecDeque::new(), Vec::new());
    let mut examined = false;
    for _ in 0..MOST_LINES {
        let line = line(&mut socket, &mut input).await?;
        let literal = announced(&line);
        if command.is_empty() {
            command = line;
        }
        if let Some((len, waits)) = literal {
            if waits {
                socket.write_all(b"+ \r\n").await.ok()?;
            }
            while input.len() < len {
                fill(&mut socket, &mut input).await?;
            }
            input.drain(..len);
            continue;
        }
        let text = String::from_utf8_lossy(&std::mem::take(&mut command)).into_owned();
        let mut words = text.split_whitespace();
        let tag = words.next().unwrap_or_default();
        let mut verb = words.next().unwrap_or_default().to_owned();
        // The answer to a challenge is no command.
        if !tag.starts_with('M') || verb.is_empty() {
            continue;
        }
        let mut word = verb.clone();
        if verb == "UID" {
            word = words.next().unwrap_or_default().to_owned();
            verb = format!("UID {word}");
        }
        // Nothing is removed where the mailbox was opened to be read.
        if ["EXAMINE", "SELECT"].contains(&verb.as_str()) {
            examined = verb == "EXAMINE";
        } else if verb == "CLOSE" && examined {
            verb = "UNSELECT".to_owned();
        }
        sent.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(verb);
        let known = VERBS
            .into_iter()
            .find(|known| *known == word && !known.is_empty());
        let answer = match known {
            Some(known) => answers.to(known, count(&mut nth, known), tag.as_bytes()),
            None => format!("{tag} OK done\r\n").into_bytes(),
        };
        socket.write_all(&answer).await.ok()?;
    }
    None
}

async fn fill(socket: &mut TcpStream, input: &mut VecDeque<u8>) -> Option<()> {
    let mut piece = [0; 4096];
    let count = socket
        .read(&mut piece)
        .await
        .ok()
        .filter(|count| *count > 0)?;
    input.extend(&piece[..count]);
    Some(())
}

async fn line(socket: &mut TcpStream, input: &mut VecDeque<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = input.iter().position(|byte| *byte == b'\n') {
            return Some(input.drain(..=at).collect());
        }
        fill(socket, input).await?;
    }
}

/// The literal that a line announces, and whether the client waits for leave.
fn announced(line: &[u8]) -> Option<(usize, bool)> {
    let text = line.trim_ascii_end().strip_suffix(b"}")?;
    let at = text.iter().rposition(|byte| *byte == b'{')?;
    let number = std::str::from_utf8(&text[at + 1..]).ok()?;
    let len = number.trim_end_matches('+').parse().ok()?;
    Some((len, !number.ends_with('+')))
}

// ---- the client ------------------------------------------------------------------------------

/// Without the system's authorities, which would be read for each input.
static TLS: LazyLock<TlsSettings> =
    LazyLock::new(|| TlsSettings::new().with_pin(Fingerprint::of(b"nobody's")));
static EDGES: LazyLock<Edges> = LazyLock::new(Edges::new);

async fn work(choice: u8, port: u16) {
    let config = ImapConfig::new("127.0.0.1")
        .with_port(port)
        .with_user("ann")
        .with_security(Security::Plain)
        .with_tls(TLS.clone())
        .with_timeout(Duration::from_secs(5))
        .with_connections(usize::from(choice >> 2 & 1) + 1);
    let credential = match choice & 2 {
        0 => Credential::password("ann", "secret"),
        _ => Credential::BearerToken {
            user: "ann".to_owned(),
            token: Secret::new("token"),
        },
    };
    let credentials = Arc::new(StaticCredential::new(credential));
    match choice & 1 {
        0 => read(&ImapSource::new(config, credentials, EDGES.clone())).await,
        _ => write(&ImapDestination::new(config, credentials, EDGES.clone())).await,
    }
}

async fn read(source: &ImapSource) {
    let _ = source.capabilities().await;
    let folders = source.folders().await.unwrap_or_default();
    let ids: Vec<_> = folders.iter().map(|folder| folder.id.clone()).collect();
    let _ = source.rights(&ids[..ids.len().min(3)]).await;
    let _ = source.annotations(&ids[..ids.len().min(3)]).await;
    for folder in folders.iter().take(2) {
        let (ids, cursor) = list(source, ListRequest::new(folder)).await;
        let request = FetchRequest::new(folder.id.clone(), folder.identity.to_string(), ids);
        let mut fetched = source.fetch(request);
        while let Some((id, _)) = fetched.next().await {
            let _ = source.describe(&id);
        }
        drop(fetched);
        // Once more, from where it ended.
        let _ = list(source, ListRequest::new(folder).with_since(cursor)).await;
    }
}

async fn list(
    source: &ImapSource,
    request: ListRequest,
) -> (Vec<MessageId>, Option<mailmove_core::model::Cursor>) {
    let (mut ids, mut cursor) = (Vec::new(), None);
    let request = request
        .with_headers(true)
        .with_inline(Some(mailmove_core::model::Form::Mime));
    let mut pages = source.list(request);
    while let Some(Ok(page)) = pages.next().await {
        cursor = Some(page.next);
        for change in page.changes {
            if let Change::Item(listed) = change {
                ids.push(listed.id.clone());
            }
        }
    }
    ids.truncate(50);
    (ids, cursor)
}

async fn write(destination: &ImapDestination) {
    let _ = destination.capabilities().await;
    let mut folders = destination.folders().await.unwrap_or_default();
    let _ = destination.quota().await;
    let spec = |name| FolderSpec::new(FolderPath::new([name])).with_role(Some(Role::Sent));
    let made = destination.ensure_folders(vec![spec("Sent"), spec("New")]);
    let made: Vec<_> = made.collect().await;
    folders.extend(made.into_iter().filter_map(|(_, folder)| folder.ok()));
    let ids: Vec<_> = folders.iter().map(|folder| folder.id.clone()).collect();
    let _ = destination.rights(&ids[..ids.len().min(3)]).await;
    let note = Annotation::new("/private/comment", "x\r\nM9 DELETE INBOX\r\n");
    if let Some(id) = ids.first() {
        let _ = destination.annotate(id, vec![note]).await;
    }
    if let [.., folder] = &folders[..] {
        let other = folders.first().unwrap_or(folder);
        fill_folder(destination, folder, other).await;
    }
}

async fn fill_folder(destination: &ImapDestination, folder: &Folder, other: &Folder) {
    let mark = destination.mark(&folder.id).await;
    let mark = mark.unwrap_or_else(|_| Mark::counted("1", 1));
    let mail = |text: &'static str| {
        Outgoing::new(Content::from_bytes(text))
            .with_flags(Flags::parse("\\Seen $Work"))
            .with_received(Some(Timestamp::new(1_600_000_000, 60)))
    };
    let items = vec![
        mail("Subject: a\r\n\r\nb\r\n"),
        mail("Subject: c\r\n\r\nM9 DELETE INBOX\r\n"),
    ];
    let batch = Batch::new(folder.id.clone(), mark.clone(), items, Arc::new(NoFence));
    let outcomes: Vec<_> = destination.append(batch).collect().await;
    assert_eq!(outcomes.len(), 2, "an outcome for each");
    let mut ids = Vec::new();
    for depth in [Depth::Meta, Depth::Header, Depth::Content] {
        let since = (depth != Depth::Meta).then(|| mark.clone());
        let probe = Probe::new(folder.id.clone(), depth).with_since(since);
        let mut pages = destination.existing(probe);
        while let Some(Ok(page)) = pages.next().await {
            ids.extend(page.into_iter().map(|one| one.id));
        }
    }
    ids.dedup();
    ids.truncate(5);
    let Some(updater) = destination.updater() else {
        return;
    };
    let changes = ids
        .iter()
        .map(|id| FlagChange::new(id.clone(), Flags::parse("\\Flagged"), Flags::parse("$Work")));
    for outcomes in [
        updater.set_flags(&folder.id, changes.collect()),
        updater.duplicate(&folder.id, ids.clone(), &other.id),
        updater.relocate(&folder.id, ids.clone(), &other.id),
        updater.remove(&folder.id, ids.clone()),
    ] {
        let of: Vec<_> = outcomes.map(|(id, _)| id).collect().await;
        assert!(ids.iter().all(|id| of.contains(id)), "an outcome for each");
    }
}

/// Sessions with servers that can much and little.
pub fn seeds() -> Vec<Vec<u8>> {
    let verb = |name: &str| {
        let at = VERBS.iter().position(|known| *known == name);
        u8::try_from(at.expect("a verb")).expect("few")
    };
    let much = "IMAP4rev1 LITERAL+ SASL-IR AUTH=PLAIN AUTH=XOAUTH2 ID NAMESPACE UIDPLUS \
         MULTIAPPEND ENABLE CONDSTORE QRESYNC ESEARCH LIST-EXTENDED LIST-STATUS SPECIAL-USE MOVE ACL \
         QUOTA METADATA OBJECTID BINARY X-GM-EXT-1 UNSELECT APPENDLIMIT=100000 STATUS=SIZE";
    let little = "IMAP4rev1 UIDPLUS MOVE ACL QUOTA CONDSTORE ESEARCH";
    let body = "* 1 FETCH (UID 1 FLAGS (\\Seen) RFC822.SIZE 5 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" \
         MODSEQ (7) EMAILID (M1) X-GM-MSGID 12 X-GM-THRID 12 X-GM-LABELS (\\Inbox \"a b\") BODY[] {5}\r\na: b\n)\r\n\
         * 2 FETCH (UID 2 FLAGS () RFC822.SIZE 3 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" BODY[HEADER] {3}\r\na\r\n BODY[] NIL)\r\n";
    let opened = "* 2 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 3] x\r\n* OK [HIGHESTMODSEQ 9] x\r\n\
         * OK [PERMANENTFLAGS (\\Seen \\Flagged \\*)] x\r\n* FLAGS (\\Seen)\r\n";
    let later = "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 3] x\r\n* OK [HIGHESTMODSEQ 12] x\r\n\
         * VANISHED (EARLIER) 1\r\n";
    let answers: [(&str, &str); 20] = [
        ("LOGIN", ""),
        ("ID", "* ID (\"name\" \"Dovecot\" \"version\" NIL)\r\n"),
        (
            "NAMESPACE",
            "* NAMESPACE ((\"\" \"/\")) ((\"~\" \"/\")) ((\"#s/\" \"/\"))\r\n",
        ),
        ("ENABLE", "* ENABLED CONDSTORE QRESYNC\r\n"),
        (
            "LIST",
            "* LIST (\\HasNoChildren \\Subscribed) \"/\" INBOX\r\n* STATUS INBOX (MESSAGES 2 UIDNEXT 3 \
            UIDVALIDITY 7 HIGHESTMODSEQ 9 SIZE 8 MAILBOXID (F1))\r\n* LIST (\\Sent) \"/\" \"a &AOQ-\"\r\n\
            * LIST (\\Noselect) \"/\" {3}\r\n../\r\n* MYRIGHTS INBOX lrs\r\n",
        ),
        ("LSUB", "* LSUB () \"/\" INBOX\r\n"),
        (
            "STATUS",
            "* STATUS INBOX (MESSAGES 2 UIDNEXT 3 UIDVALIDITY 7)\r\n",
        ),
        ("EXAMINE", opened),
        ("EXAMINE", opened),
        ("EXAMINE", later),
        ("SELECT", opened),
        ("FETCH", body),
        (
            "SEARCH",
            "* ESEARCH (TAG \"M9\") UID COUNT 2 ALL 1:2 MODSEQ 9\r\n* SEARCH 1 2\r\n",
        ),
        (
            "STORE",
            "* 1 FETCH (UID 1 FLAGS (\\Flagged) MODSEQ (10))\r\n",
        ),
        ("COPY", "\u{1} OK [COPYUID 7 1:2 3:4] x\r\n"),
        (
            "MOVE",
            "* OK [COPYUID 7 1 5] x\r\n* 1 EXPUNGE\r\n* VANISHED 1\r\n",
        ),
        ("APPEND", "* 4 EXISTS\r\n\u{1} OK [APPENDUID 7 3:4] x\r\n"),
        (
            "GETQUOTAROOT",
            "* QUOTAROOT INBOX \"\"\r\n* QUOTA \"\" (STORAGE 10 512 MESSAGE 1 2)\r\n",
        ),
        ("MYRIGHTS", "* MYRIGHTS INBOX lrswi\r\n"),
        (
            "GETMETADATA",
            "* METADATA INBOX (/private/comment \"a\" /shared/b {1}\r\nc)\r\n",
        ),
    ];
    let mut seeds = Vec::new();
    for choice in 0..8_u8 {
        let can = if choice & 4 == 0 || choice == 6 {
            much
        } else {
            little
        };
        let told = format!("* CAPABILITY {can}\r\n");
        let greeting = format!("* OK [CAPABILITY {can}] hi\r\n");
        let mut seed = vec![choice, verb("")];
        seed.extend_from_slice(if choice & 4 == 0 {
            greeting.as_bytes()
        } else {
            b"* OK hi\r\n"
        });
        let challenge = "+ eyJzdGF0dXMiOiI0MDEifQ==\r\n\u{1} NO [AUTHENTICATIONFAILED] no\r\n";
        let refused = if choice == 6 { challenge } else { "" };
        let login = [("CAPABILITY", told.as_str()), ("AUTHENTICATE", refused)];
        for (name, text) in login.into_iter().chain(answers) {
            seed.extend_from_slice(&[END, verb(name)]);
            seed.extend(text.bytes().map(|byte| if byte == 1 { TAG } else { byte }));
        }
        seeds.push(seed);
    }
    seeds
}
