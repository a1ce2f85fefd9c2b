//! What only IMAP has: how one user opens another's mailbox.

use super::{
    Protection, Query, System,
    text::{decode, is_name, short},
};

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

/// For whoever wrote others.
pub(super) const OPTIONS: &str = "Options are ?tls=off (imap:// only), ?as=USER, and with it &style=authzid, \
                                  &style=master, &style=exchange or &style=proxyauth.";

pub(super) fn read_query(query: &str, implicit: bool) -> Result<Query, String> {
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
        system: System::Imap(style.unwrap_or_default()),
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
