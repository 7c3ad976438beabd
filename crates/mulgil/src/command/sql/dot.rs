//! The commands of the shell itself: `.tables`, `.output csv`, `.quit`.

use std::path::PathBuf;

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    port::Fault,
    project::Materialization,
    select::{fits_pattern, nearest},
    task::Column,
};

use super::shell::{Ended, Shell};
use crate::{cli::TextFormat, say, sql_type, wire::Names};

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    Tables(Option<String>),
    Schema(String),
    Timing(bool),
    Output(TextFormat),
    Read(PathBuf),
    Quit,
}

/// What can be typed, with what it does.
const HELP: [(&str, &str); 7] = [
    (".help", "list these commands"),
    (
        ".tables [PATTERN]",
        "list tables, views and sources; `*` in a pattern is any text",
    ),
    (".schema TABLE", "list the columns of a table"),
    (".timing on|off", "say how long each statement took"),
    (".output table|csv|json", "write results so"),
    (".read FILE", "run the statements of a file"),
    (".quit", "end, as Ctrl-D does"),
];

/// The names of the commands.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    HELP.iter().filter_map(|(usage, _)| usage.split(' ').next())
}

/// Reads a command that begins with a dot.
pub(super) fn parse(line: &str) -> Result<Command, Diagnostic> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = unquoted(rest.trim());
    match (name, rest) {
        (".help", "") => Ok(Command::Help),
        (".tables", "") => Ok(Command::Tables(None)),
        (".tables", pattern) => Ok(Command::Tables(Some(pattern.to_owned()))),
        (".schema", table) if !table.is_empty() => Ok(Command::Schema(table.to_owned())),
        (".timing", "on") => Ok(Command::Timing(true)),
        (".timing", "off") => Ok(Command::Timing(false)),
        (".output", "table") => Ok(Command::Output(TextFormat::Table)),
        (".output", "csv") => Ok(Command::Output(TextFormat::Csv)),
        (".output", "json") => Ok(Command::Output(TextFormat::Json)),
        (".read", path) if !path.is_empty() => Ok(Command::Read(PathBuf::from(path))),
        (".quit" | ".exit", "") => Ok(Command::Quit),
        _ => Err(unknown(name)),
    }
}

fn unquoted(text: &str) -> &str {
    let inside = |quote| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inside('\'').or_else(|| inside('"')).unwrap_or(text)
}

fn unknown(name: &str) -> Diagnostic {
    let usage = HELP.iter().find(|(usage, _)| usage.split(' ').next() == Some(name));
    let (message, remedy) = match usage {
        Some((usage, _)) => (format!("`{name}` is not written so"), format!("write `{usage}`")),
        None => (
            format!("there is no command `{name}`"),
            match nearest(name, names()) {
                Some(near) => format!("write `{near}`; `.help` lists all"),
                None => "`.help` lists all".to_owned(),
            },
        ),
    };
    Diagnostic::error(codes::USAGE, message).with_remedy(remedy)
}

/// Does what a command says; scripts are read elsewhere.
pub(super) async fn perform(shell: &mut Shell, command: &Command) -> Result<Ended, Fault> {
    match command {
        Command::Help => {
            let rows = HELP.map(|(usage, what)| vec![usage.to_owned(), what.to_owned()]);
            say::print(&say::table(&["command", "what it does"], &rows, &[]));
            say::talk("anything else is SQL, up to its `;`");
        }
        Command::Tables(pattern) => tables(shell, pattern.as_deref()).await?,
        Command::Schema(name) => schema(&shell.opened.names().await?, name)?,
        Command::Timing(is_timed) => shell.is_timed = *is_timed,
        Command::Output(format) => shell.format = *format,
        Command::Read(_) => {}
        Command::Quit => return Ok(Ended::Quit),
    }
    Ok(Ended::Well)
}

/// Something that a query may read.
struct Readable<'a> {
    /// As it is shortest named.
    name: &'a str,
    /// `schema.name`, where that is another name.
    full: String,
    kind: &'static str,
    columns: &'a [Column],
}

/// All of it, by name.
fn readable(names: &Names) -> Vec<Readable<'_>> {
    let mut all: Vec<Readable> = names
        .relations
        .iter()
        .filter(|entry| names.bindings.iter().any(|known| known.name == entry.node.as_str()))
        .map(|entry| Readable {
            name: entry.node.as_str(),
            full: format!("{}.{}", entry.relation.schema, entry.relation.name),
            kind: kind(entry.kind),
            columns: &entry.columns,
        })
        .collect();
    all.extend(names.seen.iter().map(|(name, seen)| Readable {
        name: name.as_str(),
        full: name.to_string(),
        kind: "source",
        columns: &seen.columns,
    }));
    all.sort_by(|a, b| a.name.cmp(b.name));
    all
}

fn kind(materialization: Materialization) -> &'static str {
    match materialization {
        Materialization::Table => "table",
        Materialization::View => "view",
        Materialization::Interval => "interval",
        Materialization::Incremental => "incremental",
        Materialization::Snapshot => "snapshot",
        Materialization::Seed => "seed",
    }
}

async fn tables(shell: &Shell, pattern: Option<&str>) -> Result<(), Fault> {
    let names = shell.opened.names().await?;
    let fits = |name: &str| match pattern {
        Some(pattern) if pattern.contains(['*', '?', '[']) => fits_pattern(pattern, name),
        Some(part) => name.contains(part),
        None => true,
    };
    let rows: Vec<Vec<String>> = readable(&names)
        .iter()
        .filter(|one| fits(one.name) || fits(&one.full))
        .map(|one| {
            vec![
                one.name.to_owned(),
                one.full.clone(),
                one.kind.to_owned(),
                one.columns.len().to_string(),
            ]
        })
        .collect();
    match (rows.is_empty(), pattern) {
        (false, _) => say::print(&say::table(&["name", "in full", "kind", "columns"], &rows, &[3])),
        (true, Some(pattern)) => say::talk(&format!("nothing is called like `{pattern}`")),
        (true, None) => say::talk("nothing was filled yet: `mulgil run` does it"),
    }
    Ok(())
}

fn schema(names: &Names, name: &str) -> Result<(), Fault> {
    let all = readable(names);
    let asked = name.replace('"', "");
    let Some(found) = all.iter().find(|one| one.name == asked || one.full == asked) else {
        let near = nearest(&asked, all.iter().map(|one| one.name));
        return Err(Box::new(
            Diagnostic::error(codes::NOT_FOUND, format!("there is no table `{asked}`")).with_remedy(match near {
                Some(near) => format!("write `.schema {near}`; `.tables` lists all"),
                None => "`.tables` lists all".to_owned(),
            }),
        ));
    };
    let rows: Vec<Vec<String>> = found
        .columns
        .iter()
        .map(|column| vec![column.name.clone(), sql_type::of_arrow(&column.data_type)])
        .collect();
    say::print(&say::table(&["column", "type"], &rows, &[]));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_or_told_how_they_are_written() {
        assert_eq!(parse(".tables"), Ok(Command::Tables(None)));
        assert_eq!(parse(" .tables sa* ;"), Ok(Command::Tables(Some("sa*".to_owned()))));
        assert_eq!(parse(".read 'a b.sql'"), Ok(Command::Read(PathBuf::from("a b.sql"))));
        assert_eq!(parse(".timing off"), Ok(Command::Timing(false)));
        let told = |line: &str| parse(line).expect_err("no command").remedy.expect("a remedy");
        assert_eq!(told(".output xml"), "write `.output table|csv|json`");
        assert_eq!(told(".schema"), "write `.schema TABLE`");
        assert_eq!(told(".table"), "write `.tables`; `.help` lists all");
        assert_eq!(told(".xyzzy"), "`.help` lists all");
    }
}
