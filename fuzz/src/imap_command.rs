//! Commands: whatever names, keywords, dates and texts are put in, a server reads one command, with
//! those arguments, and the mail stays in its literal.

use arbitrary::{Result, Unstructured};
use mailmove_imap::wire::{
    AppendMessage, Command, EncodeError, Encoder, FetchItem, FetchParams, FieldName, FlagSet,
    Flags, InternalDate, Keyword, ListReturn, LiteralMode, MailboxName, SearchDate, SearchKey,
    SelectParams, SpecialUse, StatusItem, StoreMode, SystemFlag, Tag, UidRange, UidSet,
};

use crate::server::{Sent, Token, read, send};

/// The bytes choose a command and make up its arguments.
pub fn check(data: &[u8]) {
    // Not enough bytes to make up a command is no finding.
    let _ = command(&mut Unstructured::new(data));
}

fn command(u: &mut Unstructured<'_>) -> Result<()> {
    let mode = *u.choose(&[
        LiteralMode::Synchronizing,
        LiteralMode::Small,
        LiteralMode::Any,
    ])?;
    let encoder = Encoder::new(mode);
    let tag = Tag::new(u.arbitrary()?);
    match u.int_in_range(0..=7)? {
        0 => append(u, encoder, tag, mode),
        1 => mailboxes(u, encoder, tag, mode),
        2 => list(u, encoder, tag, mode),
        3 => login(u, encoder, tag, mode),
        4 => fetch(u, encoder, tag, mode),
        5 => search(u, encoder, tag, mode),
        6 => store(u, encoder, tag, mode),
        _ => fields(u, encoder, tag, mode),
    }
}

type Built = std::result::Result<Command, EncodeError>;

/// What a server makes of it: one command, nothing after it. `None` if the arguments were refused.
fn served(built: Built, tag: Tag, mode: LiteralMode) -> Option<Vec<Token>> {
    served_with(&built.ok()?, tag, mode, |_, _| {
        panic!("a message in another command than APPEND")
    })
}

fn served_with(
    command: &Command,
    tag: Tag,
    mode: LiteralMode,
    message: impl Fn(usize, u64) -> Vec<u8>,
) -> Option<Vec<Token>> {
    let _ = format!("{command:?}");
    assert_eq!(command.tag(), tag);
    let Sent { wire, waits } = send(command, message);
    let text = wire.escape_ascii();
    let (tokens, len, needed) = read(&wire).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(len, wire.len(), "more than one command: {text}");
    assert_eq!(waits, needed, "waits elsewhere than the server: {text}");
    assert!(
        mode != LiteralMode::Synchronizing || waits.len() == literals(&tokens),
        "{text}"
    );
    assert_eq!(
        tokens[0],
        Token::Atom(tag.to_string().into_bytes()),
        "{text}"
    );
    Some(tokens)
}

fn literals(tokens: &[Token]) -> usize {
    tokens
        .iter()
        .filter(|token| matches!(token, Token::Literal { .. }))
        .count()
}

fn atoms(words: &[&str]) -> Vec<Token> {
    words
        .iter()
        .map(|word| Token::Atom(word.as_bytes().to_vec()))
        .collect()
}

fn mailbox(u: &mut Unstructured<'_>) -> Result<MailboxName> {
    let name: Vec<u8> = u.arbitrary()?;
    let text = String::from_utf8_lossy(&name).into_owned();
    let made = if u.arbitrary()? {
        MailboxName::new(name)
    } else {
        MailboxName::from_text(&text)
    };
    Ok(made.unwrap_or_else(|_| MailboxName::inbox()))
}

/// As they came from another server.
fn flags(u: &mut Unstructured<'_>) -> Result<FlagSet> {
    let mut received = Flags::default();
    for _ in 0..u.int_in_range(0..=6)? {
        let flag: Vec<u8> = u.arbitrary()?;
        received.push(&flag);
    }
    for flag in SystemFlag::ALL {
        if u.arbitrary()? {
            received.push(flag.as_str().as_bytes());
        }
    }
    let (mut set, _) = FlagSet::from_received(&received);
    if let Ok(keyword) = Keyword::new(u.bytes(u.len().min(3))?) {
        set.insert_keyword(keyword);
    }
    Ok(set)
}

fn set(u: &mut Unstructured<'_>) -> Result<UidSet> {
    let mut set: UidSet = u
        .arbitrary::<Vec<u32>>()?
        .into_iter()
        .filter(|uid| *uid > 0)
        .collect();
    if let Some(range) = UidRange::new(u.arbitrary()?, u.arbitrary()?)
        && u.arbitrary()?
    {
        set = UidSet::range(range.start(), range.end()).unwrap_or(set);
    }
    Ok(set)
}

/// What a mail would have to look like to be run.
fn hostile(len: u64) -> Vec<u8> {
    let text = b"\r\nM2 DELETE INBOX\r\n)\"{3}\r\n\0";
    text.iter()
        .copied()
        .cycle()
        .take(usize::try_from(len).unwrap_or(0))
        .collect()
}

fn append(u: &mut Unstructured<'_>, encoder: Encoder, tag: Tag, mode: LiteralMode) -> Result<()> {
    let name = mailbox(u)?;
    let mut messages = Vec::new();
    for _ in 0..u.int_in_range(0..=3)? {
        let mut message = AppendMessage::new(u64::from(u.arbitrary::<u16>()? % 5000))
            .with_flags(flags(u)?)
            .with_binary(u.arbitrary()?)
            .with_synchronizing(u.arbitrary()?);
        message.date = InternalDate::new(u.arbitrary()?, u.arbitrary()?).ok();
        messages.push(message);
    }
    let empty = messages.is_empty() || messages.iter().any(|message| message.len == 0);
    let built = encoder.append(tag, &name, &messages);
    assert_eq!(built.is_err(), empty, "{built:?}");
    let Ok(command) = built else { return Ok(()) };
    let tokens = served_with(&command, tag, mode, |_, len| hostile(len)).unwrap_or_default();
    let mut tokens = tokens.iter().skip(1);
    assert_eq!(tokens.next(), Some(&Token::Atom(b"APPEND".to_vec())));
    assert_eq!(tokens.next().and_then(Token::string), Some(name.as_bytes()));
    for message in &messages {
        let mut next = tokens.next();
        if !message.flags.is_empty() {
            assert_eq!(next, Some(&Token::Open));
            let mut count = 0;
            next = tokens.next();
            while let Some(Token::Atom(flag)) = next {
                sendable(flag);
                count += 1;
                next = tokens.next();
            }
            assert_eq!(next, Some(&Token::Close));
            assert_eq!(
                count,
                message.flags.system().count() + message.flags.keywords().len()
            );
            next = tokens.next();
        }
        if let Some(date) = message.date {
            let Some(Token::Quoted(text)) = next else {
                panic!("no date but {next:?}")
            };
            assert_eq!(text.len(), 26, "{date}");
            assert_eq!(InternalDate::parse(text), Some(date));
            next = tokens.next();
        }
        let expected = Token::Literal {
            octets: hostile(message.len),
            binary: message.binary,
        };
        assert!(next == Some(&expected), "another message");
    }
    assert_eq!(tokens.next(), None);
    Ok(())
}

/// One of the five flags that a client may set, or a keyword.
fn sendable(flag: &[u8]) {
    let text = String::from_utf8_lossy(flag);
    let system = ["\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft"];
    let odd = |byte: &u8| !byte.is_ascii_graphic() || b"(){%*\"\\]".contains(byte);
    assert!(
        system.contains(&&*text) || !flag.iter().any(odd),
        "{text:?} is sent as a flag"
    );
}

fn mailboxes(
    u: &mut Unstructured<'_>,
    encoder: Encoder,
    tag: Tag,
    mode: LiteralMode,
) -> Result<()> {
    let name = mailbox(u)?;
    let uids = set(u)?;
    let known = u.arbitrary::<bool>()?.then(|| uids.clone());
    let (validity, modseq) = (u.arbitrary()?, u.arbitrary()?);
    let qresync = SelectParams::Qresync {
        validity,
        modseq,
        known,
    };
    let role = *u.choose(&[None, Some(SpecialUse::Sent), Some(SpecialUse::Trash)])?;
    let (words, built): (&[&str], Built) = match u.int_in_range(0..=8)? {
        0 => (&["CREATE"], encoder.create(tag, &name, role)),
        1 => (&["SUBSCRIBE"], encoder.subscribe(tag, &name)),
        2 => (&["GETQUOTAROOT"], encoder.get_quota_root(tag, &name)),
        3 => (
            &["SELECT"],
            encoder.select(tag, &name, &SelectParams::Condstore),
        ),
        4 => (&["EXAMINE"], encoder.examine(tag, &name, &qresync)),
        5 => (
            &["STATUS"],
            encoder.status(tag, &name, &[StatusItem::Messages, StatusItem::Size]),
        ),
        6 => (&["UID", "COPY"], encoder.uid_copy(tag, &uids, &name)),
        7 => (&["UID", "MOVE"], encoder.uid_move(tag, &uids, &name)),
        _ => (&["UID", "EXPUNGE"], encoder.uid_expunge(tag, &uids)),
    };
    let Some(tokens) = served(built, tag, mode) else {
        return Ok(());
    };
    assert_eq!(tokens[1..=words.len()], atoms(words));
    let at = match words {
        [_, "EXPUNGE"] => None,
        [_, _] => Some(3 + 1),
        _ => Some(2),
    };
    if let Some(at) = at {
        assert_eq!(tokens[at].string(), Some(name.as_bytes()));
    }
    if words.len() == 2 {
        assert_eq!(
            UidSet::parse(tokens[3].string().unwrap_or_default()),
            Some(uids)
        );
    }
    Ok(())
}

fn list(u: &mut Unstructured<'_>, encoder: Encoder, tag: Tag, mode: LiteralMode) -> Result<()> {
    let (reference, pattern): (Vec<u8>, Vec<u8>) = u.arbitrary()?;
    let built = encoder.lsub(tag, &reference, &pattern);
    if let Some(tokens) = served(built, tag, mode) {
        let read: Vec<_> = tokens[2..].iter().filter_map(Token::string).collect();
        assert_eq!(read, [&*reference, &*pattern]);
    }
    let mut wanted = ListReturn::default();
    wanted.subscribed = u.arbitrary()?;
    wanted.special_use = u.arbitrary()?;
    wanted.status = u
        .arbitrary::<bool>()?
        .then_some(StatusItem::Messages)
        .into_iter()
        .collect();
    let built = encoder.list(tag, &reference, &pattern, Some(&wanted));
    if let Some(tokens) = served(built, tag, mode) {
        assert_eq!(tokens[2].string(), Some(&*reference));
    }
    Ok(())
}

fn login(u: &mut Unstructured<'_>, encoder: Encoder, tag: Tag, mode: LiteralMode) -> Result<()> {
    let (user, password): (String, String) = u.arbitrary()?;
    let built = encoder.login(tag, &user, &password);
    if let Ok(command) = &built {
        // The password is in no log; what is there anyway may be like it by chance.
        let shown = format!("{command:?}");
        let own = [&tag.to_string(), "LOGIN", "<secret>"];
        let shown = own
            .iter()
            .fold(shown, |shown, word| shown.replace(*word, ""));
        let telling = password.len() >= 8 && password.bytes().all(|b| b.is_ascii_alphanumeric());
        assert!(
            !telling || user.contains(&password) || !shown.contains(&password),
            "{shown}"
        );
    }
    if let Some(tokens) = served(built, tag, mode) {
        let read: Vec<_> = tokens[2..].iter().filter_map(Token::string).collect();
        assert_eq!(read, [user.as_bytes(), password.as_bytes()]);
    }
    let built = encoder.authenticate(tag, &user, password.as_bytes(), u.arbitrary()?);
    if let Ok(command) = built {
        let sent = send(&command, |_, _| Vec::new());
        let lines: Vec<&[u8]> = sent.wire.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(
            lines.len(),
            1 + sent.waits.len(),
            "{}",
            sent.wire.escape_ascii()
        );
        let clean = |line: &&[u8]| {
            let text = line.strip_suffix(b"\r\n");
            text.is_some_and(|text| text.iter().all(|byte| (0x20..0x7f).contains(byte)))
        };
        assert!(lines.iter().all(clean), "{}", sent.wire.escape_ascii());
    }
    Ok(())
}

fn fetch(u: &mut Unstructured<'_>, encoder: Encoder, tag: Tag, mode: LiteralMode) -> Result<()> {
    let mut names = Vec::new();
    for _ in 0..u.int_in_range(0..=3)? {
        names.extend(FieldName::new(u.arbitrary()?));
    }
    let part = FetchItem::BodyPart {
        start: u.arbitrary()?,
        len: u.arbitrary()?,
    };
    let items = [
        FetchItem::Uid,
        FetchItem::HeaderFields(names),
        part,
        FetchItem::Body,
    ];
    let chosen = &items[..u.int_in_range(0..=items.len())?];
    let params = FetchParams::changed_since(u.arbitrary()?, u.arbitrary()?);
    let uids = set(u)?;
    if let Some(tokens) = served(encoder.uid_fetch(tag, &uids, chosen, params), tag, mode) {
        assert_eq!(tokens[1..=2], atoms(&["UID", "FETCH"]));
        assert_eq!(
            UidSet::parse(tokens[3].string().unwrap_or_default()),
            Some(uids)
        );
        // Reading must not mark as read.
        let marks = |token: &Token| {
            token
                .string()
                .is_some_and(|text| text.starts_with(b"BODY["))
        };
        assert!(!tokens.iter().any(marks));
    }
    Ok(())
}

fn search(u: &mut Unstructured<'_>, encoder: Encoder, tag: Tag, mode: LiteralMode) -> Result<()> {
    let mut keys = Vec::new();
    for _ in 0..u.int_in_range(0..=4)? {
        keys.push(key(u, 3)?);
    }
    served(encoder.uid_search(tag, &keys, u.arbitrary()?), tag, mode);
    let (name, text): (&str, Vec<u8>) = (u.arbitrary()?, u.arbitrary()?);
    if let Ok(name) = FieldName::new(name) {
        let header = [SearchKey::Header(name.clone(), text.clone().into())];
        if let Some(tokens) = served(encoder.uid_search(tag, &header, false), tag, mode) {
            let [.., field, value] = &tokens[..] else {
                panic!("{tokens:?}")
            };
            assert_eq!(field.string(), Some(name.as_str().as_bytes()));
            assert_eq!(value.string(), Some(&*text));
        }
    }
    Ok(())
}

fn key(u: &mut Unstructured<'_>, depth: u8) -> Result<SearchKey> {
    let most = if depth == 0 { 5 } else { 7 };
    Ok(match u.int_in_range(0..=most)? {
        0 => SearchKey::Uid(set(u)?),
        1 => SearchDate::from_unix(u.arbitrary()?).map_or(SearchKey::All, SearchKey::Since),
        2 => SearchKey::Larger(u.arbitrary()?),
        3 => SearchKey::ModSeq(u.arbitrary()?),
        4 => Keyword::new(u.arbitrary()?).map_or(SearchKey::Deleted, SearchKey::Keyword),
        5 => match FieldName::new(u.arbitrary()?) {
            Ok(name) => SearchKey::Header(name, u.arbitrary::<Vec<u8>>()?.into()),
            Err(_) => SearchKey::Undeleted,
        },
        6 => SearchKey::Not(Box::new(key(u, depth - 1)?)),
        _ => SearchKey::Or(Box::new(key(u, depth - 1)?), Box::new(key(u, depth - 1)?)),
    })
}

fn store(u: &mut Unstructured<'_>, encoder: Encoder, tag: Tag, mode: LiteralMode) -> Result<()> {
    let (uids, flags) = (set(u)?, flags(u)?);
    let how = *u.choose(&[StoreMode::Add, StoreMode::Remove])?;
    let unchanged: Option<u64> = u.arbitrary()?;
    let built = encoder.uid_store(tag, &uids, how, &flags, u.arbitrary()?, unchanged);
    if let Some(tokens) = served(built, tag, mode) {
        let open = tokens
            .iter()
            .rposition(|token| *token == Token::Open)
            .unwrap_or_default();
        let sent = tokens[open + 1..tokens.len() - 1]
            .iter()
            .filter_map(Token::string);
        assert_eq!(
            sent.inspect(|flag| sendable(flag)).count(),
            tokens.len() - open - 2
        );
    }
    Ok(())
}

fn fields(u: &mut Unstructured<'_>, encoder: Encoder, tag: Tag, mode: LiteralMode) -> Result<()> {
    let fields: Vec<(String, String)> = u.arbitrary()?;
    let pairs: Vec<(&str, &str)> = fields
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    served(encoder.id(tag, &pairs), tag, mode);
    let names: Vec<&str> = pairs.iter().map(|(name, _)| *name).collect();
    served(encoder.enable(tag, &names), tag, mode);
    let name = mailbox(u)?;
    served(encoder.get_metadata(tag, &name, &names, Some(7)), tag, mode);
    if let Some((entry, value)) = pairs.first() {
        let built = encoder.set_metadata(tag, &name, entry, value.as_bytes());
        if let Some(tokens) = served(built, tag, mode) {
            let read: Vec<_> = tokens.iter().skip(2).filter_map(Token::string).collect();
            assert_eq!(read, [name.as_bytes(), entry.as_bytes(), value.as_bytes()]);
        }
    }
    Ok(())
}

/// Bytes from which each of the commands is made up.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for command in 0..8_u8 {
        for mode in 0..3_u8 {
            // `choose` takes a byte, the tag four, the command one; all else is arguments.
            let mut seed = vec![mode * 86, 7, 0, 0, 0, command];
            seed.extend_from_slice(b"\x01Entw\xc3\xbcrfe {3+}\r\n\"a\\b\x00\x01\\Seen $Work");
            seed.extend((0..90_u8).map(|n| n.wrapping_mul(command * 3 + mode + 1)));
            seeds.push(seed);
        }
    }
    seeds
}
