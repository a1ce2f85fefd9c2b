//! Two Exchange servers, each with a proxy before it, for one attempt.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use mailmove_ews_testserver::{Builder, Counters, Server};
use mailmove_testkit::{
    clock::FastClock,
    mailbox::{Account, Store},
    proxy::FaultProxy,
    snapshot::{Compare, Snapshot},
};

use crate::scene;

/// Of other names, since mailboxes of the same name would be the same.
const USERS: [&str; 2] = ["ann", "bob"];
pub(crate) const PASSWORD: &str = "password";

/// How the servers of a test are set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Items of all classes, as exports; else mail, as MIME.
    pub(crate) exports: bool,
    pub(crate) source: fn(Builder) -> Builder,
    pub(crate) destination: fn(Builder) -> Builder,
}

/// One of the two sides.
pub(crate) struct Side {
    pub(crate) user: &'static str,
    pub(crate) server: Server,
    pub(crate) account: Account,
    pub(crate) proxy: FaultProxy,
}

/// What is in a mailbox.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    messages: Snapshot,
    /// Of each folder the classes of its items with the texts that they stand for.
    classes: BTreeMap<Vec<String>, Vec<(String, Bytes)>>,
}

impl Held {
    pub(crate) fn messages(&self) -> usize {
        let folders = self.messages.folders.values();
        folders.map(|folder| folder.messages.len()).sum()
    }

    /// What the other one has more or less.
    pub(crate) fn compare(&self, other: &Self) -> Result<(), String> {
        let difference = Compare::all().diff(&self.messages, &other.messages);
        difference
            .none()
            .map_err(|difference| difference.to_string())?;
        match self.classes == other.classes {
            true => Ok(()),
            false => Err("items are of other classes".to_owned()),
        }
    }
}

/// Fills a side, and says how many items that is.
type Fill = fn(&Server, &'static str, &Kind) -> usize;

impl Side {
    async fn start(
        clock: &Arc<FastClock>,
        user: &'static str,
        setup: fn(Builder) -> Builder,
        kind: &Kind,
        fill: Fill,
    ) -> (Self, usize) {
        // Which operation is refused, and so the shape of the refusal, is another in each attempt.
        let builder = Server::builder(Store::new())
            .user(user, PASSWORD)
            .clock(Arc::clone(clock) as _)
            .without_shape_gate();
        let builder = match kind.exports {
            true => builder,
            false => builder.without("ExportItems").without("UploadItems"),
        };
        let server = setup(builder).start().await.unwrap();
        let account = server.store().account(user).unwrap();
        let messages = fill(&server, user, kind);
        let proxy = FaultProxy::start(server.plain_address()).await.unwrap();
        let side = Self {
            user,
            server,
            account,
            proxy,
        };
        (side, messages)
    }

    /// Past the proxy, unless it has something to do: it costs as much as some operations.
    pub(crate) fn address(&self, through_proxy: bool) -> SocketAddr {
        match through_proxy {
            true => self.proxy.address(),
            false => self.server.plain_address(),
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        self.server.counters()
    }

    pub(crate) fn held(&self) -> Held {
        let folders = self.account.folders().into_iter().map(|folder| {
            let path: Vec<&str> = folder.path.iter().map(String::as_str).collect();
            let messages = self.account.messages(folder.id).unwrap_or_default();
            let items = messages.into_iter().filter_map(|message| {
                let class = self.server.item_class(self.user, &path, message.uid)?;
                Some((class, message.body))
            });
            let mut items: Vec<(String, Bytes)> = items.collect();
            items.sort();
            (folder.path, items)
        });
        Held {
            classes: folders.collect(),
            messages: Snapshot::of(&self.account),
        }
    }
}

/// A source, a fresh destination with what somebody put there before, and the clock that all go by.
pub(crate) struct Ground {
    pub(crate) kind: Kind,
    pub(crate) from: Side,
    pub(crate) to: Side,
    pub(crate) clock: Arc<FastClock>,
    /// Messages of both before a migration.
    pub(crate) messages: (usize, usize),
    /// How long a pass waits for what may land late, if something was sent twice; as the adapter knows
    /// if `None`.
    pub(crate) late: Option<Duration>,
}

impl Ground {
    pub(crate) async fn new(kind: Kind, faster: u32, late: Option<Duration>) -> Self {
        let clock = Arc::new(FastClock::new(faster));
        let [ann, bob] = USERS;
        let from = Side::start(&clock, ann, kind.source, &kind, scene::fill_source).await;
        let to = Side::start(
            &clock,
            bob,
            kind.destination,
            &kind,
            scene::fill_destination,
        )
        .await;
        Self {
            kind,
            messages: (from.1, to.1),
            from: from.0,
            to: to.0,
            clock,
            late,
        }
    }
}
