//! The only place that knows imap-proto.
//!
//! imap-proto reads the simple responses with a tested grammar that others maintain, so it does: CAPABILITY, ENABLED, QUOTA
//! and QUOTAROOT. It doesn't get the rest. Version 0.17 panics on `INTERNALDATE NIL` and on text right after a code,
//! overflows the stack on nested BODYSTRUCTURE (which ends the process), keeps the escapes of quoted strings, turns names
//! that aren't UTF-8 into U+FFFD, loses a whole FLAGS list over one odd flag, and refuses ESEARCH, NAMESPACE and extended LIST
//! and STATUS. So what comes here is one complete line, chosen by its first word, of printable ASCII without quotes that need
//! unescaping; a panic is caught all the same, and whoever calls has a reader of its own for what comes back as `None`.

use std::panic::catch_unwind;

use imap_proto::rfc2087::QuotaResourceName;
use imap_proto::{Capability, Response as Parsed};

use super::capability::Capabilities;
use super::mailbox::{Quota, QuotaResource, QuotaRoot};
use super::response::Response;

/// Longest line given to imap-proto; longer ones are no plain responses.
const MAX_LINE: usize = 16 << 10;
const WORDS: [&[u8]; 4] = [b"CAPABILITY", b"ENABLED", b"QUOTA", b"QUOTAROOT"];

/// Parses one untagged line (without its end), if it is of the few kinds above.
pub(super) fn parse(line: &[u8]) -> Option<Response> {
    let plain = |byte: &u8| (0x20..0x7f).contains(byte) && *byte != b'\\' && *byte != b'{';
    if line.len() > MAX_LINE || !line.iter().all(plain) {
        return None;
    }
    let word = line
        .strip_prefix(b"* ")?
        .split(|byte| *byte == b' ')
        .next()?;
    let enabled = word.eq_ignore_ascii_case(b"ENABLED");
    if !WORDS.iter().any(|known| word.eq_ignore_ascii_case(known)) {
        return None;
    }
    let whole = [line, b"\r\n"].concat();
    // It must take all of the line: a half-read one would lose what follows silently.
    catch_unwind(|| match Parsed::parse(&whole) {
        Ok(([], parsed)) => convert(parsed, enabled),
        _ => None,
    })
    .ok()
    .flatten()
}

fn convert(parsed: Parsed<'_>, enabled: bool) -> Option<Response> {
    match parsed {
        Parsed::Capabilities(list) => {
            let names: Vec<String> = list.into_iter().map(name).collect();
            let set = names.iter().map(String::as_str).collect::<Capabilities>();
            Some(if enabled {
                Response::Enabled(set)
            } else {
                Response::Capability(set)
            })
        }
        Parsed::Quota(quota) => {
            let resource = |resource: imap_proto::rfc2087::QuotaResource<'_>| QuotaResource {
                name: match resource.name {
                    QuotaResourceName::Storage => "STORAGE".into(),
                    QuotaResourceName::Message => "MESSAGE".into(),
                    QuotaResourceName::Atom(name) => name.to_ascii_uppercase().into(),
                },
                usage: resource.usage,
                limit: resource.limit,
            };
            Some(Response::Quota(Quota {
                root: quota.root_name.as_bytes().into(),
                resources: quota.resources.into_iter().map(resource).collect(),
            }))
        }
        Parsed::QuotaRoot(root) => Some(Response::QuotaRoot(QuotaRoot {
            mailbox: root.mailbox_name.as_bytes().into(),
            roots: root
                .quota_root_names
                .iter()
                .map(|name| name.as_bytes().into())
                .collect(),
        })),
        _ => None,
    }
}

fn name(capability: Capability<'_>) -> String {
    match capability {
        Capability::Imap4rev1 => "IMAP4REV1".to_owned(),
        Capability::Auth(mechanism) => format!("AUTH={mechanism}"),
        Capability::Atom(atom) => atom.into_owned(),
    }
}
