//! Cookies: how a reader wants pages, and the secret that ties a form to the browser that was shown it.
//!
//! A form carries a token made of the browser's cookie and of a secret that lives as long as the server:
//! another site can send a form here, but it can read neither, and a form of before the server's last start
//! is asked once more.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use mulgil_core::port::Fault;
use mulgil_web::look::{LOOK_COOKIE, Look};
use subtle::ConstantTimeEq as _;

use super::query::Query;
use crate::{app::App, random};

/// The cookie that says which browser this is; it says nothing about a person.
const BROWSER_COOKIE: &str = "mulgil_browser";
/// How long a browser keeps how its reader wants pages: a year.
const LOOK_SECONDS: u32 = 31_536_000;
/// Characters of an address to go back to.
const BACK_CHARS: usize = 2_000;

/// What ties forms to browsers, for one life of a server.
pub(crate) struct Sessions {
    secret: [u8; random::SECRET_BYTES],
}

impl Sessions {
    pub(crate) fn new() -> Result<Self, Fault> {
        random::secret().map(|secret| Self { secret })
    }

    /// The token for the forms of a browser; empty for one that has no cookie yet, which no form is taken with.
    pub(super) fn token(&self, browser: Option<&str>) -> String {
        browser.map_or_else(String::new, |browser| {
            blake3::keyed_hash(&self.secret, browser.as_bytes())
                .to_hex()
                .to_string()
        })
    }

    /// Whether a form was made for this browser.
    pub(super) fn is_token(&self, browser: Option<&str>, presented: &str) -> bool {
        let right = self.token(browser);
        !right.is_empty() && right.as_bytes().ct_eq(presented.as_bytes()).into()
    }
}

/// How the reader wants pages.
pub(super) fn look_of(parts: &Parts) -> Look {
    let languages = parts.headers.get(header::ACCEPT_LANGUAGE);
    let languages = languages.and_then(|value| value.to_str().ok()).unwrap_or_default();
    Look::of(&cookies(parts), languages)
}

/// Which browser this is, where it said so.
pub(super) fn id_of(parts: &Parts) -> Option<String> {
    let all = cookies(parts);
    let found = all.split(';').find_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == BROWSER_COOKIE).then(|| value.to_owned())
    });
    found.filter(|id| random::from_hex(id).is_some())
}

/// The cookie for a browser that has none.
pub(super) fn new_browser() -> Option<(String, HeaderValue)> {
    let id = random::hex(&random::secret().ok()?);
    let cookie = format!("{BROWSER_COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax");
    HeaderValue::from_str(&cookie).ok().map(|cookie| (id, cookie))
}

/// `GET /look?lang=ko&back=/`: remembers how pages are wanted, and goes back.
pub(super) async fn look(State(_): State<Arc<App>>, request: Request) -> Response {
    let parts = request.into_parts().0;
    let query = Query::of(&parts);
    let mut look = look_of(&parts);
    for (name, value) in query.fields() {
        look.set(&name, &value);
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    let back = query.text("back").filter(|back| is_ours(back)).unwrap_or("/");
    if let Ok(back) = HeaderValue::from_str(back) {
        headers.insert(header::LOCATION, back);
    }
    let cookie = format!(
        "{LOOK_COOKIE}={}; Path=/; Max-Age={LOOK_SECONDS}; SameSite=Lax",
        look.cookie()
    );
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.append(header::SET_COOKIE, cookie);
    }
    response
}

/// Whether an address leads to this server: `//host` and `/\host` do not.
fn is_ours(back: &str) -> bool {
    back.len() <= BACK_CHARS
        && back.starts_with('/')
        && !back.starts_with("//")
        && back.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

fn cookies(parts: &Parts) -> String {
    let all = parts.headers.get_all(header::COOKIE).iter();
    all.filter_map(|value| value.to_str().ok())
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_taken_from_the_browser_that_was_shown_it() {
        let sessions = Sessions::new().unwrap();
        let token = sessions.token(Some("one"));
        assert!(sessions.is_token(Some("one"), &token));
        assert!(!sessions.is_token(Some("another"), &token));
        assert!(!sessions.is_token(None, &token));
        assert!(!sessions.is_token(None, ""));
        assert!(!Sessions::new().unwrap().is_token(Some("one"), &token));
    }

    #[test]
    fn one_goes_back_to_addresses_of_this_server_alone() {
        for ours in ["/", "/flows/daily?order=start", "/why/reads_daily@2026-11-20"] {
            assert!(is_ours(ours), "{ours}");
        }
        for foreign in [
            "//example.org",
            "https://example.org",
            "/\\example.org",
            "",
            "/a\r\nb",
            "javascript:x",
        ] {
            assert!(!is_ours(foreign), "{foreign}");
        }
    }
}
