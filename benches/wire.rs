//! IMAP on the wire: what a server sends turned into events, and commands turned into bytes.
#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot run shall say why"
)]

use std::hint::black_box;
use std::time::Duration;

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mailmove_benches::{fetch_stream, flags_stream, search_stream};
use mailmove_imap::wire::{
    AppendMessage, Encoder, FetchItem, FetchParams, Flags, Framer, InternalDate, Limits,
    LiteralMode, MailboxName, Tag, UidSet,
};
use mailmove_imap::wire::{Event, FlagSet};

/// What one read from a socket brings at most.
const READ: usize = 64 * 1024;

/// Feeds a stream as a connection does; returns the events and body octets seen.
fn frame(stream: &[u8], limits: Limits) -> (usize, usize) {
    let mut framer = Framer::without_greeting(limits);
    let mut buffer = BytesMut::with_capacity(2 * READ);
    let (mut events, mut octets) = (0, 0);
    for piece in stream.chunks(READ) {
        buffer.extend_from_slice(piece);
        while let Ok(Some(event)) = framer.next(&mut buffer) {
            events += 1;
            if let Event::BodyChunk(chunk) = &event {
                octets += chunk.len();
            }
            black_box(event);
        }
    }
    (events, octets)
}

fn framing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    for (name, count, len) in [
        ("2KiB", 2000, 2 << 10),
        ("20KiB", 400, 20 << 10),
        ("1MiB", 8, 1 << 20),
    ] {
        let stream = fetch_stream(count, len);
        group.throughput(Throughput::Bytes(stream.len() as u64));
        for (how, inline) in [("streamed", 0), ("inline", 1 << 20)] {
            let limits = Limits::default().with_inline_body(inline);
            // A benchmark of an error would look fast.
            let (events, octets) = frame(&stream, limits);
            assert!(events > count, "{events} events for {count} messages");
            assert!(inline > 0 || octets == count * len, "{octets} octets");
            group.bench_function(BenchmarkId::new(how, name), |bencher| {
                bencher.iter(|| frame(black_box(&stream), limits));
            });
        }
    }
    for (name, stream) in [
        ("flags", flags_stream(5000)),
        ("search", search_stream(200_000)),
    ] {
        group.throughput(Throughput::Bytes(stream.len() as u64));
        assert!(frame(&stream, Limits::default()).0 >= 2);
        group.bench_function(name, |bencher| {
            bencher.iter(|| frame(black_box(&stream), Limits::default()));
        });
    }
    group.finish();
}

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let encoder = Encoder::new(LiteralMode::Any);
    let mailbox = MailboxName::from_text("Archive/Entwürfe 2023").expect("a valid name");
    let mut received = Flags::default();
    for flag in [&b"\\Seen"[..], b"\\Answered", b"$Forwarded"] {
        received.push(flag);
    }
    let (flags, refused) = FlagSet::from_received(&received);
    assert!(refused.is_empty(), "{refused:?}");
    let date = InternalDate::new(1_689_587_065, -420).expect("a valid date");
    let message = AppendMessage::new(2048).with_flags(flags).with_date(date);
    let messages = vec![message; 100];
    group.throughput(Throughput::Elements(messages.len() as u64));
    group.bench_function("append", |bencher| {
        bencher.iter(|| encoder.append(Tag::new(7), &mailbox, black_box(&messages)));
    });
    // Every other message of a folder: no two of them make a range.
    let set: UidSet = (1..2000).step_by(2).collect();
    let parts = set.split(4000);
    let items = [FetchItem::Uid, FetchItem::Flags];
    group.throughput(Throughput::Elements(1000));
    group.bench_function("uid-fetch", |bencher| {
        bencher.iter(|| {
            for part in black_box(&parts) {
                let command = encoder.uid_fetch(Tag::new(7), part, &items, FetchParams::default());
                assert!(command.is_ok());
            }
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500));
    targets = framing, encoding
}
criterion_main!(benches);
