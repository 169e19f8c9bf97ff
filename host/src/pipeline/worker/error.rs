//! What a person must act on.

use super::super::meter::Over;
use super::super::tenant::TenantError;
use crate::names::{Offset, Partition, Tenant};
use crate::source::SourceError;

/// Why a tenant's loop ended before it was told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    #[error("tenant {tenant}: {source}")]
    Tenant {
        tenant: Tenant,
        source: Box<TenantError>,
    },
    #[error("tenant {tenant}: {}{source}", .partition.as_ref().map(|p| format!("{p}: ")).unwrap_or_default())]
    Source {
        tenant: Tenant,
        partition: Option<Partition>,
        source: Box<SourceError>,
    },
    #[error(
        "tenant {tenant}: topic {topic} was deleted and made again (it was {before}, it is {now}); nothing of the new one was taken: if that is meant, say `assay source new-generation {tenant} {topic}`"
    )]
    OtherTopic {
        tenant: Tenant,
        topic: String,
        before: String,
        now: String,
    },
    #[error("tenant {tenant}: gave up after {waited} s: {text}")]
    NoAnswer {
        tenant: Tenant,
        waited: u64,
        text: String,
    },
    #[error(
        "tenant {tenant}: {partition} stood at offset {reached} for {waited} s, though {end} was its end at the start, and another member of the group has it: all that this host had is in gold; see why that member stands still, or run again"
    )]
    Others {
        tenant: Tenant,
        partition: Partition,
        reached: Offset,
        end: Offset,
        waited: u64,
    },
    #[error("tenant {tenant}: gave up after {tries} tries: {source}")]
    GaveUp {
        tenant: Tenant,
        tries: u32,
        source: Box<TenantError>,
    },
    #[error("tenant {tenant}: {over}")]
    OverQuota { tenant: Tenant, over: Over },
    #[error("tenant {tenant}: the source's columns: {source}")]
    Columns {
        tenant: Tenant,
        source: arrow::error::ArrowError,
    },
}
