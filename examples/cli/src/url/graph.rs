//! What only a mailbox in Microsoft 365 has.

use mailmove_core::Result;

use super::{
    MailboxUrl, Protection, System, bad, no_password,
    text::{decode, is_name, short, split_host},
};

/// How an application shows that it is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum GraphLogin {
    /// With a secret, which is given as passwords are.
    #[default]
    Secret,
    /// With a certificate and its key: a PEM file in place of the password file.
    Certificate,
    /// The user enters a code in a browser, and reaches no other mailbox than their own.
    Device,
}

/// Whose cloud.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum GraphCloud {
    #[default]
    Global,
    /// US Government (GCC High).
    UsGovernment,
    /// US Department of Defense.
    UsDefense,
    China,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum GraphRoute {
    /// As fields and attachments, or as Exchange's own exports where they come from Exchange.
    #[default]
    Fields,
    /// By IMAP, with the same login: as much of the MIME as Exchange keeps. A source is read by IMAP, too.
    Imap,
}

/// What only a mailbox in Microsoft 365 has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Graph {
    /// Its id, or one of its domains.
    pub(crate) tenant: String,
    /// The application's id. Not needed where a command gives tokens.
    pub(crate) client: Option<String>,
    pub(crate) login: GraphLogin,
    pub(crate) cloud: GraphCloud,
    /// Another server than the cloud's.
    pub(crate) at: Option<(String, u16)>,
    pub(crate) route: GraphRoute,
    /// Signed and encrypted messages are stored as what remains of them.
    pub(crate) unsigned: bool,
    /// Drafts go as MIME.
    pub(crate) mime_drafts: bool,
    /// Requests in ten minutes, if not Microsoft's number.
    pub(crate) requests: Option<u32>,
    /// MB that are sent in five minutes, if not Microsoft's number.
    pub(crate) upload: Option<u32>,
}

/// For whoever wrote others.
const OPTIONS: &str = "Options are ?client=APPLICATION-ID, ?auth=secret, ?auth=certificate or ?auth=device, \
                       ?cloud=global, usgov, dod or china, ?route=fields or ?route=imap, ?signed=as-plain, ?drafts=fields or ?drafts=mime, \
                       ?requests=NUMBER in ten minutes, ?upload=MEGABYTES in five minutes, and for a test server ?at=HOST:PORT.";

const SHAPE: &str = "Write graph://tenant/user, as graph://example.com/ann@example.com?client=APPLICATION-ID; \
                     in users that hold special characters, write those as %XX.";

/// `graph://tenant/user`, and `graph://user@domain`, where the domain is a tenant's.
pub(super) fn parse(
    option: &'static str,
    authority: &str,
    path: &str,
    query: &str,
) -> Result<MailboxUrl> {
    if authority.contains(':') {
        return Err(no_password(option));
    }
    let path = path.trim_end_matches('/');
    let (tenant, user) = match authority.rsplit_once('@') {
        Some((_, domain)) if path.is_empty() => (domain, authority),
        Some(_) => return Err(bad(option, "the URL names two users", SHAPE)),
        None => (authority, path),
    };
    let is_tenant = |text: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        !text.is_empty() && text.bytes().all(fits)
    };
    if !is_tenant(tenant) {
        return Err(bad(option, "the tenant in the URL cannot be read", SHAPE));
    }
    let user = decode(user).filter(|user| is_name(user) && !user.contains(['/', '#']));
    let user = user.ok_or_else(|| bad(option, "the URL names no user that can be read", SHAPE))?;
    let mut graph = Graph {
        tenant: tenant.to_ascii_lowercase(),
        ..Graph::default()
    };
    read_query(query, &mut graph).map_err(|what| bad(option, what, OPTIONS))?;
    let (host, port) = match &graph.at {
        Some((host, port)) => (host.clone(), *port),
        None if graph.route == GraphRoute::Imap => (graph.cloud.imap_host().to_owned(), 993),
        None => (graph.cloud.host().to_owned(), 443),
    };
    Ok(MailboxUrl {
        protection: Protection::Tls,
        user,
        host,
        port,
        authorize_as: None,
        system: System::Graph(graph),
    })
}

impl GraphCloud {
    const fn host(self) -> &'static str {
        match self {
            Self::Global => "graph.microsoft.com",
            Self::UsGovernment => "graph.microsoft.us",
            Self::UsDefense => "dod-graph.microsoft.us",
            Self::China => "microsoftgraph.chinacloudapi.cn",
        }
    }

    const fn imap_host(self) -> &'static str {
        match self {
            Self::Global => "outlook.office365.com",
            Self::UsGovernment => "outlook.office365.us",
            Self::UsDefense => "outlook-dod.office365.us",
            Self::China => "partner.outlook.cn",
        }
    }
}

fn number(name: &str, value: &str) -> Result<u32, String> {
    let number = value.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{name}= needs a number above zero"))
}

fn read_query(query: &str, graph: &mut Graph) -> Result<(), String> {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (name, value) {
            ("client", value) => {
                let id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
                if value.is_empty() || !value.bytes().all(id) {
                    return Err("client= needs the id of an application".to_owned());
                }
                graph.client = Some(value.to_owned());
            }
            ("auth", "secret") => graph.login = GraphLogin::Secret,
            ("auth", "certificate") => graph.login = GraphLogin::Certificate,
            ("auth", "device") => graph.login = GraphLogin::Device,
            ("cloud", "global") => graph.cloud = GraphCloud::Global,
            ("cloud", "usgov") => graph.cloud = GraphCloud::UsGovernment,
            ("cloud", "dod") => graph.cloud = GraphCloud::UsDefense,
            ("cloud", "china") => graph.cloud = GraphCloud::China,
            ("route", "fields") => graph.route = GraphRoute::Fields,
            ("route", "imap") => graph.route = GraphRoute::Imap,
            ("signed", "as-plain") => graph.unsigned = true,
            ("drafts", "fields") => graph.mime_drafts = false,
            ("drafts", "mime") => graph.mime_drafts = true,
            ("requests", value) => graph.requests = Some(number(name, value)?),
            ("upload", value) => graph.upload = Some(number(name, value)?),
            ("at", value) => {
                let (host, port) = split_host(value).ok_or("at= needs a host and a port")?;
                graph.at = Some((host, port.unwrap_or(443)));
            }
            (other, _) => return Err(format!("cannot read option {:?} in the URL", short(other))),
        }
    }
    Ok(())
}
