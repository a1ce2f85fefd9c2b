//! What only a mailbox at Exchange has.

use super::{
    Protection, Query, System,
    text::{decode, is_name, short, split_host},
};

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

/// For whoever wrote others.
pub(super) const OPTIONS: &str = "Options are ?as=MAILBOX, ?name=HOST for the certificate's name, ?auth=ntlm, \
                                  ?auth=negotiate or ?auth=basic, ?archive=on, and ?tls=off.";

pub(super) fn read_query(query: &str, path: &str) -> Result<Query, String> {
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
        system: System::Ews(ews),
    })
}
