//! Addresses.

use std::fmt;

use mailmove_core::error::{Error, ErrorKind, Result};

/// An HTTP address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// By TLS.
    pub(crate) secure: bool,
    /// Name or address, in lower case, without brackets.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// Path and query, beginning with a slash.
    pub(crate) path: String,
}

impl Target {
    /// An address by its parts.
    #[must_use]
    pub(crate) fn new(secure: bool, host: &str, port: Option<u16>, path: &str) -> Self {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let slash = if path.starts_with('/') { "" } else { "/" };
        Self {
            secure,
            host: host.to_ascii_lowercase(),
            port: port.unwrap_or(if secure { 443 } else { 80 }),
            path: format!("{slash}{path}"),
        }
    }

    /// Reads `https://host:port/path`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is no such address.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let bad = |why: &'static str| {
            Error::new(ErrorKind::Config, why)
                .with_code("http/address")
                .with_remedy("Give an address such as https://mail.example.com/owa.")
        };
        let text = text.trim();
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| bad("not a web address"))?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(bad("not a web address")),
        };
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let path = path.split('#').next().unwrap_or_default();
        if authority.contains('@') {
            return Err(bad("the address holds a user name"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(|| bad("not a host"))?;
                (host, rest.strip_prefix(':'))
            }
            None => authority
                .split_once(':')
                .map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty()
            || !host.chars().all(is_host)
            || path.chars().any(|c| c <= ' ' || c > '~')
        {
            return Err(bad("not a host name"));
        }
        let port = port
            .filter(|port| !port.is_empty())
            .map(|port| port.parse().map_err(|_| bad("not a port")))
            .transpose()?;
        Ok(Self::new(secure, host, port, path))
    }

    /// The same host with another path.
    #[must_use]
    pub(crate) fn with_path(&self, path: &str) -> Self {
        Self::new(self.secure, &self.host, Some(self.port), path)
    }

    /// What a redirect from here leads to.
    ///
    /// # Errors
    /// If it is no address.
    pub(crate) fn join(&self, location: &str) -> Result<Self> {
        let location = location.trim();
        if let Some(rest) = location.strip_prefix("//") {
            let scheme = if self.secure { "https" } else { "http" };
            return Self::parse(&format!("{scheme}://{rest}"));
        }
        if location.starts_with('/') {
            return Self::parse(&self.with_path(location).to_string());
        }
        Self::parse(location)
    }

    /// As the `Host` field wants it.
    #[must_use]
    pub(crate) fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match (self.secure, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_and_writes_them_again() {
        for (text, written) in [
            (
                "https://Mail.Example.com/owa",
                "https://mail.example.com/owa",
            ),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("https://[::1]:8443/a?b=c#d", "https://[::1]:8443/a?b=c"),
            ("https://h:443", "https://h/"),
        ] {
            assert_eq!(Target::parse(text).unwrap().to_string(), written);
        }
        for bad in [
            "",
            "mail.example.com",
            "ftp://h",
            "https://",
            "https://a@h",
            "https://h:x",
            "https://h /",
            "https://h/\u{e4}",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }
    #[test]
    fn redirects_are_resolved() {
        let from = Target::parse("https://h:444/a").unwrap();
        assert_eq!(from.join("/b").unwrap().to_string(), "https://h:444/b");
        assert_eq!(from.join("//g/b").unwrap().to_string(), "https://g/b");
        assert_eq!(from.join("http://g/").unwrap().to_string(), "http://g/");
        assert!(from.join("javascript:x").is_err());
    }
}
