//! What a message's header says that Exchange is told beside the message.

use mailmove_exchange::{date::format_date, header::Said};

use crate::wire::{Field, Property};

/// Fields of a new item, from the header of its message. A draft was never sent.
pub(crate) fn fields(header: &[u8], draft: bool) -> Vec<Field> {
    let said = Said::read(header);
    let sent = said.sent.filter(|_| !draft);
    let sent = sent.map(|at| Field::Extended(Property::Sent, format_date(at)));
    let importance = said.importance.map(Field::Importance);
    importance.into_iter().chain(sent).collect()
}

#[cfg(test)]
mod tests {
    use mailmove_exchange::header::Importance;

    use super::*;

    #[test]
    fn a_header_says_when_and_how_important_but_of_drafts() {
        let header = "Date: Tue, 1 Jul 2003 10:52:37 +0200\r\nX-Priority: 1\r\n";
        let high = Field::Importance(Importance::High);
        let sent = Field::Extended(Property::Sent, "2003-07-01T08:52:37Z".to_owned());
        assert_eq!(fields(header.as_bytes(), false), [high.clone(), sent]);
        assert_eq!(fields(header.as_bytes(), true), [high]);
    }
}
