//! What lakes say of their tenants, and why one does not begin to run.

use std::time::Duration;

use super::super::again;
use super::super::coordinate::Setback;
use super::roster::State;
use crate::control::JournalError;
use crate::control::standing::{Standings, Wanted};
use crate::lake::LakeError;
use crate::names::Tenant;

/// How long a lake may take to say which tenants are paused, while all others wait for it.
pub(super) const ANSWER: Duration = Duration::from_secs(3);

/// Why a host's tenant can't run.
#[derive(Debug, thiserror::Error)]
pub(super) enum BeginError {
    #[error("where it is paused or deleted can't be read: {0}")]
    Standing(#[from] JournalError),
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error("where it is paused or deleted can't be read: its lake did not answer within {} s", ANSWER.as_secs())]
    Silent,
}

impl BeginError {
    pub(super) fn setback(&self) -> Setback {
        match self {
            Self::Standing(JournalError::Lake(error)) | Self::Lake(error) => again::of_lake(error),
            Self::Silent => Setback::Later,
            Self::Standing(_) => Setback::Stop,
        }
    }
}

/// Reads what a lake says of its tenants. One that does not answer holds the others up for no longer
/// than this.
pub(super) async fn follow_in_time(standings: &mut Standings) -> Result<(), BeginError> {
    let followed = tokio::time::timeout(ANSWER, standings.refresh()).await;
    Ok(followed.map_err(|_| BeginError::Silent)??)
}

/// What a tenant is that is not to run.
pub(super) fn resting(standings: &Standings, tenant: &Tenant) -> Option<State> {
    let said = standings.of(tenant)?;
    let (by, why) = (said.by.clone(), said.why.clone());
    match said.wanted {
        Wanted::Running => None,
        Wanted::Paused => Some(State::Paused { by, why }),
        Wanted::Deleted => Some(State::Deleted { by }),
    }
}
