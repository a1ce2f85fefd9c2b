//! Trials of destinations.

mod append;
mod careful;
mod copy;
mod ensure;
mod existing;
mod poison;
mod update;

use super::{Case, case};

/// All of them, in order.
pub(super) fn cases() -> impl Iterator<Item = &'static Case> {
    [FOLDERS, APPENDS, LOOKS, UPDATES].into_iter().flatten()
}

static FOLDERS: &[Case] = &[
    case!(
        "destination::describes_itself",
        [Destination],
        ensure::describes_itself
    ),
    case!("destination::folders", [Destination], ensure::folders),
    case!("destination::ensure_nested", [Destination], ensure::nested),
    case!(
        "destination::ensure_odd_names",
        [Destination],
        ensure::odd_names
    ),
    case!("destination::ensure_roles", [Destination], ensure::roles),
    case!(
        "destination::ensure_subscriptions",
        [Destination],
        ensure::subscriptions
    ),
    case!(
        "destination::ensure_finds_existing",
        [Destination],
        ensure::existing
    ),
    case!(
        "destination::ensure_fails_one",
        [Destination],
        ensure::fails_one
    ),
];

static APPENDS: &[Case] = &[
    case!(
        "destination::append_every_kind",
        [Destination],
        append::every_kind
    ),
    case!("destination::append_flags", [Destination], append::flags),
    case!(
        "destination::append_dates",
        [Destination, KeepsReceived],
        append::dates
    ),
    case!(
        "destination::append_without_date",
        [Destination],
        append::without_date
    ),
    case!(
        "destination::append_keeps_order",
        [Destination],
        append::order
    ),
    case!(
        "destination::append_full_batches",
        [Destination],
        append::full_batches
    ),
    case!("destination::append_twins", [Destination], append::twins),
    case!(
        "destination::append_names_ids",
        [Destination, ReturnsIds],
        append::ids
    ),
    case!("destination::append_huge", [Destination], append::huge),
    case!(
        "destination::append_never_runs_mail",
        [Destination],
        careful::commands
    ),
    case!(
        "destination::append_odd_arguments_run_nothing",
        [Destination],
        poison::odd_arguments
    ),
    case!(
        "destination::append_oversized_batch",
        [Destination, SmallBatch],
        careful::oversized
    ),
    case!(
        "destination::append_too_large",
        [Destination, SmallLimit],
        careful::too_large
    ),
    case!(
        "destination::append_when_full",
        [Destination],
        careful::full
    ),
    case!(
        "destination::append_until_full",
        [Destination],
        careful::until_full
    ),
    case!(
        "destination::append_read_only",
        [Destination],
        careful::read_only
    ),
    case!(
        "destination::append_missing_folder",
        [Destination],
        careful::missing_folder
    ),
    case!("destination::append_stale", [Destination], careful::stale),
    case!("destination::append_fenced", [Destination], careful::fenced),
    case!(
        "destination::append_fenced_midway",
        [Destination],
        careful::fenced_midway
    ),
    case!(
        "destination::append_dropped",
        [Destination],
        careful::dropped
    ),
    case!(
        "destination::append_concurrent",
        [Destination],
        careful::concurrent
    ),
];

static LOOKS: &[Case] = &[
    case!(
        "destination::existing_depths",
        [Destination],
        existing::depths
    ),
    case!(
        "destination::existing_since",
        [Destination],
        existing::since
    ),
    case!(
        "destination::existing_by_ids",
        [Destination],
        existing::by_ids
    ),
    case!(
        "destination::existing_nothing",
        [Destination],
        existing::nothing
    ),
    case!(
        "destination::existing_stale",
        [Destination],
        existing::stale
    ),
    case!(
        "destination::existing_leaves_unaltered",
        [Destination],
        existing::unaltered
    ),
    case!(
        "destination::mark_is_a_lower_bound",
        [Destination],
        existing::mark
    ),
];

static UPDATES: &[Case] = &[
    case!(
        "destination::updater_is_as_claimed",
        [Destination],
        update::claimed
    ),
    case!(
        "destination::update_flags",
        [Destination, SetsFlags],
        update::flags
    ),
    case!(
        "destination::update_flags_of_missing",
        [Destination, SetsFlags],
        update::missing
    ),
    case!(
        "destination::move_names_new_ids",
        [Destination, Moves],
        update::moves
    ),
    case!(
        "destination::move_of_missing",
        [Destination, Moves],
        update::moves_missing
    ),
    case!(
        "destination::copy_keeps_all_of_it",
        [Destination, Copies],
        copy::copies
    ),
    case!(
        "destination::copy_within_a_folder",
        [Destination, Copies],
        copy::within
    ),
    case!(
        "destination::copy_of_missing",
        [Destination, Copies],
        copy::missing
    ),
    case!(
        "destination::remove_takes_just_those",
        [Destination, Removes],
        update::removes
    ),
    case!(
        "destination::remove_of_missing",
        [Destination, Removes],
        update::removes_missing
    ),
];
