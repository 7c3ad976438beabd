//! What a fill makes: intervals, neighbours, keys, hours, columns, content.

use mulgil_core::{
    codes,
    grid::Unit,
    name::{Instance, Key, NodeName},
    port::Engine as _,
    project::Materialization,
    task::FillQuery,
};

use super::*;

fn rows_of(outcome: &FillOutcome) -> Vec<u64> {
    outcome.intervals.iter().map(|filled| filled.rows).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn days_have_their_hours_and_refills_touch_no_neighbour() {
    let world = World::new();
    let range = days("2013-03-09", "2013-03-12");
    let outcome = world.fill(&fill_days(range, &hours_sql(range))).await.unwrap();
    assert_eq!(rows_of(&outcome), [24, 23, 24]);
    assert_eq!(outcome.version, Some(0));
    let names: Vec<_> = outcome.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["at", "n"]);

    let one = days("2013-03-10", "2013-03-11");
    let again = world.fill(&fill_days(one, &hours_sql(one))).await.unwrap();
    assert_eq!(again.version, Some(1));
    assert_eq!(rows_of(&again), [23]);
    assert_ne!(
        again.intervals[0].content, outcome.intervals[1].content,
        "n counts from another start"
    );
    assert_eq!(world.rows("select count(*), max(n) from t").await, ["71,70"]);
    let by_day = "select date_trunc('day', at)::date, count(*) from t group by 1 order by 1";
    assert_eq!(
        world.rows(by_day).await,
        ["2013-03-09,24", "2013-03-10,23", "2013-03-11,24"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_without_rows_takes_the_old_rows_away_and_is_a_commit() {
    let world = World::new();
    let range = days("2013-01-01", "2013-01-03");
    world.fill(&fill_days(range, &hours_sql(range))).await.unwrap();
    let one = days("2013-01-02", "2013-01-03");
    let empty = format!("select * from ({}) where false", hours_sql(one));
    let outcome = world.fill(&fill_days(one, &empty)).await.unwrap();
    assert_eq!((outcome.version, rows_of(&outcome)), (Some(1), vec![0]));
    assert_eq!(world.rows("select count(*) from t").await, ["24"]);

    let later = days("2013-02-01", "2013-02-02");
    let untouched = format!("select * from ({}) where false", hours_sql(later));
    let outcome = world.fill(&fill_days(later, &untouched)).await.unwrap();
    assert_eq!(outcome.version, Some(2));
    let log = world
        .engine
        .commits_after(&relation("t"), Some(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(log.highest_seq, 3);
    assert_eq!(log.commits[0].touched, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_fill_may_be_empty() {
    let world = World::new();
    let range = days("2013-01-01", "2013-01-02");
    let empty = format!("select * from ({}) where false", hours_sql(range));
    let outcome = world.fill(&fill_days(range, &empty)).await.unwrap();
    assert_eq!((outcome.version, rows_of(&outcome)), (Some(0), vec![0]));
    assert_eq!(world.rows("select count(*) from t").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_queries_are_one_commit() {
    let world = World::new();
    let range = days("2013-01-01", "2013-01-06");
    let mut spec = fill_days(range, "");
    spec.queries = spec
        .grid
        .intervals(range)
        .map(|interval| FillQuery {
            range: interval,
            sql: hours_sql(interval),
            bindings: Vec::new(),
        })
        .collect();
    let outcome = world.fill(&spec).await.unwrap();
    assert_eq!((outcome.version, rows_of(&outcome)), (Some(0), vec![24; 5]));
    spec.queries[3].sql = hours_sql(days("2013-01-01", "2013-01-02"));
    let fault = world.fill(&spec).await.unwrap_err();
    assert_eq!(
        fault.code,
        codes::ROW_OUTSIDE_RANGE,
        "a row belongs to its own query's range"
    );
    assert_eq!(world.rows("select count(*) from t").await, ["120"]);
}

fn fill_key(country: &str, range: Interval) -> FillSpec {
    let mut spec = fill_days(range, &hours_sql(range));
    spec.instance = Instance {
        node: NodeName::new("t"),
        key: Key([("country".to_owned(), country.to_owned())].into()),
    };
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_share_a_table_and_leave_each_other_alone() {
    let world = World::new();
    let range = days("2013-01-01", "2013-01-03");
    for country in ["kr", "j p=/%"] {
        let outcome = world.fill(&fill_key(country, range)).await.unwrap();
        assert_eq!(outcome.columns[0].name, "country");
    }
    let one = days("2013-01-01", "2013-01-02");
    let mut less = fill_key("kr", one);
    less.queries[0].sql = format!("select * from ({}) where n < 10", hours_sql(one));
    world.fill(&less).await.unwrap();
    let by_country = "select country, count(*) from t group by 1 order by 1";
    assert_eq!(world.rows(by_country).await, ["j p=/%,48", "kr,34"]);
    let key = Key([("country".to_owned(), "j p=/%".to_owned())].into());
    let own = binding("t", grid(Unit::Day, "America/New_York"), Some("at"), None, key);
    let lines = world.lines("UTC", vec![own], "select count(*) from t").await.unwrap();
    assert_eq!(lines[1], "48");
}

fn fill_hours(range: Interval, sql: &str) -> FillSpec {
    FillSpec {
        grid: grid(Unit::Hour, "America/New_York"),
        ..fill_days(range, sql)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_is_replaced_inside_its_days_file() {
    let world = World::new();
    let range = days("2013-11-03", "2013-11-04");
    let halves = |range: Interval, step: u32| {
        format!(
            "select to_timestamp_micros(u)::timestamptz as at, u % 7 as n \
             from (select unnest(range({}, {}, {step}000000)) as u)",
            range.start.0, range.end.0
        )
    };
    let outcome = world.fill(&fill_hours(range, &halves(range, 1800))).await.unwrap();
    assert_eq!(rows_of(&outcome), [2; 25], "the day has 25 hours");
    let second_one = Interval::new(at("2013-11-03T06:00:00Z"), at("2013-11-03T07:00:00Z")).unwrap();
    let outcome = world
        .fill(&fill_hours(second_one, &halves(second_one, 600)))
        .await
        .unwrap();
    assert_eq!(rows_of(&outcome), [6]);
    let hours = binding(
        "t",
        grid(Unit::Hour, "America/New_York"),
        Some("at"),
        None,
        Key::default(),
    );
    let sql = "select _interval, _day, count(*) from t group by 1, 2 having count(*) <> 2";
    let lines = world.lines("America/New_York", vec![hours.clone()], sql).await.unwrap();
    assert_eq!(lines[1..], ["2013-11-03T01:00:00-05:00,2013-11-03,6"]);
    let lines = world.lines("UTC", vec![hours], "select count(*) from t").await.unwrap();
    assert_eq!(lines[1], (24 * 2 + 6).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_of_a_wide_table_leaves_the_other_hours_files_alone() {
    let world = World::new();
    let wide = (0..40).fold(String::new(), |columns, index| columns + &format!(", n as n{index}"));
    for (version, hour) in ["05", "06", "05"].into_iter().enumerate() {
        let start = at(&format!("2013-01-01T{hour}:00:00Z"));
        let range = Interval::new(start, Instant(start.0 + 3_600_000_000)).unwrap();
        let sql = format!("select at{wide} from ({})", hours_sql(range));
        world.fill(&fill_hours(range, &sql)).await.unwrap();
        let entry = world.folder("t").join(format!("_delta_log/{version:020}.json"));
        let removed = std::fs::read_to_string(entry).unwrap().matches("{\"remove\"").count();
        assert_eq!(
            removed,
            usize::from(version == 2),
            "only the same hour's file is replaced"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_may_come_and_go_and_types_must_fit() {
    let world = World::new();
    let (first, second, third) = (
        days("2013-01-01", "2013-01-02"),
        days("2013-01-02", "2013-01-03"),
        days("2013-01-03", "2013-01-04"),
    );
    world.fill(&fill_days(first, &hours_sql(first))).await.unwrap();
    let more = format!("select at, n::int as n, 'x' as label from ({})", hours_sql(second));
    let outcome = world.fill(&fill_days(second, &more)).await.unwrap();
    assert_eq!(outcome.columns.len(), 3);
    let less = format!("select at, 'y' as label from ({})", hours_sql(third));
    world.fill(&fill_days(third, &less)).await.unwrap();
    let counts = "select count(*), count(n), count(label) from t";
    assert_eq!(world.rows(counts).await, ["72,48,48"]);

    let misfit = format!("select at, n::varchar as n from ({})", hours_sql(third));
    let fault = world.fill(&fill_days(third, &misfit)).await.unwrap_err();
    assert_eq!(fault.code, codes::TYPE_MISFIT);
    assert!(fault.to_string().contains("run t --full"), "{fault}");
    assert_eq!(world.rows(counts).await, ["72,48,48"]);

    let mut whole = fill_days(third, &misfit);
    whole.replaces_all = true;
    let outcome = world.fill(&whole).await.unwrap();
    assert_eq!(outcome.columns.len(), 2);
    assert_eq!(world.rows("select count(*), max(n) from t").await, ["24,9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_days_becomes_one_of_hours_only_as_a_whole() {
    let world = World::new();
    let range = days("2013-01-01", "2013-01-02");
    world.fill(&fill_days(range, &hours_sql(range))).await.unwrap();
    let fault = world.fill(&fill_hours(range, &hours_sql(range))).await.unwrap_err();
    assert_eq!(fault.code, codes::LAYOUT_MISFIT);
    let mut whole = fill_hours(range, &hours_sql(range));
    whole.replaces_all = true;
    world.fill(&whole).await.unwrap();
    let outcome = world.fill(&fill_hours(range, &hours_sql(range))).await.unwrap();
    assert_eq!(outcome.version, Some(2));
    assert_eq!(world.rows("select count(*) from t").await, ["24"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_cut_otherwise_takes_no_part_of_the_new_cut() {
    let world = World::new();
    let range = days("2013-01-01", "2013-02-01");
    let mut months = fill_days(range, &hours_sql(range));
    months.grid = grid(Unit::Month, "America/New_York");
    world.fill(&months).await.unwrap();
    let day = days("2013-01-15", "2013-01-16");
    let fault = world.fill(&fill_days(day, &hours_sql(day))).await.unwrap_err();
    assert_eq!(fault.code, codes::LAYOUT_MISFIT);
    let mut whole = fill_days(range, &hours_sql(range));
    whole.may_replace_all = true;
    assert!(
        world.fill(&whole).await.unwrap().replaced_all,
        "it did not fit otherwise"
    );
    assert!(!world.fill(&whole).await.unwrap().replaced_all, "it fits now");
    world.fill(&fill_days(day, &hours_sql(day))).await.unwrap();
    assert_eq!(world.rows("select count(*) from t").await, [(31 * 24).to_string()]);
    let mut elsewhere = fill_days(day, &hours_sql(day));
    elsewhere.grid = grid(Unit::Day, "Asia/Seoul");
    elsewhere.range = elsewhere.grid.interval_at(day.start);
    let fault = world.fill(&elsewhere).await.unwrap_err();
    assert_eq!(fault.code, codes::LAYOUT_MISFIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_the_same_whatever_the_order_and_the_parts() {
    let world = World::new();
    let range = days("2013-01-01", "2013-01-11");
    let source = format!("select *, 'text ' || n as label from ({})", hours_sql(range));
    let mut contents = Vec::new();
    for sql in [
        source.clone(),
        format!("select * from ({source}) order by n desc"),
        format!("select * from ({source}) where n % 2 = 0 union all select * from ({source}) where n % 2 = 1"),
        format!("select at, n, arrow_cast(label, 'Dictionary(Int32, Utf8)') as label from ({source})"),
    ] {
        let outcome = world.fill(&fill_days(range, &sql)).await.unwrap();
        contents.push(outcome.intervals);
    }
    assert!(contents.iter().all(|content| *content == contents[0]));
    let other = source.replace("'text '", "'text_'");
    let outcome = world.fill(&fill_days(range, &other)).await.unwrap();
    assert!(
        outcome
            .intervals
            .iter()
            .zip(&contents[0])
            .all(|(a, b)| a.rows == b.rows && a.content != b.content)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_replaced_as_a_whole_and_views_store_nothing() {
    let world = World::new();
    let table = fill_table(
        "plain",
        "select 1 as a, null as b, timestamp '2013-01-01 00:00:00' as c",
        Vec::new(),
    );
    let outcome = world.fill(&table).await.unwrap();
    assert_eq!(outcome.intervals[0].interval, Interval::WHOLE);
    let outcome = world
        .fill(&fill_table("plain", "select 'x' as a from range(1, 4)", Vec::new()))
        .await
        .unwrap();
    assert_eq!((outcome.version, rows_of(&outcome)), (Some(1), vec![3]));
    let plain = binding("plain", Grid::whole(Zone::UTC), None, None, Key::default());
    let lines = world
        .lines("UTC", vec![plain.clone()], "select * from plain limit 1")
        .await
        .unwrap();
    assert_eq!(lines, ["a", "x"]);

    let mut view = fill_table("v", "select a || a as aa from plain", vec![plain.clone()]);
    view.materialization = Materialization::View;
    let outcome = world.fill(&view).await.unwrap();
    assert_eq!((outcome.version, outcome.columns[0].name.as_str()), (None, "aa"));
    assert!(!world.folder("v").exists());
    view.queries[0].sql = "select b from plain".to_owned();
    assert_eq!(world.fill(&view).await.unwrap_err().code, codes::UNKNOWN_COLUMN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_may_have_naive_times_from_the_start_or_later() {
    let world = World::new();
    let first = days("2013-01-01", "2013-01-02");
    world.fill(&fill_days(first, &hours_sql(first))).await.unwrap();
    let second = days("2013-01-02", "2013-01-03");
    let naive = format!(
        "select *, timestamp '2013-01-01 10:00:00' as naive from ({})",
        hours_sql(second)
    );
    world.fill(&fill_days(second, &naive)).await.unwrap();
    assert_eq!(
        world.rows("select count(naive), max(naive) from t").await,
        ["24,2013-01-01T10:00:00"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commits_are_read_through_a_checkpoint() {
    let world = World::new();
    let range = days("2013-01-01", "2013-03-01");
    for interval in grid(Unit::Day, "America/New_York").intervals(range) {
        world.fill(&fill_days(interval, &hours_sql(interval))).await.unwrap();
    }
    assert!(world.folder("t").join("_delta_log/_last_checkpoint").exists());
    assert_eq!(world.rows("select count(*) from t").await, [(59 * 24).to_string()]);
    let log = world
        .engine
        .commits_after(&relation("t"), Some(50))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (log.version, log.commits.len(), log.highest_seq, log.files),
        (58, 8, 59, 59)
    );
}
