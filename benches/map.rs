//! The folder map for a mailbox with a thousand folders.
#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot run shall say why"
)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mailmove_core::map::{Earlier, FolderMap, MapRules, Verdict};
use mailmove_core::model::{Folder, FolderId, FolderPath, Naming, Role};

/// A hundred clients with nine folders each, and what every mailbox has.
fn folders() -> Vec<Folder> {
    let mut paths = vec![vec!["INBOX".to_owned()], vec!["Sent Items".to_owned()]];
    for client in 0..100 {
        paths.push(vec![
            "Clients".to_owned(),
            format!("Müller & Söhne {client}"),
        ]);
        for year in 2015..2024 {
            let mut path = paths[paths.len() - 1].clone();
            path.truncate(2);
            path.push(year.to_string());
            paths.push(path);
        }
    }
    let mut folders = Vec::new();
    for path in paths.into_iter().take(1000) {
        let path = FolderPath::new(path);
        let mut folder = Folder::new(FolderId::new(path.escaped()), path, "1");
        if folder.path.is_inbox() {
            folder.role = Some(Role::Inbox);
        } else if folder.path.last() == Some("Sent Items") {
            folder.role = Some(Role::Sent);
        }
        folders.push(folder);
    }
    folders
}

fn map(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("map");
    let source = folders();
    let rules = MapRules::new();
    let there = [Folder::new(
        FolderId::new("INBOX"),
        FolderPath::inbox(),
        "1",
    )];
    let plain = Naming::default();
    let mut strict = Naming::default();
    strict.separator = Some('.');
    strict.forbidden = "&/".to_owned();
    strict.case_insensitive = true;
    strict.max_name = 12;
    group.throughput(Throughput::Elements(source.len() as u64));
    for (name, naming) in [("plain", &plain), ("renaming", &strict)] {
        let map = FolderMap::new(&rules, &source, &there, naming, &[]);
        assert_eq!(map.entries.len(), source.len());
        group.bench_function(name, |bencher| {
            bencher.iter(|| FolderMap::new(&rules, black_box(&source), &there, naming, &[]));
        });
    }
    let first = FolderMap::new(&rules, &source, &there, &strict, &[]);
    let earlier: Vec<Earlier> = first
        .entries
        .iter()
        .filter_map(|entry| match &entry.verdict {
            Verdict::To { path, .. } => Some(Earlier::new(entry.source.clone(), path.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(earlier.len(), source.len());
    group.bench_function("second-pass", |bencher| {
        bencher.iter(|| FolderMap::new(&rules, black_box(&source), &there, &strict, &earlier));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500));
    targets = map
}
criterion_main!(benches);
