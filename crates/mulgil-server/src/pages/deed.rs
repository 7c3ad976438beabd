//! What changes something: a page that says exactly what is going to be done, and the form on it that does it.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use http_body_util::{BodyExt as _, Limited};
use mulgil_core::{codes, diagnostic::Diagnostic};
use mulgil_web::page;
use url::form_urlencoded;

use super::{
    Asked, NoPage, answer, number,
    port::{Fields, Performed, Wish},
    session,
};
use crate::{app::App, body};

/// The field that holds the token.
const TOKEN: &str = "token";
/// Fields that a form may have.
const FIELDS: usize = 300;

pub(super) async fn ask_run(State(app): State<Arc<App>>, Path(flow): Path<String>, request: Request) -> Response {
    ask(app, Ok(Wish::Run { flow }), request.into_parts().0).await
}

pub(super) async fn run(State(app): State<Arc<App>>, Path(flow): Path<String>, request: Request) -> Response {
    carry_out(app, Ok(Wish::Run { flow }), request).await
}

pub(super) async fn ask_cancel(State(app): State<Arc<App>>, Path(run): Path<String>, request: Request) -> Response {
    ask(app, cancel_of(&run), request.into_parts().0).await
}

pub(super) async fn cancel(State(app): State<Arc<App>>, Path(run): Path<String>, request: Request) -> Response {
    carry_out(app, cancel_of(&run), request).await
}

pub(super) async fn ask_backfill(State(app): State<Arc<App>>, Path(node): Path<String>, request: Request) -> Response {
    ask(app, Ok(Wish::Backfill { node }), request.into_parts().0).await
}

pub(super) async fn backfill(State(app): State<Arc<App>>, Path(node): Path<String>, request: Request) -> Response {
    carry_out(app, Ok(Wish::Backfill { node }), request).await
}

pub(super) async fn ask_flow_backfill(
    State(app): State<Arc<App>>,
    Path(flow): Path<String>,
    request: Request,
) -> Response {
    ask(app, Ok(flow_intervals(&flow)), request.into_parts().0).await
}

pub(super) async fn flow_backfill(State(app): State<Arc<App>>, Path(flow): Path<String>, request: Request) -> Response {
    carry_out(app, Ok(flow_intervals(&flow)), request).await
}

fn flow_intervals(flow: &str) -> Wish {
    Wish::Backfill {
        node: format!("flow:{flow}"),
    }
}

fn cancel_of(run: &str) -> Result<Wish, NoPage> {
    number(run).map(|run| Wish::Cancel { run })
}

/// Shows what is going to be done.
async fn ask(app: Arc<App>, wish: Result<Wish, NoPage>, mut parts: Parts) -> Response {
    // A browser that comes here first has no cookie, and a form is tied to one.
    let cookie = introduce(&mut parts);
    let asked = Asked::of(app, parts);
    let seen = async { asked.pages()?.preview(&wish?, &asked.query.fields()).await }.await;
    let mut response = asked.answer(seen, page::confirm);
    response
        .headers_mut()
        .extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    response
}

/// Gives a browser without a cookie one, for this request already.
fn introduce(parts: &mut Parts) -> Option<HeaderValue> {
    if session::id_of(parts).is_some() {
        return None;
    }
    let (_, cookie) = session::new_browser()?;
    let pair = cookie.to_str().ok()?.split(';').next()?.to_owned();
    parts.headers.append(header::COOKIE, HeaderValue::from_str(&pair).ok()?);
    Some(cookie)
}

/// Does what the form says, where it comes from a page of this server that was shown to this browser.
async fn carry_out(app: Arc<App>, wish: Result<Wish, NoPage>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let cookie = introduce(&mut parts);
    let limit = app.config.limits.body_bytes;
    let asked = Asked::of(app, parts);
    let mut response = match (asked.pages(), wish, fields(&asked.parts, body, limit).await) {
        (Ok(_), Ok(wish), Ok(fields)) => deed(&asked, &wish, fields).await,
        (Err(none), ..) | (_, Err(none), _) | (.., Err(none)) => asked.trouble(none),
    };
    response
        .headers_mut()
        .extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    response
}

async fn deed(asked: &Asked, wish: &Wish, mut fields: Fields) -> Response {
    let Ok(pages) = asked.pages() else {
        return asked.trouble(NoPage::Fault(crate::app::bug("the pages are gone")));
    };
    let token = fields.remove(TOKEN).unwrap_or_default();
    let browser = session::id_of(&asked.parts);
    let faults = if asked.app.is_stopping() {
        vec![*crate::verb_route::stopping()]
    } else if asked.app.sessions.is_token(browser.as_deref(), &token) {
        match pages.perform(wish, &fields).await {
            Ok(Performed::Done(address)) => return go_to(&address),
            Ok(Performed::Refused(faults)) => faults,
            Err(none) => return asked.trouble(none),
        }
    } else {
        vec![old_form()]
    };
    // What was filled in is shown again, with what is wrong and as things stand now.
    match pages.preview(wish, &fields).await {
        Ok(mut seen) => {
            seen.view.faults.splice(0..0, faults);
            let html = page::confirm(&asked.frame(seen.queries, seen.topics), &seen.view);
            answer::html(asked, StatusCode::UNPROCESSABLE_ENTITY, html)
        }
        Err(none) => asked.trouble(none),
    }
}

fn old_form() -> Diagnostic {
    Diagnostic::error(
        codes::FOREIGN_REQUEST,
        "the form was shown by an earlier start of the server, or not to this browser; nothing was done",
    )
    .with_remedy("read once more what is going to be done, and confirm it")
}

/// The next page after a deed; loading it again does nothing twice.
fn go_to(address: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(address) = HeaderValue::from_str(address) {
        response.headers_mut().insert(header::LOCATION, address);
    }
    response
}

/// The fields of a form.
async fn fields(parts: &Parts, sent: Body, limit: usize) -> Result<Fields, NoPage> {
    let kind = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(NoPage::Fault(body::bad("the request is no form of a page")));
    }
    let bytes = Limited::new(sent, limit).collect().await.map_err(|_| {
        let fault = Diagnostic::error(
            codes::REQUEST_TOO_LARGE,
            format!("the form did not arrive whole, or is larger than {limit} bytes"),
        );
        NoPage::Fault(Box::new(fault.with_remedy("send less at once")))
    })?;
    let all = form_urlencoded::parse(&bytes.to_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect::<Vec<_>>();
    if all.len() > FIELDS {
        return Err(NoPage::Fault(body::bad(&format!(
            "the form has more than {FIELDS} fields"
        ))));
    }
    Ok(all.into_iter().collect())
}
