//! Odd servers. What they were seen to do stands in the first column; the names after it are tests
//! that show what becomes of it: those without a path are here, where a whole mailbox is moved from
//! or to a test server whose words a proxy twists (`twist.rs`).
//!
//! | Quirk | Held by |
//! |---|---|
//! | RFC822.SIZE too small, too large, zero | `sizes::*`; `source/odd::answers_in_any_order_and_shape` |
//! | OK without data, body NIL or empty | `contents::messages_without_content_fail_alone`; `source/odd::ok_without_data_is_not_taken_for_gone` |
//! | An explanation in place of the message (Exchange) | `contents::an_apology_*` |
//! | A literal cut short by EOF | `source/fetching::a_connection_cut_in_a_body_yields_no_half_message`, `source/listing::a_listing_cut_anywhere_goes_on_from_its_last_page` |
//! | A message at which the server hangs up | `source/fetching::a_message_that_breaks_connections_costs_no_other` |
//! | NO to APPEND without TRYCREATE, folder deleted meanwhile | `folders::a_folder_deleted_meanwhile_*`, `folders::a_refusal_without_reason_*` |
//! | Connection limit as EOF before the greeting, at login, after it; as NO, as BYE | `limits::a_limit_of_connections_*`; it grows back: `connecting::a_place_that_was_refused_is_tried_again_later` |
//! | BAD to what was offered, hanging up after a few | `limits::what_is_offered_in_vain_is_done_without`, `limits::a_server_that_hangs_up_on_odd_names_*`, `limits::a_folder_that_is_not_understood_costs_no_other`; `source/odd::parameters_that_are_offered_but_not_understood`, `destination/folders::a_server_that_refuses_its_own_extension_is_asked_plainly` |
//! | BAD to APPEND | `limits::literals_that_may_not_go_at_once_after_all`; `destination/faults::bad_drops_the_connection_and_no_literal_goes_unasked_again` |
//! | Throttling in the text of NO, BAD, BYE | `limits::a_server_that_asks_to_slow_down_is_obeyed`; `source/odd::throttling_is_the_accounts_matter` |
//! | Malformed response codes, wrong APPENDUID | `codes::an_id_that_makes_no_sense_is_looked_up`; `wire/tests/response::codes_that_make_no_sense_are_kept_as_text`, `destination/append::an_appenduid_of_another_epoch_names_no_message` |
//! | ESEARCH and MODSEQ variants, no SEARCH line | `wire/tests/response`, `wire/tests/dialects`; the adapter never searches |
//! | Untagged responses that nobody asked for | `codes::what_nobody_asked_for_changes_nothing`; `source/odd::news_of_the_folder_that_was_open_before_*` |
//! | EXPUNGE and arrivals during a listing | `source/listing::the_count_is_right_while_mail_comes_and_goes`, `source/count.rs` |
//! | BYE in the middle | `destination/faults::a_good_bye_is_repeated_to_the_user`, `destination/faults::a_connection_lost_before_the_answer_leaves_it_open` |
//! | Names: 8-bit, no UTF-7, empty levels, blanks, numbers, literals, INBOX in any case, listed twice, `\Noselect` | `names::every_name_is_listed_once_and_opened_as_the_server_wrote_it` |
//! | Separators: none, odd, control, two characters | `names::separators_of_all_kinds` |
//! | Names that differ only in case | `folders::names_that_differ_only_in_case_*` |
//! | Keywords: not kept, refused, too many, odd | `folders::keywords_that_are_too_many_*`; `destination/append::flags_that_the_folder_does_not_keep_are_reported`, `destination/keywords::a_refused_keyword_costs_only_itself`, `source/listing::odd_flags_are_named_and_cost_nothing_else` |
//! | Other bytes stored than given: Message-ID replaced, 8-bit as `X`, CR CR LF as CR LF | `altered::*`, `dovecot::*` |
//! | Equal messages kept once, one id named for all | `folds::a_server_that_folds_equal_messages` |
//! | Mail that looks like commands | `destination/append::mail_that_looks_like_commands_stays_mail` |
//! | INTERNALDATE missing, NIL, out of range, malformed | `dates::odd_dates_are_read_or_replaced_and_said` |
//! | Received dates before 1970, and far ahead: refused, or others instead | `dates::*`, `destination/dates.rs` |
//! | An inbox that has another UIDVALIDITY at each look (Courier) | `numbers::*` |
//! | A server that stops reading | `limits::a_destination_that_stops_reading_*` |
//! | A server that hangs up on a reader who pauses (Dovecot: 5 minutes) | nothing is lost: the cut listing above; see `mailmove-imap/src/source/list.rs` |
//! | UIDNEXT not told by EXAMINE, or another than STATUS has; EXAMINE refused with contents asked for behind it | `ahead::*`; `source/ahead::*` |
//! | UIDVALIDITY changed | `source/changes::a_renumbered_or_replaced_folder_is_stale` |

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

#[allow(
    dead_code,
    reason = "shared with the conformance suite, which needs all of it"
)]
#[path = "../conformance/client.rs"]
mod client;

mod ahead;
mod altered;
mod codes;
mod contents;
mod dates;
mod dovecot;
mod folders;
mod folds;
mod limits;
mod names;
mod numbers;
mod real;
mod sizes;
mod twist;
mod world;
