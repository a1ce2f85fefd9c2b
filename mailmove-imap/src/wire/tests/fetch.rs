use super::*;

fn flags(fetch: &Fetch) -> String {
    format!("{:?}", fetch.flags.as_ref().expect("flags"))
}

#[test]
fn every_attribute_in_any_order_and_case() {
    let fetch = one_fetch(
        b"* 23 fetch (BODY[] {3}\r\nabc flags (\\Seen $Forwarded) Uid 4827313 RFC822.SIZE 5000000000 \
          INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" MODSEQ (12121231000) X-GM-MSGID 1278455344230334865 \
          X-GM-THRID 1266894439832287888 EMAILID (M6d99ac3275bb4e) THREADID NIL SAVEDATE NIL)\r\n",
    );
    assert_eq!((fetch.seq, fetch.uid), (23, Some(4_827_313)));
    assert_eq!(fetch.size, Some(5_000_000_000));
    assert_eq!(fetch.modseq, Some(12_121_231_000));
    assert_eq!(fetch.gm_msgid, Some(1_278_455_344_230_334_865));
    assert_eq!(fetch.gm_thrid, Some(1_266_894_439_832_287_888));
    assert_eq!(fetch.email_id.as_deref(), Some("M6d99ac3275bb4e"));
    assert_eq!(fetch.thread_id, None);
    assert_eq!(fetch.save_date, Some(ServerDate::Nil));
    let date = fetch
        .internal_date
        .as_ref()
        .and_then(ServerDate::valid)
        .expect("a date");
    assert_eq!(
        (date.unix_seconds(), date.offset_minutes()),
        (837_596_665, -420)
    );
    assert_eq!(fetch.full_body(), Some(&BodyContent::Inline("abc".into())));
    assert!(!fetch.odd);
}

#[test]
fn odd_flags_never_cost_the_others() {
    let fetch = one_fetch(
        b"* 1 FETCH (FLAGS (\\Seen \"two words\" caf\xe9 \\X-Odd a\"b (\\Answered nested) {3}\r\nlit \\recent) UID 3)\r\n",
    );
    assert_eq!(
        flags(&fetch),
        "(\\Answered \\Seen \\Recent two words caf\\xe9 \\\\X-Odd a\\\"b nested lit)"
    );
    assert_eq!(fetch.uid, Some(3));
    let fetch = one_fetch(b"* 1 FETCH (FLAGS NIL X-GM-LABELS () UID 3)\r\n");
    assert_eq!(
        (flags(&fetch).as_str(), fetch.gm_labels),
        ("()", Some(vec![]))
    );
}

#[test]
fn gmail_labels_with_literals_and_escapes() {
    let fetch = one_fetch(
        b"* 1 FETCH (X-GM-LABELS (\"\\\\Inbox\" \\Sent Important \"Muy Importante\" \"q\\\"q\" {6}\r\na)\r\n(b &AOk-) UID 2)\r\n",
    );
    let labels: Vec<_> = fetch
        .gm_labels
        .iter()
        .flatten()
        .map(|label| label.escape_ascii().to_string())
        .collect();
    assert_eq!(
        labels,
        [
            "\\\\Inbox",
            "\\\\Sent",
            "Important",
            "Muy Importante",
            "q\\\"q",
            "a)\\r\\n(b",
            "&AOk-"
        ]
    );
}

#[test]
fn dates_that_are_none_are_kept_raw() {
    let date = |text: &str| {
        one_fetch(format!("* 1 FETCH (INTERNALDATE {text} UID 1)\r\n").as_bytes()).internal_date
    };
    assert_eq!(date("NIL"), Some(ServerDate::Nil));
    assert_eq!(
        date("\"00-Xxx-0000\""),
        Some(ServerDate::Malformed(b"00-Xxx-0000".as_slice().into()))
    );
    assert_eq!(
        date("\"NIL\""),
        Some(ServerDate::Malformed(b"NIL".as_slice().into()))
    );
    assert!(matches!(
        date("{26}\r\n17-Jul-1996 02:44:25 -0700"),
        Some(ServerDate::Valid(_))
    ));
}

#[test]
fn bodies_as_literal_quoted_or_nil() {
    let fetch = one_fetch(
        b"* 1 FETCH (BODY[] \"\" RFC822.HEADER \"a\\\"b\" BODY[TEXT]<7> NIL BINARY[1.2] ~{2}\r\n\0x \
          BODY[HEADER.FIELDS.NOT (\"A]\" {1}\r\nb)] {0}\r\n RFC822 {1}\r\nx BODY[HEADER] NIL)\r\n",
    );
    let parts: Vec<_> = fetch
        .sections
        .iter()
        .map(|part| format!("{:?} {:?}", part.section, part.content))
        .collect();
    assert_eq!(
        parts,
        [
            "[] Inline(0 octets)",
            "[HEADER] Inline(3 octets)",
            "[TEXT] Nil",
            "[1.2] Inline(2 octets)",
            "[HEADER.FIELDS.NOT (A] b)] Inline(0 octets)",
            "[] Inline(1 octets)",
            "[HEADER] Nil",
        ]
    );
    assert_eq!(fetch.sections[2].origin, Some(7));
    assert!(fetch.sections[3].binary && !fetch.sections[0].binary);
    assert_eq!(
        fetch.sections[1].content,
        BodyContent::Inline("a\"b".into())
    );
}

#[test]
fn unknown_attributes_are_skipped_as_a_whole() {
    let fetch = one_fetch(
        b"* 1 FETCH (ENVELOPE (NIL \"a ) b\" ((NIL NIL {3}\r\n) ( \"x\"))) BODY ((\"TEXT\" \"PLAIN\" NIL) \"MIXED\") \
          BINARY.SIZE[1] 9 X-FOO bar X-LIT {4}\r\nUID  X-EMPTY () UID 8 X-NOTHING)\r\n",
    );
    assert_eq!(fetch.uid, Some(8));
    assert!(fetch.odd && fetch.sections.is_empty());
}

#[test]
fn numbers_that_are_none_are_left_out() {
    let fetch = one_fetch(
        b"* 1 FETCH (RFC822.SIZE -1 MODSEQ 99999999999999999999 X-GM-MSGID NIL UID 8)\r\n",
    );
    assert_eq!(
        (fetch.size, fetch.modseq, fetch.gm_msgid, fetch.uid),
        (None, None, None, Some(8))
    );
    assert!(fetch.odd);
}

#[test]
fn what_is_no_fetch_is_told_so() {
    for bad in [
        "(UID 1",
        "(UID 1) x",
        "(UID)",
        "(FLAGS (a)",
        "(FLAGS )",
        "(UID 1 UID 2)",
        "(UID 4294967296)",
        "(BODY[ NIL)",
        "(BODY[]<x> NIL)",
        "(MODSEQ (1 2))",
        "(UID \"1)",
        "(BODY[] text)",
        "UID 1",
        "(\"UID\" 1)",
        "(BODY[] )",
        "(EMAILID)",
        "(\r)",
    ] {
        let stream = format!("* 1 FETCH {bad}\r\n* 2 EXISTS\r\n");
        let seen = see(stream.as_bytes());
        assert!(
            matches!(
                &seen[..],
                [
                    Seen::Response(Response::Malformed(_)),
                    Seen::Response(Response::Exists(2))
                ]
            ),
            "{bad}: {seen:?}"
        );
    }
}

#[test]
fn debug_output_never_shows_a_body() {
    let fetch = one_fetch(b"* 1 FETCH (BODY[] {6}\r\nSECRET RFC822 \"SECRET\")\r\n");
    assert!(!format!("{fetch:?}").contains("SECRET"));
}

#[test]
fn messages_named_by_uid_alone() {
    let fetch = one_fetch(b"* 25996 UIDFETCH (FLAGS (\\Seen) RFC822.SIZE 5)\r\n");
    assert_eq!(
        (fetch.seq, fetch.uid, fetch.size),
        (0, Some(25_996), Some(5))
    );
    // It may be said once more.
    let fetch = one_fetch(b"* 7 uidfetch (UID 7 BODY[] {3}\r\nabc)\r\n");
    assert_eq!((fetch.seq, fetch.uid), (0, Some(7)));
}
