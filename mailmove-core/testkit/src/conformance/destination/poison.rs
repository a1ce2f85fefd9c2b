//! Mail whose lines are commands, with everything before it that may make a server refuse the command
//! it comes in: then the lines would run.

use mailmove_core::{
    destination::Outcome,
    model::{Flags, FolderPath, Keyword, Timestamp},
};

use super::super::{
    Taken,
    context::{Check, Context, append, check, letters, made, outgoing},
};
use crate::{
    corpus::{Corpus, CorpusMessage, Kind},
    snapshot::Compare,
};

/// Keywords in a folder: Maildir has no room for more than 26.
const MOST_KEYWORDS: usize = 20;

/// What no keyword is, or what servers take for something else.
const BAD: [&str; 24] = [
    "\\Recent",
    "\\*",
    "\\Bogus",
    "\\",
    "\\Seen\\Deleted",
    "a b",
    "a\r\nx DELETE Victim",
    "a\nx DELETE Victim",
    "\r\n",
    "",
    " ",
    "(",
    ")",
    ") {3}",
    "{10}",
    "{10+}",
    "~{10+}",
    "a{5+}",
    "\"quoted\"",
    "%",
    "*",
    "]",
    "\0",
    "gr\u{fc}n",
];

/// Before and after all calendars, at the seams of their years, and in zones that there are not.
const DATES: [(i64, i16); 18] = [
    (i64::MIN, 0),
    (i64::MAX, 0),
    (i64::MIN, -1439),
    (i64::MAX, 1439),
    (-1, 0),
    (0, 0),
    (0, 1439),
    (0, -1439),
    (1, -1),
    (-2_147_483_649, 0),
    (2_147_483_648, 0),
    (4_294_967_296, 0),
    (-62_135_596_801, 0),
    (-62_167_219_201, 0),
    (253_402_300_799, 0),
    (253_402_300_800, 0),
    (253_402_300_799, 1439),
    (1_709_164_800, 845),
];

/// Keywords of each character that there is: alone, first, last and within.
fn keywords() -> Vec<String> {
    let mut out: Vec<String> = BAD.map(str::to_owned).into();
    for c in (0..=u8::MAX).map(char::from) {
        out.extend([format!("{c}"), format!("a{c}b")]);
        if !c.is_ascii_alphanumeric() {
            out.extend([format!("{c}c"), format!("c{c}")]);
        }
    }
    for len in [31, 32, 50, 51, 127, 128, 129, 1000] {
        out.push("k".repeat(len));
    }
    out
}

/// What the core's types let through of it: whole, and as a source would read it from a line.
fn flags(text: &str) -> Flags {
    let flags = Flags::parse(text);
    match Keyword::new(text) {
        Ok(keyword) => flags.with_keyword(keyword),
        Err(_) => flags,
    }
}

pub(super) async fn odd_arguments(context: Context) -> Check {
    let inbox = FolderPath::inbox();
    let victim = FolderPath::new(["Victim"]);
    context.create(&victim).await?;
    for folder in [&inbox, &victim] {
        context.fill(folder, &letters(3)).await?;
    }
    let before = context.dump().await?;
    let poison = poison(&context)?;
    let mut all: Vec<_> = keywords()
        .iter()
        .map(|text| (flags(text), poison.received))
        .filter(|(flags, _)| !flags.is_empty())
        .collect();
    all.dedup();
    all.extend(DATES.map(|(seconds, zone)| (Flags::new(), Timestamp::new(seconds, zone))));
    let destination = context.destination().await?;
    let batch = context.can()?.batching.max_items.clamp(1, 7);
    let mut perhaps = Vec::new();
    for (n, some) in all.chunks(MOST_KEYWORDS).enumerate() {
        let path = FolderPath::new([format!("Poisoned {n}")]);
        let folder = made(destination.as_ref(), &path).await?;
        let item = |(flags, received): &(Flags, Timestamp)| {
            outgoing(&poison)
                .with_flags(flags.clone())
                .with_received(Some(*received))
        };
        // Each keyword is new to the folder when it comes alone, and known in the batch after it.
        let single = some.iter().map(std::slice::from_ref);
        let (mut stored, mut open) = (0, 0);
        for some in single.chain(some.chunks(batch)) {
            let items = some.iter().map(item).collect();
            for outcome in append(destination.as_ref(), &folder, items).await? {
                match outcome {
                    Outcome::Stored(_) => stored += 1,
                    Outcome::Unknown(_) => open += 1,
                    _ => {}
                }
            }
        }
        perhaps.push((path, stored..=stored + open, some.len()));
    }
    let dump = context.dump().await?;
    let mut expected = before;
    for (path, range, asked) in perhaps {
        let there = dump.messages(&path);
        check!(
            range.contains(&there.len()),
            "{path}: {} messages where {range:?} were stored",
            there.len()
        );
        check!(
            *range.start() >= asked / 2,
            "{path}: nearly nothing was taken, so that this proves nothing"
        );
        let first = there.first().map(|message| message.digest);
        check!(
            !context.keeps(&poison).bytes
                || there.iter().all(|message| Some(message.digest) == first),
            "{path}: messages that differ"
        );
        let folder = dump.folders.get(&path).cloned().unwrap_or_default();
        expected.folders.insert(path, folder);
    }
    Ok(Compare::all().diff(&expected, &dump).none()?)
}

/// The corpus' mail of commands, with a header where the server looks for one.
pub(super) fn poison(context: &Context) -> Result<CorpusMessage, super::super::Stop> {
    let mut poison = Corpus::ugly()
        .find(|m| m.kind == Kind::ImapCommands)
        .ok_or("the corpus has no such mail")?;
    if context.keeps(&poison).taken != Taken::Yes {
        poison.body = [b"Subject: commands\r\n\r\n", &poison.body[..]]
            .concat()
            .into();
        poison.kind = Kind::Letter;
    }
    Ok(poison)
}
