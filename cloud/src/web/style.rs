//! The one style sheet, under a path that changes with its content, so that it may be kept for ever.

use std::sync::LazyLock;

use axum::response::{IntoResponse as _, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

const TEXT: &str = include_str!("style.css");

static PATH: LazyLock<String> = LazyLock::new(|| {
    let digest = hex::encode(postern_kit::digest::sha256(TEXT.as_bytes()));
    // 64 bits tell versions of one file apart.
    format!("/style-{}.css", digest.get(..16).unwrap_or(&digest))
});

/// Where it is served.
pub(super) fn path() -> &'static str {
    &PATH
}

/// Serves it.
pub(super) async fn serve() -> Response {
    let kind = HeaderValue::from_static("text/css; charset=utf-8");
    let keep = HeaderValue::from_static("public, max-age=31536000, immutable");
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, keep)], TEXT).into_response()
}
