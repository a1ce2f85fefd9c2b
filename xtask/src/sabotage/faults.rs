//! The planted faults: each breaks one promise, in one place.

/// A fault, and the test that must notice it.
#[derive(Debug)]
pub(super) struct Fault {
    /// What the broken code does.
    pub(super) name: &'static str,
    /// A file of the workspace.
    pub(super) file: &'static str,
    /// Text that stands in it exactly once.
    pub(super) from: &'static str,
    /// What stands there instead.
    pub(super) to: &'static str,
    /// The test, and how to run it.
    pub(super) test: Test,
}

/// A test by the arguments that `cargo test` needs for its program, and its whole name.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) program: &'static [&'static str],
    pub(super) name: &'static str,
}

/// A test of the engine.
const fn engine(name: &'static str) -> Test {
    Test {
        program: &["-p", "mailmove-core", "--test", "engine"],
        name,
    }
}

/// A test within `mailmove-core`.
const fn core(name: &'static str) -> Test {
    Test {
        program: &["-p", "mailmove-core", "--lib"],
        name,
    }
}

/// A test within `mailmove-imap`.
const fn imap(name: &'static str) -> Test {
    Test {
        program: &["-p", "mailmove-imap", "--lib"],
        name,
    }
}

/// One of the interrupts of `mailmove-ews`.
const fn ews_interrupt(name: &'static str) -> Test {
    Test {
        program: &["-p", "mailmove-ews", "--test", "interrupt"],
        name,
    }
}

pub(super) const ALL: &[Fault] = &[
    Fault {
        name: "sends without an intent",
        file: "mailmove-core/src/engine/deliver.rs",
        from: "engine.ledger.commit(records.collect()).await?;",
        to: "drop(records);",
        test: engine("interrupt::killed_at_every_commit_with_the_batch_landing_late"),
    },
    Fault {
        name: "settles doubt while other batches of the folder are under way",
        file: "mailmove-core/src/engine/ahead.rs",
        from: "if !goes_on || !front.was_sent() || front.is_plain() {",
        to: "if true || !goes_on || !front.was_sent() || front.is_plain() {",
        test: engine("relaxed::doubt_about_any_batch_takes_nothing_from_another"),
    },
    Fault {
        name: "does not record that something is sent again",
        file: "mailmove-core/src/engine/dispatch.rs",
        from: "self.remember_resent(lane, intent, &again).await?;",
        to: "",
        test: engine(
            "interrupt::killed_at_every_commit_with_a_first_copy_landing_after_the_second",
        ),
    },
    Fault {
        name: "does not wait for first copies that land after the second",
        file: "mailmove-core/src/engine/surplus.rs",
        from: "let wait = until.saturating_sub(engine.now_ms());",
        to: "let wait = until * 0;",
        test: engine(
            "found::doubt::a_copy_that_lands_after_the_folders_end_is_removed_at_the_passs_end",
        ),
    },
    Fault {
        name: "lets two rows claim one message",
        file: "mailmove-core/src/store/sqlite/schema.sql",
        from: "CREATE UNIQUE INDEX item_claim",
        to: "CREATE INDEX item_claim",
        test: Test {
            program: &["-p", "mailmove-core", "--test", "stores"],
            name: "contract::in_sqlite::claims_hold_across_folders_and_may_move",
        },
    },
    Fault {
        name: "commits the cursor before the rows of its page",
        file: "mailmove-core/src/engine/survey.rs",
        from: "        take(engine, lane, page.changes, &mut seen).await?;\n",
        to: "        if coverage == Coverage::Delta {
            lane.row.cursor = Some(page.next.clone());
            let record = Record::Folder(Box::new(lane.row.clone()));
            engine.ledger.commit(vec![record]).await?;
        }
        take(engine, lane, page.changes, &mut seen).await?;\n",
        test: engine("interrupt::killed_at_every_commit_of_a_later_pass"),
    },
    Fault {
        name: "does not settle what an earlier run left open",
        file: "mailmove-core/src/engine/pass.rs",
        from: "let anew = left_open::close(engine, destination).await?;",
        to: "let anew = std::collections::HashSet::<crate::checkpoint::FolderNo>::new();",
        test: engine("interrupt::ended_while_a_batch_is_in_doubt_which_lands_in_the_next_run"),
    },
    Fault {
        name: "believes at once that what is in doubt is absent",
        file: "mailmove-core/src/engine/settle.rs",
        from: "engine.pause(Duration::from_millis(wait_ms)).await?;",
        to: "",
        test: engine("interrupt::what_lands_late_is_waited_for_where_nothing_can_be_removed"),
    },
    Fault {
        name: "takes an unknown outcome for not stored",
        file: "mailmove-core/src/engine/dispatch.rs",
        from: "                        note_wait(&mut slow, error);\n                        unknown.push(work);\n",
        to: "                        of_these.push((work, error));\n",
        test: engine("outcomes::doubt_is_settled_before_anything_is_sent_again"),
    },
    Fault {
        name: "takes an unknown outcome for stored",
        file: "mailmove-core/src/engine/dispatch.rs",
        from: "unknown.push(work);",
        to: "let receipt = crate::destination::Receipt::new(None);
            sent.done.push(self.stored(lane, work.row, receipt, ItemState::Copied));",
        test: engine("outcomes::doubt_is_settled_before_anything_is_sent_again"),
    },
    Fault {
        name: "sends flags as a full set",
        file: "mailmove-core/src/engine/flags.rs",
        from: "    add.remove(SystemFlag::Deleted);\n",
        to: "    add = now.difference(there);
    remove = there.difference(now);
    add.remove(SystemFlag::Deleted);\n",
        test: engine("passes::flags_are_merged_three_ways"),
    },
    Fault {
        name: "lets a bad keyword through",
        file: "mailmove-core/src/model/flags.rs",
        from: "b.is_ascii_graphic() && !b\"(){%*\\\"\\\\]\".contains(&b)",
        to: "b.is_ascii_graphic()",
        test: core("model::flags::tests::keywords_are_atoms"),
    },
    Fault {
        name: "copies again what the user removed",
        file: "mailmove-core/src/engine/health.rs",
        from: "    row.state = ItemState::RemovedThere;\n",
        to: "    row.state = ItemState::Pending;\n",
        test: engine("passes::what_the_user_removed_there_does_not_come_back"),
    },
    Fault {
        name: "goes on although the destination lost mail",
        file: "mailmove-core/src/engine/health.rs",
        from: "missing > 20 && missing * 10 > claims",
        to: "missing > claims",
        test: engine("passes::a_destination_that_lost_many_stops_the_folder"),
    },
    Fault {
        name: "takes one message for two equal ones",
        file: "mailmove-core/src/engine/settle.rs",
        from: "if claim.is_some() || taken.contains(&existing.id) {",
        to: "if taken.contains(&existing.id) {",
        test: engine("found::doubt::twins_in_one_batch_are_not_taken_for_each_other"),
    },
    Fault {
        name: "gives up a batch for one message",
        file: "mailmove-core/src/engine/decide.rs",
        from: "Scope::Message if len > 1 && whole => Next::Halve,",
        to: "Scope::Message if len > 1 && whole => Next::Fail,",
        test: engine("outcomes::one_bad_message_costs_one_message"),
    },
    Fault {
        name: "sends a repaired message under the original's intent",
        file: "mailmove-core/src/engine/repaired.rs",
        from: "self.engine.ledger.commit(vec![record]).await",
        to: "{ drop(record); Ok(()) }",
        test: engine("refusal::killed_at_every_commit_it_arrives_once"),
    },
    Fault {
        name: "closes a folder whose sums do not fit",
        file: "mailmove-core/src/report/mod.rs",
        from: "self.open == 0 && self.found == self.accounted()",
        to: "self.open == 0",
        test: core("report::tests::a_folder_closes_when_the_sums_equal_the_servers_count"),
    },
    Fault {
        name: "marks mail as read at the source",
        file: "mailmove-imap/src/wire/items.rs",
        from: "FetchItem::Body => \"BODY.PEEK[]\",",
        to: "FetchItem::Body => \"BODY[]\",",
        test: imap("wire::tests::encode::message_commands"),
    },
    Fault {
        name: "takes an Exchange request whose answer is lost for not carried out",
        file: "mailmove-ews/src/error/mod.rs",
        from: "true => Outcome::Unknown(again(error)),",
        to: "true => Outcome::NotStored(again(error)),",
        test: ews_interrupt("everywhere_on_exchange"),
    },
    Fault {
        name: "looks past what came in since the mark where SyncFolderItems is missing",
        file: "mailmove-ews/src/destination/look.rs",
        from: "number.is_none() || number > after;",
        to: "number.is_none();",
        test: ews_interrupt("everywhere_without_sync"),
    },
];
