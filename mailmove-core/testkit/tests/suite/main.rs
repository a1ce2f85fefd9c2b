//! The suite notices: an adapter that does one thing wrong fails the trial that looks for it.
//!
//! Without this, a trial that can't fail would look like one that passes.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod broken;

use std::sync::Arc;

use broken::{BrokenHarness, Sin};
use mailmove_testkit::conformance::{Harness, Verdict, check};

/// What is done wrong, and a trial that must notice.
const NOTICED: &[(Sin, &str)] = &[
    (Sin::MarksAsRead, "source::leaves_all_unaltered"),
    (Sin::TakesRecent, "source::leaves_all_unaltered"),
    (Sin::HidesFolder, "source::folders"),
    (Sin::ForgetsRoles, "source::folders_have_roles"),
    (Sin::StuckToken, "source::tokens_tell_changes"),
    (Sin::NormalisesLineEnds, "source::fetch_every_kind"),
    (Sin::OtherInline, "source::list_inline"),
    (Sin::ForgetsAnswer, "source::fetch_any_order"),
    (Sin::AnswersTwice, "source::fetch_any_order"),
    (Sin::NeverVanishes, "source::fetch_vanished"),
    (Sin::IgnoresIdentity, "source::list_stale"),
    (Sin::IgnoresIdentity, "source::list_renumbered"),
    (Sin::IgnoresIdentity, "source::fetch_stale"),
    (Sin::RestartsListing, "source::list_resumes_anywhere"),
    (Sin::CountsNothing, "source::list_full"),
    (Sin::ListsNoFlags, "source::list_full"),
    (Sin::DigestsWholeMessage, "source::list_headers"),
    (Sin::ForgetsFlagChanges, "source::list_delta"),
    (Sin::ForgetsFlagChanges, "source::list_rest_then_delta"),
    (Sin::ForgetsRemovals, "source::list_delta"),
    (Sin::ForgetsRemovals, "source::list_moves"),
    (Sin::ForgetsRemovals, "source::list_mirrors"),
    (Sin::ForgetsFlagChanges, "source::list_mirrors"),
    (Sin::KeepsInMemory, "source::fetch_huge"),
    (Sin::ForgetsFence, "destination::append_fenced"),
    (Sin::ClaimsStored, "destination::append_when_full"),
    (Sin::ClaimsStored, "destination::append_until_full"),
    (Sin::ClaimsStored, "destination::append_read_only"),
    (Sin::ClaimsStored, "destination::append_missing_folder"),
    (Sin::ClaimsStored, "destination::append_too_large"),
    (Sin::ClaimsStored, "destination::append_oversized_batch"),
    (Sin::ClaimsStored, "destination::append_fenced_midway"),
    (Sin::IgnoresEpoch, "destination::append_stale"),
    (Sin::LosesKeywords, "destination::append_flags"),
    (Sin::ShiftsDates, "destination::append_dates"),
    (Sin::ShiftsDates, "destination::append_every_kind"),
    (Sin::RunsMail, "destination::append_never_runs_mail"),
    (
        Sin::RunsMail,
        "destination::append_odd_arguments_run_nothing",
    ),
    (Sin::ReversesBatches, "destination::append_keeps_order"),
    (Sin::MixesIds, "destination::append_names_ids"),
    (Sin::DropsTwins, "destination::append_twins"),
    (Sin::SendsAtOnce, "destination::append_dropped"),
    (Sin::MarksTooHigh, "destination::mark_is_a_lower_bound"),
    (Sin::MarksTooHigh, "destination::existing_since"),
    (Sin::IgnoresEpoch, "destination::existing_stale"),
    (Sin::ShowsNoDigests, "destination::existing_depths"),
    (Sin::IgnoresIds, "destination::existing_by_ids"),
    (Sin::MarksAsRead, "destination::existing_leaves_unaltered"),
    (Sin::SubscribesAll, "destination::ensure_subscriptions"),
    (Sin::FlattensFolders, "destination::ensure_nested"),
    (Sin::ExpungesAll, "destination::remove_takes_just_those"),
    (Sin::ClaimsUpdates, "destination::update_flags_of_missing"),
    (Sin::ClaimsUpdates, "destination::move_of_missing"),
    (Sin::MovesWithoutId, "destination::move_names_new_ids"),
    (Sin::ReplacesFlags, "destination::update_flags"),
    (Sin::TellsNothing, "source::stream_listing"),
    (Sin::IgnoresForm, "source::stream_fetch"),
    (Sin::NeverVanishes, "source::stream_fetch"),
    (Sin::IgnoresForm, "destination::stream_arrives"),
    (
        Sin::DigestsWholeMessage,
        "destination::stream_is_told_apart",
    ),
    (Sin::ClaimsStored, "destination::stream_damaged_costs_one"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sins_is_noticed() {
    let mut unnoticed = Vec::new();
    for (sin, trial) in NOTICED {
        let harness: Arc<dyn Harness> = Arc::new(BrokenHarness(*sin));
        match check(harness, trial).await {
            Verdict::Failed(_) => {}
            other => unnoticed.push(format!("{sin:?} in {trial}: {other:?}")),
        }
    }
    assert!(unnoticed.is_empty(), "{}", unnoticed.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_sin_the_same_trials_pass() {
    for (_, trial) in NOTICED {
        let harness: Arc<dyn Harness> = Arc::new(BrokenHarness(Sin::None));
        assert_eq!(check(harness, trial).await, Verdict::Passed, "{trial}");
    }
}

#[tokio::test]
async fn a_trial_that_does_not_exist_fails() {
    let harness: Arc<dyn Harness> = Arc::new(BrokenHarness(Sin::None));
    let verdict = check(harness, "source::sings").await;
    assert!(matches!(verdict, Verdict::Failed(_)));
}
