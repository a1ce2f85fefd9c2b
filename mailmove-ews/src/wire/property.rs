//! The extended (MAPI) properties that are read or written.

use mailmove_exchange::stamp;

use super::{tree::Element, write::Writer};

/// A MAPI property, by its tag or its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Property {
    /// `PR_MESSAGE_FLAGS`: 1 read, 8 unsent (a draft). Fixed when an item is made, but for 1.
    MessageFlags,
    /// `PR_MESSAGE_DELIVERY_TIME`.
    Delivered,
    /// `PR_CLIENT_SUBMIT_TIME`: when it was sent, by which Sent Items are sorted.
    Sent,
    /// `PR_FLAG_STATUS`: 1 complete, 2 flagged.
    FlagStatus,
    /// `PR_TODO_ITEM_FLAGS`: 1 for what is flagged.
    TodoFlags,
    /// `PR_LAST_VERB_EXECUTED`: 102 replied, 103 replied to all, 104 forwarded.
    LastVerb,
    /// `PR_ICON_INDEX`: 261 replied, 262 forwarded.
    Icon,
    /// `PidLidImapDeleted`.
    Deleted,
    /// `PR_TRANSPORT_MESSAGE_HEADERS`: the header as it came.
    Headers,
    /// `PR_SUBJECT`.
    Subject,
    /// `PR_INTERNET_MESSAGE_ID`.
    MessageId,
    /// `PR_START_DATE`.
    Start,
    /// `PR_END_DATE`.
    End,
    /// `PidLidGlobalObjectId`: which meeting it is.
    GlobalId,
    /// `PidLidFileUnder`: how a contact is sorted.
    FileUnder,
    /// What the message was made from, by us.
    Stamp,
    /// `PR_INTERNET_ARTICLE_NUMBER`: grows with each item that comes into a folder.
    ArticleNumber,
    /// `PR_ATTR_HIDDEN` of folders.
    Hidden,
    /// `PR_MESSAGE_SIZE_EXTENDED` of folders.
    FolderSize,
    /// `PR_LOCAL_COMMIT_TIME_MAX` of folders: when something in it was made or changed last.
    LastCommit,
    /// `PR_DELETED_COUNT_TOTAL` of folders: how many items ever left it.
    DeletedCount,
    /// `PR_CONTENT_UNREAD` of folders.
    Unread,
    /// `PR_PROHIBIT_RECEIVE_QUOTA` of a mailbox, in KB.
    ReceiveQuota,
}

impl Property {
    /// Attributes of its `ExtendedFieldURI`, without the type; and the type.
    fn parts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::MessageFlags => ("PropertyTag", "0x0E07", "Integer"),
            Self::Delivered => ("PropertyTag", "0x0E06", "SystemTime"),
            Self::Sent => ("PropertyTag", "0x0039", "SystemTime"),
            Self::FlagStatus => ("PropertyTag", "0x1090", "Integer"),
            Self::TodoFlags => ("PropertyTag", "0x0E2B", "Integer"),
            Self::LastVerb => ("PropertyTag", "0x1081", "Integer"),
            Self::Icon => ("PropertyTag", "0x1080", "Integer"),
            Self::Deleted => ("PropertyId", "34160", "Integer"),
            Self::Headers => ("PropertyTag", "0x007D", "String"),
            Self::Subject => ("PropertyTag", "0x0037", "String"),
            Self::MessageId => ("PropertyTag", "0x1035", "String"),
            Self::Start => ("PropertyTag", "0x0060", "SystemTime"),
            Self::End => ("PropertyTag", "0x0061", "SystemTime"),
            Self::GlobalId => ("PropertyId", "3", "Binary"),
            Self::FileUnder => ("PropertyId", "32773", "String"),
            Self::Stamp => ("PropertyName", stamp::NAME, "String"),
            Self::ArticleNumber => ("PropertyTag", "0x0E23", "Integer"),
            Self::Hidden => ("PropertyTag", "0x10F4", "Boolean"),
            Self::FolderSize => ("PropertyTag", "0x0E08", "Long"),
            Self::LastCommit => ("PropertyTag", "0x670A", "SystemTime"),
            Self::DeletedCount => ("PropertyTag", "0x670B", "Integer"),
            Self::Unread => ("PropertyTag", "0x3603", "Integer"),
            Self::ReceiveQuota => ("PropertyTag", "0x666A", "Integer"),
        }
    }

    fn set(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Deleted => Some(("DistinguishedPropertySetId", "Common")),
            Self::GlobalId => Some(("DistinguishedPropertySetId", "Meeting")),
            Self::FileUnder => Some(("DistinguishedPropertySetId", "Address")),
            Self::Stamp => Some(("PropertySetId", stamp::SET)),
            _ => None,
        }
    }

    /// Writes its `ExtendedFieldURI`.
    pub(crate) fn write(self, out: &mut Writer) {
        out.raw("<t:ExtendedFieldURI");
        let (name, value, kind) = self.parts();
        let own = [(name, value), ("PropertyType", kind)];
        for (name, value) in self.set().into_iter().chain(own) {
            out.raw(" ").raw(name).raw("=\"").text(value).raw("\"");
        }
        out.raw("/>");
    }

    /// Writes it with a value.
    pub(crate) fn write_value(self, out: &mut Writer, value: &str) {
        out.raw("<t:ExtendedProperty>");
        self.write(out);
        out.leaf("t:Value", value).raw("</t:ExtendedProperty>");
    }

    /// Whether an `ExtendedFieldURI` names it. Servers write tags in either case, and as `0xe07`.
    fn is_named(self, uri: &Element) -> bool {
        let (name, value, _) = self.parts();
        let Some(found) = uri.attribute(name) else {
            return false;
        };
        let same = match name {
            "PropertyTag" => tag(found).is_some_and(|found| Some(found) == tag(value)),
            _ => found == value,
        };
        let set = self.set().is_none_or(|(name, value)| {
            uri.attribute(name)
                .is_some_and(|found| found.eq_ignore_ascii_case(value))
        });
        same && set
    }

    /// Its value in an item or folder.
    #[must_use]
    pub fn of(self, item: &Element) -> Option<&str> {
        let mut all = item.all("ExtendedProperty");
        let found = all.find(|property| {
            property
                .child("ExtendedFieldURI")
                .is_some_and(|uri| self.is_named(uri))
        })?;
        found.text_of("Value")
    }

    /// Its value as a number.
    #[must_use]
    pub fn number(self, item: &Element) -> Option<i64> {
        self.of(item)?.parse().ok()
    }
}

/// A tag's number. Some servers write it in decimal.
fn tag(text: &str) -> Option<u32> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match hex {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tree::parse;

    #[test]
    fn values_are_found_by_tag_and_by_name() {
        let xml = "<a><ExtendedProperty><ExtendedFieldURI PropertyTag='0xe07' PropertyType='Integer'/>\
            <Value>1025</Value></ExtendedProperty><ExtendedProperty><ExtendedFieldURI \
            PropertySetId='00000000-3c0e-4b6b-9d5a-8e0c2f4b7a91' PropertyName='mailmove'/><Value>no</Value>\
            </ExtendedProperty><ExtendedProperty><ExtendedFieldURI \
            PropertySetId='6F1D7A52-3c0e-4b6b-9d5a-8e0c2f4b7a91' PropertyName='mailmove'/><Value>yes\
            </Value></ExtendedProperty></a>";
        let item = parse(xml.as_bytes()).unwrap();
        assert_eq!(Property::MessageFlags.number(&item), Some(1025));
        assert_eq!(Property::Stamp.of(&item), Some("yes"));
        assert_eq!(Property::Icon.of(&item), None);
    }
}
