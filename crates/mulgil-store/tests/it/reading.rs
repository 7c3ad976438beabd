//! What people ask the ledger.

use mulgil_core::{interval::Interval, project::Materialization};
use mulgil_store::LOG_LINES_LIMIT;

use super::support::*;

#[tokio::test]
async fn evidence_names_both_sides_of_each_change() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 10), 1, 1).await;
    fill(&store, &project, "windows", days(0, 10), 1, 2).await;
    fill(&store, &project, "flights", days(4, 6), 2, 3).await;
    begin(&store, vec![(instance("windows"), set([day(7)]))]).await;
    let evidence = store.evidence(&instance("windows"), day(7)).await.unwrap();
    let told: Vec<_> = evidence
        .iter()
        .map(|one| (format!("{:?}", one.cause), &one.detail))
        .collect();
    let before = serde_json::json!({"rows": 10, "content": format!("{:032x}", 1)});
    let after = serde_json::json!({"rows": 10, "content": format!("{:032x}", 2)});
    assert_eq!(
        told,
        [
            (
                "Manual".to_owned(),
                &serde_json::json!({"run": 2, "trigger": "manual", "selector": ""})
            ),
            (
                "Upstream(flights)".to_owned(),
                &serde_json::json!({
                    "upstream": "flights", "interval": day(5), "old": before, "new": after, "attempt": 3,
                })
            ),
        ]
    );
    assert!(evidence.iter().all(|one| one.range == day(7)));
    let earlier = store.evidence(&instance("windows"), day(6)).await.unwrap();
    assert_eq!(earlier.len(), 2, "both changed days lie in its window");
    assert_eq!(store.evidence(&instance("windows"), day(3)).await.unwrap(), []);
}

#[tokio::test]
async fn fills_of_an_interval_are_told_newest_first() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 10), 1, 1).await;
    fill(&store, &project, "flights", days(4, 6), 2, 3).await;
    let fills = store.fills(&instance("flights"), day(4)).await.unwrap();
    let told: Vec<_> = fills
        .iter()
        .map(|one| (one.range, one.attempt, one.run, one.rows, one.content.0, one.version))
        .collect();
    assert_eq!(
        told,
        [
            (days(4, 6), 2, Some(1), 10, 2, Some(1)),
            (days(0, 10), 1, Some(1), 10, 1, Some(0))
        ]
    );
    assert_eq!((fills[0].filled_at, fills[0].fingerprint), (minute(3), code(1)));
    assert_eq!(
        store.fills(&instance("flights"), days(0, 10)).await.unwrap()[1].rows,
        100
    );
}

#[tokio::test]
async fn the_catalog_knows_every_relation_and_which_are_not_declared() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 2), 1, 1).await;
    fill(&store, &project, "total", Interval::WHOLE, 1, 1).await;
    let catalog = store.catalog().await.unwrap();
    let told: Vec<_> = catalog
        .iter()
        .map(|entry| (entry.relation.to_string(), entry.kind, entry.version))
        .collect();
    assert_eq!(
        told,
        [
            ("dev_shop.flights".to_owned(), Materialization::Interval, Some(0)),
            ("dev_shop.total".to_owned(), Materialization::Table, Some(0))
        ]
    );
    assert_eq!(catalog[0].columns, columns());
    let mut smaller = project.clone();
    smaller.nodes.remove(0);
    let undeclared = store.undeclared(&smaller).await.unwrap();
    assert_eq!(
        undeclared.iter().map(|entry| entry.node.as_str()).collect::<Vec<_>>(),
        ["flights"]
    );
    assert!(
        !store
            .load_state(&smaller)
            .await
            .unwrap()
            .nodes
            .contains_key(&instance("flights"))
    );
}

#[tokio::test]
async fn runs_come_newest_first_and_one_that_is_not_there_is_nothing() {
    let store = scratch().await;
    for _ in 0..3 {
        begin(&store, Vec::new()).await;
    }
    let runs = store.runs(2).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(store.run(7).await.unwrap(), None);
}

#[tokio::test]
async fn a_log_keeps_its_order_and_its_bounds() {
    let store = scratch().await;
    store
        .append_log(5, vec!["first".to_owned(), "둘".to_owned()], minute(1))
        .await
        .unwrap();
    store.append_log(5, vec!["한".repeat(20_000)], minute(2)).await.unwrap();
    let lines = store.log(5).await.unwrap();
    assert_eq!(
        (lines[0].text.as_str(), lines[1].text.as_str(), lines[1].at),
        ("first", "둘", minute(1))
    );
    assert_eq!(lines[2].text, "한".repeat(16 * 1024 / 3));
    let flood = (0..LOG_LINES_LIMIT).map(|n| n.to_string()).collect();
    store.append_log(5, flood, minute(3)).await.unwrap();
    let lines = store.log(5).await.unwrap();
    assert_eq!(lines.len() as i64, LOG_LINES_LIMIT);
    assert!(lines[lines.len() - 1].text.starts_with("the log ends here"));
    assert_eq!(store.log(6).await.unwrap(), []);
}

#[tokio::test]
async fn a_refresh_loads_what_it_is_told_and_leaves_the_rest() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 2), 1, 1).await;
    fill(&store, &project, "windows", days(0, 2), 1, 1).await;
    let mut state = store.load_state(&project).await.unwrap();
    fill(&store, &project, "flights", days(2, 3), 1, 2).await;
    fill(&store, &project, "windows", days(2, 3), 1, 2).await;
    let source = project.source(&name("raw.events")).unwrap();
    store
        .record_source(&project, source, &seen([file(0, "a")]), minute(3))
        .await
        .unwrap();
    store
        .refresh(&project, &mut state, &[instance("flights"), instance("raw.events")])
        .await
        .unwrap();
    assert_eq!(in_days(&state.nodes[&instance("flights")].filled.keys()), "0..3");
    assert_eq!(in_days(&state.nodes[&instance("windows")].filled.keys()), "0..2");
    assert_eq!(in_days(&state.sources[&name("raw.events")].available), "0..1");
    store
        .refresh(&project, &mut state, &[instance("windows")])
        .await
        .unwrap();
    assert_eq!(state, store.load_state(&project).await.unwrap());
}
