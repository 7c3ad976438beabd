//! What people and programs get to see.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    arrow::{
        array::{
            ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
            DurationMillisecondArray, Float32Array, Float64Array, Int64Array, IntervalMonthDayNanoArray, ListArray,
            NullArray, RecordBatch, StringArray, StructArray, Time64MicrosecondArray, TimestampMicrosecondArray,
            TimestampNanosecondArray, TimestampSecondArray, UInt64Array, UnionArray,
        },
        buffer::OffsetBuffer,
        compute::concat_batches,
        datatypes::{DataType, Field, Int32Type, Int64Type, IntervalMonthDayNano, TimeUnit, UnionFields},
    },
    parquet::arrow::arrow_reader::ParquetRecordBatchReader,
    physical_plan::stream::RecordBatchStreamAdapter,
};
use futures::stream;
use insta::assert_snapshot;
use mulgil_core::{
    grid::Zone,
    port::{ByteSink, Fault, Format, QueryLimits, QueryOutcome},
};

use super::Output;

/// Keeps what it is given.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    writes: usize,
}

#[async_trait]
impl ByteSink for Kept {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.bytes.extend_from_slice(bytes);
        self.writes += 1;
        Ok(())
    }
}

async fn written(batches: Vec<RecordBatch>, format: Format, max_rows: Option<u64>) -> (String, QueryOutcome) {
    let schema = batches[0].schema();
    let rows = stream::iter(batches.into_iter().map(Ok));
    let limits = QueryLimits {
        timeout_ms: 1_000,
        max_rows,
    };
    let zone = Zone::named("America/New_York").unwrap();
    let mut kept = Kept::default();
    let rows = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
    let output = Output {
        zone,
        format,
        limits,
        scratch: std::env::temp_dir(),
    };
    let outcome = output.write(rows, &mut kept).await.unwrap();
    (String::from_utf8(kept.bytes).unwrap(), outcome)
}

async fn bytes_of(batch: &RecordBatch, format: Format) -> Result<Vec<u8>, Fault> {
    let output = Output {
        zone: Zone::UTC,
        format,
        limits: QueryLimits {
            timeout_ms: 1_000,
            max_rows: None,
        },
        scratch: std::env::temp_dir(),
    };
    let rows = stream::iter([Ok(batch.clone())]);
    let mut kept = Kept::default();
    output
        .write(Box::pin(RecordBatchStreamAdapter::new(batch.schema(), rows)), &mut kept)
        .await?;
    Ok(kept.bytes)
}

async fn text(batch: &RecordBatch, format: Format) -> String {
    written(vec![batch.clone()], format, None).await.0
}

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn numbers(count: i64) -> RecordBatch {
    batch([("n", Arc::new(Int64Array::from_iter_values(0..count)))])
}

/// A row of values and a row of NULLs of every kind.
fn kinds() -> RecordBatch {
    let at = 1_362_893_400_000_000;
    let codes: DictionaryArray<Int32Type> = vec![Some("UA"), None].into_iter().collect();
    let decimals = Decimal128Array::from(vec![Some(-1_230), None]).with_precision_and_scale(38, 2);
    batch([
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        (
            "big",
            Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None])),
        ),
        ("huge", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
        ("dec", Arc::new(decimals.unwrap())),
        ("f", Arc::new(Float64Array::from(vec![Some(0.1), None]))),
        ("short", Arc::new(Float32Array::from(vec![Some(0.1), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(15_774), None]))),
        ("civil", Arc::new(TimestampMicrosecondArray::from(vec![Some(at), None]))),
        (
            "instant",
            Arc::new(TimestampNanosecondArray::from(vec![Some(at * 1_000 + 250_000_000), None]).with_timezone("UTC")),
        ),
        (
            "time",
            Arc::new(Time64MicrosecondArray::from(vec![Some(5_400_000_000), None])),
        ),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None]))),
        ("code", Arc::new(codes)),
    ])
}

#[tokio::test]
async fn every_kind_of_value() {
    assert_snapshot!(text(&kinds(), Format::Table).await, @r"
     yes  │              big │                 huge │    dec │    f │ short │ day        │ civil               │ instant                      │ time     │ bytes │ code
    ──────┼──────────────────┼──────────────────────┼────────┼──────┼───────┼────────────┼─────────────────────┼──────────────────────────────┼──────────┼───────┼──────
     true │ 9007199254740993 │ 18446744073709551615 │ -12.30 │  0.1 │   0.1 │ 2013-03-10 │ 2013-03-10T05:30:00 │ 2013-03-10T00:30:00.25-05:00 │ 01:30:00 │ 00ff  │ UA
     NULL │             NULL │                 NULL │   NULL │ NULL │  NULL │ NULL       │ NULL                │ NULL                         │ NULL     │ NULL  │ NULL
    ");
    assert_snapshot!(text(&kinds(), Format::Csv).await, @r"
    yes,big,huge,dec,f,short,day,civil,instant,time,bytes,code
    true,9007199254740993,18446744073709551615,-12.30,0.1,0.1,2013-03-10,2013-03-10T05:30:00,2013-03-10T00:30:00.25-05:00,01:30:00,00ff,UA
    ,,,,,,,,,,,
    ");
    assert_snapshot!(text(&kinds(), Format::Json).await, @r#"
    [
    {"yes":true,"big":9007199254740993,"huge":18446744073709551615,"dec":-12.30,"f":0.1,"short":0.1,"day":"2013-03-10","civil":"2013-03-10T05:30:00","instant":"2013-03-10T00:30:00.25-05:00","time":"01:30:00","bytes":"00ff","code":"UA"},
    {"yes":null,"big":null,"huge":null,"dec":null,"f":null,"short":null,"day":null,"civil":null,"instant":null,"time":null,"bytes":null,"code":null}
    ]
    "#);
}

#[tokio::test]
async fn offsets_follow_the_zone() {
    let hour = 3_600_000_000;
    let fold = 1_383_454_800_000_000;
    let at = TimestampMicrosecondArray::from(vec![fold, fold + hour, fold + 2 * hour]).with_timezone("+00:00");
    assert_snapshot!(text(&batch([("at", Arc::new(at))]), Format::Csv).await, @r"
    at
    2013-11-03T01:00:00-04:00
    2013-11-03T01:00:00-05:00
    2013-11-03T02:00:00-05:00
    ");
}

#[tokio::test]
async fn times_beyond_the_calendars_end_are_dates_all_the_same() {
    let days = Date32Array::from(vec![2_932_896, 2_932_897, -719_528, -719_529, i32::MAX, i32::MIN]);
    let second = 1_000_000;
    let end = 253_402_300_799 * second + 999_999;
    let times =
        || TimestampMicrosecondArray::from(vec![end, end + 1, -62_167_219_200 * second, -1, i64::MAX, i64::MIN]);
    let batch = batch([
        ("day", Arc::new(days) as ArrayRef),
        ("civil", Arc::new(times())),
        ("instant", Arc::new(times().with_timezone("UTC"))),
    ]);
    assert_snapshot!(text(&batch, Format::Csv).await, @r"
    day,civil,instant
    9999-12-31,9999-12-31T23:59:59.999999,9999-12-31T18:59:59.999999-05:00
    +010000-01-01,+010000-01-01T00:00:00,9999-12-31T19:00:00-05:00
    0000-01-01,0000-01-01T00:00:00,-000001-12-31T19:03:58-04:56
    -000001-12-31,1969-12-31T23:59:59.999999,1969-12-31T18:59:59.999999-05:00
    +5881580-07-11,+294247-01-10T04:00:54.775807,+294247-01-09T23:00:54.775807-05:00
    -5877641-06-23,-290308-12-21T19:59:05.224192,-290308-12-21T15:03:03.224192-04:56
    ");
    assert!(
        text(&batch, Format::Json)
            .await
            .contains("{\"day\":\"9999-12-31\",\"civil\":\"9999-12-31T23:59:59.999999\"")
    );
}

#[tokio::test]
async fn what_json_has_not_is_null() {
    let floats = Float64Array::from(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e300, 39.0]);
    let batch = batch([("f", Arc::new(floats))]);
    assert_snapshot!(text(&batch, Format::Json).await, @r#"
    [
    {"f":null},
    {"f":null},
    {"f":null},
    {"f":-0.0},
    {"f":1e300},
    {"f":39.0}
    ]
    "#);
    assert_snapshot!(text(&batch, Format::Csv).await, @r"
    f
    NaN
    inf
    -inf
    -0.0
    1e300
    39.0
    ");
}

#[tokio::test]
async fn text_is_quoted_where_it_must_be() {
    let texts = StringArray::from(vec![
        Some("plain"),
        Some(""),
        None,
        Some("a,b"),
        Some("say \"hi\""),
        Some("two\nlines\t\u{7}"),
        Some("NULL"),
        Some(" 물길 "),
    ]);
    let batch = batch([
        ("text, \"quoted\"", Arc::new(texts)),
        ("n", Arc::new(Int64Array::from_iter_values(0..8))),
    ]);
    assert_snapshot!(text(&batch, Format::Csv).await, @r#"
    "text, ""quoted""",n
    plain,0
    "",1
    ,2
    "a,b",3
    "say ""hi""",4
    "two
    lines	",5
    NULL,6
     물길 ,7
    "#);
    assert_snapshot!(text(&batch, Format::Json).await, @r#"
    [
    {"text, \"quoted\"":"plain","n":0},
    {"text, \"quoted\"":"","n":1},
    {"text, \"quoted\"":null,"n":2},
    {"text, \"quoted\"":"a,b","n":3},
    {"text, \"quoted\"":"say \"hi\"","n":4},
    {"text, \"quoted\"":"two\nlines\t\u0007","n":5},
    {"text, \"quoted\"":"NULL","n":6},
    {"text, \"quoted\"":" 물길 ","n":7}
    ]
    "#);
    assert_snapshot!(text(&batch, Format::Table).await, @r#"
     text, "quoted"    │ n
    ───────────────────┼───
     plain             │ 0
                       │ 1
     NULL              │ 2
     a,b               │ 3
     say "hi"          │ 4
     two\nlines\t\u{7} │ 5
     "NULL"            │ 6
      물길             │ 7
    "#);
}

#[tokio::test]
async fn nested_values_are_json() {
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), Some(vec![]), None]);
    let object = StructArray::from(vec![
        (
            Arc::new(Field::new("name", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec![Some("a \"b\""), None, Some("c")])) as ArrayRef,
        ),
        (
            Arc::new(Field::new("day", DataType::Date32, true)),
            Arc::new(Date32Array::from(vec![Some(0), Some(1), None])) as ArrayRef,
        ),
    ]);
    let batch = batch([("list", Arc::new(list)), ("object", Arc::new(object))]);
    assert_snapshot!(text(&batch, Format::Json).await, @r#"
    [
    {"list":[1,null],"object":{"name":"a \"b\"","day":"1970-01-01"}},
    {"list":[],"object":{"name":null,"day":"1970-01-02"}},
    {"list":null,"object":{"name":"c","day":null}}
    ]
    "#);
    assert_snapshot!(text(&batch, Format::Csv).await, @r#"
    list,object
    "[1,null]","{""name"":""a \""b\"""",""day"":""1970-01-01""}"
    [],"{""name"":null,""day"":""1970-01-02""}"
    ,"{""name"":""c"",""day"":null}"
    "#);
    assert_snapshot!(text(&batch, Format::Table).await, @r#"
     list     │ object
    ──────────┼───────────────────────────────────────
     [1,null] │ {"name":"a \"b\"","day":"1970-01-01"}
     []       │ {"name":null,"day":"1970-01-02"}
     NULL     │ {"name":"c","day":null}
    "#);
}

#[tokio::test]
async fn columns_are_as_wide_as_a_terminal_shows_them() {
    let batch = batch([
        ("도시", Arc::new(StringArray::from(vec!["서울", "New York", "파주시"]))),
        ("편수", Arc::new(Int64Array::from(vec![Some(12), Some(-3_000), None]))),
        ("메모", Arc::new(StringArray::from(vec![Some("좋음"), None, Some("")]))),
    ]);
    assert_snapshot!(text(&batch, Format::Table).await, @r"
     도시     │  편수 │ 메모
    ──────────┼───────┼──────
     서울     │    12 │ 좋음
     New York │ -3000 │ NULL
     파주시   │  NULL │
    ");
}

#[tokio::test]
async fn rows_after_the_measured_ones_are_not_cut() {
    let short = batch([
        ("a", Arc::new(StringArray::from(vec!["x"; 1_000]))),
        ("b", Arc::new(StringArray::from(vec!["y"; 1_000]))),
    ]);
    let long = batch([
        ("a", Arc::new(StringArray::from(vec!["xxxxx"]))),
        ("b", Arc::new(StringArray::from(vec!["y"]))),
    ]);
    let (text, outcome) = written(vec![short, long], Format::Table, None).await;
    assert_eq!(outcome.rows, 1_001);
    assert_snapshot!(text.lines().skip(1_001).collect::<Vec<_>>().join("\n"), @r"
    x │ y
    xxxxx │ y
    ");
}

#[tokio::test]
async fn no_rows() {
    let none = numbers(0);
    assert_snapshot!(text(&none, Format::Table).await, @r"
     n
    ───
    ");
    assert_snapshot!(text(&none, Format::Csv).await, @"n");
    assert_eq!(text(&none, Format::Json).await, "[]\n");
}

#[tokio::test]
async fn a_limit_cuts_and_says_so() {
    let batches = || vec![numbers(2), numbers(0), numbers(2)];
    let (text, outcome) = written(batches(), Format::Csv, Some(3)).await;
    assert_eq!((outcome.rows, outcome.truncated), (3, true));
    assert_eq!(text, "n\n0\n1\n0\n");
    let (_, outcome) = written(batches(), Format::Json, Some(4)).await;
    assert_eq!((outcome.rows, outcome.truncated), (4, false));
    let (text, outcome) = written(batches(), Format::Json, Some(2)).await;
    assert_eq!((outcome.rows, outcome.truncated), (2, true));
    assert_eq!(text, "[\n{\"n\":0},\n{\"n\":1}\n]\n");
}

#[tokio::test]
async fn json_is_json_and_its_keys_are_distinct() {
    let twice = RecordBatch::try_new(
        Arc::new(datafusion::arrow::datatypes::Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("id", DataType::Int64, true),
        ])),
        vec![Arc::new(Int64Array::from(vec![1])), Arc::new(Int64Array::from(vec![2]))],
    );
    assert_eq!(
        text(&twice.unwrap(), Format::Json).await,
        "[\n{\"id\":1,\"id_2\":2}\n]\n"
    );
    let parsed: serde_json::Value = serde_json::from_str(&text(&kinds(), Format::Json).await).unwrap();
    assert_eq!(parsed.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn large_results_leave_in_pieces() {
    let schema = numbers(0).schema();
    let rows = stream::iter([Ok(numbers(100_000))]);
    let limits = QueryLimits {
        timeout_ms: 1_000,
        max_rows: None,
    };
    let mut kept = Kept::default();
    let rows = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
    let output = Output {
        zone: Zone::UTC,
        format: Format::Csv,
        limits,
        scratch: std::env::temp_dir(),
    };
    output.write(rows, &mut kept).await.unwrap();
    assert!(kept.writes > 5);
}

/// What a Parquet file holds, as the library reads it that wrote it.
fn parquet_of(bytes: Vec<u8>) -> RecordBatch {
    let reader = ParquetRecordBatchReader::try_new(bytes::Bytes::from(bytes), 1_000).unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    let schema = batches.first().map(RecordBatch::schema).unwrap();
    concat_batches(&schema, &batches).unwrap()
}

#[tokio::test]
async fn parquet_has_standard_types_alone() {
    let seconds = TimestampSecondArray::from(vec![Some(-1), None]).with_timezone("America/New_York");
    let codes: DictionaryArray<Int32Type> = vec![Some("UA"), None].into_iter().collect();
    let times = TimestampSecondArray::from(vec![1, 2]);
    let item = Arc::new(Field::new("item", DataType::Timestamp(TimeUnit::Second, None), true));
    let list = ListArray::new(item, OffsetBuffer::from_lengths([2, 0]), Arc::new(times), None);
    let batch = batch([
        ("at", Arc::new(seconds) as ArrayRef),
        ("code", Arc::new(codes)),
        ("list", Arc::new(list)),
        (
            "span",
            Arc::new(IntervalMonthDayNanoArray::from(vec![
                Some(IntervalMonthDayNano::new(1, 2, 0)),
                None,
            ])),
        ),
        (
            "took",
            Arc::new(DurationMillisecondArray::from(vec![Some(1_500), None])),
        ),
        ("nothing", Arc::new(NullArray::new(2))),
    ]);
    let stored = parquet_of(bytes_of(&batch, Format::Parquet).await.unwrap());
    let millis = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Millisecond, zone.map(Into::into));
    let schema = stored.schema();
    let types: Vec<&DataType> = schema.fields().iter().map(|field| field.data_type()).collect();
    assert_eq!(*types[0], millis(Some("UTC")));
    let DataType::List(item) = types[2] else {
        panic!("{} is no list", types[2]);
    };
    assert_eq!(*item.data_type(), millis(None));
    assert!(
        [1, 3, 4, 5].iter().all(|column| *types[*column] == DataType::Utf8),
        "{types:?}"
    );
    assert_snapshot!(text(&stored, Format::Csv).await, @r#"
    at,code,list,span,took,nothing
    1969-12-31T18:59:59-05:00,UA,"[""1970-01-01T00:00:01"",""1970-01-01T00:00:02""]",1 mons 2 days,PT1.5S,
    ,,[],,,
    "#);
}

#[tokio::test]
async fn a_type_that_parquet_has_not_is_told_by_its_column() {
    let fields = UnionFields::try_new([0], [Field::new("a", DataType::Int64, true)]).unwrap();
    let union = UnionArray::try_new(
        fields,
        vec![0].into(),
        None,
        vec![Arc::new(Int64Array::from(vec![1])) as ArrayRef],
    );
    let fault = bytes_of(
        &batch([("either", Arc::new(union.unwrap()) as ArrayRef)]),
        Format::Parquet,
    )
    .await
    .unwrap_err();
    assert_eq!(fault.code, mulgil_core::codes::OUTPUT_TYPE);
    assert!(fault.message.contains("`either`"), "{}", fault.message);
}

#[tokio::test]
async fn a_limit_cuts_files_too() {
    let limits = QueryLimits {
        timeout_ms: 1_000,
        max_rows: Some(3),
    };
    for format in [Format::Parquet, Format::Xlsx] {
        let output = Output {
            zone: Zone::UTC,
            format,
            limits,
            scratch: std::env::temp_dir(),
        };
        let rows = stream::iter([Ok(numbers(2)), Ok(numbers(2))]);
        let rows = Box::pin(RecordBatchStreamAdapter::new(numbers(0).schema(), rows));
        let mut kept = Kept::default();
        let outcome = output.write(rows, &mut kept).await.unwrap();
        assert_eq!((outcome.rows, outcome.truncated), (3, true));
    }
}
