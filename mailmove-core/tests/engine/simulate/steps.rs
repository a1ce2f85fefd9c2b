//! What may happen in a history. A step holds raw numbers that are read against the state of that
//! moment, so that a history stays valid when steps are left out of it.

use mailmove_core::{ErrorKind, store::When};
use mailmove_testkit::memory::UpdateFault;

use super::rng::Rng;

/// What both sides can do.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) batch: usize,
    pub(super) atomic: bool,
    pub(super) returns_ids: bool,
    pub(super) deltas: bool,
    pub(super) tokens: bool,
    pub(super) moves: bool,
    pub(super) removes: bool,
    pub(super) opaque: bool,
    /// The destination names no marks with its folders.
    pub(super) on_demand: bool,
    /// The destination folds identical messages of a folder, some time after it took them.
    pub(super) folds: bool,
    pub(super) inline: bool,
    pub(super) page: usize,
    pub(super) concurrency: usize,
    pub(super) relaxed: bool,
    /// Whether the state directory may get lost: then no folder is renamed.
    pub(super) loses_state: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Somebody changes something on one side.
    Change(Change, u64, u64),
    /// A pass, with what goes wrong in it.
    Pass(Vec<Trouble>),
    /// A pass that takes up what failed.
    Retry(Vec<Trouble>),
    /// Some messages at the destination are damaged or lost; passes that mend follow, the first of them
    /// with what goes wrong in it.
    Mend(u64, Vec<Trouble>),
}

impl Step {
    /// The same step with other troubles; `None` if it has none.
    pub(super) fn with(&self, troubles: Vec<Trouble>) -> Option<Self> {
        match self {
            Self::Change(..) => None,
            Self::Pass(_) => Some(Self::Pass(troubles)),
            Self::Retry(_) => Some(Self::Retry(troubles)),
            Self::Mend(which, _) => Some(Self::Mend(*which, troubles)),
        }
    }

    pub(super) fn troubles(&self) -> &[Trouble] {
        match self {
            Self::Change(..) => &[],
            Self::Pass(troubles) | Self::Retry(troubles) | Self::Mend(_, troubles) => troubles,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Add,
    AddTwin,
    AddVariant,
    Flag,
    Move,
    Delete,
    Renumber,
    Rename,
    Recreate,
    UserAdds,
    UserAddsTwin,
    UserRemoves,
    UserRemovesOwn,
    UserFlags,
    RenumberThere,
    LoseState,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Land {
    Stored,
    Lost,
    In(u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Sent {
    Unknown(Land),
    Ends(Land),
    Refuse(ErrorKind),
    NoIds,
    SameIds,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    Kill(u64, When),
    Stop(u64),
    Append(u64, Sent),
    Update(u64, UpdateFault),
    /// The n-th operation at the source, or else at the destination.
    Operation(bool, u64, ErrorKind),
    ListFails(u64, ErrorKind),
    ListEnds(u64),
    ExistingFails(u64, ErrorKind),
    FetchFails(u64, ErrorKind),
    FetchRefused(u64, ErrorKind),
    FetchEnds(u64),
    Vanish(u64),
    CursorExpires,
    /// The destination refuses all messages with this text.
    Poison(u64),
}

pub(super) fn setup(rng: &mut Rng) -> Setup {
    // Without numbers of their own, so that earlier seeds go on as they did.
    let mut beside = rng.clone();
    beside.chance(50);
    let on_demand = beside.chance(30);
    Setup {
        on_demand,
        batch: rng.pick(&[1, 2, 3, 4, 8]),
        atomic: rng.chance(50),
        returns_ids: rng.chance(80),
        deltas: rng.chance(80),
        tokens: rng.chance(80),
        moves: rng.chance(85),
        removes: rng.chance(85),
        opaque: rng.chance(15),
        folds: rng.chance(12),
        inline: rng.chance(50),
        page: rng.pick(&[1, 2, 3, 5, 20]),
        concurrency: rng.pick(&[1, 2, 4]),
        loses_state: rng.chance(20),
        // Without a number of its own, so that earlier seeds go on as they did.
        relaxed: rng.clone().chance(50),
    }
}

/// Some mail, then passes with trouble and changes between them.
pub(super) fn history(rng: &mut Rng) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..4 + rng.below(12) {
        let change = rng.pick(&[
            Change::Add,
            Change::Add,
            Change::Add,
            Change::AddTwin,
            Change::AddTwin,
            Change::AddVariant,
            Change::Flag,
            Change::UserAddsTwin,
        ]);
        steps.push(Step::Change(change, rng.next(), rng.next()));
    }
    for _ in 0..1 + rng.below(6) {
        let mut troubles = Vec::new();
        if rng.chance(75) {
            for _ in 0..1 + rng.below(3) {
                troubles.push(trouble(rng));
            }
        }
        let step = match rng.below(12) {
            0..=8 => Step::Pass(troubles),
            9..=10 => Step::Retry(troubles),
            _ => {
                // Else nothing is as it was left.
                steps.push(Step::Pass(Vec::new()));
                // What vanishes cannot be sent again, and what may not be removed stays beside it.
                troubles.retain(|trouble| {
                    let refused = UpdateFault::Refuse(ErrorKind::Refused);
                    !matches!(trouble, Trouble::Vanish(_))
                        && !matches!(trouble, Trouble::Update(_, fault) if *fault == refused)
                });
                Step::Mend(rng.next(), troubles)
            }
        };
        steps.push(step);
        for _ in 0..rng.below(6) {
            steps.push(Step::Change(change(rng), rng.next(), rng.next()));
        }
    }
    steps
}

fn change(rng: &mut Rng) -> Change {
    rng.pick(&[
        Change::Add,
        Change::Add,
        Change::AddTwin,
        Change::AddTwin,
        Change::AddVariant,
        Change::Flag,
        Change::Flag,
        Change::Flag,
        Change::Move,
        Change::Move,
        Change::Move,
        Change::Move,
        Change::Delete,
        Change::Delete,
        Change::Renumber,
        Change::Rename,
        Change::Recreate,
        Change::UserAdds,
        Change::UserAddsTwin,
        Change::UserRemoves,
        Change::UserRemoves,
        Change::UserRemovesOwn,
        Change::UserFlags,
        Change::RenumberThere,
        Change::LoseState,
    ])
}

fn trouble(rng: &mut Rng) -> Trouble {
    let passing = [
        ErrorKind::Interrupted,
        ErrorKind::Throttled,
        ErrorKind::Unavailable,
        ErrorKind::Timeout,
    ];
    let when = rng.pick(&[When::Before, When::After]);
    let land = {
        let seconds = match rng.chance(70) {
            true => 1 + rng.below(9),
            false => 10 + rng.below(81),
        };
        rng.pick(&[Land::Stored, Land::Lost, Land::In(seconds)])
    };
    let done = rng.chance(50);
    match rng.below(21) {
        0..=4 => Trouble::Kill(1 + rng.below(40), when),
        5 => Trouble::Stop(rng.below(12)),
        6..=7 => Trouble::Append(rng.below(16), Sent::Unknown(land)),
        8 => Trouble::Append(rng.below(16), Sent::Ends(land)),
        9 => {
            let kind = rng.pick(&[
                ErrorKind::Refused,
                ErrorKind::Quota,
                ErrorKind::Unavailable,
                ErrorKind::Throttled,
                ErrorKind::Denied,
            ]);
            Trouble::Append(rng.below(16), Sent::Refuse(kind))
        }
        10 => Trouble::Append(rng.below(16), rng.pick(&[Sent::NoIds, Sent::SameIds])),
        11 => {
            let kind = rng.pick(&[ErrorKind::Refused, ErrorKind::Interrupted]);
            let fault = [
                UpdateFault::Unknown { done },
                UpdateFault::Ends { done },
                UpdateFault::Refuse(kind),
            ];
            Trouble::Update(rng.below(4), rng.pick(&fault))
        }
        12 => Trouble::Operation(done, rng.below(40), rng.pick(&passing)),
        13 => Trouble::Operation(done, rng.below(40), ErrorKind::Auth),
        14 => Trouble::ListFails(rng.below(4), rng.pick(&passing)),
        15 => Trouble::ListEnds(rng.below(4)),
        16 => Trouble::ExistingFails(rng.below(3), rng.pick(&passing)),
        17 => match rng.below(3) {
            0 => Trouble::FetchFails(rng.below(16), rng.pick(&passing)),
            1 => Trouble::FetchRefused(rng.below(16), ErrorKind::Refused),
            _ => Trouble::FetchEnds(rng.below(16)),
        },
        18 => Trouble::Vanish(rng.below(16)),
        19 => Trouble::Poison(rng.below(12)),
        _ => Trouble::CursorExpires,
    }
}
