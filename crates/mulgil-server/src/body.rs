//! What a request carries: its body, its numbers, its parameters. Nothing is passed over.

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::Response,
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use mulgil_core::{codes, diagnostic::Diagnostic, port::Fault};
use url::form_urlencoded;

use crate::problem;

/// The bytes of a body that is JSON, or the answer that refuses it.
pub(crate) async fn json_bytes(parts: &Parts, body: Body, limit: usize) -> Result<Bytes, Box<Response>> {
    if !is_json(&parts.headers) {
        let fault = bad("the body of the request is not `application/json`");
        return Err(Box::new(problem::with_status(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            fault,
        )));
    }
    let too_large = || {
        let fault = Diagnostic::error(
            codes::REQUEST_TOO_LARGE,
            format!("the body of the request is larger than {limit} bytes"),
        );
        Box::new(problem::of(Box::new(fault.with_remedy("send less at once"))))
    };
    let length = parts.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large()),
        Err(_) => Err(Box::new(problem::of(bad(
            "the body of the request did not arrive whole",
        )))),
    }
}

/// A number in a path: digits alone.
pub(crate) fn number(text: &str) -> Result<i64, Fault> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .ok_or_else(|| bad(&format!("`{}` is no number", shown(text))))
}

/// The numbers of a query string, each known and at most once.
pub(crate) fn numbers<const N: usize>(parts: &Parts, known: [&str; N]) -> Result<[Option<u64>; N], Fault> {
    let mut found = [None; N];
    for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
        let place = known.iter().position(|known| *known == name);
        let Some(place) = place.filter(|place| found[*place].is_none()) else {
            return Err(bad(&format!(
                "the parameter `{}` is not known here, or stands twice",
                shown(&name)
            )));
        };
        let number = number(&value)?;
        found[place] = Some(number.unsigned_abs());
    }
    Ok(found)
}

/// A request that cannot be read.
pub(crate) fn bad(message: &str) -> Fault {
    let fault = Diagnostic::error(codes::BAD_REQUEST, message);
    Box::new(fault.with_remedy("`mulgil explain MG0042` shows how a request looks"))
}

/// What somebody sent, as far as a message may repeat it.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(40).collect()
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}
