//! Parts of the program `mailmove`, which is no library.
#![allow(
    dead_code,
    unused_imports,
    reason = "not all of each file is looked at"
)]

#[path = "../../examples/cli/src/output.rs"]
pub(crate) mod output;
#[path = "../../examples/cli/src/table.rs"]
pub(crate) mod table;
#[path = "../../examples/cli/src/url/mod.rs"]
pub(crate) mod url;
#[path = "../../examples/cli/src/value.rs"]
pub(crate) mod value;
