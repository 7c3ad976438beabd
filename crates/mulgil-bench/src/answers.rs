//! Whether two programs gave one answer to a query: row by row, numbers to six digits, order where the
//! query asks for one.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};

/// How far two numbers may lie apart, as a part of the larger one: they were added up in another order.
const RELATIVE: f64 = 1e-6;
/// How far they may lie apart where a DECIMAL kept fewer places than a DOUBLE.
const PLACES: f64 = 1e-4;

/// A row as text; `None` is NULL.
pub(crate) type Cells = Vec<Option<String>>;

/// A query's answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// The names of its columns.
    pub(crate) columns: Vec<String>,
    /// Its rows, in order.
    pub(crate) rows: Vec<Cells>,
}

impl Answer {
    /// Reads CSV as Mulgil writes it: the first line names the columns, an empty field is NULL, and the
    /// empty text stands in quotes.
    pub(crate) fn from_csv(text: &str) -> Result<Self> {
        let mut lines = records(text)?.into_iter();
        let columns = lines.next().context("no line of names")?;
        let columns = columns.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Self {
            columns,
            rows: lines.collect(),
        })
    }
}

/// How near two answers are, the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Nearness {
    /// The same.
    Same,
    /// The same, but that some numbers have fewer decimal places on one side.
    FewerPlaces,
    /// Not the same.
    Apart,
}

/// Compares rows in the order in which they came.
pub(crate) fn in_order(ours: &[Cells], theirs: &[Cells]) -> Nearness {
    if ours.len() != theirs.len() {
        return Nearness::Apart;
    }
    let pairs = ours.iter().zip(theirs);
    pairs.map(|(a, b)| row(a, b)).max().unwrap_or(Nearness::Same)
}

/// Compares rows whatever their order is: each of ours with one of theirs that no other has.
pub(crate) fn as_sets(ours: &[Cells], theirs: &[Cells]) -> Nearness {
    if ours.len() != theirs.len() {
        return Nearness::Apart;
    }
    let mut open: HashMap<Vec<String>, Vec<&Cells>> = HashMap::new();
    for theirs in theirs {
        open.entry(exact_part(theirs)).or_default().push(theirs);
    }
    let mut worst = Nearness::Same;
    for ours in ours {
        let candidates = open
            .get_mut(&exact_part(ours))
            .map(Vec::as_mut_slice)
            .unwrap_or_default();
        let nearest = candidates
            .iter()
            .enumerate()
            .map(|(at, theirs)| (row(ours, theirs), at))
            .min();
        let Some((nearness @ (Nearness::Same | Nearness::FewerPlaces), at)) = nearest else {
            return Nearness::Apart;
        };
        worst = worst.max(nearness);
        if let Some(left) = open.get_mut(&exact_part(ours)) {
            left.swap_remove(at);
        }
    }
    worst
}

/// The first rows that are not the same, for people.
pub(crate) fn first_difference(ours: &[Cells], theirs: &[Cells]) -> String {
    if ours.len() != theirs.len() {
        return format!("{} rows, DuckDB {}", ours.len(), theirs.len());
    }
    let differing = ours.iter().zip(theirs).find(|(a, b)| row(a, b) == Nearness::Apart);
    differing.map_or_else(String::new, |(a, b)| {
        let cells = a
            .iter()
            .zip(b)
            .filter(|(a, b)| cell(a.as_deref(), b.as_deref()) == Nearness::Apart);
        let shown = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "NULL".to_owned());
        let cells: Vec<String> = cells
            .map(|(a, b)| format!("{}, DuckDB {}", shown(a), shown(b)))
            .collect();
        cells.join("; ")
    })
}

/// The columns of an answer by which its query sorts, as far as the query names them by their names or
/// places.
pub(crate) fn sort_columns(sql: &str, columns: &[String]) -> Vec<usize> {
    let lower = sql.to_lowercase();
    let Some(at) = lower.rfind("order by") else {
        return Vec::new();
    };
    let end = lower[at..].rfind("limit").map_or(lower.len(), |limit| at + limit);
    let keys = lower[at + "order by".len()..end]
        .trim()
        .trim_end_matches(';')
        .split(',');
    let place = |key: &str| {
        let word = key.split_whitespace().next()?.rsplit('.').next()?;
        match word.parse::<usize>() {
            Ok(number) => number.checked_sub(1).filter(|at| *at < columns.len()),
            Err(_) => columns.iter().position(|column| column.to_lowercase() == word),
        }
    };
    keys.filter_map(place).collect()
}

/// The query without the `limit` at its end, if it has one.
pub(crate) fn without_limit(sql: &str) -> Option<&str> {
    let at = sql.to_lowercase().rfind("limit")?;
    let rest = sql[at + "limit".len()..].trim().trim_end_matches(';');
    rest.trim().parse::<u64>().is_ok().then(|| &sql[..at])
}

/// Only the named columns of every row.
pub(crate) fn only(rows: &[Cells], columns: &[usize]) -> Vec<Cells> {
    rows.iter()
        .map(|row| columns.iter().map(|at| row[*at].clone()).collect())
        .collect()
}

fn row(ours: &Cells, theirs: &Cells) -> Nearness {
    if ours.len() != theirs.len() {
        return Nearness::Apart;
    }
    let pairs = ours.iter().zip(theirs);
    pairs
        .map(|(a, b)| cell(a.as_deref(), b.as_deref()))
        .max()
        .unwrap_or(Nearness::Same)
}

fn cell(ours: Option<&str>, theirs: Option<&str>) -> Nearness {
    if ours == theirs {
        return Nearness::Same;
    }
    let number = |cell: Option<&str>| cell.and_then(|text| text.parse::<f64>().ok());
    match (number(ours), number(theirs)) {
        (Some(a), Some(b)) if (a - b).abs() <= RELATIVE * a.abs().max(b.abs()) => Nearness::Same,
        (Some(a), Some(b)) if (a - b).abs() <= PLACES => Nearness::FewerPlaces,
        _ => Nearness::Apart,
    }
}

/// What two rows must have in common to the letter: all but numbers with a fraction.
fn exact_part(row: &Cells) -> Vec<String> {
    let part = |cell: &Option<String>| match cell {
        None => "NULL".to_owned(),
        Some(text) => match text.parse::<f64>() {
            Ok(number) if number.fract() == 0.0 => format!("{number:.0}"),
            Ok(_) => String::new(),
            Err(_) => format!("'{text}'"),
        },
    };
    row.iter().map(part).collect()
}

fn records(text: &str) -> Result<Vec<Cells>> {
    let (mut records, mut record) = (Vec::new(), Cells::new());
    let mut rest = text;
    while !rest.is_empty() {
        let (cell, after) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_field(quoted)?
        } else {
            let end = rest.find([',', '\n']).unwrap_or(rest.len());
            let (cell, after) = rest.split_at(end);
            ((!cell.is_empty()).then(|| cell.to_owned()), after)
        };
        record.push(cell);
        match after.strip_prefix(',') {
            // A comma at the end of a line: one more field, and it is empty.
            Some(after) if after.starts_with('\n') || after.is_empty() => {
                record.push(None);
                records.push(std::mem::take(&mut record));
                rest = after.strip_prefix('\n').unwrap_or_default();
            }
            Some(after) => rest = after,
            None => {
                records.push(std::mem::take(&mut record));
                rest = after.strip_prefix('\n').unwrap_or_default();
            }
        }
    }
    Ok(records)
}

/// A field from behind its opening quote, and what stands after its closing one.
fn quoted_field(text: &str) -> Result<(Option<String>, &str)> {
    let (mut cell, mut rest) = (String::new(), text);
    loop {
        let (part, after) = rest.split_once('"').context("a quote is never closed")?;
        cell.push_str(part);
        let Some(after_two) = after.strip_prefix('"') else {
            ensure!(
                after.is_empty() || after.starts_with([',', '\n']),
                "text after a closing quote"
            );
            return Ok((Some(cell), after));
        };
        cell.push('"');
        rest = after_two;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Vec<Cells> {
        Answer::from_csv(text).expect("CSV").rows
    }

    #[test]
    fn csv_tells_null_from_the_empty_text() {
        let rows = answer("a,b,c\n1,,\"\"\n\"x,\"\"y\"\"\n\",2,\n");
        let cell = |text: &str| Some(text.to_owned());
        assert_eq!(
            rows,
            [[cell("1"), None, cell("")], [cell("x,\"y\"\n"), cell("2"), None]]
        );
        assert!(Answer::from_csv("a\n\"open").is_err());
    }

    #[test]
    fn numbers_may_differ_in_the_seventh_digit_only() {
        let near = |a: &str, b: &str| in_order(&answer(a), &answer(b));
        assert_eq!(near("x\n1000000.5\n", "x\n1000000.6\n"), Nearness::Same);
        assert_eq!(near("x\n0.05008\n", "x\n0.05008133\n"), Nearness::FewerPlaces);
        assert_eq!(near("x\n0.051\n", "x\n0.05008133\n"), Nearness::Apart);
        assert_eq!(near("x\n3\n", "x\n3.0\n"), Nearness::Same);
        assert_eq!(near("x\n\"\"\n", "x,y\n,\n"), Nearness::Apart);
    }

    #[test]
    fn sets_have_no_order_but_count() {
        let (a, b) = (answer("x,y\nk,1.5\nk,2.5\nl,1\n"), answer("x,y\nl,1\nk,2.5\nk,1.5\n"));
        assert_eq!(in_order(&a, &b), Nearness::Apart);
        assert_eq!(as_sets(&a, &b), Nearness::Same);
        assert_eq!(as_sets(&a, &answer("x,y\nl,1\nk,1.5\nk,1.5\n")), Nearness::Apart);
    }

    #[test]
    fn finds_what_a_query_sorts_by() {
        let columns = ["total".to_owned(), "name".to_owned()];
        assert_eq!(
            sort_columns("select 1 ORDER BY t.Name desc, 1\nLIMIT 10;", &columns),
            [1, 0]
        );
        assert_eq!(sort_columns("select 1 order by a + b", &columns), [0_usize; 0]);
        assert_eq!(without_limit("select x limit 10 ;"), Some("select x "));
        assert_eq!(without_limit("select limits from t"), None);
    }
}
