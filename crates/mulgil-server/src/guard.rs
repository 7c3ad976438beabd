//! Who may ask what, decided before a route is looked for: a new route cannot forget it.
//!
//! A page in a browser on this machine can reach loopback. It cannot choose our Host (a name that is
//! pointed at loopback keeps its own), it says its Origin, and it has no token: each of the three alone
//! is enough, and all are asked for.

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, request::Parts};
use mulgil_core::{codes, diagnostic::Diagnostic, port::Fault};

use crate::{pages, token::Token};

/// What is answered without a token: exact paths, to be read only.
pub(crate) const OPEN: [&str; 4] = ["/livez", "/readyz", "/health", "/api/v2/monitor/health"];

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Nobody in particular.
    Anyone,
    /// Who presented the token.
    Bearer,
}

/// What is let in.
#[derive(Debug)]
pub(crate) struct Guard {
    token: Token,
    /// Names and addresses of this server, each with its port.
    hosts: Vec<String>,
    /// Whether it serves pages, which are read without the token.
    has_pages: bool,
}

impl Guard {
    /// For a server at an address.
    pub(crate) fn new(token: Token, address: SocketAddr, has_pages: bool) -> Self {
        let port = address.port();
        let mut hosts = vec![
            address.to_string(),
            format!("localhost:{port}"),
            format!("127.0.0.1:{port}"),
            format!("[::1]:{port}"),
        ];
        if port == 80 {
            hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned));
        }
        hosts.dedup();
        Self {
            token,
            hosts,
            has_pages,
        }
    }

    /// Says who asks, or refuses.
    pub(crate) fn admit(&self, request: &Parts) -> Result<Caller, Fault> {
        self.is_for_us(&request.uri, &request.headers)?;
        self.is_from_here(request)?;
        let caller = self.caller(&request.headers)?;
        let is_read = request.method == Method::GET || request.method == Method::HEAD;
        // Forms have a token of their own.
        let is_form = request.method == Method::POST && self.is_page(request);
        let is_open = is_form || (is_read && (OPEN.contains(&request.uri.path()) || self.is_page(request)));
        match caller {
            Ok(()) => Ok(Caller::Bearer),
            Err(_) if is_open => Ok(Caller::Anyone),
            Err(fault) => Err(fault),
        }
    }

    /// The proof for whoever wants to know that this is the server before it presents the token.
    pub(crate) fn proof(&self, address: SocketAddr, instance: &str, challenge: &str) -> String {
        self.token.proof(address, instance, challenge)
    }

    fn is_for_us(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Fault> {
        let named = |host: &str| self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host));
        let host = single(headers, &header::HOST);
        let is_ours = matches!(host, Single::One(host) if named(host))
            && uri.authority().is_none_or(|authority| named(authority.as_str()));
        if is_ours {
            return Ok(());
        }
        Err(foreign(
            "the request names another host than this server: its Host has to be the address that it listens at",
        ))
    }

    fn is_from_here(&self, request: &Parts) -> Result<(), Fault> {
        let origin = match single(&request.headers, &header::ORIGIN) {
            // A browser always says where a form comes from.
            Single::None => !(request.method == Method::POST && self.is_page(request)),
            Single::One(origin) => origin
                .strip_prefix("http://")
                .is_some_and(|host| self.hosts.iter().any(|ours| ours == host)),
            Single::Unclear => false,
        };
        if !origin {
            return Err(foreign("the request comes from a page of another origin"));
        }
        match single(&request.headers, &HeaderName::from_static("sec-fetch-site")) {
            Single::None | Single::One("same-origin" | "none") => Ok(()),
            // Somebody followed a link to a page, from a chat or a mail.
            Single::One("same-site" | "cross-site") if is_visit(request) && self.is_page(request) => Ok(()),
            Single::One(_) | Single::Unclear => Err(foreign("the request comes from a page of another site")),
        }
    }

    /// Whether somebody goes to an address to see a page there, be there one or not.
    pub(crate) fn seeks_page(&self, request: &Parts) -> bool {
        self.has_pages && is_visit(request)
    }

    fn is_page(&self, request: &Parts) -> bool {
        self.has_pages && pages::is_page(request.uri.path())
    }

    /// The inner result says whether the token was right; the outer one refuses what is unclear.
    fn caller(&self, headers: &HeaderMap) -> Result<Result<(), Fault>, Fault> {
        let presented = match single(headers, &header::AUTHORIZATION) {
            Single::None => None,
            Single::One(text) => text
                .split_once(' ')
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")),
            Single::Unclear => return Err(no_token("the request has more than one Authorization")),
        };
        Ok(match presented {
            Some((_, token)) if self.token.is(token.trim()) => Ok(()),
            Some(_) => Err(no_token("the token is not the one of this server")),
            None => Err(no_token("the request has no token")),
        })
    }
}

/// Puts on an answer what keeps a browser from doing more with it than showing it.
pub(crate) fn protect(headers: &mut HeaderMap) {
    let fixed = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Without any, forms would not say where they come from.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

/// Whether a browser goes to an address to show it, in a window of its own.
fn is_visit(request: &Parts) -> bool {
    let is = |name: &'static str, expected: &str| matches!(single(&request.headers, &HeaderName::from_static(name)), Single::One(value) if value == expected);
    request.method == Method::GET && is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document")
}

/// A header that may stand once.
enum Single<'a> {
    None,
    One(&'a str),
    /// More than once, or no text: two readers could take it for two things.
    Unclear,
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Single<'a> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Single::None,
        (Some(value), None) => value.to_str().map_or(Single::Unclear, Single::One),
        (Some(_), Some(_)) => Single::Unclear,
    }
}

fn foreign(message: &str) -> Fault {
    let fault = Diagnostic::error(codes::FOREIGN_REQUEST, message)
        .with_remedy("use the address that `mulgil serve` printed; pages of other sites cannot use this server");
    Box::new(fault)
}

fn no_token(message: &str) -> Fault {
    let fault = Diagnostic::error(codes::NO_TOKEN, message)
        .with_remedy("send `Authorization: Bearer` with the token in `<environment>.token` of the data folder");
    Box::new(fault)
}
