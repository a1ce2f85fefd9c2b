use mail_parser::MessageParser;
use mailmove_core::model::{Flags, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn draft(message: &str) -> Draft {
    Draft::of(message.replace('\n', "\r\n").as_bytes())
}

fn names(losses: &BTreeSet<Loss>) -> Vec<&'static str> {
    losses.iter().map(|loss| loss.as_str()).collect()
}

const RELATED: &str = "From: a@x.org\nTo: b@x.org\nSubject: x\nMessage-ID: <1@x.org>\nDate: Tue, 1 Jul 2003 10:52:37 +0200\n\
    MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=m\n\n--m\n\
    Content-Type: multipart/alternative; boundary=a\n\n--a\nContent-Type: text/plain\n\nplain\n--a\n\
    Content-Type: multipart/related; boundary=r\n\n--r\nContent-Type: text/html; charset=utf-8\n\
    Content-Transfer-Encoding: quoted-printable\n\n<p>gr=C3=BC=C3=9Fe<img src=3D\"cid:i@x\">\n--r\n\
    Content-Type: image/png; name=i.png\nContent-ID: <i@x>\nContent-Transfer-Encoding: base64\n\niVBORw==\n--r--\n--a--\n--m\n\
    Content-Type: message/rfc822\n\nSubject: inner\nFrom: c@x.org\nContent-Type: multipart/mixed; boundary=n\n\n--n\n\n\
    inner text\n--n\nContent-Type: application/pdf; name=f.pdf\nContent-Transfer-Encoding: base64\n\naGFsbG8=\n--n--\n\n--m\n\
    Content-Type: text/plain\nContent-Disposition: attachment; filename=\"notes.txt\"\n\nnotes\n--m--\n";

#[test]
fn the_html_is_the_body_and_parts_are_attachments() {
    let draft = draft(RELATED);
    assert!(draft.body.html && draft.body.text.contains("grüße"));
    assert_eq!(names(&draft.losses), ["second-body"]);
    let found: Vec<_> = draft
        .attachments
        .iter()
        .map(|one| {
            (
                one.name.as_str(),
                one.kind.as_str(),
                one.inline,
                one.message,
                one.size,
            )
        })
        .collect();
    assert_eq!(found[0], ("i.png", "image/png", true, false, 4));
    assert_eq!((found[1].0, found[1].3), ("inner", true));
    assert_eq!(found[2], ("notes.txt", "text/plain", false, false, 5));
    assert_eq!(draft.attachments[0].id.as_deref(), Some("i@x"));
}

#[test]
fn attachments_say_where_their_bytes_are() {
    let message = RELATED.replace('\n', "\r\n");
    let draft = Draft::of(message.as_bytes());
    let bytes = |at: usize| draft.attachments[at].bytes_in(message.as_bytes());
    assert_eq!(bytes(0), b"\x89PNG");
    assert_eq!(bytes(2), b"notes");
    let inner = bytes(1);
    assert!(inner.starts_with(b"Subject: inner") && inner.ends_with(b"--n--\r\n"));
    let item = Value::Object(draft.attachments[1].json(&inner));
    assert_eq!(item["@odata.type"], "#microsoft.graph.itemAttachment");
    assert_eq!(item["item"]["body"]["content"], "inner text");
    assert_eq!(item["item"]["attachments"][0]["contentBytes"], "aGFsbG8=");
    let file = Value::Object(draft.attachments[1].json_as_file(&inner));
    assert_eq!(file["name"], "inner.eml");
    assert_eq!(file["contentType"], "application/octet-stream");
}

#[test]
fn what_is_said_beside_is_in_properties() {
    let at = Timestamp::new(1_057_049_557, 120);
    let flags = Flags::parse("\\Seen \\Flagged \\Answered Work");
    let beside = Beside::new(flags, Some(at)).with_mark("2 x".to_owned());
    let json = Value::Object(draft(RELATED).json(&beside));
    let properties = json["singleValueExtendedProperties"].as_array().unwrap();
    let value = |id: &str| {
        let found = properties.iter().find(|one| one["id"] == id);
        found.map(|one| one["value"].as_str().unwrap().to_owned())
    };
    for (id, expected) in [
        ("Integer 0x0E07", "4"),
        ("SystemTime 0x0E06", "2003-07-01T08:52:37Z"),
        ("SystemTime 0x0039", "2003-07-01T08:52:37Z"),
        ("Integer 0x1081", "102"),
        ("Integer 0x1080", "261"),
        (
            "String {6f1d7a52-3c0e-4b6b-9d5a-8e0c2f4b7a91} Name mailmove",
            "2 x",
        ),
    ] {
        assert_eq!(value(id).as_deref(), Some(expected), "{id}");
    }
    assert!(
        value("String 0x007D")
            .unwrap()
            .starts_with("From: a@x.org\r\n")
    );
    assert_eq!(json["isRead"], true);
    assert_eq!(json["flag"]["flagStatus"], "flagged");
    assert_eq!(json["categories"], json!(["Work"]));
    assert_eq!(json["sender"], json["from"]);
    assert_eq!(json["internetMessageId"], "<1@x.org>");
    let draft = Value::Object(draft(RELATED).json(&Beside::new(Flags::parse("\\Draft"), None)));
    let text = draft.to_string();
    assert!(!text.contains("0x0E07"), "a draft was never sent");
}

#[test]
fn what_fields_cannot_carry_has_a_name() {
    let part = |kind: &str| {
        format!(
            "Subject: x\nContent-Type: {kind}; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: text/calendar\n\nx\n--b--\n"
        )
    };
    for (message, losses) in [
        (part("multipart/signed"), vec!["signature", "calendar"]),
        (part("multipart/encrypted"), vec!["encryption", "calendar"]),
        (part("multipart/report"), vec!["calendar", "report"]),
        (part("multipart/mixed"), vec!["calendar"]),
        ("Content-Type: application/pkcs7-mime\n\nx".to_owned(), vec!["encryption"]),
        ("Subject: x\n\na\0b\u{fc}".to_owned(), vec!["characters", "nul"]),
        ("Content-Transfer-Encoding: base64\n\nYQ=a".to_owned(), vec!["damaged"]),
        ("Content-Type: multipart/mixed\n\nall text".to_owned(), vec!["no-parts"]),
        ("From: a@x.org, b@x.org\nTo: nobody\n\n".to_owned(), vec!["odd-address", "authors"]),
        (
            "Content-Type: multipart/alternative; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: text/html\n\n<p>\n--b--\n".to_owned(),
            vec!["second-body"],
        ),
    ] {
        let draft = draft(&message);
        assert_eq!(names(&draft.losses), losses, "{message}");
        assert_eq!(draft.is_protected(), message.contains("signed") || losses.contains(&"encryption"));
    }
    // Text and HTML that are no alternatives are both kept.
    let both = draft(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: text/html\n\n<p>\n--b--\n",
    );
    assert!(!both.body.html && both.attachments[0].kind == "text/html");
    // A part without parts is a text.
    assert_eq!(
        draft("Content-Type: multipart/mixed\n\nall text").body.text,
        "all text"
    );
    let ids: BTreeSet<_> = Loss::ALL
        .iter()
        .map(|loss| (loss.as_str(), loss.in_words()))
        .collect();
    assert_eq!(ids.len(), Loss::ALL.len());
}

#[test]
fn texts_and_messages_within_are_bounded() {
    let long = "x".repeat(TEXT_MAX + 1);
    let draft = Draft::of(format!("Subject: x\r\n\r\n{long}").as_bytes());
    assert!(draft.body.too_long && draft.body.text.len() == TEXT_MAX);
    let inner = "y\r\n".repeat(EMBEDDED_MAX as usize / 3 + 1);
    let message = format!("Content-Type: message/rfc822\r\n\r\nSubject: i\r\n\r\n{inner}");
    let draft = Draft::of(message.as_bytes());
    assert!(draft.losses.contains(&Loss::MessageAsFile) && !draft.attachments[0].is_message());
    let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(5000);
    let draft = Draft::of(deep.as_bytes());
    let bytes = draft.attachments[0].bytes_in(deep.as_bytes());
    let json = Value::Object(draft.attachments[0].json(&bytes));
    assert_eq!(json.to_string().matches("itemAttachment").count(), 4);
}

/// One part as generated: encoded, and what it says.
#[derive(Clone, Debug)]
enum Made {
    File(Vec<u8>, u8),
    Parts(Vec<Self>),
}

fn made() -> impl Strategy<Value = Made> {
    let leaf = (proptest::collection::vec(any::<u8>(), 0..200), 0_u8..2)
        .prop_map(|(bytes, how)| Made::File(bytes, how));
    leaf.prop_recursive(3, 12, 4, |inner| {
        proptest::collection::vec(inner, 1..4).prop_map(Made::Parts)
    })
}

fn write(part: &Made, number: &mut usize, out: &mut Vec<u8>) {
    *number += 1;
    match part {
        Made::File(bytes, how) => {
            let name = format!("f{number}.bin");
            let head = format!(
                "Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename={name}\r\n"
            );
            out.extend_from_slice(head.as_bytes());
            if *how == 0 {
                out.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
                let text =
                    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
                for line in text.as_bytes().chunks(76) {
                    out.extend_from_slice(line);
                    out.extend_from_slice(b"\r\n");
                }
            } else {
                out.extend_from_slice(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n");
                for piece in bytes.chunks(20) {
                    piece
                        .iter()
                        .for_each(|byte| out.extend_from_slice(format!("={byte:02X}").as_bytes()));
                    out.extend_from_slice(b"=\r\n");
                }
            }
        }
        Made::Parts(parts) => {
            let boundary = format!("=_b{number}_");
            out.extend_from_slice(
                format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n")
                    .as_bytes(),
            );
            for part in parts {
                out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
                write(part, number, out);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        }
    }
}

/// Text and HTML that are not the same are both kept.
#[test]
fn of_two_texts_that_are_not_the_same_none_is_lost() {
    let part =
        |kind: &str, text: &str| format!("--b\r\nContent-Type: text/{kind}\r\n\r\n{text}\r\n");
    for (kind, losses, files) in [
        ("alternative", vec!["second-body"], 0),
        ("mixed", vec![], 1),
    ] {
        let message = format!(
            "Content-Type: multipart/{kind}; boundary=b\r\n\r\n{}{}--b--\r\n",
            part("plain", "one"),
            part("html", "<p>other</p>")
        );
        let draft = Draft::of(message.as_bytes());
        assert_eq!(names(&draft.losses), losses, "{kind}");
        assert_eq!(draft.attachments.len(), files, "{kind}");
    }
}

#[test]
fn what_html_refers_to_belongs_into_it_and_nothing_else_does() {
    let ids = ["a@x", "a", "b@x", "c.d", "z", "cid"];
    let html = "<img src=\"cid:a@x\"><img src=cid:c.d?y> cid:cid: CID:z <a href='cid:";
    let mut message = format!(
        "Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n{html}\r\n"
    );
    for id in ids {
        message.push_str(&format!(
            "--b\r\nContent-Type: image/png\r\nContent-Disposition: attachment\r\nContent-ID: <{id}>\r\n\r\nx\r\n"
        ));
    }
    message.push_str("--b--\r\n");
    let draft = Draft::of(message.as_bytes());
    let inline: Vec<bool> = draft.attachments.iter().map(|one| one.inline).collect();
    assert_eq!(inline, [true, true, false, true, false, true]);
}

/// A message within keeps all of its attachments, or is a file.
#[test]
fn a_message_within_that_has_too_many_attachments_is_a_file() {
    let letter = |count: usize| {
        let mut out =
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n".to_owned();
        out.push_str(&"--b\r\nContent-Type: a/b\r\n\r\nx\r\n".repeat(count));
        out.push_str("--b--\r\n");
        format!(
            "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: message/rfc822\r\n\r\n\
             {out}\r\n--a--\r\n"
        )
    };
    for (count, kind, losses) in [
        (3, "#microsoft.graph.itemAttachment", vec![]),
        (
            10_001,
            "#microsoft.graph.fileAttachment",
            vec!["message-as-file"],
        ),
    ] {
        let message = letter(count);
        let draft = Draft::of(message.as_bytes());
        let [within] = draft.attachments.as_slice() else {
            panic!("{count}");
        };
        assert!(within.is_message(), "not for its size");
        let json = within.json(&within.bytes_in(message.as_bytes()));
        assert_eq!(json["@odata.type"], kind);
        assert_eq!(names(&draft.losses), losses, "{count}");
    }
}

proptest! {
    #[test]
    fn another_reader_finds_the_same(text in "[a-zäöü ]{1,60}", html in "[a-z<>ß ]{0,60}", parts in proptest::collection::vec(made(), 0..4)) {
        let mut message = b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=top\r\n\r\n--top\r\n\
            Content-Type: multipart/alternative; boundary=alt\r\n\r\n".to_vec();
        for (kind, body) in [("plain", &text), ("html", &html)] {
            message.extend_from_slice(format!("--alt\r\nContent-Type: text/{kind}; charset=utf-8\r\n\r\n{body}\r\n").as_bytes());
        }
        message.extend_from_slice(b"--alt--\r\n");
        let mut number = 0;
        for part in &parts {
            message.extend_from_slice(b"--top\r\n");
            write(part, &mut number, &mut message);
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"--top--\r\n");
        let draft = Draft::of(&message);
        let other = MessageParser::new().parse(&message).unwrap();
        let found = other.body_html(0).unwrap();
        prop_assert_eq!(draft.body.text.trim(), found.trim());
        let mut ours: Vec<(String, Vec<u8>)> = draft.attachments.iter()
            .map(|one| (one.name.clone(), one.bytes_in(&message))).collect();
        let mut theirs: Vec<(String, Vec<u8>)> = other.attachments().map(|one| {
            use mail_parser::MimeHeaders as _;
            (one.attachment_name().unwrap_or_default().to_owned(), one.contents().to_vec())
        }).collect();
        ours.sort();
        theirs.sort();
        prop_assert_eq!(&ours, &theirs);
        prop_assert!(draft.attachments.iter().zip(&draft.attachments).all(|(one, _)| one.bytes_in(&message).len() as u64 == one.size));
        prop_assert_eq!(names(&draft.losses), ["second-body"]);
    }

    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, lines in proptest::collection::vec(proptest::sample::select(vec![
        "Content-Type: multipart/mixed; boundary=b", "Content-Type: message/rfc822", "Content-Type: text/html; charset=x",
        "--b", "--b--", "", "text", "Content-Transfer-Encoding: base64", "Content-Disposition: attachment; filename=a",
        "From: <a@b>, c", "To: x:;", "Content-ID: <>", "Content-Type: application/pkcs7-mime",
    ]), 0..40)) {
        let mut message = lines.join("\n").into_bytes();
        message.extend_from_slice(&bytes);
        let draft = Draft::of(&message);
        for attachment in &draft.attachments {
            let found = attachment.bytes_in(&message);
            prop_assert_eq!(found.len() as u64, attachment.size);
            let _ = attachment.json(&found);
        }
        let _ = draft.json(&Beside::new(Flags::new(), None));
    }
}

#[tokio::test]
async fn pieces_are_the_bytes_of_an_attachment_in_memory_or_not() {
    let spool = mailmove_core::edge::Spool::new(
        std::env::temp_dir(),
        mailmove_core::edge::MemoryBudget::new(0),
    );
    let text = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        vec![7_u8; 900_001],
    );
    let message = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: a/b\r\n\
        Content-Transfer-Encoding: base64\r\n\r\n{text}\r\n--b--\r\n"
    );
    let mut writer = spool.writer(message.len() as u64).unwrap();
    writer.write(message.as_bytes()).unwrap();
    for content in [writer.finish(), Content::from_bytes(message)] {
        let draft = Draft::read(&content).await.unwrap();
        let mut pieces = draft.attachments[0].reader(&content);
        let mut found = Vec::new();
        while let Some(piece) = pieces.next().await.unwrap() {
            assert!(piece.len() < 400_000);
            found.extend(piece);
        }
        assert_eq!(found, vec![7_u8; 900_001]);
        assert_eq!(draft.attachments[0].size, 900_001);
    }
}
