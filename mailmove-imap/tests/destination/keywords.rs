//! A server that promises any keyword and then refuses one, as Dovecot does with long ones. It does
//! so before the message is sent, which the test server can't be told to.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use mailmove_core::{
    Destination as _, Edges,
    destination::{Batch, NoFence, Outcome},
    edge::{Credential, StaticCredential},
    model::{AlterationKind, FolderId, Mark},
};
use mailmove_imap::{ImapConfig, ImapDestination, Security};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        TcpListener,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::support::*;

type Stored = Arc<Mutex<Vec<(String, String)>>>;

struct Picky {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    stored: Stored,
}

impl Picky {
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).await.ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    }

    async fn say(&mut self, text: &str) {
        let _ = self
            .writer
            .write_all(format!("{text}\r\n").as_bytes())
            .await;
    }

    async fn serve(mut self, capabilities: &str) {
        self.say(&format!("* OK [CAPABILITY {capabilities}] hi"))
            .await;
        while let Some(line) = self.line().await {
            let (tag, rest) = line.split_once(' ').unwrap();
            let answer = match rest.split(' ').next().unwrap() {
                "APPEND" => match self.append(rest).await {
                    Some(answer) => answer,
                    None => return,
                },
                "SELECT" => {
                    self.say("* OK [UIDVALIDITY 7] x").await;
                    self.say("* OK [PERMANENTFLAGS (\\Seen \\Flagged \\*)] x")
                        .await;
                    "OK [READ-WRITE] done".to_owned()
                }
                "STATUS" => {
                    self.say("* STATUS Box (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 7)")
                        .await;
                    "OK done".to_owned()
                }
                "LOGIN" => format!("OK [CAPABILITY {capabilities}] in"),
                _ => "OK done".to_owned(),
            };
            self.say(&format!("{tag} {answer}")).await;
        }
    }

    async fn append(&mut self, first: &str) -> Option<String> {
        let mut line = first.to_owned();
        let mut batch = Vec::new();
        while let Some((arguments, literal)) = line.rsplit_once('{') {
            if arguments.contains("odd/one") {
                assert!(!literal.contains('+'), "sent without leave: {line}");
                return Some("NO [CANNOT] Keyword length too long".to_owned());
            }
            if !literal.contains('+') {
                self.say("+ go").await;
            }
            let digits = literal.trim_end_matches(['}', '+']);
            let mut body = vec![0; digits.parse().unwrap()];
            self.reader.read_exact(&mut body).await.ok()?;
            let flags = arguments
                .split(['(', ')'])
                .nth(1)
                .unwrap_or_default()
                .to_owned();
            batch.push((String::from_utf8(body).unwrap(), flags));
            line = self.line().await?;
        }
        self.stored.lock().unwrap().append(&mut batch);
        Some("OK stored".to_owned())
    }
}

async fn picky(capabilities: &'static str) -> (ImapDestination, Stored) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stored = Stored::default();
    let shared = Arc::clone(&stored);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (reader, writer) = socket.into_split();
            let reader = BufReader::new(reader);
            let picky = Picky {
                reader,
                writer,
                stored: Arc::clone(&shared),
            };
            tokio::spawn(picky.serve(capabilities));
        }
    });
    let config = ImapConfig::new("127.0.0.1")
        .with_port(port)
        .with_security(Security::Plain)
        .with_connections(1);
    let credentials = Arc::new(StaticCredential::new(Credential::password("ann", "x")));
    (
        ImapDestination::new(config, credentials, Edges::new()),
        stored,
    )
}

#[tokio::test]
async fn a_refused_keyword_costs_only_itself() {
    for capabilities in [
        "IMAP4rev1 LITERAL+ MULTIAPPEND",
        "IMAP4rev1 LITERAL+",
        "IMAP4rev1",
    ] {
        let (destination, stored) = picky(capabilities).await;
        for round in 0..2 {
            let items = vec![
                flagged("a", "\\Seen"),
                flagged("b", "\\Flagged plain odd/one"),
                flagged("c", "ODD/ONE"),
                flagged("d", "plain"),
            ];
            let mark = Mark::counted("7", 1);
            let batch = Batch::new(FolderId::new("Box"), mark, items, Arc::new(NoFence));
            let mut outcomes: Vec<_> = destination.append(batch).collect().await;
            outcomes.sort_by_key(|(slot, _)| *slot);
            for (slot, outcome) in &outcomes {
                let Outcome::Stored(receipt) = outcome else {
                    panic!("{outcome:?}")
                };
                let dropped = receipt
                    .altered
                    .iter()
                    .map(|one| (one.kind, one.detail.to_lowercase()));
                let wanted = match slot.index() {
                    1 | 2 => vec![(AlterationKind::FlagDropped, "odd/one".to_owned())],
                    _ => Vec::new(),
                };
                assert_eq!(
                    dropped.collect::<Vec<_>>(),
                    wanted,
                    "{capabilities} {round} {slot:?}"
                );
            }
            // Each once, in order, with what was left of its flags.
            let stored = std::mem::take(&mut *stored.lock().unwrap());
            let wanted = [
                ("a", "\\Seen"),
                ("b", "\\Flagged plain"),
                ("c", ""),
                ("d", "plain"),
            ];
            let wanted: Vec<_> = wanted
                .iter()
                .map(|(name, flags)| (mail(name), (*flags).to_owned()))
                .collect();
            let stored: Vec<_> = stored
                .into_iter()
                .map(|(body, flags)| {
                    // A message without flags has its date first.
                    let flags = if flags.contains("-2020") {
                        String::new()
                    } else {
                        flags
                    };
                    (body, flags)
                })
                .collect();
            assert_eq!(stored, wanted, "{capabilities} {round}");
        }
    }
}
