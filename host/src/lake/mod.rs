//! Delta tables: reading and committing. The only place that names deltalake.
//!
//! ```text
//!  Lake ──► Table (the tail of one log) ──► FileWriter ──► files nobody sees yet
//!             │  ▲                                             │
//!             │  └───────────── commit ◄───────────────────────┘
//!             └──► FileReader, Maintenance, Compaction
//! ```
//!
//! A commit costs the same however long the log and however many the files: the tail is kept in
//! memory and read on, one version at a time. Nothing on that path lists the log.

mod action;
mod checkpoint;
mod cloud;
mod columns;
mod commit;
mod compact;
mod disk;
mod encode;
mod error;
pub mod fault;
mod file;
mod log;
mod maintain;
mod path;
mod protocol;
mod read;
mod repair;
mod state;
mod stats;
mod store;
#[cfg(any(test, feature = "faults"))]
mod storm;
mod table;
#[cfg(test)]
mod tests;
mod tombstones;
mod write;

pub use cloud::is_object_store;
pub use commit::{Commit, CommitError, Committed, Move};
pub use compact::{Compaction, Packed, Replaced};
pub use error::LakeError;
pub use file::{Bound, File, PartitionValues};
pub use maintain::{Maintained, Maintenance};
pub use path::{partition_value_fits, partition_value_of};
pub use read::FileReader;
pub use repair::{Damage, Torn};
pub use state::{Seen, Transaction};
pub use store::{Lake, LakeOptions};
pub use table::{Table, TableSpec};
pub use write::{FileWriter, Packing};
