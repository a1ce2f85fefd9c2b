//! Whole sessions with Graph: whatever a server answers, nothing panics or hangs, a source is never altered, a
//! destination removes no folder, and the token goes nowhere but to Graph.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt as _;
use mailmove_core::{
    Destination as _, Edges, Source as _,
    destination::{Batch, Depth, FlagChange, NoFence, Outgoing, Probe},
    edge::{Credential, Secret, StaticCredential},
    model::{
        Content, Cursor, Flags, Folder, FolderPath, FolderSpec, Form, Mark, MessageId, Role,
        Timestamp,
    },
    source::{Change, FetchRequest, ListRequest},
};
use mailmove_graph::{GraphConfig, GraphDestination, GraphSource};
use mailmove_testkit::clock::TestClock;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What is answered to what: a segment of the input begins with the number of one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Batch,
    Folder,
    Folders,
    MakeFolder,
    Delta,
    Message,
    Value,
    Create,
    Attach,
    Session,
    Upload,
    Change,
    Remove,
    Other,
}

const KINDS: [Kind; 14] = [
    Kind::Batch,
    Kind::Folder,
    Kind::Folders,
    Kind::MakeFolder,
    Kind::Delta,
    Kind::Message,
    Kind::Value,
    Kind::Create,
    Kind::Attach,
    Kind::Session,
    Kind::Upload,
    Kind::Change,
    Kind::Remove,
    Kind::Other,
];

const STATUSES: [u16; 16] = [
    200, 201, 202, 204, 302, 400, 401, 403, 404, 409, 410, 413, 429, 500, 503, 504,
];
/// Further fields of an answer.
const FIELDS: [&str; 6] = [
    "Content-Type: application/json\r\n",
    "Content-Type: text/plain\r\n",
    "Content-Type: text/html\r\n",
    "",
    "Content-Type: application/json\r\nRetry-After: 7\r\n",
    "Content-Type: application/json\r\nLocation: http://127.0.0.1:1/elsewhere\r\n",
];

/// Between segments.
const END: u8 = 0xff;
/// Stands for the server's address.
const BASE: u8 = 0xfe;
/// Requests that a server takes before it hangs up for good.
const MOST: usize = 400;
const TOKEN: &str = "token-of-ann";

/// The first byte chooses what is done; the rest are the answers.
pub fn check(data: &[u8]) {
    let source = data.first().is_some_and(|choice| choice & 1 == 0);
    for (request, token) in requests(data) {
        assert!(may(source, &request), "{request} was sent");
        let upload = request.starts_with("PUT ");
        assert_ne!(token, upload, "{request}: with a token? {token}");
    }
}

/// What may be asked of a server, by side.
fn may(source: bool, request: &str) -> bool {
    let (method, path) = request.split_once(' ').unwrap_or_default();
    let folder = path.contains("/mailFolders/") && !path.contains("/messages");
    match method {
        "GET" => true,
        "POST" if source => path.ends_with("/$batch") || path.ends_with("/exportItems"),
        "POST" => !(folder && path.ends_with("/permanentDelete")),
        "PATCH" | "DELETE" => !source && !folder,
        "PUT" => !source,
        _ => false,
    }
}

/// The requests that were sent, those in batches instead of the batch, and whether each had the token.
#[must_use]
pub fn requests(data: &[u8]) -> Vec<(String, bool)> {
    let Some((&choice, rest)) = data.split_first() else {
        return Vec::new();
    };
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let base = format!("http://{}", listener.local_addr().expect("an address"));
            let server = Arc::new(Server {
                answers: answers(rest, &base),
                base: base.clone(),
                state: Mutex::default(),
            });
            let serving = tokio::spawn(serve(listener, Arc::clone(&server)));
            // With the clock of the runtime, which goes on when nobody has anything to do.
            let done = tokio::time::timeout(Duration::from_secs(864_000), work(choice, &base));
            assert!(done.await.is_ok(), "it does not end");
            serving.abort();
            std::mem::take(&mut server.state().sent)
        })
    })
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().expect("a runtime")
    };
}

// ---- the server ------------------------------------------------------------------------------

#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    fields: &'static str,
    body: Vec<u8>,
}

/// Answers by kind, in their order; the last one is given again and again.
fn answers(data: &[u8], base: &str) -> HashMap<Kind, Vec<Answer>> {
    let mut answers: HashMap<_, Vec<_>> = HashMap::new();
    for segment in data.split(|byte| *byte == END) {
        if let [kind, status, fields, body @ ..] = segment {
            let put = |byte: &u8| match *byte {
                BASE => base.as_bytes().to_vec(),
                byte => vec![byte],
            };
            let answer = Answer {
                status: STATUSES[usize::from(*status) % STATUSES.len()],
                fields: FIELDS[usize::from(*fields) % FIELDS.len()],
                body: body.iter().flat_map(put).collect(),
            };
            let kind = KINDS[usize::from(*kind) % KINDS.len()];
            answers.entry(kind).or_default().push(answer);
        }
    }
    answers
}

#[derive(Default)]
struct State {
    sent: Vec<(String, bool)>,
    nth: HashMap<Kind, usize>,
}

struct Server {
    answers: HashMap<Kind, Vec<Answer>>,
    base: String,
    state: Mutex<State>,
}

impl Server {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, method: &str, path: &str, token: bool, body: &[u8]) -> Answer {
        let kind = kind(method, path);
        let mut state = self.state();
        if kind != Kind::Batch {
            let known = path.split('?').next().unwrap_or_default();
            state.sent.push((format!("{method} {known}"), token));
        }
        let nth = state.nth.entry(kind).or_default();
        *nth += 1;
        let nth = *nth - 1;
        drop(state);
        let given = self.answers.get(&kind);
        if let Some(answer) = given.and_then(|given| given.get(nth).or(given.last())) {
            return answer.clone();
        }
        let (status, body) = match kind {
            Kind::Batch => (200, self.batch(body, token)),
            _ => usual(kind, path, nth, &self.base),
        };
        Answer {
            status,
            fields: FIELDS[usize::from(kind == Kind::Value)],
            body,
        }
    }

    fn batch(&self, body: &[u8], token: bool) -> Vec<u8> {
        let batch: Value = serde_json::from_slice(body).expect("a batch is JSON");
        let steps = batch["requests"].as_array().cloned().unwrap_or_default();
        assert!((1..=20).contains(&steps.len()), "{} steps", steps.len());
        let answered = steps.iter().map(|step| {
            let text = |name: &str| step[name].as_str().unwrap_or_default();
            let answer = self.answer(text("method"), text("url"), token, b"");
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
            let mut headers = json!({});
            if answer.fields.contains("Retry-After") {
                headers["Retry-After"] = "7".into();
            }
            json!({"id": text("id"), "status": answer.status, "headers": headers, "body": body})
        });
        let answered: Vec<Value> = answered.collect();
        json!({ "responses": answered }).to_string().into_bytes()
    }
}

fn kind(method: &str, path: &str) -> Kind {
    let path = path.split('?').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    match (method, last) {
        ("POST", "$batch") => Kind::Batch,
        ("POST", "createUploadSession") => Kind::Session,
        ("POST", "attachments") => Kind::Attach,
        ("POST", "messages") => Kind::Create,
        ("POST", "mailFolders" | "childFolders") => Kind::MakeFolder,
        ("POST", "permanentDelete") | ("DELETE", _) => Kind::Remove,
        ("PUT", _) => Kind::Upload,
        ("PATCH", _) => Kind::Change,
        ("GET", "$value") => Kind::Value,
        ("GET", "mailFolders" | "childFolders") => Kind::Folders,
        ("GET", "delta") if path.contains("/messages/") => Kind::Delta,
        ("GET", "delta") => Kind::Folders,
        ("GET", _) if path.contains("/messages/") => Kind::Message,
        ("GET", _) if path.contains("/mailFolders/") => Kind::Folder,
        _ => Kind::Other,
    }
}

/// What a well-behaved server says.
fn usual(kind: Kind, path: &str, nth: usize, base: &str) -> (u16, Vec<u8>) {
    let path = path.split('?').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let folder = |id: &str| {
        json!({"id": id, "displayName": id, "parentFolderId": "msgfolderroot", "childFolderCount": 0,
               "totalItemCount": 2, "unreadItemCount": 1, "isHidden": false})
    };
    let message = |id: &str| {
        json!({"id": id, "isRead": true, "isDraft": false, "categories": ["Work"], "parentFolderId": "inbox",
               "flag": {"flagStatus": "flagged"}, "receivedDateTime": "2024-02-29T12:00:00Z",
               "createdDateTime": "2024-02-29T12:00:00Z"})
    };
    let value = match kind {
        Kind::Value => return (200, b"Subject: a\r\n\r\nb\r\n".to_vec()),
        Kind::Remove => return (204, Vec::new()),
        Kind::Upload => return (201, Vec::new()),
        Kind::Folder => folder(last),
        Kind::Folders => json!({"value": [folder("inbox"), folder("sentitems")]}),
        Kind::MakeFolder => return (201, folder("made").to_string().into_bytes()),
        Kind::Delta => {
            let link = format!("{base}{path}?$deltatoken=x");
            json!({"value": [message("m1"), message("m2")], "@odata.deltaLink": link})
        }
        Kind::Message | Kind::Change => message(last),
        Kind::Create | Kind::Attach => {
            let made = message(&format!("new{nth}"));
            return (201, made.to_string().into_bytes());
        }
        Kind::Session => json!({"uploadUrl": format!("{base}/upload/{nth}")}),
        Kind::Batch | Kind::Other => json!({}),
    };
    (200, value.to_string().into_bytes())
}

async fn serve(listener: TcpListener, server: Arc<Server>) {
    for _ in 0..MOST {
        let Ok((socket, _)) = listener.accept().await else {
            return;
        };
        tokio::spawn(talk(socket, Arc::clone(&server)));
    }
}

async fn talk(mut socket: TcpStream, server: Arc<Server>) -> Option<()> {
    // What is held back for a moment would be late: the clock does not wait.
    socket.set_nodelay(true).ok()?;
    let mut input = Vec::new();
    while server.state().sent.len() < MOST {
        let end = loop {
            if let Some(at) = input.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            fill(&mut socket, &mut input).await?;
        };
        let head = String::from_utf8_lossy(input.get(..end)?).into_owned();
        let field = |name: &str| {
            let mut lines = head.lines();
            let line = lines.find(|line| line.to_ascii_lowercase().starts_with(name))?;
            line.split_once(':').map(|(_, value)| value.trim())
        };
        let len = field("content-length:").map_or(0, |len| len.parse().unwrap_or(0));
        while input.len() < end + len {
            fill(&mut socket, &mut input).await?;
        }
        let body: Vec<u8> = input.drain(..end + len).skip(end).collect();
        let token = field("authorization:").is_some_and(|value| value.contains(TOKEN));
        let mut words = head.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let Answer {
            status,
            fields,
            body,
        } = server.answer(method, path, token, &body);
        let len = body.len();
        let head = format!("HTTP/1.1 {status} x\r\n{fields}Content-Length: {len}\r\n\r\n");
        let whole = match status {
            204 => format!("HTTP/1.1 204 x\r\n{fields}\r\n").into_bytes(),
            _ => [head.as_bytes(), &body].concat(),
        };
        socket.write_all(&whole).await.ok()?;
    }
    None
}

async fn fill(socket: &mut TcpStream, input: &mut Vec<u8>) -> Option<()> {
    let count = socket.read_buf(input).await.ok()?;
    (count > 0).then_some(())
}

// ---- the client ------------------------------------------------------------------------------

async fn work(choice: u8, base: &str) {
    // Waits are over at once.
    let clock = TestClock::jumping(Duration::from_secs(1_767_225_600));
    let edges = Edges::new().with_clock(Arc::new(clock));
    let config = GraphConfig::new("example.com", "ann@example.com")
        .with_base(base)
        .expect("an address")
        .with_upload_host("127.0.0.1")
        .with_timeout(Duration::from_secs(5))
        .with_concurrency(usize::from(choice >> 2 & 1) + 1)
        .with_exports(choice & 8 != 0);
    let token = Arc::new(StaticCredential::new(Credential::BearerToken {
        user: "ann@example.com".to_owned(),
        token: Secret::new(TOKEN),
    }));
    match choice & 1 {
        0 => read(&GraphSource::new(config, token, edges)).await,
        _ => write(&GraphDestination::new(config, token, edges), choice).await,
    }
}

async fn read(source: &GraphSource) {
    let _ = source.capabilities().await;
    let folders = source.folders().await.unwrap_or_default();
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

async fn list(source: &GraphSource, request: ListRequest) -> (Vec<MessageId>, Option<Cursor>) {
    let (mut ids, mut cursor) = (Vec::new(), None);
    let request = request.with_headers(true).with_inline(Some(Form::Mime));
    let mut pages = source.list(request);
    while let Some(Ok(page)) = pages.next().await {
        cursor = Some(page.next);
        for change in page.changes {
            if let Change::Item(listed) = change {
                ids.push(listed.id.clone());
            }
        }
    }
    ids.truncate(20);
    (ids, cursor)
}

async fn write(destination: &GraphDestination, choice: u8) {
    let _ = destination.capabilities().await;
    let mut folders = destination.folders().await.unwrap_or_default();
    let _ = destination.quota().await;
    let spec = |name| FolderSpec::new(FolderPath::new([name])).with_role(Some(Role::Sent));
    let made = destination.ensure_folders(vec![spec("Sent"), spec("New")]);
    let made: Vec<_> = made.collect().await;
    folders.extend(made.into_iter().filter_map(|(_, folder)| folder.ok()));
    if let Some(folder) = folders.last() {
        fill_folder(destination, folder, choice & 16 != 0).await;
    }
}

async fn fill_folder(destination: &GraphDestination, folder: &Folder, large: bool) {
    let mark = destination.mark(&folder.id).await;
    let mark = mark.unwrap_or_else(|_| Mark::counted("1", 1));
    let mail = |content: Content| {
        Outgoing::new(content)
            .with_flags(Flags::parse("\\Seen $Work"))
            .with_received(Some(Timestamp::new(1_600_000_000, 60)))
    };
    let line = format!("{}\r\n", "QUFB".repeat(19));
    let attached = line.repeat(if large { 60_000 } else { 2 });
    let attached = format!(
        "Subject: c\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nd\r\n--b\r\n\
         Content-Type: application/pdf; name=e.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{attached}--b--\r\n"
    );
    let items = vec![
        mail(Content::from_bytes("Subject: a\r\n\r\nb\r\n")),
        mail(Content::from_bytes(attached)),
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
    let change = |id: &MessageId| {
        FlagChange::new(id.clone(), Flags::parse("\\Flagged"), Flags::parse("$Work"))
    };
    let changes: Vec<_> = ids.iter().map(change).collect();
    let outcomes: Vec<_> = updater.set_flags(&folder.id, changes).collect().await;
    assert!(outcomes.len() <= ids.len());
}

/// Sessions that go well, and answers that tell of trouble.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = (0..32).map(|choice| vec![choice]).collect();
    let body = |text: &str| text.as_bytes().to_vec();
    let trouble: [(u8, u8, u8, Vec<u8>); 12] = [
        (
            4,
            0,
            0,
            body(
                r#"{"value":[{"id":"a","@removed":{"reason":"deleted"}}],"@odata.deltaLink":"~/d"}"#,
            ),
        ),
        (
            4,
            0,
            0,
            body(r#"{"value":[{"id":"b","isRead":null}],"@odata.nextLink":"~/next"}"#),
        ),
        (
            4,
            10,
            0,
            body(r#"{"error":{"code":"syncStateNotFound","message":"gone"}}"#),
        ),
        (
            4,
            13,
            0,
            body(r#"{"error":{"code":"ErrorInternalServerError"}}"#),
        ),
        (6, 0, 2, body("<html>")),
        (
            6,
            12,
            4,
            body(r#"{"error":{"code":"ApplicationThrottled"}}"#),
        ),
        (
            0,
            0,
            0,
            body(
                r#"{"responses":[{"id":"0","status":200,"body":{"id":"x"}},{"id":"0","status":404}]}"#,
            ),
        ),
        (
            2,
            0,
            0,
            body(r#"{"value":[{"id":"q","displayName":"Q","parentFolderId":"q"}]}"#),
        ),
        (7, 0, 0, body("{}")),
        (
            8,
            11,
            0,
            body(r#"{"error":{"code":"ErrorMessageSizeExceeded"}}"#),
        ),
        (
            9,
            0,
            0,
            body(r#"{"uploadUrl":"https://elsewhere.example/x"}"#),
        ),
        (10, 2, 0, body(r#"{"nextExpectedRanges":["3932160-"]}"#)),
    ];
    for (kind, status, fields, text) in trouble {
        for choice in [0, 1, 8, 17] {
            let mut seed = vec![choice, kind, status, fields];
            seed.extend(text.iter().map(|byte| match byte {
                b'~' => BASE,
                byte => *byte,
            }));
            seeds.push(seed);
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session in which nothing goes wrong gets as far as it is meant to.
    #[test]
    fn sessions_get_far() {
        for (choice, wanted) in [
            (0, "GET /users/ann%40example.com/messages/m1/$value"),
            (
                1,
                "POST /users/ann%40example.com/mailFolders/sentitems/messages",
            ),
            (17, "PUT /upload/0"),
        ] {
            let sent = requests(&[choice]);
            let sent: Vec<_> = sent.iter().map(|(request, _)| request).collect();
            assert!(
                sent.iter().any(|request| *request == wanted),
                "{wanted}: {sent:#?}"
            );
        }
    }
}
