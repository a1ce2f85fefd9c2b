//! A logged-in connection: what the server can do, and which folder is open.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use mailmove_core::{
    edge::ConnectionPermit,
    error::{Error, ErrorKind, Result},
    model::FolderId,
};

use crate::{
    config::{Access, ImapConfig, Security},
    connection::{Connection, Dialled, Tls, dial, located, start_tls},
    distrust::{Distrust, Feature},
    error::{self, Doing},
    ids,
    login::login,
    quirks::Quirks,
    wire::{
        Capabilities, Code, Command, Flags, LiteralMode, MailboxName, Namespaces, Response,
        SelectParams, Status, StatusKind,
    },
};

/// What is known of a server once somebody has logged in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    pub(crate) capabilities: Capabilities,
    pub(crate) namespaces: Option<Namespaces>,
    /// The name it gives itself by ID.
    pub(crate) name: Option<String>,
    /// What it offers in vain.
    pub(crate) distrust: Arc<Distrust>,
    /// What it does otherwise than expected.
    pub(crate) quirks: Arc<Quirks>,
}

impl Server {
    /// How literals may be sent.
    pub(crate) fn literals(&self) -> LiteralMode {
        self.quirks.literals(self.capabilities.literal_mode())
    }

    /// Who answers, for people.
    pub(crate) fn system(&self) -> String {
        match (&self.name, self.quirks.name.as_str()) {
            (Some(name), _) => format!("IMAP ({name})"),
            (None, "") => "IMAP".to_owned(),
            (None, known) => format!("IMAP ({known})"),
        }
    }

    /// What is done otherwise here, for people.
    pub(crate) fn notes(&self) -> Vec<String> {
        match self.quirks.is_none() {
            true => Vec::new(),
            false => vec![format!("treated as {}: {}", self.quirks.name, self.quirks)],
        }
    }
}

/// What earlier connections found out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Before {
    /// The last login was refused: whoever gives the credentials is told so.
    pub(crate) refused: bool,
    pub(crate) known: Option<Arc<Server>>,
    pub(crate) distrust: Arc<Distrust>,
}

/// Which side of a migration a session serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Wants to hear of changes: QRESYNC or CONDSTORE are switched on.
    Source,
    Destination,
}

/// How a folder is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// EXAMINE: nothing in it can change, not even `\Recent`.
    Read,
    /// SELECT.
    Write,
}

static VIEWS: AtomicU64 = AtomicU64::new(1);

/// What opening a folder told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opened {
    pub(crate) exists: u32,
    pub(crate) validity: u32,
    pub(crate) uid_next: Option<u32>,
    /// `None` also where the server says NOMODSEQ.
    pub(crate) highest_modseq: Option<u64>,
    pub(crate) mailbox_id: Option<Box<str>>,
    /// Only by [`Mode::Write`]: read-only sessions are told of none.
    pub(crate) permanent: Option<Flags>,
    pub(crate) read_only: bool,
    /// The server did not tell all that changed (MESSAGELIMIT).
    pub(crate) cut_short: bool,
    /// Another number for each opening: sequence numbers of two have nothing to do with each other.
    pub(crate) view: u64,
}

#[derive(Debug)]
struct Selected {
    folder: FolderId,
    mode: Mode,
    opened: Opened,
}

/// A logged-in connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) server: Arc<Server>,
    selected: Option<Selected>,
    qresync: bool,
}

impl Session {
    /// Connects, secures and logs in. Cancel safe.
    ///
    /// # Errors
    /// With a code that says what is wrong: host, port, certificate, user, password, capacity.
    pub(crate) async fn open(
        access: &Access,
        side: Side,
        tls: &Tls,
        permit: ConnectionPermit,
        earlier: Before,
    ) -> Result<Self> {
        let place = |error: Error| located(error, access);
        let Dialled {
            mut connection,
            preauth,
            greeting,
        } = dial(access, tls, permit).await?;
        let before = secure(&mut connection, access, tls, preauth)
            .await
            .map_err(place)?;
        if !preauth {
            login(&mut connection, access, &before, earlier.refused)
                .await
                .map_err(place)?;
        }
        let mut session = Self {
            connection,
            server: Arc::default(),
            selected: None,
            qresync: false,
        };
        session
            .prepare(side, earlier, &greeting, &access.config)
            .await
            .map_err(place)?;
        Ok(session)
    }

    /// What comes after every login, in as few round trips as the server lets us.
    async fn prepare(
        &mut self,
        side: Side,
        earlier: Before,
        greeting: &str,
        config: &ImapConfig,
    ) -> Result<()> {
        let Before {
            known, distrust, ..
        } = earlier;
        let capabilities = match self.connection.take_announced() {
            Some(announced) => announced,
            None => ask_capabilities(&mut self.connection).await?,
        };
        self.connection.set_literals(capabilities.literal_mode());
        let (mut tags, mut id) = (Vec::new(), Vec::new());
        let mut server = known.as_deref().cloned().unwrap_or_default();
        if capabilities.has("ID") && !distrust.has(Feature::Id) {
            let tag = self.connection.tag();
            let fields = [("name", "mailmove"), ("version", env!("CARGO_PKG_VERSION"))];
            if let Ok(command) = self.connection.encoder().id(tag, &fields) {
                self.connection.send(command).await?;
                tags.push((tag, Feature::Id));
            }
        }
        // First, since a server may take nothing that names a folder before UTF8=ACCEPT.
        if capabilities.utf8_only() || !distrust.has(Feature::Enable) {
            let changes = side == Side::Source;
            let tag = self.enable(changes, &capabilities).await?;
            tags.extend(tag.map(|tag| (tag, Feature::Enable)));
        }
        let spaces = capabilities.has("NAMESPACE") && !distrust.has(Feature::Namespace);
        if spaces && known.is_none() {
            let tag = self.connection.tag();
            let command = self.connection.encoder().namespace(tag);
            self.connection.send(command).await?;
            tags.push((tag, Feature::Namespace));
        }
        if config.compression() && capabilities.compress() && !distrust.has(Feature::Compress) {
            // The last one: what is sent behind it would have to be compressed or not, and only the
            // answer tells. That one is taken first, for the same reason.
            let tag = self.connection.tag();
            let command = self.connection.encoder().compress(tag);
            self.connection.send(command).await?;
            tags.insert(0, (tag, Feature::Compress));
        }
        for (tag, feature) in tags {
            // Each of these may be refused; what it would have brought is done without.
            let qresync = &mut self.qresync;
            let status = self
                .connection
                .complete(tag, |response| match response {
                    Response::Id(fields) => id = fields,
                    Response::Namespace(spaces) => server.namespaces = Some(spaces),
                    Response::Enabled(enabled) => *qresync |= enabled.has("QRESYNC"),
                    _ => {}
                })
                .await?;
            distrust.note(feature, &status);
            if feature == Feature::Compress && status.kind == StatusKind::Ok {
                self.connection.start_deflate()?;
            }
        }
        server.distrust = distrust;
        server.capabilities = self.connection.take_announced().unwrap_or(capabilities);
        if known.is_none() {
            server.name = name(&id);
            let found = || Quirks::detect(greeting, &id, &server.capabilities);
            server.quirks = Arc::new(config.quirks().cloned().unwrap_or_else(found));
            for note in server.notes() {
                tracing::info!(system = server.system(), "{note}");
            }
        }
        self.connection.set_literals(server.literals());
        if !server.quirks.mailbox_ids {
            server.capabilities.distrust_mailbox_ids();
        }
        self.server = Arc::new(server);
        Ok(())
    }

    async fn enable(
        &mut self,
        changes: bool,
        capabilities: &Capabilities,
    ) -> Result<Option<crate::wire::Tag>> {
        let names = capabilities.to_enable(changes);
        if names.is_empty() {
            return Ok(None);
        }
        let tag = self.connection.tag();
        let Ok(command) = self.connection.encoder().enable(tag, &names) else {
            return Ok(None);
        };
        self.connection.send(command).await?;
        Ok(Some(tag))
    }

    /// What the server can do.
    pub(crate) fn can(&self) -> &Capabilities {
        &self.server.capabilities
    }

    /// Whether the server offers this in vain.
    pub(crate) fn distrusts(&self, feature: Feature) -> bool {
        self.server.distrust.has(feature)
    }

    /// QRESYNC is on: removals are told as VANISHED.
    pub(crate) fn has_qresync(&self) -> bool {
        self.qresync
    }

    /// The folder that is open.
    pub(crate) fn folder(&self) -> Option<&FolderId> {
        self.selected.as_ref().map(|selected| &selected.folder)
    }

    /// Forgets which folder is open, so that it is opened anew.
    pub(crate) fn forget_folder(&mut self) {
        self.selected = None;
    }

    /// Opens a folder, or stays in it if it is open in that way already; what is told then may be
    /// older than the latest changes.
    ///
    /// # Errors
    /// If the folder is not there or may not be opened.
    pub(crate) async fn enter(&mut self, folder: &FolderId, mode: Mode) -> Result<Opened> {
        if let Some(selected) = &self.selected
            && selected.folder == *folder
            && selected.mode == mode
        {
            return Ok(selected.opened.clone());
        }
        self.open_folder(folder, mode, &SelectParams::Plain, |_| {})
            .await
    }

    /// Closes the open folder where that can be done without expunging it: by UNSELECT (RFC 3691),
    /// or by CLOSE, which expunges nothing that was opened to read (RFC 3501 §6.4.2).
    ///
    /// # Errors
    /// If the connection fails.
    pub(crate) async fn leave(&mut self) -> Result<()> {
        let Some(selected) = self.selected.take() else {
            return Ok(());
        };
        let unselect = self.can().has("UNSELECT");
        if unselect || selected.mode == Mode::Read {
            let tag = self.connection.tag();
            let encoder = self.connection.encoder();
            let command = match unselect {
                true => encoder.unselect(tag),
                false => encoder.close(tag),
            };
            self.connection.run(command, |_| {}).await?;
        }
        Ok(())
    }

    /// Closes a folder that is open to read where the server may take that for all folders: Courier
    /// refuses APPEND to any mailbox then.
    ///
    /// # Errors
    /// If the connection fails.
    pub(crate) async fn stop_reading(&mut self) -> Result<()> {
        let reads = |selected: &Selected| selected.mode == Mode::Read;
        if self.selected.as_ref().is_some_and(reads) && !self.can().has("UNSELECT") {
            self.leave().await?;
        }
        Ok(())
    }

    /// Opens a folder anew, and gives what else the server tells to `sink` (VANISHED and FETCH
    /// after QRESYNC).
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    pub(crate) async fn open_folder(
        &mut self,
        folder: &FolderId,
        mode: Mode,
        params: &SelectParams,
        sink: impl FnMut(Response) + Send,
    ) -> Result<Opened> {
        self.open_folder_and(folder, mode, params, Vec::new(), sink)
            .await
    }

    /// As [`open_folder`](Self::open_folder), with commands sent right behind it. They are yet to be
    /// completed, also if the folder cannot be opened.
    pub(crate) async fn open_folder_and(
        &mut self,
        folder: &FolderId,
        mode: Mode,
        params: &SelectParams,
        behind: Vec<Command>,
        mut sink: impl FnMut(Response) + Send,
    ) -> Result<Opened> {
        self.selected = None;
        let name = mailbox(folder)?;
        let tag = self.connection.tag();
        let encoder = self.connection.encoder();
        let (verb, command) = match mode {
            Mode::Read => ("EXAMINE", encoder.examine(tag, &name, params)),
            Mode::Write => ("SELECT", encoder.select(tag, &name, params)),
        };
        let command =
            command.map_err(|cause| encode(cause).with_context("folder", folder.as_str()))?;
        let mut opened = Opened::default();
        self.connection.send(command).await?;
        for command in behind {
            self.connection.send(command).await?;
        }
        let note = |response| opened.note(response, &mut sink);
        let status = self.connection.complete(tag, note).await?;
        if status.kind != StatusKind::Ok {
            return Err(error::refused(Doing::folder(verb), &status)
                .with_context("folder", folder.as_str()));
        }
        if let Some(Code::HighestModSeq(modseq)) = status.code {
            opened.highest_modseq = Some(modseq);
        }
        opened.cut_short |= matches!(status.code, Some(Code::MessageLimit { .. }));
        opened.read_only = status.code == Some(Code::ReadOnly);
        opened.view = VIEWS.fetch_add(1, Ordering::Relaxed);
        if mode == Mode::Read {
            opened.permanent = None;
        }
        if let Some(permanent) = &mut opened.permanent
            && !self.server.quirks.new_keywords
        {
            permanent.forbid_creation();
        }
        self.selected = Some(Selected {
            folder: folder.clone(),
            mode,
            opened: opened.clone(),
        });
        Ok(opened)
    }

    /// Opens a folder to write, and closes it in the same round trip where that can be done without expunging it:
    /// what is told on opening is all that is wanted.
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    pub(crate) async fn glance(&mut self, folder: &FolderId) -> Result<Opened> {
        // Nothing is sent of what cannot be said.
        mailbox(folder)?;
        let tag = self.connection.tag();
        let closes = self.can().has("UNSELECT");
        let unselect = closes.then(|| self.connection.encoder().unselect(tag));
        let behind = unselect.into_iter().collect();
        let opened = self
            .open_folder_and(folder, Mode::Write, &SelectParams::Plain, behind, |_| {})
            .await;
        self.selected = None;
        if closes {
            // Where the folder was not opened there is nothing to close, and the server says so.
            let closed = self.connection.complete(tag, |_| {}).await;
            return opened.and_then(|opened| closed.map(|_| opened));
        }
        opened
    }

    /// Opens a folder and makes sure that it is the one meant, in the same state of numbering.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] if it is another one by now.
    pub(crate) async fn enter_same(
        &mut self,
        folder: &FolderId,
        mode: Mode,
        identity: &str,
    ) -> Result<Opened> {
        let opened = self.enter(folder, mode).await?;
        self.check_identity(folder, &opened, identity)?;
        Ok(opened)
    }

    /// Compares an opened folder with the identity known of it. One that could not be identified
    /// before (its STATUS was refused) is known by its messages' UIDVALIDITY alone.
    pub(crate) fn check_identity(
        &self,
        folder: &FolderId,
        opened: &Opened,
        identity: &str,
    ) -> Result<()> {
        // The id, and the name alone: STATUS may not have told the id that SELECT tells.
        let offered = self.can().mailbox_ids();
        let id = opened.mailbox_id.as_deref().filter(|_| offered);
        let known = |id| ids::identity(opened.validity, id, folder).as_str() == identity;
        if identity.starts_with("?=") || known(id) || known(None) {
            return Ok(());
        }
        let error = stale(folder);
        if self.server.quirks.unnumbered_inbox
            && ids::wire_name(folder).eq_ignore_ascii_case(b"INBOX")
        {
            return Err(error.with_remedy(
                "This server gives an inbox another number at each look until a mail program has \
                 opened it: open it once with one, then run again.",
            ));
        }
        Err(error)
    }

    /// Before this session is used again: is it still there? What happened meanwhile in the open
    /// folder makes it opened anew.
    pub(crate) fn revive(&mut self) -> bool {
        let alive = self.connection.is_alive();
        if self.connection.take_unsolicited().any(|response| {
            matches!(
                response,
                Response::Exists(_) | Response::Expunge(_) | Response::Vanished(_)
            )
        }) {
            self.selected = None;
        }
        alive
    }

    /// Makes sure by a round trip that the server is still there.
    pub(crate) async fn ping(&mut self) -> Result<()> {
        let tag = self.connection.tag();
        let command = self.connection.encoder().noop(tag);
        self.connection.run(command, |_| {}).await?;
        // NOOP brings news of the open folder, which nobody took.
        self.selected = None;
        Ok(())
    }
}

impl Opened {
    fn note(&mut self, response: Response, sink: &mut impl FnMut(Response)) {
        match response {
            Response::Exists(exists) => self.exists = exists,
            Response::Status(Status {
                code: Some(code), ..
            }) => match code {
                Code::UidValidity(validity) => self.validity = validity,
                Code::UidNext(next) => self.uid_next = Some(next),
                Code::HighestModSeq(modseq) => self.highest_modseq = Some(modseq),
                Code::NoModSeq => self.highest_modseq = None,
                Code::PermanentFlags(flags) => self.permanent = Some(flags),
                Code::MailboxId(id) => self.mailbox_id = Some(id),
                Code::MessageLimit { .. } => self.cut_short = true,
                // What came before belongs to the folder that was open until now.
                Code::Closed => {
                    *self = Self::default();
                    sink(Response::Status(Status {
                        kind: StatusKind::Ok,
                        code: Some(Code::Closed),
                        text: String::new(),
                    }));
                }
                _ => {}
            },
            other => sink(other),
        }
    }
}

/// The folder's name for commands.
pub(crate) fn mailbox(folder: &FolderId) -> Result<MailboxName> {
    MailboxName::new(ids::wire_name(folder))
        .map_err(|cause| encode(cause).with_context("folder", folder.as_str()))
}

/// An argument that cannot be sent.
pub(crate) fn encode(cause: crate::wire::EncodeError) -> Error {
    Error::new(ErrorKind::Refused, "this cannot be said in IMAP")
        .with_code("imap/encode")
        .with_source(cause)
}

/// The folder is not the one remembered.
pub(crate) fn stale(folder: &FolderId) -> Error {
    Error::new(
        ErrorKind::Stale,
        "the folder was replaced, or its messages were numbered anew",
    )
    .with_code("imap/stale")
    .with_context("folder", folder.as_str())
}

/// Makes the connection safe for a password, as configured, and tells what the server offers.
async fn secure(
    connection: &mut Connection,
    access: &Access,
    tls: &Tls,
    preauth: bool,
) -> Result<Capabilities> {
    let offered = match connection.take_announced() {
        Some(announced) => announced,
        None => ask_capabilities(connection).await?,
    };
    if access.config.security() != Security::StartTls {
        return Ok(offered);
    }
    if preauth {
        // After PREAUTH there is no STARTTLS: going on would mean to go on without TLS.
        return Err(Error::new(
            ErrorKind::Tls,
            "the server says that we are logged in already, which makes STARTTLS impossible",
        )
        .with_code("imap/preauth")
        .with_remedy("Use imaps:// (port 993), and check the network in between."));
    }
    start_tls(connection, access, tls, &offered).await?;
    ask_capabilities(connection).await
}

async fn ask_capabilities(connection: &mut Connection) -> Result<Capabilities> {
    let tag = connection.tag();
    let command = connection.encoder().capability(tag);
    let status = connection.run(command, |_| {}).await?;
    match connection.take_announced() {
        Some(announced) => Ok(announced),
        None => Err(error::refused(Doing::account("CAPABILITY"), &status)),
    }
}

/// Who answers, for people.
fn name(fields: &[crate::wire::IdField]) -> Option<String> {
    let value = |wanted: &str| {
        let field = fields
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        field
            .and_then(|(_, value)| value.as_deref())
            .map(error::printable)
    };
    let name = value("name")?;
    Some(match value("version") {
        Some(version) => format!("{name} {version}"),
        None => name,
    })
}
