//! Broken files, and what is said of them.

use std::{fs, sync::Arc};

use datafusion::arrow::array::{Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use insta::assert_snapshot;
use mulgil_core::{diagnostic::Retry, grid::Unit, port::SourceSeen, project::FileFormat};

use super::{Fixture, gzip, parquet};

/// What reading one CSV file complains about.
async fn of(bytes: impl AsRef<[u8]>) -> String {
    Fixture::csv("data/t.csv").file("data/t.csv", bytes).complaint().await
}

/// The same, with the columns `a bigint, b text`.
async fn of_typed(bytes: impl AsRef<[u8]>) -> String {
    Fixture::csv("data/t.csv")
        .file("data/t.csv", bytes)
        .complaint_over("a,b\n1,x\n")
        .await
}

#[tokio::test]
async fn rows_of_another_width() {
    assert_snapshot!(of_typed("a,b\n1,x\n2,y,z\n").await, @"");
    assert_snapshot!(of_typed("a,b\n1,x\n2\n").await, @"");
    assert_snapshot!(of_typed("a,b\r\n1,\"x\r\ny\"\r\n2,\"물길,\"\"\",é,w\r\n").await, @"");
}

#[tokio::test]
async fn quotes_that_do_not_match() {
    assert_snapshot!(of_typed("a,b\n1,\"x\n2,y\n").await, @"");
    assert_snapshot!(of_typed("a,b\n1,5\" pipe\n").await, @"");
    assert_snapshot!(of_typed("a,b\n1,\"x\"y\n").await, @"");
}

#[tokio::test]
async fn values_of_another_type() {
    assert_snapshot!(of_typed("a,b\n1,x\n12.5,y\n").await, @"");
    assert_snapshot!(of_typed("b,a\nx,99999999999999999999\n").await, @"");
    let long = format!("a,b\n{},y\n", "한".repeat(100));
    assert_snapshot!(of_typed(long).await, @"");
}

#[tokio::test]
async fn declared_types_that_do_not_hold_a_value() {
    let complaint = async |words: &str, value: &str| {
        Fixture::csv("t.csv")
            .column("a", words)
            .file("t.csv", format!("a,b\n{value},1\n"))
            .complaint()
            .await
            .lines()
            .next()
            .unwrap()
            .to_owned()
    };
    assert_snapshot!(complaint("smallint", "40000").await, @"");
    assert_snapshot!(complaint("double", "1,5").await, @"");
    assert_snapshot!(complaint("double", "1.5.2").await, @"");
    assert_snapshot!(complaint("boolean", "ja").await, @"");
    assert_snapshot!(complaint("date", "2013-02-30").await, @"");
    assert_snapshot!(complaint("timestamp", "2013-03-10T02:00:00Z").await, @"");
    assert_snapshot!(complaint("timestamptz", "2013-03-10 02:00:00").await, @"");
    assert_snapshot!(complaint("decimal(5,2)", "1.234").await, @"");
    assert_snapshot!(complaint("decimal(5,2)", "1234.5").await, @"");
}

#[tokio::test]
async fn bytes_that_are_no_text() {
    assert_snapshot!(of_typed(b"a,b\n1,x\n2,caf\xe9\n").await, @"");
    assert_snapshot!(of(b"\xff\xfea\0,\0b\0\n\0").await, @"");
}

#[tokio::test]
async fn headers() {
    assert_snapshot!(of("a,b,a\n1,2,3\n").await, @"");
    assert_snapshot!(of_typed("a,c\n1,2\n").await, @"");
    assert_snapshot!(of("").await, @"");
    let declared = Fixture::csv("t.csv")
        .column("price", "double")
        .file("t.csv", "id,prize\n1,2\n");
    assert_snapshot!(declared.complaint().await, @"");
}

#[tokio::test]
async fn gzip_data() {
    let rows = (0..20_000).fold(String::from("a,b\n"), |rows, row| rows + &format!("{row},x{row}\n"));
    let packed = gzip(rows.as_bytes());
    let cut = Fixture::csv("t.csv.gz").file("t.csv.gz", &packed[..packed.len() / 2]);
    assert_snapshot!(cut.complaint_over_packed().await, @"");
    let plain = Fixture::csv("t.csv.gz").file("t.csv.gz", "a,b\n1,x\n");
    assert_snapshot!(plain.complaint().await, @"");
}

#[tokio::test]
async fn json_lines() {
    let of = async |bytes: &str| {
        Fixture::csv("t.jsonl")
            .format(FileFormat::JsonLines)
            .file("t.jsonl", bytes)
            .complaint_over("{\"a\": 1, \"b\": \"x\"}\n")
            .await
    };
    assert_snapshot!(of("{\"a\": 1}\n\n{\"a\": 2,}\n").await, @"");
    assert_snapshot!(of("[{\"a\": 1}]\n").await, @"");
    assert_snapshot!(of("{\"a\": 1}\n{\"b\": \"길\", \"a\": \"12\"}\n").await, @"");
    assert_snapshot!(of("{\"a\": 1, \"a\": 2}\n").await, @"");
    assert_snapshot!(of("{\"a\": 1, \"b\": \"\\ud800\"}\n").await, @"");
    assert_snapshot!(of("{\"a\": 1, \"b\"").await, @"");
}

#[tokio::test]
async fn rows_of_another_interval() {
    let of = async |rows: &str| {
        Fixture::per(Unit::Day, "America/New_York", "d_{YYYYMMDD}.csv")
            .event_time("at")
            .file("d_20130310.csv", format!("id,at\n1,2013-03-10 00:30:00\n{rows}"))
            .complaint()
            .await
    };
    assert_snapshot!(of("2,2013-03-10T04:59:59Z\n").await, @"");
    assert_snapshot!(of("2,2013-03-11 00:00:00\n").await, @"");
    assert_snapshot!(of("2,\n").await, @"");
    assert_snapshot!(of("2,soon\n").await, @"");
}

#[tokio::test]
async fn rows_of_another_interval_are_found_whatever_columns_are_read() {
    let fixture = Fixture::per(Unit::Day, "UTC", "d_{YYYYMMDD}.csv")
        .event_time("day")
        .file("d_20130310.csv", "id,day\n1,2013-03-10\n2,2013-03-09\n");
    assert_snapshot!(fixture.sql("select count(*) from t").await.unwrap_err(), @"");
}

#[tokio::test]
async fn parquet_files() {
    let batch = |ids: Vec<i64>| {
        let at = TimestampMicrosecondArray::from(ids.iter().map(|id| Some(id * 3_600_000_000)).collect::<Vec<_>>());
        RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(ids)) as _), ("at", Arc::new(at) as _)]).unwrap()
    };
    let fixture = Fixture::per(Unit::Day, "UTC", "{YYYY}/{MM}{DD}.parquet")
        .format(FileFormat::Parquet)
        .event_time("at")
        .file("1970/0101.parquet", parquet(&batch(vec![1, 2, 24])));
    assert_snapshot!(fixture.complaint().await, @"");

    let seen = fixture.first_look().await;
    let text = RecordBatch::try_from_iter([
        ("id", Arc::new(StringArray::from(vec!["x"])) as _),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![0])) as _),
    ]);
    fixture.write("1970/0101.parquet", parquet(&text.unwrap()));
    let renewed = fixture.observe(&seen).await.unwrap();
    assert_snapshot!(fixture.sql_over("select * from t", &renewed, None).await.unwrap_err(), @"");

    fixture.write("1970/0101.parquet", &parquet(&batch(vec![1]))[..100]);
    let renewed = fixture.observe(&seen).await.unwrap();
    assert_snapshot!(fixture.sql_over("select * from t", &renewed, None).await.unwrap_err(), @"");
}

#[tokio::test]
async fn files_that_are_not_what_was_seen() {
    let fixture = Fixture::csv("t.csv").file("t.csv", "a\n1\n");
    let seen = fixture.first_look().await;
    fixture.write("t.csv", "a\n1\n2\n");
    let fault = fixture.sql_over("select * from t", &seen, None).await.unwrap_err();
    assert_eq!(fault.retry, Retry::Later);
    assert_snapshot!(fault, @"");
    fs::remove_file(fixture.path().join("t.csv")).unwrap();
    let fault = fixture.sql_over("select * from t", &seen, None).await.unwrap_err();
    assert_eq!(fault.retry, Retry::Later);
    assert_snapshot!(fault, @"");
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_said_to_and_not_to_be_broken() {
    let fixture = Fixture::csv("t.csv").file("t.csv", "a,b\n1,2\n");
    let seen = fixture.first_look().await;
    let shape = super::super::reader::SourceShape::new(fixture.path(), &fixture.source, &seen.columns).unwrap();
    let mut reader = shape
        .open(&seen.files[0], &[0, 1], super::super::event::RowRule::All)
        .unwrap();
    fixture.write("t.csv", "a,b\n1,2\n3");
    assert_eq!(reader.next().unwrap_err().retry, Retry::Later);
}

#[tokio::test]
async fn event_times_that_are_none() {
    let complaint = async |fixture: Fixture| {
        let fixture = fixture.file("t.csv", "id,at\n1,x\n");
        fixture.observe(&SourceSeen::default()).await.unwrap_err().to_string()
    };
    assert_snapshot!(complaint(Fixture::csv("t.csv").event_time("at")).await, @"");
    assert_snapshot!(complaint(Fixture::csv("t.csv").event_time("when")).await, @"");
    assert_snapshot!(complaint(Fixture::csv("t.csv").event_time("id")).await, @"");
}

#[tokio::test]
async fn declarations_that_cannot_be_used() {
    let words = Fixture::csv("t.csv").column("a", "varbinary").file("t.csv", "a\n1\n");
    assert_snapshot!(words.complaint().await, @"");
    let delimiter = Fixture::csv("t.csv")
        .format(FileFormat::Csv {
            delimiter: '→',
            null_words: Vec::new(),
        })
        .file("t.csv", "a\n1\n");
    assert_snapshot!(delimiter.complaint().await, @"");
}

impl Fixture {
    /// What reading complains about where the columns are known to be `a bigint, b text`.
    async fn complaint_over_packed(&self) -> String {
        let columns = Self::csv("t.csv")
            .file("t.csv", "a,b\n1,x\n")
            .first_look()
            .await
            .columns;
        let known = SourceSeen {
            columns,
            ..SourceSeen::default()
        };
        let seen = self.observe(&known).await.unwrap();
        self.sql_over("select * from t", &seen, None)
            .await
            .unwrap_err()
            .to_string()
    }
}
