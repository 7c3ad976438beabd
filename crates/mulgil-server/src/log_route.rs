//! `GET /api/v1/attempts/{id}/log?from=&wait=`: some of what an attempt said, and where to go on.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Path, Request, State},
    http::StatusCode,
    response::Response,
};
use serde_json::json;

use crate::{
    app::{App, stopped},
    body, health, problem,
};

/// Seconds that a reader may wait for more; less than a request may take.
pub(crate) const WAIT_SECONDS: u64 = 20;

pub(crate) async fn tail(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Response {
    let parts = request.into_parts().0;
    let asked = body::number(&id).and_then(|id| Ok((id, body::numbers(&parts, ["from", "wait"])?)));
    let (attempt, [from, wait]) = match asked {
        Ok(asked) => asked,
        Err(fault) => return problem::of(fault),
    };
    let seconds = wait.unwrap_or_default().min(WAIT_SECONDS);
    let mut stopping = app.stopping.clone();
    let control = Arc::clone(&app.control);
    let read = |wait| control.log_tail(attempt, from.unwrap_or_default(), wait);
    // Who waits for more is not to hold up a server that stops.
    let chunk = tokio::select! {
        chunk = read(Duration::from_secs(seconds)) => chunk,
        () = stopped(&mut stopping) => read(Duration::ZERO).await,
    };
    match chunk {
        Ok(chunk) => health::answer(StatusCode::OK, &json!(chunk)),
        Err(fault) => problem::of(fault),
    }
}
