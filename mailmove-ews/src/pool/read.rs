//! Replies, read to their end.

use mailmove_exchange::sink::Contents;

use crate::{
    error,
    http::{Connection, Failed, Received},
    wire::{self, Element, Reply, Request, Splitter},
};

/// A reply, read to its end.
pub(super) struct Read<T> {
    pub(super) reply: Reply,
    pub(super) contents: Vec<T>,
    /// What the server says that it is.
    pub(super) system: Option<String>,
}

/// Reads a reply to its end, contents and all.
pub(super) async fn read<C: Contents>(
    connection: &mut Connection,
    received: &mut Received,
    request: &Request,
    sink: C,
) -> Result<Read<C::Item>, Failed> {
    let wrong = |error| Failed::after(error::wire(error));
    let mut splitter = Splitter::new(sink);
    while let Some(bytes) = connection.piece(received).await.map_err(Failed::after)? {
        if let Err(error) = splitter.push(&bytes) {
            connection.dead = true;
            return Err(wrong(error));
        }
    }
    let parsed = splitter
        .finish()
        .and_then(|(skeleton, contents)| Ok((wire::parse(&skeleton)?, contents)))
        .and_then(|(envelope, contents)| {
            let system = system(&envelope);
            let reply = wire::messages(request.operation, envelope)?;
            Ok(Read {
                reply,
                contents,
                system,
            })
        });
    parsed.map_err(|error| {
        connection.dead = true;
        wrong(error)
    })
}

/// `Exchange 2016 (15.1.2507.6)`.
fn system(envelope: &Element) -> Option<String> {
    let info = envelope.at(&["Header", "ServerVersionInfo"])?;
    let number = |name: &str| info.attribute(name)?.parse::<u32>().ok();
    let (major, minor) = (number("MajorVersion")?, number("MinorVersion").unwrap_or(0));
    let build = number("MajorBuildNumber").unwrap_or(0);
    let patch = number("MinorBuildNumber").unwrap_or(0);
    let name = match (major, minor, build) {
        (8, ..) => "Exchange 2007",
        (14, ..) => "Exchange 2010",
        (15, 0, _) => "Exchange 2013",
        (15, 1, _) => "Exchange 2016",
        (15, 2, 2562..) => "Exchange SE",
        (15, 2, _) => "Exchange 2019",
        (15, 20, _) => "Exchange Online",
        _ => "Exchange",
    };
    Some(format!("{name} ({major}.{minor}.{build}.{patch})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named() {
        for (version, name) in [
            (
                "MajorVersion='15' MinorVersion='1' MajorBuildNumber='2507' MinorBuildNumber='6'",
                "Exchange 2016 (15.1.2507.6)",
            ),
            (
                "MajorVersion='15' MinorVersion='2' MajorBuildNumber='2562'",
                "Exchange SE (15.2.2562.0)",
            ),
        ] {
            let xml = format!("<E><Header><ServerVersionInfo {version}/></Header></E>");
            assert_eq!(
                system(&wire::parse(xml.as_bytes()).unwrap()).as_deref(),
                Some(name)
            );
        }
    }
}
