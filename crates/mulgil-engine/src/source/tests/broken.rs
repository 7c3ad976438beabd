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
    assert_snapshot!(of_typed("a,b\n1,x\n2,y,z\n").await, @r"
    error[MG3104]: a row has 3 fields, and the header names 2: `2,y,z`
      --> data/t.csv:3:5
    do: quote the field that holds a delimiter, or take the extra field out
    ");
    assert_snapshot!(of_typed("a,b\n1,x\n2\n").await, @r"
    error[MG3104]: a row has 1 field, and the header names 2: `2`
      --> data/t.csv:3:2
    do: add what is missing; an empty field is NULL
    ");
    assert_snapshot!(of_typed("a,b\r\n1,\"x\r\ny\"\r\n2,\"물길,\"\"\",é,w\r\n").await, @r#"
    error[MG3104]: a row has 4 fields, and the header names 2: `2,"물길,""",é,w`
      --> data/t.csv:4:11
    do: quote the field that holds a delimiter, or take the extra field out
    "#);
}

#[tokio::test]
async fn quotes_that_do_not_match() {
    assert_snapshot!(of_typed("a,b\n1,\"x\n2,y\n").await, @r"
    error[MG3104]: a quote in column `b` is never closed
      --> data/t.csv:2:3
    do: put the whole field in quotes and write each quote in it twice
    ");
    assert_snapshot!(of_typed("a,b\n1,5\" pipe\n").await, @r"
    error[MG3104]: a quote stands inside a field of column `b` that does not begin with one
      --> data/t.csv:2:4
    do: put the whole field in quotes and write each quote in it twice
    ");
    assert_snapshot!(of_typed("a,b\n1,\"x\"y\n").await, @r"
    error[MG3104]: text follows the closing quote in column `b`
      --> data/t.csv:2:6
    do: put the whole field in quotes and write each quote in it twice
    ");
}

#[tokio::test]
async fn values_of_another_type() {
    assert_snapshot!(of_typed("a,b\n1,x\n12.5,y\n").await, @r"
    error[MG3105]: `12.5` in column `a` is not a whole number of 64 bits: the type of the column is bigint
      --> data/t.csv:3:1
    do: correct the value, or declare a type that holds it: `columns: {a: text}` in source `raw.t`; if it stands for NULL, name it under `nulls`
    ");
    assert_snapshot!(of_typed("b,a\nx,99999999999999999999\n").await, @r"
    error[MG3105]: `99999999999999999999` in column `a` is not a whole number of 64 bits: the type of the column is bigint
      --> data/t.csv:2:3
    do: correct the value, or declare a type that holds it: `columns: {a: text}` in source `raw.t`; if it stands for NULL, name it under `nulls`
    ");
    let long = format!("a,b\n{},y\n", "한".repeat(100));
    assert_snapshot!(of_typed(long).await, @r"
    error[MG3105]: `한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한한…` in column `a` is not a whole number of 64 bits: the type of the column is bigint
      --> data/t.csv:2:1
    do: correct the value, or declare a type that holds it: `columns: {a: text}` in source `raw.t`; if it stands for NULL, name it under `nulls`
    ");
}

#[tokio::test]
async fn codes_among_numbers_that_a_first_look_found() {
    assert_snapshot!(of_typed("a,b\n10,x\n01234,y\n").await, @r"
    error[MG3105]: `01234` in column `a` is written like a code and not like a number: the type of the column is bigint
      --> data/t.csv:3:1
    do: correct the value, or declare a type that holds it: `columns: {a: text}` in source `raw.t`; if it stands for NULL, name it under `nulls`
    ");
    let fractions = Fixture::csv("t.csv").file("t.csv", "a\n0.5\n-00.5\n");
    assert_snapshot!(fractions.complaint_over("a\n0.5\n").await, @r"
    error[MG3105]: `-00.5` in column `a` is written like a code and not like a number: the type of the column is double
      --> t.csv:3:1
    do: correct the value, or declare a type that holds it: `columns: {a: text}` in source `raw.t`; if it stands for NULL, name it under `nulls`
    ");
    let declared = Fixture::csv("t.csv")
        .column("a", "bigint")
        .file("t.csv", "a\n0\n-0\n01234\n");
    assert!(declared.sql("select * from t").await.is_ok());
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
    assert_snapshot!(complaint("smallint", "40000").await, @"error[MG3105]: `40000` in column `a` is not a whole number of 16 bits: the type of the column is smallint");
    assert_snapshot!(complaint("double", "1,5").await, @"error[MG3104]: a row has 3 fields, and the header names 2: `1,5,1`");
    assert_snapshot!(complaint("double", "1.5.2").await, @"error[MG3105]: `1.5.2` in column `a` is not a number: the type of the column is double");
    assert_snapshot!(complaint("boolean", "ja").await, @"error[MG3105]: `ja` in column `a` is not true or false: the type of the column is boolean");
    assert_snapshot!(complaint("date", "2013-02-30").await, @"error[MG3105]: `2013-02-30` in column `a` is not a date (YYYY-MM-DD): the type of the column is date");
    assert_snapshot!(complaint("timestamp", "2013-03-10T02:00:00Z").await, @"error[MG3105]: `2013-03-10T02:00:00Z` in column `a` is not a timestamp without an offset (YYYY-MM-DDTHH:MM:SS): the type of the column is timestamp");
    assert_snapshot!(complaint("timestamptz", "2013-03-10 02:00:00").await, @"error[MG3105]: `2013-03-10 02:00:00` in column `a` is not a timestamp with Z or an offset (YYYY-MM-DDTHH:MM:SSZ): the type of the column is timestamptz");
    assert_snapshot!(complaint("decimal(5,2)", "1.234").await, @"error[MG3105]: `1.234` in column `a` is not a decimal number of at most 5 digits, 2 of them after the point: the type of the column is decimal(5,2)");
    assert_snapshot!(complaint("decimal(5,2)", "1234.5").await, @"error[MG3105]: `1234.5` in column `a` is not a decimal number of at most 5 digits, 2 of them after the point: the type of the column is decimal(5,2)");
}

#[tokio::test]
async fn bytes_that_are_no_text() {
    assert_snapshot!(of_typed(b"a,b\n1,x\n2,caf\xe9\n").await, @r"
    error[MG3104]: `caf�` in column `b` is not text in UTF-8
      --> data/t.csv:3:6
    do: write the file in UTF-8
    ");
    assert_snapshot!(of(b"\xff\xfea\0,\0b\0\n\0").await, @r"
    error[MG3104]: `��a\u{0}` in column `1` is not text in UTF-8
      --> data/t.csv:1:1
    do: write the file in UTF-8
    ");
}

#[tokio::test]
async fn headers() {
    assert_snapshot!(of("a,b,a\n1,2,3\n").await, @r"
    error[MG3107]: the header names the column `a` twice
      --> data/t.csv:1:5
    do: give each column its own name
    ");
    assert_snapshot!(of_typed("a,c\n1,2\n").await, @r"
    error[MG3108]: a file of source `raw.t` has no column `b`, which the files had when the source was first looked at; it has `a`, `c`
      --> data/t.csv
    do: add the column to the file; an empty one will do
    ");
    assert_snapshot!(of("").await, @r"
    error[MG3106]: the file is empty: it has not even the header line that source `raw.t` needs
      --> data/t.csv
    do: write the header line also where there are no rows
    ");
    let declared = Fixture::csv("t.csv")
        .column("price", "double")
        .file("t.csv", "id,prize\n1,2\n");
    assert_snapshot!(declared.complaint().await, @r"
    error[MG3108]: a file of source `raw.t` has no column `price`, which `columns` of the source declares; it has `id`, `prize`
      --> t.csv
    do: correct the name under `columns`, or add the column to the file
    ");
}

#[tokio::test]
async fn headers_that_are_cut_at_another_delimiter() {
    let complaint = async |fixture: Fixture, header: &str| {
        let fixture = fixture.file("t.csv", header);
        fixture.observe(&SourceSeen::default()).await.unwrap_err().to_string()
    };
    assert_snapshot!(complaint(Fixture::csv("t.csv").event_time("at"), "id;at\n1;2013-01-01\n").await, @r"
    error[MG3006]: source `raw.t` has no column `at`, which `event_time` names; it has `id;at`
      --> mulgil.yml:5:3
      --> t.csv  where its columns were looked for
    do: say in source `raw.t` what its files are cut at: `delimiter: ';'`
    ");
    assert_snapshot!(complaint(Fixture::csv("t.csv").event_time("at"), "id\tat\n1\t2013-01-01\n").await, @r"
    error[MG3006]: source `raw.t` has no column `at`, which `event_time` names; it has `id\tat`
      --> mulgil.yml:5:3
      --> t.csv  where its columns were looked for
    do: say in source `raw.t` what its files are cut at: `delimiter: '\t'`
    ");
    assert_snapshot!(complaint(Fixture::csv("t.csv").event_time("at"), "id, at\n1,2013-01-01\n").await, @r"
    error[MG3006]: source `raw.t` has no column `at`, which `event_time` names; it has `id`, ` at`
      --> mulgil.yml:5:3
      --> t.csv  where its columns were looked for
    do: write the name under `event_time` with its spaces, ` at`, or take them out of the header
    ");
    assert_snapshot!(complaint(Fixture::csv("t.csv").column("at", "date"), "id|at\n1|2013-01-01\n").await, @r"
    error[MG3108]: a file of source `raw.t` has no column `at`, which `columns` of the source declares; it has `id|at`
      --> t.csv
    do: say in source `raw.t` what its files are cut at: `delimiter: '|'`
    ");
}

#[tokio::test]
async fn gzip_data() {
    let rows = (0..20_000).fold(String::from("a,b\n"), |rows, row| rows + &format!("{row},x{row}\n"));
    let packed = gzip(rows.as_bytes());
    let cut = Fixture::csv("t.csv.gz").file("t.csv.gz", &packed[..packed.len() / 2]);
    assert_snapshot!(cut.complaint_over_packed().await, @r"
    error[MG3106]: the file ends in the middle of its gzip data, so it is not whole
      --> t.csv.gz:10043
    do: wait until it is written, or copy it again
    ");
    let mut damaged = packed.clone();
    damaged[packed.len() / 2..][..64].fill(0xff);
    let damaged = Fixture::csv("t.csv.gz").file("t.csv.gz", damaged);
    assert_snapshot!(damaged.complaint_over_packed().await, @r"
    error[MG3106]: the gzip data of the file is damaged
      --> t.csv.gz:9762
    do: copy the file again
    ");
    let plain = Fixture::csv("t.csv.gz").file("t.csv.gz", "a,b\n1,x\n");
    assert_snapshot!(plain.complaint().await, @r"
    error[MG3106]: the file is named .gz, but its bytes are not gzip data
      --> t.csv.gz
    do: pack it, or take the .gz off its name and out of `files`
    ");
}

#[tokio::test]
async fn gzip_data_with_something_behind_it() {
    let of = async |behind: &[u8]| {
        let bytes = [&gzip(b"a,b\n1,x\n")[..], behind].concat();
        Fixture::csv("t.csv.gz")
            .file("t.csv.gz", bytes)
            .complaint_over_packed()
            .await
    };
    assert_snapshot!(of(b"oops").await, @r"
    error[MG3106]: bytes that are no gzip data follow the gzip data of the file
      --> t.csv.gz:3
    do: cut them off, or copy the file again
    ");
    assert_eq!(of(b"oops").await, of(&[0; 512]).await);
    assert_snapshot!(of(&gzip(b"2,y\n")[..12]).await, @r"
    error[MG3106]: the file ends in the middle of its gzip data, so it is not whole
      --> t.csv.gz:3
    do: wait until it is written, or copy it again
    ");
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
    assert_snapshot!(of("{\"a\": 1}\n\n{\"a\": 2,}\n").await, @r#"
    error[MG3104]: a line is no JSON object: trailing comma: `{"a": 2,}`
      --> t.jsonl:3:9
    do: write one whole JSON object per line
    "#);
    assert_snapshot!(of("[{\"a\": 1}]\n").await, @r#"
    error[MG3104]: a line is no JSON object: invalid type: sequence, expected an object: `[{"a": 1}]`
      --> t.jsonl:1:1
    do: write one object per line, without the array around them
    "#);
    assert_snapshot!(of("{\"a\": 1}\n{\"b\": \"길\", \"a\": \"12\"}\n").await, @r#"
    error[MG3105]: `"12"` in column `a` is not a whole number of 64 bits: the type of the column is bigint
      --> t.jsonl:2:17
    do: correct the value, or declare a type that holds it: `columns: {a: text}` in source `raw.t`
    "#);
    assert_snapshot!(of("{\"a\": 1, \"a\": 2}\n").await, @r#"
    error[MG3104]: a line is no JSON object: the key `a` is there twice: `{"a": 1, "a": 2}`
      --> t.jsonl:1:16
    do: write one whole JSON object per line
    "#);
    assert_snapshot!(of("{\"a\": 1, \"b\": \"\\ud800\"}\n").await, @r#"
    error[MG3105]: `"\ud800"` in column `b` is not valid text: the type of the column is text
      --> t.jsonl:1:15
    do: correct the value, or declare a type that holds it: `columns: {b: text}` in source `raw.t`
    "#);
    assert_snapshot!(of("{\"a\": 1, \"b\"").await, @r#"
    error[MG3104]: a line is no JSON object: EOF while parsing an object: `{"a": 1, "b"`
      --> t.jsonl:1:12
    do: write one whole JSON object per line
    "#);
}

#[tokio::test]
async fn rows_of_another_interval() {
    let of = async |rows: &str| {
        Fixture::per(Unit::Day, "America/New_York", "d_{YYYYMMDD}.csv")
            .event_time("at")
            .column("at", "timestamp")
            .file("d_20130310.csv", format!("id,at\n1,2013-03-10 00:30:00\n{rows}"))
            .complaint()
            .await
    };
    assert_snapshot!(of("2,2013-03-10T04:59:59Z\n").await, @r"
    error[MG3109]: a row has `2013-03-10T04:59:59Z` in `at`, which lies outside the interval of its file, 2013-03-10T00:00:00-05:00 to 2013-03-11T00:00:00-04:00
      --> d_20130310.csv:3:3
    do: move the row to the file of its time, or correct `timezone` or `event_time` of source `raw.t`
    ");
    assert_snapshot!(of("2,2013-03-11 00:00:00\n").await, @r"
    error[MG3109]: a row has `2013-03-11 00:00:00` in `at`, which lies outside the interval of its file, 2013-03-10T00:00:00-05:00 to 2013-03-11T00:00:00-04:00
      --> d_20130310.csv:3:3
    do: move the row to the file of its time, or correct `timezone` or `event_time` of source `raw.t`
    ");
    assert_snapshot!(of("2,\n").await, @r"
    error[MG3109]: a row has no value in `at`, the event time of source `raw.t`, so it belongs to no interval
      --> d_20130310.csv:3:3
    do: give the row its time, or take the row out
    ");
    assert_snapshot!(of("2,soon\n").await, @r"
    error[MG3105]: `soon` in column `at` is not a timestamp (YYYY-MM-DDTHH:MM:SS): the type of the column is timestamptz
      --> d_20130310.csv:3:3
    do: correct the value; if it stands for NULL, name it under `nulls`
    ");
}

#[tokio::test]
async fn rows_of_another_interval_are_found_whatever_columns_are_read() {
    let fixture = Fixture::per(Unit::Day, "UTC", "d_{YYYYMMDD}.csv")
        .event_time("day")
        .file("d_20130310.csv", "id,day\n1,2013-03-10\n2,2013-03-09\n");
    assert_snapshot!(fixture.sql("select count(*) from t").await.unwrap_err(), @r"
    error[MG3109]: a row has `2013-03-09` in `day`, which lies outside the interval of its file, 2013-03-10T00:00:00+00:00 to 2013-03-11T00:00:00+00:00
      --> d_20130310.csv:3:3
    do: move the row to the file of its time, or correct `timezone` or `event_time` of source `raw.t`
    ");
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
    assert_snapshot!(fixture.complaint().await, @r"
    error[MG3109]: row 3 has `1970-01-02T00:00:00+00:00` in `at`, which lies outside the interval of its file, 1970-01-01T00:00:00+00:00 to 1970-01-02T00:00:00+00:00
      --> 1970/0101.parquet
    do: move the row to the file of its time, or correct `timezone` or `event_time` of source `raw.t`
    ");

    let seen = fixture.first_look().await;
    let text = RecordBatch::try_from_iter([
        ("id", Arc::new(StringArray::from(vec!["x"])) as _),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![0])) as _),
    ]);
    fixture.write("1970/0101.parquet", parquet(&text.unwrap()));
    let renewed = fixture.observe(&seen).await.unwrap();
    assert_snapshot!(fixture.sql_over("select * from t", &renewed, None).await.unwrap_err(), @r"
    error[MG3105]: column `id` is text in this file: the type of the column is bigint
      --> 1970/0101.parquet
    do: write the file with the column's type, or declare one that holds both under `columns` of source `raw.t`
    ");

    fixture.write("1970/0101.parquet", &parquet(&batch(vec![1]))[..100]);
    let renewed = fixture.observe(&seen).await.unwrap();
    assert_snapshot!(fixture.sql_over("select * from t", &renewed, None).await.unwrap_err(), @r"
    error[MG3106]: the file is no whole Parquet file: Parquet error: Invalid Parquet file. Corrupt footer
      --> 1970/0101.parquet
    do: write it again, or wait until it is written
    ");
}

#[tokio::test]
async fn files_that_are_not_what_was_seen() {
    let fixture = Fixture::csv("t.csv").file("t.csv", "a\n1\n");
    let seen = fixture.first_look().await;
    fixture.write("t.csv", "a\n1\n2\n");
    let fault = fixture.sql_over("select * from t", &seen, None).await.unwrap_err();
    assert_eq!(fault.retry, Retry::Later);
    assert_snapshot!(fault, @r"
    error[MG3102]: a file of source `raw.t` changed while it was read
      --> t.csv
    do: nothing, it is tried again; let whoever writes the file write it under another name and rename it when it is whole
    ");
    fs::remove_file(fixture.path().join("t.csv")).unwrap();
    let fault = fixture.sql_over("select * from t", &seen, None).await.unwrap_err();
    assert_eq!(fault.retry, Retry::Later);
    assert_snapshot!(fault, @r"
    error[MG3101]: a file of source `raw.t` was there when it was looked at, and now it is not
      --> t.csv
    do: put the file back; what was made from it before keeps its rows until then
    ");
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_said_to_and_not_to_be_broken() {
    let fixture = Fixture::csv("t.csv").file("t.csv", "a,b\n1,2\n");
    let seen = fixture.first_look().await;
    let shape = super::super::reader::SourceShape::new(&fixture.place(), &fixture.source, &seen.columns).unwrap();
    let mut reader = shape
        .open(&seen.files[0], &[0, 1], super::super::event::RowRule::All)
        .unwrap();
    fixture.write("t.csv", "a,b\n1,2\n3");
    assert_eq!(reader.next().unwrap_err().retry, Retry::Later);
}

#[tokio::test]
async fn a_folder_in_the_place_of_a_file() {
    let fixture = Fixture::csv("t.csv").file("t.csv/part.csv", "a\n1\n");
    let fault = fixture.observe(&SourceSeen::default()).await.unwrap_err();
    assert_eq!(fault.retry, Retry::AfterHumanFix);
    assert_snapshot!(fault, @r"
    error[MG2001]: a file of source `raw.t` cannot be read: it is a folder
      --> t.csv
    do: check that it is there and that the user who runs mulgil may read it
    ");
}

#[tokio::test]
async fn event_times_that_are_none() {
    let complaint = async |fixture: Fixture| {
        let fixture = fixture.file("t.csv", "id,at\n1,x\n");
        fixture.observe(&SourceSeen::default()).await.unwrap_err().to_string()
    };
    assert_snapshot!(complaint(Fixture::csv("t.csv").event_time("at")).await, @r"
    error[MG3006]: `at` is the event time of source `raw.t`, but it is text and not a date or a timestamp
      --> mulgil.yml:5:3
      --> t.csv  where its columns were looked for
    do: name another column under `event_time`, or declare its type: `columns: {at: timestamp}`
    ");
    assert_snapshot!(complaint(Fixture::csv("t.csv").event_time("when")).await, @r"
    error[MG3006]: source `raw.t` has no column `when`, which `event_time` names; it has `id`, `at`
      --> mulgil.yml:5:3
      --> t.csv  where its columns were looked for
    do: correct the name under `event_time`
    ");
    assert_snapshot!(complaint(Fixture::csv("t.csv").event_time("id")).await, @r"
    error[MG3006]: `id` is the event time of source `raw.t`, but it is bigint and not a date or a timestamp
      --> mulgil.yml:5:3
      --> t.csv  where its columns were looked for
    do: name another column under `event_time`, or declare its type: `columns: {id: timestamp}`
    ");
}

#[tokio::test]
async fn declarations_that_cannot_be_used() {
    let words = Fixture::csv("t.csv").column("a", "varbinary").file("t.csv", "a\n1\n");
    assert_snapshot!(words.complaint().await, @r"
    error[MG1006]: `varbinary` of column `a` in source `raw.t` is no type
      --> mulgil.yml:5:3
    do: use text, smallint, integer, bigint, real, double, boolean, date, timestamp, timestamptz or decimal(p,s)
    ");
    let delimiter = Fixture::csv("t.csv")
        .format(FileFormat::Csv {
            delimiter: '→',
            null_words: Vec::new(),
        })
        .file("t.csv", "a\n1\n");
    assert_snapshot!(delimiter.complaint().await, @r"
    error[MG1006]: source `raw.t` cannot be cut at '→'
      --> mulgil.yml:5:3
    do: use an ASCII character such as `,`, `;`, `|` or a tab under `delimiter`
    ");
}

impl Fixture {
    /// What reading complains about where the columns are known to be `a bigint, b text`.
    async fn complaint_over_packed(&self) -> String {
        let known = SourceSeen {
            files: Vec::new(),
            ..Self::csv("t.csv").file("t.csv", "a,b\n1,x\n").first_look().await
        };
        let seen = self.observe(&known).await.unwrap();
        self.sql_over("select * from t", &seen, None)
            .await
            .unwrap_err()
            .to_string()
    }
}
