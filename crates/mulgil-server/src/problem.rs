//! Faults as HTTP answers: `application/problem+json` (RFC 9457) with the code, the place and what to
//! do, so that the command line gets back the very diagnostic.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use mulgil_core::{
    codes,
    diagnostic::{Code, Diagnostic},
    port::Fault,
};
use serde::{Deserialize, Serialize};

use crate::control::Refusal;

/// The media type of a fault.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// The body of a fault.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    pub(crate) status: u16,
    detail: String,
    #[serde(flatten)]
    fault: Diagnostic,
    /// The faults that are known besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<Diagnostic>,
}

impl Problem {
    /// What it was made of.
    pub(crate) fn into_refusal(self) -> Refusal {
        Refusal {
            fault: Box::new(self.fault),
            others: self.others,
        }
    }
}

/// The answer that tells a fault.
pub(crate) fn of(fault: Fault) -> Response {
    of_refusal(Refusal::from(fault))
}

/// The answer that tells all faults of a refusal.
pub(crate) fn of_refusal(refusal: Refusal) -> Response {
    with_status(status(refusal.fault.code), refusal)
}

/// The answer with a status that is more to the point than the one of the code's group.
pub(crate) fn with_status(status: StatusCode, refusal: impl Into<Refusal>) -> Response {
    let refusal = refusal.into();
    let code = refusal.fault.code;
    let problem = Problem {
        kind: format!("urn:mulgil:error:{code}"),
        title: status.canonical_reason().unwrap_or("Error").to_owned(),
        status: status.as_u16(),
        detail: refusal.fault.message.clone(),
        fault: *refusal.fault,
        others: refusal.others,
    };
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if code == codes::NO_TOKEN {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if code == codes::SERVER_BUSY {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The status of a code: of the code itself where HTTP has a word for it, else of its group.
pub(crate) fn status(code: Code) -> StatusCode {
    match code {
        codes::NOT_FOUND | codes::NO_SUCH_ADDRESS => StatusCode::NOT_FOUND,
        codes::NO_TOKEN => StatusCode::UNAUTHORIZED,
        codes::FOREIGN_REQUEST => StatusCode::FORBIDDEN,
        codes::REQUEST_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
        codes::REQUEST_TOO_SLOW => StatusCode::REQUEST_TIMEOUT,
        codes::DATA_HELD | codes::CLAIM_HELD | codes::CLAIM_STALE => StatusCode::CONFLICT,
        Code(code) => match code / 1000 {
            0 => StatusCode::BAD_REQUEST,
            1 | 3 => StatusCode::UNPROCESSABLE_ENTITY,
            2 => StatusCode::BAD_GATEWAY,
            4 => StatusCode::CONFLICT,
            5 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
    }
}

#[cfg(test)]
mod tests {
    use mulgil_core::diagnostic::Place;

    use super::*;

    #[test]
    fn the_status_follows_from_the_group() {
        let of = |code| status(code).as_u16();
        assert_eq!(of(codes::USAGE), 400);
        assert_eq!(of(codes::NOT_FOUND), 404);
        assert_eq!(of(codes::CYCLE), 422);
        assert_eq!(of(codes::STORE_DENIED), 502);
        assert_eq!(of(codes::SQL_FAILED), 422);
        assert_eq!(of(codes::FENCED), 409);
        assert_eq!(of(codes::DATA_HELD), 409);
        assert_eq!(of(codes::DISK_FULL), 503);
        assert_eq!(of(codes::BUG), 500);
        for (code, name) in codes::ALL {
            assert!(of(*code) >= 400, "{name}");
        }
    }

    #[test]
    fn a_diagnostic_comes_back_as_it_was() {
        let fault = Diagnostic::error(codes::UNKNOWN_REF, "there is no `orderz`")
            .at(Place::at("models/a.sql", 3, 19))
            .with_related(Place::file("models/b.sql"), "here too")
            .with_remedy("write `orders`");
        let other = Diagnostic::warning(codes::BAD_CRON, "and this");
        let problem = Problem {
            kind: "urn:mulgil:error:MG1104".to_owned(),
            title: "Unprocessable Entity".to_owned(),
            status: 422,
            detail: fault.message.clone(),
            fault: fault.clone(),
            others: vec![other.clone()],
        };
        let text = serde_json::to_string(&problem).unwrap();
        let back: Problem = serde_json::from_str(&text).unwrap();
        assert_eq!(back.into_refusal().into_all(), vec![fault, other]);
    }
}
