//! A logged-in connection: what the server can do, and which folder is open.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use mailmove_core::{
    edge::{ConnectionPermit, Credential, CredentialRequest},
    error::{Error, ErrorKind, Result},
    model::FolderId,
};
use rustls::ClientConfig;

use crate::{
    config::{Access, Security},
    connection::{Connection, Dialled, dial, located, start_tls},
    distrust::{Distrust, Feature},
    error::{self, Doing},
    ids,
    wire::{
        Capabilities, Code, Command, Flags, MailboxName, Namespaces, Response, SelectParams,
        Status, StatusKind,
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
        tls: &Arc<ClientConfig>,
        permit: ConnectionPermit,
        earlier: Before,
    ) -> Result<Self> {
        let place = |error: Error| located(error, access);
        let Dialled {
            mut connection,
            preauth,
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
        let compress = access.config.compression();
        session
            .prepare(side, earlier, compress)
            .await
            .map_err(place)?;
        Ok(session)
    }

    /// What comes after every login, in as few round trips as the server lets us.
    async fn prepare(&mut self, side: Side, earlier: Before, compress: bool) -> Result<()> {
        let Before {
            known, distrust, ..
        } = earlier;
        let capabilities = match self.connection.take_announced() {
            Some(announced) => announced,
            None => ask_capabilities(&mut self.connection).await?,
        };
        self.connection.set_literals(capabilities.literal_mode());
        let mut tags = Vec::new();
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
        let enables = side == Side::Source && !distrust.has(Feature::Enable);
        if enables || capabilities.utf8_only() {
            let tag = self.enable(enables, &capabilities).await?;
            tags.extend(tag.map(|tag| (tag, Feature::Enable)));
        }
        let spaces = capabilities.has("NAMESPACE") && !distrust.has(Feature::Namespace);
        if spaces && known.is_none() {
            let tag = self.connection.tag();
            let command = self.connection.encoder().namespace(tag);
            self.connection.send(command).await?;
            tags.push((tag, Feature::Namespace));
        }
        if compress && capabilities.compress() && !distrust.has(Feature::Compress) {
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
                    Response::Id(fields) => server.name = name(&fields),
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

    /// Closes the open folder where that can be done without expunging it (RFC 3691).
    ///
    /// # Errors
    /// If the connection fails.
    pub(crate) async fn leave(&mut self) -> Result<()> {
        if self.selected.take().is_some() && self.can().has("UNSELECT") {
            let tag = self.connection.tag();
            let command = self.connection.encoder().unselect(tag);
            self.connection.run(command, |_| {}).await?;
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
        opened.read_only = status.code == Some(Code::ReadOnly);
        opened.view = VIEWS.fetch_add(1, Ordering::Relaxed);
        if mode == Mode::Read {
            opened.permanent = None;
        }
        self.selected = Some(Selected {
            folder: folder.clone(),
            mode,
            opened: opened.clone(),
        });
        Ok(opened)
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
        let unknown = identity.starts_with("?=");
        if unknown || self.identity(folder, opened).as_str() == identity {
            Ok(())
        } else {
            Err(stale(folder))
        }
    }

    /// The identity of an opened folder, as [`Folder`](mailmove_core::model::Folder) has it.
    pub(crate) fn identity(
        &self,
        folder: &FolderId,
        opened: &Opened,
    ) -> mailmove_core::model::CompactText {
        let id = opened
            .mailbox_id
            .as_deref()
            .filter(|_| self.can().has("OBJECTID") && !self.distrusts(Feature::StatusItems));
        ids::identity(opened.validity, id, folder)
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
    tls: &Arc<ClientConfig>,
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

async fn login(
    connection: &mut Connection,
    access: &Access,
    offered: &Capabilities,
    refused: bool,
) -> Result<()> {
    let mut request = CredentialRequest::new(access.config.endpoint());
    if refused {
        request = request.after_refusal();
    }
    match access.credentials.credential(request).await? {
        Credential::Password {
            user,
            password,
            authorize_as,
        } => {
            let secret = password.expose();
            let authorize_as = authorize_as.as_deref();
            login_by_password(connection, offered, &user, secret, authorize_as).await
        }
        _ => Err(Error::new(
            ErrorKind::Unsupported,
            "IMAP with OAuth is not supported yet",
        )
        .with_code("imap/oauth")
        .with_remedy("Use a password, e.g. an application password of the provider.")),
    }
}

async fn login_by_password(
    connection: &mut Connection,
    offered: &Capabilities,
    user: &str,
    password: &str,
    authorize_as: Option<&str>,
) -> Result<()> {
    let plain = offered.auth("PLAIN");
    if authorize_as.is_some() && !plain {
        return Err(Error::new(
            ErrorKind::Auth,
            "the server offers no way to open another user's mailbox",
        )
        .with_code("imap/no-plain")
        .with_remedy("Log in as the mailbox's own user."));
    }
    if !plain && offered.login_disabled() {
        return Err(error::login_disabled());
    }
    // Before login only these decide how a literal may go; a password may need one.
    connection.set_literals(offered.literal_mode());
    let (tag, encoder) = (connection.tag(), connection.encoder());
    let command = if plain {
        let initial = offered.has("SASL-IR");
        encoder.authenticate_plain(
            tag,
            authorize_as.unwrap_or_default(),
            user,
            password,
            initial,
        )
    } else {
        encoder.login(tag, user, password)
    };
    let command = command.map_err(|cause| {
        Error::new(
            ErrorKind::Config,
            "the user name or password cannot be sent by IMAP",
        )
        .with_code("imap/login-text")
        .with_source(cause)
    })?;
    // Whatever was announced before is void after login.
    connection.take_announced();
    let status = connection.run(command, |_| {}).await?;
    if status.kind == StatusKind::Ok {
        return Ok(());
    }
    let pair = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("{}\0{user}\0{password}", authorize_as.unwrap_or_default()),
    );
    Err(error::login_refused(&status, user, &[password, &pair]))
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
