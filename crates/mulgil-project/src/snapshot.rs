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
    let query = query.trim_end().trim_end_matches(';');
    let rows = rows(query, snapshot, now);
    let Some(this) = this else {
        let source = source(snapshot, None);
        return format!("with {rows},\nmulgil_source as (\n{source}\n)\nselect * from mulgil_source");
    };
    let key = columns(snapshot, "t");
    let past = format!(
        "mulgil_past as (\n  select {key}, max(greatest(t.dbt_valid_from, coalesce(t.dbt_valid_to, t.dbt_valid_from))) as mulgil_until\n  \
         from {this} t group by {key}\n)"
    );
    let (source, changed) = (source(snapshot, Some(now)), changed(snapshot));
    let current = format!("mulgil_current as (select * from {this} where dbt_valid_to is null)");
    let taken_in = taken_in(snapshot, now);
    format!("with {rows},\n{past},\nmulgil_source as (\n{source}\n),\n{current},\n{changed}\n{taken_in}")
}

/// The query's rows, each with the time that it speaks of, as exact as a table keeps it.
fn rows(query: &str, snapshot: &Snapshot, now: Instant) -> String {
    let at = match &snapshot.strategy {
        Strategy::Timestamp { updated_at }
        | Strategy::Check {
            updated_at: Some(updated_at),
            ..
        } => exact(&format!("cast(q.{} as timestamptz)", quoted(updated_at))),
        Strategy::Check { updated_at: None, .. } => moment(now),
    };
    format!("mulgil_query as (\n{query}\n),\nmulgil_rows as (select q.*, {at} as mulgil_at from mulgil_query q)")
}

/// The query's rows as new rows of the table. What a thing is now begins when its row says; where the
/// table knows of a later time already, it begins at the time of the run.
fn source(snapshot: &Snapshot, now: Option<Instant>) -> String {
    let (since, past) = match now {
        None => ("r.mulgil_at".to_owned(), String::new()),
        Some(now) => (
            format!(
                "case when p.mulgil_until is null or r.mulgil_at > p.mulgil_until then r.mulgil_at else {} end",
                moment(now)
            ),
            format!("\n  left join mulgil_past p on {}", same_key(snapshot, "p", "r")),
        ),
    };
    let deleted = match snapshot.hard_deletes {
        HardDeletes::NewRecord => ", 'False' as dbt_is_deleted",
        HardDeletes::Ignore | HardDeletes::Invalidate => "",
    };
    let id = scd_id(&key(snapshot, "r"), &since);
    format!(
        "  select r.* exclude (mulgil_at), {id} as {SCD_ID}, r.mulgil_at as dbt_updated_at, {since} as dbt_valid_from,\n    \
         {} as dbt_valid_to{deleted}\n  from mulgil_rows r{past}",
        exact("cast(null as timestamptz)")
    )
}

/// The keys of current rows that are not as the query has them. Columns are compared by their names;
/// one that either side lacks is NULL there.
fn changed(snapshot: &Snapshot) -> String {
    let on = same_key(snapshot, "c", "s");
    let joined = format!(
        "select {} from mulgil_source s join mulgil_current c on {on}",
        columns(snapshot, "s")
    );
    let back = match snapshot.hard_deletes {
        HardDeletes::NewRecord => Some("c.dbt_is_deleted = 'True'"),
        HardDeletes::Ignore | HardDeletes::Invalidate => None,
    };
    let compared = match &snapshot.strategy {
        Strategy::Timestamp { .. } => {
            let back = back.map_or_else(String::new, |back| format!(" or {back}"));
            return format!("mulgil_changed as (\n  {joined} where (c.dbt_updated_at < s.dbt_updated_at){back}\n)");
        }
        Strategy::Check { columns, .. } => match columns {
            CheckColumns::All => "* exclude (mulgil_side)".to_owned(),
            CheckColumns::Some(checked) => {
                let all = snapshot.unique_key.iter().chain(checked).map(|column| quoted(column));
                let mut all: Vec<String> = all.collect();
                all.sort_unstable();
                all.dedup();
                all.join(", ")
            }
        },
    };
    let own = own_columns(snapshot);
    let back = back.map_or_else(String::new, |back| format!("\n  union\n  {joined} where {back}"));
    format!(
        "mulgil_both as (\n  select q.*, 1 as mulgil_side from mulgil_query q\n  union all by name\n  \
         select c.* exclude ({own}), 2 as mulgil_side from mulgil_current c\n),\n\
         mulgil_changed as (\n  select {} from (\n    select {compared} from mulgil_both where mulgil_side = 1\n    \
         except select {compared} from mulgil_both where mulgil_side = 2\n  ) d join mulgil_current c on {}{back}\n)",
        columns(snapshot, "d"),
        same_key(snapshot, "c", "d")
    )
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
            let id = scd_id(&key(snapshot, "c"), &now);
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
    let text = at.to_timestamp().strftime("%Y-%m-%dT%H:%M:%S%.6fZ");
    exact(&format!("timestamptz '{text}'"))
}

/// A time as exact as a table keeps it.
fn exact(time: &str) -> String {
    format!("arrow_cast({time}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

/// The key's columns of one side.
fn key(snapshot: &Snapshot, side: &str) -> Vec<String> {
    let columns = snapshot.unique_key.iter();
    columns.map(|column| format!("{side}.{}", quoted(column))).collect()
}

fn columns(snapshot: &Snapshot, side: &str) -> String {
    key(snapshot, side).join(", ")
}

/// A column's name as SQL writes it: in quotes where it would be another one without.
fn quoted(column: &str) -> String {
    let is_plain = column
        .chars()
        .all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '_');
    if is_plain {
        column.to_owned()
    } else {
        format!("\"{}\"", column.replace('"', "\"\""))
    }
}
