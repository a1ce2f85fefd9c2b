use futures_util::StreamExt as _;
use mailmove_core::{
    Destination as _, ErrorKind,
    model::{FolderPath, FolderSpec, Namespace, Role},
};
use mailmove_imap_testserver::{Action, Capability};
use mailmove_testkit::mailbox::NewMessage;

use crate::support::*;

fn spec(names: &[&str]) -> FolderSpec {
    FolderSpec::new(FolderPath::new(names.iter().copied()))
}

#[tokio::test]
async fn folders_are_listed_alike_with_and_without_extensions() {
    let all: &[Capability] = &[];
    let mut seen = Vec::new();
    for bare in [false, true] {
        let world = world(|server| match bare {
            true => server.only(all),
            false => server,
        })
        .await;
        let account = &world.account;
        let sent = account.create(&["Sent"]).unwrap();
        account.set_special_use(sent, &["\\Sent"]).unwrap();
        account.create(&["Entw\u{fc}rfe & mehr", "alt"]).unwrap();
        account.subscribe(&["Sent"], true);
        account
            .append(sent, vec![NewMessage::new("abc"), NewMessage::new("de")])
            .unwrap();
        let mut folders = world.destination.folders().await.unwrap();
        folders.sort_by(|a, b| a.path.cmp(&b.path));
        let paths: Vec<_> = folders
            .iter()
            .map(|folder| folder.path.names().to_vec())
            .collect();
        assert_eq!(
            paths,
            [
                vec!["Entw\u{fc}rfe & mehr"],
                vec!["Entw\u{fc}rfe & mehr", "alt"],
                vec!["INBOX"],
                vec!["Sent"]
            ]
        );
        let sent = &folders[3];
        assert_eq!(sent.messages, Some(2));
        assert!(sent.subscribed && sent.selectable);
        assert_eq!(sent.namespace, Namespace::Personal);
        assert_eq!(sent.mark.as_ref().unwrap().next, Some(3));
        assert_eq!(folders[2].role, Some(Role::Inbox));
        assert_eq!(
            (sent.bytes, sent.token.is_some()),
            match bare {
                true => (None, false),
                false => (Some(5), true),
            }
        );
        seen.push(world.server.counters());
    }
    assert_eq!((seen[0].command("LIST"), seen[0].command("STATUS")), (1, 0));
    assert_eq!((seen[1].command("LIST"), seen[1].command("STATUS")), (1, 4));
}

#[tokio::test]
async fn a_server_that_refuses_its_own_extension_is_asked_plainly() {
    let world = world(|server| server).await;
    world
        .server
        .faults()
        .arm("LIST", 1, Action::Bad("unknown RETURN".to_owned()));
    let folders = world.destination.folders().await.unwrap();
    assert_eq!(folders.len(), 1);
    assert!(folders[0].mark.is_some());
}

#[tokio::test]
async fn missing_folders_are_made_and_existing_ones_kept() {
    for prefix in ["", "INBOX."] {
        let world = world(|server| server.separator('.').prefix(prefix)).await;
        world.account.create(&["Old"]).unwrap();
        let want = vec![
            spec(&["Old"]),
            spec(&["New", "Deep"]).with_subscription(true),
            spec(&["New"]),
            spec(&["inbox"]),
            spec(&["Gesendet"]).with_role(Some(Role::Sent)),
            spec(&["Caf\u{e9} & Bar"]),
        ];
        for _ in 0..2 {
            let made: Vec<_> = world
                .destination
                .ensure_folders(want.clone())
                .collect()
                .await;
            assert_eq!(made.len(), want.len());
            for (slot, folder) in made {
                let folder = folder.unwrap();
                let wanted = &want[slot.index()];
                assert!(
                    folder.path == wanted.path || wanted.path.is_inbox(),
                    "{folder:?}"
                );
                assert!(folder.mark.is_some() && !folder.identity.as_str().is_empty());
                assert!(folder.subscribed || !wanted.subscribe);
            }
        }
        let paths: Vec<_> = world
            .account
            .folders()
            .into_iter()
            .map(|one| one.path)
            .collect();
        let has = |path: &[&str]| paths.iter().any(|known| known == path);
        assert!(
            has(&["New", "Deep"]) && has(&["New"]) && has(&["Gesendet"]),
            "{paths:?}"
        );
        assert!(has(&["Caf\u{e9} & Bar"]), "{paths:?}");
        assert_eq!(paths.len(), 6, "{paths:?}");
        let sent = world.account.folder(&["Gesendet"]).unwrap();
        assert_eq!(sent.special_use, ["\\Sent"]);
        assert_eq!(world.account.subscriptions(), [["New", "Deep"]]);
    }
}

#[tokio::test]
async fn what_was_ensured_is_what_is_listed() {
    let world = world(|server| server.separator('.').prefix("INBOX.")).await;
    let made = world.ensure(&["INBOX", "Sub"]).await;
    let listed = world.destination.folders().await.unwrap();
    let same = listed.iter().find(|folder| folder.id == made.id).unwrap();
    assert_eq!((&same.path, &same.identity), (&made.path, &made.identity));
    assert_eq!(same.mark, made.mark);
}

#[tokio::test]
async fn parents_are_made_where_the_server_does_not() {
    let world = world(|server| server).await;
    world
        .server
        .faults()
        .arm("CREATE", 1, Action::No("parent missing".to_owned()));
    let folder = world.ensure(&["a", "b", "c"]).await;
    assert_eq!(folder.path, FolderPath::new(["a", "b", "c"]));
    // The refused one, its two parents, and the second try.
    assert_eq!(world.server.counters().command("CREATE"), 4);
    assert!(world.account.folder(&["a", "b"]).is_ok());
}

#[tokio::test]
async fn a_level_without_messages_becomes_a_folder() {
    let world = world(|server| server).await;
    world
        .account
        .configure(|limits| limits.create_parents = false);
    world.ensure(&["a", "b"]).await;
    let listed = world.destination.folders().await.unwrap();
    let level = listed
        .iter()
        .find(|folder| folder.path == FolderPath::new(["a"]));
    assert!(level.is_none_or(|folder| !folder.selectable));
    let folder = world.ensure(&["a"]).await;
    receipts(world.append(&folder, vec![outgoing("x")]).await);
}

#[tokio::test]
async fn a_name_that_is_refused_costs_only_itself() {
    let world = world(|server| server).await;
    world
        .account
        .configure(|limits| limits.reserved_names = vec!["Files".to_owned()]);
    let want = vec![spec(&["Files"]), spec(&["a/b"]), spec(&["Good"])];
    let mut made: Vec<_> = world.destination.ensure_folders(want).collect().await;
    made.sort_by_key(|(slot, _)| *slot);
    let kinds: Vec<_> = made
        .iter()
        .map(|(_, one)| one.as_ref().err().map(mailmove_core::Error::scope))
        .collect();
    let folder = Some(mailmove_core::Scope::Folder);
    assert_eq!(kinds, [folder, folder, None]);
    assert_eq!(made[1].1.as_ref().unwrap_err().code(), "imap/folder-name");
}

#[tokio::test]
async fn a_role_that_is_refused_does_not_cost_the_folder() {
    let world = world(|server| server).await;
    world
        .server
        .faults()
        .arm("CREATE", 1, Action::No("[USEATTR] not here".to_owned()));
    let want = vec![spec(&["Mine"]).with_role(Some(Role::Archive))];
    let made: Vec<_> = world.destination.ensure_folders(want).collect().await;
    assert_eq!(made[0].1.as_ref().unwrap().role, None);
    assert!(world.account.folder(&["Mine"]).is_ok());
}

#[tokio::test]
async fn marks_follow_what_comes_in() {
    let world = world(|server| server).await;
    let folder = world.ensure(&["Box"]).await;
    let before = world.destination.mark(&folder.id).await.unwrap();
    stored_ids(
        world
            .append(&folder, vec![outgoing("a"), outgoing("b")])
            .await,
    );
    let after = world.destination.mark(&folder.id).await.unwrap();
    assert_eq!(before.epoch, after.epoch);
    assert_eq!(after.next, before.next.map(|next| next + 2));
    world.account.delete(&["Box"]).unwrap();
    let error = world.destination.mark(&folder.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn capabilities_are_what_the_server_offers() {
    let full = world(|server| server)
        .await
        .destination
        .capabilities()
        .await
        .unwrap();
    assert!(full.batching.atomic && full.returns_ids && full.moves && full.removes);
    assert!(full.system.starts_with("IMAP ("), "{}", full.system);
    assert_eq!(full.naming.separator, Some('/'));
    let bare = world(|server| server.only(&[]).separator('.')).await;
    let bare = bare.destination.capabilities().await.unwrap();
    assert!(!bare.batching.atomic && !bare.returns_ids && !bare.moves && !bare.removes);
    assert!(bare.sets_flags && bare.keeps_bytes);
    assert_eq!(bare.naming.separator, Some('.'));
}
