//! A ledger that an earlier version made is brought up to date: what is new in it is what this version would have
//! written.

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    interval::Interval,
    run::{RunState, TaskKind},
    task::{BoundTest, TestSpec},
    tick::Fate,
};
use mulgil_store::{ClaimRequest, Failure, LedgerPlace, Store};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions,
};

use super::{
    retention::{begun, daily, decided, ended, rebuilds, stepped, tick, whole},
    support::*,
};

/// What migration 14 and those after it added, taken away.
const WITHOUT_14: &str = "
drop index run_state;
drop index task_run_in;
drop index flow_run_interval;
drop index fact_run;
drop index tick_run;
drop index tick_decided;
drop index flow_run_of;
drop index flow_run_open;
drop index flow_run_version;
drop index flow_run_over;
alter table fact drop column run;
alter table tick drop column seq;
alter table flow_version drop column seq;
";

/// A connection of one's own to a ledger's database.
enum Beside {
    File(SqliteConnection),
    Server(PgConnection),
}

impl Beside {
    async fn open(place: &LedgerPlace) -> Self {
        match place {
            LedgerPlace::Folder { .. } => {
                let file = SqliteConnectOptions::new().filename(place.file().unwrap());
                Self::File(file.connect().await.unwrap())
            }
            LedgerPlace::Postgres(server) => {
                let url = crate::postgres::Server::shared().url("x").replace("&schema=x", "");
                let mut conn = PgConnection::connect(&url).await.unwrap();
                let path = format!("set search_path to {}", server.schema());
                conn.execute(AssertSqlSafe(path)).await.unwrap();
                Self::Server(conn)
            }
        }
    }

    async fn carry_out(&mut self, sql: String) {
        match self {
            Self::File(conn) => conn.execute(AssertSqlSafe(sql)).await.map(drop),
            Self::Server(conn) => conn.execute(AssertSqlSafe(sql)).await.map(drop),
        }
        .unwrap();
    }

    async fn texts(&mut self, sql: &'static str) -> Vec<String> {
        match self {
            Self::File(conn) => sqlx::query_scalar(sql).fetch_all(conn).await,
            Self::Server(conn) => sqlx::query_scalar(sql).fetch_all(conn).await,
        }
        .unwrap()
    }

    async fn close(self) {
        match self {
            Self::File(conn) => conn.close().await.unwrap(),
            Self::Server(conn) => conn.close().await.unwrap(),
        }
    }

    /// What migration 14 fills.
    async fn filled_in(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        for sql in [
            "select kind || ' ' || cast(seq as text) || ': ' || coalesce(cast(run as text), 'none') from fact order by seq",
            "select owner || ' ' || cast(scheduled_at as text) || ': ' || cast(seq as text) from tick order by 1",
            "select fingerprint || ': ' || cast(seq as text) from flow_version order by 1",
        ] {
            told.extend(self.texts(sql).await);
        }
        told
    }
}

/// A fact of most kinds, of two runs of models and three of flows.
async fn history(store: &Store) {
    let project = shop();
    begin(store, Vec::new()).await;
    fill(store, &project, "flights", days(0, 3), 1, 1).await;
    begin(store, Vec::new()).await;
    let request = |range, kind| ClaimRequest {
        kind,
        ..request(&project, 2, &instance("sales[country=kr]"), range)
    };
    let failed = store
        .claim(request(days(0, 3), TaskKind::Fill), minute(2))
        .await
        .unwrap();
    let fault = Diagnostic::error(codes::BAD_QUERY, "it broke: \"adopted\":true \0");
    store
        .record_failure(&failed, days(0, 3), &fault, Failure::Counted, code(1), minute(3))
        .await
        .unwrap();
    let filled = store
        .claim(request(days(0, 3), TaskKind::Fill), minute(4))
        .await
        .unwrap();
    record(store, &project, &filled, "sales[country=kr]", days(0, 3), (1, 0), 5).await;
    let tests = store
        .claim(request(Interval::WHOLE, TaskKind::Test), minute(6))
        .await
        .unwrap();
    let sales = project.node(&name("sales")).unwrap();
    let spec = TestSpec {
        instance: instance("sales"),
        relation: sales.relation.clone(),
        zone: sales.grid.zone.clone(),
        tests: Vec::<BoundTest>::new(),
    };
    store
        .record_tests(&project, &tests, &spec, &[], minute(7))
        .await
        .unwrap();
    // The commit of another ledger has the number of an attempt of ours.
    let other = mulgil_core::task::Claim {
        seq: 900,
        ..filled.clone()
    };
    let intervals = tiles(&project, &instance("months"), days(0, 31), 3);
    let commit = ours(0, &other, "months", days(0, 31), intervals);
    let months = project.node(&name("months")).unwrap();
    store
        .adopt(&project, months, Some(&log_of(0, vec![commit])), minute(8))
        .await
        .unwrap();
    let (whole, daily) = (whole(1), daily(1));
    let night = vec![
        tick(minute(8), Fate::Missed),
        tick(minute(9), Fate::Runs),
        tick(minute(10), Fate::Runs),
    ];
    decided(store, "flow:tidy", "* * * * * UTC", night, 10).await;
    decided(
        store,
        "flow:sales",
        "0 * * * * UTC",
        vec![tick(minute(9), Fate::Runs)],
        10,
    )
    .await;
    for (flow, at, interval, how) in [
        (&whole, 9, Interval::WHOLE, RunState::Success),
        (&daily, 9, day(90), RunState::Failed),
        (&whole, 10, Interval::WHOLE, RunState::Cancelled),
    ] {
        let run = begun(store, flow, Some(minute(at)), interval, 11).await.unwrap();
        stepped(store, run, flow, interval, how, 12).await;
        store.cancel_walk(run, "mina", minute(13)).await.unwrap();
        ended(store, run, flow, how, 14).await;
    }
    store.reopen_walk(4, "mina", minute(15)).await.unwrap();
    store.crash_live(minute(16)).await.unwrap();
}

#[tokio::test]
async fn what_an_earlier_version_wrote_is_found_by_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let place = if is_on_server() {
        fresh_schema()
    } else {
        LedgerPlace::folder(folder.path(), "dev")
    };
    let store = Store::open(&place, LEDGER).await.unwrap();
    history(&store).await;
    let mut runs = Vec::new();
    for run in 1..=5 {
        runs.push(store.run_facts(run).await.unwrap());
    }
    let derived = store.derived().await.unwrap();
    store.close().await;
    let mut beside = Beside::open(&place).await;
    let written = beside.filled_in().await;
    let numbers = if is_on_server() {
        "migration"
    } else {
        "_sqlx_migrations"
    };
    beside
        .carry_out(format!("{WITHOUT_14} delete from {numbers} where version >= 14"))
        .await;
    beside.close().await;
    let (before, now) = Store::migrate(&place, LEDGER).await.unwrap();
    assert_eq!((before, now), (13, 15));
    let mut beside = Beside::open(&place).await;
    assert_eq!(beside.filled_in().await, written);
    beside.close().await;
    let store = Store::open(&place, LEDGER).await.unwrap();
    for (run, facts) in (1..).zip(runs) {
        assert_eq!(store.run_facts(run).await.unwrap(), facts);
        assert!(facts.len() > 1, "{facts:?}");
    }
    assert_eq!(store.derived().await.unwrap(), derived);
    rebuilds(&store).await;
}
