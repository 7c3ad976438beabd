//! A whole ledger, from one database into another, whichever kinds they are.
//!
//! One snapshot of the source is read table by table, in the order of its keys, and written in one
//! transaction of the target; there every table is read back and compared, rows and hash, before that
//! commits. So a target holds a whole copy or nothing. Tables and columns are those that the source's
//! database names, so that a table which is added to the ledger is copied without a word here.

use std::{borrow::Cow, fmt};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    port::Fault,
    project::Fingerprint,
};
use sqlx::AssertSqlSafe;
use tokio::sync::mpsc;

use crate::{
    DataLock, Holder, LedgerPlace, Store,
    error::Error,
    lease,
    postgres::OWN_TABLES,
    sql::{self, Conn},
    value::Value,
};

/// Rows that are read at once.
const ROWS: i64 = 100;
/// Times so many wait to be written.
const BATCHES_WAITING: usize = 4;

/// What a scratch ledger does without.
pub(crate) const NOT_IN_SCRATCH: &[&str] = &["attempt_log", "lease"];

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyReport {
    /// Each table, by name.
    pub tables: Vec<CopiedTable>,
}

/// A table that was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedTable {
    /// Its name.
    pub table: String,
    /// Rows that were read.
    pub rows: u64,
    /// The hash of the rows that were read, in the order of their keys.
    pub source: Fingerprint,
    /// The hash of the rows that lie in the target, as they were read back.
    pub target: Fingerprint,
}

/// A table as its database names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Table {
    name: String,
    /// In one order for both databases.
    columns: Vec<String>,
    key: Vec<String>,
}

type Row = Vec<Value<'static>>;

/// What a lease that holds means for a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Users {
    /// Somebody would go on writing into what was copied.
    Refused,
    /// It is a copy of this moment.
    Allowed,
}

/// A run of rows of one table.
struct Batch {
    table: Table,
    rows: Vec<Row>,
}

/// Rows and their hash, as far as they were seen.
#[derive(Default)]
struct Tally {
    rows: u64,
    hash: Option<Fingerprint>,
}

impl Store {
    /// Copies all that this ledger holds into an empty one and compares both. The folder's lock is taken for
    /// as long, so that nobody writes meanwhile; on a server no lease may hold.
    ///
    /// # Errors
    /// `DATA_HELD` or `LEDGER_IN_USE` where somebody works with this ledger, `COPY_NOT_EMPTY` where the target
    /// holds anything, `COPY_DIFFERS` where what was read back is not what was written, or a coded MG5 fault
    /// of either database. Then the target is as it was.
    pub async fn copy_to(&self, target: &Self, holder: Holder) -> Result<CopyReport, Fault> {
        let _lock = match self.place() {
            LedgerPlace::Folder { data_dir, environment } => Some(DataLock::acquire(data_dir, environment, holder)?),
            LedgerPlace::Postgres(_) => None,
        };
        tables(self, target, &[], Users::Refused).await
    }
}

/// Copies all tables but some. The target has the source's schema number and is empty.
pub(crate) async fn tables(
    source: &Store,
    target: &Store,
    without: &'static [&'static str],
    users: Users,
) -> Result<CopyReport, Fault> {
    let (batches, waiting) = mpsc::channel(BATCHES_WAITING);
    let write = target.write(move |conn| Box::pin(async move { receive(conn, waiting, without).await }));
    let read = source.read(move |conn| Box::pin(async move { send(conn, batches, without, users).await }));
    let (read, written) = tokio::join!(read, write);
    // Where the source failed the target has only heard that nothing more comes.
    read?;
    written
}

/// Reads every table and passes its rows on; last of all, that this was all.
async fn send(
    conn: &mut Conn,
    batches: mpsc::Sender<Option<Batch>>,
    without: &[&str],
    users: Users,
) -> Result<(), Error> {
    let leases = lease::all(&mut *conn).await?;
    if let Some(live) = leases.into_iter().find(|state| state.is_live)
        && users == Users::Refused
    {
        return Err(in_use(&live.lease.holder, &live.lease.name).into());
    }
    for table in all_tables(&mut *conn, without).await? {
        let mut last = None;
        loop {
            let rows = rows_after(&mut *conn, &table, last.as_ref()).await?;
            last = rows.last().map(|row| key_of(&table, row));
            let is_end = rows.len() < ROWS as usize;
            let table = table.clone();
            if batches.send(Some(Batch { table, rows })).await.is_err() {
                // The target has failed, and says why.
                return Ok(());
            }
            if is_end {
                break;
            }
        }
    }
    // Where nobody hears it the target has failed.
    let _ = batches.send(None).await;
    Ok(())
}

async fn receive(
    conn: &mut Conn,
    mut batches: mpsc::Receiver<Option<Batch>>,
    without: &[&str],
) -> Result<CopyReport, Error> {
    let known = all_tables(&mut *conn, without).await?;
    for table in &known {
        if !rows_after(&mut *conn, table, None).await?.is_empty() {
            return Err(not_empty(&table.name).into());
        }
    }
    let mut read: Vec<(Table, Tally)> = Vec::new();
    loop {
        let Some(batch) = batches.recv().await else {
            return Err(broken_off().into());
        };
        let Some(Batch { table, rows }) = batch else {
            break;
        };
        if !known.contains(&table) {
            return Err(Error::damaged(format!(
                "its table `{}` is not as the other one's",
                table.name
            )));
        }
        if read.last().is_none_or(|(last, _)| *last != table) {
            read.push((table.clone(), Tally::default()));
        }
        if let Some((_, tally)) = read.last_mut() {
            tally.add(&rows);
        }
        insert(&mut *conn, &table, rows).await?;
    }
    let mut tables = Vec::with_capacity(read.len());
    for (table, tally) in read {
        let found = tally_of(&mut *conn, &table).await?;
        let copied = CopiedTable {
            rows: tally.rows,
            source: tally.hash(),
            target: found.hash(),
            table: table.name,
        };
        if found.rows != tally.rows || copied.source != copied.target {
            return Err(differs(&copied, found.rows).into());
        }
        tables.push(copied);
    }
    Ok(CopyReport { tables })
}

/// The ledger's tables, by name, as the database describes them.
async fn all_tables(conn: &mut Conn, without: &[&str]) -> Result<Vec<Table>, Error> {
    const SQLITE: &str = "select t.name, c.name, c.pk from sqlite_master t, pragma_table_info(t.name) c
         where t.type = 'table' and t.name <> '_sqlx_migrations' and t.name not like 'sqlite!_%' escape '!'";
    const POSTGRES: &str = "select cast(c.table_name as text), cast(c.column_name as text),
             cast(coalesce(k.ordinal_position, 0) as bigint)
         from information_schema.columns c
         left join (
             select u.table_name, u.column_name, u.ordinal_position
             from information_schema.key_column_usage u
             join information_schema.table_constraints n
               on n.constraint_schema = u.constraint_schema and n.constraint_name = u.constraint_name
              and n.table_name = u.table_name
             where n.constraint_type = 'PRIMARY KEY' and u.table_schema = current_schema()
         ) k on k.table_name = c.table_name and k.column_name = c.column_name
         where c.table_schema = current_schema()";
    let described = match conn {
        Conn::Sqlite(_) => SQLITE,
        Conn::Postgres(_) => POSTGRES,
    };
    let mut rows: Vec<(String, String, i64)> = sql::query_as(described).fetch_all(conn).await?;
    rows.sort_unstable();
    let mut tables: Vec<(Table, Vec<(i64, String)>)> = Vec::new();
    for (table, column, place) in rows {
        if OWN_TABLES.contains(&table.as_str()) || without.contains(&table.as_str()) {
            continue;
        }
        if tables.last().is_none_or(|(last, _)| last.name != table) {
            let table = Table {
                name: table,
                columns: Vec::new(),
                key: Vec::new(),
            };
            tables.push((table, Vec::new()));
        }
        if let Some((table, key)) = tables.last_mut() {
            if place > 0 {
                key.push((place, column.clone()));
            }
            table.columns.push(column);
        }
    }
    Ok(tables.into_iter().map(with_key).collect())
}

fn with_key((mut table, mut key): (Table, Vec<(i64, String)>)) -> Table {
    key.sort_unstable();
    table.key = key.into_iter().map(|(_, column)| column).collect();
    table
}

async fn rows_after(conn: &mut Conn, table: &Table, last: Option<&Row>) -> Result<Vec<Row>, Error> {
    let key = quoted(&table.key);
    let after = match last {
        Some(last) => format!("where ({key}) > ({})", places(1, last.len())),
        None => String::new(),
    };
    let select = format!(
        "select {} from {} {after} order by {key} limit {ROWS}",
        quoted(&table.columns),
        quote(&table.name)
    );
    let mut query = sql::query(AssertSqlSafe(select));
    for value in last.into_iter().flatten() {
        query = query.bind(value.clone());
    }
    let rows = query.fetch_named(conn).await?;
    Ok(rows
        .into_iter()
        .map(|row| row.into_iter().map(|(_, value)| value).collect())
        .collect())
}

async fn insert(conn: &mut Conn, table: &Table, rows: Vec<Row>) -> Result<(), Error> {
    // As many rows at once as both databases have places for values.
    const VALUES: usize = 1_000;
    let width = table.columns.len();
    for rows in rows.chunks((VALUES / width).max(1)) {
        let values: Vec<String> = (0..rows.len())
            .map(|row| format!("({})", places(row * width + 1, width)))
            .collect();
        let insert = format!(
            "insert into {} ({}) values {}",
            quote(&table.name),
            quoted(&table.columns),
            values.join(", ")
        );
        let mut query = sql::query(AssertSqlSafe(insert));
        for value in rows.iter().flatten() {
            query = query.bind(value.clone());
        }
        query.execute(&mut *conn).await?;
    }
    Ok(())
}

async fn tally_of(conn: &mut Conn, table: &Table) -> Result<Tally, Error> {
    let (mut tally, mut last) = (Tally::default(), None);
    loop {
        let rows = rows_after(&mut *conn, table, last.as_ref()).await?;
        tally.add(&rows);
        last = rows.last().map(|row| key_of(table, row));
        if rows.len() < ROWS as usize {
            return Ok(tally);
        }
    }
}

fn key_of(table: &Table, row: &Row) -> Row {
    let at = |column: &String| table.columns.iter().position(|known| known == column);
    table
        .key
        .iter()
        .filter_map(|column| row.get(at(column)?).cloned())
        .collect()
}

impl Tally {
    /// Each row's hash goes into the next one's, so that the order counts.
    fn add(&mut self, rows: &[Row]) {
        for row in rows {
            let last = self.hash().0.to_le_bytes();
            let cells: Vec<Cow<'_, [u8]>> = row.iter().map(cell).collect();
            let parts = std::iter::once(last.as_slice()).chain(cells.iter().map(AsRef::as_ref));
            self.hash = Some(Fingerprint::of(parts));
            self.rows += 1;
        }
    }

    fn hash(&self) -> Fingerprint {
        self.hash.unwrap_or(Fingerprint(0))
    }
}

/// A value as bytes, with its kind, so that nothing and the empty text differ.
fn cell<'v>(value: &'v Value<'_>) -> Cow<'v, [u8]> {
    match value {
        Value::Int(Some(value)) => [b"i".as_slice(), &value.to_le_bytes()].concat().into(),
        Value::Text(Some(value)) => [b"t", value.as_bytes()].concat().into(),
        Value::Bytes(Some(value)) => [b"b", value.as_ref()].concat().into(),
        Value::Bool(value) => vec![b'o', u8::from(*value)].into(),
        Value::Int(None) | Value::Text(None) | Value::Bytes(None) => b"n".as_slice().into(),
    }
}

fn quote(name: &str) -> String {
    format!("\"{name}\"")
}

fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| quote(name)).collect();
    quoted.join(", ")
}

fn places(from: usize, count: usize) -> String {
    let places: Vec<String> = (from..from + count).map(|place| format!("${place}")).collect();
    places.join(", ")
}

fn in_use(holder: &str, lease: &str) -> Diagnostic {
    Diagnostic::error(
        codes::LEDGER_IN_USE,
        format!("`{holder}` is working with the ledger that is to be copied (lease `{lease}`)"),
    )
    .with_remedy("end that server, then copy; what it records meanwhile would be missing in the copy")
    .with_retry(Retry::AfterHumanFix)
}

fn not_empty(table: &str) -> Diagnostic {
    Diagnostic::error(
        codes::COPY_NOT_EMPTY,
        format!("the ledger to be copied into is not empty: its table `{table}` has rows"),
    )
    .with_remedy("name another schema (`?schema=…`) or folder, or remove what is there if nobody needs it")
    .with_retry(Retry::AfterHumanFix)
}

fn differs(copied: &CopiedTable, found: u64) -> Diagnostic {
    Diagnostic::error(
        codes::COPY_DIFFERS,
        format!(
            "the copy of table `{}` is not what was copied: {} rows {} in the source, {found} rows {} in the target; nothing was kept",
            copied.table, copied.rows, copied.source, copied.target
        ),
    )
    .with_remedy("look whether the target's database changes what is written (triggers, another encoding), then copy again")
    .with_retry(Retry::AfterHumanFix)
}

fn broken_off() -> Diagnostic {
    Diagnostic::error(
        codes::COPY_DIFFERS,
        "the source could not be read to its end; nothing was kept",
    )
    .with_remedy("copy again")
    .with_retry(Retry::Later)
}

impl fmt::Display for CopiedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} rows, {} and {}",
            self.table, self.rows, self.source, self.target
        )
    }
}
