//! Where a source's files are: a path, or a template with date fields such as `{YYYYMMDD}`.

use std::path::PathBuf;

use mulgil_core::{
    grid::Unit,
    project::{FileFormat, FilePattern},
};

/// Reads a path or a template. The fault says why it cannot be read.
pub(crate) fn parse(text: &str) -> Result<FilePattern, String> {
    let mut seen = Seen::default();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let inner = &rest[open + 1..];
        let close = inner.find('}').ok_or("a `{` is not closed")?;
        seen.field(&inner[..close])?;
        rest = &inner[close + 1..];
    }
    if rest.contains('}') || text.is_empty() {
        return Err("it is empty, or a `}` has no `{`".to_owned());
    }
    match seen.unit()? {
        None => Ok(FilePattern::Single(PathBuf::from(text))),
        Some(unit) => Ok(FilePattern::PerInterval {
            template: text.to_owned(),
            unit,
        }),
    }
}

/// The format that a file's name tells, `.gz` aside.
pub(crate) fn format_of(path: &str) -> Option<FileFormat> {
    let lower = path.to_ascii_lowercase();
    let plain = lower.strip_suffix(".gz").unwrap_or(&lower);
    match plain.rsplit('.').next()? {
        "csv" | "tsv" => format_named(plain.rsplit('.').next()?),
        "json" | "jsonl" | "ndjson" => Some(FileFormat::JsonLines),
        "parquet" => Some(FileFormat::Parquet),
        _ => None,
    }
}

/// The format of that word.
pub(crate) fn format_named(word: &str) -> Option<FileFormat> {
    match word {
        "csv" => Some(csv(',')),
        "tsv" => Some(csv('\t')),
        "json" | "jsonl" => Some(FileFormat::JsonLines),
        "parquet" => Some(FileFormat::Parquet),
        _ => None,
    }
}

fn csv(delimiter: char) -> FileFormat {
    FileFormat::Csv {
        delimiter,
        null_words: Vec::new(),
    }
}

#[derive(Default)]
struct Seen {
    year: bool,
    month: bool,
    day: bool,
    hour: bool,
}

impl Seen {
    /// Takes what stands between braces: date fields, with `-`, `_`, `/`, `.` or nothing between.
    fn field(&mut self, text: &str) -> Result<(), String> {
        let mut rest = text;
        if rest.is_empty() {
            return Err("`{}` names no date field".to_owned());
        }
        while !rest.is_empty() {
            let taken = [
                ("YYYY", &mut self.year),
                ("MM", &mut self.month),
                ("DD", &mut self.day),
                ("HH", &mut self.hour),
            ]
            .into_iter()
            .find_map(|(name, flag)| rest.strip_prefix(name).map(|left| (left, flag)));
            rest = match taken {
                Some((left, flag)) => {
                    *flag = true;
                    left
                }
                None => rest
                    .strip_prefix(['-', '_', '/', '.', 'T'])
                    .ok_or_else(|| format!("`{{{text}}}` is no date field"))?,
            };
        }
        Ok(())
    }

    fn unit(&self) -> Result<Option<Unit>, String> {
        match (self.year, self.month, self.day, self.hour) {
            (false, false, false, false) => Ok(None),
            (true, false, false, false) => Ok(Some(Unit::Year)),
            (true, true, false, false) => Ok(Some(Unit::Month)),
            (true, true, true, false) => Ok(Some(Unit::Day)),
            (true, true, true, true) => Ok(Some(Unit::Hour)),
            _ => Err("a date field is missing: an hour needs its day, a day its month, a month its year".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finest_date_field_is_the_unit() {
        for (text, unit) in [
            ("data/{YYYY}/x.csv", Some(Unit::Year)),
            ("data/{YYYY}/{MM}.csv", Some(Unit::Month)),
            ("data/{YYYYMMDD}.csv", Some(Unit::Day)),
            ("data/{YYYY-MM-DD}/{HH}.csv", Some(Unit::Hour)),
            ("data/x.csv", None),
        ] {
            let found = match parse(text) {
                Ok(FilePattern::PerInterval { unit, .. }) => Some(unit),
                Ok(FilePattern::Single(_)) => None,
                Err(error) => panic!("{text}: {error}"),
            };
            assert_eq!(found, unit, "{text}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in ["x_{YYYYDD}.csv", "x_{HH}.csv", "x_{YYYY", "x_}", "x_{yyyy}", "x_{}", ""] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_tell_formats() {
        assert_eq!(format_of("a/b.csv.gz"), Some(csv(',')));
        assert_eq!(format_of("a/b.TSV"), Some(csv('\t')));
        assert_eq!(format_of("a/b.jsonl"), Some(FileFormat::JsonLines));
        assert_eq!(format_of("a/b.parquet"), Some(FileFormat::Parquet));
        assert_eq!(format_of("a/b"), None);
    }
}
