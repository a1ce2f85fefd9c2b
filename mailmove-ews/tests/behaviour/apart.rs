//! Users beside each other: connections, cookies and tokens belong to one of them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use mailmove_core::{
    Edges, Result,
    edge::{Credential, CredentialProvider, CredentialRequest, Secret},
    source::{FetchRequest, Fetched, ListRequest},
};
use mailmove_core::{Source as _, model::MessageId};
use mailmove_ews::{Auth, EwsSource};
use mailmove_ews_testserver::{Action, Scheme, Server};
use mailmove_testkit::mailbox::NewMessage;

use crate::support::{PASSWORD, config, ids, inbox, pages, start};

/// Of each of the four readers.
const CALLS: usize = 2500;
const LETTERS: usize = 20;

/// Gives a user's password, or the user's tokens, a new one after each that was refused.
#[derive(Debug)]
struct Login {
    user: &'static str,
    token: bool,
    refused: AtomicU64,
}

#[async_trait]
impl CredentialProvider for Login {
    async fn credential(&self, request: CredentialRequest) -> Result<Credential> {
        let refused = u64::from(request.refused);
        let number = (self.refused.fetch_add(refused, Ordering::Relaxed) + refused) % 2;
        Ok(match self.token {
            false => Credential::password(self.user, PASSWORD),
            true => Credential::BearerToken {
                user: self.user.to_owned(),
                token: Secret::new(format!("{}-{number}", self.user)),
            },
        })
    }
}

async fn server() -> Server {
    let server = start(|builder| {
        let builder = builder.user("bob", PASSWORD).cookies();
        let builder = builder.schemes(&[Scheme::Ntlm]);
        let tokens = ["ann-0", "ann-1", "bob-0", "bob-1"];
        let each = |builder: mailmove_ews_testserver::Builder, token: &&str| {
            builder.token(token, token.split('-').next().unwrap())
        };
        tokens.iter().fold(builder, each).without_shape_gate()
    })
    .await;
    for name in ["ann", "bob"] {
        let account = server.store().account(name).unwrap();
        let inbox = account.folder(&["INBOX"]).unwrap().id;
        let letter = |number| NewMessage::new(format!("Subject: {name} {number}\r\n\r\nx\r\n"));
        account
            .append(inbox, (0..LETTERS).map(letter).collect())
            .unwrap();
    }
    server
}

/// Fetches message after message, over several connections at once; how many came.
async fn read(source: EwsSource, name: &'static str) -> usize {
    let folder = inbox(&source).await;
    let listed = pages(&source, ListRequest::new(&folder)).await.unwrap();
    let all = ids(&listed);
    assert_eq!(all.len(), LETTERS);
    let wanted = format!("Subject: {name} ");
    let fetch = |id: MessageId| {
        let request = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), vec![id]);
        let mut fetched = source.fetch(request);
        let wanted = wanted.clone();
        async move {
            // What fails is tried again by the engine; here it only counts what came.
            let Some((_, Fetched::Content(content))) = fetched.next().await else {
                return 0;
            };
            assert!(content.as_bytes().unwrap().starts_with(wanted.as_bytes()));
            1
        }
    };
    let calls = stream::iter(all.into_iter().cycle().take(CALLS)).map(fetch);
    calls
        .buffer_unordered(3)
        .fold(0, async |sum, one| sum + one)
        .await
}

/// 10,000 calls of two users, each by NTLM and by token, all at once, while connections break, replies
/// come twice, and logins are refused.
#[tokio::test(flavor = "multi_thread")]
async fn two_users_at_once_never_see_each_others_mail() {
    let server = server().await;
    for (nth, action) in [
        (7, Action::FaultTwice),
        (11, Action::Twice),
        (13, Action::CloseAnswered),
        (17, Action::OtherReply),
        (19, Action::CloseUnanswered),
        (23, Action::Status(401)),
        (29, Action::Close),
        (31, Action::CloseInReply(300)),
    ] {
        server.faults().arm_every("GetItem", nth, action);
    }
    // What they share: the program's edges.
    let edges = Edges::new();
    let reader = |user: &'static str, token: bool| {
        let refused = AtomicU64::new(0);
        let login = Arc::new(Login {
            user,
            token,
            refused,
        });
        let config = config(&server)
            .with_user(format!("{user}@example.com"))
            .with_auth(Auth::Ntlm);
        read(EwsSource::new(config, login, edges.clone()), user)
    };
    let all = tokio::join!(
        reader("ann", false),
        reader("bob", false),
        reader("ann", true),
        reader("bob", true),
    );
    for came in [all.0, all.1, all.2, all.3] {
        assert!(came > CALLS / 2, "{all:?}");
    }
    let counters = server.counters();
    let asked = counters.operation("GetItem");
    assert!(asked >= 10_000, "{counters:?}");
    assert!(server.faults().struck() > asked / 4);
    assert_eq!((counters.foreign, counters.foreign_cookies), (0, 0));
    assert!(counters.own_cookies > asked / 2, "{counters:?}");
}
