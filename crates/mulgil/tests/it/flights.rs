//! The year of flights: filled, equal to DuckDB's figures, and explained; then everything that can
//! change under it, one after the other, on the same filled year.

use std::fs;

use crate::harness::{Place, example};

/// A committed file of figures, without its header.
fn figures(name: &str) -> Vec<String> {
    let text = fs::read_to_string(example().join("expected").join(name)).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn the_year_is_filled_as_duckdb_says_and_every_change_is_due_alone_with_python() {
    let year = Place::year();
    year.mulgil(&["run"]).ends_with(0);
    assert_eq!(year.plan(), Vec::<String>::new());
    equals_duckdb(&year);
    is_explained(&year);
    a_restated_day_restates_its_28_windows(&year);
    a_file_that_goes_leaves_its_rows(&year);
    a_day_removed_by_another_writer_is_filled_again(&year);
}

fn equals_duckdb(year: &Place) {
    let sums = "sum(flights), sum(departed), sum(dep_delay_sum)";
    for (file, sql) in [
        ("delays_by_airline.csv", format!("select carrier, {sums} from delays_daily group by 1 order by 1")),
        ("delays_by_month.csv", format!("select month, {sums} from delays_monthly group by 1 order by 1")),
        ("delays_by_day.csv", format!("select day, {sums} from delays_daily group by 1 order by 1")),
        (
            "delays_daily.csv",
            "select day, carrier, origin, flights, departed, dep_delay_sum, round(dep_delay_avg, 6) from delays_daily order by 1, 2, 3".to_owned(),
        ),
        (
            "delays_28d.csv",
            "select day, origin, carrier, flights, departed, round(dep_delay_avg, 6) from delays_28d order by 1, 2, 3".to_owned(),
        ),
        (
            "flights_weather_by_day.csv",
            "select cast(f.time_hour as date), count(*), count(w.time_hour) from flights f left join weather w on w.origin = f.origin and w.time_hour = f.time_hour group by 1 order by 1".to_owned(),
        ),
    ] {
        assert_eq!(year.rows(&sql), figures(file), "{file}");
    }
    let rows = |table: &str| year.rows(&format!("select count(*) from {table}"))[0].clone();
    for line in figures("rows_by_table.csv") {
        let (table, count) = line.split_once(',').unwrap();
        assert_eq!(rows(table), count, "rows of {table}");
    }
    let joined = "select count(temp) > 0, count(*) = (select count(*) from flights) from flights_weather";
    assert_eq!(year.rows(joined), ["true,true"]);
}

fn is_explained(year: &Place) {
    for (day, hours, readings) in [
        ("2013-03-10", "23 h", 69),
        ("2013-11-03", "25 h", 72),
        ("2013-12-30", "24 h", 57),
        ("2013-12-31", "24 h", 0),
    ] {
        let why = year
            .mulgil(&["why", &format!("weather@{day}"), "--json"])
            .ends_with(0)
            .json();
        assert_eq!(
            (why["length"].as_str(), why["rows"].as_u64()),
            (Some(hours), Some(readings)),
            "{day}"
        );
        assert_eq!(why["status"][0]["is"]["status"], "fresh");
    }
    let status = year.mulgil(&["status", "--json"]).ends_with(0).json();
    for node in status["nodes"].as_array().unwrap() {
        let name = node["node"].as_str().unwrap();
        let intervals = match name {
            "delays_monthly" => 12,
            "airlines" => 1,
            _ => 365,
        };
        assert_eq!(node["counts"]["fresh"], intervals, "{name}");
    }
}

/// Changes the first delay of a day's file.
fn restate(year: &Place, day: &str) {
    year.python(&format!(
        "import gzip\npath = 'data/flights/flights_{day}.csv.gz'\nlines = gzip.open(path, 'rt').read().split('\\n')\nat = lines[0].split(',').index('dep_delay')\nfields = lines[1].split(',')\nfields[at] = str(int(fields[at]) + 1000)\nlines[1] = ','.join(fields)\nopen(path, 'wb').write(gzip.compress('\\n'.join(lines).encode()))"
    ));
}

fn a_restated_day_restates_its_28_windows(year: &Place) {
    restate(year, "20130613");
    assert_eq!(
        year.plan(),
        [
            "delays_28d 2013-06-13..2013-07-11 28 upstream?",
            "delays_daily 2013-06-13..2013-06-14 1 upstream?",
            "delays_monthly 2013-06-01..2013-07-01 1 upstream?",
            "flights 2013-06-13..2013-06-14 1 source",
            "flights_weather 2013-06-13..2013-06-14 1 upstream?",
        ]
    );
    let before = year.rows("select sum(dep_delay_sum) from delays_daily");
    let done = year.mulgil(&["run"]).ends_with(0);
    done.says("delays_28d@2013-06-13..2013-07-11");
    let after = year.rows("select sum(dep_delay_sum) from delays_daily");
    let number = |rows: &[String]| rows[0].parse::<i64>().unwrap();
    assert_eq!(number(&after), number(&before) + 1000);
    assert_eq!(year.plan(), Vec::<String>::new());
    // The last day with 28 windows is 4 December; the windows of a later one end with the year.
    for (day, next, windows) in [("20131204", "2013-12-04", 28), ("20131205", "2013-12-05", 27)] {
        restate(year, day);
        let windows = format!("delays_28d {next}..2014-01-01 {windows} upstream?");
        assert!(year.plan().contains(&windows), "{:?}", year.plan());
        year.mulgil(&["run"]).ends_with(0);
        assert_eq!(year.plan(), Vec::<String>::new());
    }
}

fn a_file_that_goes_leaves_its_rows(year: &Place) {
    let rows = || year.rows("select count(*) from flights where cast(time_hour as date) = date '2013-05-05'");
    let before = rows();
    year.remove("data/flights/flights_20130505.csv.gz");
    assert_eq!(year.plan(), Vec::<String>::new());
    year.mulgil(&["run"]).ends_with(0);
    assert_eq!(rows(), before);
    let status = year.mulgil(&["status"]).ends_with(0);
    assert!(
        status.stdout.contains("data/flights/flights_20130505.csv.gz"),
        "{}",
        status.stdout
    );
    let why = year.mulgil(&["why", "flights@2013-05-05"]).ends_with(0);
    assert!(why.stdout.contains("flights_20130505.csv.gz"), "{}", why.stdout);
    assert!(why.stdout.contains("stale"), "{}", why.stdout);
}

fn a_day_removed_by_another_writer_is_filled_again(year: &Place) {
    let before = year.rows("select count(*), sum(dep_delay_sum) from delays_daily");
    year.python("from deltalake import DeltaTable\nDeltaTable('warehouse/dev_flights/delays_daily' if __import__('os').path.isdir('warehouse/dev_flights') else 'warehouse/flights/delays_daily').delete(\"day = '2013-08-08'\")");
    let gone = year.rows("select count(*) from delays_daily where day = date '2013-08-08'");
    assert_eq!(gone, ["0"]);
    assert_eq!(
        year.plan(),
        [
            "delays_28d 2013-08-08..2013-09-05 28 upstream?",
            "delays_daily 2013-08-08..2013-08-09 1 target",
            "delays_monthly 2013-08-01..2013-09-01 1 upstream?",
        ]
    );
    let done = year.mulgil(&["run"]).ends_with(0);
    assert!(
        !done.stderr.contains("delays_28d"),
        "the rows are as before, so nothing follows:\n{}",
        done.stderr
    );
    assert_eq!(
        year.rows("select count(*), sum(dep_delay_sum) from delays_daily"),
        before
    );
    assert_eq!(year.plan(), Vec::<String>::new());
}
