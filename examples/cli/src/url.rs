//! Mailbox URLs: `imaps://user@host[:port]`, `imap://user@host[:port][?tls=off]`,
//! `ews://user@host[:port][/owa][?name=host]`.
//!
//! Written by hand instead of with a URL crate: people write users as `ann@example.com@host`, and
//! no message about a URL may repeat it, since it may hold a password.

use std::{fmt, net::Ipv6Addr};

use mailmove_core::{Error, ErrorKind, Result};

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// TLS from the first byte.
    Tls,
    /// TLS after STARTTLS, and nothing before it.
    StartTls,
    /// None, because the user asked for it.
    Off,
}

/// How a login says that one user opens another's mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// As the standard has it.
    #[default]
    Authzid,
    /// `mailbox*admin`, with that sign between them.
    Master(char),
    /// `admin\mailbox`.
    Exchange,
    /// By a command of its own.
    ProxyAuth,
}

/// How a login at Exchange goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EwsLogin {
    /// As the server offers.
    #[default]
    Offered,
    Basic,
    Ntlm,
    Negotiate,
}

/// What only a mailbox at Exchange has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ews {
    /// Without the slash at its beginning.
    pub(crate) path: String,
    /// The name that the certificate must have, where the host is an address.
    pub(crate) name: Option<String>,
    pub(crate) login: EwsLogin,
    /// The archive mailbox.
    pub(crate) archive: bool,
}

/// A mailbox on a server. Holds no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MailboxUrl {
    pub(crate) protection: Protection,
    pub(crate) user: String,
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whose mailbox to open, if not the user's own.
    pub(crate) authorize_as: Option<String>,
    pub(crate) style: Style,
    /// It is reached by EWS.
    pub(crate) ews: Option<Ews>,
}

const SHAPE: &str = "Write imaps://user@host, imap://user@host for STARTTLS, or ews://user@host for \
                     Exchange; a port may follow as :993.";

impl MailboxUrl {
    /// Reads what the user gave for `option` (`--from`, `--to`).
    pub(crate) fn parse(option: &'static str, text: &str) -> Result<Self> {
        let bad = |what: String, remedy: &'static str| {
            Error::new(ErrorKind::Config, what)
                .with_code("config/url")
                .with_context("option", option)
                .with_remedy(remedy)
        };
        let (scheme, rest) = text
            .trim()
            .split_once("://")
            .ok_or_else(|| bad("this is not a mailbox URL".to_owned(), SHAPE))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // The last @ splits: hosts hold none, users often do.
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        if user.contains(':') {
            return Err(bad(
                "a password in a URL is refused: command lines are seen by other users and kept in \
                 the shell's history"
                    .to_owned(),
                "Take it out of the URL, and give it in MAILMOVE_FROM_PASSWORD or \
                 MAILMOVE_TO_PASSWORD, with --from-password-file or --to-password-file, or at the \
                 prompt. A colon that belongs to the user name is written %3A.",
            )
            .with_code("config/password-in-url"));
        }
        let (implicit, is_ews) = match scheme.to_ascii_lowercase().as_str() {
            "imaps" => (true, false),
            "imap" => (false, false),
            "ews" => (true, true),
            other => return Err(bad(format!("unknown scheme {:?}", short(other)), SHAPE)),
        };
        let path = if is_ews {
            path.split('#').next().unwrap_or_default()
        } else {
            path
        };
        if (!path.is_empty() && !is_ews) || authority.contains('#') || path.contains('#') {
            return Err(bad(
                "the URL has something after the host".to_owned(),
                "End it after host and port. Folders are chosen with --folder.",
            ));
        }
        let user = decode(user).filter(|user| is_name(user)).ok_or_else(|| {
            let what = if user.is_empty() {
                "the URL names no user"
            } else {
                "the user in the URL cannot be read"
            };
            bad(what.to_owned(), "Write imaps://user@host. In users that hold special characters, write those as %XX.")
        })?;
        let (host, port) = split_host(host)
            .ok_or_else(|| bad("the host or port in the URL cannot be read".to_owned(),
                "Write a host name in ASCII (xn--… for others), an IPv4 address, or an IPv6 address in brackets; then perhaps :port."))?;
        let read = if is_ews {
            read_ews_query(query, path)
        } else {
            read_query(query, implicit)
        };
        let remedy = match is_ews {
            true => {
                "Options are ?as=MAILBOX, ?name=HOST for the certificate's name, ?auth=ntlm, \
                 ?auth=negotiate or ?auth=basic, ?archive=on, and ?tls=off."
            }
            false => {
                "Options are ?tls=off (imap:// only), ?as=USER, and with it &style=authzid, \
                 &style=master, &style=exchange or &style=proxyauth."
            }
        };
        let Query {
            protection,
            authorize_as,
            style,
            ews,
        } = read.map_err(|what| bad(what, remedy))?;
        let port = port.unwrap_or(match (is_ews, implicit, protection) {
            (true, _, Protection::Off) => 80,
            (true, ..) => 443,
            (false, true, _) => 993,
            (false, false, _) => 143,
        });
        Ok(Self {
            protection,
            user,
            host,
            port,
            authorize_as,
            style: style.unwrap_or_default(),
            ews,
        })
    }

    /// Why the URL itself may be the reason that connecting failed.
    pub(crate) fn suspicion(&self) -> Option<&'static str> {
        if self.ews.is_some() {
            return matches!(self.port, 143 | 993 | 110 | 995 | 25 | 465 | 587)
                .then_some("That port is for mail programs: EWS uses 443.");
        }
        match (self.protection, self.port) {
            (Protection::Tls, 143) => Some(
                "Port 143 usually starts without TLS: try imap:// (STARTTLS), or imaps:// with port 993.",
            ),
            (Protection::StartTls | Protection::Off, 993) => {
                Some("Port 993 usually speaks TLS from the start: try imaps:// instead of imap://.")
            }
            (_, 25 | 465 | 587) => {
                Some("That port is for sending mail (SMTP): IMAP uses 993 or 143.")
            }
            (_, 110 | 995) => Some("That port is for POP3: IMAP uses 993 or 143."),
            (_, 80 | 443) => Some("That port is for web pages: IMAP uses 993 or 143."),
            _ => None,
        }
    }
}

impl fmt::Display for MailboxUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.protection, &self.ews) {
            (_, Some(_)) => "ews",
            (Protection::Tls, None) => "imaps",
            (Protection::StartTls | Protection::Off, None) => "imap",
        };
        write!(f, "{scheme}://{}@", self.user)?;
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)?;
        } else {
            write!(f, "{}:{}", self.host, self.port)?;
        }
        match &self.authorize_as {
            Some(other) => write!(f, " (as {other})"),
            None => Ok(()),
        }
    }
}

/// Enough of a word to recognise it.
fn short(text: &str) -> String {
    text.chars().take(12).collect()
}

/// No control characters: they cannot stand in a login, and would garble a terminal.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

fn split_host(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            let port = match rest {
                "" => None,
                _ => Some(rest.strip_prefix(':')?),
            };
            (address.to_string(), port)
        }
        None => {
            let (host, port) = match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            // A dot at the end only says that the name is complete; certificates lack it.
            let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            if host.is_empty() || !host.bytes().all(fits) {
                return None;
            }
            (host, port)
        }
    };
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port != 0)?)
        }
        Some(_) => return None,
    };
    Some((host, port))
}

struct Query {
    protection: Protection,
    authorize_as: Option<String>,
    style: Option<Style>,
    ews: Option<Ews>,
}

fn read_ews_query(query: &str, path: &str) -> Result<Query, String> {
    let mut ews = Ews {
        path: path.to_owned(),
        ..Ews::default()
    };
    let (mut protection, mut authorize_as) = (Protection::Tls, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (name, value) {
            ("tls", "off") => protection = Protection::Off,
            ("as" | "authzid", value) => {
                let name = decode(value).filter(|name| is_name(name));
                authorize_as = Some(name.ok_or("as= needs the address of a mailbox")?);
            }
            ("name", value) => {
                let (name, port) = split_host(value).ok_or("name= needs a host name")?;
                if port.is_some() {
                    return Err("name= takes no port".to_owned());
                }
                ews.name = Some(name);
            }
            ("auth", "ntlm") => ews.login = EwsLogin::Ntlm,
            ("auth", "negotiate") => ews.login = EwsLogin::Negotiate,
            ("auth", "basic") => ews.login = EwsLogin::Basic,
            ("archive", "on") => ews.archive = true,
            (other, _) => return Err(format!("cannot read option {:?} in the URL", short(other))),
        }
    }
    Ok(Query {
        protection,
        authorize_as,
        style: None,
        ews: Some(ews),
    })
}

fn read_query(query: &str, implicit: bool) -> Result<Query, String> {
    let mut protection = if implicit {
        Protection::Tls
    } else {
        Protection::StartTls
    };
    let (mut authorize_as, mut style) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (name, value) {
            ("tls", "off") if implicit => {
                return Err("imaps:// and tls=off contradict each other".to_owned());
            }
            ("tls", "off") => protection = Protection::Off,
            ("tls", _) => return Err("tls= takes no other value than off".to_owned()),
            ("as" | "authzid", value) => {
                let name = decode(value).filter(|name| is_name(name));
                authorize_as = Some(name.ok_or("as= needs the name of a user")?);
            }
            ("style", value) => {
                let known = decode(value).as_deref().and_then(read_style);
                style = Some(known.ok_or("unknown style= in the URL")?);
            }
            (other, _) => return Err(format!("unknown option {:?} in the URL", short(other))),
        }
    }
    if style.is_some() && authorize_as.is_none() {
        return Err("style= needs as=, whose mailbox to open".to_owned());
    }
    Ok(Query {
        protection,
        authorize_as,
        style,
        ews: None,
    })
}

fn read_style(text: &str) -> Option<Style> {
    Some(match text {
        "authzid" => Style::Authzid,
        "master" => Style::Master('*'),
        "exchange" => Style::Exchange,
        "proxyauth" => Style::ProxyAuth,
        other => {
            let mut sign = other.strip_prefix("master:")?.chars();
            let first = sign.next().filter(|c| !c.is_control())?;
            sign.next().is_none().then_some(Style::Master(first))?
        }
    })
}

/// Undoes `%XX`; `None` if it is malformed or not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<MailboxUrl> {
        MailboxUrl::parse("--from", text)
    }

    #[test]
    fn reads_what_people_write() {
        for (text, shown) in [
            (
                "imaps://ann@mail.example.com",
                "imaps://ann@mail.example.com:993",
            ),
            (
                "imap://ann@mail.example.com",
                "imap://ann@mail.example.com:143",
            ),
            (
                "IMAPS://ann@Mail.Example.COM./",
                "imaps://ann@mail.example.com:993",
            ),
            (
                "imaps://ann%40example.com@host:1993",
                "imaps://ann@example.com@host:1993",
            ),
            (
                "imaps://ann@example.com@host",
                "imaps://ann@example.com@host:993",
            ),
            ("imaps://EXAMPLE\\ann@host", "imaps://EXAMPLE\\ann@host:993"),
            ("imaps://a%3Ab%25c@host", "imaps://a:b%c@host:993"),
            ("imaps://m%C3%BCller@host", "imaps://müller@host:993"),
            ("imaps://ann@192.0.2.7:993", "imaps://ann@192.0.2.7:993"),
            ("imaps://ann@[2001:db8::1]", "imaps://ann@[2001:db8::1]:993"),
            ("imap://ann@[::1]:1143", "imap://ann@[::1]:1143"),
            (
                "imaps://admin@host?as=ann%40example.com",
                "imaps://admin@host:993 (as ann@example.com)",
            ),
            (
                "imaps://admin@host?authzid=ann",
                "imaps://admin@host:993 (as ann)",
            ),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn exchange_is_reached_by_the_address_of_outlook_on_the_web() {
        for (text, shown, path) in [
            (
                "ews://ann@mail.example.com",
                "ews://ann@mail.example.com:443",
                "",
            ),
            (
                "ews://EXAMPLE\\ann@h/owa/#path=/mail",
                "ews://EXAMPLE\\ann@h:443",
                "owa/",
            ),
            ("ews://a@127.0.0.1:81?tls=off", "ews://a@127.0.0.1:81", ""),
            (
                "ews://admin@h?as=ann%40example.com",
                "ews://admin@h:443 (as ann@example.com)",
                "",
            ),
        ] {
            let url = parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(url.ews.unwrap().path, path);
        }
        let odd =
            parse("ews://a@192.0.2.7/owa?name=Mail.example.com&auth=ntlm&archive=on").unwrap();
        let ews = odd.ews.unwrap();
        assert_eq!(ews.name.as_deref(), Some("mail.example.com"));
        assert_eq!((ews.login, ews.archive), (EwsLogin::Ntlm, true));
        for bad in [
            "ews://a:pw@h",
            "ews://a@h?auth=md5",
            "ews://a@h?style=master",
            "ews://a@h?name=h:1",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn styles_of_administrators_are_read() {
        let style = |text: &str| parse(&format!("imaps://a@h?as=b{text}")).map(|url| url.style);
        for (text, expected) in [
            ("", Style::Authzid),
            ("&style=authzid", Style::Authzid),
            ("&style=master", Style::Master('*')),
            ("&style=master:%25", Style::Master('%')),
            ("&style=exchange", Style::Exchange),
            ("&style=proxyauth", Style::ProxyAuth),
        ] {
            assert_eq!(style(text).unwrap(), expected, "{text}");
        }
        for bad in [
            "&style=",
            "&style=x",
            "&style=master:",
            "&style=master:ab",
            "&style=master:%00",
        ] {
            assert_eq!(style(bad).unwrap_err().code(), "config/url", "{bad}");
        }
        assert!(parse("imaps://a@h?style=master").is_err());
    }

    #[test]
    fn protection_follows_scheme_and_option() {
        let protection = |text| parse(text).unwrap().protection;
        assert_eq!(protection("imaps://a@h"), Protection::Tls);
        assert_eq!(protection("imap://a@h"), Protection::StartTls);
        assert_eq!(protection("imap://a@h?tls=off"), Protection::Off);
        assert!(parse("imaps://a@h?tls=off").is_err());
        assert!(parse("imap://a@h?tls=no").is_err());
    }

    #[test]
    fn refuses_with_a_remedy() {
        for text in [
            "",
            "mail.example.com",
            "ann@host",
            "ftp://ann@host",
            "https://ann@host",
            "imaps://host",
            "imaps://@host",
            "imaps://ann@",
            "imaps://ann@host:0",
            "imaps://ann@host:70000",
            "imaps://ann@host:+993",
            "imaps://ann@host:",
            "imaps://ann@ho st",
            "imaps://ann@::1",
            "imaps://ann@[::1",
            "imaps://ann@[::1]x",
            "imaps://ann@hôte",
            "imaps://ann@host/INBOX",
            "imaps://ann@host#x",
            "imaps://ann@host?x=y",
            "imaps://a%@host",
            "imaps://a%zz@host",
            "imaps://a%ff@host",
            "imaps://a%0d%0ab@host",
            "imaps://a@host?as=",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            assert!(error.remedy().is_some(), "{text}");
        }
    }

    #[test]
    fn a_password_is_refused_and_never_repeated() {
        for text in [
            "imaps://ann:hunter2@host",
            "imaps://ann@example.com:hunter2@host",
            "imaps://ann:hun@ter2@host",
            "imaps://ann:hunter2@host/x?y",
            "ann:hunter2@host",
            "hunter2",
            "imaps://ann:hun/ter2@host",
            "imaps://:hunter2@host",
        ] {
            let error = parse(text).unwrap_err();
            let shown = format!("{} {:?}", error.chain(), error);
            assert!(
                !shown.contains("hunter2") && !shown.contains("ter2"),
                "{shown}"
            );
        }
        assert_eq!(
            parse("imaps://ann:x@host").unwrap_err().code(),
            "config/password-in-url"
        );
    }

    #[test]
    fn suspects_the_port() {
        assert!(parse("imaps://a@h:143").unwrap().suspicion().is_some());
        assert!(parse("imap://a@h:993").unwrap().suspicion().is_some());
        assert!(parse("imaps://a@h").unwrap().suspicion().is_none());
    }
}
