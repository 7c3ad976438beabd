//! A try's page, more of its log for the script, and the whole log as a file.

use std::{path::Path as FilePath, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures::stream;
use mulgil_core::{codes, diagnostic::Diagnostic};
use mulgil_web::page;
use tokio::io::AsyncReadExt as _;

use super::{
    Asked, NoPage, answer, number,
    port::{Page, WholeLog},
};
use crate::app::App;

/// Bytes of a log that are read at once on their way out.
const PIECE: usize = 64 << 10;

type Place = Path<(String, String, String)>;

pub(super) async fn attempt(State(app): State<Arc<App>>, Path(place): Place, request: Request) -> Response {
    let asked = Asked::of(app, request.into_parts().0);
    let seen = read(&asked, &place).await;
    asked.answer(seen, page::attempt)
}

/// `…/log?from=N`: lines for a page that is open; `…/log?download=1`, or without a place: all of it.
pub(super) async fn log(State(app): State<Arc<App>>, Path(place): Place, request: Request) -> Response {
    let asked = Asked::of(app, request.into_parts().0);
    if asked.query.has("from") || asked.query.has("before") {
        fragment(&asked, &place).await
    } else {
        whole(&asked, &place).await.unwrap_or_else(|none| asked.trouble(none))
    }
}

async fn read(asked: &Asked, place: &(String, String, String)) -> Page<mulgil_web::view::attempt::Attempt> {
    let (run, task, try_number) = numbers(place)?;
    asked.pages()?.attempt(run, task, try_number, asked.query.log()).await
}

fn numbers((run, task, try_number): &(String, String, String)) -> Result<(i64, i64, u32), NoPage> {
    Ok((number(run)?, number(task)?, number(try_number)?))
}

async fn fragment(asked: &Asked, place: &(String, String, String)) -> Response {
    let seen = match read(asked, place).await {
        Ok(seen) => seen,
        Err(none) => return asked.trouble(none),
    };
    let log = &seen.view.log;
    let html = page::log_lines(&asked.frame(seen.queries, Vec::new()), log);
    let mut response = answer::compressed(&asked.parts.headers, html.into());
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer::named(headers, "mulgil-log-from", &log.from.to_string());
    answer::named(headers, "mulgil-log-next", &log.next.to_string());
    answer::named(headers, "mulgil-log-bytes", &log.bytes.to_string());
    answer::named(headers, "mulgil-log-ended", if log.has_ended { "1" } else { "0" });
    response
}

async fn whole(asked: &Asked, place: &(String, String, String)) -> Result<Response, NoPage> {
    let (run, task, try_number) = numbers(place)?;
    let body = match asked.pages()?.whole_log(run, task, try_number).await? {
        WholeLog::Text(text) => Body::from(text),
        WholeLog::File(path) => file(&path).await?,
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    let name = format!("attachment; filename=\"run-{run}-task-{task}-attempt-{try_number}.log\"");
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// A file, piece by piece: a log may be larger than memory.
async fn file(path: &FilePath) -> Result<Body, NoPage> {
    let file = tokio::fs::File::open(path).await.map_err(|error| {
        let fault = Diagnostic::error(codes::DISK_FAILED, format!("the log cannot be read: {error}"));
        NoPage::Fault(Box::new(
            fault.with_remedy("look whether old logs were removed, and who owns the data folder"),
        ))
    })?;
    let pieces = stream::unfold(Some(file), async |file| {
        let mut file = file?;
        let mut piece = vec![0; PIECE];
        match file.read(&mut piece).await {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some((Ok(Bytes::from(piece)), Some(file)))
            }
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(Body::from_stream(pieces))
}
