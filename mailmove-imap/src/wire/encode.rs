//! The commands that a migration needs. Those that could destroy mail by a slip (EXPUNGE, CLOSE, DELETE, RENAME) don't exist
//! here; UID EXPUNGE names what it removes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::args::{EncodeError, FlagSet, MailboxName, Tag, is_atom};
use super::capability::LiteralMode;
use super::command::{Builder, Command};
use super::items::{
    AppendMessage, FetchItem, FetchParams, ListReturn, SearchKey, SelectParams, StatusItem,
    StoreMode, fetch_item, is_eight_bit, search_key, status_items,
};
use super::mailbox::SpecialUse;
use super::uidset::UidSet;

type Encoded = Result<Command, EncodeError>;

/// Writes commands in the way that a server's capabilities allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Encoder {
    literals: LiteralMode,
    utf8: bool,
}

impl Encoder {
    /// For a server that takes literals like this.
    #[must_use]
    pub const fn new(literals: LiteralMode) -> Self {
        Self {
            literals,
            utf8: false,
        }
    }

    /// For a connection on which UTF8=ACCEPT is enabled (RFC 6855).
    #[must_use]
    pub const fn with_utf8(mut self, utf8: bool) -> Self {
        self.utf8 = utf8;
        self
    }

    fn start(self, tag: Tag, name: &'static str) -> Builder {
        Builder::new(tag, self.literals, name).with_utf8(self.utf8)
    }

    fn on_mailbox(self, tag: Tag, name: &'static str, mailbox: &MailboxName) -> Encoded {
        let mut b = self.start(tag, name);
        b.mailbox(mailbox)?;
        Ok(b.end())
    }

    /// CAPABILITY
    #[must_use]
    pub fn capability(self, tag: Tag) -> Command {
        self.start(tag, "CAPABILITY").end()
    }

    /// NOOP
    #[must_use]
    pub fn noop(self, tag: Tag) -> Command {
        self.start(tag, "NOOP").end()
    }

    /// LOGOUT
    #[must_use]
    pub fn logout(self, tag: Tag) -> Command {
        self.start(tag, "LOGOUT").end()
    }

    /// STARTTLS
    #[must_use]
    pub fn starttls(self, tag: Tag) -> Command {
        self.start(tag, "STARTTLS").end()
    }

    /// UNSELECT (RFC 3691): needs that capability.
    #[must_use]
    pub fn unselect(self, tag: Tag) -> Command {
        self.start(tag, "UNSELECT").end()
    }

    /// CLOSE: expunges what is marked deleted, unless the mailbox was opened by EXAMINE.
    #[must_use]
    pub fn close(self, tag: Tag) -> Command {
        self.start(tag, "CLOSE").end()
    }

    /// NAMESPACE (RFC 2342)
    #[must_use]
    pub fn namespace(self, tag: Tag) -> Command {
        self.start(tag, "NAMESPACE").end()
    }

    /// COMPRESS DEFLATE (RFC 4978)
    #[must_use]
    pub fn compress(self, tag: Tag) -> Command {
        self.start(tag, "COMPRESS DEFLATE").end()
    }

    /// LOGIN
    ///
    /// # Errors
    /// If a text holds NUL.
    pub fn login(self, tag: Tag, user: &str, password: &str) -> Encoded {
        let mut b = self.start(tag, "LOGIN ");
        b.string(user.as_bytes(), true)?
            .word(" ")
            .string(password.as_bytes(), true)?;
        Ok(b.end())
    }

    /// PROXYAUTH: an administrator who is logged in becomes `user` (Netscape's and Sun's servers).
    ///
    /// # Errors
    /// If the text holds NUL.
    pub fn proxyauth(self, tag: Tag, user: &str) -> Encoded {
        let mut b = self.start(tag, "PROXYAUTH ");
        b.string(user.as_bytes(), false)?;
        Ok(b.end())
    }

    /// AUTHENTICATE PLAIN (RFC 4616). `authzid` is whom to act for, empty for the user itself. `initial`: the server has SASL-IR.
    ///
    /// # Errors
    /// If a text holds NUL.
    pub fn authenticate_plain(
        self,
        tag: Tag,
        authzid: &str,
        user: &str,
        password: &str,
        initial: bool,
    ) -> Encoded {
        if [authzid, user, password]
            .iter()
            .any(|text| text.contains('\0'))
        {
            return Err(EncodeError::Nul);
        }
        let message = format!("{authzid}\0{user}\0{password}");
        self.authenticate(tag, "PLAIN", message.as_bytes(), initial)
    }

    /// AUTHENTICATE with a mechanism of one client message, such as XOAUTH2.
    ///
    /// # Errors
    /// If the mechanism is no atom.
    pub fn authenticate(self, tag: Tag, mechanism: &str, message: &[u8], initial: bool) -> Encoded {
        if !is_atom(mechanism.as_bytes()) {
            return Err(EncodeError::Atom);
        }
        let mut b = self.start(tag, "AUTHENTICATE ");
        b.show(mechanism);
        if initial {
            b.word(" ");
        } else {
            b.word("\r\n").wait();
        }
        // An empty first message on the command line is written `=` (RFC 4959).
        let empty = initial && message.is_empty();
        b.secret(if empty {
            "=".to_owned()
        } else {
            STANDARD.encode(message)
        });
        Ok(b.end())
    }

    /// ID (RFC 2971), at most 30 fields.
    ///
    /// # Errors
    /// If a text holds NUL.
    pub fn id(self, tag: Tag, fields: &[(&str, &str)]) -> Encoded {
        let mut b = self.start(tag, "ID ");
        if fields.is_empty() {
            b.word("NIL");
            return Ok(b.end());
        }
        for (index, (name, value)) in fields.iter().take(30).enumerate() {
            b.word(if index == 0 { "(" } else { " " });
            b.string(name.as_bytes(), false)?
                .word(" ")
                .string(value.as_bytes(), false)?;
        }
        b.word(")");
        Ok(b.end())
    }

    /// ENABLE (RFC 5161)
    ///
    /// # Errors
    /// If there is no name, or one is no atom.
    pub fn enable(self, tag: Tag, names: &[&str]) -> Encoded {
        let mut b = self.start(tag, "ENABLE");
        if names.is_empty() {
            return Err(EncodeError::Empty);
        }
        for name in names {
            if !is_atom(name.as_bytes()) {
                return Err(EncodeError::Atom);
            }
            b.word(" ").show(name);
        }
        Ok(b.end())
    }

    /// LIST. With an empty `pattern` the server tells its delimiter. `returns`: needs LIST-EXTENDED.
    ///
    /// # Errors
    /// If a name holds CR, LF or NUL.
    pub fn list(
        self,
        tag: Tag,
        reference: &[u8],
        pattern: &[u8],
        returns: Option<&ListReturn>,
    ) -> Encoded {
        let mut b = self.start(tag, "LIST");
        names(&mut b, reference, pattern)?;
        if let Some(returns) = returns {
            b.word(" RETURN (");
            let flags = [
                (returns.subscribed, "SUBSCRIBED"),
                (returns.children, "CHILDREN"),
                (returns.special_use, "SPECIAL-USE"),
                (returns.my_rights, "MYRIGHTS"),
            ];
            let mut gap = "";
            for (_, word) in flags.iter().filter(|(wanted, _)| *wanted) {
                b.word(gap).word(word);
                gap = " ";
            }
            if !returns.status.is_empty() {
                b.word(gap).word("STATUS ");
                status_items(&mut b, &returns.status);
            }
            b.word(")");
        }
        Ok(b.end())
    }

    /// LSUB
    ///
    /// # Errors
    /// If a name holds CR, LF or NUL.
    pub fn lsub(self, tag: Tag, reference: &[u8], pattern: &[u8]) -> Encoded {
        let mut b = self.start(tag, "LSUB");
        names(&mut b, reference, pattern)?;
        Ok(b.end())
    }

    /// STATUS
    ///
    /// # Errors
    /// If there is no item.
    pub fn status(self, tag: Tag, mailbox: &MailboxName, items: &[StatusItem]) -> Encoded {
        if items.is_empty() {
            return Err(EncodeError::Empty);
        }
        let mut b = self.start(tag, "STATUS");
        b.mailbox(mailbox)?.word(" ");
        status_items(&mut b, items);
        Ok(b.end())
    }

    /// CREATE, with a special use if given (needs CREATE-SPECIAL-USE).
    ///
    /// # Errors
    /// None at present.
    pub fn create(self, tag: Tag, mailbox: &MailboxName, role: Option<SpecialUse>) -> Encoded {
        let mut b = self.start(tag, "CREATE");
        b.mailbox(mailbox)?;
        if let Some(role) = role {
            b.word(" (USE (").word(role.as_str()).word("))");
        }
        Ok(b.end())
    }

    /// SUBSCRIBE
    ///
    /// # Errors
    /// None at present.
    pub fn subscribe(self, tag: Tag, mailbox: &MailboxName) -> Encoded {
        self.on_mailbox(tag, "SUBSCRIBE", mailbox)
    }

    /// GETQUOTAROOT (RFC 9208)
    ///
    /// # Errors
    /// None at present.
    pub fn get_quota_root(self, tag: Tag, mailbox: &MailboxName) -> Encoded {
        self.on_mailbox(tag, "GETQUOTAROOT", mailbox)
    }

    /// MYRIGHTS (RFC 4314): needs ACL.
    ///
    /// # Errors
    /// None at present.
    pub fn my_rights(self, tag: Tag, mailbox: &MailboxName) -> Encoded {
        self.on_mailbox(tag, "MYRIGHTS", mailbox)
    }

    /// GETMETADATA of these entries (RFC 5464); with `longest`, of everything below them whose value is no longer.
    ///
    /// # Errors
    /// If there is no entry, or the name of one holds NUL.
    pub fn get_metadata(
        self,
        tag: Tag,
        mailbox: &MailboxName,
        entries: &[&str],
        longest: Option<usize>,
    ) -> Encoded {
        if entries.is_empty() {
            return Err(EncodeError::Empty);
        }
        let mut b = self.start(tag, "GETMETADATA");
        if let Some(longest) = longest {
            b.show(format_args!(" (MAXSIZE {longest} DEPTH infinity)"));
        }
        b.mailbox(mailbox)?.word(" (");
        for (index, entry) in entries.iter().enumerate() {
            b.word(if index > 0 { " " } else { "" });
            b.string(entry.as_bytes(), false)?;
        }
        b.word(")");
        Ok(b.end())
    }

    /// SETMETADATA of one entry (RFC 5464): needs METADATA.
    ///
    /// # Errors
    /// If its name holds NUL.
    pub fn set_metadata(
        self,
        tag: Tag,
        mailbox: &MailboxName,
        entry: &str,
        value: &[u8],
    ) -> Encoded {
        let mut b = self.start(tag, "SETMETADATA");
        b.mailbox(mailbox)?.word(" (");
        b.string(entry.as_bytes(), false)?
            .word(" ")
            .value(value)?
            .word(")");
        Ok(b.end())
    }

    /// SELECT
    ///
    /// # Errors
    /// If the known UIDs are empty or too long.
    pub fn select(self, tag: Tag, mailbox: &MailboxName, params: &SelectParams) -> Encoded {
        self.open(tag, "SELECT", mailbox, params)
    }

    /// EXAMINE: as SELECT, read-only.
    ///
    /// # Errors
    /// If the known UIDs are empty or too long.
    pub fn examine(self, tag: Tag, mailbox: &MailboxName, params: &SelectParams) -> Encoded {
        self.open(tag, "EXAMINE", mailbox, params)
    }

    fn open(
        self,
        tag: Tag,
        verb: &'static str,
        mailbox: &MailboxName,
        params: &SelectParams,
    ) -> Encoded {
        let mut b = self.start(tag, verb);
        b.mailbox(mailbox)?;
        match params {
            SelectParams::Plain => {}
            SelectParams::Condstore => {
                b.word(" (CONDSTORE)");
            }
            SelectParams::Qresync {
                validity,
                modseq,
                known,
            } => {
                b.show(format_args!(" (QRESYNC ({validity} {modseq}"));
                if let Some(known) = known {
                    b.set(known)?;
                }
                b.word("))");
            }
        }
        Ok(b.end())
    }

    /// UID FETCH
    ///
    /// # Errors
    /// If there is no item, or the set is empty or too long.
    pub fn uid_fetch(
        self,
        tag: Tag,
        set: &UidSet,
        items: &[FetchItem],
        params: FetchParams,
    ) -> Encoded {
        if items.is_empty() {
            return Err(EncodeError::Empty);
        }
        let mut b = self.start(tag, "UID FETCH");
        b.set(set)?.word(" (");
        for (index, item) in items.iter().enumerate() {
            b.word(if index > 0 { " " } else { "" });
            fetch_item(&mut b, item)?;
        }
        b.word(")");
        if let Some(modseq) = params.changed_since {
            b.show(format_args!(" (CHANGEDSINCE {modseq}"));
            b.word(if params.vanished { " VANISHED)" } else { ")" });
        }
        Ok(b.end())
    }

    /// UID SEARCH, all keys together; with `RETURN (ALL)` where the server has ESEARCH.
    ///
    /// # Errors
    /// If there is no key, a set is empty or too long, or a text holds NUL.
    pub fn uid_search(self, tag: Tag, keys: &[SearchKey], esearch: bool) -> Encoded {
        if keys.is_empty() {
            return Err(EncodeError::Empty);
        }
        let mut b = self.start(tag, "UID SEARCH");
        b.word(if esearch { " RETURN (ALL)" } else { "" });
        b.word(if keys.iter().any(is_eight_bit) {
            " CHARSET UTF-8"
        } else {
            ""
        });
        for key in keys {
            search_key(&mut b, key)?;
        }
        Ok(b.end())
    }

    /// UID STORE. `silent`: without an untagged FETCH in answer. `unchanged_since`: needs CONDSTORE.
    ///
    /// # Errors
    /// If there is no flag, or the set is empty or too long.
    pub fn uid_store(
        self,
        tag: Tag,
        set: &UidSet,
        mode: StoreMode,
        flags: &FlagSet,
        silent: bool,
        unchanged_since: Option<u64>,
    ) -> Encoded {
        if flags.is_empty() {
            return Err(EncodeError::Empty);
        }
        let mut b = self.start(tag, "UID STORE");
        b.set(set)?;
        if let Some(modseq) = unchanged_since {
            b.show(format_args!(" (UNCHANGEDSINCE {modseq})"));
        }
        b.word(match mode {
            StoreMode::Add => " +FLAGS",
            StoreMode::Remove => " -FLAGS",
        });
        b.word(if silent { ".SILENT " } else { " " }).show(flags);
        Ok(b.end())
    }

    /// UID COPY
    ///
    /// # Errors
    /// If the set is empty or too long.
    pub fn uid_copy(self, tag: Tag, set: &UidSet, to: &MailboxName) -> Encoded {
        let mut b = self.start(tag, "UID COPY");
        b.set(set)?.mailbox(to)?;
        Ok(b.end())
    }

    /// UID MOVE (RFC 6851)
    ///
    /// # Errors
    /// If the set is empty or too long.
    pub fn uid_move(self, tag: Tag, set: &UidSet, to: &MailboxName) -> Encoded {
        let mut b = self.start(tag, "UID MOVE");
        b.set(set)?.mailbox(to)?;
        Ok(b.end())
    }

    /// UID EXPUNGE (RFC 4315): removes only those of the set that are marked `\Deleted`.
    ///
    /// # Errors
    /// If the set is empty or too long.
    pub fn uid_expunge(self, tag: Tag, set: &UidSet) -> Encoded {
        let mut b = self.start(tag, "UID EXPUNGE");
        b.set(set)?;
        Ok(b.end())
    }

    /// APPEND of one message, or of several in one command (MULTIAPPEND, RFC 3502: all or none).
    ///
    /// # Errors
    /// If there is no message, or one is empty.
    pub fn append(self, tag: Tag, mailbox: &MailboxName, messages: &[AppendMessage]) -> Encoded {
        if messages.is_empty() {
            return Err(EncodeError::Empty);
        }
        let mut b = self.start(tag, "APPEND");
        b.mailbox(mailbox)?;
        for (index, message) in messages.iter().enumerate() {
            if message.len == 0 {
                return Err(EncodeError::EmptyMessage);
            }
            b.word(" ");
            // Courier takes UTF8 for the literal, unless something stands before it.
            let bare = message.utf8 && message.date.is_none();
            if bare || !message.flags.is_empty() {
                b.show(&message.flags).word(" ");
            }
            if let Some(date) = message.date {
                b.show(format_args!("\"{date}\" "));
            }
            b.word(if message.utf8 { "UTF8 (" } else { "" });
            let binary = message.binary || message.utf8;
            b.announce(message.len, message.synchronizing, binary);
            b.message(index, message.len);
            b.word(if message.utf8 { ")" } else { "" });
        }
        Ok(b.end())
    }
}

/// Reference and pattern of LIST and LSUB; unlike mailbox names they may be empty.
fn names(b: &mut Builder, reference: &[u8], pattern: &[u8]) -> Result<(), EncodeError> {
    for name in [reference, pattern] {
        if name.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(EncodeError::MailboxName);
        }
        b.word(" ").name(name)?;
    }
    Ok(())
}
