//! Every address of the server, in one table.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
    routing::{self, MethodRouter},
};
use mulgil_core::{codes, diagnostic::Diagnostic};

use crate::{app::App, guard, health, log_route, metrics, pages, problem, streams, verb::Target, verb_route};

/// An address of the server, as its documentation and its tests list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// How it is asked.
    pub method: Method,
    /// Where; `{id}` stands for a number.
    pub path: &'static str,
    /// Whether anyone may ask, without the token.
    pub is_open: bool,
}

pub(crate) type Routes = Vec<(Method, &'static str, MethodRouter<Arc<App>>)>;

/// Every address but those of pages, which people find by links.
pub fn routes() -> Vec<RouteInfo> {
    let info = |(method, path, _): (Method, &'static str, _)| RouteInfo {
        is_open: method == Method::GET && guard::OPEN.contains(&path),
        method,
        path,
    };
    table().into_iter().map(info).collect()
}

/// What finds the answer to a request that was let in.
pub(crate) fn router(app: Arc<App>) -> Router {
    let pages = app.pages.is_some().then(pages::table).unwrap_or_default();
    table()
        .into_iter()
        .chain(pages)
        .fold(Router::new(), |router, (_, path, method)| router.route(path, method))
        .fallback(async |State(app): State<Arc<App>>, request: Request| {
            let (parts, _) = request.into_parts();
            if app.guard.seeks_page(&parts) {
                pages::nowhere(app, parts)
            } else {
                no_such_address(StatusCode::NOT_FOUND, "the server has no such address")
            }
        })
        .method_not_allowed_fallback(async || {
            no_such_address(
                StatusCode::METHOD_NOT_ALLOWED,
                "the server does not take this method at this address",
            )
        })
        .with_state(app)
}

fn table() -> Routes {
    let get = |path, handler| (Method::GET, path, handler);
    vec![
        get("/livez", routing::get(async || health::live())),
        get(
            "/readyz",
            routing::get(async |State(app): State<Arc<App>>, request: Request| {
                health::ready(&app, &request.into_parts().0).await
            }),
        ),
        get("/health", routing::get(health)),
        get("/api/v2/monitor/health", routing::get(health)),
        get(
            "/metrics",
            routing::get(async |State(app): State<Arc<App>>| measurements(&app).await),
        ),
        (Method::POST, "/api/v1/verbs", routing::post(verb_route::perform)),
        get(
            "/api/v1/runs/{id}/events",
            routing::get(
                async |State(app): State<Arc<App>>, Path(id): Path<String>, request: Request| {
                    streams::events(&app, &id, Target::Run, &request.into_parts().0).await
                },
            ),
        ),
        get(
            "/api/v1/backfills/{id}/events",
            routing::get(
                async |State(app): State<Arc<App>>, Path(id): Path<String>, request: Request| {
                    streams::events(&app, &id, Target::Backfill, &request.into_parts().0).await
                },
            ),
        ),
        get("/api/v1/attempts/{id}/log", routing::get(log_route::tail)),
    ]
}

async fn health(State(app): State<Arc<App>>, request: Request) -> Response {
    health::health(&app, &request.into_parts().0).await
}

async fn measurements(app: &App) -> Response {
    let mut all = app.control.metrics().await;
    all.extend(app.counts.metrics());
    let mut response = Response::new(metrics::text(&all).into());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn no_such_address(status: StatusCode, message: &str) -> Response {
    let fault = Diagnostic::error(codes::NO_SUCH_ADDRESS, message)
        .with_remedy("look whether the server is of the version that you expect: every answer names it");
    problem::with_status(status, fault)
}
