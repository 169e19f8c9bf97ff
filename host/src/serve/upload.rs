//! Reading a form of parts: a TOML with its components.

use axum::extract::Multipart;
use axum::extract::multipart::MultipartError;
use axum::http::StatusCode;

use super::error::ApiError;
use crate::pipeline::upload::{Upload, UploadError};
use crate::told::reason;

const HOW: &str = "send the TOML as `pipeline`, each file under the name that it has, and `why`";

/// What was sent, and why.
///
/// # Errors
/// A form that is none, is too large, or has parts that don't belong in it.
pub async fn sent(mut form: Multipart) -> Result<(Upload, String), ApiError> {
    let mut upload = Upload::default();
    let mut why = String::new();
    while let Some(part) = form.next_field().await.map_err(malformed)? {
        let (name, file) = (part.name().unwrap_or_default(), part.file_name());
        match (name, file.map(str::to_owned)) {
            ("pipeline", _) => upload.toml(part.text().await.map_err(malformed)?)?,
            ("why", None) => {
                let given = part.text().await.map_err(malformed)?;
                // It need not be said.
                if !given.trim().is_empty() {
                    why = reason(&given).map_err(|bad| ApiError::bad(bad, HOW))?;
                }
            }
            (_, Some(file)) => upload.file(&file, part.bytes().await.map_err(malformed)?)?,
            (name, None) => {
                let what = format!("there is no part {name:?} in this form");
                return Err(ApiError::bad(what, HOW));
            }
        }
    }
    Ok((upload, why))
}

fn malformed(error: MultipartError) -> ApiError {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(error.body_text()),
        _ => ApiError::bad(error.body_text(), HOW),
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Config(error) => {
                // Where it lies here is nobody's business.
                let text = error.to_string();
                let at = text.find("pipeline.toml").unwrap_or_default();
                let text = text.get(at..).unwrap_or_default().to_owned();
                Self::unfit(text, "mend the TOML and send it again")
            }
            error => Self::unfit(error.to_string(), HOW),
        }
    }
}
