//! The pages: addresses that a browser asks for, from the request to HTML. What they tell comes from
//! [`Pages`], how they look from `mulgil_web`; here are cookies, compression, forms and the event stream.

mod answer;
mod deed;
mod log;
mod port;
mod query;
mod session;
mod stream;

use std::{
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use axum::{
    extract::{Path, Request, State},
    http::{Method, StatusCode, request::Parts},
    response::Response,
    routing::{self, MethodRouter},
};
use mulgil_core::{codes, diagnostic::Diagnostic};
use mulgil_web::{
    look::Look,
    page,
    view::{self, Frame},
};

pub use self::port::{
    Fields, FlowQuery, HEALTH_TOPIC, ListQuery, LogQuery, NoPage, Page, Pages, Performed, RunQuery, Seen, Site,
    TableQuery, WholeLog, Wish,
};
use self::query::Query;
pub(crate) use self::session::Sessions;
use crate::{app::App, routes::Routes};

/// First parts of the addresses of pages and of what belongs to them. Whoever may reach this machine's
/// loopback may read them; nothing but a form with its token changes anything.
const PLACES: [&str; 8] = ["", "flows", "runs", "tables", "why", "assets", "events", "look"];

/// Whether an address is that of a page.
pub(crate) fn is_page(path: &str) -> bool {
    let first = path
        .strip_prefix('/')
        .map(|rest| rest.split_once('/').unwrap_or((rest, "-")));
    first.is_some_and(|(first, rest)| PLACES.contains(&first) && (!first.is_empty() || rest == "-"))
}

/// The pages and what belongs to them.
pub(crate) fn table() -> Routes {
    let get = |path, handler: MethodRouter<Arc<App>>| (Method::GET, path, handler);
    let post = |path, handler: MethodRouter<Arc<App>>| (Method::POST, path, handler);
    vec![
        get("/", routing::get(today)),
        get("/flows", routing::get(flows)),
        get("/flows/{name}", routing::get(flow)),
        get("/flows/{name}/run", routing::get(deed::ask_run)),
        post("/flows/{name}/run", routing::post(deed::run)),
        get("/flows/{name}/backfill", routing::get(deed::ask_flow_backfill)),
        post("/flows/{name}/backfill", routing::post(deed::flow_backfill)),
        get("/runs", routing::get(runs)),
        get("/runs/{run}", routing::get(run)),
        get("/runs/{run}/cancel", routing::get(deed::ask_cancel)),
        post("/runs/{run}/cancel", routing::post(deed::cancel)),
        get("/runs/{run}/tasks/{task}/attempts/{number}", routing::get(log::attempt)),
        get("/runs/{run}/tasks/{task}/attempts/{number}/log", routing::get(log::log)),
        get("/tables", routing::get(tables)),
        get("/tables/{name}", routing::get(one_table)),
        get("/tables/{name}/backfill", routing::get(deed::ask_backfill)),
        post("/tables/{name}/backfill", routing::post(deed::backfill)),
        get("/why/{*target}", routing::get(why)),
        get("/assets/{name}", routing::get(answer::asset)),
        get("/look", routing::get(session::look)),
        get("/events", routing::get(stream::events)),
    ]
}

/// One request for a page, with all that an answer to it needs.
pub(crate) struct Asked {
    app: Arc<App>,
    parts: Parts,
    query: Query,
    look: Look,
    /// What was the newest before anything was read.
    serial: u64,
    began: Clock,
}

impl Asked {
    /// A request, and what will show it; the answer that there are no pages where none are served.
    fn of(app: Arc<App>, parts: Parts) -> Self {
        let query = Query::of(&parts);
        let look = session::look_of(&parts);
        let serial = app.pages.as_ref().map_or(0, |pages| pages.serial());
        Self {
            app,
            parts,
            query,
            look,
            serial,
            began: Clock::now(),
        }
    }

    fn pages(&self) -> Result<Arc<dyn Pages>, NoPage> {
        self.app.pages.clone().ok_or_else(|| {
            let fault = Diagnostic::error(codes::NO_SUCH_ADDRESS, "this server has no pages");
            NoPage::Fault(Box::new(
                fault.with_remedy("ask the server of `mulgil serve` or `mulgil dev`"),
            ))
        })
    }

    fn frame(&self, queries: u32, mut topics: Vec<String>) -> Frame {
        // What lives on a page shows in its bar how the server is.
        if !topics.is_empty() {
            topics.push(HEALTH_TOPIC.to_owned());
        }
        let site = self.app.pages.as_ref().map(|pages| pages.site());
        let site = site.unwrap_or_else(Site::nameless);
        Frame {
            project: site.project,
            environment: site.environment,
            look: self.look.clone(),
            zone: site.zone,
            now: (self.app.config.clock)(),
            address: self
                .parts
                .uri
                .path_and_query()
                .map_or_else(String::new, |address| address.as_str().to_owned()),
            health: site.health,
            faults: site.faults,
            queries,
            took: self.began.elapsed().max(Duration::from_micros(1)),
            serial: self.serial,
            topics,
            token: self.app.sessions.token(session::id_of(&self.parts).as_deref()),
        }
    }

    /// The answer: the page, or the page that says why there is none.
    fn answer<T>(&self, page: Page<T>, draw: impl FnOnce(&Frame, &T) -> String) -> Response {
        match page {
            Ok(seen) => {
                let html = draw(&self.frame(seen.queries, seen.topics), &seen.view);
                answer::html(self, StatusCode::OK, html)
            }
            Err(no_page) => self.trouble(no_page),
        }
    }

    fn trouble(&self, no_page: NoPage) -> Response {
        let (status, fault, near) = match no_page {
            NoPage::NotFound { fault, near } => (StatusCode::NOT_FOUND, fault, near),
            NoPage::Fault(fault) => (crate::problem::status(fault.code), fault, Vec::new()),
        };
        let trouble = view::list::Trouble {
            faults: vec![*fault],
            near,
        };
        let html = page::trouble(&self.frame(0, Vec::new()), &trouble);
        answer::html(self, status, html)
    }
}

/// The page that says that there is none at this address.
pub(crate) fn nowhere(app: Arc<App>, parts: Parts) -> Response {
    let message = format!("there is no page at `{}`", crate::body::shown(parts.uri.path()));
    let fault = Diagnostic::error(codes::NO_SUCH_ADDRESS, message)
        .with_remedy("begin at one of the four places of the menu; what is no page needs the server's token");
    Asked::of(app, parts).trouble(NoPage::NotFound {
        fault: Box::new(fault),
        near: Vec::new(),
    })
}

/// A number in an address.
fn number<N: std::str::FromStr>(text: &str) -> Result<N, NoPage> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().ok_or_else(|| {
        let message = format!("`{}` is no number", crate::body::shown(text));
        NoPage::NotFound {
            fault: Box::new(
                Diagnostic::error(codes::NOT_FOUND, message)
                    .with_remedy("take the address from a page that has a link to it"),
            ),
            near: Vec::new(),
        }
    })
}

async fn today(State(app): State<Arc<App>>, request: Request) -> Response {
    let asked = Asked::of(app, request.into_parts().0);
    let seen = async { asked.pages()?.today().await }.await;
    asked.answer(seen, page::today)
}

async fn flows(State(app): State<Arc<App>>, request: Request) -> Response {
    let asked = Asked::of(app, request.into_parts().0);
    let seen = async { asked.pages()?.flows(asked.query.list()).await }.await;
    asked.answer(seen, page::flows)
}

async fn flow(State(app): State<Arc<App>>, Path(name): Path<String>, request: Request) -> Response {
    let asked = Asked::of(app, request.into_parts().0);
    let seen = async { asked.pages()?.flow(&name, asked.query.flow()).await }.await;
    asked.answer(seen, page::flow)
}

async fn runs(State(app): State<Arc<App>>, request: Request) -> Response {
    let asked = Asked::of(app, request.into_parts().0);
    let seen = async { asked.pages()?.runs(asked.query.list()).await }.await;
    asked.answer(seen, page::runs)
}

async fn run(State(app): State<Arc<App>>, Path(run): Path<String>, request: Request) -> Response {
    let asked = Asked::of(app, request.into_parts().0);
    let seen = async { asked.pages()?.run(number(&run)?, asked.query.run()).await }.await;
    asked.answer(seen, page::run)
}

async fn tables(State(app): State<Arc<App>>, request: Request) -> Response {
    let asked = Asked::of(app, request.into_parts().0);
    let seen = async { asked.pages()?.tables(asked.query.list()).await }.await;
    asked.answer(seen, page::tables)
}

async fn one_table(State(app): State<Arc<App>>, Path(name): Path<String>, request: Request) -> Response {
    let asked = Asked::of(app, request.into_parts().0);
    let seen = async { asked.pages()?.table(&name, asked.query.table()).await }.await;
    asked.answer(seen, page::table)
}

async fn why(State(app): State<Arc<App>>, Path(target): Path<String>, request: Request) -> Response {
    let asked = Asked::of(app, request.into_parts().0);
    let seen = async { asked.pages()?.why(&target).await }.await;
    asked.answer(seen, page::why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_from_what_needs_the_token() {
        for path in [
            "/",
            "/flows",
            "/flows/daily",
            "/runs/4",
            "/why/a@2026-11-20",
            "/assets/app.css",
            "/events",
        ] {
            assert!(is_page(path), "{path}");
        }
        for path in [
            "/api/v1/verbs",
            "/metrics",
            "/flowsx",
            "",
            "flows",
            "/api",
            "//api/v1/verbs",
        ] {
            assert!(!is_page(path), "{path}");
        }
    }
}
