//! How the file of a seed is read: what it is cut at, which fields are NULL, and the types of its
//! columns where they are given.

use std::collections::BTreeMap;

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Severity},
    project::FileFormat,
};
use serde_json::Value as Json;

use crate::{
    config::{Layer, Setting},
    dialect::Dialect,
    text,
};

/// The types that a seed's column may have.
const TYPES: &str =
    "text, smallint, integer, bigint, real, double, boolean, date, timestamp, timestamptz or decimal(p,s)";
/// What a number without precision is: digits in all, and behind the point.
const ANY_DECIMAL: &str = "decimal(38,9)";

/// What is set for one seed.
pub(crate) struct Reading<'a> {
    pub(crate) dialect: Dialect,
    /// All that holds for it.
    pub(crate) layer: &'a Layer,
    /// What its own entry says.
    pub(crate) own: Option<&'a Layer>,
}

impl Reading<'_> {
    /// The format of a file, and the types that are given for columns that it has.
    pub(crate) fn read(&self, bytes: &[u8], faults: &mut Vec<Diagnostic>) -> (FileFormat, BTreeMap<String, String>) {
        let told = faults.len();
        let delimiter = self.delimiter(faults);
        let is_cut = faults.len() == told;
        let format = match self.dialect {
            Dialect::Own => FileFormat::Csv {
                delimiter,
                null_words: Vec::new(),
            },
            Dialect::Dbt => FileFormat::DbtSeed { delimiter },
        };
        // Where the file is not cut as it should be, its columns are not what they seem.
        let columns = if is_cut {
            self.columns(&header(bytes, delimiter), faults)
        } else {
            BTreeMap::new()
        };
        (format, columns)
    }

    fn delimiter(&self, faults: &mut Vec<Diagnostic>) -> char {
        let Some(setting) = self.layer.get("delimiter").filter(|setting| !setting.value.is_null()) else {
            return ',';
        };
        let word = setting.value.as_str().unwrap_or_default().replace("\\t", "\t");
        match word.chars().collect::<Vec<_>>().as_slice() {
            [one] if one.is_ascii() => *one,
            _ => {
                faults.push(bad(
                    setting,
                    format!("`delimiter` cannot be `{}`", setting.value),
                    "write one ASCII character: `';'`",
                ));
                ','
            }
        }
    }

    /// A folder's types are for many files; a seed's own are for columns that it has.
    fn columns(&self, header: &[String], faults: &mut Vec<Diagnostic>) -> BTreeMap<String, String> {
        let mut columns = BTreeMap::new();
        let Some(setting) = self
            .layer
            .get("column_types")
            .filter(|setting| !setting.value.is_null())
        else {
            return columns;
        };
        let Json::Object(types) = &setting.value else {
            faults.push(bad(
                setting,
                format!("`column_types` cannot be `{}`", setting.value),
                "write each column with its type: `{id: bigint, zip: text}`",
            ));
            return columns;
        };
        for (column, word) in types {
            let words = word.as_str().unwrap_or_default();
            match (sql_type(words), header.contains(column)) {
                (Some(word), true) => {
                    columns.insert(column.clone(), word);
                }
                (Some(_), false) => faults.extend(self.unknown(column, header)),
                (None, _) => faults.push(bad(
                    setting,
                    format!("`{words}` of the column `{column}` is no type"),
                    &format!("write {TYPES}"),
                )),
            }
        }
        columns
    }

    fn unknown(&self, column: &str, header: &[String]) -> Option<Diagnostic> {
        let setting = self.own?.get("column_types")?;
        setting.value.get(column)?;
        let remedy = text::nearest(column, header.iter().map(String::as_str)).map_or_else(
            || format!("its columns are {}", text::listed(header.iter().map(String::as_str))),
            |near| format!("write `{near}`"),
        );
        let fault = bad(
            setting,
            format!("`column_types` names the column `{column}`, which the file does not have"),
            &remedy,
        );
        Some(Diagnostic {
            severity: Severity::Warning,
            ..fault
        })
    }
}

fn bad(setting: &Setting, message: String, remedy: &str) -> Diagnostic {
    Diagnostic::error(codes::BAD_VALUE, message)
        .at(setting.place.clone())
        .with_remedy(remedy)
}

/// The names in the first line; quotes around them do not count.
fn header(bytes: &[u8], delimiter: char) -> Vec<String> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    line.trim_start_matches('\u{feff}')
        .trim_end_matches('\r')
        .split(delimiter)
        .map(|name| name.trim_matches('"').replace("\"\"", "\""))
        .collect()
}

/// A type of one of dbt's databases in the words that sources have; nothing for one that no column here
/// can have.
fn sql_type(words: &str) -> Option<String> {
    let words = words.trim().to_lowercase();
    let (name, arguments) = match words.split_once('(') {
        Some((name, rest)) => (name.trim(), Some(rest.strip_suffix(')')?)),
        None => (words.as_str(), None),
    };
    Some(match (name, arguments) {
        (
            "text" | "string" | "varchar" | "char" | "character varying" | "character" | "nvarchar" | "bpchar" | "uuid"
            | "json" | "jsonb" | "variant",
            _,
        ) => "text".to_owned(),
        ("smallint" | "int2" | "tinyint", None) => "smallint".to_owned(),
        ("integer" | "int" | "int4" | "mediumint", None) => "integer".to_owned(),
        ("bigint" | "int8" | "int64" | "long", None) => "bigint".to_owned(),
        ("real" | "float4" | "float32", None) => "real".to_owned(),
        ("double" | "double precision" | "float" | "float8" | "float64", None) => "double".to_owned(),
        ("boolean" | "bool", None) => "boolean".to_owned(),
        ("date", None) => "date".to_owned(),
        ("timestamp" | "timestamp without time zone" | "datetime" | "timestamp_ntz", _) => "timestamp".to_owned(),
        ("timestamptz" | "timestamp with time zone" | "timestamp_tz" | "timestamp_ltz", _) => "timestamptz".to_owned(),
        ("decimal" | "numeric" | "number" | "bignumeric", None) => ANY_DECIMAL.to_owned(),
        ("decimal" | "numeric" | "number", Some(arguments)) => {
            let (digits, behind) = arguments.split_once(',').unwrap_or((arguments, "0"));
            let (digits, behind): (u8, u8) = (digits.trim().parse().ok()?, behind.trim().parse().ok()?);
            ((1..=38).contains(&digits) && behind <= digits).then(|| format!("decimal({digits},{behind})"))?
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_databases_are_types() {
        for (word, expected) in [
            ("VARCHAR(10)", "text"),
            ("character varying", "text"),
            ("int64", "bigint"),
            ("Double Precision", "double"),
            ("numeric", ANY_DECIMAL),
            ("numeric(10, 2)", "decimal(10,2)"),
            ("number(9)", "decimal(9,0)"),
            ("timestamp_ntz", "timestamp"),
        ] {
            assert_eq!(sql_type(word).as_deref(), Some(expected), "{word}");
        }
        for word in [
            "",
            "bytes",
            "decimal(50,2)",
            "decimal(2,9)",
            "decimal(a)",
            "int(",
            "struct<a int>",
        ] {
            assert_eq!(sql_type(word), None, "{word}");
        }
    }

    #[test]
    fn names_of_a_header_are_found() {
        assert_eq!(header(b"\xef\xbb\xbfid;\"a b\"\r\n1;2", ';'), ["id", "a b"]);
        assert_eq!(header(b"", ','), [""]);
    }
}
