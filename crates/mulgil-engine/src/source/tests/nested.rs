//! Nested JSON: which types a first look finds, how they are written, and what is read.

use std::fmt::Write as _;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use insta::assert_snapshot;
use mulgil_core::{port::SourceSeen, project::FileFormat, task::Column};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    super::{
        event::RowRule,
        look::look,
        reader::SourceShape,
        words::{MAX_DEPTH, array_type, declared_type, instant_type, ledger_text, ledger_type, sql_words, struct_type},
    },
    Fixture,
};

fn lines(text: &str) -> Fixture {
    Fixture::csv("t.jsonl")
        .format(FileFormat::JsonLines)
        .file("t.jsonl", text)
}

/// The type of the one column that these values have.
async fn type_of(values: &[&str]) -> String {
    let text = values.iter().fold(String::new(), |text, value| {
        text + &format!("{{\"c\": {}}}\n", value.replace('\n', " "))
    });
    let inferred = lines(&text).inferred().await;
    inferred.strip_prefix("c ").unwrap().to_owned()
}

#[tokio::test]
async fn types_of_values() {
    let cases: &[(&[&str], &str)] = &[
        (&[r#"{"x": 1, "y": "s"}"#], "struct<x bigint, y text>"),
        (
            &[r#"{"x": 1}"#, "null", r#"{"y": true, "x": 2.5}"#],
            "struct<x double, y boolean>",
        ),
        (
            &[r#"[{"k": "a", "v": {"s": "x"}}, {"k": "b", "v": {"n": 2}}]"#],
            "array<struct<k text, v struct<s text, n bigint>>>",
        ),
        (&["[1, null]", "[2.5]"], "array<double>"),
        (&["[1]", "[\"x\"]"], "array<text>"),
        (&["[1]", "[{\"x\": 1}]"], "array<text>"),
        (&["[\"2013-01-01\"]", "[\"2013-01-01 10:00:00\"]"], "array<timestamp>"),
        (&["[]"], "Utf8"),
        (&["{}"], "Utf8"),
        (&["[null]"], "Utf8"),
        (&["[]", "[true]"], "array<boolean>"),
        (&["{}", "{\"x\": 1}"], "struct<x bigint>"),
        (&["[[], [[1]]]"], "array<array<array<bigint>>>"),
        (
            &["{\"x\": null, \"y\": {}, \"z\": []}"],
            "struct<x text, y text, z text>",
        ),
        (&["{\"x\": 1}", "[1]"], "Utf8"),
        (&["[1]", "1"], "Utf8"),
        (&["\"s\"", "[1]", "[2]"], "Utf8"),
        (
            &[r#"{"a b": 1, "c\"d": true, "한": 1, "": 1}"#],
            r#"struct<"a b" bigint, "c""d" boolean, 한 bigint, "" bigint>"#,
        ),
        (&["12345678901234567890"], "Utf8"),
        (&["{\"code\": 12345678901234567890}"], "struct<code text>"),
    ];
    for (values, expected) in cases {
        assert_eq!(type_of(values).await, *expected, "{values:?}");
    }
}

#[tokio::test]
async fn what_is_too_deep_or_has_too_many_keys_stays_text() {
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let words = |depth: usize, inner: &str| format!("{}{inner}{}", "array<".repeat(depth), ">".repeat(depth));
    assert_eq!(type_of(&[&deep(MAX_DEPTH)]).await, words(MAX_DEPTH, "bigint"));
    assert_eq!(type_of(&[&deep(MAX_DEPTH + 1)]).await, words(MAX_DEPTH, "text"));
    let objects = |keys: std::ops::Range<usize>| -> Vec<String> {
        keys.map(|key| format!("{{\"user_{key}\": {{\"n\": {key}}}}}"))
            .collect()
    };
    let of = async |rows: Vec<String>| type_of(&rows.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(
        of(objects(0..256))
            .await
            .starts_with("struct<user_0 struct<n bigint>, ")
    );
    assert_eq!(of(objects(0..257)).await, "Utf8");
    // Each object has few keys, all of them together have too many.
    let wide = |width: usize| {
        let inner: String = (0..200).map(|key| format!(", \"k{key}\": 1")).collect();
        let parts = (0..width).map(|part| format!("\"p{part}\": {{\"k\": 1{inner}}}"));
        format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
    };
    assert!(type_of(&[&wide(5)]).await.starts_with("struct<p0 struct<k bigint, k0 "));
    assert_eq!(type_of(&[&wide(6)]).await, "Utf8");
}

#[tokio::test]
async fn files_of_a_source_add_their_keys() {
    let fixture = Fixture::per(mulgil_core::grid::Unit::Day, "UTC", "d_{YYYYMMDD}.jsonl")
        .format(FileFormat::JsonLines)
        .file("d_20130101.jsonl", "{\"c\": {\"x\": 1}, \"d\": []}\n")
        .file("d_20130102.jsonl", "{\"c\": {\"y\": [1]}, \"d\": {}}\n")
        .file("d_20130103.jsonl", "{\"c\": {\"y\": [1.5], \"x\": null}}\n");
    assert_snapshot!(fixture.inferred().await, @r"
    c struct<x bigint, y array<double>>
    d Utf8
    ");
}

#[test]
fn words_of_nested_types() {
    let text = || DataType::Utf8;
    let value = struct_type([
        ("n".to_owned(), DataType::Int64),
        ("d".to_owned(), DataType::Decimal128(10, 2)),
    ]);
    let tags = array_type(struct_type([("key".to_owned(), text()), ("value".to_owned(), value)]));
    for words in [
        "array<struct<key text, value struct<n bigint, d decimal(10,2)>>>",
        "ARRAY<STRUCT<key STRING, value STRUCT<n BIGINT, d DECIMAL(10, 2)>>>",
        " list < struct < key : varchar(9) , \"value\": struct<n: bigint, d: numeric(10,2)> > > ",
    ] {
        assert_eq!(declared_type(words), Some(tags.clone()), "{words}");
    }
    assert_eq!(
        declared_type("struct<Ab double precision, \"a \"\"b\" timestamp with time zone>"),
        Some(struct_type([
            ("Ab".to_owned(), DataType::Float64),
            ("a \"b".to_owned(), instant_type())
        ]))
    );
    let deep = |depth: usize| format!("{}text{}", "array<".repeat(depth), ">".repeat(depth));
    assert!(declared_type(&deep(MAX_DEPTH)).is_some());
    for words in [
        "struct<>",
        "struct<a>",
        "struct<a text",
        "struct<a text,>",
        "struct<a text, a bigint>",
        "struct<a text b text>",
        "struct<\"a text>",
        "array<>",
        "array<text",
        "array<text>>",
        "array<text, text>",
        "array text",
        "array<frob>",
        "text, text",
        &deep(MAX_DEPTH + 1),
    ] {
        assert_eq!(declared_type(words), None, "{words}");
    }
}

#[test]
fn types_that_words_do_not_say_are_kept_in_arrows_words() {
    let unsigned = array_type(DataType::UInt64);
    assert_eq!(ledger_text(&unsigned), unsigned.to_string());
    assert_eq!(ledger_type(&ledger_text(&unsigned)), Some(unsigned));
    // What an earlier version wrote of a nested Parquet column.
    let old = "List(Struct(\"key\": Utf8), field: 'element')";
    assert_eq!(ledger_type(old), declared_type("array<struct<key text>>"));
    assert_eq!(ledger_type("frob"), None);
}

fn any_type() -> impl Strategy<Value = DataType> {
    let flat = prop::sample::select(vec![
        DataType::Utf8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
        DataType::Boolean,
        DataType::Date32,
        DataType::Timestamp(TimeUnit::Microsecond, None),
        instant_type(),
        DataType::Decimal128(38, 0),
        DataType::Decimal128(5, 5),
    ]);
    flat.prop_recursive(5, 24, 4, |inner| {
        let name = "[a-zA-Z0-9_한<>,:\"' \\\\\n]{0,4}";
        let keys = prop::collection::btree_map(name, inner.clone(), 1..4).prop_map(struct_type);
        prop_oneof![inner.prop_map(array_type), keys]
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let flat = prop::sample::select(vec![
        Value::Null,
        json!(true),
        json!(1),
        json!(-2.5),
        json!("s"),
        json!("a \"b\"\n]}"),
        json!("2013-03-10"),
        json!("2013-03-10T00:00:00Z"),
    ]);
    flat.prop_recursive(4, 16, 4, |inner| {
        let keys = prop::collection::btree_map("[ab\" ]", inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::Array),
            keys.prop_map(|keys| Value::Object(keys.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_type_is_read_back_from_its_words(data_type in any_type()) {
        prop_assert_eq!(declared_type(&sql_words(&data_type)), Some(data_type.clone()));
        prop_assert_eq!(ledger_type(&ledger_text(&data_type)), Some(data_type));
    }

    #[test]
    fn what_was_looked_at_can_be_read(values in prop::collection::vec(any_value(), 1..6)) {
        let mut text = String::new();
        for value in &values {
            writeln!(text, "{}", json!({"c": value, "n": 1})).unwrap();
        }
        let fixture = lines(&text);
        let seen = look(&fixture.place(), &fixture.source, &SourceSeen::default()).unwrap();
        let shape = SourceShape::new(&fixture.place(), &fixture.source, &seen.columns).unwrap();
        let mut reader = shape.open(&seen.files[0], &[0, 1], RowRule::All).unwrap();
        let batch = reader.next().unwrap().unwrap();
        prop_assert_eq!(batch.num_rows(), values.len());
        let nulls = values.iter().filter(|value| value.is_null()).count();
        prop_assert_eq!(batch.column(0).null_count(), nulls);
        batch.column(0).to_data().validate_full().unwrap();
    }
}

const EVENTS: &str = r#"{"id": 1, "tags": [{"k": "a", "v": {"s": "x"}}, {"v": {"n": 2}, "k": "b", "other": {}}], "geo": {"country": "kr"}}
{"id": 2, "tags": [], "geo": null}
{"id": 3, "geo": {}, "more": [1]}
{"id": 4, "tags": [null, {"k": "\ud55c \"q\"", "v": null}], "geo": {"city": "Seoul"}}
"#;

#[tokio::test]
async fn absent_keys_are_null_and_what_has_parts_can_be_asked() {
    let fixture = lines(EVENTS);
    assert_snapshot!(fixture.inferred().await, @r"
    id Int64
    tags array<struct<k text, v struct<s text, n bigint>, other text>>
    geo struct<country text, city text>
    more array<bigint>
    ");
    assert_snapshot!(fixture.sql("select id, tags, geo from t order by id").await.unwrap(), @r#"
    +----+----------------------------------------------------------------------+--------------------------+
    | id | tags                                                                 | geo                      |
    +----+----------------------------------------------------------------------+--------------------------+
    | 1  | [{k: a, v: {s: x, n: }, other: }, {k: b, v: {s: , n: 2}, other: {}}] | {country: kr, city: }    |
    | 2  | []                                                                   |                          |
    | 3  |                                                                      | {country: , city: }      |
    | 4  | [, {k: 한 "q", v: , other: }]                                        | {country: , city: Seoul} |
    +----+----------------------------------------------------------------------+--------------------------+
    "#);
    let unnested = "select id, t['k'] as k, t['v']['s'] as s, t['v']['n'] as n, t is null as nothing \
                    from (select id, unnest(tags) as t from t) order by id, k";
    assert_snapshot!(fixture.sql(unnested).await.unwrap(), @r#"
    +----+--------+---+---+---------+
    | id | k      | s | n | nothing |
    +----+--------+---+---+---------+
    | 1  | a      | x |   | false   |
    | 1  | b      |   | 2 | false   |
    | 4  | 한 "q" |   |   | false   |
    | 4  |        |   |   | true    |
    +----+--------+---+---+---------+
    "#);
    let fields = "select id, geo['country'] as country, geo is null as nowhere, more[1] as more from t order by id";
    assert_snapshot!(fixture.sql(fields).await.unwrap(), @r"
    +----+---------+---------+------+
    | id | country | nowhere | more |
    +----+---------+---------+------+
    | 1  | kr      | false   |      |
    | 2  |         | true    |      |
    | 3  |         | false   | 1    |
    | 4  |         | false   |      |
    +----+---------+---------+------+
    ");
    assert_snapshot!(fixture.sql("select count(*) as n from t where geo['city'] = 'Seoul'").await.unwrap(), @r"
    +---+
    | n |
    +---+
    | 1 |
    +---+
    ");
}

#[tokio::test]
async fn values_that_do_not_fit_are_told_with_the_way_to_them() {
    let of = async |row: &str| lines(&format!("{{\"id\": 0}}\n{row}\n")).complaint_over(EVENTS).await;
    assert_snapshot!(of(r#"{"tags": [{"k": "a"}, {"k": "b", "v": {"n": "2"}}]}"#).await, @r#"
    error[MG3105]: `"2"` in `tags[2].v.n` is not a whole number of 64 bits: the type there is bigint
      --> t.jsonl:2:45
    do: correct the value, or declare a type that holds it: `columns: {tags: text}` in source `raw.t`
    "#);
    assert_snapshot!(of(r#"{"tags": {"k": "a"}}"#).await, @r#"
    error[MG3105]: `{"k": "a"}` in column `tags` is not an array: the type of the column is array<…>
      --> t.jsonl:2:10
    do: correct the value, or declare a type that holds it: `columns: {tags: text}` in source `raw.t`
    "#);
    assert_snapshot!(of(r#"{"geo": {"country": "kr"}, "tags": [3]}"#).await, @r"
    error[MG3105]: `3` in `tags[1]` is not an object: the type there is struct<…>
      --> t.jsonl:2:37
    do: correct the value, or declare a type that holds it: `columns: {tags: text}` in source `raw.t`
    ");
    assert_snapshot!(of(r#"{"tags": [{"k": "\ud800"}]}"#).await, @r#"
    error[MG3105]: `"\ud800"` in `tags[1].k` is not valid text: the type there is text
      --> t.jsonl:2:17
    do: correct the value, or declare a type that holds it: `columns: {tags: text}` in source `raw.t`
    "#);
    assert_snapshot!(of(r#"{"geo": {"country": "kr", "city": 1, "country": "jp"}}"#).await, @r"
    error[MG3104]: the key `geo.country` is there twice in one object
      --> t.jsonl:2:38
    do: give each key of an object once
    ");
}

#[tokio::test]
async fn declared_types_count_and_text_keeps_the_file_as_it_is() {
    let row = r#"{"a": [{"n": 1, "d": "2013-03-10"}], "b": {"x": [1,  2]}}"#;
    let fixture = lines(row)
        .column("a", "array<struct<n double, absent: text, d timestamp>>")
        .column("b", "text");
    assert_snapshot!(fixture.inferred().await, @r"
    a array<struct<n double, absent text, d timestamp>>
    b Utf8
    ");
    assert_snapshot!(fixture.sql("select * from t").await.unwrap(), @r#"
    +----------------------------------------------+----------------+
    | a                                            | b              |
    +----------------------------------------------+----------------+
    | [{n: 1.0, absent: , d: 2013-03-10T00:00:00}] | {"x": [1,  2]} |
    +----------------------------------------------+----------------+
    "#);
    let wrong = lines(row).column("a", "array<struct<>>");
    assert_snapshot!(wrong.complaint().await, @r"
    error[MG1006]: `array<struct<>>` of column `a` in source `raw.t` is no type
      --> mulgil.yml:5:3
    do: use text, smallint, integer, bigint, real, double, boolean, date, timestamp, timestamptz, decimal(p,s), array<…> or struct<name …, name …> of such
    ");
    let csv = Fixture::csv("t.csv")
        .file("t.csv", "a\n\"[1]\"\n")
        .column("a", "array<bigint>");
    assert_snapshot!(csv.complaint().await, @r"
    error[MG3105]: column `a` is text in this file: the type of the column is array<bigint>
      --> t.csv
    do: write the file with the column's type, or declare one that holds both under `columns` of source `raw.t`
    ");
}

/// A ledger keeps the columns that an earlier look found.
#[tokio::test]
async fn columns_that_were_text_stay_text() {
    let fixture = lines(EVENTS);
    let mut known = fixture.first_look().await;
    let text = |column: &Column| Column {
        name: column.name.clone(),
        data_type: "Utf8".to_owned(),
    };
    known.columns = known.columns.iter().map(text).collect();
    known.files.clear();
    let seen = fixture.observe(&known).await.unwrap();
    assert_eq!(seen.columns, known.columns);
    assert_snapshot!(fixture.sql_over("select tags from t where id = '3' or id = '2'", &seen, None).await.unwrap(), @r"
    +------+
    | tags |
    +------+
    | []   |
    |      |
    +------+
    ");
    // Declaring is how they become what they are.
    let fixture = fixture.column("geo", "struct<country text>");
    let seen = fixture.observe(&known).await.unwrap();
    assert_snapshot!(fixture.sql_over("select geo['country'] as c from t where id = '1'", &seen, None).await.unwrap(), @r"
    +----+
    | c  |
    +----+
    | kr |
    +----+
    ");
}
