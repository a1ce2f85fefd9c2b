//! From the wire's terms to the model's.

use mailmove_core::model::{
    Alteration, AlterationKind, Flags, Keyword, Listed, SystemFlag, Timestamp,
};

use crate::{
    error, ids,
    wire::{self, Fetch, InternalDate},
};

/// The flags that have a meaning elsewhere, and those left out. `\Recent` is neither: it is about
/// sessions, not about messages.
pub(super) fn flags(wire: &wire::Flags) -> (Flags, Vec<Alteration>) {
    let mut flags = Flags::new();
    for flag in wire.system() {
        if let Some(flag) = SystemFlag::parse(flag.as_str()) {
            flags.insert(flag);
        }
    }
    let mut lost = Vec::new();
    let all = wire.others();
    let beyond = all.len().saturating_sub(wire::Flags::MOST);
    for other in all.take(wire::Flags::MOST) {
        let keyword = std::str::from_utf8(other)
            .ok()
            .and_then(|text| Keyword::new(text).ok());
        match keyword {
            Some(keyword) => flags.insert_keyword(keyword),
            None => lost.push(Alteration::new(
                AlterationKind::FlagDropped,
                error::printable(&String::from_utf8_lossy(other)),
            )),
        }
    }
    if beyond > 0 {
        let detail = format!("{beyond} more");
        lost.push(Alteration::new(AlterationKind::FlagDropped, detail));
    }
    (flags, lost)
}

pub(super) fn timestamp(date: InternalDate) -> Timestamp {
    Timestamp::new(date.unix_seconds(), date.offset_minutes())
}

/// What a FETCH says of a message; header and content are added elsewhere.
pub(super) fn listed(validity: u32, uid: u32, fetch: &Fetch) -> Listed {
    let mut listed = Listed::new(ids::message_id(validity, uid));
    listed.flags_told = fetch.flags.is_some();
    if let Some(wire) = &fetch.flags {
        (listed.flags, listed.notes) = flags(wire);
    }
    let date = fetch
        .internal_date
        .as_ref()
        .and_then(wire::ServerDate::valid);
    listed.received = date.map(timestamp);
    listed.size = fetch.size;
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_flag_elsewhere_is_named() {
        let odd: [&[u8]; 7] = [
            b"\\Seen",
            b"\\recent",
            b"$Forwarded",
            b"\\XLater",
            b"caf\xe9",
            b"two words",
            b"\\FLAGGED",
        ];
        let (kept, lost) = flags(&odd.into_iter().collect());
        assert_eq!(kept, Flags::parse("\\Seen \\Flagged $Forwarded"));
        let lost: Vec<&str> = lost.iter().map(|note| note.detail.as_str()).collect();
        assert_eq!(lost, ["\\XLater", "caf\u{fffd}", "two words"]);
    }

    #[test]
    fn what_no_server_keeps_is_counted_and_not_gone_through() {
        let names: Vec<String> = (0..250_000).map(|n| format!("k{n:06}")).collect();
        let (kept, lost) = flags(&names.iter().map(String::as_bytes).collect());
        assert_eq!(kept.keywords().len(), wire::Flags::MOST);
        let lost: Vec<&str> = lost.iter().map(|note| note.detail.as_str()).collect();
        assert_eq!(lost, ["249000 more"]);
    }
}
