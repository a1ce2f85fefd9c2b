//! The model keeps IMAP's promises, whatever is done to it.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

fn message(text: &str) -> NewMessage {
    NewMessage::new(text.to_owned()).with_date(InternalDate::utc(1))
}

#[test]
fn inbox_is_one_folder_in_any_spelling() {
    let account = Store::new().add_account("u");
    let inbox = account.folder(&["inBox"]).unwrap();
    assert_eq!(inbox.path, ["INBOX"]);
    assert_eq!(account.create(&["inbox"]), Err(StoreError::AlreadyExists));
    account.create(&["inbox", "Sub"]).unwrap();
    assert_eq!(
        account.folder(&["INBOX", "Sub"]).unwrap().path,
        ["INBOX", "Sub"]
    );
    assert_eq!(account.delete(&["Inbox"]), Err(StoreError::InboxIsFixed));
}

#[test]
fn parents_come_and_stay() {
    let account = Store::new().add_account("u");
    account.create(&["a", "b", "c"]).unwrap();
    assert!(account.folder(&["a", "b"]).is_ok());
    account.delete(&["a", "b"]).unwrap();
    assert!(account.folder(&["a", "b", "c"]).is_ok());
    assert_eq!(account.folder(&["a", "b"]), Err(StoreError::NoSuchFolder));
}

#[test]
fn rename_takes_those_below_and_keeps_identity() {
    let account = Store::new().add_account("u");
    let id = account.create(&["a", "b"]).unwrap();
    account.append(id, vec![message("x")]).unwrap();
    account.create(&["taken"]).unwrap();
    assert_eq!(
        account.rename(&["a"], &["taken"]),
        Err(StoreError::AlreadyExists)
    );
    assert!(account.rename(&["a"], &["a", "z"]).is_err());
    account.rename(&["a"], &["n", "m"]).unwrap();
    assert_eq!(account.folder(&["n", "m", "b"]).unwrap().id, id);
    assert!(account.folder(&["n"]).is_ok());
    assert!(account.folder(&["a"]).is_err());
    assert_eq!(account.messages(id).unwrap().len(), 1);
}

#[test]
fn renaming_inbox_moves_its_mail() {
    let account = Store::new().add_account("u");
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    account
        .append(inbox, vec![message("x"), message("y")])
        .unwrap();
    account.rename(&["INBOX"], &["Old"]).unwrap();
    assert_eq!(account.status(inbox).unwrap().messages, 0);
    assert_eq!(account.vanished(inbox, 1).unwrap(), [1, 2]);
    let old = account.folder(&["Old"]).unwrap();
    assert_eq!(account.status(old.id).unwrap().messages, 2);
}

#[test]
fn names_without_case() {
    let account = Store::new().add_account("u");
    account.create(&["Files"]).unwrap();
    account.configure(|limits| limits.case_insensitive_names = true);
    assert_eq!(account.create(&["FILES"]), Err(StoreError::AlreadyExists));
    assert_eq!(account.folder(&["files"]).unwrap().path, ["Files"]);
    account.rename(&["files"], &["fileS"]).unwrap();
    assert_eq!(account.folder(&["FILES"]).unwrap().path, ["fileS"]);
}

#[test]
fn a_batch_is_refused_as_a_whole() {
    let account = Store::new().add_account("u");
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    account.configure(|limits| {
        limits.max_message_size = Some(10);
        limits.quota_bytes = Some(12);
        limits.refuse_nul = true;
        limits.refuse_bare_newlines = true;
        limits.max_line_length = Some(8);
    });
    let refused = |messages: Vec<NewMessage>| account.append(inbox, messages).unwrap_err();
    assert_eq!(
        refused(vec![message("x"), message("12345678901")]),
        StoreError::TooBig(10)
    );
    assert_eq!(
        refused(vec![message("12345678"), message("12345")]),
        StoreError::OverQuota
    );
    assert!(matches!(
        refused(vec![message("x"), message("\0")]),
        StoreError::BadContent(_)
    ));
    assert!(matches!(
        refused(vec![message("x"), message("a\n")]),
        StoreError::BadContent(_)
    ));
    assert!(matches!(
        refused(vec![message("123456789")]),
        StoreError::BadContent(_)
    ));
    let odd = message("x").with_flags(["\\Odd"]);
    assert_eq!(
        refused(vec![message("y"), odd]),
        StoreError::BadFlag("\\Odd".into())
    );
    assert_eq!(account.snapshot().messages(), 0);
    assert_eq!(account.folder(&["INBOX"]).unwrap().uid_next, 1);
    account.append(inbox, vec![message("a\r\n")]).unwrap();
}

#[test]
fn keywords_follow_the_rules() {
    let account = Store::new().add_account("u");
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    account.configure(|limits| limits.keywords = Keywords::Only(vec!["$Junk".into()]));
    let flags = ["\\seen", "$JUNK", "other", "\\Recent"];
    account
        .append(inbox, vec![message("x").with_flags(flags)])
        .unwrap();
    let stored = account.messages(inbox).unwrap().remove(0).flags;
    assert_eq!(stored, Flags::from_names(["\\Seen", "$junk"]));
    account.configure(|limits| limits.keywords = Keywords::OnlyStrict(Vec::new()));
    let refused = account.store(inbox, &[1], FlagOp::Add, &["other"], None);
    assert_eq!(refused, Err(StoreError::BadFlag("other".into())));
}

#[test]
fn unchanged_since_leaves_changed_messages_alone() {
    let account = Store::new().add_account("u");
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    account
        .append(inbox, vec![message("x"), message("y")])
        .unwrap();
    let before = account.folder(&["INBOX"]).unwrap().highest_modseq;
    account
        .store(inbox, &[2], FlagOp::Add, &["\\Seen"], None)
        .unwrap();
    let outcome = account.store(inbox, &[1, 2, 9], FlagOp::Add, &["\\Draft"], Some(before));
    let outcome = outcome.unwrap();
    assert_eq!((outcome.done, outcome.modified), (vec![1], vec![2]));
}

#[test]
fn read_only_folders_change_only_through_the_back_door() {
    let account = Store::new().add_account("u");
    let id = account.create(&["ro"]).unwrap();
    account.append(id, vec![message("x")]).unwrap();
    account.set_read_only(id, true).unwrap();
    assert_eq!(
        account.append(id, vec![message("y")]),
        Err(StoreError::ReadOnly)
    );
    assert_eq!(account.expunge(id, None), Err(StoreError::ReadOnly));
    assert_eq!(account.delete(&["ro"]), Err(StoreError::ReadOnly));
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    assert_eq!(
        account.move_messages(id, &[1], inbox),
        Err(StoreError::ReadOnly)
    );
    assert_eq!(account.copy(id, &[1], inbox).unwrap().uids, [(1, 1)]);
    assert_eq!(account.remove(id, &[1]).unwrap(), [1]);
}

#[test]
fn a_difference_names_what_is_missing_and_what_is_extra() {
    let store = Store::new();
    let (one, two) = (store.add_account("one"), store.add_account("two"));
    for account in [&one, &two] {
        let inbox = account.folder(&["INBOX"]).unwrap().id;
        account
            .append(inbox, vec![message("same"), message("same")])
            .unwrap();
    }
    assert_eq!(one.snapshot(), two.snapshot());
    let inbox = two.folder(&["INBOX"]).unwrap().id;
    two.remove(inbox, &[1]).unwrap();
    two.append(inbox, vec![message("extra")]).unwrap();
    let lines = one.snapshot().difference(&two.snapshot());
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines
            .iter()
            .any(|l| l.starts_with("- INBOX") && l.ends_with("same"))
    );
    assert!(
        lines
            .iter()
            .any(|l| l.starts_with("+ INBOX") && l.ends_with("extra"))
    );
}

#[derive(Debug, Clone)]
enum Op {
    Append(u8, u8),
    Store(u32, FlagOp, u8),
    Copy(u32, bool),
    Move(u32, bool),
    Expunge(u32),
    ExpungeAll,
    Bump,
}

fn op() -> impl Strategy<Value = Op> {
    let uid = 1..20_u32;
    let flag_op = prop_oneof![Just(FlagOp::Add), Just(FlagOp::Remove), Just(FlagOp::Set)];
    prop_oneof![
        4 => (1..4_u8, 0..3_u8).prop_map(|(n, text)| Op::Append(n, text)),
        3 => (uid.clone(), flag_op, 0..3_u8).prop_map(|(uid, op, flag)| Op::Store(uid, op, flag)),
        2 => (uid.clone(), any::<bool>()).prop_map(|(uid, own)| Op::Copy(uid, own)),
        2 => (uid.clone(), any::<bool>()).prop_map(|(uid, own)| Op::Move(uid, own)),
        1 => uid.prop_map(Op::Expunge),
        1 => Just(Op::ExpungeAll),
        1 => Just(Op::Bump),
    ]
}

const FLAGS: [&str; 3] = ["\\Deleted", "\\Seen", "$Label"];

/// Runs one step on folder `here`; returns by how many messages the account grew or shrank.
fn step(account: &Account, here: FolderId, there: FolderId, op: &Op) -> i64 {
    let target = |own: bool| if own { here } else { there };
    let count = |n: usize| i64::try_from(n).unwrap();
    match op {
        Op::Append(n, text) => {
            let batch = vec![message(&format!("text {text}")); usize::from(*n)];
            count(account.append(here, batch).unwrap().uids.len())
        }
        Op::Store(uid, op, flag) => {
            let flag = FLAGS[usize::from(*flag)];
            account
                .store(here, &[*uid, *uid], *op, &[flag], None)
                .unwrap();
            0
        }
        Op::Copy(uid, own) => count(
            account
                .copy(here, &[*uid, *uid + 1], target(*own))
                .unwrap()
                .uids
                .len(),
        ),
        Op::Move(uid, own) => {
            account
                .move_messages(here, &[*uid, *uid + 1], target(*own))
                .unwrap();
            0
        }
        Op::Expunge(uid) => -count(account.expunge(here, Some(&[*uid])).unwrap().len()),
        Op::ExpungeAll => -count(account.expunge(here, None).unwrap().len()),
        Op::Bump => {
            account.bump_uidvalidity(here).unwrap();
            0
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(2024),
        ..ProptestConfig::default()
    })]

    #[test]
    fn promises_hold_after_any_sequence(ops in proptest::collection::vec(op(), 1..60)) {
        let account = Store::new().add_account("u");
        let here = account.folder(&["INBOX"]).unwrap().id;
        let there = account.create(&["Other"]).unwrap();
        let mut expected = 0_i64;
        for op in &ops {
            let before = account.folder_by_id(here).unwrap();
            let old = account.messages(here).unwrap();
            expected += step(&account, here, there, op);
            let after = account.folder_by_id(here).unwrap();
            let new = account.messages(here).unwrap();
            prop_assert!(new.windows(2).all(|pair| pair[0].uid < pair[1].uid));
            prop_assert!(new.iter().all(|m| m.uid < after.uid_next));
            prop_assert!(new.iter().all(|m| m.modseq <= after.highest_modseq));
            prop_assert_eq!(account.used_messages(), u64::try_from(expected).unwrap());
            if after.uid_validity != before.uid_validity {
                prop_assert!(after.uid_validity > before.uid_validity);
                continue;
            }
            prop_assert!(after.uid_next >= before.uid_next);
            prop_assert!(after.highest_modseq >= before.highest_modseq);
            // What a client learns from the change log is exactly what differs.
            let changes = account.changes(here, before.highest_modseq).unwrap();
            let mut view = old.clone();
            view.retain(|m| !changes.vanished.contains(&m.uid));
            for change in &changes.changed {
                view.retain(|m| m.uid != change.uid);
                view.push(change.clone());
            }
            view.sort_by_key(|m| m.uid);
            let plain = |list: &[Message]| -> Vec<_> {
                list.iter().map(|m| (m.uid, m.modseq, m.flags.clone(), m.email_id)).collect()
            };
            prop_assert_eq!(plain(&view), plain(&new));
            // A UID never names another message.
            for m in &new {
                if m.uid < before.uid_next {
                    prop_assert!(old.iter().any(|o| o.uid == m.uid && o.body == m.body));
                }
            }
            let snapshot = account.snapshot();
            prop_assert_eq!(snapshot.messages() as u64, account.used_messages());
            prop_assert!(snapshot.difference(&account.snapshot()).is_empty());
        }
    }
}
