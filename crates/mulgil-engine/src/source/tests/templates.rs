//! Names of files and the intervals that they give.

use insta::assert_snapshot;
use mulgil_core::{grid::Unit, port::SourceSeen};

use super::{Fixture, listing};

/// The listing of a template over empty JSON files, or the fault.
async fn found(unit: Unit, zone: &str, template: &str, files: &[&str]) -> String {
    let fixture = Fixture::per(unit, zone, template).format(mulgil_core::project::FileFormat::JsonLines);
    for file in files {
        fixture.write(file, "{}\n");
    }
    match fixture.observe(&SourceSeen::default()).await {
        Ok(seen) => listing(&seen.files),
        Err(fault) => fault.to_string(),
    }
}

#[tokio::test]
async fn units() {
    assert_snapshot!(found(Unit::Year, "UTC", "{YYYY}.csv", &["2013.csv", "2012.csv"]).await, @"");
    assert_snapshot!(found(Unit::Month, "Asia/Seoul", "x/{YYYYMM}", &["x/201302", "x/readme"]).await, @"");
    assert_snapshot!(found(Unit::Week, "UTC", "{YYYY}-W{WW}.csv", &["2013-W01.csv"]).await, @"");
    assert_snapshot!(found(Unit::Day, "America/New_York", "{YYYY-MM-DD}", &["2013-03-10", "2013-11-03"]).await, @"");
    assert_snapshot!(
        found(Unit::Hour, "America/New_York", "{YYYYMMDD}T{HH}.csv", &["20131103T00.csv", "20131103T01.csv", "20131103T02.csv"]).await,
        @""
    );
}

#[tokio::test]
async fn folders() {
    let files = [
        "lake/year=2013/month=03/day=10/part.json",
        "lake/year=2013/month=03/day=11/part.json",
        "lake/year=2013/month=03/day=12/other.json",
        "lake/year=2013/_temporary/day=13/part.json",
        "lake/year=2013/month=04",
    ];
    let template = "lake/year={YYYY}/month={MM}/day={DD}/part.json";
    assert_snapshot!(found(Unit::Day, "UTC", template, &files).await, @"");
    assert_snapshot!(
        found(Unit::Day, "UTC", "{YYYY}/x_{YYYYMMDD}.csv", &["2013/x_20130310.csv", "2013/.x_20130311.csv", "2013/x_20130312.csv.tmp"]).await,
        @""
    );
}

#[tokio::test]
async fn nothing_there() {
    assert_snapshot!(found(Unit::Day, "UTC", "none/{YYYYMMDD}.csv", &[]).await, @"");
}

#[tokio::test]
async fn names_that_are_no_time() {
    assert_snapshot!(found(Unit::Day, "UTC", "x_{YYYYMMDD}.csv", &["x_20130230.csv"]).await, @"");
    assert_snapshot!(found(Unit::Day, "UTC", "{YYYY}/{YYYYMMDD}.csv", &["2013/20140101.csv"]).await, @"");
    assert_snapshot!(found(Unit::Hour, "America/New_York", "{YYYYMMDDHH}", &["2013031002"]).await, @"");
    assert_snapshot!(found(Unit::Hour, "UTC", "{YYYYMMDDHH}", &["2013031024"]).await, @"");
    assert_snapshot!(found(Unit::Week, "UTC", "{YYYY}W{WW}", &["2013W53"]).await, @"");
}

#[tokio::test]
async fn templates_that_cannot_be_used() {
    assert_snapshot!(found(Unit::Day, "UTC", "x_{YYYYMM}.csv", &[]).await, @"");
    assert_snapshot!(found(Unit::Day, "UTC", "x_{YYYYMMDDmm}.csv", &[]).await, @"");
    assert_snapshot!(found(Unit::Day, "UTC", "x_{YYYYMMDD.csv", &[]).await, @"");
}
