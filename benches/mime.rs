//! A message from one server's answer to another server's command and back, and repairs.
#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot run shall say why"
)]

use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mailmove_benches::message;
use mailmove_core::edge::{MemoryBudget, Spool};
use mailmove_core::model::Content;
use mailmove_core::repair::repair;
use mailmove_imap::wire::{
    AppendMessage, Encoder, Event, Framer, Limits, LiteralMode, MailboxName, Segment, Tag,
};
use tokio::runtime::Runtime;

/// What one read from a socket brings at most.
const READ: usize = 64 * 1024;

/// Framed out of a FETCH response, digested and kept.
fn taken_in(spool: &Spool, mail: &[u8]) -> Content {
    let head = format!("* 1 FETCH (UID 1 BODY[] {{{}}}\r\n", mail.len());
    let stream = [head.as_bytes(), mail, b")\r\nM1 OK\r\n"].concat();
    let mut framer = Framer::without_greeting(Limits::default().with_inline_body(0));
    let mut buffer = BytesMut::with_capacity(2 * READ);
    let mut writer = spool.writer(mail.len() as u64).expect("a place");
    for piece in stream.chunks(READ) {
        buffer.extend_from_slice(piece);
        while let Some(event) = framer.next(&mut buffer).expect("a response") {
            if let Event::BodyChunk(chunk) = event {
                writer.write(&chunk).expect("room");
            }
        }
    }
    writer.finish()
}

/// As it goes out again, in pieces.
fn sent(runtime: &Runtime, content: &Content) -> Vec<Bytes> {
    let message = AppendMessage::new(content.size());
    let command = Encoder::new(LiteralMode::Any)
        .append(Tag::new(1), &MailboxName::inbox(), &[message])
        .expect("a message that is not empty");
    let mut pieces = Vec::new();
    for segment in command.segments() {
        match segment {
            Segment::Bytes(bytes) => pieces.push(bytes.clone()),
            Segment::Message { .. } => {
                let mut reader = content.reader();
                while let Some(piece) = runtime.block_on(reader.next()).expect("readable") {
                    pieces.push(piece);
                }
            }
            _ => {}
        }
    }
    pieces
}

fn round_trip(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let spool = Spool::new(directory.path(), MemoryBudget::new(24 << 20));
    let mut group = criterion.benchmark_group("mime/round-trip");
    for len in [2 << 10, 20 << 10, 1 << 20] {
        let mail = message(1, len);
        // What is measured carries every byte.
        let all = sent(&runtime, &taken_in(&spool, &mail)).concat();
        assert!(all.windows(mail.len()).any(|part| part == mail));
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter(|| sent(&runtime, &taken_in(&spool, black_box(&mail))));
        });
    }
    group.finish();
}

/// Mail with bare line ends and bytes above 127 in the header: what servers refuse.
fn repairs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mime/repair");
    for len in [2 << 10, 20 << 10, 1 << 20] {
        let mail = String::from_utf8_lossy(&message(1, len)).replace("\r\n", "\n");
        let mail = mail.replace("=?utf-8?B?w4RyZ2Vy?=", "\u{c4}rger");
        assert!(repair(mail.as_bytes()).is_some(), "nothing to repair");
        group.throughput(Throughput::Bytes(mail.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter(|| repair(black_box(mail.as_bytes())));
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
    targets = round_trip, repairs
}
criterion_main!(benches);
