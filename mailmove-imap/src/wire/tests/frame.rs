use super::*;

fn error(stream: &[u8]) -> WireError {
    match see(stream).pop() {
        Some(Seen::Error(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bodies_are_streamed_with_what_is_known_before_and_after() {
    let stream = b"* 12 FETCH (FLAGS (\\Seen) BODY[HEADER.FIELDS (DATE FROM)] {6}\r\nDate:\r BODY[] {5}\r\n* 1 )\
        UID 77)\r\n* 3 EXISTS\r\n";
    let seen = see(stream);
    let [
        Seen::Body(head, date),
        Seen::Body(full, text),
        Seen::Response(Response::Fetch(fetch)),
        Seen::Response(last),
    ] = &seen[..]
    else {
        panic!("{seen:?}")
    };
    assert_eq!((head.seq, head.uid, head.index, head.len), (12, None, 0, 6));
    assert_eq!(
        head.section,
        Section::HeaderFields(b"(DATE FROM)".as_slice().into())
    );
    assert_eq!((full.index, &full.section), (1, &Section::Full));
    assert_eq!((&date[..], &text[..]), (&b"Date:\r"[..], &b"* 1 )"[..]));
    assert_eq!(fetch.uid, Some(77));
    assert_eq!(fetch.full_body(), Some(&BodyContent::Streamed(5)));
    assert_eq!(*last, Response::Exists(3));
}

#[test]
fn attributes_before_a_body_can_be_seen_while_it_streams() {
    let mut framer = framer();
    let mut buf = BytesMut::from(&b"* 1 FETCH (UID 9 FLAGS (\\Draft) BODY[] {3}\r\nabc)\r\n"[..]);
    let Ok(Some(Event::BodyStart(start))) = framer.next(&mut buf) else {
        panic!("a body")
    };
    assert_eq!(start.uid, Some(9));
    let fetch = framer.fetch_so_far().expect("a fetch");
    assert!(fetch.flags.as_ref().expect("flags").has(SystemFlag::Draft));
}

#[test]
fn the_owner_may_read_a_body_past_the_buffer() {
    let mut framer = framer();
    let mut buf = BytesMut::from(&b"* 1 FETCH (BODY[] {10}\r\n01"[..]);
    assert!(matches!(
        framer.next(&mut buf),
        Ok(Some(Event::BodyStart(_)))
    ));
    assert!(
        matches!(framer.next(&mut buf), Ok(Some(Event::BodyChunk(chunk))) if &chunk[..] == b"01")
    );
    assert_eq!(framer.next(&mut buf), Ok(None));
    assert_eq!((framer.body_remaining(), framer.wanted(buf.len())), (8, 8));
    framer.direct_body(5).expect("pending");
    buf.extend_from_slice(b"789 UID 4)\r\n");
    assert!(
        matches!(framer.next(&mut buf), Ok(Some(Event::BodyChunk(chunk))) if &chunk[..] == b"789")
    );
    assert_eq!(framer.next(&mut buf), Ok(Some(Event::BodyEnd)));
    let Ok(Some(Event::Response(Response::Fetch(fetch)))) = framer.next(&mut buf) else {
        panic!("a fetch")
    };
    assert_eq!(
        (fetch.uid, fetch.full_body()),
        (Some(4), Some(&BodyContent::Streamed(10)))
    );
    assert!(framer.is_idle() && buf.is_empty());
    assert_eq!(
        framer.direct_body(1),
        Err(WireError::BodyOverrun {
            taken: 1,
            pending: 0
        })
    );
    assert!(framer.next(&mut buf).is_err(), "the stream is lost");
}

#[test]
fn small_bodies_come_inline_up_to_the_limits() {
    let limits = Limits::default().with_inline_body(4).with_sizes(64, 64, 70);
    let stream = b"* 1 FETCH (BODY[] {4}\r\nabcd)\r\n* 2 FETCH (BODY[] {5}\r\nabcde)\r\n* 3 FETCH (BODY[] ~{0}\r\n)\r\n";
    let seen = feed(&mut Framer::without_greeting(limits), [&stream[..]]);
    let [
        Seen::Response(Response::Fetch(first)),
        Seen::Body(_, second),
        _,
        Seen::Response(Response::Fetch(third)),
    ] = &seen[..]
    else {
        panic!("{seen:?}")
    };
    assert_eq!(first.full_body(), Some(&BodyContent::Inline("abcd".into())));
    assert_eq!(second, b"abcde");
    assert_eq!(third.full_body(), Some(&BodyContent::Inline("".into())));
    assert!(third.sections[0].binary);
    // What doesn't fit into the response's limit any more is streamed instead.
    let big = limits.with_inline_body(100);
    let stream = [&b"* 1 FETCH (BODY[] {60}\r\n"[..], &[b'x'; 60], b")\r\n"].concat();
    let seen = feed(&mut Framer::without_greeting(big), [&stream[..]]);
    assert!(
        matches!(&seen[..], [Seen::Body(_, octets), Seen::Response(_)] if octets.len() == 60),
        "{seen:?}"
    );
}

#[test]
fn literals_of_other_responses_stay_inside_them() {
    let Response::List(entry) = one(b"* LIST (\\HasNoChildren) \"/\" {9}\r\na\r\n* OK b\r\n")
    else {
        panic!("a list")
    };
    assert_eq!(&*entry.name, b"a\r\n* OK b");
    let Response::MailboxStatus(status) = one(b"* STATUS {3}\r\na{5 (MESSAGES 3)\r\n") else {
        panic!("a status")
    };
    assert_eq!((&*status.name, status.messages), (&b"a{5"[..], Some(3)));
}

#[test]
fn text_for_humans_announces_no_literal() {
    let seen = see(b"* OK over {5}\r\nM1 NO sorry {10}\r\n+ go {3}\r\n* 1 EXISTS\r\n");
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert_eq!(seen[3], Seen::Response(Response::Exists(1)));
}

#[test]
fn a_greeting_comes_first() {
    for good in [
        "* OK hi\r\n",
        "* PREAUTH hi\r\n",
        "* bye full\n",
        "\r\n* OK late\r\n",
    ] {
        let seen = feed(&mut Framer::new(Limits::default()), [good.as_bytes()]);
        assert!(
            matches!(&seen[..], [Seen::Response(greeting)] if greeting.is_greeting()),
            "{good}"
        );
    }
    for bad in [
        "220 mail ESMTP\r\n",
        "+OK POP3\r\n",
        "HTTP/1.1 400 Bad\r\n",
        "* 1 EXISTS\r\n",
        "* NO x\r\n",
        "A OK\r\n",
    ] {
        let seen = feed(&mut Framer::new(Limits::default()), [bad.as_bytes()]);
        let [Seen::Error(error @ WireError::NotImap { excerpt })] = &seen[..] else {
            panic!("{bad}: {seen:?}")
        };
        assert_eq!(excerpt.as_str(), bad.trim_end());
        assert!(
            error
                .to_string()
                .starts_with("not an IMAP server: it says `")
        );
    }
}

#[test]
fn what_is_no_response_is_never_repeated() {
    for line in [
        "Dear customer, your PIN is 1234\r\n",
        "M1 MAYBE\r\n",
        "*x\r\n",
        "+x\r\n",
        "a\u{e9} OK x\r\n",
    ] {
        assert_eq!(error(line.as_bytes()), WireError::OutOfStep, "{line}");
    }
    assert!(!WireError::OutOfStep.to_string().contains("PIN"));
}

#[test]
fn ambiguous_literals_end_the_connection() {
    assert!(matches!(
        error(b"* 1 FETCH (BODY[] {5+}\r\n"),
        WireError::BadLiteral { .. }
    ));
    assert!(matches!(
        error(b"* LIST () NIL {5+}\r\n"),
        WireError::BadLiteral { .. }
    ));
    assert!(matches!(
        error(b"* 1 FETCH (BODY[] {99999999999999999999}\r\n"),
        WireError::BadLiteral { .. }
    ));
    // Read as text, the mail after it would speak for the server.
    assert_eq!(
        error(b"* 1 FETCH (FLAGS (\"a) BODY[] {5}\r\n"),
        WireError::OpenQuote
    );
    let seen = see(b"* 1 FETCH (UID 4 BODY[]{5}\r\n* BYE)\r\n");
    assert!(
        matches!(&seen[..], [Seen::Body(_, octets), _] if octets == b"* BYE"),
        "{seen:?}"
    );
}

#[test]
fn a_fetch_that_makes_no_sense_costs_only_itself() {
    let seen = see(
        b"* 1 FETCH (UID 0 FLAGS () BODY[] {12}\r\n* BYE mail\r\n UID 3)\r\n* 2 FETCH (UID 2)\r\n",
    );
    let [
        Seen::Response(Response::Malformed(bad)),
        Seen::Response(Response::Fetch(good)),
    ] = &seen[..]
    else {
        panic!("{seen:?}")
    };
    assert_eq!(
        (bad.seq, bad.what, bad.excerpt.as_str()),
        (Some(1), "FETCH: one UID", "0")
    );
    assert_eq!(good.uid, Some(2));
    // Text where a body should be is not repeated.
    let Response::Malformed(bad) = one(b"* 4 FETCH (BODY[] secret)\r\n") else {
        panic!("malformed")
    };
    assert_eq!(bad.excerpt.as_str(), "");
}

#[test]
fn sizes_are_limited() {
    let limits = Limits::default().with_sizes(50, 100, 120);
    let run = |stream: &[u8]| {
        feed(&mut Framer::without_greeting(limits), [stream])
            .pop()
            .expect("something")
    };
    let long = |head: &str, len: usize| {
        [head.as_bytes(), &vec![b'1'; len - head.len() - 2], b"\r\n"].concat()
    };
    assert!(matches!(run(&long("* OK ", 50)), Seen::Response(_)));
    assert_eq!(
        run(&long("* OK ", 51)),
        Seen::Error(WireError::LineTooLong { limit: 50 })
    );
    assert_eq!(
        run(&long("* OK ", 51)[..50]),
        Seen::Error(WireError::LineTooLong { limit: 50 })
    );
    assert!(matches!(run(&long("* search ", 100)), Seen::Response(_)));
    assert_eq!(
        run(&long("* SEARCH ", 101)),
        Seen::Error(WireError::LineTooLong { limit: 100 })
    );
    let whole = WireError::ResponseTooLong { limit: 120 };
    assert_eq!(
        run(b"* LIST () NIL {999999999999}\r\n"),
        Seen::Error(whole.clone())
    );
    assert_eq!(
        run(b"* 1 FETCH (X-GM-LABELS ({110}\r\n"),
        Seen::Error(whole.clone())
    );
    let many = [&b"* 1 FETCH ("[..], &b"BODY[] {0}\r\n ".repeat(20)].concat();
    assert_eq!(run(&many), Seen::Error(whole));
    // A literal that nobody reads isn't held in memory, however long.
    let dropped = [
        &b"* 1 FETCH (ENVELOPE {500}\r\n"[..],
        &[b'x'; 500],
        b" UID 3)\r\n",
    ]
    .concat();
    assert!(
        matches!(run(&dropped), Seen::Response(Response::Fetch(fetch)) if fetch.uid == Some(3) && fetch.odd)
    );
}

#[test]
fn nesting_is_limited_before_any_parser_runs() {
    for kind in ["1 FETCH (BODYSTRUCTURE ", "NAMESPACE ", "LIST (", "THREAD "] {
        let stream = format!("* {kind}{}\r\n", "(".repeat(400));
        assert_eq!(
            error(stream.as_bytes()),
            WireError::TooDeep { limit: MAX_DEPTH },
            "{kind}"
        );
    }
    // Also when spread over the pieces of one response.
    let stream = [&b"* 1 FETCH (X "[..], &b"( {1}\r\nx".repeat(40)].concat();
    assert_eq!(error(&stream), WireError::TooDeep { limit: MAX_DEPTH });
}

#[test]
fn bare_line_feeds_are_tolerated_and_told() {
    let mut framer = framer();
    let seen = feed(
        &mut framer,
        [&b"* 1 FETCH (BODY[] {2}\nab)\n* 5 EXISTS\n"[..]],
    );
    assert!(framer.saw_bare_lf());
    assert!(
        matches!(&seen[..], [Seen::Body(_, octets), _, Seen::Response(Response::Exists(5))] if octets == b"ab")
    );
    assert!(
        matches!(one(b"* LIST () NIL {2}\nab\n"), Response::List(entry) if &*entry.name == b"ab")
    );
}

#[test]
fn time_is_linear_however_the_bytes_arrive() {
    let line = [&b"* SEARCH"[..], &b" 12345".repeat(50_000), b"\r\n"].concat();
    let mut list = b"* LIST () NIL {20000}\r\n".to_vec();
    list.extend_from_slice(&[b'n'; 20_000]);
    list.extend_from_slice(b"\r\n");
    let mut fetches = Vec::new();
    for uid in 1..500 {
        fetches.extend_from_slice(
            format!("* {uid} FETCH (UID {uid} FLAGS (\\Seen a) BODY[] {{300}}\r\n").as_bytes(),
        );
        fetches.extend_from_slice(&[b'\n'; 300]);
        fetches.extend_from_slice(b")\r\n");
    }
    let braces = [&b"* STATUS x ("[..], &b"X { ".repeat(20_000), b")\r\n"].concat();
    for stream in [&line, &list, &fetches, &braces] {
        for size in [1, 7, 4096, usize::MAX] {
            let mut framer = framer();
            let seen = feed(&mut framer, stream.chunks(size.min(stream.len())));
            assert!(
                !seen.iter().any(|seen| matches!(seen, Seen::Error(_))),
                "{:?}",
                seen.last()
            );
            // Three passes: line end, shape, parser. Bodies aren't looked at at all.
            assert!(
                framer.scanned() <= 3 * stream.len() as u64,
                "{size}: {}",
                framer.scanned()
            );
        }
    }
    let mut framer = framer();
    feed(&mut framer, [&fetches[..]]);
    assert!(
        framer.scanned() < fetches.len() as u64,
        "bodies are not scanned"
    );
}
