//! The page for people: one file, with nothing from anywhere else.

use axum::http::{HeaderName, header};
use axum::response::IntoResponse;

const PAGE: &str = include_str!("page.html");

/// The page asks this server alone, runs only what stands in it, and can't be framed.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub async fn page() -> impl IntoResponse {
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE)
}
