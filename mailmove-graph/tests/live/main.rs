//! The same small migration against a tenant, where one is given, and against the test server: mail of all kinds to
//! a mailbox in Microsoft 365, verified, a second pass, and back again, verified.
//!
//! Off unless these are set: `MAILMOVE_GRAPH_LIVE` (`TENANT APPLICATION-ID USER`) and
//! `MAILMOVE_GRAPH_LIVE_SECRET` (the application's secret; it needs `Mail.ReadWrite`, see docs/microsoft-365.md). All of it
//! happens below a folder of its own, `mailmove live …`, which is removed in the end, also after a failure; what
//! is older in the mailbox is neither read nor touched, except for the list of its folders.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a panic is how a test fails, and the counts are its result"
)]

use std::{sync::Arc, time::SystemTime};

use mailmove_core::{
    Edges, Migration, Options, Report, Source as _,
    destination::Depth,
    edge::{Credential, CredentialProvider, CredentialRequest, Secret},
    map::Pattern,
    model::{FolderPath, Role},
    report::Status,
    store::MemoryStore,
};
use mailmove_graph::{
    GraphConfig, GraphDestination, GraphSource, Login, LoginConfig, Protected, Writing,
};
use mailmove_graph_testserver::Server;
use mailmove_testkit::{
    corpus::Corpus,
    mailbox::{Account, InternalDate, NewMessage, Store},
    memory::MemoryMailbox,
};

/// A mailbox, and how to log in.
struct Place {
    config: GraphConfig,
    login: Arc<Login>,
    edges: Edges,
    /// The folder of its own.
    folder: FolderPath,
}

impl Place {
    fn new(config: GraphConfig, login: LoginConfig) -> Self {
        let edges = Edges::new();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let name = format!("mailmove live {}", since.unwrap().as_millis());
        Self {
            config,
            login: Arc::new(Login::new(login, edges.clone())),
            edges,
            folder: FolderPath::new([name.as_str()]),
        }
    }

    fn destination(&self) -> GraphDestination {
        let writing = Writing::new().with_protected(Protected::Store);
        let login = Arc::<Login>::clone(&self.login);
        GraphDestination::with(self.config.clone(), writing, login, self.edges.clone())
    }

    fn source(&self) -> GraphSource {
        let login = Arc::<Login>::clone(&self.login);
        GraphSource::new(self.config.clone(), login, self.edges.clone())
    }

    /// Removes the folder with all that is in it.
    async fn clean(&self) {
        let folders = self.source().folders().await.unwrap();
        let Some(folder) = folders.iter().find(|folder| folder.path == self.folder) else {
            return;
        };
        let request = CredentialRequest::new(self.config.endpoint());
        let credential = self.login.credential(request).await.unwrap();
        let Credential::BearerToken { token, .. } = credential else {
            panic!("no token");
        };
        let escaped = |text: &str| -> String {
            let byte = |byte: u8| match byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
                true => char::from(byte).to_string(),
                false => format!("%{byte:02X}"),
            };
            text.bytes().map(byte).collect()
        };
        let url = format!(
            "{}/users/{}/mailFolders/{}",
            self.config.base(),
            escaped(self.config.user()),
            escaped(folder.id.as_str())
        );
        let tls = (*self.config.tls().client_config().unwrap()).clone();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .build()
            .unwrap();
        let asked = client
            .delete(url)
            .bearer_auth(token.expose())
            .header("Prefer", "IdType=\"ImmutableId\"");
        let status = asked.send().await.unwrap().status();
        assert!(status.is_success(), "the folder stays: {status}");
    }
}

/// Mail of all kinds in three folders.
fn fill(account: &Account) {
    account.create(&["Work"]).unwrap();
    account.create(&["Work", "2019"]).unwrap();
    let paths: [&[&str]; 3] = [&["INBOX"], &["Work"], &["Work", "2019"]];
    for (mail, path) in Corpus::new(5).messages(60).zip(paths.iter().cycle()) {
        let folder = account.folder(path).unwrap().id;
        let date = InternalDate::utc(mail.received.seconds());
        let message = NewMessage::new(mail.body)
            .with_date(date)
            .with_flags(["\\Seen"]);
        account.append(folder, vec![message]).unwrap();
    }
}

fn total(report: &Report) -> u64 {
    assert_eq!(report.status(), Status::Complete, "{report:#?}");
    assert!(report.total().is_closed());
    report.total().copied
}

async fn there_and_back(place: &Place) {
    let store = Store::new();
    let (here, again) = (store.add_account("here"), store.add_account("again"));
    fill(&here);
    let there = {
        let mut options = Options::new();
        options.folders.root = Some(place.folder.clone());
        let source = MemoryMailbox::new(here).source();
        Migration::builder(source, place.destination())
            .store(MemoryStore::new())
            .options(options)
            .build()
            .unwrap()
    };
    assert_eq!(total(&there.run().await.unwrap()), 60);
    let verified = there.verify(Depth::Content).await.unwrap();
    assert!(verified.is_clean(), "{verified:#?}");
    println!("losses there: {:?}", verified.losses);
    assert_eq!(total(&there.run().await.unwrap()), 0);
    let back = {
        let mut options = Options::new();
        let below = format!("{}/**", place.folder);
        options.folders.include = vec![Pattern::new(&below).unwrap()];
        let destination = MemoryMailbox::new(again).destination();
        Migration::builder(place.source(), destination)
            .store(MemoryStore::new())
            .options(options)
            .build()
            .unwrap()
    };
    assert_eq!(total(&back.run().await.unwrap()), 60);
    let verified = back.verify(Depth::Content).await.unwrap();
    assert!(verified.is_clean(), "{verified:#?}");
}

/// As a future of its own, so that the folder is removed whatever becomes of it.
async fn run(place: Place) {
    let place = Arc::new(place);
    let moves = Arc::clone(&place);
    let ended = tokio::spawn(async move { there_and_back(&moves).await }).await;
    place.clean().await;
    let left = place.source().folders().await.unwrap();
    let deleted = left.iter().find(|folder| folder.role == Some(Role::Trash));
    let below = |folder: &FolderPath| {
        deleted.is_some_and(|trash| folder.names().starts_with(trash.path.names()))
    };
    assert!(
        left.iter()
            .all(|folder| !folder.path.to_string().contains("mailmove live") || below(&folder.path))
    );
    ended.unwrap();
}

#[tokio::test]
async fn a_tenant() {
    let Ok(mailbox) = std::env::var("MAILMOVE_GRAPH_LIVE") else {
        println!("not run: MAILMOVE_GRAPH_LIVE is not set");
        return;
    };
    let mut words = mailbox.split_whitespace().map(str::to_owned);
    let [tenant, client, user] = [(); 3].map(|()| words.next().unwrap());
    let secret = Secret::new(std::env::var("MAILMOVE_GRAPH_LIVE_SECRET").unwrap());
    let login = LoginConfig::with_secret(tenant.clone(), client, secret);
    run(Place::new(GraphConfig::new(tenant, user), login)).await;
}

#[tokio::test]
async fn the_test_server() {
    let builder = Server::builder(Store::new())
        .user("ann")
        .client("app", "secret");
    let server = builder
        .rebuilds_mime()
        .without_shape_gate()
        .start()
        .await
        .unwrap();
    let login = LoginConfig::with_secret(server.tenant(), "app", Secret::new("secret"));
    let login = login.with_authority(&server.login_url()).unwrap();
    let config = GraphConfig::new(server.tenant(), "ann@example.com");
    let config = config
        .with_base(&server.url())
        .unwrap()
        .with_upload_host("127.0.0.1");
    run(Place::new(config, login)).await;
}
