//! What has changed since a fact, for those who keep the ledger in memory; and the last day at a glance.

use std::collections::BTreeSet;

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    interval::Interval,
    name::Instance,
    project::Project,
    run::{RunState, TaskKind},
    state::State,
    tick::Fate,
};
use mulgil_store::{Failure, Store, counted};

use super::{
    pages::ran,
    retention::{decided, tick},
    support::*,
};

/// A state that somebody keeps, and the newest fact in it.
struct Kept {
    state: State,
    seq: i64,
}

impl Kept {
    /// Reads what news tell of, and nothing else; then it is as the ledger is.
    async fn follow(&mut self, store: &Store, project: &Project) -> BTreeSet<i64> {
        let news = store.news_after(self.seq).await.unwrap();
        if news.is_of_all {
            self.state = store.load_state(project).await.unwrap();
        } else {
            let told = news.instances.iter();
            let told = told.flat_map(|instance| [instance.clone(), Instance::of(instance.node.clone())]);
            let told: BTreeSet<Instance> = told.collect();
            let told: Vec<Instance> = told.into_iter().collect();
            store.refresh(project, &mut self.state, &told).await.unwrap();
        }
        self.seq = news.newest;
        assert_eq!(
            self.state,
            store.load_state(project).await.unwrap(),
            "after fact {}",
            self.seq
        );
        news.runs
    }
}

#[tokio::test]
async fn who_reads_what_news_tell_of_has_all_that_changed() {
    let (store, project) = (scratch().await, shop());
    let mut kept = Kept {
        state: store.load_state(&project).await.unwrap(),
        seq: 0,
    };
    begin(&store, Vec::new()).await;
    kept.follow(&store, &project).await;
    fill(&store, &project, "flights", days(0, 10), 1, 1).await;
    assert_eq!(kept.follow(&store, &project).await, BTreeSet::from([1]));
    fill(&store, &project, "windows", days(0, 10), 1, 2).await;
    fill(&store, &project, "total", Interval::WHOLE, 1, 3).await;
    kept.follow(&store, &project).await;
    // Readers become stale by what they read.
    fill(&store, &project, "flights", days(4, 6), 2, 4).await;
    kept.follow(&store, &project).await;
    begin(&store, vec![(instance("windows"), set([day(7)]))]).await;
    kept.follow(&store, &project).await;
    let live = claim(&store, &project, "windows", day(7), 5).await;
    kept.follow(&store, &project).await;
    let fault = Diagnostic::error(codes::SQL_FAILED, "it broke");
    store
        .record_failure(&live, day(7), &fault, Failure::Counted, code(1), minute(6))
        .await
        .unwrap();
    kept.follow(&store, &project).await;
    let events = project.source(&name("raw.events")).unwrap();
    for (at, content) in [(7, "a"), (8, "b")] {
        let seen = seen([file(0, content), file(1, "x")]);
        store.record_source(&project, events, &seen, minute(at)).await.unwrap();
        kept.follow(&store, &project).await;
    }
    store
        .waive(&instance("windows"), &set([day(12)]), "minsu", "closed", minute(9))
        .await
        .unwrap();
    kept.follow(&store, &project).await;
    claim(&store, &project, "windows", day(8), 10).await;
    kept.follow(&store, &project).await;
    store.crash_live(minute(11)).await.unwrap();
    kept.follow(&store, &project).await;
    // Nothing came since.
    let (news, queries) = counted(store.news_after(kept.seq)).await;
    assert_eq!((news.unwrap().newest, queries), (kept.seq, 1));
}

#[tokio::test]
async fn flows_are_named_where_news_tell_of_them() {
    let store = scratch().await;
    let run = ran(&store, day(3), RunState::Success, 1).await;
    let news = store.news_after(0).await.unwrap();
    assert!(!news.is_of_all);
    assert_eq!(news.instances, BTreeSet::from([instance("flow:sales")]));
    assert_eq!(news.runs, BTreeSet::from([run]));
}

#[tokio::test]
async fn the_last_day_is_told_in_three_queries() {
    let store = scratch().await;
    let first = ran(&store, day(1), RunState::Failed, 0).await;
    let second = ran(&store, day(2), RunState::Success, 200).await;
    decided(
        &store,
        "flow:late",
        "* * * * * UTC",
        vec![tick(minute(3), Fate::Runs)],
        4,
    )
    .await;
    decided(
        &store,
        "flow:late",
        "* * * * * UTC",
        vec![tick(minute(9), Fate::Runs)],
        9,
    )
    .await;
    decided(
        &store,
        "flow:missed",
        "* * * * * UTC",
        vec![tick(minute(3), Fate::Missed)],
        4,
    )
    .await;
    let (told, queries) = counted(async {
        let runs = store.newest_flow_runs().await.unwrap();
        let failed = store.newest_failed().await.unwrap();
        (runs, failed, store.ticks_without_runs().await.unwrap())
    })
    .await;
    let (runs, failed, open) = told;
    assert_eq!(queries, 3);
    assert_eq!(runs.iter().map(|run| run.run).collect::<Vec<_>>(), [second]);
    let told: Vec<_> = failed
        .iter()
        .map(|row| (row.run, row.instance.to_string(), row.step.as_deref(), row.kind))
        .collect();
    assert_eq!(told, [(first, "flow:sales".to_owned(), Some("load"), TaskKind::Step)]);
    assert_eq!(failed[0].fault.message, "it broke");
    assert_eq!(open.keys().collect::<Vec<_>>(), ["late"]);
    assert_eq!((open["late"].first_at, open["late"].count), (minute(3), 2));
    // Of a flow that had no run since, the newest is told.
    let last_day = |since| store.flow_days(&["other", "sales"], minute(since), 1);
    let (shown, count) = last_day(0).await.unwrap().remove("sales").unwrap();
    assert_eq!(
        (shown.iter().map(|run| run.run).collect::<Vec<_>>(), count),
        (vec![second], 2)
    );
    assert!(last_day(10_000).await.unwrap().is_empty(), "nothing has begun since");
    let of_day = store.runs_of_interval("sales", day(1), 5).await.unwrap();
    assert_eq!(
        of_day.iter().map(|run| (run.run, run.state)).collect::<Vec<_>>(),
        [(first, RunState::Failed)]
    );
    assert_eq!(store.live_attempts().await.unwrap(), 0);
}

#[tokio::test]
async fn a_table_tells_what_each_fill_added_to_it() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 2), 1, 1).await;
    fill(&store, &project, "flights", days(2, 3), 1, 2).await;
    let relation = &project.node(&name("flights")).unwrap().relation;
    let (grown, queries) = counted(store.growth_of(relation, 10)).await;
    let grown = grown.unwrap();
    assert_eq!(queries, 1);
    assert_eq!(
        grown.iter().map(|grown| grown.at).collect::<Vec<_>>(),
        [minute(2), minute(1)]
    );
    assert!(grown.iter().all(|grown| grown.by.is_some()));
    let newest = store.newest_fills(&instance("flights"), days(0, 3), 1).await.unwrap();
    assert_eq!(newest.len(), 1);
    assert_eq!(store.run_of_attempt(newest[0].attempt).await.unwrap(), Some(1));
    assert_eq!(store.run_of_attempt(99).await.unwrap(), None);
}
