//! Snapshots: how the rows of a query were at each time. The query's rows are compared with those
//! that are current in the table; what changed is closed and comes anew. The result is one SELECT
//! whose rows take the place of those with the same `dbt_scd_id`, so that a snapshot is an incremental
//! table with a query of its own. Column names are dbt's.

use std::fmt::Write as _;

use mulgil_core::interval::Instant;

/// The column by which the rows of a snapshot's table are told apart.
pub(crate) const SCD_ID: &str = "dbt_scd_id";

/// How a snapshot finds out what changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The columns that name a thing.
    pub(crate) unique_key: Vec<String>,
    pub(crate) strategy: Strategy,
    pub(crate) hard_deletes: HardDeletes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// A row changed if this column has a later time.
    Timestamp { updated_at: String },
    /// A row changed if one of the columns has another value.
    Check {
        columns: CheckColumns,
        /// The column that says since when; else it is the time of the run.
        updated_at: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CheckColumns {
    All,
    Some(Vec<String>),
}

/// What happens to a thing that the query no longer gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum HardDeletes {
    /// Its row stays current.
    #[default]
    Ignore,
    /// Its row is closed.
    Invalidate,
    /// Its row is closed, and one comes that says it is deleted.
    NewRecord,
}

/// What decides how rows are told apart, for a fingerprint.
pub(crate) fn word(snapshot: &Snapshot) -> String {
    format!("{snapshot:?}")
}

/// The rows that a snapshot's table takes in at a moment: all of the query's where there is no table
/// yet (`this`), else what changed since.
pub(crate) fn sql(query: &str, snapshot: &Snapshot, this: Option<&str>, now: Instant) -> String {
    let source = source(query, snapshot, now);
    match this {
        None => format!("with {source}\nselect * from mulgil_source"),
        Some(this) => {
            let changes = changes(snapshot);
            let taken_in = taken_in(snapshot, now);
            let current = format!("mulgil_current as (select * from {this} where dbt_valid_to is null)");
            format!("with {source},\n{current},\nmulgil_changed as (\n{changes}\n)\n{taken_in}")
        }
    }
}

/// The query's rows as new rows of the table.
fn source(query: &str, snapshot: &Snapshot, now: Instant) -> String {
    let since = match &snapshot.strategy {
        Strategy::Timestamp { updated_at }
        | Strategy::Check {
            updated_at: Some(updated_at),
            ..
        } => format!("cast(q.{} as timestamptz)", quoted(updated_at)),
        Strategy::Check { updated_at: None, .. } => moment(now),
    };
    let deleted = match snapshot.hard_deletes {
        HardDeletes::NewRecord => ", 'False' as dbt_is_deleted",
        HardDeletes::Ignore | HardDeletes::Invalidate => "",
    };
    let key: Vec<String> = snapshot
        .unique_key
        .iter()
        .map(|column| format!("q.{}", quoted(column)))
        .collect();
    let id = scd_id(&key, &since);
    format!(
        "mulgil_query as (\n{query}\n),\n\
         mulgil_source as (\n  select q.*, {id} as {SCD_ID}, {since} as dbt_updated_at, {since} as dbt_valid_from,\n    \
         cast(null as timestamptz) as dbt_valid_to{deleted}\n  from mulgil_query q\n)"
    )
}

/// The keys of current rows that are not as the query has them.
fn changes(snapshot: &Snapshot) -> String {
    let key: Vec<String> = snapshot
        .unique_key
        .iter()
        .map(|column| format!("s.{}", quoted(column)))
        .collect();
    let (key, on) = (key.join(", "), same_key(snapshot, "c", "s"));
    let joined = format!("  select {key} from mulgil_source s join mulgil_current c on {on}");
    let back = match snapshot.hard_deletes {
        HardDeletes::NewRecord => " or c.dbt_is_deleted = 'True'",
        HardDeletes::Ignore | HardDeletes::Invalidate => "",
    };
    match &snapshot.strategy {
        Strategy::Timestamp { .. } => format!("{joined} where c.dbt_valid_from < s.dbt_valid_from{back}"),
        Strategy::Check {
            columns: CheckColumns::Some(columns),
            ..
        } => {
            let differs = columns.iter().map(|column| {
                let column = quoted(column);
                format!("(s.{column} is distinct from c.{column})")
            });
            let differs: Vec<String> = differs.collect();
            format!("{joined} where {}{back}", differs.join(" or "))
        }
        Strategy::Check {
            columns: CheckColumns::All,
            ..
        } => {
            let own = own_columns(snapshot);
            let other = format!("select * from mulgil_query except select * exclude ({own}) from mulgil_current");
            let on = same_key(snapshot, "c", "d");
            let key = key.replace("s.", "d.");
            let back = if back.is_empty() {
                String::new()
            } else {
                format!("\n  union\n{joined} where c.dbt_is_deleted = 'True'")
            };
            format!("  select {key} from ({other}) d join mulgil_current c on {on}{back}")
        }
    }
}

/// New rows, closed rows, and what became of things that are gone.
fn taken_in(snapshot: &Snapshot, now: Instant) -> String {
    let first = quoted(&snapshot.unique_key[0]);
    let (current, changed) = (same_key(snapshot, "c", "s"), same_key(snapshot, "x", "s"));
    let mut sql = format!(
        "select s.* from mulgil_source s\n  left join mulgil_current c on {current}\n  left join mulgil_changed x on {changed}\n  \
         where c.{SCD_ID} is null or x.{first} is not null\n\
         union all by name\n\
         select c.* replace (s.dbt_valid_from as dbt_valid_to) from mulgil_current c\n  join mulgil_source s on {current}\n  \
         join mulgil_changed x on {changed}"
    );
    let now = moment(now);
    let gone = format!("from mulgil_current c\n  left join mulgil_source s on {current}\n  where s.{SCD_ID} is null");
    match snapshot.hard_deletes {
        HardDeletes::Ignore => {}
        HardDeletes::Invalidate => {
            let _ = write!(
                sql,
                "\nunion all by name\nselect c.* replace ({now} as dbt_valid_to) {gone}"
            );
        }
        HardDeletes::NewRecord => {
            let key: Vec<String> = snapshot
                .unique_key
                .iter()
                .map(|column| format!("c.{}", quoted(column)))
                .collect();
            let id = scd_id(&key, &now);
            let _ = write!(
                sql,
                "\nunion all by name\nselect c.* replace ({now} as dbt_valid_to) {gone} and c.dbt_is_deleted = 'False'\n\
                 union all by name\nselect c.* replace ({id} as {SCD_ID}, {now} as dbt_updated_at, {now} as dbt_valid_from, \
                 'True' as dbt_is_deleted) {gone} and c.dbt_is_deleted = 'False'"
            );
        }
    }
    sql
}

/// The columns that a snapshot adds to those of its query.
fn own_columns(snapshot: &Snapshot) -> String {
    let columns = format!("{SCD_ID}, dbt_updated_at, dbt_valid_from, dbt_valid_to");
    match snapshot.hard_deletes {
        HardDeletes::NewRecord => format!("{columns}, dbt_is_deleted"),
        HardDeletes::Ignore | HardDeletes::Invalidate => columns,
    }
}

/// The id of a row: of the thing, and since when it is so.
fn scd_id(key: &[String], since: &str) -> String {
    let parts = key
        .iter()
        .map(|column| format!("coalesce(cast({column} as varchar), '')"));
    let parts: Vec<String> = parts
        .chain([format!("coalesce(cast({since} as varchar), '')")])
        .collect();
    format!("md5({})", parts.join(" || '|' || "))
}

fn same_key(snapshot: &Snapshot, one: &str, other: &str) -> String {
    let columns = snapshot.unique_key.iter().map(|column| {
        let column = quoted(column);
        format!("{one}.{column} = {other}.{column}")
    });
    columns.collect::<Vec<_>>().join(" and ")
}

fn moment(at: Instant) -> String {
    format!("timestamptz '{}'", at.to_timestamp().strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
}

/// A column's name as it is written in `config`: SQL without quotes, so in small letters, but for one
/// that could not be written so.
fn quoted(column: &str) -> String {
    let is_plain = column.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '_');
    if is_plain {
        column.to_owned()
    } else {
        format!("\"{}\"", column.replace('"', "\"\""))
    }
}
