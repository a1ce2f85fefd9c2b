//! Logging in.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mailmove_core::{
    Edges, ErrorKind, Source as _,
    edge::{Clock as _, Secret},
    error::Scope,
};
use mailmove_graph::{DevicePrompt, GraphSource, Login, LoginConfig, Prompt};
use mailmove_graph_testserver::{Action, Server};
use mailmove_testkit::clock::TestClock;

use crate::support::{config, fill, refusal, source, start};

const CERTIFICATE: &str = include_str!("../../testserver/fixture/certificate.pem");
const KEY: &str = include_str!("../../testserver/fixture/key.pem");

fn clock() -> TestClock {
    TestClock::new(Duration::from_secs(1_767_225_600))
}

fn with_secret(server: &Server, secret: &str) -> LoginConfig {
    LoginConfig::with_secret(server.tenant(), "program", Secret::new(secret))
        .with_authority(&server.login_url())
        .unwrap()
}

fn logged_in(server: &Server, login: LoginConfig, clock: &TestClock) -> (GraphSource, Login) {
    let edges = Edges::new().with_clock(Arc::new(clock.clone()));
    let login = Login::new(login, edges.clone());
    let source = GraphSource::new(config(server), Arc::new(login.clone()), edges);
    (source, login)
}

async fn registered(clock: &TestClock) -> Server {
    let clock = Arc::new(clock.clone());
    start(|builder| builder.client("program", "s+/=&").clock(clock)).await
}

#[tokio::test]
async fn one_token_serves_until_shortly_before_its_end() {
    let clock = clock();
    let server = registered(&clock).await;
    let (source, _) = logged_in(&server, with_secret(&server, "s+/=&"), &clock);
    // It is renewed at 3,299 s: five minutes before its end.
    for (advance, tokens) in [(0, 1), (1000, 1), (2200, 1), (110, 2), (3000, 2)] {
        clock.advance(Duration::from_secs(advance));
        source.folders().await.unwrap();
        assert_eq!(server.counters().tokens, tokens, "after {advance} more");
    }
    assert_eq!(server.counters().answer(401), 0);
}

#[tokio::test]
async fn those_who_need_a_token_at_once_wait_for_one() {
    let clock = clock();
    let server = registered(&clock).await;
    let (source, login) = logged_in(&server, with_secret(&server, "s+/=&"), &clock);
    let edges = Edges::new().with_clock(Arc::new(clock.clone()));
    let other = GraphSource::new(config(&server), Arc::new(login), edges);
    let asked = (0..6).map(|n| {
        let source = if n % 2 == 0 {
            source.clone()
        } else {
            other.clone()
        };
        async move { source.folders().await }
    });
    for answer in futures_util::future::join_all(asked).await {
        answer.unwrap();
    }
    assert_eq!(server.counters().tokens, 1);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_nothing_is_lost() {
    let clock = clock();
    let server = registered(&clock).await;
    let (source, _) = logged_in(&server, with_secret(&server, "s+/=&"), &clock);
    source.folders().await.unwrap();
    clock.advance(Duration::from_secs(30));
    server.revoke_tokens();
    source.folders().await.unwrap();
    assert_eq!(server.counters().tokens, 2);
    assert_eq!(server.counters().answer(401), 1);
    // One that is refused again is given up on.
    server
        .faults()
        .arm_from("GetFolder", 1, Action::Status(401));
    server
        .faults()
        .arm_from("ListFolders", 1, Action::Status(401));
    let error = refusal(&source).await;
    assert_eq!(
        (error.code(), error.kind()),
        ("graph/login", ErrorKind::Auth)
    );
}

#[tokio::test]
async fn a_static_token_that_is_refused_is_not_sent_again() {
    let server = start(|builder| builder.token("other", "ann")).await;
    let refused = Arc::new(mailmove_core::edge::StaticCredential::new(
        mailmove_core::edge::Credential::BearerToken {
            user: "ann".to_owned(),
            token: Secret::new("stale-token"),
        },
    ));
    let source = GraphSource::new(config(&server), refused, Edges::new());
    let error = refusal(&source).await;
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert_eq!(server.counters().requests, 1);
}

#[tokio::test]
async fn a_challenge_for_claims_is_told_with_the_claims() {
    let server = start(|builder| builder).await;
    fill(&server, 1);
    let claims = r#"{"access_token":{"nbf":{"essential":true}}}"#;
    let source = source(config(&server));
    let found = crate::support::all(&source).await;
    server
        .faults()
        .arm("GetMime", 1, Action::Claims(claims.to_owned()));
    let fetched = crate::support::fetch(&source, crate::support::ids(&found)).await;
    let mailmove_core::source::Fetched::Failed(error) = &fetched[0].1 else {
        panic!("a content");
    };
    assert_eq!(error.code(), "graph/claims-challenge");
    assert_eq!(error.scope(), Scope::Account);
    let told = error
        .context()
        .any(|(name, value)| name == "claims" && value == claims);
    assert!(told, "{error}");
}

#[tokio::test]
async fn a_certificate_logs_in() {
    let clock = clock();
    let der = {
        use rustls_pki_types::pem::PemObject as _;
        rustls_pki_types::CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()
    };
    let server = start(|builder| {
        builder
            .client_certificate("program", &der)
            .clock(Arc::new(clock.clone()))
    })
    .await;
    let pem = Secret::new(format!("{KEY}\n{CERTIFICATE}"));
    let login = LoginConfig::with_certificate(server.tenant(), "program", pem).unwrap();
    let shown = format!("{login:?}");
    assert!(
        !shown.contains("PRIVATE") && !shown.contains("MII"),
        "{shown}"
    );
    let login = login.with_authority(&server.login_url()).unwrap();
    let (source, _) = logged_in(&server, login, &clock);
    source.folders().await.unwrap();
    assert_eq!(server.counters().tokens, 1);
    for bad in ["", CERTIFICATE, KEY] {
        let error = LoginConfig::with_certificate("t", "c", Secret::new(bad)).unwrap_err();
        assert_eq!(error.code(), "login/certificate-file");
    }
}

#[tokio::test]
async fn what_the_login_refuses_is_told_by_name() {
    let clock = clock();
    let server = registered(&clock).await;
    for (login, code) in [
        (with_secret(&server, "wrong"), "login/secret"),
        (
            LoginConfig::with_secret(server.tenant(), "nobody", Secret::new("x"))
                .with_authority(&server.login_url())
                .unwrap(),
            "login/no-program",
        ),
        (
            LoginConfig::with_secret("nowhere.example", "program", Secret::new("x"))
                .with_authority(&server.login_url())
                .unwrap(),
            "login/no-tenant",
        ),
    ] {
        let (source, _) = logged_in(&server, login, &clock);
        let error = refusal(&source).await;
        assert_eq!((error.code(), error.kind()), (code, ErrorKind::Auth));
        assert!(error.remedy().is_some());
        assert!(!error.chain().contains("wrong"), "{}", error.chain());
    }
    // No request of the mailbox was sent.
    assert_eq!(server.counters().operation("GetFolder"), 0);
}

#[derive(Debug, Default)]
struct Shown(Mutex<Vec<DevicePrompt>>);

impl Prompt for Shown {
    fn show(&self, prompt: &DevicePrompt) {
        self.0.lock().unwrap().push(prompt.clone());
    }
}

impl Shown {
    fn last(&self) -> DevicePrompt {
        self.0.lock().unwrap().last().unwrap().clone()
    }
}

#[tokio::test]
async fn a_user_logs_in_by_a_code_and_then_no_more() {
    let clock = clock();
    let clocked = Arc::new(clock.clone());
    let server = start(|builder| builder.public_client("program").clock(clocked)).await;
    let shown = Arc::new(Shown::default());
    let login = |shown: &Arc<Shown>| {
        LoginConfig::with_device_code(server.tenant(), "program", Some(Arc::clone(shown) as _))
            .with_authority(&server.login_url())
            .unwrap()
    };
    let edges = Edges::new().with_clock(Arc::new(clock.clone()));
    let provider = Login::new(login(&shown), edges.clone());
    let config = config(&server).with_delegated(true);
    let source = GraphSource::new(config.clone(), Arc::new(provider.clone()), edges.clone());
    let error = refusal(&source).await;
    assert_eq!(error.kind(), ErrorKind::WaitingForUser);
    let prompt = shown.last();
    let remedy = error.remedy().unwrap();
    assert!(
        remedy.contains(&prompt.code) && remedy.contains(&prompt.address),
        "{remedy}"
    );
    // Not asked too soon, and the user is not asked twice.
    for _ in 0..3 {
        assert_eq!(refusal(&source).await.kind(), ErrorKind::WaitingForUser);
    }
    clock.advance(Duration::from_secs(6));
    assert_eq!(refusal(&source).await.kind(), ErrorKind::WaitingForUser);
    assert!(server.approve_device(&prompt.code, "ann"));
    clock.advance(Duration::from_secs(6));
    source.folders().await.unwrap();
    assert_eq!(shown.0.lock().unwrap().len(), 1);
    // An hour later nobody has to log in.
    clock.advance(Duration::from_secs(3600));
    source.folders().await.unwrap();
    let refresh = provider.refresh_token().await.unwrap();
    let later = Login::new(login(&shown).with_refresh_token(refresh), edges.clone());
    let later = GraphSource::new(config, Arc::new(later), edges);
    later.folders().await.unwrap();
    assert_eq!(shown.0.lock().unwrap().len(), 1);
    // What was revoked has to be given anew.
    server.revoke_refresh_tokens();
    server.revoke_tokens();
    clock.advance(Duration::from_secs(30));
    assert_eq!(refusal(&later).await.kind(), ErrorKind::WaitingForUser);
    assert_eq!(shown.0.lock().unwrap().len(), 2);
    assert!(server.decline_device(&shown.last().code));
    clock.advance(Duration::from_secs(6));
    assert_eq!(refusal(&later).await.code(), "login/declined");
}

#[tokio::test]
async fn a_clock_that_was_set_back_keeps_nobody_from_asking_for_the_user() {
    let clock = clock();
    let server = start(|builder| builder.public_client("program")).await;
    let shown = Arc::new(Shown::default());
    let login =
        LoginConfig::with_device_code(server.tenant(), "program", Some(Arc::clone(&shown) as _));
    let login = login.with_authority(&server.login_url()).unwrap();
    let edges = Edges::new().with_clock(Arc::new(clock.clone()));
    let provider = Arc::new(Login::new(login, edges.clone()));
    let config = config(&server).with_delegated(true);
    let source = GraphSource::new(config, provider, edges);
    assert_eq!(refusal(&source).await.kind(), ErrorKind::WaitingForUser);
    clock.set(clock.now() - Duration::from_secs(86_400));
    assert!(server.approve_device(&shown.last().code, "ann"));
    source.folders().await.unwrap();
    assert_eq!(shown.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn who_waits_for_the_user_goes_on_when_the_user_is_done() {
    let clock = TestClock::jumping(clock().now());
    let clocked = Arc::new(clock.clone());
    let server = Arc::new(start(|builder| builder.public_client("program").clock(clocked)).await);
    let shown = Arc::new(Shown::default());
    let login =
        LoginConfig::with_device_code(server.tenant(), "program", Some(Arc::clone(&shown) as _));
    let login = login.with_authority(&server.login_url()).unwrap();
    let login = Login::new(login, Edges::new().with_clock(Arc::new(clock.clone())));
    let approving = async {
        loop {
            let code = shown
                .0
                .lock()
                .unwrap()
                .last()
                .map(|prompt| prompt.code.clone());
            if let Some(code) = code {
                assert!(server.approve_device(&code, "ann"));
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    let (answer, ()) = tokio::join!(login.log_in(), approving);
    answer.unwrap();
}

#[tokio::test]
async fn who_keeps_us_out_is_told_with_a_remedy() {
    for (name, change, code, kind) in [
        (
            "not enabled",
            (|builder: mailmove_graph_testserver::Builder| builder.not_enabled("ann"))
                as fn(mailmove_graph_testserver::Builder) -> mailmove_graph_testserver::Builder,
            "graph/no-mailbox",
            ErrorKind::NotFound,
        ),
        (
            "policy",
            |builder| builder.denied("ann"),
            "graph/denied",
            ErrorKind::Denied,
        ),
        (
            "consent",
            |builder| builder.without_consent(),
            "graph/no-consent",
            ErrorKind::Denied,
        ),
    ] {
        let server = start(change).await;
        let source = source(config(&server));
        for error in [
            refusal(&source).await,
            source.capabilities().await.unwrap_err(),
        ] {
            assert_eq!(
                (error.code(), error.kind()),
                (code, kind),
                "{name}: {error}"
            );
            assert_eq!(error.scope(), Scope::Account, "{name}");
            assert!(error.remedy().is_some() && !error.is_transient(), "{name}");
        }
    }
    let server = start(|builder| builder).await;
    let nobody = mailmove_graph::GraphConfig::new(server.tenant(), "nobody@example.com");
    let nobody = source(nobody.with_base(&server.url()).unwrap());
    assert_eq!(refusal(&nobody).await.code(), "graph/no-user");
}
