//! Pages and assets on their way: compressed, with what lets a browser keep them.

use std::{io::Write as _, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use mulgil_core::{codes, diagnostic::Diagnostic};
use mulgil_web::asset;

use super::{Asked, session};
use crate::{app::App, problem};

/// What is smaller is sent as it is.
const WORTH_BYTES: usize = 1_400;
/// How hard a page is compressed: a page of 500 KB in about 3 ms.
const EFFORT: u32 = 4;
/// What of a page differs each time it is asked for begins here.
const FOOT: &str = "<footer";

/// A page.
pub(super) fn html(asked: &Asked, status: StatusCode, html: String) -> Response {
    let said = html.find(FOOT).map_or(html.as_str(), |foot| &html[..foot]);
    let tag = format!("\"{}\"", &blake3::hash(said.as_bytes()).to_hex()[..32]);
    if status == StatusCode::OK && is_known(&asked.parts.headers, &tag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        mark(response.headers_mut(), &tag);
        return response;
    }
    let mut response = compressed(&asked.parts.headers, html.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    mark(headers, &tag);
    if session::id_of(&asked.parts).is_none()
        && let Some((_, cookie)) = session::new_browser()
    {
        headers.append(header::SET_COOKIE, cookie);
    }
    response
}

/// `GET /assets/NAME`: a file of the pages; its name holds the fingerprint of what is in it.
pub(super) async fn asset(State(_): State<Arc<App>>, Path(name): Path<String>, request: Request) -> Response {
    let Some(found) = asset::find(&name) else {
        let fault = Diagnostic::error(codes::NO_SUCH_ADDRESS, "there is no such file of the pages")
            .with_remedy("load the page again: it is of an older version of the program");
        return problem::with_status(StatusCode::NOT_FOUND, fault);
    };
    let mut response = compressed(request.headers(), Bytes::from_static(found.bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(found.content_type));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    response
}

/// A body, compressed where its reader takes that.
pub(super) fn compressed(asked: &HeaderMap, bytes: Bytes) -> Response {
    let takes = asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let takes = takes.is_some_and(|value| {
        value
            .split(',')
            .any(|word| word.trim().split(';').next() == Some("gzip"))
    });
    let packed = (takes && bytes.len() >= WORTH_BYTES).then(|| gzip(&bytes)).flatten();
    let is_packed = packed.is_some();
    let mut response = Response::new(Body::from(packed.map_or(bytes, Bytes::from)));
    let headers = response.headers_mut();
    headers.insert(
        header::VARY,
        HeaderValue::from_static("accept-encoding, cookie, accept-language"),
    );
    if is_packed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::new(EFFORT));
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| {
        known
            .split(',')
            .any(|known| known.trim().trim_start_matches("W/") == tag)
    })
}

/// Asked for again each time, and sent only where it is another.
fn mark(headers: &mut HeaderMap, tag: &str) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    let weak = HeaderValue::from_str(&format!("W/{tag}"));
    if let Ok(tag) = weak {
        headers.insert(header::ETAG, tag);
    }
}

/// A header of our own.
pub(super) fn named(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
