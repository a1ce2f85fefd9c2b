//! What a server offers, and does not understand when it is used.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use crate::{
    session::Session,
    wire::{Status, StatusKind},
};

/// Something beyond RFC 3501 that a server may offer in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Feature {
    Id,
    Namespace,
    Enable,
    /// COMPRESS DEFLATE.
    Compress,
    /// LIST with return options (iCloud offers them and answers BAD).
    ListReturn,
    /// STATUS with more than RFC 3501 knows.
    StatusItems,
    /// SELECT and EXAMINE with CONDSTORE or QRESYNC.
    SelectParams,
    /// FETCH with CHANGEDSINCE.
    ChangedSince,
    /// SEARCH with RETURN.
    Esearch,
    /// FETCH of BINARY.
    Binary,
    /// GETQUOTAROOT.
    Quota,
    /// LIST with MYRIGHTS.
    ListRights,
    /// MYRIGHTS.
    Rights,
    /// GETMETADATA and SETMETADATA.
    Metadata,
    /// GETMETADATA with options.
    MetadataOptions,
}

impl Session {
    /// The server offers this, and nothing says that it does so in vain.
    pub(crate) fn offers(&self, capability: &str, feature: Feature) -> bool {
        self.can().has(capability) && !self.distrusts(feature)
    }
}

/// What was answered BAD, for all connections of one side: some servers hang up after a few of
/// them, so that nothing is tried twice.
#[derive(Debug, Default)]
pub(crate) struct Distrust(Mutex<BTreeSet<Feature>>);

impl Distrust {
    /// Remembers the answer to a command that used it.
    pub(crate) fn note(&self, feature: Feature, status: &Status) {
        if status.kind == StatusKind::Bad {
            self.add(feature);
        }
    }

    /// It is to be done without from now on.
    pub(crate) fn add(&self, feature: Feature) {
        if self.with(|features| features.insert(feature)) {
            tracing::info!(?feature, "the server does not understand what it offers");
        }
    }

    /// Whether it is to be done without.
    pub(crate) fn has(&self, feature: Feature) -> bool {
        self.with(|features| features.contains(&feature))
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeSet<Feature>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
