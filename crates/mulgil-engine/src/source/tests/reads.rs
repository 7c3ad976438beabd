//! Whole files, read through SQL.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::{
    array::{ArrayRef, Date32Array, DictionaryArray, Int32Array, RecordBatch, TimestampNanosecondArray},
    datatypes::Int32Type,
};
use insta::assert_snapshot;
use mulgil_core::{
    grid::Unit,
    port::{ByteSink, Fault, Format, QueryLimits},
    project::FileFormat,
};

use super::{
    super::{event::RowRule, provider, reader::SourceShape},
    Fixture, gzip, interval, parquet, session,
};
use crate::output::Output;

#[tokio::test]
async fn types_of_csv() {
    let fixture = Fixture::csv("t.csv").file(
        "t.csv",
        "whole,number,yes,day,civil,instant,text,code,empty\n\
         1,1.5,true,2013-03-10,2013-03-10 02:30:00,2013-03-10T02:30:00Z,x,007,\n\
         -2,3,FALSE,2013-03-11,2013-03-10,2013-03-10T02:30:00.25+09:00,5,12,NA\n\
         NA,NA,NA,NA,NA,NA,NA,NA,NA\n",
    );
    assert_snapshot!(fixture.inferred().await, @r#"
    whole Int64
    number Float64
    yes Boolean
    day Date32
    civil Timestamp(µs)
    instant Timestamp(µs, "UTC")
    text Utf8
    code Utf8
    empty Utf8
    "#);
    assert_snapshot!(fixture.sql("select * from t").await.unwrap(), @r"
    +-------+--------+-------+------------+---------------------+--------------------------+------+------+-------+
    | whole | number | yes   | day        | civil               | instant                  | text | code | empty |
    +-------+--------+-------+------------+---------------------+--------------------------+------+------+-------+
    | 1     | 1.5    | true  | 2013-03-10 | 2013-03-10T02:30:00 | 2013-03-10T02:30:00Z     | x    | 007  |       |
    | -2    | 3.0    | false | 2013-03-11 | 2013-03-10T00:00:00 | 2013-03-09T17:30:00.250Z | 5    | 12   |       |
    |       |        |       |            |                     |                          |      |      |       |
    +-------+--------+-------+------------+---------------------+--------------------------+------+------+-------+
    ");
}

#[tokio::test]
async fn types_that_are_declared() {
    let fixture = Fixture::csv("t.csv")
        .column("a", "smallint")
        .column("b", "Decimal(6, 2)")
        .column("c", "double")
        .column("d", "text")
        .column("e", "timestamp")
        .column("f", "real")
        .column("g", "integer")
        .column("h", "boolean")
        .file(
            "t.csv",
            "a,b,c,d,e,f,g,h\n-1,-12.30,1,007,2013-03-10T02:30:00.123456789,1.5,7,1\n,,,,,,,\n2,.500,nan,,2013-03-10,-inf,+7,f\n",
        );
    assert_snapshot!(fixture.inferred().await, @r"
    a Int16
    b Decimal128(6, 2)
    c Float64
    d Utf8
    e Timestamp(µs)
    f Float32
    g Int32
    h Boolean
    ");
    assert_snapshot!(fixture.sql("select * from t").await.unwrap(), @r"
    +----+--------+-----+-----+----------------------------+------+---+-------+
    | a  | b      | c   | d   | e                          | f    | g | h     |
    +----+--------+-----+-----+----------------------------+------+---+-------+
    | -1 | -12.30 | 1.0 | 007 | 2013-03-10T02:30:00.123456 | 1.5  | 7 | true  |
    |    |        |     |     |                            |      |   |       |
    | 2  | 0.50   | NaN |     | 2013-03-10T00:00:00        | -inf | 7 | false |
    +----+--------+-----+-----+----------------------------+------+---+-------+
    ");
}

#[tokio::test]
async fn quotes_line_ends_and_marks() {
    let text = "\u{feff}id,\"name, in full\",note\r\n\r\n1,\"Kim, \"\"Su\"\"\",\"two\r\nlines\"\r\n2,\"\",\r\n3,\"NA\",NA\r\n\r\n";
    let fixture = Fixture::csv("t.csv").file("t.csv", text);
    assert_snapshot!(
        fixture.sql("select id, \"name, in full\" as name, \"name, in full\" is null as n, replace(replace(note, chr(10), '/'), chr(13), '\\') as note from t").await.unwrap(),
        @r#"
        +----+-----------+-------+------------+
        | id | name      | n     | note       |
        +----+-----------+-------+------------+
        | 1  | Kim, "Su" | false | two\/lines |
        | 2  |           | false |            |
        | 3  | NA        | false |            |
        +----+-----------+-------+------------+
        "#
    );
}

#[tokio::test]
async fn a_column_without_a_name_and_one_column_alone() {
    let unnamed = Fixture::csv("t.csv").file("t.csv", ",b\n1,2\n");
    assert_snapshot!(unnamed.sql("select * from t").await.unwrap(), @r"
    +----------+---+
    | column_1 | b |
    +----------+---+
    | 1        | 2 |
    +----------+---+
    ");
    let alone = Fixture::csv("t.csv").file("t.csv", "a\n1\n\n3");
    assert_snapshot!(alone.sql("select * from t").await.unwrap(), @r"
    +---+
    | a |
    +---+
    | 1 |
    |   |
    | 3 |
    +---+
    ");
}

#[tokio::test]
async fn header_only_and_delimiters() {
    let fixture = Fixture::csv("t.csv").file("t.csv", "a,b\n");
    assert_snapshot!(fixture.sql("select count(*) as n, count(a) as a from t").await.unwrap(), @r"
    +---+---+
    | n | a |
    +---+---+
    | 0 | 0 |
    +---+---+
    ");
    let fixture = Fixture::csv("t.tsv")
        .format(FileFormat::Csv {
            delimiter: '\t',
            null_words: Vec::new(),
        })
        .file("t.tsv", "a\tb\n1,5\tNA\n");
    assert_snapshot!(fixture.sql("select * from t").await.unwrap(), @r"
    +-----+----+
    | a   | b  |
    +-----+----+
    | 1,5 | NA |
    +-----+----+
    ");
}

#[tokio::test]
async fn columns_are_found_by_name_and_others_left_alone() {
    let fixture = Fixture::per(Unit::Day, "UTC", "d_{YYYYMMDD}.csv")
        .file("d_20130101.csv", "a,b\n1,x\n")
        .file("d_20130102.csv", "new,b,a\nq,y,2\n");
    assert_snapshot!(fixture.sql("select * from t order by a").await.unwrap(), @r"
    +---+---+
    | a | b |
    +---+---+
    | 1 | x |
    | 2 | y |
    +---+---+
    ");
    assert_snapshot!(fixture.sql("select b from t order by b").await.unwrap(), @r"
    +---+
    | b |
    +---+
    | x |
    | y |
    +---+
    ");
}

#[tokio::test]
async fn packed_files_of_many_batches_and_members() {
    let rows = |from: u32, to: u32| (from..to).fold(String::new(), |rows, row| rows + &format!("{row},text {row}\n"));
    let mut bytes = gzip(format!("a,b\n{}", rows(0, 30_000)).as_bytes());
    bytes.extend(gzip(rows(30_000, 50_000).as_bytes()));
    let fixture = Fixture::csv("t.csv.gz").file("t.csv.gz", bytes);
    assert_snapshot!(
        fixture.sql("select count(*) as n, sum(a) as s, max(b) as m from t").await.unwrap(),
        @r"
        +-------+------------+-----------+
        | n     | s          | m         |
        +-------+------------+-----------+
        | 50000 | 1249975000 | text 9999 |
        +-------+------------+-----------+
        "
    );
}

#[tokio::test]
async fn a_record_longer_than_the_window() {
    let long = "한".repeat(300_000);
    let fixture = Fixture::csv("t.csv").file("t.csv", format!("a,b\n1,\"{long}\n\"\n2,x\n"));
    assert_snapshot!(fixture.sql("select a, length(b) as n from t order by a").await.unwrap(), @r"
    +---+--------+
    | a | n      |
    +---+--------+
    | 1 | 300001 |
    | 2 | 1      |
    +---+--------+
    ");
}

#[tokio::test]
async fn json_lines() {
    let fixture = Fixture::csv("t.jsonl").format(FileFormat::JsonLines).file(
        "t.jsonl",
        "{\"a\": 1, \"s\": \"x \\\"y\\\" \\ud55c\", \"at\": \"2013-03-10T02:30:00Z\", \"n\": {\"k\": [1, 2]}}\r\n\
         \r\n\
         {\"b\": 1.5, \"a\": null, \"day\": \"2013-03-10\", \"ok\": true}\n\
         {\"a\": 3, \"s\": \"12\", \"extra\": []}",
    );
    assert_snapshot!(fixture.inferred().await, @r#"
    a Int64
    s Utf8
    at Timestamp(µs, "UTC")
    n Utf8
    b Float64
    day Date32
    ok Boolean
    extra Utf8
    "#);
    assert_snapshot!(fixture.sql("select * from t").await.unwrap(), @r#"
    +---+----------+----------------------+---------------+-----+------------+------+-------+
    | a | s        | at                   | n             | b   | day        | ok   | extra |
    +---+----------+----------------------+---------------+-----+------------+------+-------+
    | 1 | x "y" 한 | 2013-03-10T02:30:00Z | {"k": [1, 2]} |     |            |      |       |
    |   |          |                      |               | 1.5 | 2013-03-10 | true |       |
    | 3 | 12       |                      |               |     |            |      | []    |
    +---+----------+----------------------+---------------+-----+------------+------+-------+
    "#);
    assert_snapshot!(fixture.sql("select count(*) as n, sum(a) as a from t").await.unwrap(), @r"
    +---+---+
    | n | a |
    +---+---+
    | 3 | 4 |
    +---+---+
    ");
}

#[tokio::test]
async fn parquet_files() {
    let codes: DictionaryArray<Int32Type> = vec!["UA", "AA"].into_iter().collect();
    let columns: [(&str, ArrayRef); 4] = [
        ("code", Arc::new(codes)),
        ("n", Arc::new(Int32Array::from(vec![Some(1), None]))),
        ("day", Arc::new(Date32Array::from(vec![0, 1]))),
        (
            "at",
            Arc::new(TimestampNanosecondArray::from(vec![1_362_882_600_000_000_123, 0])),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let fixture = Fixture::csv("t.parquet")
        .format(FileFormat::Parquet)
        .column("n", "bigint")
        .event_time("at")
        .zone("America/New_York")
        .file("t.parquet", parquet(&batch));
    assert_snapshot!(fixture.inferred().await, @r#"
    code Utf8
    n Int64
    day Date32
    at Timestamp(µs, "UTC")
    "#);
    assert_snapshot!(fixture.sql("select * from t").await.unwrap(), @r"
    +------+---+------------+----------------------+
    | code | n | day        | at                   |
    +------+---+------------+----------------------+
    | UA   | 1 | 1970-01-01 | 2013-03-10T07:00:00Z |
    | AA   |   | 1970-01-02 | 1970-01-01T05:00:00Z |
    +------+---+------------+----------------------+
    ");
    assert_snapshot!(fixture.sql("select count(*) as n from t").await.unwrap(), @r"
    +---+
    | n |
    +---+
    | 2 |
    +---+
    ");
    let seen = fixture.first_look().await;
    let scope = interval("2013-03-10T00:00:00Z", "2013-03-11T00:00:00Z");
    assert_snapshot!(fixture.sql_over("select code from t", &seen, Some(scope)).await.unwrap(), @r"
    +------+
    | code |
    +------+
    | UA   |
    +------+
    ");
}

#[tokio::test]
async fn naive_event_times_are_the_zones_and_a_scope_cuts_a_single_file() {
    let fixture = Fixture::csv("t.csv").event_time("at").zone("America/New_York").file(
        "t.csv",
        "id,at\n1,2013-03-10 01:59:59\n2,2013-03-10 02:30:00\n3,2013-03-10 03:00:00\n4,2013-11-03 01:30:00\n5,2013-11-03 01:30:00-05:00\n6,2013-11-04\n",
    );
    assert_snapshot!(fixture.sql("select * from t").await.unwrap(), @r"
    +----+----------------------+
    | id | at                   |
    +----+----------------------+
    | 1  | 2013-03-10T06:59:59Z |
    | 2  | 2013-03-10T07:00:00Z |
    | 3  | 2013-03-10T07:00:00Z |
    | 4  | 2013-11-03T05:30:00Z |
    | 5  | 2013-11-03T06:30:00Z |
    | 6  | 2013-11-04T05:00:00Z |
    +----+----------------------+
    ");
    let seen = fixture.first_look().await;
    let day = interval("2013-11-03T04:00:00Z", "2013-11-04T05:00:00Z");
    assert_snapshot!(fixture.sql_over("select id from t", &seen, Some(day)).await.unwrap(), @r"
    +----+
    | id |
    +----+
    | 4  |
    | 5  |
    +----+
    ");
}

#[tokio::test]
async fn dates_as_event_times_are_days_of_the_zone() {
    let fixture = Fixture::csv("t.csv")
        .event_time("day")
        .zone("Asia/Seoul")
        .file("t.csv", "id,day\n1,2013-03-09\n2,2013-03-10\n3,2013-03-11\n");
    let seen = fixture.first_look().await;
    let day = interval("2013-03-09T15:00:00Z", "2013-03-10T15:00:00Z");
    assert_snapshot!(fixture.sql_over("select * from t", &seen, Some(day)).await.unwrap(), @r"
    +----+------------+
    | id | day        |
    +----+------------+
    | 2  | 2013-03-10 |
    +----+------------+
    ");
    let hour = interval("2013-03-10T15:00:00Z", "2013-03-10T16:00:00Z");
    assert_snapshot!(fixture.sql_over("select id from t", &seen, Some(hour)).await.unwrap(), @r"
    +----+
    | id |
    +----+
    | 3  |
    +----+
    ");
}

#[tokio::test]
async fn the_last_day_of_the_calendar_is_a_time_like_any_other() {
    let fixture = Fixture::csv("t.csv").event_time("at").zone("America/New_York").file(
        "t.csv",
        "day,at\n9999-12-31,9999-12-31 23:59:59\n0000-01-01,9999-12-31T23:59:59+09:00\n",
    );
    assert_snapshot!(fixture.sql("select cast(day as int) as day, cast(at as bigint) as us from t").await.unwrap(), @r"
    +---------+--------------------+
    | day     | us                 |
    +---------+--------------------+
    | 2932896 | 253402318799000000 |
    | -719528 | 253402268399000000 |
    +---------+--------------------+
    ");
}

#[tokio::test]
async fn files_of_intervals_are_not_cut_by_the_scope() {
    let fixture = Fixture::per(Unit::Day, "UTC", "d_{YYYYMMDD}.csv")
        .event_time("at")
        .file(
            "d_20130101.csv",
            "id,at\n1,2013-01-01 00:00:00\n2,2013-01-01 23:59:59\n",
        )
        .file("d_20130102.csv", "id,at\n3,2013-01-02 12:00:00\n");
    let seen = fixture.first_look().await;
    let scope = interval("2013-01-01T00:00:00Z", "2013-01-01T12:00:00Z");
    let sql = "select sum(id) as ids, count(*) as n from t";
    assert_snapshot!(fixture.sql_over(sql, &seen, Some(scope)).await.unwrap(), @r"
    +-----+---+
    | ids | n |
    +-----+---+
    | 6   | 3 |
    +-----+---+
    ");
}

/// A file in order of time, of which only the end is wanted: a scope reads past any number of bytes.
#[tokio::test]
async fn a_scope_finds_its_rows_behind_many_that_are_passed_over() {
    const EARLIER: usize = 8_000;
    let text = "x".repeat(1_500);
    let csv = |id: usize, day: u8| format!("{id},2013-01-0{day},{text}\n");
    let json = |id: usize, day: u8| format!("{{\"id\": {id}, \"at\": \"2013-01-0{day}\", \"text\": \"{text}\"}}\n");
    let rows = |row: &dyn Fn(usize, u8) -> String| {
        let earlier: String = (0..EARLIER).map(|id| row(id, 1)).collect();
        earlier + &row(EARLIER, 2) + &row(EARLIER + 1, 2)
    };
    for fixture in [
        Fixture::csv("t.csv").file("t.csv", "id,at,text\n".to_owned() + &rows(&csv)),
        Fixture::csv("t.json")
            .format(FileFormat::JsonLines)
            .file("t.json", rows(&json)),
    ] {
        let fixture = fixture.event_time("at");
        let seen = fixture.first_look().await;
        let day = interval("2013-01-02T00:00:00Z", "2013-01-03T00:00:00Z");
        let count = fixture.sql_over("select count(*) from t where id >= 8000", &seen, Some(day));
        assert!(count.await.unwrap().contains("| 2 "));
        let shape = SourceShape::new(&fixture.place(), &fixture.source, &seen.columns).unwrap();
        let batches = |rule| {
            let mut reader = shape.open(&seen.files[0], &[0, 1, 2], rule).unwrap();
            std::iter::from_fn(move || reader.next().unwrap().map(|batch| batch.num_rows())).collect::<Vec<_>>()
        };
        // Between two batches whoever waits may turn away, also where no row was wanted so far.
        assert_eq!(batches(RowRule::Only(day)), [0, 2]);
        let all = batches(RowRule::All);
        assert_eq!((all.len(), all.iter().sum::<usize>()), (2, EARLIER + 2));
    }
}

/// What the engine writes as CSV or JSON, a source reads back as it was.
#[tokio::test]
async fn what_is_written_is_read_back() {
    let text = "id,at,text,f\n1,2013-03-10T07:30:00Z,\"a, \"\"b\"\"\",1.5\n2,,,\n3,2013-03-10T07:30:00.25Z,\"\",-2\n4,,\"two\nlines\",1e300\n";
    let fixture = Fixture::csv("t.csv").file("t.csv", text);
    let expected = fixture.sql("select * from t").await.unwrap();
    let csv = Fixture::csv("t.csv").file("t.csv", fixture.written(Format::Csv).await);
    assert_eq!(csv.sql("select * from t").await.unwrap(), expected);
    let objects: Vec<serde_json::Value> = serde_json::from_slice(&fixture.written(Format::Json).await).unwrap();
    let lines = objects
        .iter()
        .fold(String::new(), |lines, object| lines + &format!("{object}\n"));
    let json = Fixture::csv("t.json")
        .format(FileFormat::JsonLines)
        .file("t.json", lines);
    assert_eq!(json.sql("select id, at, text, f from t").await.unwrap(), expected);
}

/// Keeps the bytes that it is given.
struct Kept(Vec<u8>);

#[async_trait]
impl ByteSink for Kept {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl Fixture {
    /// All rows, as the engine writes them.
    async fn written(&self, format: Format) -> Vec<u8> {
        let seen = self.first_look().await;
        let context = session();
        let table = provider(&self.place(), &self.source, &seen.columns, None, &seen.files).unwrap();
        let rows = context.read_table(table).unwrap().execute_stream().await.unwrap();
        let output = Output {
            zone: self.source.zone.clone(),
            format,
            limits: QueryLimits {
                timeout_ms: 1_000,
                max_rows: None,
            },
            scratch: std::env::temp_dir(),
        };
        let mut kept = Kept(Vec::new());
        output.write(rows, &mut kept).await.unwrap();
        kept.0
    }
}
