//! Reading a form of parts: a TOML with its components.

use axum::extract::Multipart;
use axum::extract::multipart::{Field, MultipartError};
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};

use super::MOST_STAGED_BYTES;
use super::error::ApiError;
use crate::pipeline::upload::{Upload, UploadError};
use crate::told::reason;

const HOW: &str = "send the TOML as `pipeline`, each file under the name that it has, and `why`";

/// What was sent, and why.
///
/// # Errors
/// A form that is none, is too large, or has parts that don't belong in it.
pub async fn sent(form: &mut Multipart) -> Result<(Upload, String), ApiError> {
    let mut upload = Upload::default();
    let mut why = String::new();
    let mut room = MOST_STAGED_BYTES;
    while let Some(mut part) = form.next_field().await.map_err(malformed)? {
        let bytes = read(&mut part, &mut room).await?;
        let (name, file) = (part.name().unwrap_or_default(), part.file_name());
        match (name, file.map(str::to_owned)) {
            ("pipeline", _) => upload.toml(text(bytes)?)?,
            ("why", None) => {
                let given = text(bytes)?;
                // It need not be said.
                if !given.trim().is_empty() {
                    why = reason(&given).map_err(|bad| ApiError::bad(bad, HOW))?;
                }
            }
            (_, Some(file)) => upload.file(&file, bytes)?,
            (name, None) => {
                let what = format!("there is no part {name:?} in this form");
                return Err(ApiError::bad(what, HOW));
            }
        }
    }
    Ok((upload, why))
}

/// Reads a form to its end, and keeps nothing of it: a client that is still sending would not hear why
/// it is refused.
pub async fn hear_out(form: &mut Multipart) {
    while let Ok(Some(mut part)) = form.next_field().await {
        while let Ok(Some(_)) = part.chunk().await {}
    }
}

async fn read(part: &mut Field<'_>, room: &mut usize) -> Result<Bytes, ApiError> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = part.chunk().await.map_err(malformed)? {
        let Some(left) = room.checked_sub(chunk.len()) else {
            let what = format!("the form has more than {} MiB", MOST_STAGED_BYTES >> 20);
            return Err(ApiError::too_large(what));
        };
        *room = left;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn text(bytes: Bytes) -> Result<String, ApiError> {
    String::from_utf8(bytes.into()).map_err(|_| ApiError::bad("a part is not UTF-8", HOW))
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
