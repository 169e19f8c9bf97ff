//! What a request says, which is looked at once it is known who asks.

use std::convert::Infallible;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize as _, Deserializer};

use super::error::ApiError;
use crate::told;

/// A body that may be none of what is wanted.
pub struct Sent<T>(Result<Json<T>, JsonRejection>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Infallible;

    async fn from_request(request: Request, state: &S) -> Result<Self, Infallible> {
        Ok(Self(Json::from_request(request, state).await))
    }
}

impl<T> Sent<T> {
    /// # Errors
    /// It is not what is wanted.
    pub fn read(self) -> Result<T, ApiError> {
        match self.0 {
            Ok(Json(body)) => Ok(body),
            Err(error) => Err(ApiError::of_framework(error.status(), error.body_text())),
        }
    }
}

/// Why something is done, as a person gives it.
///
/// # Errors
/// It says nothing, or more than a line.
pub fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let given = String::deserialize(deserializer)?;
    told::reason(&given).map_err(D::Error::custom)
}
