//! The digests by which messages are told apart.
#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot run shall say why"
)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mailmove_benches::message;
use mailmove_core::edge::{MemoryBudget, Spool};
use mailmove_core::identity::HeaderDigest;
use mailmove_core::model::ContentDigest;

fn header(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header-digest");
    group.throughput(Throughput::Elements(1));
    // The second must not take longer for its body.
    for len in [2 << 10, 1 << 20] {
        let mail = message(1, len);
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter(|| HeaderDigest::of(black_box(&mail)));
        });
    }
    let references: String = (0..500)
        .map(|n| format!("\r\n <{n}@example.org>"))
        .collect();
    let long = format!("References:{references}\r\nMessage-ID: <x@example.org>\r\n\r\n");
    group.bench_function("500-references", |bencher| {
        bencher.iter(|| HeaderDigest::of(black_box(long.as_bytes())));
    });
    group.finish();
}

fn content(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("content-digest");
    for len in [2 << 10, 20 << 10, 1 << 20] {
        let mail = message(1, len);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter(|| ContentDigest::of(black_box(&mail)));
        });
    }
    group.finish();
}

/// A body taken in as from a connection: digested and kept.
fn spool(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut group = criterion.benchmark_group("spool");
    for (name, len, budget) in [
        ("memory/2KiB", 2 << 10, 24 << 20),
        ("memory/1MiB", 1 << 20, 24 << 20),
        ("file/1MiB", 1 << 20, 0),
    ] {
        let mail = message(1, len);
        let spool = Spool::new(directory.path(), MemoryBudget::new(budget));
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut writer = spool.writer(len as u64).expect("a place");
                for piece in black_box(&mail).chunks(64 * 1024) {
                    writer.write(piece).expect("room");
                }
                writer.finish()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500));
    targets = header, content, spool
}
criterion_main!(benches);
