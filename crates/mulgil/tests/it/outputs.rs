//! Results in files: what other readers find in them, and what is on disk when something goes wrong.

use std::{fs, process::Stdio};

use crate::harness::Place;

/// One row of values and one of NULLs, of every kind that a person meets.
const KINDS: &str = "
select
  cast(9007199254740993 as bigint) as big,
  cast(42 as int) as small,
  cast('12345678901234567.89' as decimal(20, 2)) as dec,
  cast('12.50' as decimal(10, 2)) as price,
  0.1 as f,
  cast('NaN' as double) as nan,
  '서울 🚀 =1+1' as city,
  date '1899-12-31' as old,
  date '2013-03-10' as day,
  timestamp '2013-03-10 05:30:00.25' as civil,
  arrow_cast(timestamp '2013-07-01 12:00:00', 'Timestamp(Second, Some(\"UTC\"))') as at,
  cast('01:30:00' as time) as clock,
  true as yes,
  make_array(1, null, 3) as list,
  named_struct('a', 1, 'b', 'x') as obj,
  interval '1 day' as span,
  null as nothing
union all
select null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null
order by big nulls last";

fn place() -> Place {
    Place::of(
        "\
=== mulgil.yml
name: shop
timezone: America/New_York
=== models/one.sql
{{ config(materialized='table') }}
select 1 as id
",
    )
}

/// The names in the project's folder, hidden ones too.
fn names(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.path()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| name != ".mulgil");
    names.sort();
    names
}

#[test]
fn parquet_has_the_values_and_types_with_python() {
    let place = place();
    place
        .mulgil(&["query", KINDS, "-f", "kinds.parquet"])
        .ends_with(0)
        .says("2 rows in kinds.parquet");
    let read = place.python(
        "
import duckdb
file = duckdb.sql(\"from 'kinds.parquet'\")
print(', '.join(f'{name} {kind}' for name, kind in zip(file.columns, file.types)))
for row in duckdb.sql('''select * exclude (\"at\"), epoch_us(\"at\") from 'kinds.parquet' ''').fetchall(): print(row)
",
    );
    insta::assert_snapshot!(read, @r"
    big BIGINT, small INTEGER, dec DECIMAL(20,2), price DECIMAL(10,2), f DOUBLE, nan DOUBLE, city VARCHAR, old DATE, day DATE, civil TIMESTAMP, at TIMESTAMP WITH TIME ZONE, clock TIME_NS, yes BOOLEAN, list BIGINT[], obj STRUCT(a BIGINT, b VARCHAR), span VARCHAR, nothing VARCHAR
    (9007199254740993, 42, Decimal('12345678901234567.89'), Decimal('12.50'), 0.1, nan, '서울 🚀 =1+1', datetime.date(1899, 12, 31), datetime.date(2013, 3, 10), datetime.datetime(2013, 3, 10, 5, 30, 0, 250000), datetime.time(1, 30), True, [1, None, 3], {'a': 1, 'b': 'x'}, '1 days', None, 1372680000000000)
    (None, None, None, None, None, None, None, None, None, None, None, None, None, None, None, None, None)
    ");
}

#[test]
fn a_workbook_has_the_values_and_forms_with_python() {
    let place = place();
    place
        .mulgil(&["query", KINDS, "-o", "xlsx", "-f", "kinds.xlsx"])
        .ends_with(0)
        .says("2 rows in kinds.xlsx");
    let read = place.python(
        "
import openpyxl
sheet = openpyxl.load_workbook('kinds.xlsx')['query']
print(sheet.max_row, sheet.max_column, sheet.freeze_panes, all(cell.font.b for cell in sheet[1]))
for name, cell in zip(sheet[1], sheet[2]): print(name.value, repr(cell.value), cell.number_format, cell.data_type)
print({cell.value for cell in sheet[3]})
",
    );
    insta::assert_snapshot!(read, @r#"
    2 17 A2 True
    big '9007199254740993' General s
    small 42 0 n
    dec '12345678901234567.89' General s
    price 12.5 0.00 n
    f 0.1 General n
    nan 'NaN' General s
    city '서울 🚀 =1+1' General s
    old '1899-12-31' General s
    day datetime.datetime(2013, 3, 10, 0, 0) yyyy-mm-dd d
    civil datetime.datetime(2013, 3, 10, 5, 30, 0, 250000) yyyy-mm-dd hh:mm:ss.000 d
    at datetime.datetime(2013, 7, 1, 8, 0) yyyy-mm-dd hh:mm:ss d
    clock datetime.time(1, 30) hh:mm:ss d
    yes True General b
    list '[1,null,3]' General s
    obj '{"a":1,"b":"x"}' General s
    span '1 days' General s
    nothing None General n
    {None}
    "#);
}

#[test]
fn text_stays_what_it_is_in_a_workbook_with_python() {
    let place = place();
    let sql = "select '' as empty, '=1+1' as formula, E'two\\nlines\\ttab' as lines, '<a> & \"b\"' as xml, \
        '_x0041_' as escape, chr(7) as bell, ' blanks ' as blanks, 1 as twice, 2 as \"Twice\", '007' as code";
    place.mulgil(&["query", sql, "-f", "text.xlsx"]).ends_with(0);
    let read = place.python(
        "
import openpyxl
sheet = openpyxl.load_workbook('text.xlsx').active
print([cell.value for cell in sheet[1]])
print([cell.value for cell in sheet[2]])
",
    );
    // Excel itself shows what is written with `_x…_` as the character, and `_x005F_` as a `_`.
    insta::assert_snapshot!(read, @r#"
    ['empty', 'formula', 'lines', 'xml', 'escape', 'bell', 'blanks', 'twice', 'Twice', 'code']
    [None, '=1+1', 'two\nlines\ttab', '<a> & "b"', '_x005F_x0041_', '_x0007_', ' blanks ', 1, 2, '007']
    "#);
}

#[test]
fn empty_and_wide_results_are_files_too_with_python() {
    let place = place();
    let columns: Vec<String> = (0..1_500).map(|number| format!("{number} as c{number}")).collect();
    let wide = format!("select {}", columns.join(", "));
    for (name, sql) in [("none", "select 1 as a, 'x' as b where false"), ("wide", &wide)] {
        for ending in ["parquet", "xlsx", "csv", "json"] {
            place
                .mulgil(&["query", sql, "-f", &format!("{name}.{ending}")])
                .ends_with(0);
        }
    }
    let read = place.python(
        "
import duckdb, json, openpyxl
for name in ['none', 'wide']:
    file = duckdb.sql(f\"from '{name}.parquet'\")
    sheet = openpyxl.load_workbook(f'{name}.xlsx').active
    print(len(file.columns), len(file), sheet.max_column, sheet.max_row, len(json.load(open(f'{name}.json'))))
    print(len(open(f'{name}.csv').readlines()))
",
    );
    assert_eq!(read, "2 0 2 1 0\n1\n1500 1 1500 2 1\n2\n");
}

#[test]
fn columns_of_one_name_are_told_apart_in_parquet_with_python() {
    let place = place();
    let sql = "select a.value, b.value from generate_series(1, 1) a, generate_series(2, 2) b";
    place.mulgil(&["query", sql, "-f", "twice.parquet"]).ends_with(0);
    let read = place.python("import duckdb; print(duckdb.sql(\"from 'twice.parquet'\").fetchall())");
    assert_eq!(read, "[(1, 2)]\n");
}

#[test]
fn what_excel_cannot_hold_is_refused_and_leaves_nothing() {
    let place = place();
    let before = names(&place);
    // As short as it can be: an argument has a length that it may have.
    let columns: Vec<String> = (0..16_385).map(|number| format!("1 c{number:x}")).collect();
    let wide = format!("select {}", columns.join(","));
    place
        .mulgil(&["query", &wide, "-f", "wide.xlsx"])
        .ends_with(2)
        .says("16385 columns, and a sheet of Excel has 16384");
    place
        .mulgil(&[
            "query",
            "select 1 as id, repeat('가', 32768) as note",
            "-f",
            "long.xlsx",
        ])
        .ends_with(2)
        .says("row 1 of `note` has 32768 characters, and a cell of Excel holds 32767");
    place
        .mulgil(&["query", "select repeat('🚀', 16384) as note", "-f", "long.xlsx"])
        .ends_with(2)
        .says("32768 characters");
    assert_eq!(names(&place), before);
    place
        .mulgil(&["query", "select repeat('가', 32767) as note", "-f", "long.xlsx"])
        .ends_with(0);
}

#[test]
fn a_file_is_there_when_it_is_whole_and_never_written_over_unasked() {
    let place = place();
    let before = names(&place);
    // The second of the two rows cannot be computed, after the first was written.
    let broken = "select 1 / (3 - value) as n from generate_series(1, 3)";
    for ending in ["csv", "parquet", "xlsx"] {
        let file = format!("out.{ending}");
        place
            .mulgil(&["query", broken, "-f", &file])
            .ends_with(2)
            .says("MG0006");
    }
    assert_eq!(names(&place), before);
    place.mulgil(&["query", "select 1 as a", "-f", "out.csv"]).ends_with(0);
    place
        .mulgil(&["query", "select 2 as a", "-f", "out.csv"])
        .ends_with(2)
        .says("MG0021");
    let read = || fs::read_to_string(place.path().join("out.csv")).unwrap();
    assert_eq!(read(), "a\n1\n");
    place
        .mulgil(&["query", broken, "-f", "out.csv", "--force"])
        .ends_with(2);
    assert_eq!(read(), "a\n1\n");
    place
        .mulgil(&["query", "select 3 as a", "-f", "out.csv", "--force"])
        .ends_with(0);
    assert_eq!(read(), "a\n3\n");
    place.remove("out.csv");
    assert_eq!(names(&place), before);
}

#[test]
fn where_a_result_goes_and_how_is_read_from_what_was_typed() {
    let place = place();
    let ask = |words: &[&str]| place.mulgil(&[&["query", "select 1 as a"], words].concat());
    ask(&["-f", "a.dat"]).ends_with(2).says("-o csv");
    ask(&["-f", "a.dat", "-o", "json"]).ends_with(0);
    assert_eq!(
        fs::read_to_string(place.path().join("a.dat")).unwrap(),
        "[\n{\"a\":1}\n]\n"
    );
    ask(&["-f", "none/a.csv"])
        .ends_with(2)
        .says("the folder of none/a.csv is not there");
    ask(&["-f", "models", "-o", "csv"])
        .ends_with(2)
        .says("models is a folder");
    ask(&["--force"]).ends_with(2);
    let csv = ask(&["-f", "-", "-o", "csv"]).ends_with(0);
    assert_eq!(csv.stdout, "a\n1\n");
    // What is not a file is written to as it is.
    ask(&["-f", "/dev/null", "-o", "csv"]).ends_with(0);
    let limited = place.mulgil(&[
        "query",
        "select 1 as a union all select 2",
        "-f",
        "l.csv",
        "--limit",
        "1",
    ]);
    limited.ends_with(0).says("1 row in l.csv, 4 bytes; there are more");
}

#[test]
fn parquet_goes_through_a_pipe() {
    let place = place();
    let output = place
        .command(&["query", "select 1 as a", "-o", "parquet"])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(output.stdout.starts_with(b"PAR1") && output.stdout.ends_with(b"PAR1"));
}

#[test]
fn a_terminal_gets_no_bytes_that_are_no_text() {
    let place = place();
    for format in ["parquet", "xlsx"] {
        let command = place.command(&["query", "select 1 as a", "-o", format]);
        let mut terminal = rexpect::session::spawn_command(command, Some(60_000)).unwrap();
        terminal.exp_string("MG0022").unwrap();
        terminal.exp_string(&format!("-f result.{format}")).unwrap();
        terminal.exp_eof().unwrap();
    }
}
