//! Logging in.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailmove_core::{
    Edges, ErrorKind, Result, Source as _,
    edge::{Credential, CredentialProvider, CredentialRequest, Secret, StaticCredential},
};
use mailmove_ews::{Auth, EwsSource};
use mailmove_ews_testserver::{Action, Binding, Builder, Certificate, Scheme};

use crate::support::{PASSWORD, config, fill, inbox, password, secure, source, start};

#[tokio::test]
async fn ntlm_is_bound_to_the_servers_certificate_whatever_its_hash() {
    for (certificate, binding) in [
        (Certificate::EcdsaSha256, Binding::Require),
        (Certificate::EcdsaSha384, Binding::Require),
        // There is none to such a certificate.
        (Certificate::Ed25519, Binding::Allow),
    ] {
        for (scheme, auth, name) in [
            (Scheme::Ntlm, Auth::Offered, "NTLM"),
            (Scheme::Negotiate, Auth::Offered, "Negotiate"),
            (Scheme::Ntlm, Auth::Ntlm, "NTLM"),
            (Scheme::Negotiate, Auth::Negotiate, "Negotiate"),
        ] {
            let server = start(|builder| {
                builder
                    .schemes(&[scheme, Scheme::Basic])
                    .binding(binding)
                    .certificate(certificate)
            })
            .await;
            let source = source(secure(&server).with_auth(auth));
            source.capabilities().await.unwrap();
            let logins = server.counters().logins;
            assert_eq!(logins.keys().collect::<Vec<_>>(), [name]);
        }
    }
}

#[tokio::test]
async fn a_balancer_with_another_certificate_is_told_and_basic_never_follows() {
    let server = start(|builder| {
        builder
            .schemes(&[Scheme::Ntlm, Scheme::Basic])
            .binding(Binding::Require)
            .other_certificate()
    })
    .await;
    let error = source(secure(&server)).capabilities().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Auth, "ews/ntlm-refused")
    );
    assert!(error.remedy().unwrap().contains("Extended Protection"));
    assert!(server.counters().logins.is_empty());
}

#[tokio::test]
async fn wrong_passwords_are_refused_once() {
    for scheme in [Scheme::Basic, Scheme::Ntlm] {
        let server = start(|builder| builder.schemes(&[scheme])).await;
        let wrong = Arc::new(StaticCredential::new(Credential::password("ann", "wrong")));
        let source = EwsSource::new(secure(&server), wrong, Edges::new());
        let error = source.capabilities().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.is_transient()),
            (ErrorKind::Auth, false)
        );
        let shown = format!("{} {error:?} {source:?}", error.chain());
        assert!(!shown.contains("wrong"), "{shown}");
        assert!(server.counters().logins.is_empty());
    }
}

/// Gives an old token first, and a new one when that was refused.
#[derive(Debug, Default)]
struct Tokens(AtomicUsize);

#[async_trait]
impl CredentialProvider for Tokens {
    async fn credential(&self, request: CredentialRequest) -> Result<Credential> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let token = if request.refused { "new" } else { "old" };
        Ok(Credential::BearerToken {
            user: "ann".to_owned(),
            token: Secret::new(token),
        })
    }
}

#[tokio::test]
async fn nothing_that_can_be_shown_holds_a_password() {
    for scheme in [Scheme::Basic, Scheme::Ntlm, Scheme::Negotiate] {
        let server = start(|builder| builder.schemes(&[scheme])).await;
        for secret in [PASSWORD, "wrong pony"] {
            let login = Credential::password("ann", secret);
            let login = Arc::new(StaticCredential::new(login));
            let source = EwsSource::new(secure(&server), login, Edges::new());
            let answer = source.capabilities().await;
            assert_eq!(answer.is_ok(), secret == PASSWORD);
            let told = answer.err().map(|error| error.chain()).unwrap_or_default();
            let shown = format!("{source:?} {:?} {told}", source.folders().await);
            // And as Basic has it.
            for secret in [secret.to_owned(), STANDARD.encode(format!("ann:{secret}"))] {
                assert!(!shown.contains(&secret), "{scheme:?}: {shown}");
            }
        }
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let server = start(|builder| builder.schemes(&[Scheme::Bearer]).token("new", "ann")).await;
    let tokens = Arc::new(Tokens::default());
    let provider: Arc<dyn CredentialProvider> = Arc::clone(&tokens) as _;
    let source = EwsSource::new(secure(&server), provider, Edges::new());
    source.capabilities().await.unwrap();
    assert_eq!(tokens.0.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_administrator_opens_another_mailbox() {
    let server = start(|builder| builder.impersonator("admin", PASSWORD)).await;
    fill(&server, 3);
    let credential = Credential::Password {
        user: "admin".to_owned(),
        password: Secret::new(PASSWORD),
        authorize_as: Some("ann@example.com".to_owned()),
    };
    let provider = Arc::new(StaticCredential::new(credential));
    let source = EwsSource::new(config(&server), provider, Edges::new());
    assert_eq!(inbox(&source).await.messages, Some(3));
    assert_eq!(server.counters().foreign, 0);
    // A user who is no administrator may not.
    let server = start(|builder| builder.user("bob", PASSWORD)).await;
    let credential = Credential::Password {
        user: "bob".to_owned(),
        password: Secret::new(PASSWORD),
        authorize_as: Some("ann@example.com".to_owned()),
    };
    let provider = Arc::new(StaticCredential::new(credential));
    let source = EwsSource::new(config(&server), provider, Edges::new());
    let error = source.capabilities().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Denied, "ews/impersonation")
    );
}

#[tokio::test]
async fn archives_and_older_servers_are_read() {
    let server = start(|builder| builder.archive("ann").exchange_2010()).await;
    source(config(&server)).capabilities().await.unwrap();
    let archive = source(config(&server).with_archive(true));
    assert!(!archive.folders().await.unwrap().is_empty());
    let none = start(|builder| builder).await;
    let error = EwsSource::new(config(&none).with_archive(true), password(), Edges::new())
        .capabilities()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
}

#[tokio::test]
async fn what_was_switched_off_or_moved_says_so() {
    let server = start(Builder::disabled).await;
    let error = source(secure(&server)).capabilities().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Denied, "ews/disabled"),
        "{error:?}"
    );
    assert!(error.remedy().unwrap().contains("Graph"));
    // Nobody is followed elsewhere, password in hand.
    let server = start(|builder| builder).await;
    server.faults().arm("*", 1, Action::Status(302));
    let error = source(config(&server)).capabilities().await.unwrap_err();
    assert!(
        error.is_transient(),
        "the error page of a server under load: {error:?}"
    );
}
