//! What the ledger reads of a table's history: its own commits, and what strangers touched.

use deltalake::{DeltaTable, arrow::array::RecordBatch, kernel::transaction::CommitProperties, protocol::SaveMode};
use mulgil_core::port::{Author, Commit, Engine as _, TableLog};
use url::Url;

use super::*;

async fn history(world: &World, after: Option<i64>) -> TableLog {
    world
        .engine
        .commits_after(&relation("t"), after)
        .await
        .unwrap()
        .unwrap()
}

/// The table as any other Delta writer opens it.
async fn foreign(world: &World) -> DeltaTable {
    let url = Url::from_directory_path(world.folder("t")).unwrap();
    deltalake::open_table(url).await.unwrap()
}

fn touched_days(commit: &Commit) -> Vec<Instant> {
    commit.touched.iter().map(|touched| touched.at.start).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn our_commits_say_what_they_filled() {
    let world = World::new();
    assert_eq!(world.engine.commits_after(&relation("t"), None).await.unwrap(), None);
    let range = days("2013-01-01", "2013-01-04");
    let outcome = world.fill(&fill_days(range, &hours_sql(range))).await.unwrap();
    let log = history(&world, None).await;
    assert_eq!((log.version, log.highest_seq, log.gap, log.files), (0, 1, false, 3));
    assert!(log.bytes > 0 && log.commits[0].committed_at_us > 0);
    let Author::Ours(tag) = &log.commits[0].author else {
        panic!("it is ours")
    };
    assert_eq!((tag.ledger.as_str(), tag.seq, tag.range), (LEDGER, 1, range));
    assert_eq!(tag.intervals, outcome.intervals);
    assert_eq!(history(&world, Some(0)).await.commits, []);
    assert_eq!(history(&world, Some(0)).await.highest_seq, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_commits_say_which_intervals_they_touched() {
    let world = World::new();
    let range = days("2013-01-01", "2013-01-04");
    world.fill(&fill_days(range, &hours_sql(range))).await.unwrap();
    let deletes = foreign(&world)
        .await
        .delete()
        .with_predicate("n >= 24 and n < 48")
        .await;
    deletes.unwrap();
    let commits = history(&world, Some(0)).await.commits;
    assert_eq!(commits[0].author, Author::Foreign);
    assert_eq!(touched_days(&commits[0]), [at("2013-01-02T05:00:00Z")]);

    let (_, metrics) = foreign(&world).await.vacuum().with_dry_run(false).await.unwrap();
    assert!(metrics.files_deleted.is_empty());
    let maintenance = history(&world, Some(1)).await;
    assert!(maintenance.commits.iter().all(|commit| commit.touched.is_empty()));
    assert_eq!(maintenance.highest_seq, 1);
    assert_eq!(world.rows("select count(*) from t").await, ["48"]);
    world.fill(&fill_days(range, &hours_sql(range))).await.unwrap();
    assert_eq!(world.rows("select count(*) from t").await, ["72"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_rewrite_of_a_plain_table_touches_all_of_it() {
    let world = World::new();
    world.fill(&fill_table("t", "select 1 as a", Vec::new())).await.unwrap();
    let rows = RecordBatch::try_from_iter([(
        "a",
        std::sync::Arc::new(datafusion::arrow::array::Int64Array::from(vec![2])) as datafusion::arrow::array::ArrayRef,
    )])
    .unwrap();
    foreign(&world)
        .await
        .write(vec![rows])
        .with_save_mode(SaveMode::Overwrite)
        .with_commit_properties(CommitProperties::default())
        .await
        .unwrap();
    let commits = history(&world, Some(0)).await.commits;
    assert_eq!(commits[0].author, Author::Foreign);
    assert_eq!(commits[0].touched[0].at, Interval::WHOLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cleaned_has_a_gap() {
    let world = World::new();
    let range = days("2013-01-01", "2013-01-30");
    for interval in grid(mulgil_core::grid::Unit::Day, "America/New_York").intervals(range) {
        world.fill(&fill_days(interval, &hours_sql(interval))).await.unwrap();
    }
    for version in 0..10 {
        std::fs::remove_file(world.folder("t").join(format!("_delta_log/{version:020}.json"))).unwrap();
    }
    assert!(history(&world, Some(5)).await.gap);
    let rest = history(&world, Some(9)).await;
    assert_eq!((rest.gap, rest.commits.len(), rest.highest_seq), (false, 19, 29));
    assert_eq!(world.rows("select count(*) from t").await, [(29 * 24).to_string()]);
}
