//! EWS on the wire, messages as Graph takes them, and what messages mean that Exchange made anew.
#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot run shall say why"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mailmove_benches::message;
use mailmove_core::identity::MeaningReader;
use mailmove_core::model::{Content, Flags, Timestamp};
use mailmove_ews::wire::{
    self, Element, Field, Header, NewItem, Piece, Property, Reply, Request, Splitter, Version,
};
use mailmove_exchange::{base64::Encoder, sink::Contents};
use mailmove_graph::draft::{Beside, Draft};
use tokio::runtime::Runtime;

/// What one read from a socket brings at most.
const READ: usize = 64 * 1024;
/// Bytes of a content that are encoded together, as when they are sent.
const STEP: usize = 48 * 1024;

const SIZES: [(&str, usize, usize); 3] = [
    ("2KiB", 50, 2 << 10),
    ("20KiB", 50, 20 << 10),
    ("1MiB", 8, 1 << 20),
];

/// Messages with all that is usually set.
fn items(count: usize, len: usize) -> Vec<NewItem> {
    let item = |number| NewItem {
        content: Content::from_bytes(message(number, len)),
        received: Some(Timestamp::new(1_689_587_065, 0)),
        fields: vec![
            Field::IsRead(true),
            Field::Extended(Property::MessageFlags, "1".to_owned()),
            Field::Extended(Property::LastVerb, "102".to_owned()),
            Field::Categories(vec!["Later".to_owned(), "Work".to_owned()]),
        ],
    };
    (0..count).map(item).collect()
}

/// A request as it leaves; how many bytes.
async fn sent(request: &Request) -> usize {
    let header = Header {
        version: Version::default(),
        impersonate: None,
    };
    let mut len = 0;
    let mut pass = |text: String| {
        len += text.len();
        black_box(text);
    };
    for piece in request.pieces(header) {
        let content = match piece {
            Piece::Text(text) => {
                pass(text);
                continue;
            }
            Piece::Content(content) => content,
            _ => continue,
        };
        let (mut reader, mut encoder) = (content.reader(), Encoder::default());
        while let Some(bytes) = reader.next().await.expect("in memory") {
            for step in bytes.chunks(STEP) {
                let mut text = String::with_capacity(STEP / 3 * 4 + 8);
                encoder.push(step, &mut text);
                pass(text);
            }
        }
        let mut text = String::new();
        encoder.finish(&mut text);
        pass(text);
    }
    len
}

fn encoding(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("ews-encode");
    for (name, count, len) in SIZES {
        let items = items(count, len);
        let whole = runtime.block_on(sent(&wire::create_items("AAMkAGI2", &items)));
        assert!(whole > count * len / 3 * 4, "{whole} bytes");
        // Bytes of the messages, not those that Base64 makes of them.
        group.throughput(Throughput::Bytes((count * len) as u64));
        group.bench_function(BenchmarkId::new("create", name), |bencher| {
            bencher.iter(|| {
                let request = wire::create_items("AAMkAGI2", black_box(&items));
                runtime.block_on(sent(&request))
            });
        });
    }
    group.finish();
}

/// A reply around what an operation says.
fn envelope(operation: &str, messages: &str) -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\">\
         <s:Header><h:ServerVersionInfo MajorVersion=\"15\" MinorVersion=\"2\" MajorBuildNumber=\"1544\" \
         MinorBuildNumber=\"4\" Version=\"V2017_07_11\" xmlns:h=\"http://schemas.microsoft.com/exchange/services/2006/types\"/>\
         </s:Header><s:Body><m:{operation}Response xmlns:m=\"http://schemas.microsoft.com/exchange/services/2006/messages\" \
         xmlns:t=\"http://schemas.microsoft.com/exchange/services/2006/types\"><m:ResponseMessages>{messages}\
         </m:ResponseMessages></m:{operation}Response></s:Body></s:Envelope>"
    )
    .into_bytes()
}

/// An id as long as Exchange's are.
fn id(number: usize) -> String {
    format!("<t:ItemId Id=\"AAMkAGI2{number:0136}\" ChangeKey=\"CQAAABYAAAB{number:029}\"/>")
}

fn property(tag: &str, kind: &str, value: &str) -> String {
    format!(
        "<t:ExtendedProperty><t:ExtendedFieldURI PropertyTag=\"{tag}\" PropertyType=\"{kind}\"/>\
         <t:Value>{value}</t:Value></t:ExtendedProperty>"
    )
}

/// What is told of each item of a listing.
fn meta(number: usize) -> String {
    id(number)
        + "<t:ItemClass>IPM.Note</t:ItemClass><t:DateTimeReceived>2023-07-17T09:44:25Z</t:DateTimeReceived>\
           <t:Size>20480</t:Size><t:Categories><t:String>Later</t:String></t:Categories>\
           <t:IsDraft>false</t:IsDraft>"
        + &property("0xe07", "Integer", "1025")
        + &property("0x1090", "Integer", "2")
        + &property("0x1081", "Integer", "102")
        + &property("0x1080", "Integer", "261")
}

/// The reply to a GetItem with contents.
fn fetched(count: usize, len: usize) -> Vec<u8> {
    let mut all = String::new();
    for number in 0..count {
        let mail = message(number, len);
        let header = mail.split(|byte| *byte == b'\n').take(8);
        let header = String::from_utf8_lossy(&header.collect::<Vec<_>>().join(&b'\n'))
            .replace('<', "&lt;")
            .replace('\r', "&#xD;");
        let _ = write!(
            all,
            "<m:GetItemResponseMessage ResponseClass=\"Success\"><m:ResponseCode>NoError</m:ResponseCode>\
             <m:Items><t:Message><t:MimeContent CharacterSet=\"UTF-8\">{}</t:MimeContent>{}{}</t:Message>\
             </m:Items></m:GetItemResponseMessage>",
            STANDARD.encode(&mail),
            meta(number),
            property("0x7d", "String", &header),
        );
    }
    envelope("GetItem", &all)
}

/// A page of SyncFolderItems.
fn page(count: usize) -> Vec<u8> {
    let mut all = String::from(
        "<m:SyncFolderItemsResponseMessage ResponseClass=\"Success\"><m:ResponseCode>NoError</m:ResponseCode>\
         <m:SyncState>H4sIAAAAAAAEAGNgYGcAAotqE0tHE2NTA0ddZ3NHN11TU0tTXSNDI0ddS1NnJ10jU2MLA2NDS11HFwsDAJlxW2ZBAAAA</m:SyncState>\
         <m:IncludesLastItemInRange>true</m:IncludesLastItemInRange><m:Changes>",
    );
    for number in 0..count {
        let _ = write!(
            all,
            "<t:Create><t:Message>{}</t:Message></t:Create>",
            meta(number)
        );
    }
    all += "</m:Changes></m:SyncFolderItemsResponseMessage>";
    envelope("SyncFolderItems", &all)
}

/// Counts bytes of contents.
#[derive(Default)]
struct Count(usize);

impl Contents for Count {
    type Item = usize;

    fn write(&mut self, bytes: &[u8]) {
        self.0 += black_box(bytes).len();
    }

    fn end(&mut self, whole: bool) -> usize {
        assert!(whole, "damaged Base64");
        std::mem::take(&mut self.0)
    }
}

/// Takes in a reply as a connection does: its response messages, and the octets of its contents.
fn read(operation: &str, reply: &[u8]) -> (Vec<Element>, usize) {
    let mut splitter = Splitter::new(Count::default());
    for piece in reply.chunks(READ) {
        splitter.push(piece).expect("a reply");
    }
    let (skeleton, contents) = splitter.finish().expect("a whole reply");
    let envelope = wire::parse(&skeleton).expect("XML");
    match wire::messages(operation, envelope).expect("SOAP") {
        Reply::Messages(messages) => (messages, contents.iter().sum()),
        other => unreachable!("{other:?}"),
    }
}

fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ews-decode");
    for (name, count, len) in SIZES {
        let reply = fetched(count, len);
        let (messages, octets) = read("GetItem", &reply);
        assert_eq!((messages.len(), octets), (count, count * len));
        group.throughput(Throughput::Bytes(octets as u64));
        group.bench_function(BenchmarkId::new("get-item", name), |bencher| {
            bencher.iter(|| read("GetItem", black_box(&reply)));
        });
    }
    let reply = page(512);
    let changes = |messages: &[Element]| {
        let changes = messages.first().and_then(|first| first.child("Changes"));
        changes.map_or(0, |changes| changes.children.len())
    };
    assert_eq!(changes(&read("SyncFolderItems", &reply).0), 512);
    group.throughput(Throughput::Elements(512));
    group.bench_function("sync-page", |bencher| {
        bencher.iter(|| read("SyncFolderItems", black_box(&reply)));
    });
    group.finish();
}

/// An alternative of text and HTML with an attachment, of some `len` bytes.
fn mixed(len: usize) -> Vec<u8> {
    let text = "The quick brown fox jumps over the lazy d=C3=B6g, again and again and again.\r\n";
    let lines = text.repeat(len / 4 / text.len() + 1);
    let html = lines.replace("\r\n", "<br>\r\n");
    let attached = STANDARD.encode(vec![0x5a; len * 3 / 8]);
    let attached: Vec<&str> = attached
        .as_bytes()
        .chunks(76)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    format!(
        "Message-ID: <1@example.org>\r\nFrom: a@example.org\r\nTo: b@example.org\r\nSubject: mixed\r\n\
         Date: Mon, 17 Jul 2023 02:44:23 -0700\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r\n\
         Content-Type: multipart/alternative; boundary=inner\r\n\r\n--inner\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
         {lines}\r\n--inner\r\nContent-Type: text/html; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n<html><body>{html}</body></html>\r\n--inner--\r\n\
         \r\n--outer\r\nContent-Type: application/octet-stream; name=a.bin\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--outer--\r\n",
        attached.join("\r\n")
    )
    .into_bytes()
}

/// A message as the requests that Graph takes it in; how many bytes they have.
fn as_fields(mail: &[u8]) -> usize {
    let draft = Draft::of(mail);
    let received = Some(Timestamp::new(1_689_587_065, 0));
    let beside = Beside::new(Flags::default(), received).with_mark("mark".to_owned());
    let attached = draft.attachments.iter();
    let attached = attached.map(|one| one.json(&one.bytes_in(mail)));
    let bodies = std::iter::once(draft.json(&beside)).chain(attached);
    let written = bodies.map(|body| serde_json::to_vec(&body).expect("JSON"));
    written.map(|body| black_box(body).len()).sum()
}

fn fields(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("graph-encode");
    for (name, mail) in [
        ("text/2KiB", message(1, 2 << 10)),
        ("mixed/20KiB", mixed(20 << 10)),
        ("mixed/1MiB", mixed(1 << 20)),
    ] {
        // Of text and HTML one goes.
        let whole = as_fields(&mail);
        assert!(whole > mail.len() / 2, "{whole} bytes");
        group.throughput(Throughput::Bytes(mail.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| as_fields(black_box(&mail))));
    }
    group.finish();
}

fn meaning(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("meaning");
    for (name, mail) in [
        ("text/2KiB", message(1, 2 << 10)),
        ("mixed/20KiB", mixed(20 << 10)),
        ("mixed/1MiB", mixed(1 << 20)),
    ] {
        group.throughput(Throughput::Bytes(mail.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut reader = MeaningReader::new();
                for piece in black_box(&mail).chunks(READ) {
                    reader.update(piece);
                }
                reader.finish()
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
    targets = encoding, decoding, fields, meaning
}
criterion_main!(benches);
