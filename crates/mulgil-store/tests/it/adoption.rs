//! The table is the truth: what its log holds and the ledger does not.

use mulgil_core::{
    interval::{Instant, Interval},
    port::Author,
    run::RunState,
};
use mulgil_store::{Store, fact::ForeignCommit};

use super::support::*;

#[tokio::test]
async fn our_own_commit_is_recorded_like_the_fill_that_it_was_and_only_once() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "windows", days(0, 9), 1, 1).await;
    let lost = claim(&store, &project, "flights", days(0, 5), 1).await;
    store.crash_live(minute(2)).await.unwrap();
    let of = instance("flights");
    let log = log_of(
        0,
        vec![ours(
            0,
            &lost,
            "flights",
            days(0, 5),
            tiles(&project, &of, days(0, 5), 7),
        )],
    );
    let adopted = store
        .adopt(&project, &project.nodes[0], Some(&log), minute(3))
        .await
        .unwrap();
    assert_eq!(adopted.adopted, [(of.clone(), days(0, 5))]);
    assert_eq!(adopted.dirtied, [instance("windows")]);
    assert_eq!(filled_days(&store, &project, "flights").await, "0..5");
    let (_, task_runs) = store.run(1).await.unwrap().unwrap();
    let attempt = &task_runs[1].attempts[0];
    assert_eq!(
        (attempt.state, attempt.rows, attempt.version),
        (RunState::Success, Some(50), Some(0))
    );
    let facts = store.facts().await.unwrap().len();
    let again = store
        .adopt(&project, &project.nodes[0], Some(&log), minute(4))
        .await
        .unwrap();
    assert_eq!(again, mulgil_store::Adopted::default());
    assert_eq!(
        store.facts().await.unwrap().len(),
        facts,
        "nothing is written the second time"
    );
}

#[tokio::test]
async fn a_lost_ledger_is_made_anew_from_its_tables() {
    let (old, project) = (scratch().await, shop());
    begin(&old, Vec::new()).await;
    for n in 0..20 {
        fill(&old, &project, "months", days(31 * n, 31 * n + 1), 1, 1).await;
    }
    let claim = claim(&old, &project, "flights", days(0, 5), 1).await;
    let new = scratch().await;
    let of = instance("flights");
    let log = log_of(
        4,
        vec![ours(
            4,
            &claim,
            "flights",
            days(0, 5),
            tiles(&project, &of, days(0, 5), 7),
        )],
    );
    new.adopt(&project, &project.nodes[0], Some(&log), minute(1))
        .await
        .unwrap();
    assert_eq!(filled_days(&new, &project, "flights").await, "0..5");
    begin(&new, Vec::new()).await;
    let next = super::support::claim(&new, &project, "flights", days(5, 6), 2).await;
    assert!(next.seq > claim.seq && next.epoch > claim.epoch && next.attempt > claim.attempt);
    let fills = new.fills(&of, day(1)).await.unwrap();
    assert_eq!(
        (fills[0].attempt, fills[0].run, fills[0].adopted),
        (claim.attempt, None, true)
    );
}

#[tokio::test]
async fn what_others_wrote_is_stale_where_it_is_filled_and_not_filled_again_since() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 10), 1, 1).await;
    fill(&store, &project, "windows", days(0, 4), 1, 1).await;
    let later = claim(&store, &project, "flights", days(6, 8), 2).await;
    let tag = ours(
        2,
        &later,
        "flights",
        days(6, 8),
        tiles(&project, &instance("flights"), days(6, 8), 1),
    );
    record(&store, &project, &later, "flights", days(6, 8), (1, 2), 3).await;
    // Version 1 was somebody else's: it is not passed over.
    assert_eq!(recorded_version(&store, &project.nodes[0]).await, Some(0));
    let touched = Interval {
        start: days(5, 6).start,
        end: Instant(days(12, 13).start.0 - 1),
    };
    let log = log_of(2, vec![foreign(1, minute(2), &[("", touched)]), tag]);
    let adopted = store
        .adopt(&project, &project.nodes[0], Some(&log), minute(4))
        .await
        .unwrap();
    assert_eq!(adopted.adopted, []);
    assert_eq!(
        adopted.foreign,
        [ForeignCommit::Commit {
            version: 1,
            committed_at: minute(2)
        }]
    );
    assert_eq!(stale(&store, &project, "flights").await, ["Target 5..6, 8..10"]);
    assert!(
        stale(&store, &project, "windows").await.is_empty(),
        "it was filled before that commit"
    );
    let evidence = store.evidence(&instance("flights"), day(5)).await.unwrap();
    assert_eq!(evidence[0].detail["version"], 1);
    assert_eq!(recorded_version(&store, &project.nodes[0]).await, Some(2));
}

#[tokio::test]
async fn a_reader_that_was_filled_after_a_foreign_commit_is_stale_too() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 10), 1, 1).await;
    fill(&store, &project, "windows", days(0, 10), 1, 5).await;
    let log = log_of(1, vec![foreign(1, minute(3), &[("", day(4))])]);
    store
        .adopt(&project, &project.nodes[0], Some(&log), minute(6))
        .await
        .unwrap();
    assert_eq!(stale(&store, &project, "flights").await, ["Target 4..5"]);
    assert_eq!(stale(&store, &project, "windows").await, ["Upstream(flights) 4..7"]);
}

#[tokio::test]
async fn a_foreign_commit_touches_the_key_that_it_names_or_all_of_them() {
    let (store, project) = (scratch().await, shop());
    let sales = &project.nodes[6];
    begin(&store, Vec::new()).await;
    for of in ["sales[country=kr]", "sales[country=jp]"] {
        fill(&store, &project, of, days(0, 5), 1, 1).await;
    }
    let log = log_of(2, vec![foreign(2, minute(3), &[("country=jp", day(1)), ("", day(3))])]);
    store.adopt(&project, sales, Some(&log), minute(4)).await.unwrap();
    assert_eq!(
        stale(&store, &project, "sales[country=jp]").await,
        ["Target 1..2, 3..4"]
    );
    assert_eq!(stale(&store, &project, "sales[country=kr]").await, ["Target 3..4"]);
}

#[tokio::test]
async fn maintenance_moves_the_version_and_nothing_else() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 5), 1, 1).await;
    let log = log_of(1, vec![foreign(1, minute(2), &[])]);
    let adopted = store
        .adopt(&project, &project.nodes[0], Some(&log), minute(3))
        .await
        .unwrap();
    assert_eq!(adopted, mulgil_store::Adopted::default());
    assert!(stale(&store, &project, "flights").await.is_empty());
    let tables = store.table_sizes().await.unwrap();
    assert_eq!(
        (tables[0].version, tables[0].bytes, tables[0].files),
        (Some(1), 1000, 10)
    );
}

#[tokio::test]
async fn a_log_with_a_gap_or_an_older_table_makes_everything_stale() {
    for version in [9, 0] {
        let (store, project) = (scratch().await, shop());
        begin(&store, Vec::new()).await;
        fill(&store, &project, "flights", days(0, 5), 1, 1).await;
        fill(&store, &project, "flights", days(5, 7), 1, 1).await;
        fill(&store, &project, "windows", days(0, 4), 1, 1).await;
        let mut log = log_of(version, Vec::new());
        log.gap = version == 9;
        store
            .adopt(&project, &project.nodes[0], Some(&log), minute(3))
            .await
            .unwrap();
        assert_eq!(stale(&store, &project, "flights").await, ["Target 0..7"]);
        assert_eq!(
            stale(&store, &project, "windows").await,
            ["Upstream(flights) 0..4"],
            "nobody knows since when"
        );
        assert_eq!(recorded_version(&store, &project.nodes[0]).await, Some(version));
    }
}

async fn vanished(store: &Store, project: &mulgil_core::project::Project) -> mulgil_store::Adopted {
    store.adopt(project, &project.nodes[0], None, minute(3)).await.unwrap()
}

#[tokio::test]
async fn a_table_that_is_gone_takes_its_fills_with_it_and_its_readers_stay_until_it_differs() {
    let (store, project) = (scratch().await, shop());
    begin(&store, vec![(instance("flights"), set([day(3)]))]).await;
    fill(&store, &project, "flights", days(0, 3), 1, 1).await;
    fill(&store, &project, "windows", days(0, 3), 1, 1).await;
    assert_eq!(vanished(&store, &project).await.vanished, [instance("flights")]);
    assert_eq!(vanished(&store, &project).await, mulgil_store::Adopted::default());
    assert_eq!(filled_days(&store, &project, "flights").await, "");
    assert_eq!(stale(&store, &project, "flights").await, ["Manual 3..4"]);
    assert_eq!(store.contents(&instance("flights"), days(0, 3)).await.unwrap(), []);
    assert_eq!(recorded_version(&store, &project.nodes[0]).await, None);
    // It comes back as it was, but for one day.
    fill(&store, &project, "flights", days(0, 2), 1, 4).await;
    assert!(stale(&store, &project, "windows").await.is_empty());
    fill(&store, &project, "flights", day(2), 2, 4).await;
    assert_eq!(stale(&store, &project, "windows").await, ["Upstream(flights) 2..3"]);
}

#[tokio::test]
async fn an_old_commit_of_ours_does_not_undo_a_newer_one() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    let lost = claim(&store, &project, "flights", days(0, 4), 1).await;
    store.crash_live(minute(1)).await.unwrap();
    let newer = claim(&store, &project, "flights", days(1, 2), 2).await;
    record(&store, &project, &newer, "flights", days(1, 2), (5, 1), 3).await;
    let of = instance("flights");
    let log = log_of(
        1,
        vec![
            ours(0, &lost, "flights", days(0, 4), tiles(&project, &of, days(0, 4), 7)),
            ours(1, &newer, "flights", days(1, 2), tiles(&project, &of, days(1, 2), 5)),
        ],
    );
    let adopted = store
        .adopt(&project, &project.nodes[0], Some(&log), minute(4))
        .await
        .unwrap();
    assert_eq!(adopted.adopted, [(of.clone(), days(0, 1)), (of.clone(), days(2, 4))]);
    let contents = store.contents(&of, days(0, 4)).await.unwrap();
    assert_eq!(
        contents,
        [
            filled(day(0), 7),
            filled(day(1), 5),
            filled(day(2), 7),
            filled(day(3), 7)
        ]
    );
}

/// When what an instance has filled was made, all of it.
async fn made_at(store: &Store, project: &mulgil_core::project::Project, of: &str) -> Vec<Instant> {
    let state = store.load_state(project).await.unwrap();
    state.nodes[&instance(of)].made_at.iter().map(|(_, at)| *at).collect()
}

#[tokio::test]
async fn an_adopted_fill_is_as_old_as_its_claim_or_as_its_commit_where_the_claim_is_lost() {
    let (old, project) = (scratch().await, shop());
    begin(&old, Vec::new()).await;
    let claim = claim(&old, &project, "flights", days(0, 5), 0).await;
    old.crash_live(minute(2)).await.unwrap();
    let intervals = tiles(&project, &instance("flights"), days(0, 5), 7);
    let log = log_of(0, vec![ours(0, &claim, "flights", days(0, 5), intervals)]);
    let new = scratch().await;
    for store in [&old, &new] {
        store
            .adopt(&project, &project.nodes[0], Some(&log), minute(9))
            .await
            .unwrap();
    }
    assert_eq!(made_at(&old, &project, "flights").await, [minute(0)]);
    assert_eq!(
        made_at(&new, &project, "flights").await,
        [minute(1)],
        "its commit's time"
    );
}

#[tokio::test]
async fn a_table_whose_log_does_not_tell_all_may_hold_more_than_is_filled() {
    let (store, project) = (scratch().await, shop());
    let flights = &project.nodes[0];
    begin(&store, Vec::new()).await;
    let is_uncounted = async || {
        let state = store.load_state(&project).await.unwrap();
        state.tables[&flights.relation].uncounted
    };
    let mut log = log_of(9, Vec::new());
    log.gap = true;
    store.adopt(&project, flights, Some(&log), minute(1)).await.unwrap();
    assert!(is_uncounted().await);
    fill(&store, &project, "flights", days(0, 5), 1, 2).await;
    assert!(is_uncounted().await);
    let claim = claim(&store, &project, "flights", day(1), 3).await;
    let mut commit = ours(11, &claim, "flights", day(1), vec![filled(day(1), 1)]);
    if let mulgil_core::port::Author::Ours(tag) = &mut commit.author {
        tag.replaces_all = true;
    }
    let log = log_of(11, vec![commit]);
    store.adopt(&project, flights, Some(&log), minute(4)).await.unwrap();
    assert!(!is_uncounted().await);
    assert_eq!(filled_days(&store, &project, "flights").await, "1..2");
}

#[tokio::test]
async fn a_commit_with_hooks_to_come_is_filled_and_due_again() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    let lost = claim(&store, &project, "flights", days(0, 5), 1).await;
    store.crash_live(minute(2)).await.unwrap();
    let of = instance("flights");
    let mut commit = ours(0, &lost, "flights", days(0, 5), tiles(&project, &of, days(0, 5), 7));
    if let Author::Ours(tag) = &mut commit.author {
        tag.then_hooks = true;
    }
    let log = log_of(0, vec![commit]);
    let adopt = async |at| {
        store
            .adopt(&project, &project.nodes[0], Some(&log), minute(at))
            .await
            .unwrap()
    };
    let adopted = adopt(3).await;
    assert_eq!(adopted.adopted, [(of.clone(), days(0, 5))]);
    assert_eq!(adopted.dirtied, [of]);
    assert_eq!(filled_days(&store, &project, "flights").await, "0..5");
    assert_eq!(stale(&store, &project, "flights").await, ["Hooks 0..5"]);
    let (_, task_runs) = store.run(1).await.unwrap().unwrap();
    assert_eq!(task_runs[0].attempts[0].state, RunState::Crashed);
    assert_eq!(adopt(4).await, mulgil_store::Adopted::default());

    // Filled again, with its hooks: nothing is left of it.
    fill(&store, &project, "flights", days(0, 5), 7, 5).await;
    assert_eq!(stale(&store, &project, "flights").await, Vec::<String>::new());
}
