//! XOAUTH2 and OAUTHBEARER, and what happens when a token ends.

use std::{sync::Arc, time::Duration};

use mailmove_core::{
    Destination as _, Edges, ErrorKind, Migration, Retry,
    edge::{Credential, Secret, StaticCredential},
    report::Status,
    store::MemoryStore,
};
use mailmove_imap::Security;
use mailmove_imap_testserver::{Action, Capability, Server, Tokens};
use mailmove_testkit::{
    clock::TestClock,
    corpus::{Corpus, CorpusFolder},
    snapshot::Snapshot,
};

use crate::support::{
    PASSWORD, Renewing, Then, USER, config, destination, failure, server, source,
};

#[tokio::test]
async fn the_mechanism_follows_the_offer_with_and_without_an_initial_response() {
    for without in [
        &[][..],
        &[Capability::SaslIr],
        &[Capability::AuthXoauth2],
        &[Capability::AuthXoauth2, Capability::SaslIr],
        &[Capability::AuthOauthBearer],
    ] {
        let tokens = Tokens::default();
        let server = server(|server| {
            without
                .iter()
                .fold(server.tokens(&tokens), |server, one| server.without(*one))
        })
        .await;
        let good = Renewing::new(&tokens, tokens.issue(USER), 1, Then::Gives);
        let opened = destination(config(&server, Security::Tls), &good);
        assert_eq!(opened.folders().await.unwrap().len(), 1, "{without:?}");
        let counters = server.counters();
        assert_eq!(counters.command("AUTHENTICATE"), 1);
        assert_eq!((counters.command("LOGIN"), counters.bad), (0, 0));
        // A bad one is refused after a challenge that the client answers as its mechanism wants.
        let bad = Renewing::new(&tokens, "ya29.bad".to_owned(), 1, Then::Gives);
        let error = failure(&destination(config(&server, Security::Tls), &bad)).await;
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Auth, "imap/token")
        );
        let reason = error.context().find(|(name, _)| *name == "reason");
        assert!(reason.unwrap().1.contains("invalid_token"), "{error:?}");
        assert!(error.chain().contains("withdrawn") && error.remedy().is_some());
        assert_eq!((server.counters().bad, tokens.logins()), (0, (1, 1)));
    }
}

#[tokio::test]
async fn user_names_with_commas_and_equals_signs_arrive() {
    let tokens = Tokens::default();
    let odd = "a=b,c@example.com";
    let server = server(|server| {
        server
            .user(odd, PASSWORD)
            .tokens(&tokens)
            .without(Capability::AuthXoauth2)
    })
    .await;
    let credential = Arc::new(StaticCredential::new(Credential::BearerToken {
        user: odd.to_owned(),
        token: Secret::new(tokens.issue(odd)),
    }));
    let opened = destination(config(&server, Security::Plain), &credential);
    assert_eq!(opened.folders().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_that_ended_is_asked_for_anew_once() {
    let tokens = Tokens::default();
    let server = server(|server| server.tokens(&tokens)).await;
    let old = tokens.issue_for_seconds(USER, 3600);
    tokens.advance(3600);
    let provider = Renewing::new(&tokens, old, 9, Then::Renews);
    let opened = destination(config(&server, Security::Tls), &provider);
    opened.folders().await.unwrap();
    // Asked, asked whether another connection has a new one already, and told of the refusal.
    assert_eq!(provider.asked(), (3, 1));
    assert_eq!(
        (tokens.logins(), server.counters().connections),
        ((1, 1), 1)
    );
}

#[tokio::test]
async fn a_token_that_another_connection_renewed_is_taken_without_telling_of_a_refusal() {
    #[derive(Debug)]
    struct Changing(std::sync::Mutex<Vec<String>>);
    #[async_trait::async_trait]
    impl mailmove_core::edge::CredentialProvider for Changing {
        async fn credential(
            &self,
            request: mailmove_core::edge::CredentialRequest,
        ) -> mailmove_core::Result<Credential> {
            assert!(!request.refused);
            Ok(Credential::BearerToken {
                user: USER.to_owned(),
                token: Secret::new(self.0.lock().unwrap().remove(0)),
            })
        }
    }
    let tokens = Tokens::default();
    let server = server(|server| server.tokens(&tokens)).await;
    let row = vec!["ya29.old".to_owned(), tokens.issue(USER)];
    let provider = Arc::new(Changing(row.into()));
    let opened = destination(config(&server, Security::Tls), &provider);
    opened.folders().await.unwrap();
    assert_eq!(tokens.logins(), (1, 1));
}

#[tokio::test]
async fn a_token_that_stays_refused_is_not_tried_again_and_again() {
    let tokens = Tokens::default();
    let server = server(|server| server.tokens(&tokens)).await;
    // Each new token is as bad as the first.
    let provider = Renewing::new(&tokens, "ya29.bad".to_owned(), 0, Then::Renews);
    let opened = destination(config(&server, Security::Tls), &provider);
    for tries in [2, 3, 4] {
        let error = failure(&opened).await;
        assert_eq!((error.code(), error.retry()), ("imap/token", Retry::Never));
        // From the second request on the provider knows at once, and one try is enough.
        assert_eq!(tokens.logins(), (0, tries));
    }
}

#[tokio::test]
async fn no_token_goes_where_it_is_not_asked_for() {
    let tokens = Tokens::default();
    let without = server(|server| server).await;
    let provider = Renewing::new(&tokens, tokens.issue(USER), 1, Then::Gives);
    let error = failure(&destination(config(&without, Security::Tls), &provider)).await;
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Auth, "imap/no-oauth")
    );
    assert!(error.remedy().unwrap().contains("application password"));
    let tls_only = server(|server| server.tokens(&tokens).login_needs_tls()).await;
    let error = failure(&destination(config(&tls_only, Security::Plain), &provider)).await;
    assert_eq!(error.code(), "imap/login-disabled");
    for server in [&without, &tls_only] {
        assert_eq!(server.counters().command("AUTHENTICATE"), 0);
    }
    let odd = Renewing::new(&tokens, "two words".to_owned(), 1, Then::Gives);
    let error = failure(&destination(config(&tls_only, Security::Tls), &odd)).await;
    assert_eq!(error.code(), "imap/login-text");
}

fn fill(server: &Server, messages: usize) {
    let folders = [&["INBOX"][..], &["Letters"]].map(CorpusFolder::new);
    Corpus::new(3)
        .with_folders(folders.into())
        .with_median(600)
        .with_largest(3_000)
        .with_special(0)
        .fill(&server.store().account(USER).unwrap(), messages)
        .unwrap();
}

fn difference(from: &Server, to: &Server) -> Vec<String> {
    let snapshot = |server: &Server| Snapshot::of(&server.store().account(USER).unwrap());
    snapshot(from).diff(&snapshot(to)).lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_when_tokens_end_in_the_middle() {
    let tokens = Tokens::default();
    let (from, to) = (
        server(|server| server.tokens(&tokens)).await,
        server(|server| server.tokens(&tokens)).await,
    );
    fill(&from, 300);
    // Each token is good for one login, and the connections break now and then.
    let give = || Renewing::new(&tokens, tokens.issue_for_logins(USER, 1), 1, Then::Renews);
    let (left, right) = (give(), give());
    for nth in [2, 3, 4] {
        from.faults()
            .arm("UID FETCH", nth, Action::CloseInReply(700));
    }
    to.faults().arm("APPEND", 2, Action::CloseUnanswered);
    let migration = Migration::builder(
        source(config(&from, Security::Plain).with_connections(1), &left),
        destination(config(&to, Security::Plain).with_connections(1), &right),
    )
    .store(MemoryStore::new())
    // Waits take no time.
    .edges(Edges::new().with_clock(Arc::new(TestClock::jumping(Duration::from_secs(1)))))
    .build()
    .unwrap();
    let report = migration.run().await.unwrap();
    assert_eq!(report.status(), Status::Complete, "{report:#?}");
    assert_eq!(difference(&from, &to), Vec::<String>::new());
    assert!(from.faults().struck() >= 3 && to.faults().struck() == 1);
    for provider in [left, right] {
        assert!(provider.asked().1 > 0, "{:?}", provider.asked());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_the_user_stops_the_run_as_such_and_it_goes_on_afterwards() {
    let tokens = Tokens::default();
    let (from, to) = (
        server(|server| server.tokens(&tokens)).await,
        server(|server| server).await,
    );
    fill(&from, 200);
    let first = tokens.issue_for_logins(USER, 1);
    let left = Renewing::new(&tokens, first, 50, Then::Waits);
    let right = Arc::new(StaticCredential::new(Credential::password(USER, PASSWORD)));
    from.faults().arm("UID FETCH", 2, Action::Close);
    let migration = Migration::builder(
        source(config(&from, Security::Plain).with_connections(1), &left),
        destination(config(&to, Security::Plain), &right),
    )
    .store(MemoryStore::new())
    .build()
    .unwrap();
    let report = migration.run().await.unwrap();
    let stopped = report.stopped.clone().unwrap();
    assert_eq!(
        (stopped.kind, stopped.code.as_str()),
        ("waiting-for-user", "test/consent")
    );
    // The user consents.
    left.then(Then::Renews);
    let report = migration.run().await.unwrap();
    assert_eq!(report.status(), Status::Complete, "{report:#?}");
    assert_eq!(difference(&from, &to), Vec::<String>::new());
}
