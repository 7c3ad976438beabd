//! What is said of how the server is.

use std::{sync::atomic::Ordering, time::Duration};

use mulgil_core::{codes, diagnostic::Diagnostic, interval::Instant};
use mulgil_server::{Database, HealthFacts, Limits};
use serde_json::{Value, json as value};

use crate::support::{Memory, NOW, json, serving, status, well};

/// What `/readyz` says of facts: its status, the words for anyone, the details for the bearer.
async fn ready(facts: HealthFacts) -> (u16, Value, Value) {
    let memory = Memory::new();
    *memory.health.lock().unwrap() = facts;
    let place = serving(&memory, Limits::default()).await;
    let anyone = place.server.raw(&place.server.get("/readyz", "")).await;
    let bearer = place.server.raw(&place.server.get("/readyz", &place.bearer)).await;
    assert_eq!(json(&anyone)["details"], Value::Null);
    (
        status(&anyone),
        json(&anyone)["reasons"].clone(),
        json(&bearer)["details"].clone(),
    )
}

#[tokio::test]
async fn each_reason_not_to_be_ready_is_named() {
    assert_eq!(ready(well()).await, (200, Value::Null, Value::Null));
    let slow = |millis| Database::Answers {
        after: Duration::from_millis(millis),
    };
    let just = HealthFacts {
        database: slow(2000),
        heartbeat_at: Some(Instant(NOW.0 - 30_000_000)),
        disk_free_bytes: 5,
        disk_total_bytes: 100,
        ..well()
    };
    assert_eq!(ready(just).await.0, 200);
    let all = HealthFacts {
        database: slow(2001),
        migrations_pending: 2,
        heartbeat_at: Some(Instant(NOW.0 - 30_000_001)),
        disk_free_bytes: 49,
        disk_total_bytes: 1000,
        draining: true,
        ..well()
    };
    let (status, words, details) = ready(all).await;
    assert_eq!(status, 503);
    assert_eq!(
        words,
        value!(["database", "migrations", "scheduler", "disk", "draining"])
    );
    assert_eq!(details[0], "a write of the ledger took 2.0 s");
    assert_eq!(details[3], "49 of 1000 bytes are free, less than 5 %");
    let not_begun = HealthFacts {
        heartbeat_at: None,
        ..well()
    };
    assert_eq!(ready(not_begun).await.1, value!(["scheduler"]));
    let fault = Diagnostic::error(codes::DISK_FULL, "the disk is full, at a secret place");
    let failing = HealthFacts {
        database: Database::Fails { fault: Box::new(fault) },
        ..well()
    };
    let (_, words, details) = ready(failing).await;
    assert_eq!(words, value!(["database"]));
    assert!(details[0].as_str().unwrap().contains("MG5101"));
}

#[tokio::test]
async fn health_has_the_shape_that_monitors_of_airflow_know() {
    let place = serving(&Memory::new(), Limits::default()).await;
    for path in ["/health", "/api/v2/monitor/health"] {
        let anyone = json(&place.server.raw(&place.server.get(path, "")).await);
        assert_eq!(
            anyone,
            value!({
                "metadatabase": {"status": "healthy"},
                "scheduler": {"status": "healthy", "latest_scheduler_heartbeat": "2026-11-20T10:19:59Z"},
                "triggerer": {"status": null, "latest_triggerer_heartbeat": null},
                "dag_processor": {"status": null, "latest_dag_processor_heartbeat": null},
            })
        );
        let bearer = json(&place.server.raw(&place.server.get(path, &place.bearer)).await);
        assert_eq!(bearer["workers"], value!({"alive": 1, "lost": 0}));
        assert_eq!(
            (bearer["version"].as_str(), bearer["schema"].as_u64()),
            (Some("0.1.0"), Some(7))
        );
        assert_eq!(
            (bearer["wal_bytes"].as_u64(), bearer["disk_free"].as_u64()),
            (Some(4096), Some(50))
        );
        assert_eq!(
            (bearer["schedule_lag_s"].as_f64(), &bearer["oldest_queued_s"]),
            (Some(0.02), &Value::Null)
        );
        let wrong = format!("Authorization: Bearer {}\r\n", "0".repeat(64));
        let wrong = json(&place.server.raw(&place.server.get(path, &wrong)).await);
        assert_eq!(wrong, anyone);
    }
}

#[tokio::test]
async fn a_scheduler_that_stopped_is_unhealthy_with_status_200() {
    let memory = Memory::new();
    memory.health.lock().unwrap().heartbeat_at = Some(Instant(NOW.0 - 31_000_000));
    let place = serving(&memory, Limits::default()).await;
    let answer = place.server.raw(&place.server.get("/health", "")).await;
    assert_eq!(status(&answer), 200);
    assert_eq!(json(&answer)["scheduler"]["status"], "unhealthy");
    assert_eq!(json(&answer)["metadatabase"]["status"], "healthy");
}

#[tokio::test]
async fn a_ledger_that_hangs_does_not_hang_the_questions() {
    let limits = Limits {
        health: Duration::from_millis(100),
        ..Limits::default()
    };
    let memory = Memory::new();
    memory.health.lock().unwrap().schema = 0;
    let place = serving(&memory, limits).await;
    let ready = place.server.raw(&place.server.get("/readyz", "")).await;
    assert_eq!(status(&ready), 503);
    assert_eq!(json(&ready)["reasons"], value!(["database", "scheduler"]));
    let health = json(&place.server.raw(&place.server.get("/health", "")).await);
    assert_eq!(health["metadatabase"]["status"], "unhealthy");
    assert_eq!(status(&place.server.raw(&place.server.get("/livez", "")).await), 200);
}

#[tokio::test]
async fn a_flood_of_questions_is_one_look() {
    let memory = Memory::new();
    let place = serving(&memory, Limits::default()).await;
    let asked = std::time::Instant::now();
    let asks = (0..50).map(|_| async { status(&place.server.raw(&place.server.get("/readyz", "")).await) });
    let answers = futures::future::join_all(asks).await;
    assert!(answers.iter().all(|status| *status == 200));
    // Facts are good for a second, so a slow machine may look again.
    let most = 1 + usize::try_from(asked.elapsed().as_secs()).unwrap();
    assert!(memory.looks.load(Ordering::SeqCst) <= most);
}
