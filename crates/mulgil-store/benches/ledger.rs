//! How long the ledger's hot paths take. `cargo bench -p mulgil-store`; prints milliseconds
//! and requests a second. It starts a PostgreSQL of this machine as the tests do.

#![allow(missing_docs, clippy::unwrap_used, clippy::wildcard_imports)]

#[path = "../tests/it/support.rs"]
#[allow(dead_code, unreachable_pub)]
mod support;

#[path = "../tests/it/postgres.rs"]
#[allow(dead_code, unreachable_pub)]
mod postgres;

use std::{sync::Arc, time::Instant as Clock};

use mulgil_core::{grid::Unit, mapping::Mapping, project::Project};
use mulgil_store::{LedgerPlace, Store};
use postgres::Server;
use support::*;
use tokio::task::JoinSet;

/// Attempts that are claimed and recorded at the same time.
const AT_ONCE: usize = 256;
const ATTEMPTS: usize = 5_000;
const NODES: usize = 1_000;
const RANGES: i64 = 55;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        throughput().await;
        many_nodes().await;
        one_year().await;
        many_hours().await;
    });
}

/// Requests a second of many attempts at once, durable: a file, a server of this machine with fsync on, and
/// two stores on that server.
async fn throughput() {
    let folder = tempfile::tempdir().unwrap();
    let file = LedgerPlace::folder(folder.path(), "dev");
    measure("a file", &[open(&file).await]).await;
    let server = Server::with("-c shared_buffers=128MB");
    let place = |schema| LedgerPlace::postgres(&server.url(schema), LEDGER).unwrap();
    measure("PostgreSQL", &[open(&place("one")).await]).await;
    let both = [open(&place("two")).await, open(&place("two")).await];
    measure("PostgreSQL, two servers", &both).await;
}

async fn open(place: &LedgerPlace) -> Arc<Store> {
    Arc::new(Store::open(place, LEDGER).await.unwrap())
}

async fn measure(what: &str, stores: &[Arc<Store>]) {
    let mut project = shop();
    project.nodes = (0..ATTEMPTS)
        .map(|n| node(&format!("node_{n:04}"), by(Unit::Day), &[]))
        .collect();
    let project = Arc::new(project);
    begin(&stores[0], Vec::new()).await;
    let since = Clock::now();
    let claims = all_at_once(stores, |n, store| {
        let project = Arc::clone(&project);
        async move { (n, claim(&store, &project, &format!("node_{n:04}"), day(0), 1).await) }
    });
    let claims = claims.await;
    rate(&format!("claims a second, {what}"), since);
    let claims: Arc<Vec<_>> = Arc::new(sorted(claims));
    let since = Clock::now();
    all_at_once(stores, |n, store| {
        let (project, claims) = (Arc::clone(&project), Arc::clone(&claims));
        async move { record(&store, &project, &claims[n], &format!("node_{n:04}"), day(0), (1, 0), 2).await }
    })
    .await;
    rate(&format!("records of a fill a second, {what}"), since);
    let (requests, commits) = stores[0].writes();
    println!(
        "{:<66} {:>9.1}",
        "  requests in a commit",
        requests as f64 / commits as f64
    );
    let alone = Clock::now();
    for n in 0..100 {
        stores[0]
            .append_log(n, vec!["a line".to_owned()], minute(3))
            .await
            .unwrap();
    }
    println!(
        "{:<66} {:>9.3} ms",
        "  one small request alone, durable, mean",
        alone.elapsed().as_secs_f64() * 10.0
    );
}

fn sorted<T>(mut numbered: Vec<(usize, T)>) -> Vec<T> {
    numbered.sort_by_key(|(n, _)| *n);
    numbered.into_iter().map(|(_, value)| value).collect()
}

/// Does something for each attempt, so many at the same time, on the stores by turns.
async fn all_at_once<T, F>(stores: &[Arc<Store>], work: impl Fn(usize, Arc<Store>) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (mut running, mut done) = (JoinSet::new(), Vec::with_capacity(ATTEMPTS));
    for n in 0..ATTEMPTS {
        if running.len() == AT_ONCE {
            done.extend(running.join_next().await.transpose().unwrap());
        }
        running.spawn(work(n, Arc::clone(&stores[n % stores.len()])));
    }
    done.extend(running.join_all().await);
    done
}

fn rate(what: &str, since: Clock) {
    println!("{what:<66} {:>9.0} /s", ATTEMPTS as f64 / since.elapsed().as_secs_f64());
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
