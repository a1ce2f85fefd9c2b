//! Checks of what no compiler looks at.

pub(crate) mod dependencies;
pub(crate) mod licences;
mod metadata;
pub(crate) mod msrv;
pub(crate) mod paths;
mod spdx;
