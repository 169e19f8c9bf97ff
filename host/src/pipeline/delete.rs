//! Deleting a tenant: its tables, blobs and rule sets. What was done stays in the lake's own audit.

use std::time::Duration;

use crate::control::JournalError;
use crate::control::standing::{Standings, Wanted};
use crate::environment::now;
use crate::lake::{Lake, LakeError};
use crate::names::Tenant;

/// How long a tenant must have been paused: hosts look every second, and then commit what they took
/// in, for which a host that is told to end has 8 seconds.
pub const SETTLED: Duration = Duration::from_secs(15);

/// Why a tenant was not deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteError {
    #[error(
        "tenant {tenant} is to run, so hosts may be writing its tables: say `assay tenant pause {tenant}` first"
    )]
    Runs { tenant: Tenant },
    #[error(
        "tenant {tenant} was paused {paused} s ago, and hosts may still be committing what they took in: try again in {left} s"
    )]
    TooSoon {
        tenant: Tenant,
        paused: u64,
        left: u64,
    },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(
        "not everything of tenant {tenant} is gone, and it is not to run any more: delete it again: {source}"
    )]
    Lake { tenant: Tenant, source: LakeError },
}

/// Deletes everything of a tenant that was paused. Answers with how many objects went. A tenant
/// whose deletion was cut short can be deleted again.
///
/// # Errors
/// A tenant that is not paused, or only just, or a lake that does not answer.
pub async fn delete(lake: &Lake, tenant: &Tenant, by: &str, why: &str) -> Result<u64, DeleteError> {
    let mut standings = Standings::new(lake);
    standings.refresh().await?;
    let said = standings.of(tenant);
    match said.map(|said| (said.wanted, said.at)) {
        Some((Wanted::Deleted, _)) => {}
        Some((Wanted::Paused, at)) => {
            let paused = u64::try_from((now() - at) / 1_000_000).unwrap_or_default();
            if paused < SETTLED.as_secs() {
                return Err(DeleteError::TooSoon {
                    tenant: tenant.clone(),
                    paused,
                    left: SETTLED.as_secs() - paused,
                });
            }
        }
        Some((Wanted::Running, _)) | None => {
            let tenant = tenant.clone();
            return Err(DeleteError::Runs { tenant });
        }
    }
    // Said first: no host begins with tables that are going.
    standings.say(tenant, Wanted::Deleted, by, why).await?;
    let gone = lake.remove_folder(tenant.as_str()).await;
    gone.map_err(|source| DeleteError::Lake {
        tenant: tenant.clone(),
        source,
    })
}
