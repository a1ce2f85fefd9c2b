//! Two Exchange servers, each with a proxy before it, for one attempt.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use mailmove_ews_testserver::{Builder, Counters, Server};
use mailmove_testkit::{
    clock::FastClock,
    mailbox::{Account, Store},
    proxy::FaultProxy,
    snapshot::Snapshot,
};

use crate::scene;

pub(crate) const USER: &str = "ann";
pub(crate) const PASSWORD: &str = "password";

/// How the servers of a test are set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) source: fn(Builder) -> Builder,
    pub(crate) destination: fn(Builder) -> Builder,
}

/// One of the two sides.
pub(crate) struct Side {
    pub(crate) server: Server,
    pub(crate) account: Account,
    pub(crate) proxy: FaultProxy,
}

impl Side {
    async fn start(
        clock: &Arc<FastClock>,
        setup: fn(Builder) -> Builder,
        fill: fn(&Account) -> usize,
    ) -> (Self, usize) {
        // Which operation is refused, and so the shape of the refusal, is another in each attempt.
        let builder = Server::builder(Store::new())
            .user(USER, PASSWORD)
            .clock(Arc::clone(clock) as _)
            // As MIME, which is the harder way: streams are looked at elsewhere.
            .without("ExportItems")
            .without("UploadItems")
            .without_shape_gate();
        let server = setup(builder).start().await.unwrap();
        let account = server.store().account(USER).unwrap();
        let messages = fill(&account);
        let proxy = FaultProxy::start(server.plain_address()).await.unwrap();
        let side = Self {
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

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.account)
    }
}

/// A source, a fresh destination with what somebody put there before, and the clock that all go by.
pub(crate) struct Ground {
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
        let (from, source) = Side::start(&clock, kind.source, scene::fill_source).await;
        let (to, own) = Side::start(&clock, kind.destination, scene::fill_destination).await;
        Self {
            from,
            to,
            clock,
            messages: (source, own),
            late,
        }
    }
}
