//! File names with dates in them: `data/{YYYY}/events_{YYYYMMDD}.csv`. Finds the files that fit a
//! template, in the folders that it names and no others, and the interval that each name gives.

use std::path::{Path, PathBuf};

use jiff::civil;
use mulgil_core::{
    grid::{Grid, Unit},
    interval::{Instant, Interval},
    location::ObjectUrl,
    port::Fault,
    project::Source,
};

use super::{
    fault::{self, Origin},
    files::{Entry, Files, Stamp},
};

/// A template, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    text: String,
    unit: Unit,
    /// The bucket that names start in; empty where they start in the project folder.
    start: PathBuf,
    /// One list per name between slashes.
    names: Vec<Vec<Piece>>,
}

/// A file whose name fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Its path from the project folder, or its URL.
    pub path: PathBuf,
    /// The interval that its name gives.
    pub interval: Interval,
    /// Its state.
    pub stamp: Stamp,
}

/// A part of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Field(DateField),
}

/// A date field, in the order of its place in [`Fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DateField {
    Year,
    Month,
    Week,
    Day,
    Hour,
}

/// The values of the fields so far, by [`DateField`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fields([Option<i16>; 5]);

/// How each field is written, and what it is.
const WORDS: [(&str, DateField); 5] = [
    ("YYYY", DateField::Year),
    ("MM", DateField::Month),
    ("WW", DateField::Week),
    ("DD", DateField::Day),
    ("HH", DateField::Hour),
];

impl Template {
    /// Takes a template apart; a fault when it does not give an interval of the unit.
    pub(super) fn parse(source: &Source, template: &str, unit: Unit) -> Result<Self, Fault> {
        let faulty = |why: String| {
            fault::declaration(
                source,
                format!("the file template `{template}` of source `{}` {why}", source.name),
                "write date fields such as {YYYYMMDD}, {YYYY}-{MM}-{DD} or {YYYYMMDD}T{HH} in it",
            )
        };
        let (start, inside) = parted(template);
        let names = folders_outside_braces(inside)
            .split('/')
            .map(parse_name)
            .collect::<Result<Vec<_>, String>>()
            .map_err(faulty)?;
        let has = |field| names.iter().flatten().any(|piece| *piece == Piece::Field(field));
        if let Some(missing) = needed(unit).iter().find(|field| !has(**field)) {
            let word = WORDS
                .iter()
                .find(|(_, field)| field == missing)
                .map_or("", |(word, _)| word);
            return Err(faulty(format!("needs {{{word}}} to name a {}", unit.as_str())));
        }
        Ok(Self {
            text: template.to_owned(),
            unit,
            start,
            names,
        })
    }

    /// The files that fit, by interval and path.
    pub(super) fn find(&self, place: &Files, source: &Source) -> Result<Vec<Named>, Fault> {
        let mut found = Vec::new();
        let mut walk = Walk {
            template: self,
            place,
            source,
            found: &mut found,
        };
        walk.descend(self.start.clone(), &self.names, Fields::default())?;
        found.sort_by(|a, b| (a.interval, &a.path).cmp(&(b.interval, &b.path)));
        Ok(found)
    }

    /// The interval of a name's fields; else why there is none.
    fn interval(&self, fields: Fields, grid: &Grid) -> Result<Interval, String> {
        let start = start_of(fields, self.unit)?;
        let civil = start
            .to_zoned(grid.zone.tz().clone())
            .map_err(|error| error.to_string())?;
        if civil.datetime() != start && self.unit == Unit::Hour {
            return Err(format!("the clock skips {start}"));
        }
        Ok(grid.interval_at(Instant::from_timestamp(civil.timestamp())))
    }
}

/// A walk through the folders of a template.
struct Walk<'a> {
    template: &'a Template,
    place: &'a Files,
    source: &'a Source,
    found: &'a mut Vec<Named>,
}

impl Walk<'_> {
    fn descend(&mut self, folder: PathBuf, names: &[Vec<Piece>], fields: Fields) -> Result<(), Fault> {
        let Some((name, rest)) = names.split_first() else {
            return Ok(());
        };
        if let Some(literal) = as_literal(name) {
            // The empty first name of an absolute path.
            let literal = if literal.is_empty() { "/" } else { &literal };
            return self.enter(folder.join(literal), None, rest, fields);
        }
        for Entry { name: entry, stamp } in self.place.list(&Origin::new(self.source, &folder))? {
            if is_passed_over(&entry) {
                continue;
            }
            match match_name(name, &entry, fields) {
                Match::No => {}
                Match::Fields(fields) => self.enter(folder.join(&entry), stamp, rest, fields)?,
                Match::Contradicts => {
                    let origin = Origin::new(self.source, folder.join(&entry));
                    return Err(self.not_a_time(&origin, "its date fields contradict each other"));
                }
            }
        }
        Ok(())
    }

    fn enter(&mut self, path: PathBuf, stamp: Option<Stamp>, rest: &[Vec<Piece>], fields: Fields) -> Result<(), Fault> {
        if !rest.is_empty() {
            return self.descend(path, rest, fields);
        }
        let found = match stamp {
            Some(stamp) => Some(stamp),
            None => self.place.stamp(&Origin::new(self.source, &path))?,
        };
        let Some(stamp) = found else { return Ok(()) };
        let interval = self
            .template
            .interval(fields, &self.source.grid)
            .map_err(|why| self.not_a_time(&Origin::new(self.source, &path), &why))?;
        self.found.push(Named { path, interval, stamp });
        Ok(())
    }

    fn not_a_time(&self, origin: &Origin, why: &str) -> Fault {
        origin.not_a_time(&self.template.text, self.source.grid.zone.name(), why)
    }
}

/// The bucket that a template starts in, and what lies in it; a template of paths starts nowhere.
fn parted(template: &str) -> (PathBuf, &str) {
    let parts = || {
        let (scheme, rest) = template.split_once("://").filter(|_| ObjectUrl::is_meant(template))?;
        let (bucket, inside) = rest.split_once('/')?;
        let root = ObjectUrl::parse(&format!("{scheme}://{bucket}")).ok()?;
        Some((root.to_string().into(), inside))
    };
    parts().unwrap_or((PathBuf::new(), template))
}

/// What a name is to a template.
enum Match {
    No,
    Fields(Fields),
    Contradicts,
}

/// The fields that a unit needs.
fn needed(unit: Unit) -> &'static [DateField] {
    match unit {
        Unit::Year => &[DateField::Year],
        Unit::Month => &[DateField::Year, DateField::Month],
        Unit::Week => &[DateField::Year, DateField::Week],
        Unit::Day => &[DateField::Year, DateField::Month, DateField::Day],
        Unit::Hour => &[DateField::Year, DateField::Month, DateField::Day, DateField::Hour],
    }
}

/// The civil time at which the interval of the fields starts.
fn start_of(fields: Fields, unit: Unit) -> Result<civil::DateTime, String> {
    let value = |field: DateField, otherwise: i16| fields.0[field as usize].unwrap_or(otherwise);
    let year = value(DateField::Year, 0);
    if unit == Unit::Week {
        let week = value(DateField::Week, 0);
        return i8::try_from(week)
            .ok()
            .and_then(|week| civil::ISOWeekDate::new(year, week, civil::Weekday::Monday).ok())
            .map(|date| date.date().at(0, 0, 0, 0))
            .ok_or_else(|| format!("{year} has no week {week}"));
    }
    let (month, day, hour) = (
        value(DateField::Month, 1),
        value(DateField::Day, 1),
        value(DateField::Hour, 0),
    );
    let date = civil::Date::new(year, month as i8, day as i8)
        .map_err(|_| format!("there is no date {year:04}-{month:02}-{day:02}"))?;
    let time = civil::Time::new(hour as i8, 0, 0, 0).map_err(|_| format!("a day has no hour {hour:02}"))?;
    Ok(date.to_datetime(time))
}

/// `{YYYY/MM}` as `{YYYY}/{MM}`, so that a template can be cut at its slashes.
fn folders_outside_braces(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut is_in_braces = false;
    for character in template.chars() {
        is_in_braces = match character {
            '{' => true,
            '}' => false,
            _ => is_in_braces,
        };
        if character == '/' && is_in_braces {
            out.push_str("}/{");
        } else {
            out.push(character);
        }
    }
    out
}

/// Takes one name apart.
fn parse_name(name: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = name;
    while let Some((literal, after)) = rest.split_once('{') {
        let (fields, after) = after.split_once('}').ok_or("has a `{` without its `}`")?;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        parse_fields(fields, &mut pieces)?;
        rest = after;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    Ok(pieces)
}

/// Takes what stands in braces apart: date fields, and `-`, `_`, `.` and `T` between them.
fn parse_fields(text: &str, pieces: &mut Vec<Piece>) -> Result<(), String> {
    let mut rest = text;
    while !rest.is_empty() {
        if let Some((word, field)) = WORDS.iter().find(|(word, _)| rest.starts_with(word)) {
            pieces.push(Piece::Field(*field));
            rest = &rest[word.len()..];
        } else if rest.starts_with(['-', '_', '.', 'T']) {
            pieces.push(Piece::Literal(rest[..1].to_owned()));
            rest = &rest[1..];
        } else {
            return Err(format!("has {{{text}}}, which is no date field"));
        }
    }
    Ok(())
}

/// The text of a name without fields.
fn as_literal(name: &[Piece]) -> Option<String> {
    name.iter()
        .map(|piece| match piece {
            Piece::Literal(text) => Some(text.as_str()),
            Piece::Field(_) => None,
        })
        .collect()
}

/// Hidden files and what other programs have not finished.
fn is_passed_over(name: &str) -> bool {
    name.starts_with('.') || name == "_temporary" || Path::new(name).extension().is_some_and(|ending| ending == "tmp")
}

fn match_name(pieces: &[Piece], name: &str, mut fields: Fields) -> Match {
    let mut rest = name;
    let mut contradicts = false;
    for piece in pieces {
        match piece {
            Piece::Literal(text) => match rest.strip_prefix(text.as_str()) {
                Some(after) => rest = after,
                None => return Match::No,
            },
            Piece::Field(field) => {
                let width = if *field == DateField::Year { 4 } else { 2 };
                let Some(digits) = rest
                    .get(..width)
                    .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                else {
                    return Match::No;
                };
                let value = digits.parse().ok();
                let slot = &mut fields.0[*field as usize];
                contradicts |= slot.is_some() && *slot != value;
                *slot = value;
                rest = &rest[width..];
            }
        }
    }
    if !rest.is_empty() {
        Match::No
    } else if contradicts {
        Match::Contradicts
    } else {
        Match::Fields(fields)
    }
}
