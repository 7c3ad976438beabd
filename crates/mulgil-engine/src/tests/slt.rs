//! The records under `tests/slt`, each file in a warehouse of its own. What DuckDB and PostgreSQL say
//! is in the files; `oracle.py` beside them asks both again. A record after `skipif mulgil` is one
//! where we differ from them: it has to go on differing, or its line has to go.

use std::{fmt, fs, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use mulgil_core::port::{SqlSession, StatementOutcome};
use sqllogictest::{AsyncDB, Condition, DBOutput, DefaultColumnType, Record, Runner};
use tokio::sync::Mutex;

use super::*;

/// A session that answers as a runner of records asks.
#[derive(Clone)]
struct Answers {
    world: Arc<World>,
    session: Arc<Mutex<Box<dyn SqlSession>>>,
}

/// A fault, printed with its code.
#[derive(Debug)]
struct Told(Fault);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)
    }
}

impl std::error::Error for Told {}

impl Answers {
    fn new() -> Self {
        let world = Arc::new(World::new());
        let session = world.session("UTC", Vec::new());
        Self {
            world,
            session: Arc::new(Mutex::new(session)),
        }
    }
}

#[async_trait]
impl AsyncDB for Answers {
    type Error = Told;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Told> {
        let mut sink = Bytes::default();
        let sql = sql.replace("__TEST_DIR__", &self.world.dir.path().display().to_string());
        let outcome = self
            .session
            .lock()
            .await
            .run(&sql, Format::Csv, LIMITS, &mut sink)
            .await;
        match outcome.map_err(Told)? {
            StatementOutcome::Rows(_) => {
                let text = String::from_utf8(sink.0).unwrap();
                let mut rows = cells(&text).into_iter();
                let columns = rows.next().unwrap_or_default().len();
                Ok(DBOutput::Rows {
                    types: vec![DefaultColumnType::Any; columns],
                    rows: rows.map(|row| row.into_iter().map(shown).collect()).collect(),
                })
            }
            StatementOutcome::Changed {
                inserted,
                updated,
                deleted,
                ..
            } => Ok(DBOutput::StatementComplete(inserted + updated + deleted)),
            StatementOutcome::Done { .. } => Ok(DBOutput::StatementComplete(0)),
        }
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &'static str {
        "mulgil"
    }

    async fn sleep(_duration: Duration) {}
}

/// The fields of CSV lines; an empty one that is not in quotes is NULL.
fn cells(text: &str) -> Vec<Vec<Option<String>>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), None::<String>);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                let field = cell.get_or_insert_default();
                while let Some(inner) = letters.next() {
                    match inner {
                        '"' if letters.next_if_eq(&'"').is_some() => field.push('"'),
                        '"' => break,
                        other => field.push(other),
                    }
                }
            }
            ',' => row.push(cell.take()),
            '\n' => {
                row.push(cell.take());
                rows.push(std::mem::take(&mut row));
            }
            other => cell.get_or_insert_default().push(other),
        }
    }
    rows
}

/// A value as the records write it.
fn shown(cell: Option<String>) -> String {
    match cell {
        None => "NULL".to_owned(),
        Some(text) if text.is_empty() => "(empty)".to_owned(),
        Some(text) => as_timestamp(&text).unwrap_or(text),
    }
}

/// `2024-02-29T13:04:05.5` is `2024-02-29 13:04:05.500000`.
fn as_timestamp(text: &str) -> Option<String> {
    let (date, time) = text.split_once('T')?;
    date.parse::<jiff::civil::Date>().ok()?;
    let (time, offset) = match time.strip_suffix("+00:00").or_else(|| time.strip_suffix('Z')) {
        Some(time) => (time, "+00"),
        None => (time, ""),
    };
    time.parse::<jiff::civil::Time>().ok()?;
    let time = match time.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().any(|digit| digit != b'0') => format!("{whole}.{fraction:0<6}"),
        Some((whole, _)) => whole.to_owned(),
        None => time.to_owned(),
    };
    Some(format!("{date} {time}{offset}"))
}

/// Whether a record is one where we differ.
fn differs(conditions: &[Condition]) -> bool {
    conditions
        .iter()
        .any(|condition| matches!(condition, Condition::SkipIf { label } if label == "mulgil"))
}

/// Runs all records of the files of a folder; gives what went otherwise than written.
async fn run_folder(folder: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt").join(folder);
    let mut files: Vec<_> = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "slt"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no records in {}", path.display());
    let mut faults = Vec::new();
    for file in files {
        let answers = Answers::new();
        let mut runner = Runner::new(move || {
            let answers = answers.clone();
            async move { Ok(answers) }
        });
        runner.add_label("mulgil");
        let records = sqllogictest::parse_file::<DefaultColumnType>(&file).unwrap();
        for record in records {
            faults.extend(run_record(&mut runner, record).await);
        }
    }
    faults
}

async fn run_record<M>(runner: &mut Runner<Answers, M>, mut record: Record<DefaultColumnType>) -> Option<String>
where
    M: sqllogictest::MakeConnection<Conn = Answers>,
{
    let is_to_differ = match &mut record {
        Record::Statement { conditions, .. } | Record::Query { conditions, .. } => {
            let differs = differs(conditions);
            if differs {
                conditions.clear();
            }
            differs
        }
        _ => false,
    };
    let place = match &record {
        Record::Statement { loc, sql, .. } | Record::Query { loc, sql, .. } => format!("{loc}: {sql}"),
        _ => String::new(),
    };
    match (runner.run_async(record).await, is_to_differ) {
        (Ok(_), true) => Some(format!("{place}\n  no longer differs: take `skipif mulgil` away")),
        (Err(error), false) => Some(format!("{place}\n  {}", error.display(false))),
        (Ok(_), false) | (Err(_), true) => None,
    }
}

macro_rules! folders {
    ($($name:ident),* $(,)?) => {
        /// How many folders of records there are.
        const FOLDERS: usize = [$(stringify!($name)),*].len();
        $(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let faults = run_folder(stringify!($name)).await;
            assert!(faults.is_empty(), "{} records:\n\n{}", faults.len(), faults.join("\n\n"));
        }
        )*
    };
}

folders!(
    aggregates,
    catalog,
    copy,
    ddl,
    delete,
    dialect,
    functions,
    insert,
    joins,
    merge,
    nulls,
    scenarios,
    select,
    set_operations,
    subqueries,
    time_travel,
    transactions,
    types,
    update,
    windows,
);

#[test]
fn every_folder_of_records_is_run() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let folders = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir() && !entry.file_name().to_string_lossy().starts_with("__"));
    assert_eq!(folders.count(), FOLDERS);
}
