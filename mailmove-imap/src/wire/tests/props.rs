//! What must hold for any bytes at all.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::wire::response::named;

/// The same cases in every run; PROPTEST_CASES and PROPTEST_RNG_SEED ask for more or others.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    config.cases = config.cases.max(1500);
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(3501);
    }
    config
}

/// Words that responses are made of, so that arbitrary streams get past the first byte.
fn word() -> impl Strategy<Value = Vec<u8>> {
    let fixed = prop::sample::select(vec![
        "* ",
        "* OK ",
        "* 1 FETCH (",
        "* 2 FETCH (",
        "M1 OK ",
        "M1 NO [",
        "+ ",
        "* LIST ",
        "* STATUS ",
        "* SEARCH ",
        "* ESEARCH ",
        "* VANISHED ",
        "* CAPABILITY ",
        "* NAMESPACE ",
        "* QUOTA ",
        "* QUOTAROOT ",
        "* ENABLED ",
        "* ID ",
        "* FLAGS ",
        "UID ",
        "FLAGS ",
        "BODY[] ",
        "BODY[HEADER.FIELDS (",
        "] ",
        "RFC822 ",
        "RFC822.SIZE ",
        "INTERNALDATE ",
        "X-GM-LABELS (",
        "MODSEQ (",
        "EMAILID (",
        "ENVELOPE ",
        "BINARY[",
        "<0> ",
        "NIL ",
        "(",
        ")",
        ") ",
        "\"",
        "\\",
        "\\Seen ",
        "\"a b\" ",
        "{0}\r\n",
        "{3}\r\n",
        "~{2}\r\n",
        "{5}\n",
        "{12}\r\n",
        "{3+}\r\n",
        "{99999999999}\r\n",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        "1",
        "42 ",
        "4294967296 ",
        "1:3,7 ",
        "[",
        "APPENDUID 1 2] ",
        "(EARLIER) ",
        "UIDNEXT 5] ",
        "TAG ",
        "MESSAGES 3 ",
        "17-Jul-1996 02:44:25 -0700",
        "\u{e9}",
    ]);
    prop_oneof![
        8 => fixed.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(word(), 0..60).prop_map(|words| words.concat())
}

fn limits() -> impl Strategy<Value = Limits> {
    let inline = prop::sample::select(vec![0, 4, 1000]);
    let sizes = prop::sample::select(vec![(24, 40, 60), (1 << 20, 1 << 24, 1 << 24)]);
    (inline, sizes).prop_map(|(inline, (line, search, whole))| {
        Limits::default()
            .with_inline_body(inline)
            .with_sizes(line, search, whole)
    })
}

/// Cuts a stream at points that need not be sorted or distinct.
fn cut(stream: &[u8], mut points: Vec<usize>) -> Vec<&[u8]> {
    points
        .iter_mut()
        .for_each(|point| *point %= stream.len() + 1);
    points.sort_unstable();
    let ends: Vec<usize> = points.iter().copied().chain([stream.len()]).collect();
    let starts = [0].into_iter().chain(points);
    starts
        .zip(ends)
        .map(|(start, end)| &stream[start..end])
        .collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn events_do_not_depend_on_how_bytes_arrive(
        stream in stream(),
        limits in limits(),
        points in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let whole = feed(&mut Framer::without_greeting(limits), [&stream[..]]);
        let parts = feed(&mut Framer::without_greeting(limits), cut(&stream, points));
        let bytes = feed(&mut Framer::without_greeting(limits), stream.chunks(1));
        prop_assert_eq!(&whole, &parts);
        prop_assert_eq!(&whole, &bytes);
    }

    #[test]
    fn memory_stays_within_the_limits(stream in stream()) {
        let limits = Limits::default().with_sizes(30, 40, 50).with_inline_body(20);
        let mut framer = Framer::without_greeting(limits);
        let mut buf = BytesMut::new();
        'all: for byte in stream {
            buf.extend_from_slice(&[byte]);
            loop {
                match framer.next(&mut buf) {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => break 'all,
                }
            }
            prop_assert!(buf.len() <= 50, "{} bytes held", buf.len());
        }
    }

    #[test]
    fn any_bytes_at_all_are_survived(stream in prop::collection::vec(any::<u8>(), 0..300)) {
        feed(&mut Framer::new(Limits::default()), [&stream[..]]);
        feed(&mut framer(), stream.chunks(3));
    }

    #[test]
    fn lists_of_any_attributes_come_back(
        seq in 1u32.., uid in 1u32.., size: u64, modseq: u64, seconds in -62_135_000_000i64..253_000_000_000,
        offset in -840i16..=840, keywords in prop::collection::vec("[A-Za-z$][A-Za-z0-9_.-]{0,20}", 0..5),
        body in prop::collection::vec(any::<u8>(), 0..200), order in any::<[u8; 6]>(),
    ) {
        let date = InternalDate::new(seconds, offset).expect("in range");
        let mut parts = vec![
            (order[0], format!("UID {uid}").into_bytes()),
            (order[1], format!("FLAGS (\\Flagged {})", keywords.join(" ")).into_bytes()),
            (order[2], format!("RFC822.SIZE {size}").into_bytes()),
            (order[3], format!("MODSEQ ({modseq})").into_bytes()),
            (order[4], format!("INTERNALDATE \"{date}\"").into_bytes()),
            (order[5], [format!("BODY[] {{{}}}\r\n", body.len()).as_bytes(), &body].concat()),
        ];
        parts.sort();
        let parts: Vec<_> = parts.into_iter().map(|(_, part)| part).collect();
        let stream = [format!("* {seq} FETCH (").as_bytes(), &parts.join(&b' '), b")\r\n"].concat();
        let fetch = one_fetch(&stream);
        prop_assert_eq!((fetch.seq, fetch.uid), (seq, Some(uid)));
        prop_assert_eq!((fetch.size, fetch.modseq), (Some(size), Some(modseq)));
        prop_assert_eq!(fetch.internal_date.as_ref().and_then(ServerDate::valid), Some(date));
        prop_assert_eq!(fetch.full_body(), Some(&BodyContent::Inline(body.into())));
        let flags = fetch.flags.expect("flags");
        prop_assert!(flags.has(SystemFlag::Flagged));
        let others: Vec<_> = flags.others().map(|flag| String::from_utf8_lossy(flag).into_owned()).collect();
        prop_assert_eq!(others, keywords);
    }

    #[test]
    fn mailbox_names_survive_the_way_there_and_back(wire in prop::collection::vec(any::<u8>(), 1..80)) {
        let Ok(name) = MailboxName::new(wire.clone()) else {
            prop_assert!(wire.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')));
            return Ok(());
        };
        let create = Encoder::new(LiteralMode::Synchronizing).create(Tag::new(1), &name, None).expect("valid");
        let sent: Vec<u8> = create.segments().iter().flat_map(|segment| match segment {
            Segment::Bytes(bytes) => bytes.to_vec(),
            _ => Vec::new(),
        }).collect();
        let argument = sent.strip_prefix(b"M1 CREATE ").expect("a command");
        let Response::List(entry) = one(&[b"* LIST () NIL ", argument].concat()) else { panic!("a list") };
        prop_assert_eq!(&*entry.name, name.as_bytes());
    }

    #[test]
    fn utf7_is_lossless(text: String, wire in prop::collection::vec(any::<u8>(), 0..40), odd in "[&A-Za-z0-9+,-]{0,12}") {
        let encoded = utf7::encode(&text);
        prop_assert!(encoded.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        prop_assert_eq!(utf7::decode(encoded.as_bytes()), Ok(text));
        for wire in [&wire[..], odd.as_bytes()] {
            if let Ok(name) = utf7::decode(wire) {
                prop_assert!(utf7::encode(&name).as_bytes() == wire);
            }
        }
    }

    #[test]
    fn dates_are_lossless(seconds in -62_135_500_000i64..253_402_200_000, offset in -1439i16..=1439) {
        let date = InternalDate::new(seconds, offset).expect("in range");
        let text = date.to_string();
        prop_assert_eq!(text.len(), 26);
        prop_assert_eq!(InternalDate::parse(text.as_bytes()), Some(date));
    }

    #[test]
    fn any_date_is_read_or_refused(text in "[ 0-9JanFeb:+-]{0,30}", seconds: i64, offset: i16) {
        let _ = InternalDate::parse(text.as_bytes());
        if let Ok(date) = InternalDate::new(seconds, offset) {
            prop_assert_eq!(InternalDate::parse(date.to_string().as_bytes()), Some(date));
        }
    }

    #[test]
    fn sets_are_lossless(uids in prop::collection::btree_set(1u32..5000, 1..200), bytes in 1usize..60) {
        let collected: UidSet = uids.iter().copied().collect();
        prop_assert_eq!(UidSet::parse(collected.to_string().as_bytes()), Some(collected.clone()));
        prop_assert_eq!(collected.text_len(), collected.to_string().len());
        let parts = collected.split(bytes);
        prop_assert!(parts.iter().all(|part| part.text_len() <= bytes || part.ranges().len() == 1));
        let back: Vec<u32> = parts.iter().flat_map(UidSet::iter).collect();
        prop_assert_eq!(back, uids.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn imap_proto_and_our_own_readers_agree(line in "(CAPABILITY|ENABLED|QUOTA|QUOTAROOT)[ A-Z0-9=()\"+-]{0,40}") {
        let text = format!("* {line}");
        if let Some(theirs) = proto::parse(text.as_bytes()) {
            let mut cursor = lex::Cursor::new(text.as_bytes());
            cursor.skip(2);
            let word = cursor.word("a name").expect("a name");
            let ours = named(word, &mut cursor).expect("readable").expect("known");
            prop_assert_eq!(theirs, ours);
        }
    }
}
