//! Turns what DataFusion, Delta and the file system say into coded faults. A coded fault of our own
//! that travelled through their error types comes out as it was. Nothing here does any work.

use std::{error::Error, io, path::Path};

use datafusion::{
    arrow::error::ArrowError, common::SchemaError, error::DataFusionError, parquet::errors::ParquetError,
};
use deltalake::{DeltaTableError, kernel::transaction::TransactionError};
use mulgil_core::{
    codes,
    diagnostic::{Code, Diagnostic, Place, Retry},
    port::Fault,
};

/// What stands where a place names its file, for SQL that was typed.
const TYPED: &str = "query";

/// Errors that a chain may have; a guard against one that leads back into itself.
const MAX_CHAIN: usize = 32;

/// Names at most so far from what was written that are still worth proposing.
const NEAR_MISS: f64 = 0.7;

/// What helps where a table's log is beyond repair.
pub(crate) const FILL_ANEW: &str = "remove the table's folder and run `mulgil run NODE --full`, which fills it again";

/// Whose SQL it is: that decides the code and who has to act.
#[derive(Clone, Debug)]
pub(crate) enum Author {
    /// A person at the prompt.
    Typed,
    /// A model, seed, view or data test, by its name.
    Node(String),
}

impl Author {
    pub(crate) fn code(&self, of_node: Code) -> Code {
        match self {
            Self::Typed => codes::BAD_QUERY,
            Self::Node(_) => of_node,
        }
    }

    fn whose(&self) -> String {
        match self {
            Self::Typed => "the query".to_owned(),
            Self::Node(name) => format!("the SQL of `{name}`"),
        }
    }

    /// Where SQL is wrong: a place for whoever typed it; else words, because a model's SQL was rendered
    /// and its lines are not those of a file.
    fn place(&self, at: Option<(u64, u64)>) -> (Option<Place>, String) {
        match (self, at) {
            (_, None) => (None, String::new()),
            (Self::Typed, Some((line, column))) => (Some(typed_place(line, column)), String::new()),
            (Self::Node(_), Some((line, column))) => (None, format!(" (line {line}, column {column})")),
        }
    }
}

/// A place in SQL that was typed.
pub(crate) fn typed_place(line: u64, column: u64) -> Place {
    Place::at(TYPED, line as u32, column as u32)
}

/// A failure of planning or running SQL.
pub(crate) fn sql(error: &DataFusionError, author: &Author) -> Fault {
    if let Some(fault) = hidden_inside(error) {
        return fault;
    }
    if let Some(text) = damage(error) {
        return data_file(&text, author);
    }
    match root(error) {
        DataFusionError::SQL(parser, _) => syntax(&parser.to_string(), author),
        DataFusionError::SchemaError(schema, _) => schema_fault(schema, error, author),
        DataFusionError::Plan(text) | DataFusionError::NotImplemented(text) => planning(text, error, author),
        DataFusionError::ResourcesExhausted(text) => exhausted(text),
        // A join that had to spill, and had no room even for its first rows.
        DataFusionError::Internal(text) if text.contains("no data to spill") => exhausted(text),
        DataFusionError::Internal(text) => Box::new(
            Diagnostic::error(
                codes::BUG,
                format!("the engine broke while it ran {}: {}", author.whose(), first_line(text)),
            )
            .with_remedy(
                "please report this with the SQL; writing the expression in another way often helps meanwhile",
            ),
        ),
        other => match other.to_string() {
            text if text.contains("disk space during the spilling") => exhausted(&text),
            text => running(&text, author),
        },
    }
}

/// A failure of reading or writing a Delta table.
pub(crate) fn delta(error: &DeltaTableError, table: &Path) -> Fault {
    if let Some(fault) = hidden_inside(error) {
        return fault;
    }
    let conflict = match error {
        DeltaTableError::VersionAlreadyExists(_) => true,
        DeltaTableError::Transaction { source } => {
            matches!(
                source,
                TransactionError::CommitConflict(_) | TransactionError::MaxCommitAttempts(_)
            )
        }
        _ => false,
    };
    if conflict {
        return table_changed(table);
    }
    Box::new(
        Diagnostic::error(
            codes::TABLE_UNREADABLE,
            format!(
                "the table in {} cannot be read or written: {}",
                table.display(),
                first_line(&error.to_string())
            ),
        )
        .with_remedy(format!(
            "compare the files of its `_delta_log` with a backup, or {FILL_ANEW}"
        ))
        .with_retry(Retry::AfterHumanFix),
    )
}

/// Whether an error is the file system's and not what is in the files.
pub(crate) fn is_of_disk(error: &DeltaTableError) -> bool {
    hidden_inside(error).is_some_and(|fault| fault.code.0 / 1000 == 5)
}

/// Somebody else committed while we were writing.
pub(crate) fn table_changed(table: &Path) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::TABLE_CHANGED,
            format!(
                "somebody else wrote the table in {} while it was being filled, so nothing was committed",
                table.display()
            ),
        )
        .with_remedy("nothing: it is tried again by itself; if it happens often, find who else writes this table")
        .with_retry(Retry::Later),
    )
}

/// A failure of writing a data file.
pub(crate) fn parquet(error: &ParquetError, path: &Path) -> Fault {
    hidden_inside(error).unwrap_or_else(|| {
        Box::new(Diagnostic::error(
            codes::BUG,
            format!(
                "the data file {} could not be encoded: {}",
                path.display(),
                first_line(&error.to_string())
            ),
        ))
    })
}

/// A failure of the file system, or of a store in its place.
pub(crate) fn io(error: &io::Error, path: &Path) -> Fault {
    if let Some(fault) = error.get_ref().and_then(|inner| hidden_inside(inner)) {
        return fault;
    }
    disk(error.kind(), &error.to_string(), Some(path))
}

/// A folder that no URL can name.
pub(crate) fn no_url(folder: &Path) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::DISK_FAILED,
            format!("the folder {} cannot be named by a URL", folder.display()),
        )
        .with_remedy("choose a warehouse folder whose name is plain text")
        .with_retry(Retry::AfterHumanFix),
    )
}

/// What is nearest to a name among others, if anything is near.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_lowercase()), candidate))
        .filter(|(near, _)| *near >= NEAR_MISS)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// Follows a chain of errors for a fault of our own, or one of the disk, wherever it hides.
pub(crate) fn hidden_inside(error: &(dyn Error + 'static)) -> Option<Fault> {
    let mut next = Some(error);
    for _ in 0..MAX_CHAIN {
        let current = next?;
        if let Some(diagnostic) = current.downcast_ref::<Diagnostic>() {
            return Some(Box::new(diagnostic.clone()));
        }
        if let Some(fault) = current.downcast_ref::<Fault>() {
            return Some(fault.clone());
        }
        if let Some(DataFusionError::ResourcesExhausted(text)) = current.downcast_ref::<DataFusionError>() {
            return Some(exhausted(text));
        }
        next = match current.downcast_ref::<io::Error>() {
            // An I/O error hides what it was made from behind its own reference.
            Some(error) => match error.get_ref() {
                Some(inner) => Some(inner),
                None => return Some(disk(error.kind(), &outer_text(error), None)),
            },
            None => current.source(),
        };
    }
    None
}

/// Follows a chain of errors for a fault that was told by a store, and nothing else.
pub(crate) fn told_inside(error: &(dyn Error + 'static)) -> Option<Fault> {
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source())
        .take(MAX_CHAIN)
        .find_map(|error| error.downcast_ref::<Diagnostic>())
        .map(|diagnostic| Box::new(diagnostic.clone()))
}

/// An error as text, with no more than its first line.
fn outer_text(error: &io::Error) -> String {
    first_line(&error.to_string()).to_owned()
}

fn disk(kind: io::ErrorKind, text: &str, path: Option<&Path>) -> Fault {
    let place = path.map(|path| format!(" in {}", path.display())).unwrap_or_default();
    let (code, message, remedy) = match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            codes::DISK_FULL,
            format!("the disk is full: writing{place} failed"),
            "free some space, then run again; what was committed is safe, and nothing half-written is read",
        ),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
            codes::READ_ONLY,
            format!("no right to read or write{place}: {text}"),
            "give this user the right to write the warehouse folder, or mount it writable, then run again",
        ),
        _ => (
            codes::DISK_FAILED,
            format!("the file system failed{place}: {text}"),
            "check the disk (`dmesg`, free inodes, mounts), then run again",
        ),
    };
    Box::new(
        Diagnostic::error(code, message)
            .with_remedy(remedy)
            .with_retry(Retry::AfterHumanFix),
    )
}

fn exhausted(text: &str) -> Fault {
    if text.contains("disk") || text.contains("temp") && text.contains("directory") {
        return Box::new(
            Diagnostic::error(
                codes::DISK_FULL,
                format!(
                    "what was spilled to disk reached its limit: {}",
                    own_words(first_line(text))
                ),
            )
            .with_remedy(
                "raise `spill` in mulgil.yml, or make the query smaller: fewer columns, a filter, a shorter range",
            )
            .with_retry(Retry::AfterHumanFix),
        );
    }
    Box::new(
        Diagnostic::error(
            codes::OUT_OF_MEMORY,
            format!("the query needs more memory than it may have: {}", first_line(text)),
        )
        .with_remedy("raise the memory limit, fill fewer intervals at once (`batch`), or join on less")
        .with_retry(Retry::AfterHumanFix),
    )
}

/// What the engine says of a limit, without how it would be raised there.
fn own_words(text: &str) -> &str {
    let text = text.split(" Please try").next().unwrap_or(text);
    unwrapped(text).trim_end_matches('.')
}

/// What the engine says, without the names of the layers that it came through, outermost first.
fn unwrapped(text: &str) -> &str {
    [
        "Arrow error: ",
        "Io error: ",
        "Execution error: ",
        "Optimizer rule 'simplify_expressions' failed ",
    ]
    .iter()
    .fold(text, |text, prefix| text.trim_start_matches(prefix))
}

/// What the Parquet reader says of a file that is gone, or not what was written: only tables of the
/// warehouse are read through it, sources word their own faults.
fn damage(error: &DataFusionError) -> Option<String> {
    // A condition that is asked while a file is read may fail on a value of it; the file is well then.
    if error.to_string().contains("ArithmeticOverflow") {
        return None;
    }
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    for _ in 0..MAX_CHAIN {
        let current = next?;
        let arrow = current.downcast_ref::<ArrowError>();
        if current.is::<ParquetError>() || matches!(arrow, Some(ArrowError::ParquetError(_))) {
            return Some(current.to_string());
        }
        next = current.source();
    }
    None
}

fn data_file(text: &str, author: &Author) -> Fault {
    let text = first_line(text).trim_start_matches("Parquet error: ");
    Box::new(
        Diagnostic::error(
            codes::TABLE_UNREADABLE,
            format!("a data file that {} reads is gone or damaged: {text}", author.whose()),
        )
        .with_remedy("put the file back from a backup; or `mulgil run NODE --full` fills its table again")
        .with_retry(Retry::AfterHumanFix),
    )
}

fn syntax(text: &str, author: &Author) -> Fault {
    let text = first_line(text).trim_start_matches("sql parser error: ");
    let (what, at) = match text.split_once(" at Line: ") {
        Some((what, at)) => (what, line_and_column(at)),
        None => (text, None),
    };
    let (place, _) = author.place(at);
    let (spot, remedy) = match (author, at) {
        (Author::Typed, _) => (String::new(), "mend the SQL there"),
        (Author::Node(_), at) => (
            at.map(|(line, column)| format!(" at line {line}, column {column}"))
                .unwrap_or_default(),
            "mend the SQL there; lines are counted in the SQL after its template was rendered",
        ),
    };
    let message = format!("{} does not parse{spot}: {what}", author.whose());
    let mut fault = Diagnostic::error(author.code(codes::SQL_INVALID), message).with_remedy(remedy);
    fault.place = place;
    Box::new(fault)
}

/// `3, Column: 14`.
fn line_and_column(text: &str) -> Option<(u64, u64)> {
    let (line, column) = text.split_once(", Column: ")?;
    Some((line.trim().parse().ok()?, column.trim().parse().ok()?))
}

fn schema_fault(schema: &SchemaError, error: &DataFusionError, author: &Author) -> Fault {
    let (place, spot) = author.place(noted(error));
    let whose = author.whose();
    let mut fault = match schema {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let remedy = match nearest(field.name(), valid_fields.iter().map(|column| column.name.as_str())) {
                Some(near) => format!("write `{near}`"),
                None => format!(
                    "the columns here are: {}",
                    listed(valid_fields.iter().map(|column| column.name.as_str()))
                ),
            };
            let message = format!("{whose} names the column `{}`, which is not there{spot}", field.name());
            Diagnostic::error(author.code(codes::UNKNOWN_COLUMN), message).with_remedy(remedy)
        }
        SchemaError::AmbiguousReference { field } => {
            let message = format!(
                "{whose} names `{}`, which more than one of its tables has{spot}",
                field.name()
            );
            Diagnostic::error(author.code(codes::SQL_INVALID), message)
                .with_remedy(format!("say whose: `table.{}`", field.name()))
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            let message = format!("{whose} gives two columns the name `{name}`{spot}");
            Diagnostic::error(author.code(codes::SQL_INVALID), message)
                .with_remedy("give one of them another name with `as`")
        }
    };
    fault.place = place;
    Box::new(fault)
}

fn planning(text: &str, error: &DataFusionError, author: &Author) -> Fault {
    if text.contains("Physical plan does not support logical expression") {
        return Box::new(
            Diagnostic::error(
                codes::UNSUPPORTED_SQL,
                format!(
                    "{} has a sub-query that asks for the row outside in a form that is not done here",
                    author.whose()
                ),
            )
            .with_remedy("ask by `=` alone, or write it as a join with `group by`"),
        );
    }
    let (place, spot) = author.place(noted(error));
    let text = reworded(&in_sql_words(first_line(text)));
    let message = format!("{} cannot be planned{spot}: {text}", author.whose());
    let mut fault = Diagnostic::error(author.code(codes::SQL_INVALID), message)
        .with_remedy("mend the SQL; `mulgil query` tries a piece of it quickly");
    fault.place = place;
    Box::new(fault)
}

/// What the planner says, without how it came to it, and with names in backticks.
fn reworded(text: &str) -> String {
    const NOISE: [&str; 5] = [
        "Internal error: ",
        "Error during planning: ",
        "Execution error: ",
        "While expanding wildcard, ",
        "user-defined coercion failed with: ",
    ];
    const NAMING: [(&str, &str, &str); 5] = [
        ("Unsupported SQL type ", "", "there is no type `{}`"),
        ("Invalid qualifier ", "", "there is no table `{}`"),
        ("Field ", " not found in struct", "there is no field `{}` in the struct"),
        ("The window ", " is not defined!", "there is no window `{}`"),
        (
            "unnest() can only be applied to ",
            "",
            "`unnest` can only be applied to {}",
        ),
    ];
    let text = NOISE
        .iter()
        .fold(text.to_owned(), |text, noise| text.replace(noise, ""));
    let named = NAMING.iter().find_map(|(before, after, ours)| {
        let name = text.strip_prefix(before)?.strip_suffix(after)?;
        Some(ours.replace("{}", name))
    });
    named.unwrap_or(text)
}

fn running(text: &str, author: &Author) -> Fault {
    let text = first_line(text);
    let text = unwrapped(text);
    let text = reworded(&in_sql_words(text));
    Box::new(
        Diagnostic::error(
            author.code(codes::SQL_FAILED),
            format!("{} failed while it ran: {text}", author.whose()),
        )
        .with_remedy("mend the value at its source, or allow for it in the SQL (`try_cast`, `nullif`, `case`)"),
    )
}

/// The error at the bottom of DataFusion's own wrappers.
fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Collection(all) => all.first().map_or(error, root),
        other => other,
    }
}

/// The line and column that the planner noted.
fn noted(error: &DataFusionError) -> Option<(u64, u64)> {
    let span = error.diagnostic()?.span?;
    Some((span.start.line, span.start.column))
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    let names: Vec<_> = names.collect();
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}

/// The engine's names of types as those of SQL, and nothing of how it calls the parts of its plans.
fn in_sql_words(text: &str) -> String {
    const WORDS: [(&str, &str); 25] = [
        ("Utf8View", "text"),
        ("LargeUtf8", "text"),
        ("Utf8", "text"),
        ("BinaryView", "bytea"),
        ("LargeBinary", "bytea"),
        ("UInt64", "bigint"),
        ("UInt32", "bigint"),
        ("UInt16", "integer"),
        ("UInt8", "smallint"),
        ("Int64", "bigint"),
        ("Int32", "integer"),
        ("Int16", "smallint"),
        ("Int8", "tinyint"),
        ("Float64", "double"),
        ("Float32", "real"),
        ("Decimal128", "decimal"),
        ("Decimal256", "decimal"),
        ("Date32", "date"),
        ("Time64(ns)", "time"),
        ("Time64(µs)", "time"),
        ("Timestamp(ns)", "timestamp"),
        ("Timestamp(µs)", "timestamp"),
        ("Interval(MonthDayNano)", "interval"),
        ("Duration(µs)", "interval"),
        ("Boolean", "boolean"),
    ];
    WORDS
        .iter()
        .fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_ours_comes_out_of_any_wrapping_as_it_went_in() {
        let ours = Diagnostic::error(codes::ROW_OUTSIDE_RANGE, "a row of `m`").with_remedy("look");
        let external = DataFusionError::External(Box::new(ours.clone()));
        let through_arrow = DataFusionError::ArrowError(
            Box::new(ArrowError::ExternalError(Box::new(external.context("while scanning")))),
            None,
        );
        let shared = DataFusionError::Shared(std::sync::Arc::new(through_arrow));
        assert_eq!(*sql(&shared, &Author::Typed), ours);
    }

    #[test]
    fn a_full_disk_is_found_below_delta_and_datafusion() {
        let store = |error: io::Error| deltalake::ObjectStoreError::Generic {
            store: "local",
            source: Box::new(error),
        };
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let fault = delta(
            &DeltaTableError::ObjectStore { source: store(full()) },
            Path::new("/w/t"),
        );
        assert_eq!((fault.code, fault.retry), (codes::DISK_FULL, Retry::AfterHumanFix));
        let error = DataFusionError::ObjectStore(Box::new(store(io::Error::other(store(full())))));
        assert_eq!(sql(&error, &Author::Typed).code, codes::DISK_FULL);
        let denied = DataFusionError::IoError(io::ErrorKind::ReadOnlyFilesystem.into());
        assert_eq!(sql(&denied, &Author::Typed).code, codes::READ_ONLY);
    }

    #[test]
    fn near_misses_are_found_and_far_ones_are_not() {
        assert_eq!(nearest("orderz", ["orders", "customers"]), Some("orders"));
        assert_eq!(nearest("weather", ["qqq"]), None);
    }
}
