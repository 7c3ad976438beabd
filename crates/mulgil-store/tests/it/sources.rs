//! Files that come, change and go.

use mulgil_core::{
    interval::Interval,
    port::{Filled, SourceSeen},
    project::{Fingerprint, Project},
    task::FileSeen,
};
use mulgil_store::Store;

use super::support::*;

async fn look(store: &Store, project: &Project, source: &str, seen: &SourceSeen, at: i64) -> Vec<String> {
    let source = project.source(&name(source)).unwrap();
    let dirtied = store.record_source(project, source, seen, minute(at)).await.unwrap();
    assert_eq!(store.sources_seen().await.unwrap()[&source.name], *seen);
    dirtied.iter().map(ToString::to_string).collect()
}

async fn look_at_events(store: &Store, project: &Project, files: &[(i64, &str)], at: i64) -> Vec<String> {
    let seen = seen(files.iter().map(|(n, content)| file(*n, content)));
    look(store, project, "raw.events", &seen, at).await
}

async fn events(store: &Store, project: &Project) -> (String, String) {
    let state = store.load_state(project).await.unwrap();
    let source = &state.sources[&name("raw.events")];
    (in_days(&source.available), in_days(&source.gone))
}

#[tokio::test]
async fn only_what_changed_makes_readers_stale_and_a_look_at_the_same_writes_nothing() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    assert!(
        look_at_events(&store, &project, &[(0, "a"), (1, "b"), (2, "c")], 1)
            .await
            .is_empty()
    );
    assert_eq!(events(&store, &project).await.0, "0..3");
    fill(&store, &project, "flights", days(0, 3), 1, 2).await;
    let facts = store.facts().await.unwrap().len();
    assert!(
        look_at_events(&store, &project, &[(0, "a"), (1, "b"), (2, "c")], 3)
            .await
            .is_empty()
    );
    assert_eq!(store.facts().await.unwrap().len(), facts);
    assert_eq!(
        look_at_events(&store, &project, &[(0, "a"), (1, "B"), (2, "c"), (3, "d")], 4).await,
        ["flights"]
    );
    assert_eq!(stale(&store, &project, "flights").await, ["Source(raw.events) 1..2"]);
    let evidence = store.evidence(&instance("flights"), days(0, 3)).await.unwrap();
    assert_eq!(evidence.len(), 1);
    assert_eq!((evidence[0].range, evidence[0].at), (day(1), minute(4)));
    assert_eq!(
        evidence[0].detail,
        serde_json::json!({"file": "data/day-001.json", "interval": day(1), "old": "b", "new": "B", "gone": false})
    );
}

#[tokio::test]
async fn a_touched_file_with_the_same_bytes_is_no_change() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    look_at_events(&store, &project, &[(0, "a")], 1).await;
    fill(&store, &project, "flights", day(0), 1, 2).await;
    let touched = FileSeen {
        modified_ns: 99,
        ..file(0, "a")
    };
    assert!(
        look(&store, &project, "raw.events", &seen([touched]), 3)
            .await
            .is_empty()
    );
    assert!(stale(&store, &project, "flights").await.is_empty());
}

#[tokio::test]
async fn a_file_that_is_gone_leaves_its_rows_stale_but_not_due() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    look_at_events(&store, &project, &[(0, "a"), (1, "b")], 1).await;
    fill(&store, &project, "flights", days(0, 2), 1, 2).await;
    assert_eq!(look_at_events(&store, &project, &[(0, "a")], 3).await, ["flights"]);
    assert_eq!(events(&store, &project).await, ("0..1".to_owned(), "1..2".to_owned()));
    assert!(stale(&store, &project, "flights").await.is_empty());
    for of in ["flights", "raw.events"] {
        let evidence = store.evidence(&instance(of), days(0, 5)).await.unwrap();
        let told: Vec<_> = evidence
            .iter()
            .map(|one| (one.range, &one.detail["file"], &one.detail["gone"]))
            .collect();
        assert_eq!(told, [(day(1), &"data/day-001.json".into(), &true.into())], "{of}");
    }
    let gone = store.files_gone(&name("raw.events")).await.unwrap();
    assert_eq!(gone, [("data/day-001.json".into(), day(1))]);
    // It comes back as it was, and later as another one.
    assert!(
        look_at_events(&store, &project, &[(0, "a"), (1, "b")], 4)
            .await
            .is_empty()
    );
    assert_eq!(events(&store, &project).await, ("0..2".to_owned(), String::new()));
    assert_eq!(store.evidence(&instance("flights"), days(0, 5)).await.unwrap(), []);
    look_at_events(&store, &project, &[(0, "a")], 5).await;
    assert_eq!(
        look_at_events(&store, &project, &[(0, "a"), (1, "x")], 6).await,
        ["flights"]
    );
    assert_eq!(stale(&store, &project, "flights").await, ["Source(raw.events) 1..2"]);
}

fn weather(content: &str, hours: &[(i64, u128)]) -> SourceSeen {
    let single = FileSeen {
        path: "data/weather.json".into(),
        interval: None,
        ..file(0, content)
    };
    let hours: Vec<Filled> = hours.iter().map(|(n, content)| filled(hour(*n), *content)).collect();
    SourceSeen {
        hours,
        ..seen([single])
    }
}

#[tokio::test]
async fn of_a_single_file_only_the_hours_that_differ_count() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    look(
        &store,
        &project,
        "raw.weather",
        &weather("v1", &[(0, 1), (1, 1), (30, 1), (50, 1)]),
        1,
    )
    .await;
    fill(&store, &project, "weather", days(0, 4), 1, 2).await;
    // One hour changed, one new, one without rows now; the first day is as it was.
    let next = weather("v2", &[(0, 1), (1, 1), (30, 2), (73, 1)]);
    assert_eq!(look(&store, &project, "raw.weather", &next, 3).await, ["weather"]);
    assert_eq!(stale(&store, &project, "weather").await, ["Source(raw.weather) 1..4"]);
    let evidence = store.evidence(&instance("weather"), day(2)).await.unwrap();
    assert_eq!(evidence.len(), 1);
    assert_eq!(evidence[0].detail["interval"], serde_json::to_value(hour(50)).unwrap());
    assert_eq!(evidence[0].detail["new"], serde_json::Value::Null);
    assert_eq!(evidence[0].detail["gone"], false);

    fill(&store, &project, "weather", days(0, 4), 1, 4).await;
    let gone = SourceSeen {
        files: Vec::new(),
        columns: columns(),
        hours: Vec::new(),
        read_as: None,
    };
    assert_eq!(look(&store, &project, "raw.weather", &gone, 5).await, ["weather"]);
    assert!(stale(&store, &project, "weather").await.is_empty());
    let state = store.load_state(&project).await.unwrap();
    assert_eq!(state.sources[&name("raw.weather")].gone, Interval::WHOLE.into());
    // Back with one hour different: that day alone.
    let back = weather("v3", &[(0, 1), (1, 7), (30, 2), (73, 1)]);
    look(&store, &project, "raw.weather", &back, 6).await;
    assert_eq!(stale(&store, &project, "weather").await, ["Source(raw.weather) 0..1"]);
}

#[tokio::test]
async fn a_file_that_is_read_in_another_way_has_other_hours() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    look(&store, &project, "raw.weather", &weather("v1", &[(0, 1), (30, 1)]), 1).await;
    fill(&store, &project, "weather", days(0, 4), 1, 2).await;
    let other = SourceSeen {
        read_as: Some(Fingerprint::of_text("another zone")),
        ..weather("v1", &[(0, 1), (50, 1)])
    };
    assert_eq!(look(&store, &project, "raw.weather", &other, 3).await, ["weather"]);
    assert_eq!(stale(&store, &project, "weather").await, ["Source(raw.weather) 1..3"]);
    let facts = store.facts().await.unwrap().len();
    look(&store, &project, "raw.weather", &other, 4).await;
    assert_eq!(store.facts().await.unwrap().len(), facts);
}

#[tokio::test]
async fn the_first_look_counts_for_readers_that_are_filled_already() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 2), 1, 1).await;
    assert_eq!(
        look_at_events(&store, &project, &[(1, "b"), (2, "c")], 2).await,
        ["flights"]
    );
    assert_eq!(stale(&store, &project, "flights").await, ["Source(raw.events) 1..2"]);
}

#[tokio::test]
async fn a_source_without_files_has_been_looked_at_too() {
    let (store, project) = (scratch().await, shop());
    let nothing = SourceSeen::default();
    assert!(look(&store, &project, "raw.events", &nothing, 1).await.is_empty());
    assert_eq!(store.facts().await.unwrap().len(), 1);
    assert!(look(&store, &project, "raw.events", &nothing, 2).await.is_empty());
    assert_eq!(store.facts().await.unwrap().len(), 1);
}
