//! One user opens another's mailbox.

use std::sync::Arc;

use mailmove_core::{
    Destination as _, ErrorKind,
    edge::{Credential, Secret, StaticCredential},
    model::FolderId,
};
use mailmove_imap::{ActAs, ImapDestination, Security};
use mailmove_imap_testserver::{Builder, Capability, Server};

use crate::support::{USER, config, destination, failure, server};

fn admin(server: &Server, style: ActAs, name: &str, mailbox: &str) -> ImapDestination {
    let credential = Credential::Password {
        user: name.to_owned(),
        password: Secret::new("toor s3cret"),
        authorize_as: Some(mailbox.to_owned()),
    };
    let config = config(server, Security::Tls).with_act_as(style);
    destination(config, &Arc::new(StaticCredential::new(credential)))
}

async fn admins(setup: impl FnOnce(Builder) -> Builder) -> Server {
    let server = server(|server| setup(server.admin("root", "toor s3cret"))).await;
    let account = server.store().account(USER).unwrap();
    account.create(&["Only Ann's"]).unwrap();
    server
}

/// The mailbox that was opened is Ann's, and is known as hers.
async fn is_anns(opened: &ImapDestination) {
    assert_eq!(opened.endpoint().user, USER);
    let mark = opened.mark(&FolderId::new("Only Ann's")).await;
    mark.unwrap();
}

#[tokio::test]
async fn every_style_opens_the_mailbox_by_login_and_by_plain() {
    for without in [None, Some(Capability::SaslIr), Some(Capability::AuthPlain)] {
        let server = admins(|server| {
            let server = server.master_logins('*').exchange_logins();
            without.map_or(server.clone(), |one| server.without(one))
        })
        .await;
        let verb = match without {
            Some(Capability::AuthPlain) => "LOGIN",
            _ => "AUTHENTICATE",
        };
        for (style, name) in [
            (ActAs::Master('*'), "root"),
            (ActAs::Exchange, "root"),
            (ActAs::Exchange, "EXAMPLE\\root"),
        ] {
            let before = server.counters().command(verb);
            is_anns(&admin(&server, style, name, USER)).await;
            assert_eq!(server.counters().command(verb), before + 1);
        }
        let authzid = admin(&server, ActAs::Authzid, "root", USER);
        if without == Some(Capability::AuthPlain) {
            let error = failure(&authzid).await;
            assert_eq!(
                (error.kind(), error.code()),
                (ErrorKind::Auth, "imap/no-plain")
            );
            assert!(error.remedy().unwrap().contains("style=master"));
        } else {
            is_anns(&authzid).await;
        }
    }
}

#[tokio::test]
async fn proxyauth_follows_the_administrators_own_login() {
    for without in [None, Some(Capability::AuthPlain)] {
        let server = admins(|server| {
            let server = server.proxyauth();
            without.map_or(server.clone(), |one| server.without(one))
        })
        .await;
        is_anns(&admin(&server, ActAs::ProxyAuth, "root", USER)).await;
        assert_eq!(server.counters().command("PROXYAUTH"), 1);
        let error = failure(&admin(&server, ActAs::ProxyAuth, "root", "nobody")).await;
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Auth, "imap/proxyauth")
        );
    }
    let server = admins(|server| server).await;
    let error = failure(&admin(&server, ActAs::ProxyAuth, USER, "bob")).await;
    assert_eq!(error.kind(), ErrorKind::Auth);
}

#[tokio::test]
async fn who_may_not_is_told_so() {
    let server = admins(|server| server.master_logins('*').user("bob", "toor s3cret")).await;
    for (style, name) in [
        (ActAs::Master('*'), "bob"),
        (ActAs::Authzid, "bob"),
        (ActAs::Exchange, "root"),
    ] {
        let error = failure(&admin(&server, style, name, USER)).await;
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Auth, "imap/login"),
            "{style:?}"
        );
    }
}
