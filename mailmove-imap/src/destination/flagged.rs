//! `\Flagged` for servers that forget it at APPEND: set by STORE once the messages are there.

use std::{collections::HashMap, sync::Arc};

use futures_util::StreamExt as _;
use mailmove_core::{
    destination::{FlagChange, Outcome},
    model::{Flags, FolderId, MessageId, Slot, SystemFlag},
};

use super::{Inner, prepare::Ready, update};
use crate::generate::{self, generate};

/// Sets the flag on messages that were just stored, and reports them. They are stored whatever comes
/// of it: a flag that could not be set is left out, and the next pass finds it missing.
pub(super) async fn raise(
    inner: &Arc<Inner>,
    folder: &FolderId,
    stored: Vec<(Ready, Option<MessageId>)>,
    out: &generate::Out<(Slot, Outcome)>,
) {
    let mut flag = Flags::new();
    flag.insert(SystemFlag::Flagged);
    let changes: Vec<FlagChange> = stored
        .iter()
        .filter_map(|(_, id)| id.clone())
        .map(|id| FlagChange::new(id, flag.clone(), Flags::new()))
        .collect();
    let mut shown: HashMap<MessageId, bool> = HashMap::new();
    if !changes.is_empty() {
        let (inner, folder) = (Arc::clone(inner), folder.clone());
        let mut answers = generate(|out| async move {
            update::set_flags(&inner, &folder, changes, &out).await;
        });
        while let Some((id, outcome)) = answers.next().await {
            let set = match &outcome {
                Outcome::Stored(receipt) => {
                    let flags = receipt.flags.as_ref();
                    flags.is_some_and(|flags| flags.contains(SystemFlag::Flagged))
                }
                _ => false,
            };
            shown.insert(id, set);
        }
    }
    for (mut message, id) in stored {
        let set = id.as_ref().and_then(|id| shown.get(id)).copied();
        if set != Some(true) {
            message.lose(&flag);
        }
        let slot = message.slot;
        out.send((slot, Outcome::Stored(message.receipt(id)))).await;
    }
}
