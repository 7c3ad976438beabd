//! Whether the server is well: for those who start and stop it, and in the shape that monitors of
//! Airflow know.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use mulgil_core::interval::Instant;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    app::{App, is_bearer},
    control::{Database, HealthFacts},
    room::Room,
};

/// A write that takes longer than this is no answer.
const PING: Duration = Duration::from_secs(2);
/// A heartbeat that is older than this has stopped.
const HEARTBEAT_US: i64 = 30_000_000;
/// For how long facts are good: a flood of questions costs one look a second.
const KEPT: Duration = Duration::from_secs(1);

/// The last look at how things are.
#[derive(Default)]
pub(crate) struct Checkup {
    last: Mutex<Option<(tokio::time::Instant, Arc<Seen>)>>,
}

/// What a look saw.
struct Seen {
    /// None where there was no answer in time.
    facts: Option<HealthFacts>,
    now: Instant,
}

/// Why the server is not ready, in the words of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reason {
    /// For anyone.
    word: &'static str,
    /// For the bearer of the token.
    text: String,
}

/// `/livez`: the event loop answers. Nothing is asked.
pub(crate) fn live() -> Response {
    let mut response = Response::new(Body::from("ok\n"));
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// `/readyz`: whether it does its work.
pub(crate) async fn ready(app: &App, parts: &Parts) -> Response {
    let seen = look(app).await;
    let reasons = reasons(&seen, app.is_stopping());
    if reasons.is_empty() {
        return answer(StatusCode::OK, &json!({"status": "ready"}));
    }
    let words: Vec<&str> = reasons.iter().map(|reason| reason.word).collect();
    let mut body = json!({"status": "not ready", "reasons": words});
    if is_bearer(parts) {
        let details = reasons.iter().map(|reason| reason.text.clone());
        body["details"] = Value::from_iter(details);
    }
    answer(StatusCode::SERVICE_UNAVAILABLE, &body)
}

/// `/health`: Airflow's shape, and for the bearer of the token more.
pub(crate) async fn health(app: &App, parts: &Parts) -> Response {
    let seen = look(app).await;
    let word = |is_healthy| if is_healthy { "healthy" } else { "unhealthy" };
    let heartbeat = seen.facts.as_ref().and_then(|facts| facts.heartbeat_at);
    let mut body = json!({
        "metadatabase": {"status": word(database(&seen).is_none())},
        "scheduler": {
            "status": word(scheduler(&seen).is_none()),
            "latest_scheduler_heartbeat": heartbeat.map(|at| at.to_timestamp().to_string()),
        },
        // Monitors of Airflow 3 look for these; null says that there is no such process.
        "triggerer": {"status": null, "latest_triggerer_heartbeat": null},
        "dag_processor": {"status": null, "latest_dag_processor_heartbeat": null},
    });
    if is_bearer(parts) {
        body["version"] = json!(app.config.version);
        body["draining"] = json!(app.is_stopping() || seen.facts.as_ref().is_some_and(|facts| facts.draining));
        if let Some(facts) = &seen.facts {
            body["workers"] = json!(facts.workers);
            body["schedule_lag_s"] = json!(facts.schedule_lag.as_secs_f64());
            body["oldest_queued_s"] = json!(facts.oldest_queued.map(|age| age.as_secs_f64()));
            body["wal_bytes"] = json!(facts.wal_bytes);
            body["disk_free"] = json!(facts.disk_free_bytes);
            body["disk_total"] = json!(facts.disk_total_bytes);
            body["schema"] = json!(facts.schema);
            body["migrations_pending"] = json!(facts.migrations_pending);
        }
    }
    answer(StatusCode::OK, &body)
}

/// One look for all who ask at once.
async fn look(app: &App) -> Arc<Seen> {
    let mut last = app.checkup.last.lock().await;
    if let Some((at, seen)) = last.as_ref()
        && at.elapsed() < KEPT
    {
        return Arc::clone(seen);
    }
    let facts = tokio::time::timeout(app.config.limits.health, app.control.health()).await;
    let seen = Arc::new(Seen {
        facts: facts.ok(),
        now: (app.config.clock)(),
    });
    *last = Some((tokio::time::Instant::now(), Arc::clone(&seen)));
    seen
}

fn reasons(seen: &Seen, is_stopping: bool) -> Vec<Reason> {
    let facts = seen.facts.as_ref();
    let migrations = facts.filter(|facts| facts.migrations_pending > 0).map(|facts| Reason {
        word: "migrations",
        text: format!("{} migrations of the ledger are not done", facts.migrations_pending),
    });
    let disk = facts.and_then(disk).map(|text| Reason { word: "disk", text });
    let draining = (is_stopping || facts.is_some_and(|facts| facts.draining)).then(|| Reason {
        word: "draining",
        text: "it is about to stop and takes nothing new".to_owned(),
    });
    [database(seen), migrations, scheduler(seen), disk, draining]
        .into_iter()
        .flatten()
        .collect()
}

/// Why the disk takes too little.
fn disk(facts: &HealthFacts) -> Option<String> {
    let room = Room {
        free_bytes: facts.disk_free_bytes,
        total_bytes: facts.disk_total_bytes,
        free_files: facts.disk_free_files,
        total_files: facts.disk_total_files,
    };
    room.shortage()
}

fn database(seen: &Seen) -> Option<Reason> {
    let text = match seen.facts.as_ref().map(|facts| &facts.database) {
        None => "no facts came in time; most likely the ledger does not answer".to_owned(),
        Some(Database::Fails { fault }) => fault.to_string(),
        Some(Database::Answers { after }) if *after > PING => {
            format!("a write of the ledger took {:.1} s", after.as_secs_f64())
        }
        Some(Database::Answers { .. }) => return None,
    };
    Some(Reason { word: "database", text })
}

fn scheduler(seen: &Seen) -> Option<Reason> {
    let at = seen.facts.as_ref().and_then(|facts| facts.heartbeat_at);
    let text = match at {
        None => "the scheduler has not begun".to_owned(),
        Some(at) => {
            let age = seen.now.0.saturating_sub(at.0);
            if age <= HEARTBEAT_US {
                return None;
            }
            format!("the scheduler was last heard of {} s ago", age / 1_000_000)
        }
    };
    Some(Reason {
        word: "scheduler",
        text,
    })
}

pub(crate) fn answer(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
