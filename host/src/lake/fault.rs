//! Named points on a batch's way at which builds for tests (the feature `faults`) can be told to
//! die, to fail or to wait, by `FAILPOINTS` as the crate `fail` reads it. Elsewhere a point is nothing.
//!
//! | point | is passed |
//! | --- | --- |
//! | `<table>.file` | when a data file is put, and nobody knows of it |
//! | `<table>.put` | before a version is put |
//! | `<table>.done` | when a version is put, before its writer goes on |
//! | `<table>.packed` | when small files are packed, before that is committed |
//! | `checkpoint`, `checkpoint.done` | around a checkpoint |
//! | `clean`, `clean.done` | around the log's clean-up |
//! | `catch-up.refreshed`, `.read-back`, `.judged`, `.gold` | while the later layers are brought up to date |
//! | `assigned`, `revoked`, `revoked.landed` | in a rebalance |
//!
//! A table is named without its tenant, as in `gold/daily_sales.put`. `return(die)` ends the process
//! at once, any other `return` is an error; `sleep(250)` waits.

use super::LakeError;

/// Passes a point of the table at a path.
///
/// # Errors
/// The one that a build for tests is told to make.
pub(super) fn point_of(table: &str, step: &str) -> Result<(), LakeError> {
    if cfg!(feature = "faults") {
        let table = table.split_once('/').map_or(table, |(_, table)| table);
        return point(&format!("{table}.{step}"));
    }
    Ok(())
}

/// Passes a point.
///
/// # Errors
/// The one that a build for tests is told to make.
#[cfg(feature = "faults")]
pub fn point(name: &str) -> Result<(), LakeError> {
    fail::fail_point!(name, |what| {
        if what.as_deref() == Some("die") {
            eprintln!("dies at {name}");
            std::process::abort();
        }
        Err(LakeError::store("pass", name, "an error (made up)"))
    });
    Ok(())
}

/// Passes a point.
///
/// # Errors
/// None, in a build like this.
#[cfg(not(feature = "faults"))]
pub fn point(_: &str) -> Result<(), LakeError> {
    Ok(())
}

/// Passes a point where nothing can fail: a build for tests may die or wait there.
pub fn pass(name: &str) {
    if let Err(error) = point(name) {
        tracing::warn!(%error, "nothing can fail here");
    }
}

/// A number that builds for tests take from the environment: what comes after thousands of versions
/// can then be had after dozens, and what comes after minutes after seconds.
#[cfg(feature = "faults")]
pub fn number(name: &str, otherwise: i64) -> i64 {
    let told = std::env::var(name).ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A number that only builds for tests take from elsewhere.
#[cfg(not(feature = "faults"))]
pub const fn number(_: &str, otherwise: i64) -> i64 {
    otherwise
}
