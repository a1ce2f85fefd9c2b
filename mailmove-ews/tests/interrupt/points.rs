//! Where a migration is interrupted: at each operation that it asks for when nobody disturbs it, on
//! either side, in all the ways in which it can fail; and within the messages as they are on the wire.

use std::time::Duration;

use mailmove_ews_testserver::{Action, Counters, Mangle};
use mailmove_testkit::proxy::{Cue, Fault, Way};

use crate::ground::{Ground, Kind as GroundKind, Side};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    Source,
    Destination,
}

/// What is done there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The process ends, and a new one begins at once.
    Kill,
    /// The same, as soon as the next operation after it is asked for.
    KillNext,
    /// The process has to get along.
    Break,
}

/// What a point is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Messages were stored, and the answer did not come.
    Landed,
    /// Messages are on their way.
    Within,
    /// Any other end of an operation that stores.
    Create,
    Other,
}

/// A fault.
#[derive(Clone, Debug)]
pub(crate) enum At {
    /// At the `nth` operation of that name.
    Operation(String, u64, Action),
    /// The first connection is closed when the server has read so many bytes.
    Bytes(u64),
    /// The connection is cut so many bytes behind the `nth` beginning of a message's content.
    Content(Way, u64, u64),
}

/// A place and what is done there.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) side: Where,
    pub(crate) at: At,
    pub(crate) kind: Kind,
    pub(crate) how: How,
}

impl Point {
    pub(crate) fn side<'a>(&self, ground: &'a Ground) -> &'a Side {
        match self.side {
            Where::Source => &ground.from,
            Where::Destination => &ground.to,
        }
    }

    pub(crate) fn arm(&self, ground: &Ground) {
        let side = self.side(ground);
        match &self.at {
            At::Operation(name, nth, action) => {
                side.server.faults().arm(name, *nth, action.clone());
            }
            At::Bytes(bytes) => {
                let faults = side.server.faults();
                faults.arm_connection(1, Action::CloseInRequest(*bytes));
            }
            At::Content(way, nth, after) => {
                let content = content(ground.kind.exports, *way);
                let cue = Cue::new(*way, content, *nth, Fault::Cut);
                side.proxy.cue(cue.with_after(*after));
            }
        }
    }
}

/// How a message's content begins, in requests and in replies.
fn content(exports: bool, way: Way) -> &'static str {
    match (exports, way) {
        (false, _) => "<t:MimeContent",
        (true, Way::ToServer) => "<t:Data",
        (true, _) => "<m:Data",
    }
}

/// Ends of an operation that stores: what was asked for is done, and nobody is told.
fn landed() -> Vec<Action> {
    vec![
        Action::CloseUnanswered,
        Action::CloseInReply(0),
        Action::CloseInReply(90),
        Action::CloseInReply(700),
        Action::StatusAfter(503),
        Action::Mangle(Mangle::Truncated),
        Action::Mangle(Mangle::NoXml),
        Action::Mangle(Mangle::MissingMessage),
    ]
}

/// Ends of any operation.
fn ends() -> Vec<Action> {
    vec![
        Action::Close,
        Action::Status(503),
        Action::BareFault,
        Action::FaultTwice,
        Action::OtherReply,
        Action::BusyFault(Duration::from_secs(1)),
        Action::Busy(Duration::from_secs(1)),
        Action::Twice,
        Action::CloseAnswered,
        Action::StopBatch(0),
        Action::StopBatch(1),
        Action::StopBatch(3),
    ]
}

/// The operation that stores most.
pub(crate) fn store(kind: &GroundKind) -> &'static str {
    match kind.exports {
        true => "UploadItems",
        false => "CreateItem",
    }
}

fn of_operation(name: &str) -> Vec<(Kind, Action)> {
    let stores = matches!(name, "CreateItem" | "UploadItems");
    let kind = |of_store| if stores { of_store } else { Kind::Other };
    let landed = landed().into_iter();
    let landed = landed.map(|action| (kind(Kind::Landed), action));
    let ends = ends().into_iter().filter(|action| match action {
        // The operation that answers for many.
        Action::StopBatch(_) => stores || matches!(name, "GetItem" | "ExportItems"),
        _ => true,
    });
    let truncated = (name == "ExportItems").then_some((Kind::Other, Action::TruncateExport));
    landed
        .chain(truncated)
        .chain(ends.map(|action| (kind(Kind::Create), action)))
        .collect()
}

/// All points of one side, by what it was asked while nobody disturbed.
pub(crate) fn of_side(side: Where, exports: bool, counters: &Counters) -> Vec<Point> {
    let mut out = Vec::new();
    let mut add = |at: At, kind, hows: &[How]| {
        out.extend(hows.iter().map(|how| Point {
            side,
            at: at.clone(),
            kind,
            how: *how,
        }));
    };
    for (name, count) in &counters.operations {
        for nth in 1..=*count {
            for (kind, action) in of_operation(name) {
                let hows: &[How] = match kind {
                    Kind::Other => &[How::Kill, How::Break],
                    _ => &[How::Kill, How::KillNext, How::Break],
                };
                add(At::Operation(name.clone(), nth, action), kind, hows);
            }
        }
    }
    let way = match side {
        Where::Source => Way::ToClient,
        Where::Destination => Way::ToServer,
    };
    let contents = match side {
        Where::Source if exports => counters.exported,
        Where::Source => counters.bodies_fetched,
        Where::Destination => counters.created,
    };
    for nth in 1..=contents {
        for after in [15, 80, 300] {
            let at = At::Content(way, nth, after);
            add(at, Kind::Within, &[How::Kill, How::Break]);
        }
    }
    for part in 1..20 {
        let at = At::Bytes(counters.bytes_in * part / 20);
        add(at, Kind::Other, &[How::Kill, How::Break]);
    }
    out
}

/// So many of the points, most of them about what is stored, evenly within each kind.
pub(crate) fn spread(points: &[Point], most: usize) -> Vec<Point> {
    let mut out: Vec<Point> = Vec::with_capacity(most);
    let kinds = [Kind::Landed, Kind::Within, Kind::Create, Kind::Other];
    for (at, kind) in kinds.into_iter().enumerate() {
        let of_kind = points.iter().filter(|point| point.kind == kind);
        let of_kind: Vec<&Point> = of_kind.collect();
        let rest = most.saturating_sub(out.len());
        let want = (rest / (kinds.len() - at)).min(of_kind.len());
        let every = (0..want).filter_map(|n| of_kind.get(n * of_kind.len() / want));
        out.extend(every.map(|point| (*point).clone()));
    }
    out
}
