//! Texts around the protocol: what servers say of themselves, names of folders, ids and cursors of the
//! ledger, what stands for NUL, and how a message is written.

use arbitrary::{Result, Unstructured};
use mailmove_core::model::ContentDigest;
use mailmove_imap::{
    KnownServer, Quirks, probe,
    wire::{Capabilities, Framer, IdField, Limits, Namespaces, Response},
};

use crate::feed::{Seen, feed};

/// The bytes as each of these.
pub fn check(data: &[u8]) {
    let (id, back) = probe::folder_id(data);
    assert_eq!(back, data, "{id}");
    assert!(
        id.as_str()
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte)),
        "{id}"
    );
    let text = String::from_utf8_lossy(data);
    if let Some((validity, uid, id)) = probe::message_id(&text) {
        assert_eq!(id.as_str(), text, "{validity} {uid}");
    }
    if let Some(cursor) = probe::cursor(&text) {
        let again = probe::cursor(cursor.as_str()).expect("what was written can be read");
        assert_eq!(again, cursor);
    }
    let shown = probe::printable(&text);
    assert!(!shown.contains(char::is_control), "{shown:?}");
    assert!(shown.len() <= 64 << 10, "{} bytes of text", shown.len());
    let _ = made_up(&mut Unstructured::new(data));
}

fn made_up(u: &mut Unstructured<'_>) -> Result<()> {
    match u.int_in_range(0..=2)? {
        0 => recognised(u),
        1 => named(u),
        _ => looked_at(u),
    }
}

/// Whatever a server says of itself, one of the tables or none.
fn recognised(u: &mut Unstructured<'_>) -> Result<()> {
    let words = [
        "",
        "Gimap ready",
        "microsoft exchange server",
        "Dovecot",
        "zimbra",
        "X-GM-EXT-1",
    ];
    let word = |u: &mut Unstructured<'_>| -> Result<String> {
        Ok(format!("{}{}", u.choose(&words)?, u.arbitrary::<&str>()?))
    };
    let greeting = word(u)?;
    let mut id: Vec<IdField> = Vec::new();
    for _ in 0..u.int_in_range(0..=3)? {
        let name = *u.choose(&["name", "NAME", "vendor", "x"])?;
        let value = u.arbitrary::<bool>()?.then(|| word(u)).transpose()?;
        id.push((name.into(), value.map(Into::into)));
    }
    let can: Capabilities = [word(u)?.as_str(), "IMAP4REV1"].into_iter().collect();
    let found = probe::detect(&greeting, &id, &can);
    let known = [
        KnownServer::Gmail,
        KnownServer::Exchange,
        KnownServer::ICloud,
        KnownServer::Yahoo,
        KnownServer::Zimbra,
        KnownServer::Cyrus,
    ];
    let _ = (known.map(Quirks::of), found.to_string());
    assert_eq!(
        found,
        probe::detect(&greeting, &id, &can),
        "it depends on more"
    );
    Ok(())
}

/// A listed name has a path; what a new folder there would be called leads to the same path.
fn named(u: &mut Unstructured<'_>) -> Result<()> {
    let spaces = namespaces(u)?;
    let delimiter = *u.choose(&[
        None,
        Some(b'/'),
        Some(b'.'),
        Some(b'\\'),
        Some(b'&'),
        Some(b'a'),
    ])?;
    let wire = u.arbitrary::<&[u8]>()?;
    let (path, back) = probe::path(spaces.as_ref(), wire, delimiter);
    assert!(path.names().iter().all(|name| !name.is_empty()), "{path:?}");
    if wire.eq_ignore_ascii_case(b"INBOX") {
        assert!(path.is_inbox(), "{path:?}");
    }
    if let (Some(back), None) = (back, &spaces) {
        let (again, _) = probe::path(None, &back, delimiter);
        assert_eq!(again, path, "{}", back.escape_ascii());
    }
    Ok(())
}

/// Namespaces as a server tells them.
fn namespaces(u: &mut Unstructured<'_>) -> Result<Option<Namespaces>> {
    let told = *u.choose(&[
        "",
        "((\"\" \"/\")) NIL NIL",
        "((\"INBOX.\" \".\")) ((\"user.\" \".\")) ((\"\" \".\"))",
        "NIL ((\"~\" \"/\")) ((\"#shared/\" \"/\")(\"#news.\" \".\"))",
    ])?;
    let limits = Limits::default();
    let line = format!("* NAMESPACE {told}\r\n");
    let seen = feed(Framer::without_greeting(limits), limits, [line.as_bytes()]);
    Ok(match &seen[..] {
        [Seen::Response(Response::Namespace(spaces))] => Some(spaces.clone()),
        _ => None,
    })
}

/// A message is the same however it is cut.
fn looked_at(u: &mut Unstructured<'_>) -> Result<()> {
    let mut quirks = Quirks::none();
    quirks.max_line = u.arbitrary::<Option<u8>>()?.map(usize::from);
    quirks.needs_final_newline = u.arbitrary()?;
    let step = u.int_in_range(1..=64)?;
    let mail = u.bytes(u.len())?;
    let whole = probe::looked_at([mail].into_iter(), &quirks);
    assert_eq!(
        probe::looked_at(mail.chunks(step), &quirks),
        whole,
        "in pieces"
    );
    let mask = |byte: &u8| if *byte == 0 { 0x80 } else { *byte };
    let masked: Vec<u8> = mail.iter().map(mask).collect();
    assert_eq!(whole.2, ContentDigest::of(&masked), "another digest");
    let before = |at: usize| at.checked_sub(1).map_or(0, |before| mail[before]);
    let alone = |at: usize| mail[at] == 0x80 && before(at) < 0x80;
    assert_eq!(whole.1, (0..mail.len()).any(alone), "0x80 alone");
    let longest = mail
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::len)
        .max()
        .unwrap_or(0);
    let objects = quirks.max_line.is_some_and(|most| longest > most)
        || (quirks.needs_final_newline && !mail.ends_with(b"\n"));
    assert_eq!(whole.0.is_some(), objects, "{longest}");
    Ok(())
}

/// One of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 8] = [
        b"1700000000-0000000017",
        b"1:7:300:917162500:12:c",
        b"Entw&APw-rfe/a b%\xff",
        b"\x1b[2J \xe2\x80\xae done",
        b"0 Gimap ready \x01name Dovecot \x00",
        b"1\x01\x02INBOX.a.&AOQ-.b",
        b"2\x05\x01\x07a\x80b\0c\nlonger line\nend",
        b"\xff\x01\x20x\r\n\r\n\x80\x80",
    ];
    texts.iter().map(|text| text.to_vec()).collect()
}
