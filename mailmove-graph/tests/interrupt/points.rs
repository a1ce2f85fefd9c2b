//! Where a migration is interrupted: at each request that it sends to the destination when nobody disturbs it, in
//! all the ways in which one can fail.

use std::time::Duration;

use mailmove_graph_testserver::{Action, Counters, Mangle};

use crate::ground::Ground;

/// What is done there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The process ends, and a new one begins at once.
    Kill,
    /// The same, as soon as the next request after it came.
    KillNext,
    /// The process has to get along.
    Break,
}

/// What a point is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Something was made, and the answer did not come.
    Landed,
    /// Any other end of a request that makes something.
    Make,
    Other,
}

/// A place and what is done there.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// At the `nth` request of that name; a connection if there is none.
    at: Option<(String, u64)>,
    action: Action,
    pub(crate) sort: Sort,
    pub(crate) how: How,
}

impl Point {
    pub(crate) fn arm(&self, ground: &Ground) {
        let faults = ground.server.faults();
        match &self.at {
            Some((name, nth)) => faults.arm(name, *nth, self.action.clone()),
            None => faults.arm_connection(1, self.action.clone()),
        }
    }
}

/// Ends of a request that leave it done, and nobody is told.
fn landed() -> Vec<Action> {
    vec![
        Action::CloseUnanswered,
        Action::CloseInReply(0),
        Action::CloseInReply(90),
        Action::StatusAfter(504),
        Action::Mangle(Mangle::Truncated),
        Action::Mangle(Mangle::Html),
        Action::Mangle(Mangle::NoId),
    ]
}

/// Ends of any request.
fn ends(name: &str) -> Vec<Action> {
    let mut out = vec![
        Action::Close,
        Action::Status(503),
        Action::Throttle(Some(Duration::from_secs(1))),
        Action::Throttle(None),
        Action::Unavailable(Some(Duration::from_secs(1))),
        Action::CloseAnswered,
    ];
    match name {
        "Batch" => {
            let busy = |at| Action::ErrorAt(at, "TooManyRequests".to_owned());
            out.extend([0, 1, 3].map(busy));
        }
        "CreateMessage" | "ImportItem" => out.push(Action::Nothing),
        "MessageDelta" | "MailboxItemDelta" => {
            out.extend([Action::Mangle(Mangle::Twice), Action::Resync]);
        }
        _ => {}
    }
    out
}

const MAKING: [&str; 8] = [
    "ImportItem",
    "Batch",
    "CreateMessage",
    "AddAttachment",
    "CreateUploadSession",
    "UploadRange",
    "UpdateMessage",
    "MoveMessage",
];

/// All points, by what the server was asked while nobody disturbed.
pub(crate) fn all(counters: &Counters) -> Vec<Point> {
    let mut out = Vec::new();
    for (name, count) in &counters.operations {
        let makes = MAKING.contains(&name.as_str());
        let sort = |sort| if makes { sort } else { Sort::Other };
        let landed = landed()
            .into_iter()
            .map(|action| (sort(Sort::Landed), action));
        let ends = ends(name)
            .into_iter()
            .map(|action| (sort(Sort::Make), action));
        let actions: Vec<(Sort, Action)> = landed.chain(ends).collect();
        for nth in 1..=*count {
            for (sort, action) in &actions {
                let hows: &[How] = match sort {
                    Sort::Other => &[How::Kill, How::Break],
                    _ => &[How::Kill, How::KillNext, How::Break],
                };
                out.extend(hows.iter().map(|how| Point {
                    at: Some((name.clone(), nth)),
                    action: action.clone(),
                    sort: *sort,
                    how: *how,
                }));
            }
        }
    }
    for part in 1..20 {
        let action = Action::CloseInRequest(counters.bytes_in * part / 20);
        out.extend([How::Kill, How::Break].map(|how| Point {
            at: None,
            action: action.clone(),
            sort: Sort::Other,
            how,
        }));
    }
    out
}

/// So many of the points, most of them about what is made, evenly within each sort.
pub(crate) fn spread(points: &[Point], most: usize) -> Vec<Point> {
    let mut out: Vec<Point> = Vec::with_capacity(most);
    let sorts = [(Sort::Landed, 2), (Sort::Make, 3), (Sort::Other, 1)];
    for (sort, part) in sorts {
        let of_sort: Vec<&Point> = points.iter().filter(|point| point.sort == sort).collect();
        let rest = most.saturating_sub(out.len());
        let want = match part {
            1 => rest,
            2 => most / 2,
            _ => most / 3,
        };
        let want = want.min(of_sort.len());
        let every = (0..want).filter_map(|n| of_sort.get(n * of_sort.len() / want));
        out.extend(every.map(|point| (*point).clone()));
    }
    out
}
