//! What readers see: the session's zone, scopes, hidden columns, names, bounds.

use mulgil_core::{
    codes,
    data_test::Thresholds,
    diagnostic::Severity,
    grid::Unit,
    port::{Engine as _, QueryOutcome, StatementOutcome},
    project::{DataTest, Fingerprint, TestKind},
    task::{BoundTest, TestSpec},
};

use super::*;

async fn year_of_hours(world: &World) -> Interval {
    let range = days("2013-03-01", "2013-12-01");
    world.fill(&fill_days(range, &hours_sql(range))).await.unwrap();
    range
}

#[tokio::test(flavor = "multi_thread")]
async fn time_is_cut_in_the_sessions_zone_on_the_days_that_change_it() {
    let world = World::new();
    year_of_hours(&world).await;
    let odd = |day: &str| {
        format!("select {day} as day, count(*) as hours from t group by 1 having count(*) <> 24 order by 1")
    };
    let dates = ["2013-03-10,23", "2013-11-03,25"];
    assert_eq!(world.rows(&odd("at::date")).await, dates);
    assert_eq!(world.rows(&odd("cast(date_trunc('day', at) as date)")).await, dates);
    assert_eq!(world.rows(&odd("to_char(at, '%Y-%m-%d')")).await, dates);
    assert_eq!(
        world.rows(&odd("date_trunc('day', at)")).await,
        ["2013-03-10T00:00:00-05:00,23", "2013-11-03T00:00:00-04:00,25"]
    );
    let parts = "select extract(month from at), extract(day from at), count(*) from t \
                 group by 1, 2 having count(*) <> 24 order by 1";
    assert_eq!(world.rows(parts).await, ["3,10,23", "11,3,25"]);
    let hours =
        "select extract(hour from at), count(*) from t where at::date = '2013-11-03' group by 1 having count(*) > 1";
    assert_eq!(world.rows(hours).await, ["1,2"]);
    let twice =
        "select date_trunc('hour', at) from t where at::date = '2013-11-03' and extract(hour from at) = 1 order by 1";
    assert_eq!(
        world.rows(twice).await,
        ["2013-11-03T01:00:00-04:00", "2013-11-03T01:00:00-05:00"]
    );
    let literal =
        "select count(*) from t where at >= timestamptz '2013-11-03 00:00:00' and at < '2013-11-04'::timestamptz";
    assert_eq!(world.rows(literal).await, ["25"]);
    let quarter = "select distinct date_trunc('quarter', at) from t order by 1 limit 2";
    assert_eq!(
        world.rows(quarter).await,
        ["2013-01-01T00:00:00-05:00", "2013-04-01T00:00:00-04:00"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn midnights_that_come_twice_are_cut_at_the_first() {
    let world = World::new();
    let sql = "select date_trunc('day', timestamptz '2013-11-03T12:00:00Z')";
    let lines = world.lines("America/Havana", Vec::new(), sql).await.unwrap();
    assert_eq!(lines[1], "2013-11-03T00:00:00-04:00");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_cuts_the_rows_and_prunes_the_files() {
    let world = World::new();
    year_of_hours(&world).await;
    for (scope, rows) in [
        (days("2013-03-09", "2013-03-12"), "71"),
        (days("2013-11-03", "2013-11-04"), "25"),
    ] {
        let lines = world
            .lines("UTC", vec![days_table(Some(scope))], "select count(*) from t")
            .await
            .unwrap();
        assert_eq!(lines[1], rows);
    }
    let scope = days("2013-11-03", "2013-11-04");
    let sql = "explain analyze select sum(n) from t";
    let text = world
        .lines("UTC", vec![days_table(Some(scope))], sql)
        .await
        .unwrap()
        .join("\n");
    assert_eq!(text.matches(".parquet").count(), 1, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn naive_and_date_event_times_are_scoped_in_the_tables_zone() {
    let world = World::new();
    let range = days("2013-11-01", "2013-11-06");
    for (event_time, rows) in [("at::timestamp", ["24", "25"]), ("at::date", ["24", "25"])] {
        let sql = format!("select {event_time} as at, n from ({})", hours_sql(range));
        let mut spec = fill_days(range, &sql);
        spec.replaces_all = true;
        let outcome = world.fill(&spec).await.unwrap();
        assert_eq!(
            outcome.intervals.iter().map(|filled| filled.rows).collect::<Vec<_>>(),
            [24, 24, 25, 24, 24]
        );
        for (scope, rows) in [days("2013-11-02", "2013-11-03"), days("2013-11-03", "2013-11-04")]
            .into_iter()
            .zip(rows)
        {
            let lines = world
                .lines("UTC", vec![days_table(Some(scope))], "select count(*) from t")
                .await
                .unwrap();
            assert_eq!(lines[1], rows, "{event_time}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_columns_are_there_for_those_who_name_them() {
    let world = World::new();
    let range = days("2013-01-01", "2013-01-03");
    world.fill(&fill_days(range, &hours_sql(range))).await.unwrap();
    let zone = "America/New_York";
    let header = |sql: &str| {
        let (world, sql) = (&world, sql.to_owned());
        async move { world.lines(zone, vec![days_table(None)], &sql).await.unwrap()[0].clone() }
    };
    assert_eq!(header("select * from t").await, "at,n");
    assert_eq!(header("select *, _interval from t").await, "at,n,_interval");
    assert_eq!(header("select * from t where _interval > '2013-01-01'").await, "at,n");
    assert_eq!(
        header("select a.*, b.n from t a join t b on a._interval = b._interval limit 1").await,
        "at,n,n"
    );
    let by_interval = "select _interval, count(*) from t group by 1 order by 1";
    assert_eq!(
        world.rows(by_interval).await,
        ["2013-01-01T00:00:00-05:00,24", "2013-01-02T00:00:00-05:00,24"]
    );
    let absent = world
        .lines(zone, vec![days_table(None)], "select _day from t")
        .await
        .unwrap_err();
    assert_eq!(absent.code, codes::BAD_QUERY);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_bound_names_are_there_and_near_misses_are_proposed() {
    let world = World::new();
    let range = days("2013-01-01", "2013-01-02");
    world.fill(&fill_days(range, &hours_sql(range))).await.unwrap();
    let mut orders = days_table(None);
    (orders.schema, orders.name) = (Some("raw".to_owned()), "orders".to_owned());
    for (sql, code, remedy) in [
        ("select * from raw.orderz", codes::BAD_QUERY, "`raw.orders`"),
        ("select nn from raw.orders", codes::BAD_QUERY, "`n`"),
        ("select * frm raw.orders", codes::BAD_QUERY, "mend"),
        ("create table x as select 1", codes::BAD_COLUMN_NAME, "as"),
        (
            "insert into raw.orders select * from raw.orders",
            codes::NOT_CHANGEABLE,
            "its model reads",
        ),
        (
            "explain analyze insert into raw.orders select * from raw.orders",
            codes::UNSUPPORTED_SQL,
            "leave it out",
        ),
        (
            "set datafusion.execution.batch_size = 1",
            codes::UNSUPPORTED_SQL,
            "leave it out",
        ),
        ("select 1; select 2", codes::BAD_QUERY, "one after another"),
    ] {
        let fault = world.lines("UTC", vec![orders.clone()], sql).await.unwrap_err();
        assert_eq!(fault.code, code, "{sql}: {fault}");
        assert!(
            fault.remedy.as_ref().is_some_and(|text| text.contains(remedy)),
            "{sql}: {fault}"
        );
    }
    let tables = world.lines("UTC", vec![orders.clone()], "show tables").await.unwrap();
    assert!(tables.iter().any(|line| line.contains("raw,orders")), "{tables:?}");
    assert!(world.lines("UTC", vec![orders], "describe raw.orders").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn views_read_views_in_their_readers_zone() {
    let world = World::new();
    let range = days("2013-11-03", "2013-11-04");
    world.fill(&fill_days(range, &hours_sql(range))).await.unwrap();
    let view = |name: &str, sql: &str, bindings: Vec<Binding>| Binding {
        schema: None,
        name: name.to_owned(),
        reads: Reads::Query {
            sql: sql.to_owned(),
            bindings,
        },
    };
    let inner = view(
        "inner_view",
        "select at::date as day, count(*) as hours from t group by 1",
        vec![days_table(None)],
    );
    let outer = view("outer_view", "select max(hours) as most from inner_view", vec![inner]);
    let lines = world
        .lines("America/New_York", vec![outer.clone()], "select most from outer_view")
        .await
        .unwrap();
    assert_eq!(lines[1], "25");
    let fault = world
        .lines("UTC", vec![outer], "select * from hidden")
        .await
        .unwrap_err();
    assert_eq!(
        fault.code,
        codes::BAD_QUERY,
        "what a view reads has no name outside of it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_never_filled_says_so_only_when_it_is_read() {
    let world = World::new();
    let fault = world
        .lines("UTC", vec![days_table(None)], "select * from t")
        .await
        .unwrap_err();
    assert_eq!(fault.code, codes::NOT_FILLED_YET);
    assert_eq!(
        world
            .lines("UTC", vec![days_table(None)], "select 1 as one")
            .await
            .unwrap(),
        ["one", "1"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_big_sort_spills_and_a_long_query_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut small = config(&dir);
    small.memory_bytes = 24 << 20;
    let engine = EmbeddedEngine::new(small).unwrap();
    let mut session = engine.session(&SessionSpec {
        bindings: Vec::new(),
        zone: Zone::UTC,
        schema: "shop".to_owned(),
        as_of: None,
    });
    let limits = |timeout_ms| QueryLimits {
        timeout_ms,
        max_rows: None,
    };
    let sort = "select max(x) from (select *, row_number() over (order by k, x) as r from \
                (select x, x * 7919 % 1000003 as k, repeat('x', 40) as pad from (select unnest(range(0, 800000)) as x)))";
    let sorted = session
        .run(sort, Format::Csv, limits(120_000), &mut Bytes::default())
        .await;
    let one_row = QueryOutcome {
        rows: 1,
        truncated: false,
    };
    assert_eq!(sorted.unwrap(), StatementOutcome::Rows(one_row));
    let endless = "with recursive n as (select 1 as i union all select i + 1 from n) select count(*) from n";
    let ended = session
        .run(endless, Format::Csv, limits(50), &mut Bytes::default())
        .await;
    let fault = ended.unwrap_err();
    assert_eq!(fault.code, codes::QUERY_TIMEOUT);
}

/// A data test over the table `t`.
fn asked(name: &str, sql: &str, row_breaks_if: Option<&str>) -> BoundTest {
    BoundTest {
        row_breaks_if: row_breaks_if.map(str::to_owned),
        test: DataTest {
            name: name.to_owned(),
            kind: TestKind::NotNull { column: "n".to_owned() },
            severity: Severity::Error,
            thresholds: Thresholds::default(),
            fingerprint: Fingerprint::default(),
            place: mulgil_core::diagnostic::Place::file("models/schema.yml"),
        },
        sql: sql.to_owned(),
        bindings: vec![days_table(None)],
    }
}

fn all_of(tests: Vec<BoundTest>) -> TestSpec {
    TestSpec {
        instance: Instance::of(NodeName::new("t")),
        relation: relation("t"),
        zone: Zone::UTC,
        tests,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_tests_count_all_failures_and_show_a_few() {
    let world = World::new();
    let range = days("2013-01-01", "2013-01-02");
    world.fill(&fill_days(range, &hours_sql(range))).await.unwrap();
    let spec = all_of(vec![
        asked("holds", "select n from t where n is null", None),
        asked("fails", "select n, at from t where n > 3 order by n", None),
        asked("null", "select nullif(n, 0) as n, 1 as m from t where n = 0", None),
    ]);
    let outcomes = world.engine.test(&spec).await.unwrap();
    assert_eq!((outcomes[0].failures, outcomes[0].sample.len()), (0, 0));
    assert_eq!((outcomes[1].failures, outcomes[1].sample.len()), (20, 5));
    assert_eq!(outcomes[1].sample[0]["n"], 4);
    assert!(outcomes[1].sample[0]["at"].is_string());
    assert_eq!(outcomes[2].sample, [serde_json::json!({"n": null, "m": 1})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_tests_that_look_at_each_row_by_itself_are_asked_together() {
    let world = World::new();
    let range = days("2013-01-01", "2013-01-02");
    world.fill(&fill_days(range, &hours_sql(range))).await.unwrap();
    // Where the pass says that no row breaks a test, its own query is not run.
    let fails = asked("fails", "select n from t where n > 20", Some("n > 20"));
    let null = asked("null", "select n from t where n is null", Some("n is null"));
    let unasked = asked("unasked", "select nothing from t", Some("nullif(n, n) > 1"));
    let other = asked("other", "select n from t where n = 5", None);
    let spec = all_of(vec![null.clone(), other, fails.clone(), unasked]);
    let outcomes = world.engine.test(&spec).await.unwrap();
    let counted: Vec<_> = outcomes.iter().map(|one| (one.name.as_str(), one.failures)).collect();
    assert_eq!(counted, [("null", 0), ("other", 1), ("fails", 3), ("unasked", 0)]);
    assert_eq!(outcomes[2].sample.len(), 3);
    let broken = asked(
        "broken",
        "select nothing from t where nothing is null",
        Some("nothing is null"),
    );
    let fault = world.engine.test(&all_of(vec![null, fails, broken])).await.unwrap_err();
    assert!(
        fault.message.contains("broken") && fault.message.contains("nothing"),
        "{fault}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_until_the_end_of_time_are_found() {
    let world = World::new();
    let sql = "select * from (values (date '9999-12-31', to_timestamp_micros(253402300799000000)), \
               (date '2013-01-01', to_timestamp_micros(1356998400000000))) t(until, at)";
    world.fill(&fill_table("plain", sql, Vec::new())).await.unwrap();
    let plain = binding("plain", Grid::whole(Zone::UTC), None, None, Key::default());
    for (found, expected) in [
        ("until > date '9000-01-01'", "9999-12-31,9999-12-31T18:59:59-05:00"),
        (
            "at > to_timestamp_micros(221845392000000000)",
            "9999-12-31,9999-12-31T18:59:59-05:00",
        ),
        ("until < date '9000-01-01'", "2013-01-01,2012-12-31T19:00:00-05:00"),
    ] {
        let sql = format!("select until, at from plain where {found}");
        let lines = world
            .lines("America/New_York", vec![plain.clone()], &sql)
            .await
            .unwrap();
        assert_eq!(lines[1..], [expected], "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_reads_coarser_and_finer_tables() {
    let world = World::new();
    let range = days("2013-01-01", "2013-03-01");
    let mut months = fill_days(range, &hours_sql(range));
    months.grid = grid(Unit::Month, "America/New_York");
    months.queries[0].sql = format!(
        "select date_trunc('month', at) as at, count(*) as n from ({}) group by 1",
        hours_sql(range)
    );
    let outcome = world.fill(&months).await.unwrap();
    assert_eq!(
        outcome.intervals.iter().map(|filled| filled.rows).collect::<Vec<_>>(),
        [1, 1]
    );
    let scope = Some(days("2013-02-01", "2013-03-01"));
    let table = binding("t", months.grid, Some("at"), scope, Key::default());
    let lines = world
        .lines("America/New_York", vec![table], "select n from t")
        .await
        .unwrap();
    assert_eq!(lines[1..], [(28 * 24).to_string()]);
}
