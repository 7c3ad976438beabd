//! How things are said: data on stdout, talk on stderr, tables for eyes.

use std::{
    io::{ErrorKind, IsTerminal as _, Write as _},
    path::Path,
};

use mulgil_core::{codes, diagnostic::Diagnostic, grid::Zone, interval::Instant, interval_text::format_instant};
use unicode_width::UnicodeWidthStr as _;

use crate::command::Faults;

/// Says something to the person; never data.
pub(crate) fn talk(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints data. A reader that closed the pipe has had enough; data that is lost ends the program.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let printed = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    if let Err(error) = printed
        && error.kind() != ErrorKind::BrokenPipe
    {
        talk(&unwritten(&error).to_string());
        std::process::exit(codes::USAGE.exit().into());
    }
}

/// That standard output takes nothing.
pub(crate) fn unwritten(error: &std::io::Error) -> Diagnostic {
    Diagnostic::error(codes::USAGE, format!("standard output cannot be written: {error}"))
        .with_remedy("look where the output goes")
}

/// Prints a value as JSON.
pub(crate) fn json(value: &serde_json::Value) {
    print(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Faults that are said one by one.
const FAULTS_SHOWN: usize = 50;

/// Says every fault, each with its place and what to do.
pub(crate) fn faults(faults: &Faults) {
    let mut out = std::io::stderr().lock();
    for (index, fault) in faults.0.iter().take(FAULTS_SHOWN).enumerate() {
        let gap = if index > 0 { "\n" } else { "" };
        let _ = writeln!(out, "{gap}{fault}");
    }
    if faults.0.len() > 1 {
        let all = count(faults.0.len() as u64, "fault");
        let shown = if faults.0.len() > FAULTS_SHOWN {
            format!(", of which these are the first {FAULTS_SHOWN} (`mulgil check --json` has all)")
        } else {
            String::new()
        };
        let _ = writeln!(out, "\n{all} in all{shown}; `mulgil explain CODE` says more about each");
    }
}

/// Says one fault.
pub(crate) fn fault(fault: &Diagnostic) {
    talk(&fault.to_string());
}

/// Says one fault of a text, with the line where it lies and a mark below it. `whole` is the text in which
/// the fault's place counts; the place itself is said where the text has a name.
pub(crate) fn fault_in(fault: &Diagnostic, whole: &str, has_name: bool) {
    let mut bare = fault.clone();
    let (place, remedy) = (bare.place.take(), bare.remedy.take());
    bare.place = place.clone().filter(|_| has_name);
    let mut text = bare.to_string();
    if let Some((line, column)) = place.and_then(|place| Some((place.line?, place.column?)))
        && let Some(shown) = whole.lines().nth(line as usize - 1)
    {
        let before: String = shown.chars().take(column as usize - 1).collect();
        let shown = shown.replace('\t', " ");
        let indent = " ".repeat(before.replace('\t', " ").width());
        text.push_str(&format!("\n  {shown}\n  {indent}^"));
    }
    if let Some(remedy) = remedy {
        text.push_str(&format!("\ndo: {remedy}"));
    }
    talk(&text);
}

/// A path as one word of a shell, as people copy it.
pub(crate) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Whether a person looks at stderr.
pub(crate) fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// `1 interval`, `365 intervals`, `336,776 rows`.
pub(crate) fn count(number: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// `336,776`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `812 bytes`, `3.4 kB`, `1.2 GB`.
pub(crate) fn size(bytes: u64) -> String {
    let steps = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match steps.into_iter().find(|(step, _)| bytes >= *step) {
        Some((step, unit)) => {
            let tenths = (bytes / step) * 10 + (bytes % step * 10 + step / 2) / step;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => count(bytes, "byte"),
    }
}

/// `8.2 s`, `41 ms`, `2 min 5 s`.
pub(crate) fn span(from: Instant, to: Instant) -> String {
    let micros = to.0.saturating_sub(from.0).max(0);
    match micros {
        0..=999_999 => format!("{} ms", micros / 1000),
        1_000_000..=59_999_999 => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
        _ => format!("{} min {} s", micros / 60_000_000, micros % 60_000_000 / 1_000_000),
    }
}

/// A moment in a zone, to the second.
pub(crate) fn moment(at: Instant, zone: &Zone) -> String {
    format_instant(Instant(at.0.div_euclid(1_000_000).saturating_mul(1_000_000)), zone)
}

/// Rows of text in aligned columns; columns named in `right` are set to the right.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>], right: &[usize]) -> String {
    let width = |text: &str| text.width();
    let mut widths: Vec<usize> = header.iter().map(|name| width(name)).collect();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            widths[column] = widths[column].max(width(cell));
        }
    }
    let line = |cells: &[String]| {
        let mut out = String::new();
        for (column, cell) in cells.iter().enumerate() {
            let pad = " ".repeat(widths[column] - width(cell));
            let is_last = column + 1 == cells.len();
            match (right.contains(&column), is_last) {
                (true, _) => out.push_str(&format!("{pad}{cell}")),
                (false, true) => out.push_str(cell),
                (false, false) => out.push_str(&format!("{cell}{pad}")),
            }
            if !is_last {
                out.push_str("  ");
            }
        }
        out.trim_end().to_owned()
    };
    let head: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    std::iter::once(line(&head))
        .chain(rows.iter().map(|row| line(row)))
        .collect::<Vec<_>>()
        .join("\n")
}
