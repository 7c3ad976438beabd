//! How faults of files are worded: each names the source, the file, the place in it, the value
//! and what was expected there. Nothing here reads anything.

use std::{io, path::PathBuf};

use datafusion::arrow::datatypes::DataType;
use mulgil_core::{
    codes,
    diagnostic::{Code, Diagnostic, Place, Retry},
    grid::Zone,
    name::NodeName,
    port::Fault,
    project::{FileFormat, Source},
};

use super::types::{expected_words, is_code, sql_words};
use crate::fault::hidden_inside;

/// How much of a value a message shows.
const SHOWN_CHARS: usize = 60;

/// What a fault is about: one file of one source.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The source.
    pub source: NodeName,
    /// The file, from the project folder.
    pub file: PathBuf,
    /// Whether it is CSV, which knows words that mean NULL, and a delimiter.
    pub is_csv: bool,
}

/// A column, as far as a value must fit it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnSpec {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// The zone of times without an offset, where a `timestamptz` takes them: in the event time.
    pub civil_zone: Option<Zone>,
    /// Whether its type was declared, and not found by a first look.
    pub is_declared: bool,
}

impl ColumnSpec {
    /// Whether digits in a text file are no number here: a first look takes what begins with zeros
    /// for a code, and so are such values where only later rows have them.
    pub(super) fn takes_for_code(&self, text: &str) -> bool {
        !self.is_declared && self.data_type.is_numeric() && is_code(text)
    }
}

/// A place in a text file, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// A value that its column cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Misfit;

impl Origin {
    /// A file of a source.
    pub(super) fn new(source: &Source, file: impl Into<PathBuf>) -> Self {
        Self {
            source: source.name.clone(),
            file: file.into(),
            is_csv: matches!(source.format, FileFormat::Csv { .. } | FileFormat::DbtSeed { .. }),
        }
    }

    /// The file cannot be reached: a right that is missing, a broken disk.
    pub(super) fn unreachable(&self, error: &io::Error) -> Fault {
        // A store says better than we what is wrong with it.
        if let Some(fault) = error.get_ref().and_then(|inner| hidden_inside(inner)) {
            return fault;
        }
        self.fault(
            codes::SOURCE_UNREACHABLE,
            format!("a file of source `{}` cannot be read: {error}", self.source),
        )
        .with_remedy("check that it is there and that the user who runs mulgil may read it")
        .with_retry(Retry::AfterHumanFix)
        .into()
    }

    /// The file was seen, and is not there any more.
    pub(super) fn missing(&self) -> Fault {
        self.fault(
            codes::SOURCE_FILE_MISSING,
            format!(
                "a file of source `{}` was there when it was looked at, and now it is not",
                self.source
            ),
        )
        .with_remedy("put the file back; what was made from it before keeps its rows until then")
        .with_retry(Retry::Later)
        .into()
    }

    /// The file is not the one that was seen.
    pub(super) fn changed(&self) -> Fault {
        self.fault(
            codes::SOURCE_FILE_CHANGED,
            format!("a file of source `{}` changed while it was read", self.source),
        )
        .with_remedy(
            "nothing, it is tried again; let whoever writes the file write it under another name and rename it \
             when it is whole",
        )
        .with_retry(Retry::Later)
        .into()
    }

    /// The name has the form of the template, and yet it names no time.
    pub(super) fn not_a_time(&self, template: &str, zone: &str, why: &str) -> Fault {
        self.fault(
            codes::SOURCE_FILE_NAME,
            format!(
                "the name of a file of source `{}` fits `{template}` but names no time in {zone}: {why}",
                self.source
            ),
        )
        .with_remedy("rename the file, or move it out of the folder that the template names")
        .into()
    }

    /// A row that cannot be taken apart.
    pub(super) fn broken_row(&self, spot: Spot, what: impl Into<String>, remedy: impl Into<String>) -> Fault {
        self.fault(codes::SOURCE_BROKEN_ROW, what)
            .at_spot(self, spot)
            .with_remedy(remedy)
            .into()
    }

    /// A file that is not what its name says.
    pub(super) fn broken_file(&self, line: Option<u32>, what: impl Into<String>, remedy: impl Into<String>) -> Fault {
        let mut place = Place::file(&self.file);
        place.line = line;
        self.fault(codes::SOURCE_BROKEN_FILE, what)
            .at(place)
            .with_remedy(remedy)
            .into()
    }

    /// A header line that does not give each column a name.
    pub(super) fn bad_header(&self, spot: Spot, what: impl Into<String>, remedy: impl Into<String>) -> Fault {
        self.fault(codes::SOURCE_BAD_HEADER, what)
            .at_spot(self, spot)
            .with_remedy(remedy)
            .into()
    }

    /// A column that the source has and this file has not.
    pub(super) fn missing_column(&self, column: &str, has: &[String], declared: bool) -> Fault {
        let (why, remedy) = if declared {
            (
                "which `columns` of the source declares",
                "correct the name under `columns`, or add the column to the file",
            )
        } else {
            (
                "which the files had when the source was first looked at",
                "add the column to the file; an empty one will do",
            )
        };
        let delimiter = uncut(has).filter(|_| self.is_csv);
        self.fault(
            codes::SOURCE_COLUMN_MISSING,
            format!(
                "a file of source `{}` has no column `{column}`, {why}; it has {}",
                self.source,
                listed(has)
            ),
        )
        .with_remedy(delimiter.map_or_else(|| remedy.to_owned(), |delimiter| say_delimiter(&self.source, delimiter)))
        .into()
    }

    /// A value that its column's type cannot hold.
    pub(super) fn misfit(&self, spot: Spot, column: &ColumnSpec, value: &str) -> Fault {
        let ColumnSpec { name, data_type, .. } = column;
        // The event time has to be a time, so another type is no way out.
        let mut remedy = match column.civil_zone {
            Some(_) => "correct the value".to_owned(),
            None => format!(
                "correct the value, or declare a type that holds it: `columns: {{{name}: text}}` in source `{}`",
                self.source
            ),
        };
        if self.is_csv {
            remedy.push_str("; if it stands for NULL, name it under `nulls`");
        }
        let why = if column.takes_for_code(value) {
            "written like a code and not like a number".to_owned()
        } else {
            format!("not {}", expected_words(data_type, column.civil_zone.is_some()))
        };
        self.fault(
            codes::SOURCE_VALUE,
            format!(
                "{} in column `{name}` is {why}: the type of the column is {}",
                shown(value),
                sql_words(data_type),
            ),
        )
        .at_spot(self, spot)
        .with_remedy(remedy)
        .into()
    }

    /// A column whose type in this file cannot become the column's type without loss.
    pub(super) fn type_changed(&self, column: &str, found: &DataType, fixed: &DataType) -> Fault {
        self.fault(
            codes::SOURCE_VALUE,
            format!(
                "column `{column}` is {} in this file: the type of the column is {}",
                sql_words(found),
                sql_words(fixed)
            ),
        )
        .with_remedy(format!(
            "write the file with the column's type, or declare one that holds both under `columns` of source `{}`",
            self.source
        ))
        .into()
    }

    /// A row without an event time.
    pub(super) fn null_event_time(&self, row: RowPlace, column: &str) -> Fault {
        self.fault(
            codes::SOURCE_ROW_OUTSIDE,
            format!(
                "{} has no value in `{column}`, the event time of source `{}`, so it belongs to no interval",
                row.subject(),
                self.source
            ),
        )
        .at_row(self, row)
        .with_remedy("give the row its time, or take the row out")
        .into()
    }

    /// A row in the file of another interval; `value` and `interval` as people read them.
    pub(super) fn outside(&self, row: RowPlace, column: &str, value: &str, interval: &str) -> Fault {
        self.fault(
            codes::SOURCE_ROW_OUTSIDE,
            format!(
                "{} has {} in `{column}`, which lies outside the interval of its file, {interval}",
                row.subject(),
                shown(value)
            ),
        )
        .at_row(self, row)
        .with_remedy(format!(
            "move the row to the file of its time, or correct `timezone` or `event_time` of source `{}`",
            self.source
        ))
        .into()
    }

    fn fault(&self, code: Code, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, message).at(Place::file(&self.file))
    }
}

/// Where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowPlace {
    /// In a text file.
    Text(Spot),
    /// The n-th of a Parquet file, from 1.
    Number(u64),
}

impl RowPlace {
    fn subject(self) -> String {
        match self {
            Self::Text(_) => "a row".to_owned(),
            Self::Number(number) => format!("row {number}"),
        }
    }
}

/// The event-time column is there and holds no time.
pub(super) fn event_time_type(source: &Source, column: &str, found: &DataType) -> Fault {
    Diagnostic::error(
        codes::BAD_EVENT_TIME,
        format!(
            "`{column}` is the event time of source `{}`, but it is {} and not a date or a timestamp",
            source.name,
            sql_words(found)
        ),
    )
    .at(source.place.clone())
    .with_remedy(format!(
        "name another column under `event_time`, or declare its type: `columns: {{{column}: timestamp}}`"
    ))
    .into()
}

/// The event-time column is not there.
pub(super) fn event_time_missing(source: &Source, column: &str, has: &[String]) -> Fault {
    let is_csv = matches!(source.format, FileFormat::Csv { .. } | FileFormat::DbtSeed { .. });
    let remedy = match (
        uncut(has).filter(|_| is_csv),
        has.iter().find(|name| name.trim() == column),
    ) {
        (Some(delimiter), _) => say_delimiter(&source.name, delimiter),
        (None, Some(spaced)) => {
            format!("write the name under `event_time` with its spaces, `{spaced}`, or take them out of the header")
        }
        (None, None) => "correct the name under `event_time`".to_owned(),
    };
    Diagnostic::error(
        codes::BAD_EVENT_TIME,
        format!(
            "source `{}` has no column `{column}`, which `event_time` names; it has {}",
            source.name,
            listed(has)
        ),
    )
    .at(source.place.clone())
    .with_remedy(remedy)
    .into()
}

/// What separates the names of a header that was taken for one name.
fn uncut(header: &[String]) -> Option<char> {
    let [name] = header else { return None };
    [';', '\t', '|', ',']
        .into_iter()
        .find(|delimiter| name.contains(*delimiter))
}

fn say_delimiter(source: &NodeName, delimiter: char) -> String {
    let delimiter = delimiter.escape_default();
    format!("say in source `{source}` what its files are cut at: `delimiter: '{delimiter}'`")
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", "),
    }
}

/// What is declared of a source cannot be used to read it.
pub(super) fn declaration(source: &Source, what: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Diagnostic::error(codes::BAD_VALUE, what)
        .at(source.place.clone())
        .with_remedy(remedy)
        .into()
}

/// A value as messages show it: in back quotes, cut, on one line.
pub(super) fn shown(value: &str) -> String {
    let mut out = String::from("`");
    for (index, character) in value.chars().enumerate() {
        if index == SHOWN_CHARS {
            out.push('…');
            break;
        }
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out.push('`');
    out
}

trait AtSpot {
    fn at_spot(self, origin: &Origin, spot: Spot) -> Self;
    fn at_row(self, origin: &Origin, row: RowPlace) -> Self;
}

impl AtSpot for Diagnostic {
    fn at_spot(self, origin: &Origin, spot: Spot) -> Self {
        self.at(Place::at(&origin.file, spot.line, spot.column))
    }

    fn at_row(self, origin: &Origin, row: RowPlace) -> Self {
        match row {
            RowPlace::Text(spot) => self.at_spot(origin, spot),
            RowPlace::Number(_) => self,
        }
    }
}
