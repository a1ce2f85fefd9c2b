//! What is moved, in words that fit every mail system.

mod annotation;
mod capability;
mod content;
mod flags;
mod folder;
mod ids;
mod item;
mod quota;
mod rights;
mod time;

pub use annotation::{Annotation, Annotations, LONGEST_ANNOTATION, MOST_ANNOTATIONS};
pub use capability::{Batching, Capabilities, Endpoint, Naming};
pub(crate) use content::Body;
pub use content::{Content, ContentDigest, ContentReader};
pub use flags::{Flags, InvalidKeyword, Keyword, SystemFlag};
pub use folder::{Folder, FolderPath, FolderSpec, KeptFlags, Namespace, Role};
pub use ids::{CompactText, ContentId, Cursor, FolderId, JobId, Mark, MessageId, Slot, Token};
pub use item::{Alteration, AlterationKind, Form, ItemClass, Listed};
pub use quota::{Quota, Usage};
pub use rights::Rights;
pub use time::Timestamp;
