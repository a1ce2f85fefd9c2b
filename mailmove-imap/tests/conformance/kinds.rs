//! What is particular to a kind of server: what it does to messages, and what its administrator can
//! do that IMAP can't.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use mailmove_core::model::FolderPath;
use mailmove_testkit::{
    conformance::{BoxError, Disturbance, Done, Keeps, Taken},
    corpus::{self, CorpusMessage},
};

use crate::{
    client::{Client, quoted},
    servers::RealAccount,
};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Dovecot,
    Cyrus,
    Courier,
}

impl Kind {
    /// The kind that the description names.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "dovecot" => Some(Self::Dovecot),
            "cyrus" => Some(Self::Cyrus),
            "courier" => Some(Self::Courier),
            _ => None,
        }
    }
}

/// What a server does to a message, by the harness's name.
pub(crate) fn keeps(harness: &str, message: &CorpusMessage) -> Keeps {
    match harness {
        "cyrus" => cyrus(message, Keeps::other_bytes()),
        "cyrus-dots" => cyrus(message, Keeps::refused()),
        "courier" => courier(message),
        _ => dovecot(harness, message),
    }
}

fn dovecot(harness: &str, message: &CorpusMessage) -> Keeps {
    use corpus::Kind;
    match message.kind {
        Kind::Empty => Keeps::refused(),
        // By BINARY, which that one does not offer.
        Kind::Nul | Kind::NulInHeader if harness != "dovecot-slash" => Keeps::everything(),
        // It ends lines by CRLF, and has another byte for NUL.
        Kind::Nul | Kind::NulInHeader | Kind::BareLf | Kind::BareCr | Kind::MixedLineEnds => {
            Keeps::other_bytes()
        }
        // A date to come is taken for a mistake.
        Kind::ReceivedIn2100 => Keeps::other_date(),
        // Dates before 1970 are 1901 in the session that stored them, and 2038 in the next.
        Kind::ReceivedBefore1970 | Kind::ReceivedLongAgo => perhaps(Keeps::other_date()),
        // Keywords longer than 50 bytes are refused: the adapter leaves them out.
        Kind::OddKeywords => perhaps(Keeps::everything()),
        _ => Keeps::everything(),
    }
}

fn perhaps(mut keeps: Keeps) -> Keeps {
    keeps.taken = Taken::Perhaps;
    keeps
}

fn cyrus(message: &CorpusMessage, eight_bit_header: Keeps) -> Keeps {
    use corpus::Kind;
    match message.kind {
        Kind::EightBitHeader => eight_bit_header,
        // "Message contains NUL characters", "… bare newlines", "… invalid header".
        // It takes NUL in a body by BINARY, which the back door does not speak.
        Kind::Nul => perhaps(Keeps::everything()),
        Kind::Empty
        | Kind::NulInHeader
        | Kind::BareLf
        | Kind::MixedLineEnds
        | Kind::BrokenHeader
        | Kind::ImapCommands => Keeps::refused(),
        Kind::ReceivedBefore1970 | Kind::ReceivedLongAgo => perhaps(Keeps::other_date()),
        // Single fields come from an index that holds the first thousand lines.
        Kind::ManyHeaders => {
            let mut keeps = Keeps::everything();
            keeps.header = false;
            keeps
        }
        _ => Keeps::everything(),
    }
}

fn courier(message: &CorpusMessage) -> Keeps {
    use corpus::Kind;
    match message.kind {
        // The adapter sends none.
        Kind::Empty => Keeps::refused(),
        // It shows only the beginning of what is nested deeper than about 150 parts, and says that
        // this is the size.
        Kind::VeryDeepMime => perhaps(Keeps::other_bytes()),
        // It ends lines by CRLF, the last one too, and has a blank for NUL.
        Kind::Nul
        | Kind::NulInHeader
        | Kind::BareLf
        | Kind::BareCr
        | Kind::MixedLineEnds
        | Kind::NoFinalNewline
        | Kind::HeaderWithoutEnd => Keeps::other_bytes(),
        Kind::ReceivedBefore1970 | Kind::ReceivedLongAgo => perhaps(Keeps::other_date()),
        // It takes no `[`, `{`, `<` and the like in keywords: the adapter leaves them out.
        Kind::OddKeywords => {
            let mut keeps = perhaps(Keeps::everything());
            keeps.flags = false;
            keeps
        }
        _ => Keeps::everything(),
    }
}

/// Why this kind can't have such a folder.
pub(crate) fn has_no_name(kind: Kind, path: &FolderPath) -> Option<&'static str> {
    let beyond = |name: &String| name.chars().any(|c| c > '\u{ffff}');
    match kind {
        Kind::Courier if path.names().iter().any(beyond) => {
            Some("it takes no characters beyond U+FFFF in names")
        }
        _ => None,
    }
}

/// Trials that a server can't pass.
pub(crate) fn skips(_harness: &str, _trial: &str) -> Option<String> {
    None
}

/// What the administrator does.
pub(crate) fn disturb(
    account: &RealAccount,
    folder: &FolderPath,
    what: &Disturbance,
) -> Result<Done, BoxError> {
    match account.description.kind {
        Kind::Dovecot => by_doveadm(account, folder, what),
        Kind::Cyrus => by_cyrus_admin(account, folder, what),
        Kind::Courier => by_files(account, folder, what),
    }
}

fn unsupported(what: &Disturbance) -> Done {
    Done::Unsupported(format!("{what:?}"))
}

fn by_doveadm(
    account: &RealAccount,
    folder: &FolderPath,
    what: &Disturbance,
) -> Result<Done, BoxError> {
    let (user, plain) = (account.user.as_str(), account.plain_name(folder));
    match what {
        Disturbance::Renumber => {
            let set = ["--uid-validity", "2000000000", &plain];
            doveadm(
                account,
                &[&["mailbox", "update", "-u", user], &set[..]].concat(),
            )?;
        }
        Disturbance::ReadOnly => {
            let who = format!("user={user}");
            let set = ["acl", "set", "-u", user, &plain, &who, "lookup", "read"];
            doveadm(account, &set)?;
            end_sessions(account)?;
        }
        Disturbance::Full => {
            let why = "its quota follows the user's name, and cannot be changed later";
            return Ok(Done::Unsupported(why.to_owned()));
        }
        other => return Ok(unsupported(other)),
    }
    Ok(Done::Yes)
}

fn doveadm(account: &RealAccount, arguments: &[&str]) -> Result<(), BoxError> {
    let (program, first) = account
        .description
        .doveadm
        .split_first()
        .ok_or("no doveadm")?;
    let Output { status, stderr, .. } =
        Command::new(program).args(first).args(arguments).output()?;
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&stderr).into_owned();
    Err(format!("doveadm {}: {said}", arguments.join(" ")).into())
}

/// Sessions remember rights for a while: ends all that are open.
fn end_sessions(account: &RealAccount) -> Result<(), BoxError> {
    doveadm(account, &["kick", &account.user])?;
    // Its own session is one of them: when that is gone, so are the others.
    while account.client().command("NOOP").is_ok() {}
    account.open_again()
}

fn by_cyrus_admin(
    account: &RealAccount,
    folder: &FolderPath,
    what: &Disturbance,
) -> Result<Done, BoxError> {
    let description = &account.description;
    let (separator, user) = (&description.separator, &account.user);
    let mut admin = Client::open(description.port, "cyrus", &description.password)?;
    let root = format!("user{separator}{user}");
    match what {
        Disturbance::ReadOnly => {
            let mut name = root;
            for part in folder.names().iter().filter(|_| !folder.is_inbox()) {
                name = format!("{name}{separator}{part}");
            }
            admin.ok(&format!("SETACL {} {user} lrs", quoted(&name)))?;
        }
        Disturbance::Full => room(&mut admin, &root, 0)?,
        Disturbance::RoomFor { messages } => room(&mut admin, &root, *messages)?,
        Disturbance::Renumber => {
            let why = "a mailbox keeps its UIDVALIDITY for life";
            return Ok(Done::Unsupported(why.to_owned()));
        }
        other => return Ok(unsupported(other)),
    }
    Ok(Done::Yes)
}

/// Lets so many messages more into a Cyrus mailbox.
fn room(admin: &mut Client, root: &str, messages: usize) -> Result<(), BoxError> {
    let root = quoted(root);
    admin.ok(&format!("SETQUOTA {root} (MESSAGE 1000000)"))?;
    let told = admin.ok(&format!("GETQUOTA {root}"))?;
    let told = String::from_utf8_lossy(&told.concat()).into_owned();
    let (_, used) = told.split_once("(MESSAGE ").ok_or("no quota")?;
    let used: usize = used.split(' ').next().ok_or("no quota")?.parse()?;
    admin.ok(&format!("SETQUOTA {root} (MESSAGE {})", used + messages))?;
    Ok(())
}

fn by_files(
    account: &RealAccount,
    folder: &FolderPath,
    what: &Disturbance,
) -> Result<Done, BoxError> {
    match what {
        Disturbance::ReadOnly => {
            let name = account.name(folder);
            account.client().ok(&format!("SETACL {name} owner alr"))?;
        }
        Disturbance::Renumber => {
            let file = maildir(account, folder).join("courierimapuiddb");
            let text = fs::read_to_string(&file)?;
            // `1 UIDVALIDITY UIDNEXT`, then a line for each message.
            let (head, rest) = text.split_once('\n').ok_or("an empty index")?;
            let words: Vec<&str> = head.split(' ').collect();
            let [version, _, next] = words[..] else {
                return Err(format!("an unknown index: {head}").into());
            };
            fs::write(&file, format!("{version} 2000000000 {next}\n{rest}"))?;
        }
        other => return Ok(unsupported(other)),
    }
    Ok(Done::Yes)
}

fn maildir(account: &RealAccount, folder: &FolderPath) -> PathBuf {
    let home = account.description.mail.join(&account.user).join("Maildir");
    match folder.is_inbox() {
        true => home,
        false => home.join(format!(".{}", folder.names().join("."))),
    }
}
