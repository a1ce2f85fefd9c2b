//! From an e-mail address to the address of EWS (Autodiscover).
//!
//! Asked are the user's own domain and `autodiscover.` below it, never one above: first by version 2
//! (JSON), which wants no login, then by version 1 (POX), which does; last by a redirect of plain HTTP, and
//! by SRV records, where somebody looks them up. Passwords go to hosts of the user's
//! domain, and to those that the user agreed to, by verified HTTPS alone.

mod ask;
mod srv;

use std::{sync::Arc, time::Duration};

use mailmove_core::{
    edge::{CredentialProvider, Edges, tls::TlsSettings},
    error::{Error, ErrorKind, Result},
};

use crate::{
    config::{Access, Auth, EwsConfig},
    error, folders,
    http::Target,
    pool::Pool,
};
use ask::{Answer, Asker};
pub use srv::{SrvLookup, SrvRecord};

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 10;
/// SRV records that are tried.
const RECORDS_MAX: usize = 5;

/// Looks for a user's EWS. Start from [`Discovery::new`].
#[derive(Clone, Debug)]
pub struct Discovery {
    credentials: Arc<dyn CredentialProvider>,
    edges: Edges,
    tls: TlsSettings,
    auth: Auth,
    trusted: Vec<String>,
    ports: (u16, u16),
    timeout: Duration,
    srv: Option<Arc<dyn SrvLookup>>,
}

/// What was found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Found {
    /// EWS is there, and let the user in.
    Endpoint(Box<EwsConfig>),
    /// The way leads to a host of another domain. Nothing secret was sent there: whoever knows the host
    /// says so by [`Discovery::trusting`], and asks again.
    Confirm {
        /// The host.
        host: String,
        /// The address that was named.
        url: String,
    },
}

impl Discovery {
    /// With the platform's trust, and as the server wants the login.
    #[must_use]
    pub fn new(credentials: Arc<dyn CredentialProvider>, edges: Edges) -> Self {
        Self {
            credentials,
            edges,
            tls: TlsSettings::new(),
            auth: Auth::Offered,
            trusted: Vec::new(),
            ports: (443, 80),
            timeout: Duration::from_secs(20),
            srv: None,
        }
    }

    /// Sets how certificates are judged.
    #[must_use]
    pub fn with_tls(mut self, tls: TlsSettings) -> Self {
        self.tls = tls;
        self
    }

    /// Sets how to log in.
    #[must_use]
    pub fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Sets the ports of HTTPS and HTTP, where they are not the usual ones.
    #[must_use]
    pub fn with_ports(mut self, https: u16, http: u16) -> Self {
        self.ports = (https, http);
        self
    }

    /// Lends a resolver of SRV records, which are the last thing that is tried. Without one they are not.
    #[must_use]
    pub fn with_srv(mut self, lookup: Arc<dyn SrvLookup>) -> Self {
        self.srv = Some(lookup);
        self
    }

    /// The user knows this host, and wants the password to go there.
    #[must_use]
    pub fn trusting(mut self, host: impl Into<String>) -> Self {
        self.trusted.push(host.into().to_ascii_lowercase());
        self
    }

    /// Finds EWS for an e-mail address, and tries it out. Cancel safe.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) if there is none to be found, [`Auth`](ErrorKind::Auth) if the
    /// password is refused, [`Unsupported`](ErrorKind::Unsupported) for Microsoft 365.
    pub async fn find(&self, address: &str) -> Result<Found> {
        let domain = domain(address)?;
        let search = Search {
            options: self,
            address: address.to_owned(),
            domain,
            asker: Asker::new(self)?,
        };
        search.run().await
    }
}

/// The domain of an address, if it can be one.
fn domain(address: &str) -> Result<String> {
    let domain = address
        .rsplit_once('@')
        .map(|(_, domain)| domain.to_ascii_lowercase());
    domain.filter(|domain| is_host(domain)).ok_or_else(|| {
        Error::new(ErrorKind::Config, "not an e-mail address")
            .with_code("ews/address")
            .with_remedy("Give the address of the mailbox, such as ann@example.com.")
    })
}

/// It may be the name of a host.
fn is_host(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
    !name.is_empty() && name.bytes().all(fits) && !name.starts_with('.')
}

struct Search<'a> {
    options: &'a Discovery,
    address: String,
    domain: String,
    asker: Asker<'a>,
}

/// What became of one way.
enum Step {
    Found(Found),
    /// Nothing there; perhaps elsewhere.
    Nothing(Option<Error>),
}

impl Search<'_> {
    /// A host that a password may go to.
    fn is_ours(&self, host: &str) -> bool {
        let below = host.strip_suffix(self.domain.as_str());
        host == self.domain
            || below.is_some_and(|rest| rest.ends_with('.'))
            || self.options.trusted.iter().any(|trusted| trusted == host)
    }

    fn confirm(target: &Target) -> Result<Step> {
        let host = target.host.as_str();
        if host == "outlook.office365.com"
            || host.ends_with(".outlook.com")
            || host.ends_with(".office365.com")
        {
            let error = Error::new(ErrorKind::Unsupported, "the mailbox is at Microsoft 365");
            return Err(error.with_code("ews/microsoft-365").with_remedy(
                "Microsoft 365 has EWS switched off since October 2026: use Graph, or IMAP with OAuth.",
            ));
        }
        Ok(Step::Found(Found::Confirm {
            host: target.host.clone(),
            url: target.to_string(),
        }))
    }

    async fn run(&self) -> Result<Found> {
        let hosts = [self.domain.clone(), format!("autodiscover.{}", self.domain)];
        let mut last = None;
        let mut ways: Vec<(bool, Target)> = Vec::new();
        for (pox, path) in [(false, self.json_path()), (true, ask::POX_PATH.to_owned())] {
            let target = |host: &String| Target::new(true, host, Some(self.options.ports.0), &path);
            ways.extend(hosts.iter().map(|host| (pox, target(host))));
        }
        for (pox, target) in ways {
            match self.way(target, pox).await? {
                Step::Found(found) => return Ok(found),
                Step::Nothing(error) => last = error.or(last),
            }
        }
        // Last, somebody may point elsewhere by plain HTTP: a pointer that anybody on the way can make,
        // so that it counts like any other that leads away.
        if let Some(host) = hosts.last() {
            let plain = Target::new(false, host, Some(self.options.ports.1), ask::POX_PATH);
            if let Ok(Answer::Redirect(target)) = self.asker.get(&plain).await
                && let Step::Found(found) = self.way(target, true).await?
            {
                return Ok(found);
            }
        }
        match self.by_srv().await? {
            Step::Found(found) => return Ok(found),
            Step::Nothing(error) => last = error.or(last),
        }
        let error = Error::new(
            ErrorKind::Config,
            "no Exchange server was found for this address",
        )
        .with_code("ews/not-found")
        .with_context("domain", self.domain.clone())
        .with_remedy(
            "Give the address of Outlook on the web, such as https://mail.example.com/owa.",
        );
        Err(match last {
            Some(last) => error.with_source(last),
            None => error,
        })
    }

    /// Whom the domain's SRV records name. Nobody vouches for DNS: they count like any other pointer.
    async fn by_srv(&self) -> Result<Step> {
        let Some(lookup) = &self.options.srv else {
            return Ok(Step::Nothing(None));
        };
        let name = format!("_autodiscover._tcp.{}", self.domain);
        let mut last = None;
        match lookup.records(&name).await {
            Err(error) => last = Some(error),
            Ok(records) => {
                for record in srv::in_order(records).into_iter().take(RECORDS_MAX) {
                    let host = record.target.trim_end_matches('.');
                    if !is_host(host) {
                        continue;
                    }
                    let target = Target::new(true, host, Some(record.port), ask::POX_PATH);
                    match self.way(target, true).await? {
                        Step::Found(found) => return Ok(Step::Found(found)),
                        Step::Nothing(error) => last = error.or(last),
                    }
                }
            }
        }
        Ok(Step::Nothing(last))
    }

    fn json_path(&self) -> String {
        let address: String = self
            .address
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'@' => {
                    char::from(byte).to_string()
                }
                _ => format!("%{byte:02X}"),
            })
            .collect();
        format!("/autodiscover/autodiscover.json?Email={address}&Protocol=Ews&RedirectCount=1")
    }

    /// Follows one way to its end.
    async fn way(&self, start: Target, pox: bool) -> Result<Step> {
        let (mut target, mut address) = (start, self.address.clone());
        for _ in 0..REDIRECTS_MAX {
            if !target.secure {
                return Ok(Step::Nothing(None));
            }
            if !self.is_ours(&target.host) {
                return Self::confirm(&target);
            }
            let answer = match pox {
                true => self.asker.post(&target, &address).await,
                false => self.asker.get(&target).await,
            };
            match answer {
                Ok(Answer::Url(url)) => return self.end(&url).await,
                Ok(Answer::Redirect(next)) => target = next,
                // Somebody else's address: its domain is not asked with this user's password.
                Ok(Answer::Address(next))
                    if domain(&next).is_ok_and(|domain| self.is_ours(&domain)) =>
                {
                    address = next;
                }
                Ok(Answer::Address(next)) => {
                    let host = domain(&next)?;
                    return Self::confirm(&Target::new(true, &host, None, ask::POX_PATH));
                }
                Ok(Answer::Nothing) => return Ok(Step::Nothing(None)),
                Err(error) if error.kind() == ErrorKind::Auth => return Err(error),
                Err(error) => return Ok(Step::Nothing(Some(error))),
            }
        }
        let error = Error::new(ErrorKind::Config, "the server's redirects lead in a circle");
        Err(error
            .with_code("ews/redirect-loop")
            .with_context("host", target.host)
            .with_remedy("Ask the administrator to repair Autodiscover, or give the address of Outlook on the web."))
    }

    /// An address was named: is it EWS, and does it let us in?
    async fn end(&self, url: &str) -> Result<Step> {
        let Ok(target) = Target::parse(url) else {
            return Ok(Step::Nothing(None));
        };
        if !target.secure {
            return Ok(Step::Nothing(Some(error::not_ews())));
        }
        if !self.is_ours(&target.host) {
            return Self::confirm(&target);
        }
        let config = EwsConfig::at(&target.to_string())?
            .with_user(self.address.clone())
            .with_auth(self.options.auth)
            .with_tls(self.options.tls.clone());
        let access = Access {
            config: Arc::new(config.clone()),
            credentials: Arc::clone(&self.options.credentials),
            edges: self.options.edges.clone(),
        };
        match folders::open(&Pool::new(access)).await {
            Ok(_) => Ok(Step::Found(Found::Endpoint(Box::new(config)))),
            Err(error) if matches!(error.kind(), ErrorKind::Auth | ErrorKind::Denied) => Err(error),
            Err(error) => Ok(Step::Nothing(Some(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_come_from_addresses_alone() {
        assert_eq!(domain("Ann@Mail.Example.COM").unwrap(), "mail.example.com");
        for bad in [
            "", "ann", "ann@", "ann@a/b", "ann@a:1", "ann@.com", "ann@a b",
        ] {
            assert!(domain(bad).is_err(), "{bad}");
        }
    }
}
