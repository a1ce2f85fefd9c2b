use super::*;

fn read(message: &[u8], piece: usize) -> Meaning {
    let mut reader = MeaningReader::new();
    message.chunks(piece).for_each(|piece| reader.update(piece));
    reader.finish()
}

fn meaning(message: &str) -> Meaning {
    let message = message.replace('\n', "\r\n");
    let whole = read(message.as_bytes(), message.len().max(1));
    for piece in [1, 2, 7, 64] {
        assert_eq!(read(message.as_bytes(), piece), whole);
    }
    whole
}

/// `aspect` or `aspect/loss`.
fn differs(given: &str, found: &str) -> Vec<String> {
    let deviations = meaning(given).deviations(&meaning(found));
    let text = |one: &Deviation| match one.loss {
        Some(loss) => format!("{}/{}", one.aspect.as_str(), loss.as_str()),
        None => one.aspect.as_str().to_owned(),
    };
    deviations.iter().map(text).collect()
}

const HEADER: &str = "Message-ID: <1@x.org>\nDate: Tue, 1 Jul 2003 10:52:37 +0200\n\
    From: Ann <ann@x.org>\nTo: bob@x.org, c@y.org\nCc: d@x.org\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\n\
    In-Reply-To: <0@x.org>\nReferences: <9@x.org> <0@x.org>\nReceived: from a by b; 1 Jul 2003\n";
/// The same, as a server might write it.
const MADE: &str = "MIME-Version: 1.0\nDate: 1 Jul 2003 08:52:37 +0000\n\
    From: \"Ann\" <ann@x.org>\nSender: \"Ann\" <ann@x.org>\nTo: \"bob@x.org\" <bob@x.org>,\n \"c@y.org\" <c@y.org>\n\
    Cc: \"d\" <d@x.org>\nSubject: =?iso-8859-1?Q?gr=FC=DFe?=\nMessage-ID: <1@x.org>\nThread-Index: abc\n\
    In-Reply-To: <0@x.org>\nReferences: <9@x.org> <0@x.org>\n";

fn mixed() -> String {
    format!(
        "{HEADER}Content-Type: multipart/mixed; boundary=x\n\npreamble\n--x\n\
        Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n\
        gr=FC=DFe =\nvon mir  \n\n--x\nContent-Type: image/png; name=a.png\n\
        Content-Transfer-Encoding: base64\n\nAAECAw==\n--x\nContent-Type: text/plain; name=notes.txt\n\n\
        second\ntext\n--x\nContent-Type: message/rfc822\n\nSubject: within\n\nits text\n--x--\nepilogue\n"
    )
}

fn made() -> String {
    format!(
        "{MADE}Content-Type: multipart/mixed; boundary=\"mm\"\n\n--mm\n\
        Content-Type: multipart/alternative; boundary=\"aa\"\n\n--aa\nContent-Type: text/plain; charset=utf-8\n\
        Content-Transfer-Encoding: base64\n\nZ3LDvMOfZSB2b24gbWly\n--aa\n\
        Content-Type: text/html; charset=utf-8\n\n<p>made up</p>\n--aa--\n\n--mm\n\
        Content-Type: message/rfc822\n\nSubject: within\nContent-Type: multipart/alternative; boundary=q\n\n\
        --q\n\nits text\n--q\nContent-Type: text/html\n\nits text\n--q--\n--mm\n\
        Content-Type: text/plain; name=\"notes.txt\"\nContent-Transfer-Encoding: base64\n\n\
        c2Vjb25kDQp0ZXh0\n--mm\nContent-Type: image/png; name=\"a.png\"\nContent-Disposition: attachment;\n \
        filename=\"a.png\"\nContent-Transfer-Encoding: quoted-printable\n\n=00=01=02=03\n--mm--\n"
    )
}

#[test]
fn a_message_made_anew_means_the_same() {
    assert_eq!(differs(&mixed(), &mixed()), [""; 0]);
    assert_eq!(differs(&mixed(), &made()), ["html/alternative-made"]);
}

#[test]
fn what_a_reader_would_miss_is_told() {
    for (was, is, expected) in [
        ("<1@x.org>", "<2@x.org>", "message-id"),
        ("08:52:37", "08:52:38", "date"),
        ("From: \"Ann\" <ann@", "From: \"Ann\" <eve@", "from"),
        ("<bob@x.org>", "<bob@z.org>", "to"),
        (",\n \"c@y.org\" <c@y.org>", "", "to"),
        ("Cc: \"d\" <d@x.org>\n", "", "cc"),
        ("Sender:", "Bcc: e@x.org\nSender:", "bcc"),
        ("gr=FC=DFe", "grosse", "subject"),
        ("In-Reply-To: <0@x.org>\n", "", "in-reply-to"),
        ("<9@x.org> <0@x.org>", "<9@x.org>", "references"),
        ("Z3LDvMOfZSB2b24gbWly", "Z3LDvMOfZSB2b24gZGly", "text"),
        ("text/plain; charset=utf-8", "text/enriched", "text"),
        ("=00=01=02=03", "=00=01=02=04", "attachment"),
        ("=00=01=02=03", "=00=01=02", "attachment"),
        (
            "name=\"notes.txt\"",
            "name=\"other.txt\"",
            "attachment-name",
        ),
        ("c2Vjb25kDQp0ZXh0", "c2Vjb25kDQp0ZXh1", "attachment"),
        ("\n\nits text\n--q\n", "\n\nits tex\n--q\n", "text"),
        ("Subject: within\n", "Subject: without\n", "subject"),
        ("message/rfc822", "text/other", "attachment"),
    ] {
        let changed = made().replacen(was, is, 1);
        assert_ne!(changed, made(), "{was}");
        let differs = differs(&mixed(), &changed);
        assert!(
            differs.iter().any(|one| one == expected),
            "{was}: {differs:?}"
        );
    }
    let without = made().replace(
        "--mm\nContent-Type: image/png",
        "--mm--\nContent-Type: image/png",
    );
    assert_eq!(
        differs(&mixed(), &without),
        ["html/alternative-made", "attachment"]
    );
}

fn plain(header: &str, text: &str) -> String {
    format!("Subject: x\n{header}\n{text}\n")
}

#[test]
fn known_losses_have_names() {
    let latin = |text: &str| text.replace('\u{fc}', "\u{fffd}");
    for (given, found, expected) in [
        // Characters of no declared set.
        (plain("", "gr\u{fc}n"), plain("", "gr?n"), "text/characters"),
        (plain("", "gr\u{fc}n"), plain("", "gr?m"), "text"),
        (plain("", "a\0b"), plain("", "a"), "text/cut-at-nul"),
        (plain("", "a\0b"), plain("", "b"), "text"),
        (
            plain("Content-Type: text/html\n", "<b>x</b>"),
            plain(
                "Content-Type: multipart/alternative; boundary=q\n",
                "--q\n\nx\n--q\nContent-Type: text/html\n\nx",
            ),
            "text/alternative-made",
        ),
        (
            plain(
                "Content-Type: multipart/signed; boundary=q\n",
                "--q\n\nx\n--q--",
            ),
            plain("", "x"),
            "structure/signature",
        ),
        (
            plain("Content-Type: multipart/mixed; boundary=q\n", "text"),
            plain("", ""),
            "structure/no-parts",
        ),
        (
            plain(
                "Content-Type: multipart/mixed; boundary=q\n",
                "--q\nContent-Type: text/calendar\n\na\n--q--",
            ),
            plain(
                "Content-Type: multipart/mixed; boundary=q\n",
                "--q\nContent-Type: text/calendar\n\nb\n--q--",
            ),
            "attachment/calendar",
        ),
        (
            plain(
                "Content-Type: multipart/report; boundary=q\n",
                "--q\nContent-Type: message/delivery-status\n\na\n--q--",
            ),
            plain(
                "Content-Type: multipart/report; boundary=q\n",
                "--q\nContent-Type: message/delivery-status\n\nb\n--q--",
            ),
            "attachment/report",
        ),
        (
            plain("Date: yesterday\n", "x"),
            plain("Date: Tue, 1 Jul 2003 10:52:37 +0200\n", "x"),
            "date/odd-field",
        ),
        (plain("To: nobody\n", "x"), plain("", "x"), "to/odd-field"),
        (
            plain("From: A@x.org, b@x.org\n", "x"),
            plain("From: a@x.org\n", "x"),
            "from/authors",
        ),
        (
            plain("From: a@x.org, b@x.org\n", "x"),
            plain("From: b@x.org\n", "x"),
            "from",
        ),
    ] {
        assert_eq!(differs(&given, &latin(&found)), [expected], "{given:?}");
    }
}

#[test]
fn what_servers_add_to_a_message_is_no_difference_but_people_and_text_are() {
    let bare = plain("", "x");
    let added = plain(
        "Message-ID: <1@x>\nDate: Tue, 1 Jul 2003 10:52:37 +0200\nFrom: a@x.org\n",
        "x",
    );
    assert_eq!(differs(&bare, &added), [""; 0]);
    assert_eq!(differs(&bare, &plain("To: a@x.org\n", "x")), ["to"]);
    assert_eq!(differs(&plain("", ""), &bare), ["text"]);
}

#[test]
fn how_important_a_message_is_is_told_but_not_of_one_within() {
    let high = plain("X-Priority: 1 (Highest)\n", "x");
    assert_eq!(differs(&high, &plain("Importance: High\n", "x")), [""; 0]);
    for changed in ["", "Importance: Normal\n", "Importance: Low\n"] {
        assert_eq!(differs(&high, &plain(changed, "x")), ["importance"]);
        // Nor is it made up.
        let back = differs(&plain(changed, "x"), &high);
        assert_eq!(back, ["importance"]);
    }
    // Where nothing is said, and where that is said, it is the same.
    let normal = plain("Importance: Normal\n", "x");
    assert_eq!(differs(&plain("", "x"), &normal), [""; 0]);
    let odd = plain("Importance: normal\nX-Priority: 1\n", "x");
    assert_eq!(differs(&odd, &normal), [""; 0]);
    assert_eq!(differs(&odd, &high), ["importance/odd-field"]);
    let within = |importance: &str| {
        let head = "Content-Type: message/rfc822\n";
        plain(head, &format!("{importance}Subject: y\n\ntext"))
    };
    assert_eq!(differs(&within("Importance: high\n"), &within("")), [""; 0]);
}

#[test]
fn nesting_and_numbers_are_bounded() {
    let deep: String = (0..200)
        .map(|at| format!("Content-Type: multipart/mixed; boundary=b{at}\n\n--b{at}\n"))
        .collect();
    let meaning = meaning(&format!("{deep}\ntext\n"));
    assert!(meaning.deep && meaning.text.is_none());
    let nested = "Content-Type: message/rfc822\n\n".repeat(200);
    assert!(self::meaning(&nested).embedded[0].embedded[0].embedded[0].embedded[0].deep);
    let digest = "Content-Type: multipart/digest; boundary=q\n\n".to_owned()
        + &"--q\n\nSubject: x\n\n".repeat(1200);
    let many = self::meaning(&digest);
    assert!(many.deep && many.embedded.len() == 1000);
    let parts = "Content-Type: multipart/mixed; boundary=q\n\n".to_owned()
        + &"--q\nContent-Type: a/b\n\n\n".repeat(10_100);
    assert_eq!(read(parts.as_bytes(), 1000).attachments.len(), 10_000);
}

#[test]
fn the_document_names_them_all() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/fidelity.md");
    let document = std::fs::read_to_string(path).unwrap();
    let names = |title: &str| -> Vec<&str> {
        let table = document.split(title).nth(1).unwrap();
        let rows = table.lines().skip_while(|line| !line.starts_with("|---"));
        let rows = rows.skip(1).take_while(|line| line.starts_with('|'));
        let first = rows.map(|line| line.split('|').nth(1).unwrap());
        first
            .flat_map(|cell| cell.split(','))
            .map(|name| name.trim().trim_matches('`'))
            .collect()
    };
    assert_eq!(names("## Meaning"), Aspect::ALL.map(Aspect::as_str));
    assert_eq!(names("## Known losses"), Loss::ALL.map(Loss::as_str));
}

proptest::proptest! {
    #[test]
    fn any_bytes_mean_the_same_in_any_pieces(message: Vec<u8>, piece in 1..50_usize) {
        let whole = read(&message, message.len().max(1));
        proptest::prop_assert_eq!(&read(&message, piece), &whole);
        proptest::prop_assert!(whole.deviations(&whole).iter().all(|one| one.loss.is_some()));
    }

    #[test]
    fn lines_of_a_message_mean_the_same_in_any_pieces(lines in proptest::collection::vec(0..12_usize, 0..40), piece in 1..50_usize) {
        const LINES: [&str; 12] = [
            "", "--q", "--q--", "--r", "text", "Content-Type: multipart/mixed; boundary=q",
            "Content-Type: multipart/alternative; boundary=r", "Content-Type: message/rfc822",
            "Content-Transfer-Encoding: base64", "aGFsbG8=", "Subject: x", "Content-Type: text/html",
        ];
        let message: String = lines.iter().map(|at| format!("{}\r\n", LINES[*at])).collect();
        let whole = read(message.as_bytes(), message.len().max(1));
        proptest::prop_assert_eq!(&read(message.as_bytes(), piece), &whole);
        proptest::prop_assert_eq!(whole.deviations(&whole), vec![]);
    }
}
