//! Data tests: what they keep from readers, and when they let it go.

use mulgil_core::{
    data_test::Threshold,
    diagnostic::Severity,
    interval::Interval,
    port::TestOutcome,
    project::{Project, Publish},
    run::{RunState, TaskKind},
    task::{BoundTest, Claim, TestSpec},
};
use mulgil_store::{ClaimRequest, Store};

use super::support::*;

fn tested() -> Project {
    let mut project = shop();
    project.nodes[6] = with_test(project.nodes[6].clone(), "unique_sales_id", Severity::Warning);
    project
}

async fn claim_tests(store: &Store, project: &Project, at: i64) -> Claim {
    let request = ClaimRequest {
        kind: TaskKind::Test,
        ..request(project, 1, &instance("sales"), Interval::WHOLE)
    };
    store.claim(request, minute(at)).await.unwrap()
}

async fn record_tests(store: &Store, project: &Project, claim: &Claim, failures: &[(&str, u64)], at: i64) {
    let node = project.node(&name("sales")).unwrap();
    let spec = TestSpec {
        instance: instance("sales"),
        relation: node.relation.clone(),
        zone: node.grid.zone.clone(),
        tests: node
            .tests
            .iter()
            .map(|test| BoundTest {
                row_breaks_if: None,
                test: test.clone(),
                sql: String::new(),
                bindings: Vec::new(),
            })
            .collect(),
    };
    let outcome = |(name, failures): &(&str, u64)| TestOutcome {
        name: (*name).to_owned(),
        failures: *failures,
        sample: Vec::new(),
    };
    let outcomes: Vec<_> = failures.iter().map(outcome).collect();
    store
        .record_tests(project, claim, &spec, &outcomes, minute(at))
        .await
        .unwrap();
}

async fn untested(store: &Store, project: &Project) -> [String; 2] {
    let state = store.load_state(project).await.unwrap();
    ["sales[country=kr]", "sales[country=jp]"].map(|of| {
        in_days(
            &state
                .nodes
                .get(&instance(of))
                .map(|node| node.untested.clone())
                .unwrap_or_default(),
        )
    })
}

#[tokio::test]
async fn new_intervals_wait_until_the_blocking_tests_have_passed() {
    let (store, project) = (scratch().await, tested());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "sales[country=kr]", days(0, 3), 1, 1).await;
    fill(&store, &project, "sales[country=jp]", days(1, 2), 1, 1).await;
    assert_eq!(untested(&store, &project).await, ["0..3", "1..2"]);

    let claim = claim_tests(&store, &project, 2).await;
    record_tests(
        &store,
        &project,
        &claim,
        &[("not_null_sales_id", 4), ("unique_sales_id", 0)],
        3,
    )
    .await;
    assert_eq!(untested(&store, &project).await, ["0..3", "1..2"]);

    let claim = claim_tests(&store, &project, 4).await;
    // What is filled after the tests began was not seen by them.
    fill(&store, &project, "sales[country=kr]", days(3, 4), 1, 5).await;
    record_tests(
        &store,
        &project,
        &claim,
        &[("not_null_sales_id", 0), ("unique_sales_id", 9)],
        6,
    )
    .await;
    assert_eq!(untested(&store, &project).await, ["3..4", ""]);

    let state = store.load_state(&project).await.unwrap();
    let tests = &state.nodes[&instance("sales")].tests;
    assert_eq!(tests["not_null_sales_id"].failures, 0);
    assert_eq!(tests["unique_sales_id"].failures, 9);
    let seen = tests["not_null_sales_id"].fill_seq;
    assert!(seen > state.nodes[&instance("sales[country=jp]")].fill_seq);
    assert!(seen < state.nodes[&instance("sales[country=kr]")].fill_seq);
    let (_, tasks) = store.run(1).await.unwrap().unwrap();
    let of_tests: Vec<_> = tasks
        .iter()
        .filter(|task| task.kind == TaskKind::Test)
        .map(|task| task.state)
        .collect();
    assert_eq!(
        of_tests,
        [RunState::Success],
        "a warning does not fail the attempt that came last"
    );
}

#[tokio::test]
async fn a_test_alone_lets_nothing_go_that_another_has_not_seen() {
    let (store, project) = (scratch().await, tested());
    let strict = {
        let mut project = project.clone();
        project.nodes[6] = with_test(project.nodes[6].clone(), "accepted_sales_kind", Severity::Error);
        project
    };
    begin(&store, Vec::new()).await;
    fill(&store, &strict, "sales[country=kr]", days(0, 3), 1, 1).await;
    let claim = claim_tests(&store, &strict, 2).await;
    record_tests(&store, &strict, &claim, &[("not_null_sales_id", 0)], 3).await;
    assert_eq!(untested(&store, &strict).await[0], "0..3");
    let claim = claim_tests(&store, &strict, 4).await;
    record_tests(&store, &strict, &claim, &[("accepted_sales_kind", 0)], 5).await;
    assert_eq!(untested(&store, &strict).await[0], "");
}

#[tokio::test]
async fn tests_that_are_not_declared_any_more_keep_nobody_waiting() {
    let (store, project) = (scratch().await, tested());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "sales[country=kr]", days(0, 3), 1, 1).await;
    let mut without = project.clone();
    without.nodes[6].tests.clear();
    assert_eq!(untested(&store, &without).await[0], "");
    assert_eq!(untested(&store, &project).await[0], "0..3");
}

#[tokio::test]
async fn rows_below_the_threshold_of_a_test_keep_nothing_from_readers() {
    let (store, mut project) = (scratch().await, tested());
    let thresholds = &mut project.nodes[6].tests[0].thresholds;
    thresholds.error_if = Threshold::parse("> 10").unwrap();
    begin(&store, Vec::new()).await;
    fill(&store, &project, "sales[country=kr]", days(0, 3), 1, 1).await;

    let claim = claim_tests(&store, &project, 2).await;
    record_tests(&store, &project, &claim, &[("not_null_sales_id", 11)], 3).await;
    assert_eq!(untested(&store, &project).await, ["0..3", ""]);

    let claim = claim_tests(&store, &project, 4).await;
    record_tests(&store, &project, &claim, &[("not_null_sales_id", 10)], 5).await;
    assert_eq!(untested(&store, &project).await, ["", ""]);
    let (_, tasks) = store.run(1).await.unwrap().unwrap();
    let states: Vec<_> = tasks
        .iter()
        .filter(|task| task.kind == TaskKind::Test)
        .map(|task| task.state)
        .collect();
    assert_eq!(states, [RunState::Success]);
}

/// The newest version of the table of `sales`, and the one that readers see.
async fn versions(store: &Store, project: &Project) -> (Option<i64>, Option<i64>) {
    let relation = &project.node(&name("sales")).unwrap().relation;
    let versions = store.versions().await.unwrap().remove(relation).unwrap_or_default();
    (versions.newest, versions.published)
}

#[tokio::test]
async fn a_version_is_published_with_the_tests_that_it_passes() {
    let (store, mut project) = (scratch().await, tested());
    project.nodes[6].publish = Publish::AfterTests;
    begin(&store, Vec::new()).await;
    fill(&store, &project, "sales[country=kr]", days(0, 3), 1, 1).await;
    fill(&store, &project, "sales[country=jp]", days(0, 3), 1, 1).await;
    assert_eq!(versions(&store, &project).await, (Some(1), None));
    assert_eq!(store.publish_tested(&project, minute(2)).await.unwrap(), []);

    let claim = claim_tests(&store, &project, 2).await;
    record_tests(&store, &project, &claim, &[("not_null_sales_id", 1)], 3).await;
    assert_eq!(versions(&store, &project).await, (Some(1), None));
    let claim = claim_tests(&store, &project, 4).await;
    record_tests(
        &store,
        &project,
        &claim,
        &[("not_null_sales_id", 0), ("unique_sales_id", 7)],
        5,
    )
    .await;
    assert_eq!(versions(&store, &project).await, (Some(1), Some(1)));

    // What was filled beside the tests was not seen by them: all of the version waits.
    fill(&store, &project, "sales[country=kr]", days(3, 4), 1, 6).await;
    let claim = claim_tests(&store, &project, 7).await;
    fill(&store, &project, "sales[country=jp]", days(3, 4), 1, 8).await;
    record_tests(&store, &project, &claim, &[("not_null_sales_id", 0)], 9).await;
    assert_eq!(versions(&store, &project).await, (Some(3), Some(1)));
    assert_eq!(untested(&store, &project).await, ["3..4", "3..4"]);

    // Published at once again, the newest is seen after the next look; then each as it comes.
    project.nodes[6].publish = Publish::AtOnce;
    let published = store.publish_tested(&project, minute(10)).await.unwrap();
    assert_eq!(published, [(name("sales"), 3)]);
    fill(&store, &project, "sales[country=jp]", days(4, 5), 1, 11).await;
    assert_eq!(versions(&store, &project).await, (Some(4), Some(4)));
}

#[tokio::test]
async fn what_somebody_else_wrote_is_not_seen_before_it_is_filled_again_and_tested() {
    let (store, mut project) = (scratch().await, tested());
    project.nodes[6].publish = Publish::AfterTests;
    begin(&store, Vec::new()).await;
    fill(&store, &project, "sales[country=kr]", days(0, 3), 1, 1).await;
    let claim = claim_tests(&store, &project, 2).await;
    record_tests(&store, &project, &claim, &[("not_null_sales_id", 0)], 3).await;
    let log = log_of(1, vec![foreign(1, minute(4), &[("country=kr", day(1))])]);
    store
        .adopt(&project, &project.nodes[6], Some(&log), minute(5))
        .await
        .unwrap();
    store.publish_tested(&project, minute(6)).await.unwrap();
    assert_eq!(versions(&store, &project).await, (Some(1), Some(0)));
    // A commit that touched no rows is only another way to keep them.
    fill(&store, &project, "sales[country=kr]", day(1), 1, 7).await;
    let claim = claim_tests(&store, &project, 8).await;
    record_tests(&store, &project, &claim, &[("not_null_sales_id", 0)], 9).await;
    assert_eq!(versions(&store, &project).await, (Some(2), Some(2)));
    let log = log_of(3, vec![foreign(3, minute(10), &[])]);
    store
        .adopt(&project, &project.nodes[6], Some(&log), minute(11))
        .await
        .unwrap();
    assert_eq!(versions(&store, &project).await, (Some(3), Some(2)));
    store.publish_tested(&project, minute(12)).await.unwrap();
    assert_eq!(versions(&store, &project).await, (Some(3), Some(3)));
}
