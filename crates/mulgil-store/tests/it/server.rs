//! A ledger on a server: who may open it, several who write it, and a database that goes away.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use mulgil_core::{
    codes,
    diagnostic::Retry,
    port::Fault,
    run::{Run, Trigger},
};
use mulgil_store::{LedgerPlace, NewRun, Store};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::task::JoinSet;

use crate::{
    postgres::Server,
    proxy::{Mode, Proxy},
    with_postgres::support::*,
};

const SHORT: Duration = Duration::from_millis(800);

async fn edit(server: &Server, sql: String) {
    let url = server.url("x").replace("&schema=x", "");
    let mut conn = PgConnection::connect(&url).await.unwrap();
    conn.execute(AssertSqlSafe(sql)).await.unwrap();
    conn.close().await.unwrap();
}

fn schema(place: &LedgerPlace) -> &str {
    match place {
        LedgerPlace::Postgres(server) => server.schema(),
        LedgerPlace::Folder { .. } => unreachable!("it is on a server"),
    }
}

fn place(host: &Path, schema: &str) -> LedgerPlace {
    let url = format!(
        "postgres://mulgil@localhost/postgres?host={}&schema={schema}",
        host.display()
    );
    LedgerPlace::postgres(&url, LEDGER).unwrap().with_patience(SHORT)
}

/// A run that is known by what it selects.
async fn run(store: &Store, selector: &str) -> Result<Run, Fault> {
    let new = NewRun {
        trigger: Trigger::Manual,
        selector: selector.to_owned(),
        manual: Vec::new(),
        again: Vec::new(),
        named: Vec::new(),
        backfill: None,
    };
    store.begin_run(new, minute(0)).await
}

async fn selectors(store: &Store) -> Vec<String> {
    let runs = store.runs(10_000).await.unwrap();
    runs.into_iter().map(|run| run.selector).collect()
}

#[tokio::test]
async fn a_ledger_is_made_once_found_again_and_read_by_others() {
    let place = fresh_schema();
    assert!(
        Store::open_read_only(&place, LEDGER).await.unwrap().is_none(),
        "reading makes nothing"
    );
    let (before, now) = Store::migrate(&place, LEDGER).await.unwrap();
    assert_eq!(before, 0);
    assert_eq!(Store::migrate(&place, LEDGER).await.unwrap(), (now, now));
    let store = Store::open(&place, LEDGER).await.unwrap();
    assert_eq!(begin(&store, Vec::new()).await, 1);
    let reader = Store::open_read_only(&place, LEDGER).await.unwrap().unwrap();
    assert_eq!(reader.runs(9).await.unwrap().len(), 1);
    store.close().await;
    let store = Store::open(&place, LEDGER).await.unwrap();
    assert_eq!(begin(&store, Vec::new()).await, 2);
    assert_eq!(reader.runs(9).await.unwrap().len(), 2);
    assert_eq!(reader.crash_live(minute(1)).await.unwrap_err().code, codes::BUG);
}

#[tokio::test]
async fn who_may_not_open_a_ledger_is_told_why() {
    let (server, place) = (Server::shared(), fresh_schema());
    Store::open(&place, LEDGER).await.unwrap().close().await;
    let fault = Store::open(&place, "other/dev").await.unwrap_err();
    assert_eq!(fault.code, codes::LEDGER_OF_ANOTHER);
    assert_eq!(
        fault.message,
        "this schema holds the ledger of shop/dev, not of other/dev"
    );
    let unknown = server.url("a").replace("/postgres?", "/nowhere?");
    let fault = Store::open(&LedgerPlace::postgres(&unknown, LEDGER).unwrap(), LEDGER)
        .await
        .unwrap_err();
    assert_eq!(fault.code, codes::LEDGER_LOGIN, "{fault}");
    edit(
        server,
        "create role weak login; revoke create on database postgres from public".to_owned(),
    )
    .await;
    let weak = server.url("of_weak").replace("mulgil@", "weak@");
    let fault = Store::open(&LedgerPlace::postgres(&weak, LEDGER).unwrap(), LEDGER)
        .await
        .unwrap_err();
    assert_eq!(fault.code, codes::LEDGER_RIGHTS, "{fault}");
    let newer = format!("insert into {}.migration values (9999, 'tomorrow', '')", schema(&place));
    edit(server, newer).await;
    for fault in [
        Store::open(&place, LEDGER).await.unwrap_err(),
        Store::open_read_only(&place, LEDGER).await.unwrap_err(),
    ] {
        assert_eq!(fault.code, codes::LEDGER_SCHEMA);
        assert!(fault.message.contains("schema 9999"), "{fault}");
    }
}

#[tokio::test]
async fn servers_that_start_together_make_one_ledger() {
    let place = Arc::new(fresh_schema());
    let mut starting = JoinSet::new();
    for n in 0..6 {
        let place = Arc::clone(&place);
        starting.spawn(async move {
            let store = Store::open(&place, LEDGER).await.unwrap();
            run(&store, &n.to_string()).await.unwrap().id
        });
    }
    let ids: BTreeSet<i64> = starting.join_all().await.into_iter().collect();
    assert_eq!(ids, (1..=6).collect());
}

#[tokio::test]
async fn two_servers_number_and_claim_as_one() {
    let (place, project) = (fresh_schema(), Arc::new(shop()));
    let mut servers = Vec::new();
    for _ in 0..2 {
        servers.push(Arc::new(Store::open(&place, LEDGER).await.unwrap()));
    }
    begin(&servers[0], Vec::new()).await;
    let mut claims = JoinSet::new();
    for n in 0..40 {
        for of in ["flights", "windows", "months"] {
            let (store, request) = (
                Arc::clone(&servers[n % 2]),
                request(&project, 1, &instance(of), days(0, 1)),
            );
            claims.spawn(async move { store.claim(request, minute(1)).await });
        }
    }
    let (mut attempts, mut held) = (Vec::new(), 0);
    for claim in claims.join_all().await {
        match claim {
            Ok(claim) => attempts.push(claim.attempt),
            Err(fault) => {
                assert_eq!(fault.code, codes::CLAIM_HELD, "{fault}");
                held += 1;
            }
        }
    }
    attempts.sort_unstable();
    assert_eq!(
        (attempts, held),
        (vec![1, 2, 3], 117),
        "one writer for each table, whoever asked"
    );
    let seqs: Vec<i64> = servers[1]
        .facts()
        .await
        .unwrap()
        .into_iter()
        .map(|(seq, ..)| seq)
        .collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_server_that_keeps_no_prepared_statements_is_enough() {
    let url = format!("{}&statement-cache-capacity=0", Server::shared().url("unprepared"));
    let place = LedgerPlace::postgres(&url, LEDGER).unwrap();
    let (store, project) = (Store::open(&place, LEDGER).await.unwrap(), shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 3), 1, 1).await;
    assert_eq!(filled_days(&store, &project, "flights").await, "0..3");
}

#[tokio::test]
async fn a_server_that_nobody_has_started_is_told_with_its_place() {
    let place = LedgerPlace::postgres("postgres://mulgil@127.0.0.1:1/postgres", LEDGER).unwrap();
    let fault = Store::open(&place, LEDGER).await.unwrap_err();
    assert_eq!(
        (fault.code, fault.retry),
        (codes::LEDGER_GONE, Retry::Later),
        "nobody listens there: {fault}"
    );
    assert!(
        fault
            .place
            .is_some_and(|place| place.to_string().starts_with("postgres://mulgil@127.0.0.1:1/postgres"))
    );
}

#[tokio::test]
async fn a_scratch_copy_of_a_server_is_a_file_that_leaves_it_alone() {
    let (place, project) = (fresh_schema(), shop());
    let writer = Store::open(&place, LEDGER).await.unwrap();
    begin(&writer, Vec::new()).await;
    fill(&writer, &project, "flights", days(0, 3), 1, 1).await;
    writer.take_lease("clock", "a", SHORT * 100).await.unwrap();
    let scratch = Store::scratch(&place, LEDGER).await.unwrap();
    assert!(scratch.place().file().unwrap().exists());
    assert_eq!(scratch.derived().await.unwrap(), writer.derived().await.unwrap());
    fill(&scratch, &project, "flights", days(3, 9), 1, 1).await;
    assert_eq!(filled_days(&scratch, &project, "flights").await, "0..9");
    assert_eq!(filled_days(&writer, &project, "flights").await, "0..3");
}

#[tokio::test]
async fn a_commit_that_never_arrived_is_told_as_failed_and_did_nothing() {
    let proxy = Proxy::to(Server::shared().socket());
    let store = Store::open(&place(proxy.folder(), "cut_before"), LEDGER).await.unwrap();
    proxy.set(Mode::CutBeforeCommit);
    let fault = run(&store, "first").await.unwrap_err();
    assert_eq!((fault.code, fault.retry), (codes::LEDGER_GONE, Retry::Later), "{fault}");
    assert_eq!(run(&store, "again").await.unwrap().id, 1);
    assert_eq!(selectors(&store).await, ["again"]);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_found_and_told_as_done() {
    let proxy = Proxy::to(Server::shared().socket());
    let store = Store::open(&place(proxy.folder(), "cut_after"), LEDGER).await.unwrap();
    proxy.set(Mode::CutAfterCommit);
    assert_eq!(run(&store, "first").await.unwrap().id, 1);
    assert_eq!(run(&store, "second").await.unwrap().id, 2);
    assert_eq!(selectors(&store).await, ["second", "first"]);
}

#[tokio::test]
async fn a_commit_that_nobody_can_ask_about_is_told_as_unknown() {
    let proxy = Proxy::to(Server::shared().socket());
    let store = Store::open(&place(proxy.folder(), "unknown"), LEDGER).await.unwrap();
    proxy.set(Mode::CutAfterCommitAndStayClosed);
    let fault = run(&store, "first").await.unwrap_err();
    assert_eq!(
        (fault.code, fault.retry),
        (codes::LEDGER_UNCERTAIN, Retry::Later),
        "{fault}"
    );
    assert_eq!(run(&store, "second").await.unwrap_err().code, codes::LEDGER_GONE);
    proxy.set(Mode::Open);
    assert_eq!(
        run(&store, "third").await.unwrap().id,
        2,
        "the first was recorded, the second was not"
    );
    assert_eq!(selectors(&store).await, ["third", "first"]);
}

#[tokio::test]
async fn of_many_commits_on_a_bad_line_all_that_were_told_are_there_once_and_no_other() {
    let proxy = Proxy::to(Server::shared().socket());
    let store = Store::open(&place(proxy.folder(), "bad_line"), LEDGER).await.unwrap();
    proxy.set(Mode::CutEverySecond(0));
    let (mut told, mut refused) = (BTreeSet::new(), 0);
    for n in 0..80 {
        let selector = format!("{n:02}");
        match run(&store, &selector).await {
            Ok(_) => drop(told.insert(selector)),
            Err(fault) => {
                assert_eq!(fault.code, codes::LEDGER_GONE, "{fault}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 20, "every fourth commit did not arrive");
    let there = selectors(&store).await;
    assert_eq!(there.len(), told.len());
    assert_eq!(there.into_iter().collect::<BTreeSet<_>>(), told);
}

#[tokio::test]
async fn a_server_that_stops_in_the_middle_of_a_group_holds_up_the_others_only_for_a_moment() {
    let proxy = Proxy::to(Server::shared().socket());
    let stopped = Store::open(&place(proxy.folder(), "stopped"), LEDGER).await.unwrap();
    let other = place(Server::shared().socket().parent().unwrap(), "stopped").with_patience(SHORT * 10);
    let other = Store::open(&other, LEDGER).await.unwrap();
    proxy.set(Mode::HangAtSavepoint);
    // It has the ledger's lock from the moment at which the proxy is silent.
    let (first, second) = tokio::join!(run(&stopped, "stopped"), run(&other, "other"));
    assert_eq!(first.unwrap_err().code, codes::LEDGER_GONE);
    second.unwrap();
    assert_eq!(selectors(&other).await, ["other"]);
}

#[tokio::test]
async fn a_database_that_is_stopped_killed_or_hangs_is_told_as_such_and_found_again() {
    let server = Server::start();
    let place = LedgerPlace::postgres(&server.url("s"), LEDGER)
        .unwrap()
        .with_patience(SHORT);
    let store = Store::open(&place, LEDGER).await.unwrap();
    let mut known = vec!["before".to_owned()];
    run(&store, "before").await.unwrap();
    for (down, up) in [("stop", "start"), ("kill", "start"), ("pause", "resume")] {
        server.tell(down);
        let fault = run(&store, down).await.unwrap_err();
        assert_eq!(
            (fault.code, fault.retry),
            (codes::LEDGER_GONE, Retry::Later),
            "{down}: {fault}"
        );
        let fault = store.runs(9).await.unwrap_err();
        assert_eq!(fault.code, codes::LEDGER_GONE, "{down}: {fault}");
        server.tell(up);
        run(&store, up).await.unwrap();
        known.insert(0, up.to_owned());
        assert_eq!(selectors(&store).await, known);
    }
    // A restart while nothing is asked is noticed by nobody.
    server.tell("stop");
    server.tell("start");
    assert_eq!(selectors(&store).await, known);
    run(&store, "last").await.unwrap();
}

#[tokio::test]
async fn nothing_told_is_lost_and_nothing_is_recorded_twice_when_the_database_is_killed_under_load() {
    let server = Arc::new(Server::start());
    let place = LedgerPlace::postgres(&server.url("s"), LEDGER)
        .unwrap()
        .with_patience(SHORT * 4);
    let store = Arc::new(Store::open(&place, LEDGER).await.unwrap());
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let (mut told, mut unknown) = (Vec::new(), Vec::new());
            for n in 0..40 {
                let selector = format!("{writer}-{n}");
                match run(&store, &selector).await {
                    Ok(_) => told.push(selector),
                    Err(fault) if fault.code == codes::LEDGER_UNCERTAIN => unknown.push(selector),
                    Err(fault) => assert_eq!(fault.code, codes::LEDGER_GONE, "{fault}"),
                }
            }
            (told, unknown)
        });
    }
    for _ in 0..3 {
        let server = Arc::clone(&server);
        let kill = move || {
            server.tell("kill");
            server.tell("start");
        };
        tokio::task::spawn_blocking(kill).await.unwrap();
    }
    let (told, unknown): (Vec<_>, Vec<_>) = writers.join_all().await.into_iter().unzip();
    let told: BTreeSet<String> = told.into_iter().flatten().collect();
    let unknown: BTreeSet<String> = unknown.into_iter().flatten().collect();
    let there = selectors(&store).await;
    let once: BTreeSet<String> = there.iter().cloned().collect();
    assert_eq!(once.len(), there.len(), "nothing twice");
    assert!(told.is_subset(&once), "nothing lost");
    assert!(once.is_subset(&(&told | &unknown)), "nothing that was told as failed");
}
