//! Credentials that shall become commands: whatever is in them, a server reads one login.

use std::sync::Arc;

use mailmove_core::{
    Edges, Source as _,
    edge::{Credential, Secret, StaticCredential},
};
use mailmove_imap::{ActAs, ImapSource};

use crate::hostile::{Answer, hostile};

const NASTY: [&str; 7] = [
    "x\r\nM9 DELETE INBOX\r\n",
    "x\nM9 DELETE INBOX",
    "x\" \"y\" \r\nM9 DELETE INBOX",
    "x\\",
    "x {3+}\r\nM9 DELETE INBOX",
    "x\0y",
    "x\u{1}auth=Bearer other\u{1}\u{1}",
];

/// Names of commands that a session may consist of.
const SESSION: [&str; 10] = [
    "LOGIN",
    "AUTHENTICATE",
    "PROXYAUTH",
    "CAPABILITY",
    "LIST",
    "LSUB",
    "STATUS",
    "EXAMINE",
    "CLOSE",
    "LOGOUT",
];

async fn tried(credential: Credential, style: ActAs, can: &'static str) -> Vec<String> {
    let server = hostile(move |command| match command {
        "" => Answer::text(format!("* OK [CAPABILITY IMAP4rev1 {can}] hi\r\n")),
        _ => Answer::Usual,
    })
    .await;
    let credentials = Arc::new(StaticCredential::new(credential));
    let config = server.config().with_act_as(style);
    let source = ImapSource::new(config, credentials, Edges::new());
    // Refused before it is sent, or taken by the server as it is.
    let _ = source.folders().await;
    server.sent().await
}

#[tokio::test]
async fn credentials_stay_credentials() {
    let styles = [
        ActAs::Authzid,
        ActAs::Master('*'),
        ActAs::Exchange,
        ActAs::ProxyAuth,
    ];
    let mut logins = 0;
    for text in NASTY {
        let password = |user: &str, password: &str, other: Option<&str>| Credential::Password {
            user: user.to_owned(),
            password: Secret::new(password),
            authorize_as: other.map(str::to_owned),
        };
        let token = |user: &str, token: &str| Credential::BearerToken {
            user: user.to_owned(),
            token: Secret::new(token),
        };
        let mut tries = vec![
            (token(text, "abc"), ActAs::default()),
            (token("ann", text), ActAs::default()),
            (password(text, "p", None), ActAs::default()),
            (password("ann", text, None), ActAs::default()),
        ];
        for style in styles {
            tries.push((password("root", "p", Some(text)), style));
            tries.push((password(text, text, Some("ann")), style));
        }
        for (credential, style) in tries {
            for can in [
                "",
                "LITERAL+ AUTH=PLAIN AUTH=XOAUTH2 SASL-IR",
                "AUTH=PLAIN AUTH=OAUTHBEARER SASL-IR",
            ] {
                for command in tried(credential.clone(), style, can).await {
                    let verb = command.split(' ').next().unwrap_or_default();
                    assert!(SESSION.contains(&verb), "{text:?}: {command:?}");
                    logins += usize::from(verb == "LOGIN" || verb == "AUTHENTICATE");
                }
            }
        }
    }
    // Not just because nothing was sent.
    assert!(logins > 50, "{logins}");
}

/// `ann*boss` behind `*root` might open the boss's mailbox.
#[tokio::test]
async fn the_name_of_a_mailbox_names_no_other() {
    for (mailbox, style) in [
        ("ann*boss", ActAs::Master('*')),
        ("ann%boss", ActAs::Master('%')),
        ("boss\\ann", ActAs::Exchange),
    ] {
        for can in ["", "AUTH=PLAIN"] {
            let credential = Credential::Password {
                user: "root".to_owned(),
                password: Secret::new("secret"),
                authorize_as: Some(mailbox.to_owned()),
            };
            let sent = tried(credential, style, can).await;
            let logs_in = |one: &String| one.starts_with("LOGIN") || one.starts_with("AUTH");
            assert!(!sent.iter().any(logs_in), "{mailbox}: {sent:?}");
        }
    }
}
