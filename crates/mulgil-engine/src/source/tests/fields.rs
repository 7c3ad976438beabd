//! Any text goes into a CSV field and comes out again, and no bytes make the reader fail otherwise
//! than by a fault.

use std::fs::File;

use mulgil_core::port::Fault;
use proptest::prelude::*;

use super::super::{
    cell::Cell,
    csv::{CsvFile, Nulls},
    fault::Origin,
    files::Input,
    json::JsonFile,
    window::Span,
};

/// The rows of a file, with NULL as `None`.
fn rows(bytes: &[u8]) -> Result<Vec<Vec<Option<String>>>, Fault> {
    let mut csv = CsvFile::open(
        Input::File(file(bytes)),
        origin(),
        b',',
        Nulls::Words(Vec::new()),
        Span::WHOLE,
    )?;
    let columns = csv.header.len();
    let mut rows = Vec::new();
    let mut scratch = String::new();
    while let Some(record) = csv.next()? {
        let row = (0..columns).map(|index| match record.cell(index, true, &mut scratch) {
            Cell::Null => None,
            Cell::Text(text) | Cell::Plain(text) => Some(text.to_owned()),
        });
        rows.push(row.collect());
    }
    Ok(rows)
}

fn file(bytes: &[u8]) -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    std::fs::write(&path, bytes).unwrap();
    File::open(path).unwrap()
}

fn origin() -> Origin {
    Origin {
        source: "raw.t".into(),
        file: "t.csv".into(),
        is_csv: true,
    }
}

proptest! {
    #[test]
    fn any_text_is_read_back(
        table in prop::collection::vec(prop::collection::vec(prop::option::of("[a\",\r\n길 ]{0,6}"), 3), 0..6),
        end in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        let field = |value: &Option<String>| match value {
            None => String::new(),
            Some(text) => format!("\"{}\"", text.replace('"', "\"\"")),
        };
        let line = |row: &Vec<Option<String>>| row.iter().map(field).collect::<Vec<_>>().join(",");
        let lines: Vec<String> = std::iter::once("x,y,z".to_owned()).chain(table.iter().map(line)).collect();
        prop_assert_eq!(rows(lines.join(end).as_bytes()).unwrap(), table);
    }

    #[test]
    fn any_bytes_are_rows_or_a_fault(bytes in prop::collection::vec(prop::sample::select(b"a,\"\r\n\xe9{}:1\\[".to_vec()), 0..60)) {
        let _ = rows(&bytes);
        if let Ok(mut json) = JsonFile::open(Input::File(file(&bytes)), origin(), Span::WHOLE) {
            while let Ok(Some(object)) = json.next() {
                let mut scratch = String::new();
                for index in 0..object.entries.len() {
                    let _ = object.cell(index, &mut scratch);
                    let _ = object.spot(index);
                }
            }
        }
    }
}

#[test]
fn a_seed_of_dbt_has_no_empty_texts_and_null_is_a_word_only_beside_numbers() {
    let mut csv = CsvFile::open(
        Input::File(file(b"a,b,c\n\"\",null, \nNULL, Null ,x\n")),
        origin(),
        b',',
        Nulls::AsDbt,
        Span::WHOLE,
    )
    .unwrap();
    let mut scratch = String::new();
    let mut rows = Vec::new();
    while let Some(record) = csv.next().unwrap() {
        for is_text in [true, false] {
            let cells = (0..3).map(|index| match record.cell(index, is_text, &mut scratch) {
                Cell::Null => "-".to_owned(),
                Cell::Text(text) | Cell::Plain(text) => text.to_owned(),
            });
            rows.push(cells.collect::<Vec<_>>().join("|"));
        }
    }
    assert_eq!(rows, ["-|null|-", "-|-|-", "NULL| Null |x", "-|-|x"]);
}
