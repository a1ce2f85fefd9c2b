//! Trials of sources.

mod delta;
mod fetch;
mod folders;
mod list;

use super::{Case, case};

pub(super) static CASES: &[Case] = &[
    case!("harness::back_door", [], folders::back_door),
    case!(
        "source::describes_itself",
        [Source],
        folders::describes_itself
    ),
    case!("source::folders", [Source], folders::folders),
    case!(
        "source::folders_with_odd_names",
        [Source],
        folders::odd_names
    ),
    case!("source::folders_have_roles", [Source], folders::roles),
    case!(
        "source::tokens_tell_changes",
        [Source, ChangeTokens],
        folders::tokens
    ),
    case!("source::list_empty_folder", [Source], list::empty),
    case!("source::list_full", [Source], list::full),
    case!("source::list_resumes_anywhere", [Source], list::resumes),
    case!("source::list_headers", [Source], list::headers),
    case!("source::list_inline", [Source], list::inline),
    case!("source::list_stale", [Source], list::stale),
    case!("source::list_renumbered", [Source], list::renumbered),
    case!("source::list_renamed", [Source], list::renamed),
    case!("source::list_deleted_folder", [Source], list::deleted),
    case!("source::list_dropped", [Source], list::dropped),
    case!("source::list_new_mail", [Source], delta::new_mail),
    case!("source::list_delta", [Source, Deltas], delta::delta),
    case!(
        "source::list_delta_of_nothing",
        [Source, Deltas],
        delta::nothing
    ),
    case!(
        "source::list_delta_repeats",
        [Source, Deltas],
        delta::repeats
    ),
    case!("source::list_moves", [Source, Deltas], delta::moves),
    case!("source::list_mirrors", [Source], delta::mirrors),
    case!(
        "source::list_rest_then_delta",
        [Source, Deltas],
        delta::rest
    ),
    case!("source::fetch_every_kind", [Source], fetch::every_kind),
    case!("source::fetch_any_order", [Source], fetch::any_order),
    case!("source::fetch_vanished", [Source], fetch::vanished),
    case!("source::fetch_stale", [Source], fetch::stale),
    case!("source::fetch_huge", [Source], fetch::huge),
    case!("source::fetch_dropped", [Source], fetch::dropped),
    case!("source::concurrent", [Source], fetch::concurrent),
    case!("source::leaves_all_unaltered", [Source], fetch::unaltered),
];
