//! What a fill changes, and what it leaves alone.

use mulgil_core::{codes, interval::Interval, run::RunState};

use super::support::*;

#[tokio::test]
async fn a_first_fill_makes_nothing_stale_and_is_read_back() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    let recorded = fill(&store, &project, "flights", days(0, 5), 7, 1).await;
    assert_eq!(in_days(&recorded.changed), "0..5");
    assert_eq!(recorded.dirtied, []);
    let state = store.load_state(&project).await.unwrap();
    let flights = &state.nodes[&instance("flights")];
    assert_eq!(flights.filled.iter().collect::<Vec<_>>(), [(days(0, 5), &code(1))]);
    assert_eq!(flights.made_at.iter().collect::<Vec<_>>(), [(days(0, 5), &minute(1))]);
    assert!(flights.live.is_empty());
    let contents = store.contents(&instance("flights"), days(1, 3)).await.unwrap();
    assert_eq!(contents, [filled(day(1), 7), filled(day(2), 7)]);
    assert_eq!(recorded_version(&store, &project.nodes[0]).await, Some(0));
}

#[tokio::test]
async fn a_changed_interval_makes_its_readers_stale_through_their_mappings() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    for (of, range) in [
        ("flights", days(0, 40)),
        ("windows", days(0, 40)),
        ("months", days(0, 31)),
        ("total", Interval::WHOLE),
        ("loose", days(0, 40)),
    ] {
        fill(&store, &project, of, range, 1, 1).await;
    }
    let recorded = fill(&store, &project, "flights", day(5), 2, 2).await;
    assert_eq!(recorded.dirtied, [instance("windows"), instance("months")]);
    assert_eq!(stale(&store, &project, "windows").await, ["Upstream(flights) 5..8"]);
    assert_eq!(stale(&store, &project, "months").await, ["Upstream(flights) 0..31"]);
    assert!(
        stale(&store, &project, "total").await.is_empty(),
        "months have not changed yet"
    );
    assert!(stale(&store, &project, "loose").await.is_empty(), "it does not restate");
    fill(&store, &project, "months", days(0, 31), 9, 3).await;
    assert_eq!(stale(&store, &project, "total").await, ["Upstream(months) -inf..inf"]);
}

#[tokio::test]
async fn what_holds_the_same_rows_makes_nothing_stale() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 10), 1, 1).await;
    fill(&store, &project, "windows", days(0, 10), 1, 1).await;
    let recorded = fill(&store, &project, "flights", days(2, 6), 1, 2).await;
    assert!(recorded.changed.is_empty());
    assert_eq!(recorded.dirtied, []);
    assert!(stale(&store, &project, "windows").await.is_empty());
}

#[tokio::test]
async fn a_fill_clears_what_was_stale_before_its_claim_and_keeps_what_came_after() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 10), 1, 1).await;
    fill(&store, &project, "windows", days(0, 10), 1, 1).await;
    fill(&store, &project, "flights", day(2), 2, 2).await;
    assert_eq!(stale(&store, &project, "windows").await, ["Upstream(flights) 2..5"]);
    let claim = claim(&store, &project, "windows", days(0, 10), 3).await;
    // While the reader is being filled its upstream changes once more.
    fill(&store, &project, "flights", day(6), 3, 4).await;
    record(&store, &project, &claim, "windows", days(0, 10), (2, 1), 5).await;
    assert_eq!(stale(&store, &project, "windows").await, ["Upstream(flights) 6..9"]);
}

#[tokio::test]
async fn a_first_fill_keeps_what_became_stale_while_it_ran() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 10), 1, 1).await;
    let claim = claim(&store, &project, "windows", days(0, 10), 3).await;
    fill(&store, &project, "flights", day(6), 3, 4).await;
    record(&store, &project, &claim, "windows", days(0, 10), (2, 1), 5).await;
    assert_eq!(stale(&store, &project, "windows").await, ["Upstream(flights) 6..9"]);
}

#[tokio::test]
async fn each_key_has_its_own_time() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "sales[country=kr]", days(0, 5), 1, 1).await;
    assert_eq!(filled_days(&store, &project, "sales[country=kr]").await, "0..5");
    assert_eq!(filled_days(&store, &project, "sales[country=jp]").await, "");
    for of in ["sales[country=jp]", "report[country=kr]", "report[country=jp]", "both"] {
        fill(&store, &project, of, days(0, 5), 1, 1).await;
    }
    let recorded = fill(&store, &project, "sales[country=kr]", day(3), 2, 2).await;
    assert_eq!(recorded.dirtied, [instance("report[country=kr]"), instance("both")]);
    assert_eq!(
        stale(&store, &project, "report[country=kr]").await,
        ["Upstream(sales) 3..4"]
    );
    assert!(stale(&store, &project, "report[country=jp]").await.is_empty());
    assert_eq!(stale(&store, &project, "both").await, ["Upstream(sales) 3..4"]);
}

#[tokio::test]
async fn ranges_that_a_person_names_are_stale_from_the_run_on() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 5), 1, 1).await;
    begin(&store, vec![(instance("flights"), set([days(3, 8)]))]).await;
    assert_eq!(stale(&store, &project, "flights").await, ["Manual 3..8"]);
    fill(&store, &project, "flights", days(3, 6), 1, 2).await;
    assert_eq!(stale(&store, &project, "flights").await, ["Manual 6..8"]);
}

#[tokio::test]
async fn an_attempt_that_is_not_live_records_nothing() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    let first = claim(&store, &project, "flights", days(0, 5), 1).await;
    assert_eq!(store.crash_live(minute(2)).await.unwrap(), 1);
    let second = claim(&store, &project, "flights", days(0, 5), 3).await;
    assert!(second.epoch > first.epoch && second.seq > first.seq);
    let spec = spec(&project, &instance("flights"), days(0, 5));
    let outcome = mulgil_core::port::FillOutcome {
        version: Some(0),
        table_id: None,
        intervals: tiles(&project, &instance("flights"), days(0, 5), 1),
        written: 0,
        columns: columns(),
        replaced_all: false,
        growth: mulgil_core::port::Growth::default(),
    };
    for claim in [
        first,
        mulgil_core::task::Claim {
            epoch: second.epoch - 1,
            ..second.clone()
        },
    ] {
        let fault = store
            .record_fill(&project, &claim, &spec, &outcome, minute(4))
            .await
            .unwrap_err();
        assert_eq!(fault.code, codes::CLAIM_STALE, "{fault}");
    }
    assert_eq!(filled_days(&store, &project, "flights").await, "");
    store
        .record_fill(&project, &second, &spec, &outcome, minute(4))
        .await
        .unwrap();
    let fault = store
        .record_fill(&project, &second, &spec, &outcome, minute(5))
        .await
        .unwrap_err();
    assert_eq!(fault.code, codes::CLAIM_STALE, "a second record of the same attempt");
}

#[tokio::test]
async fn many_small_fills_stay_few_rows_and_read_back_in_order() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    // Forwards, then backwards, then the hole between.
    for n in (0..300).chain((400..700).rev()).chain([350]) {
        fill(&store, &project, "flights", day(n), n as u128, 1).await;
    }
    assert_eq!(
        filled_days(&store, &project, "flights").await,
        "0..300, 350..351, 400..700"
    );
    let contents = store.contents(&instance("flights"), days(0, 700)).await.unwrap();
    let expected: Vec<_> = (0..300)
        .chain([350])
        .chain(400..700)
        .map(|n| filled(day(n), n as u128))
        .collect();
    assert_eq!(contents, expected);
    let rows = store.derived().await.unwrap();
    let of = |table: &str| rows.iter().filter(|row| row.starts_with(table)).count();
    assert!(
        of("content ") <= 8 && of("cover ") <= 8,
        "{} and {} rows",
        of("content "),
        of("cover ")
    );
    assert_eq!(
        store.run(1).await.unwrap().unwrap().1.last().unwrap().state,
        RunState::Success
    );
}

#[tokio::test]
async fn rows_are_as_old_as_their_claim_whenever_they_are_recorded() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    let claim = claim(&store, &project, "flights", days(0, 5), 1).await;
    record(&store, &project, &claim, "flights", days(0, 5), (1, 0), 9).await;
    let state = store.load_state(&project).await.unwrap();
    let made_at = &state.nodes[&instance("flights")].made_at;
    assert_eq!(made_at.iter().collect::<Vec<_>>(), [(days(0, 5), &minute(1))]);
    assert_eq!(
        store.fills(&instance("flights"), day(1)).await.unwrap()[0].filled_at,
        minute(9)
    );
}

#[tokio::test]
async fn a_fill_that_replaces_all_takes_with_it_what_else_was_filled_in_its_table() {
    let (store, mut project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    for of in ["sales[country=kr]", "sales[country=jp]", "both"] {
        fill(&store, &project, of, days(0, 5), 1, 1).await;
    }
    project.nodes[6].keys[0].values.pop();
    let claim = claim(&store, &project, "sales[country=kr]", days(1, 3), 2).await;
    let kr = instance("sales[country=kr]");
    let spec = spec(&project, &kr, days(1, 3));
    let outcome = mulgil_core::port::FillOutcome {
        version: Some(2),
        table_id: None,
        intervals: tiles(&project, &kr, days(1, 3), 1),
        written: 0,
        columns: columns(),
        replaced_all: true,
        growth: mulgil_core::port::Growth::default(),
    };
    let recorded = store
        .record_fill(&project, &claim, &spec, &outcome, minute(3))
        .await
        .unwrap();
    assert_eq!(recorded.dirtied, [instance("sales[country=jp]"), kr.clone()]);
    let project = shop();
    assert_eq!(filled_days(&store, &project, "sales[country=kr]").await, "1..3");
    assert_eq!(filled_days(&store, &project, "sales[country=jp]").await, "");
    let state = store.load_state(&project).await.unwrap();
    let holds = &state.tables[&project.nodes[6].relation].holds;
    assert_eq!(holds.iter().collect::<Vec<_>>(), [&kr]);
    assert!(
        stale(&store, &project, "both").await.is_empty(),
        "until it comes back and differs"
    );
}
