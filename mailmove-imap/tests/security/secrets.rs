//! Passwords and tokens that can be recognised go through whole migrations and failing logins; then
//! all that was logged, told, returned and written is searched for them.

use std::{
    fmt::{self, Write as _},
    path::Path,
    sync::{Arc, Mutex, OnceLock},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailmove_core::{
    Edges, Event, Migration, Observer, Source as _,
    edge::{Credential, MemoryBudget, Secret, Spool, StaticCredential, tls::TlsSettings},
    report::Status,
    store::SqliteStore,
};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use mailmove_imap_testserver::{Capability, Server, Tokens};
use mailmove_testkit::{corpus::Corpus, mailbox::Store};
use tracing::{Metadata, Subscriber, field::Visit, span};

use crate::hostile::{Answer, hostile};

const PASSWORD: &str = "pa55-word:\"of\\ann";
const ADMIN: &str = "pa55-word-of-root";
/// What is in all of them, and nowhere else.
const MARKS: [&str; 2] = ["pa55-word", "t0ken"];

// ---- the log -----------------------------------------------------------------------------------

/// Everything that is logged in this process, at any level, by whoever.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Log {
    fn add(&self, text: Text) {
        let mut lines = self.0.lock().unwrap();
        // The floods of other tests say much.
        let own: String = text.0.chars().take(2000).collect();
        lines.push(own);
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut text = Text(attributes.metadata().name().to_owned());
        attributes.record(&mut text);
        self.add(text);
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        let mut text = Text(String::new());
        values.record(&mut text);
        self.add(text);
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(event.metadata().target().to_owned());
        event.record(&mut text);
        self.add(text);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn log() -> Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    let begin = || {
        let log = Log::default();
        tracing::subscriber::set_global_default(log.clone()).unwrap();
        log
    };
    LOG.get_or_init(begin).clone()
}

/// Everything that is told.
#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<String>>);

impl Observer for Told {
    fn on(&self, event: &Event) {
        let json = serde_json::to_string(event).unwrap();
        let _ = write!(self.0.lock().unwrap(), "{event:?} {json}");
    }
}

// ---- what is looked for --------------------------------------------------------------------------

/// In clear, as base64 wherever it may begin in a group, and as bytes shown by `escape_ascii`.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), secret.escape_default().to_string()];
    for skip in 0..3 {
        let padded = format!("{}{secret}", "x".repeat(skip));
        let coded = STANDARD.encode(padded);
        // The groups at both ends hold something else, too.
        forms.push(
            coded
                .get(4..coded.len().saturating_sub(4))
                .unwrap()
                .to_owned(),
        );
    }
    forms
}

#[track_caller]
fn clean(what: &str, text: &str) {
    for form in MARKS.iter().flat_map(|mark| forms(mark)) {
        if let Some(at) = text.find(&form).filter(|_| !form.is_empty()) {
            let from = text.floor_char_boundary(at.saturating_sub(200));
            let to = text.ceil_char_boundary((at + 100).min(text.len()));
            panic!("{form:?} in {what}: {}", &text[from..to]);
        }
    }
}

fn clean_files(directory: &Path) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        clean(
            &path.display().to_string(),
            &String::from_utf8_lossy(&bytes),
        );
        files += 1;
    }
    files
}

// ---- migrations ------------------------------------------------------------------------------------

struct Side {
    server: Server,
    credential: Credential,
}

impl Side {
    async fn new(credential: Credential, tokens: &Tokens, without: &[Capability]) -> Self {
        let builder = Server::builder(Store::new())
            .user("ann", PASSWORD)
            .admin("root", ADMIN)
            .tokens(tokens);
        let builder = without
            .iter()
            .fold(builder, |builder, one| builder.without(*one));
        let server = builder.start().await.unwrap();
        Self { server, credential }
    }

    fn config(&self) -> ImapConfig {
        ImapConfig::new("127.0.0.1")
            .with_port(self.server.tls_address().port())
            .with_user("ann")
            .with_security(Security::Tls)
            .with_tls(
                TlsSettings::new().with_extra_ca_pem(self.server.ca_pem().as_bytes().to_vec()),
            )
    }
}

fn given(credential: &Credential) -> Arc<StaticCredential> {
    Arc::new(StaticCredential::new(credential.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_migration_leaves_no_secret_behind() {
    let log = log();
    let tokens = Tokens::default();
    let issue = || Credential::BearerToken {
        user: "ann".to_owned(),
        token: Secret::new(tokens.issue("ann")),
    };
    let admin = Credential::Password {
        user: "root".to_owned(),
        password: Secret::new(ADMIN),
        authorize_as: Some("ann".to_owned()),
    };
    let literal = [Capability::AuthPlain];
    for (from, to, without) in [
        (Credential::password("ann", PASSWORD), issue(), &[][..]),
        (issue(), admin, &[]),
        (
            Credential::password("ann", PASSWORD),
            Credential::password("ann", PASSWORD),
            &literal,
        ),
    ] {
        let token_marks = tokens_of(&[&from, &to]);
        let from = Side::new(from, &tokens, without).await;
        let to = Side::new(to, &tokens, without).await;
        let account = from.server.store().account("ann").unwrap();
        Corpus::new(3)
            .with_median(600)
            .with_largest(3000)
            .fill(&account, 40)
            .unwrap();
        let place = tempfile::tempdir().unwrap();
        let edges = Edges::new().with_spool(Spool::new(place.path(), MemoryBudget::new(0)));
        let source = ImapSource::new(from.config(), given(&from.credential), edges.clone());
        let destination = ImapDestination::new(to.config(), given(&to.credential), edges.clone());
        let told = Told::default();
        let migration = Migration::builder(source.clone(), destination.clone())
            .store(SqliteStore::new(place.path()))
            .observer(told.clone())
            .edges(edges)
            .build()
            .unwrap();
        let report = migration.run().await.unwrap();
        assert_ne!(report.status(), Status::Stopped, "{report:#?}");
        assert!(report.total().copied >= 40);
        let seen = [
            format!("{report:?} {}", serde_json::to_string(&report).unwrap()),
            format!(
                "{source:?} {destination:?} {migration:?} {:?}",
                from.credential
            ),
            std::mem::take(&mut *told.0.lock().unwrap()),
            std::mem::take(&mut *log.0.lock().unwrap()).join("\n"),
        ];
        for (text, what) in seen.iter().zip(["report", "values", "events", "log"]) {
            assert!(!text.is_empty(), "nothing in {what}");
            clean(what, text);
            for token in &token_marks {
                assert!(!text.contains(token), "a token in {what}");
            }
        }
        assert!(clean_files(place.path()) > 0);
    }
}

fn tokens_of(credentials: &[&Credential]) -> Vec<String> {
    let tokens = credentials.iter().filter_map(|one| match one {
        Credential::BearerToken { token, .. } => Some(token.expose().to_owned()),
        _ => None,
    });
    tokens.collect()
}

/// A server that repeats what it was told, in any place where servers say something.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_repeats_the_secret_does_not_get_it_logged() {
    let log = log();
    let token = format!("ya29.t0ken-{}", "a1B2c3".repeat(40));
    for (credential, verb) in [
        (Credential::password("ann", PASSWORD), "LOGIN"),
        (
            Credential::BearerToken {
                user: "ann".to_owned(),
                token: Secret::new(token.clone()),
            },
            "AUTHENTICATE",
        ),
    ] {
        let secret = if verb == "LOGIN" { PASSWORD } else { &token };
        let coded = match verb {
            "LOGIN" => format!("\0ann\0{PASSWORD}"),
            _ => format!("user=ann\x01auth=Bearer {token}\x01\x01"),
        };
        let coded = STANDARD.encode(coded);
        for text in [
            "TAG NO cannot take SECRET\r\n",
            "TAG NO [X-GOT SECRET] no\r\n",
            "TAG BAD what is SECRET\r\n",
            "TAG BAD what is CODED\r\n",
            "* BYE SECRET is wrong\r\n",
            "* NO [ALERT] SECRET is weak\r\nTAG NO no\r\n",
            "* OK SECRET\r\nTAG NO no\r\n",
            "SECRET\r\n",
            "* LIST SECRET\r\nTAG NO no\r\n",
            "TAG OK welcome with SECRET\r\n* NO [ALERT] SECRET\r\n* BYE SECRET\r\n",
            "M9 OK SECRET\r\n",
        ] {
            let text = text.replace("SECRET", secret).replace("CODED", &coded);
            let server = hostile(move |command| match command {
                "" => Answer::text("* OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2 SASL-IR] hi\r\n"),
                _ if command.starts_with(verb) => Answer::text(text.clone()),
                _ => Answer::Usual,
            })
            .await;
            let source = server.source_as(&credential);
            let shown = match source.folders().await {
                Ok(folders) => format!("{folders:?}"),
                Err(error) => format!("{error} {error:?} {}", error.chain()),
            };
            clean("the error", &shown);
            let log = std::mem::take(&mut *log.0.lock().unwrap()).join("\n");
            clean("the log", &log);
        }
    }
}
