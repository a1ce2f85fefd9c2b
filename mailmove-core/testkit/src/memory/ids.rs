//! This adapter's own ways to write ids: unlike IMAP's, so that nobody reads them by accident.

use mailmove_core::model::{Cursor, FolderId, FolderPath, Mark, MessageId};

use crate::mailbox::{self, FolderInfo};

/// `mem:` and the escaped path. Names another folder after a rename, as IMAP's names do.
pub(super) fn folder_id(path: &FolderPath) -> FolderId {
    FolderId::format(format_args!("mem:{}", path.escaped()))
}

pub(super) fn folder_path(id: &FolderId) -> Option<FolderPath> {
    id.as_str().strip_prefix("mem:").map(FolderPath::parse)
}

/// Which folder it is and how it counts its messages: identity of a folder, epoch of its marks.
pub(super) fn epoch(info: &FolderInfo) -> String {
    format!("{}!{:x}", info.id, info.uid_validity)
}

/// A message of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id {
    pub(super) epoch: String,
    pub(super) uid: u32,
}

impl Id {
    pub(super) fn write(epoch: &str, uid: u32) -> MessageId {
        MessageId::format(format_args!("{uid:x}~{epoch}"))
    }

    pub(super) fn read(id: &MessageId) -> Option<Self> {
        let (uid, epoch) = id.as_str().split_once('~')?;
        let uid = u32::from_str_radix(uid, 16).ok()?;
        Some(Self {
            epoch: epoch.to_owned(),
            uid,
        })
    }
}

/// Where a listing continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The first message that was not listed yet.
    pub(super) next: u32,
    /// Changes after this modification sequence were not told yet.
    pub(super) modseq: u64,
    /// The first listing came to its end.
    pub(super) complete: bool,
}

impl Place {
    pub(super) fn write(self) -> Cursor {
        let state = if self.complete { "done" } else { "part" };
        Cursor::format(format_args!("m1 {state} {:x} {:x}", self.next, self.modseq))
    }

    pub(super) fn read(cursor: &Cursor) -> Option<Self> {
        let mut words = cursor.as_str().split(' ');
        if words.next() != Some("m1") {
            return None;
        }
        let complete = match words.next()? {
            "done" => true,
            "part" => false,
            _ => return None,
        };
        let next = u32::from_str_radix(words.next()?, 16).ok()?;
        let modseq = u64::from_str_radix(words.next()?, 16).ok()?;
        words.next().is_none().then_some(Self {
            next,
            modseq,
            complete,
        })
    }
}

/// A mark of a folder: counted, or such that only this adapter can read it.
pub(super) fn mark(info: &FolderInfo, counted: bool) -> Mark {
    let epoch = epoch(info);
    if counted {
        Mark::counted(epoch, u64::from(info.uid_next))
    } else {
        Mark::opaque(epoch, format!("from-{:x}", info.uid_next))
    }
}

/// The first message that a mark lets through.
pub(super) fn marked(mark: &Mark) -> Option<u32> {
    match (&mark.next, &mark.token) {
        (Some(next), _) => u32::try_from(*next).ok(),
        (None, Some(token)) => {
            let digits = token.as_str().strip_prefix("from-")?;
            u32::from_str_radix(digits, 16).ok()
        }
        (None, None) => None,
    }
}

/// The model's folder that an id names now.
pub(super) fn resolve(account: &mailbox::Account, id: &FolderId) -> Option<FolderInfo> {
    account.folder(folder_path(id)?.names()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cursors_and_marks_read_back() {
        let id = Id::write("F0001!f4241", 31);
        assert_eq!(
            Id::read(&id),
            Some(Id {
                epoch: "F0001!f4241".into(),
                uid: 31
            })
        );
        assert_eq!(Id::read(&MessageId::new("17")), None);
        for complete in [true, false] {
            let place = Place {
                next: 40,
                modseq: 77,
                complete,
            };
            assert_eq!(Place::read(&place.write()), Some(place));
        }
        assert_eq!(Place::read(&Cursor::new("m1 done 1")), None);
        assert_eq!(marked(&Mark::opaque("e", "from-1f")), Some(31));
        assert_eq!(marked(&Mark::counted("e", 31)), Some(31));
        let path = FolderPath::new(["a/b", "c\\"]);
        assert_eq!(folder_path(&folder_id(&path)), Some(path));
    }
}
