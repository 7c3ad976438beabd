//! Who leads a ledger on a server: one at a time, and who slept past its lease writes nothing more.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use mulgil_core::{codes, port::Fault, run::Trigger};
use mulgil_store::{Beat, Candidate, Fence, LEAD, Lead, LeadTimes, Led, LedgerPlace, NewRun, Store};

use crate::{
    postgres::Server,
    proxy::{Mode, Proxy},
    with_postgres::support::*,
};

const TIMES: LeadTimes = LeadTimes {
    lease: Duration::from_millis(1500),
    beat: Duration::from_millis(200),
    give_up: Duration::from_millis(900),
};

fn candidate(place: &str, process: &str) -> Candidate {
    Candidate {
        name: format!("{place}/{process}"),
        place: format!("{place}/"),
    }
}

fn silent() -> Beat {
    Box::new(|_| {})
}

async fn open(host: &Path, schema: &str) -> Arc<Store> {
    let url = format!(
        "postgres://mulgil@localhost/postgres?host={}&schema={schema}",
        host.display()
    );
    let place = LedgerPlace::postgres(&url, LEDGER).unwrap();
    let place = place.with_patience(Duration::from_millis(800));
    Arc::new(Store::open(&place, LEDGER).await.unwrap())
}

async fn direct(schema: &str) -> Arc<Store> {
    open(Server::shared().socket().parent().unwrap(), schema).await
}

async fn run(store: &Store) -> Result<i64, Fault> {
    let new = NewRun {
        trigger: Trigger::Manual,
        selector: "*".to_owned(),
        manual: Vec::new(),
        again: Vec::new(),
        named: Vec::new(),
        backfill: None,
    };
    Ok(store.begin_run(new, minute(0)).await?.id)
}

async fn lead(store: &Arc<Store>, candidate: &Candidate) -> Option<Lead> {
    match Lead::take(store, candidate, TIMES, silent()).await.unwrap() {
        Led::Here(lead) => Some(lead),
        Led::Elsewhere(_) => None,
    }
}

#[tokio::test]
async fn one_leads_and_the_other_waits_until_it_is_its_turn() {
    let (a, b) = (direct("turns").await, direct("turns").await);
    let beats = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&beats);
    let beat: Beat = Box::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let Led::Here(first) = Lead::take(&a, &candidate("one", "1"), TIMES, beat).await.unwrap() else {
        panic!("nobody else asked");
    };
    let Led::Elsewhere(held) = Lead::take(&b, &candidate("two", "1"), TIMES, silent()).await.unwrap() else {
        panic!("it is taken");
    };
    assert_eq!((held.lease.holder.as_str(), held.is_live), ("one/1", true));
    assert_eq!(run(&a).await.unwrap(), 1);
    assert_eq!(run(&b).await.unwrap_err().code, codes::LEASE_LOST);
    // It is renewed for longer than it holds.
    tokio::time::sleep(TIMES.lease + TIMES.beat).await;
    assert!(beats.load(Ordering::SeqCst) >= 5, "{beats:?}");
    assert_eq!(run(&a).await.unwrap(), 2);
    first.give_back().await.unwrap();
    let second = lead(&b, &candidate("two", "1")).await.unwrap();
    assert_eq!(second.epoch(), 2);
    assert_eq!(run(&b).await.unwrap(), 3);
    assert_eq!(
        run(&a).await.unwrap_err().code,
        codes::LEASE_LOST,
        "it has given it back"
    );
}

#[tokio::test]
async fn what_slept_past_its_lease_writes_nothing_more() {
    let (a, b) = (direct("slept").await, direct("slept").await);
    // As a process that is stopped: it renews nothing, and believes in its lease.
    let lease = a.take_lease(LEAD, "one/1", Duration::from_millis(300)).await.unwrap();
    a.fence(Fence::Lease(lease.unwrap()));
    assert_eq!(run(&a).await.unwrap(), 1);
    tokio::time::sleep(Duration::from_millis(350)).await;
    let fault = run(&a).await.unwrap_err();
    assert_eq!(fault.code, codes::LEASE_LOST, "over, and nobody else's yet: {fault}");
    let _led = lead(&b, &candidate("two", "1")).await.unwrap();
    assert_eq!(run(&b).await.unwrap(), 2);
    let fault = run(&a).await.unwrap_err();
    assert_eq!(fault.code, codes::LEASE_LOST);
    assert!(fault.message.contains("two/1"), "{fault}");
}

#[tokio::test]
async fn a_process_that_died_is_followed_at_once_by_the_next_of_its_place() {
    let (a, b, c) = (direct("died").await, direct("died").await, direct("died").await);
    let lease = a.take_lease(LEAD, "one/1", Duration::from_hours(1)).await.unwrap();
    assert_eq!(lease.unwrap().epoch, 1);
    assert!(lead(&c, &candidate("on", "1")).await.is_none(), "another place");
    let next = lead(&b, &candidate("one", "2")).await.unwrap();
    assert_eq!(next.epoch(), 2);
}

#[tokio::test]
async fn who_cannot_reach_the_database_gives_up_before_its_lease_is_over() {
    let proxy = Proxy::to(Server::shared().socket());
    let far = open(proxy.folder(), "unreached").await;
    let near = direct("unreached").await;
    let mine = lead(&far, &candidate("one", "1")).await.unwrap();
    run(&far).await.unwrap();
    let mut lost = mine.lost();
    proxy.set(Mode::HangAtSavepoint);
    let fault = lost.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert_eq!(fault.code, codes::LEASE_LOST, "{fault}");
    // Nobody else has it yet: there is time to end what was started.
    assert!(lead(&near, &candidate("two", "1")).await.is_none());
    assert_eq!(run(&far).await.unwrap_err().code, codes::LEASE_LOST);
    tokio::time::sleep(TIMES.lease).await;
    let _led = lead(&near, &candidate("two", "1")).await.unwrap();
    proxy.set(Mode::Open);
    assert_eq!(run(&far).await.unwrap_err().code, codes::LEASE_LOST);
}
