//! How long the ledger's hot paths take. `cargo bench -p mulgil-store`; prints milliseconds.

#![allow(missing_docs, clippy::unwrap_used, clippy::wildcard_imports)]

#[path = "../tests/it/support.rs"]
#[allow(dead_code, unreachable_pub)]
mod support;

#[path = "../tests/it/postgres.rs"]
#[allow(dead_code, unreachable_pub)]
mod postgres;

use std::time::Instant as Clock;

use mulgil_core::{grid::Unit, mapping::Mapping, project::Project};
use mulgil_store::{LedgerPlace, Store};
use support::*;

const NODES: usize = 1_000;
const RANGES: i64 = 55;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        many_nodes().await;
        one_year().await;
        many_hours().await;
    });
}

fn told(what: &str, since: Clock) {
    println!("{what:<66} {:>9.2} ms", since.elapsed().as_secs_f64() * 1e3);
}

/// State over 1,000 nodes with 55 ranges each: three years with holes.
async fn many_nodes() {
    let mut project = shop();
    project.nodes = (0..NODES)
        .map(|n| node(&format!("node_{n:04}"), by(Unit::Day), &[]))
        .collect();
    let store = scratch().await;
    begin(&store, Vec::new()).await;
    let since = Clock::now();
    for n in 0..NODES {
        for range in 0..RANGES {
            fill(
                &store,
                &project,
                &format!("node_{n:04}"),
                days(20 * range, 20 * range + 19),
                1,
                range,
            )
            .await;
        }
    }
    let fills = NODES as f64 * RANGES as f64;
    println!(
        "{:<66} {:>9.3} ms",
        "a claim and a fill of 19 days, mean",
        since.elapsed().as_secs_f64() * 1e3 / fills
    );
    load(&store, &project, "state of 1,000 nodes with 55 ranges each").await;
    let since = Clock::now();
    let mut state = store.load_state(&project).await.unwrap();
    store
        .refresh(&project, &mut state, &[instance("node_0007")])
        .await
        .unwrap();
    told("the same and one node again", since);
}

async fn load(store: &Store, project: &Project, what: &str) {
    for _ in 0..3 {
        let since = Clock::now();
        let state = store.load_state(project).await.unwrap();
        told(what, since);
        assert!(!state.nodes.is_empty());
    }
}

/// A year of days with a reader by day, by window and by month; durable.
async fn one_year() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&LedgerPlace::folder(folder.path(), "dev"), LEDGER)
        .await
        .unwrap();
    let project = shop();
    begin(&store, Vec::new()).await;
    for (of, content) in [("flights", 1), ("windows", 1), ("months", 1), ("flights", 2)] {
        let since = Clock::now();
        fill(&store, &project, of, days(0, 365), content, 1).await;
        told(&format!("a year of {of} in one fill, claim and record, durable"), since);
    }
    let since = Clock::now();
    store.rebuild().await.unwrap();
    told("rebuild of it", since);
}

/// One node of 120,000 hours, filled hour by hour and all at once.
async fn many_hours() {
    let mut project = shop();
    project.nodes = vec![
        node("hours", by(Unit::Hour), &[]),
        node("day", by(Unit::Day), &[("hours", Mapping::Overlap)]),
    ];
    let store = scratch().await;
    begin(&store, Vec::new()).await;
    let all = days(0, 5_000);
    for content in [1, 2] {
        let since = Clock::now();
        fill(&store, &project, "hours", all, content, 1).await;
        told("120,000 hours in one fill", since);
        fill(&store, &project, "day", all, content, 1).await;
    }
    let since = Clock::now();
    for n in 0..2_000 {
        fill(&store, &project, "hours", hour(n), 3, n).await;
    }
    told("2,000 hours of them, one by one", since);
    load(&store, &project, "state of them").await;
}
