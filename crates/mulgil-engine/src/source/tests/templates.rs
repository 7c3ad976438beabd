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
    assert_snapshot!(found(Unit::Year, "UTC", "{YYYY}.csv", &["2013.csv", "2012.csv"]).await, @r"
    2012.csv 2012-01-01T00:00:00Z..2013-01-01T00:00:00Z
    2013.csv 2013-01-01T00:00:00Z..2014-01-01T00:00:00Z
    ");
    assert_snapshot!(found(Unit::Month, "Asia/Seoul", "x/{YYYYMM}", &["x/201302", "x/readme"]).await, @"x/201302 2013-01-31T15:00:00Z..2013-02-28T15:00:00Z");
    assert_snapshot!(found(Unit::Week, "UTC", "{YYYY}-W{WW}.csv", &["2013-W01.csv"]).await, @"2013-W01.csv 2012-12-31T00:00:00Z..2013-01-07T00:00:00Z");
    assert_snapshot!(found(Unit::Day, "America/New_York", "{YYYY-MM-DD}", &["2013-03-10", "2013-11-03"]).await, @r"
    2013-03-10 2013-03-10T05:00:00Z..2013-03-11T04:00:00Z
    2013-11-03 2013-11-03T04:00:00Z..2013-11-04T05:00:00Z
    ");
    assert_snapshot!(
        found(Unit::Hour, "America/New_York", "{YYYYMMDD}T{HH}.csv", &["20131103T00.csv", "20131103T01.csv", "20131103T02.csv"]).await,
        @r"
        20131103T00.csv 2013-11-03T04:00:00Z..2013-11-03T05:00:00Z
        20131103T01.csv 2013-11-03T05:00:00Z..2013-11-03T06:00:00Z
        20131103T02.csv 2013-11-03T07:00:00Z..2013-11-03T08:00:00Z
        "
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
    assert_snapshot!(found(Unit::Day, "UTC", template, &files).await, @r"
    lake/year=2013/month=03/day=10/part.json 2013-03-10T00:00:00Z..2013-03-11T00:00:00Z
    lake/year=2013/month=03/day=11/part.json 2013-03-11T00:00:00Z..2013-03-12T00:00:00Z
    ");
    assert_snapshot!(
        found(Unit::Day, "UTC", "{YYYY}/x_{YYYYMMDD}.csv", &["2013/x_20130310.csv", "2013/.x_20130311.csv", "2013/x_20130312.csv.tmp"]).await,
        @"2013/x_20130310.csv 2013-03-10T00:00:00Z..2013-03-11T00:00:00Z"
    );
}

#[tokio::test]
async fn folders_inside_braces() {
    let files = ["x/2013/03/10.csv", "x/2013/03/11.txt"];
    assert_snapshot!(found(Unit::Day, "UTC", "x/{YYYY/MM/DD}.csv", &files).await, @"x/2013/03/10.csv 2013-03-10T00:00:00Z..2013-03-11T00:00:00Z");
}

#[tokio::test]
async fn nothing_there() {
    assert_snapshot!(found(Unit::Day, "UTC", "none/{YYYYMMDD}.csv", &[]).await, @"");
}

#[tokio::test]
async fn names_that_are_no_time() {
    assert_snapshot!(found(Unit::Day, "UTC", "x_{YYYYMMDD}.csv", &["x_20130230.csv"]).await, @r"
    error[MG3103]: the name of a file of source `raw.t` fits `x_{YYYYMMDD}.csv` but names no time in UTC: there is no date 2013-02-30
      --> x_20130230.csv
    do: rename the file, or move it out of the folder that the template names
    ");
    assert_snapshot!(found(Unit::Day, "UTC", "{YYYY}/{YYYYMMDD}.csv", &["2013/20140101.csv"]).await, @r"
    error[MG3103]: the name of a file of source `raw.t` fits `{YYYY}/{YYYYMMDD}.csv` but names no time in UTC: its date fields contradict each other
      --> 2013/20140101.csv
    do: rename the file, or move it out of the folder that the template names
    ");
    assert_snapshot!(found(Unit::Hour, "America/New_York", "{YYYYMMDDHH}", &["2013031002"]).await, @r"
    error[MG3103]: the name of a file of source `raw.t` fits `{YYYYMMDDHH}` but names no time in America/New_York: the clock skips 2013-03-10T02:00:00
      --> 2013031002
    do: rename the file, or move it out of the folder that the template names
    ");
    assert_snapshot!(found(Unit::Hour, "UTC", "{YYYYMMDDHH}", &["2013031024"]).await, @r"
    error[MG3103]: the name of a file of source `raw.t` fits `{YYYYMMDDHH}` but names no time in UTC: a day has no hour 24
      --> 2013031024
    do: rename the file, or move it out of the folder that the template names
    ");
    assert_snapshot!(found(Unit::Week, "UTC", "{YYYY}W{WW}", &["2013W53"]).await, @r"
    error[MG3103]: the name of a file of source `raw.t` fits `{YYYY}W{WW}` but names no time in UTC: 2013 has no week 53
      --> 2013W53
    do: rename the file, or move it out of the folder that the template names
    ");
}

#[tokio::test]
async fn templates_that_cannot_be_used() {
    assert_snapshot!(found(Unit::Day, "UTC", "x_{YYYYMM}.csv", &[]).await, @r"
    error[MG1006]: the file template `x_{YYYYMM}.csv` of source `raw.t` needs {DD} to name a day
      --> mulgil.yml:5:3
    do: write date fields such as {YYYYMMDD}, {YYYY}-{MM}-{DD} or {YYYYMMDD}T{HH} in it
    ");
    assert_snapshot!(found(Unit::Day, "UTC", "x_{YYYYMMDDmm}.csv", &[]).await, @r"
    error[MG1006]: the file template `x_{YYYYMMDDmm}.csv` of source `raw.t` has {YYYYMMDDmm}, which is no date field
      --> mulgil.yml:5:3
    do: write date fields such as {YYYYMMDD}, {YYYY}-{MM}-{DD} or {YYYYMMDD}T{HH} in it
    ");
    assert_snapshot!(found(Unit::Day, "UTC", "x_{YYYYMMDD.csv", &[]).await, @r"
    error[MG1006]: the file template `x_{YYYYMMDD.csv` of source `raw.t` has a `{` without its `}`
      --> mulgil.yml:5:3
    do: write date fields such as {YYYYMMDD}, {YYYY}-{MM}-{DD} or {YYYYMMDD}T{HH} in it
    ");
}

#[cfg(unix)]
#[tokio::test]
async fn names_that_fit_what_is_no_file() {
    let folder = found(Unit::Day, "UTC", "{YYYYMMDD}.csv", &["20130310.csv/part-0.csv"]).await;
    assert_snapshot!(folder, @r"
    error[MG2001]: a file of source `raw.t` cannot be read: it is a folder
      --> 20130310.csv
    do: check that it is there and that the user who runs mulgil may read it
    ");
    let fixture = Fixture::per(Unit::Day, "UTC", "{YYYY}/{MMDD}.csv").file("2013/0310.csv", "a\n1\n");
    std::os::unix::fs::symlink("nowhere.csv", fixture.path().join("2013/0311.csv")).unwrap();
    assert_snapshot!(fixture.observe(&SourceSeen::default()).await.unwrap_err(), @r"
    error[MG2001]: a file of source `raw.t` cannot be read: it is a link to nothing
      --> 2013/0311.csv
    do: check that it is there and that the user who runs mulgil may read it
    ");
    let fixture = Fixture::per(Unit::Day, "UTC", "{YYYYMMDD}.csv");
    let _socket = std::os::unix::net::UnixListener::bind(fixture.path().join("20130310.csv")).unwrap();
    assert_snapshot!(fixture.observe(&SourceSeen::default()).await.unwrap_err(), @r"
    error[MG2001]: a file of source `raw.t` cannot be read: it is no plain file
      --> 20130310.csv
    do: check that it is there and that the user who runs mulgil may read it
    ");
    assert_snapshot!(found(Unit::Day, "UTC", "{YYYYMMDD}/events.csv", &["20130310/other.csv"]).await, @"");
}
