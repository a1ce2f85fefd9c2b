//! Addresses.

use std::{fmt, net::IpAddr};

use mailmove_core::error::{Error, ErrorKind, Result};
use reqwest::Url;

/// Where requests go: what a token is for, and no further.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// By TLS.
    pub(crate) secure: bool,
    /// Name or IP address, in lower case, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// Of a web address; `None` if it is no such address, or names a user.
    pub(crate) fn of(url: &Url) -> Option<Self> {
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        if !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let host = url.host_str()?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(Self {
            secure,
            host: host.to_ascii_lowercase(),
            port: url.port_or_known_default()?,
        })
    }

    /// The address itself, if the host is one. Nobody resolves it.
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Reads an address that the user gave.
///
/// # Errors
/// [`Config`](ErrorKind::Config) if it is none.
pub(crate) fn parse(text: &str) -> Result<Url> {
    let bad = || {
        Error::new(ErrorKind::Config, "not a web address")
            .with_code("graph/address")
            .with_remedy("Give an address such as https://graph.microsoft.com/v1.0.")
    };
    let url = Url::parse(text.trim()).map_err(|_| bad())?;
    Origin::of(&url).ok_or_else(bad)?;
    Ok(url)
}

/// A segment of a path, with everything encoded but what never has a meaning: ids hold `/`, `+` and `=`.
pub(crate) fn segment(text: &str) -> String {
    match text {
        // However they are written, they would name another path.
        "." => "%252E".to_owned(),
        ".." => "%252E%252E".to_owned(),
        _ => encode(text, ""),
    }
}

/// A value of a query.
pub(crate) fn value(text: &str) -> String {
    encode(text, "$,()':")
}

/// A value of a form.
pub(crate) fn form(text: &str) -> String {
    encode(text, "")
}

fn encode(text: &str, also: &str) -> String {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let digit = |n: u8| HEX.get(usize::from(n)).copied().unwrap_or('0');
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "-._~".contains(c) || also.contains(c) {
            out.push(c);
        } else {
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_one_segment_whatever_is_in_them() {
        assert_eq!(segment("AAMk/a+b=="), "AAMk%2Fa%2Bb%3D%3D");
        assert_eq!(segment("ann@example.com"), "ann%40example.com");
        let base = Url::parse("https://h/v1.0/").unwrap();
        for id in [".", "..", "a/../b", "%2e%2e"] {
            let url = Url::parse(&format!("{base}messages/{}", segment(id))).unwrap();
            assert_eq!(url.path_segments().unwrap().count(), 3, "{url}");
            assert!(url.path().starts_with("/v1.0/messages/"), "{url}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let of = |text: &str| Origin::of(&Url::parse(text).unwrap());
        assert_eq!(
            of("https://Graph.Microsoft.com/x"),
            of("https://graph.microsoft.com:443")
        );
        assert_ne!(of("https://h/"), of("http://h/"));
        assert_ne!(of("https://h/"), of("https://h:8443/"));
        assert_ne!(of("https://h.evil/"), of("https://h/"));
        assert_eq!(of("https://user@h/"), None);
        assert_eq!(of("file:///etc"), None);
        assert!(of("http://[::1]:80/").unwrap().literal().is_some());
    }
}
