//! ESEARCH (RFC 4731) tells what went, where CONDSTORE alone tells that something did.

use futures_util::StreamExt as _;
use mailmove_core::{
    Source as _,
    model::Cursor,
    source::{Change, Coverage, ListRequest},
};
use mailmove_imap::ImapSource;
use mailmove_imap_testserver::{Action, Capability};

use crate::support::*;

struct Listed {
    items: usize,
    removed: Vec<String>,
    coverage: Coverage,
    exists: Option<u64>,
    last: Cursor,
}

async fn list(source: &ImapSource, since: Option<Cursor>) -> Listed {
    let folders = source.folders().await.unwrap();
    let folder = folders
        .iter()
        .find(|one| one.path.to_string() == "Box")
        .unwrap();
    let request = ListRequest::new(folder).with_since(since);
    let mut pages = source.list(request);
    let mut listed = Listed {
        items: 0,
        removed: Vec::new(),
        coverage: Coverage::Rest,
        exists: None,
        last: Cursor::new(""),
    };
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        for change in page.changes {
            match change {
                Change::Item(_) => listed.items += 1,
                Change::Removed(id) => listed.removed.push(source.describe(&id)),
                _ => {}
            }
        }
        listed.coverage = page.coverage;
        listed.exists = page.exists;
        listed.last = page.next;
    }
    listed
}

#[tokio::test]
async fn a_removal_costs_a_search_and_no_listing() {
    for esearch in [true, false] {
        let from = Side::new(|server| {
            let server = server.without(Capability::Qresync);
            match esearch {
                true => server,
                false => server.without(Capability::Esearch),
            }
        })
        .await;
        for number in 0..600 {
            from.put(&["Box"], mail(&format!("m{number}")));
        }
        let folder = from.account.folder(&["Box"]).unwrap().id;
        from.account.remove(folder, &[5]).unwrap();
        let source = from.source(from.config());
        let first = list(&source, None).await;
        assert_eq!((first.items, first.exists), (599, Some(599)));
        from.account.remove(folder, &[7, 8, 600]).unwrap();
        from.put(&["Box"], mail("new"));
        from.server.reset_counters();
        let second = list(&source, Some(first.last)).await;
        let counters = from.server.counters();
        assert_eq!(second.exists, Some(597));
        assert_eq!(counters.command("UID SEARCH"), u64::from(esearch));
        if esearch {
            assert_eq!(second.coverage, Coverage::Delta);
            assert_eq!(second.items, 1);
            // One that was gone before is no news, and harms nobody.
            assert_eq!(second.removed, ["UID 5", "UID 7", "UID 8", "UID 600"]);
            assert!(counters.bytes_out < 5000, "{}", counters.bytes_out);
        } else {
            assert_eq!(second.coverage, Coverage::Full);
            assert_eq!(second.items, 597);
        }
        // Nothing went: nothing is searched for.
        from.server.reset_counters();
        let third = list(&source, Some(second.last)).await;
        assert_eq!((third.items, third.removed.len()), (0, 0));
        assert_eq!(third.coverage, Coverage::Delta);
        assert_eq!(from.server.counters().command("UID SEARCH"), 0);
    }
}

#[tokio::test]
async fn where_it_is_refused_the_folder_is_listed_again() {
    let from = Side::new(|server| server.without(Capability::Qresync)).await;
    for number in 0..10 {
        from.put(&["Box"], mail(&format!("m{number}")));
    }
    let source = from.source(from.config());
    let first = list(&source, None).await;
    let folder = from.account.folder(&["Box"]).unwrap().id;
    from.account.remove(folder, &[3]).unwrap();
    from.server
        .faults()
        .arm("UID SEARCH", 1, Action::No("[CANNOT] no index".to_owned()));
    let second = list(&source, Some(first.last)).await;
    assert_eq!((second.items, second.coverage), (9, Coverage::Full));
}
