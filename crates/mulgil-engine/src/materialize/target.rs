//! The table that a fill writes: what it is now, which of its files the fill replaces, and the one
//! commit that swaps them. Data first, then the commit; a commit that did not happen changes nothing.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
};

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use deltalake::{
    DeltaTable,
    kernel::{
        Action, LogicalFileView, Metadata, MetadataExt, StructType, Transaction,
        engine::arrow_conversion::{TryIntoArrow, TryIntoKernel},
        new_metadata,
    },
    logstore::LogStoreRef,
    protocol::{DeltaOperation, SaveMode},
};
use jiff::Timestamp;
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    grid::Grid,
    interval::{Instant, Interval},
    name::Key,
    port::{CommitTag, Fault, Growth},
    project::Materialization,
    task::{Claim, FillSpec},
};
use serde_json::json;

use super::{
    parts::Part,
    shape::{self, Existing, Shape},
};
use crate::{
    commit::{self, Commit, add, needs_naive_times, protocol},
    fault,
    hidden::{DAY, INTERVAL, TimePartition},
    table::interval_type,
    warehouse::Warehouse,
    zone,
};

/// Under which key of a commit's own information ours stands.
pub(crate) const TAG: &str = "mulgil";
/// The table property that says in which zone the table's time is cut, and `_day` is a date.
pub(crate) const ZONE_PROPERTY: &str = "mulgil.timezone";
/// The table property that says how the table's time is cut.
const CUT_PROPERTY: &str = "mulgil.cut";

/// The app id of a ledger's transactions.
pub(crate) fn app_id(ledger: &str) -> String {
    format!("mulgil/{ledger}")
}

/// What a fill replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaces {
    /// All that the table has; its columns and partitions may change.
    All,
    /// All rows of the fill's key.
    Key,
    /// The rows of the fill's key in its range.
    Range(Interval),
    /// The rows of the fill's key whose unique key the fill brings; none without one.
    Keys,
}

/// A partition's values, by column, as Delta writes them.
pub(crate) type PartitionValues = BTreeMap<String, Option<String>>;

/// The table of a fill.
pub(crate) struct Target {
    folder: PathBuf,
    table: Option<DeltaTable>,
    log_store: LogStoreRef,
    key: Key,
    time: TimePartition,
    grid: Grid,
    replaces: Replaces,
}

impl Target {
    /// Opens the table, if there is one, and checks that this claim may write it.
    pub(crate) async fn open(
        warehouse: &Warehouse,
        spec: &FillSpec,
        claim: &Claim,
        time: TimePartition,
        replaces: Replaces,
    ) -> Result<Self, Fault> {
        warehouse.check_writes().await?;
        let mut target = Self {
            folder: warehouse.folder(&spec.relation),
            table: warehouse.open(&spec.relation).await?,
            log_store: warehouse.log_store(&spec.relation)?,
            key: spec.instance.key.clone(),
            time,
            grid: spec.grid.clone(),
            replaces,
        };
        target.check_fence(claim).await?;
        if let Err(misfit) = target.check_layout(spec) {
            target.widen(spec, misfit)?;
        }
        Ok(target)
    }

    /// Replaces all of the table, if the fill may: what is there does not fit beside what it makes.
    pub(crate) fn widen(&mut self, spec: &FillSpec, misfit: Fault) -> Result<(), Fault> {
        if !spec.may_replace_all {
            return Err(misfit);
        }
        self.replaces = Replaces::All;
        Ok(())
    }

    /// Whether all that the table has is replaced.
    pub(crate) fn is_replaced(&self) -> bool {
        self.replaces == Replaces::All
    }

    /// The folder of the table.
    pub(crate) fn folder(&self) -> &PathBuf {
        &self.folder
    }

    /// The table as it is.
    pub(crate) fn table(&self) -> Option<&DeltaTable> {
        self.table.as_ref()
    }

    /// The columns that an output has to fit into.
    pub(crate) fn existing(&self) -> Result<Existing, Fault> {
        match (&self.table, self.replaces) {
            (None, _) | (Some(_), Replaces::All) => Ok(Existing::None),
            (Some(table), Replaces::Key | Replaces::Range(_) | Replaces::Keys) => {
                let schema = self.arrow_schema(table)?;
                Ok(Existing::Columns(shape::visible(&schema, &self.key)))
            }
        }
    }

    fn arrow_schema(&self, table: &DeltaTable) -> Result<Schema, Fault> {
        let state = table.snapshot().map_err(|error| fault::delta(&error, &self.folder))?;
        let schema: Result<Schema, _> = state.schema().as_ref().try_into_arrow();
        schema.map_err(|error| broken(&error.to_string()))
    }

    async fn check_fence(&self, claim: &Claim) -> Result<(), Fault> {
        let Some(table) = &self.table else {
            return Ok(());
        };
        let recorded = table
            .snapshot()
            .map_err(|error| fault::delta(&error, &self.folder))?
            .transaction_version(self.log_store.as_ref(), app_id(&claim.ledger))
            .await
            .map_err(|error| fault::delta(&error, &self.folder))?;
        match recorded {
            Some(recorded) if recorded >= claim.seq => Err(Box::new(
                Diagnostic::error(
                    codes::FENCED,
                    format!(
                        "attempt {} holds the claim {} and may not write {}: the table already records the claim {recorded}",
                        claim.attempt,
                        claim.seq,
                        self.folder.display()
                    ),
                )
                .with_remedy("nothing: a newer attempt did or does this work; `mulgil runs ls` shows it"),
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn partition_columns(&self) -> Vec<String> {
        let by_time = match self.time {
            TimePartition::None => None,
            TimePartition::Interval => Some(INTERVAL),
            TimePartition::Day => Some(DAY),
        };
        let keys = self.key.0.keys().cloned();
        keys.chain(by_time.map(str::to_owned)).collect()
    }

    /// The table's own words for how its time is cut.
    fn properties(&self) -> [(&'static str, String); 2] {
        [
            (ZONE_PROPERTY, self.grid.zone.name().to_owned()),
            (CUT_PROPERTY, json!(self.grid.cut).to_string()),
        ]
    }

    /// A fill of a part fits only a table that is partitioned and cut as the node is now: the same
    /// rows would otherwise stand under two intervals.
    fn check_layout(&self, spec: &FillSpec) -> Result<(), Fault> {
        let Some(table) = self.table.as_ref().filter(|_| self.replaces != Replaces::All) else {
            return Ok(());
        };
        let state = table.snapshot().map_err(|error| fault::delta(&error, &self.folder))?;
        let has = state.metadata().partition_columns();
        let wants = self.partition_columns();
        if !has.iter().eq(wants.iter()) {
            let shown = |columns: &[String]| match columns {
                [] => "not partitioned".to_owned(),
                columns => format!("partitioned by {}", columns.join(", ")),
            };
            return Err(misfit(spec, &shown(has), &shown(&wants)));
        }
        let known = state.metadata().configuration();
        let other = |(name, wants): &(&'static str, String)| known.get(*name).is_some_and(|has| has != wants);
        match self.properties().iter().find(|property| other(property)) {
            Some((name, wants)) if self.time != TimePartition::None => {
                let has = known.get(*name).map_or("", String::as_str);
                Err(misfit(spec, &format!("cut by {has}"), &format!("cut by {wants}")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether `_interval` is written into the files, as it is no partition.
    pub(crate) fn has_interval_column(&self) -> bool {
        self.time == TimePartition::Day
    }

    /// The columns of a data file: all that readers see and that is no partition.
    pub(crate) fn file_schema(&self, shape: &Shape) -> SchemaRef {
        let mut fields: Vec<_> = shape.table.iter().cloned().collect();
        if self.has_interval_column() {
            fields.push(Field::new(INTERVAL, interval_type(), true).into());
        }
        Schema::new(fields).into()
    }

    /// The values of the partition that holds the rows of an interval that starts at an instant.
    pub(crate) fn partition_of(&self, start: Instant) -> PartitionValues {
        let mut values = self.key_values();
        match self.time {
            TimePartition::None => {}
            TimePartition::Interval => {
                let text = start.to_timestamp().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
                values.insert(INTERVAL.to_owned(), Some(text));
            }
            TimePartition::Day => {
                values.insert(DAY.to_owned(), self.day_of(start));
            }
        }
        values
    }

    fn day_of(&self, start: Instant) -> Option<String> {
        Some(zone::date_text(zone::date_of(&self.grid.zone, start)))
    }

    fn key_values(&self) -> PartitionValues {
        let key = self.key.0.iter();
        key.map(|(column, value)| (column.clone(), Some(value.clone())))
            .collect()
    }

    /// The files of the table that the fill touches.
    pub(crate) fn touched(&self, intervals: &[Interval]) -> Result<Touched, Fault> {
        let mut touched = Touched::default();
        let days: HashSet<Option<String>> = match self.time {
            TimePartition::Day => intervals.iter().map(|interval| self.day_of(interval.start)).collect(),
            TimePartition::None | TimePartition::Interval => HashSet::new(),
        };
        let Some(table) = &self.table else {
            return Ok(touched);
        };
        let state = table.snapshot().map_err(|error| fault::delta(&error, &self.folder))?;
        for file in state.log_data().iter() {
            match self.reach(&file, &days) {
                Reach::None => {}
                Reach::Whole => touched.replaced.push(file),
                Reach::Part => touched.cut.push(file),
            }
        }
        Ok(touched)
    }

    /// All files that hold rows of the fill's key.
    pub(crate) fn files(&self) -> Result<Vec<LogicalFileView>, Fault> {
        let Some(table) = &self.table else {
            return Ok(Vec::new());
        };
        let state = table.snapshot().map_err(|error| fault::delta(&error, &self.folder))?;
        Ok(state.log_data().iter().filter(|file| self.holds_key(file)).collect())
    }

    /// The version and the id of the table, if there is one.
    pub(crate) fn present(&self) -> Result<Option<(i64, String)>, Fault> {
        let state = self.table.as_ref().map(DeltaTable::snapshot).transpose();
        let state = state.map_err(|error| fault::delta(&error, &self.folder))?;
        Ok(state.map(|state| (state.version() as i64, state.metadata().id().to_owned())))
    }

    fn holds_key(&self, file: &LogicalFileView) -> bool {
        let values = file.partition_values_map();
        let mut key = self.key.0.iter();
        key.all(|(column, value)| values.get(column).and_then(Option::as_ref) == Some(value))
    }

    fn reach(&self, file: &LogicalFileView, days: &HashSet<Option<String>>) -> Reach {
        let values = file.partition_values_map();
        match self.replaces {
            Replaces::All => Reach::Whole,
            _ if !self.holds_key(file) => Reach::None,
            Replaces::Key => Reach::Whole,
            // Which files hold such rows is known when the fill's rows have come.
            Replaces::Keys => Reach::None,
            Replaces::Range(range) => match self.time {
                TimePartition::None => Reach::Whole,
                TimePartition::Interval => match values.get(INTERVAL).and_then(Option::as_deref).and_then(instant) {
                    Some(start) if range.contains_instant(start) => Reach::Whole,
                    Some(_) | None => Reach::None,
                },
                TimePartition::Day => match values.get(DAY) {
                    Some(day) if days.contains(day) => reach_in_day(file, range),
                    Some(_) | None => Reach::None,
                },
            },
        }
    }

    /// Commits new files in place of touched ones, with the tag and the app transaction.
    pub(crate) async fn commit(
        self,
        shape: &Shape,
        tag: &CommitTag,
        touched: Touched,
        new: Vec<(Part, PartitionValues)>,
    ) -> Result<Committed, Fault> {
        let mut actions = self.schema_actions(shape)?;
        let table_id = self.table_id(&actions)?;
        let old = touched.replaced.iter().chain(&touched.cut);
        actions.extend(old.map(|file| Action::Remove(file.remove_action(true))));
        actions.extend(new.into_iter().map(|(part, values)| Action::Add(add(part, values))));
        let growth = growth(&actions);
        let properties = commit::alone()
            .with_application_transaction(Transaction::new(app_id(&tag.ledger), tag.seq))
            .with_metadata([(TAG.to_owned(), json!(tag))]);
        let operation = DeltaOperation::Write {
            mode: SaveMode::Overwrite,
            partition_by: Some(self.partition_columns()),
            predicate: None,
        };
        let commit = Commit {
            actions,
            operation,
            properties,
        };
        let version = commit.make(&self.log_store, self.table.as_ref(), &self.folder).await?;
        Ok(Committed {
            version: version as i64,
            table_id,
            growth,
        })
    }

    /// The id of the table, or the one that it is about to be made with.
    fn table_id(&self, actions: &[Action]) -> Result<String, Fault> {
        let made = actions.iter().find_map(|action| match action {
            Action::Metadata(metadata) => Some(metadata.id().to_owned()),
            _ => None,
        });
        match (&self.table, made) {
            (Some(table), _) => {
                let state = table.snapshot().map_err(|error| fault::delta(&error, &self.folder))?;
                Ok(state.metadata().id().to_owned())
            }
            (None, Some(made)) => Ok(made),
            (None, None) => Err(broken("a new table has no metadata")),
        }
    }

    /// Protocol and metadata, where the commit changes them.
    fn schema_actions(&self, shape: &Shape) -> Result<Vec<Action>, Fault> {
        let schema = self.table_schema(shape)?;
        let to_fault = |error: deltalake::kernel::Error| broken(&error.to_string());
        let Some(table) = &self.table else {
            let [zone, cut] = self.properties();
            let properties = [("delta.enableExpiredLogCleanup", "false".to_owned()), zone, cut];
            let metadata = new_metadata(&schema, self.partition_columns(), properties).map_err(to_fault)?;
            return Ok(vec![
                Action::Protocol(protocol(None, &schema)?),
                Action::Metadata(metadata),
            ]);
        };
        let state = table.snapshot().map_err(|error| fault::delta(&error, &self.folder))?;
        let old = state.metadata();
        let partitions = self.partition_columns();
        let properties = self.properties();
        let is_cut_alike = old.partition_columns().iter().eq(partitions.iter())
            && properties
                .iter()
                .all(|(name, value)| old.configuration().get(*name) == Some(value));
        if *state.schema() == schema && is_cut_alike {
            return Ok(Vec::new());
        }
        let mut actions = Vec::new();
        if needs_naive_times(&schema) && !needs_naive_times(&state.schema()) {
            actions.push(Action::Protocol(protocol(Some(state.protocol()), &schema)?));
        }
        let metadata = if is_cut_alike {
            old.clone().with_schema(&schema).map_err(to_fault)?
        } else {
            cut_anew(old, &schema, partitions, properties)?
        };
        actions.push(Action::Metadata(metadata));
        Ok(actions)
    }

    /// Keys first, then what readers see, then what is hidden.
    fn table_schema(&self, shape: &Shape) -> Result<StructType, Fault> {
        let keys = self
            .key
            .0
            .keys()
            .map(|name| Field::new(name, datafusion::arrow::datatypes::DataType::Utf8, true).into());
        let mut fields: Vec<_> = keys.chain(shape.table.iter().cloned()).collect();
        if self.time != TimePartition::None {
            fields.push(Field::new(INTERVAL, interval_type(), true).into());
        }
        if self.time == TimePartition::Day {
            fields.push(Field::new(DAY, datafusion::arrow::datatypes::DataType::Date32, true).into());
        }
        let schema: Result<StructType, _> = (&Schema::new(fields)).try_into_kernel();
        schema.map_err(|error| broken(&error.to_string()))
    }
}

/// A commit that was made.
pub(crate) struct Committed {
    /// The table's version after it.
    pub(crate) version: i64,
    /// The table's id.
    pub(crate) table_id: String,
    /// By how much it made the table larger.
    pub(crate) growth: Growth,
}

/// By how much actions make a table larger. A file that is removed without its size counts as a file.
fn growth(actions: &[Action]) -> Growth {
    let mut growth = Growth::default();
    for action in actions {
        match action {
            Action::Add(add) => {
                growth.bytes += add.size;
                growth.files += 1;
            }
            Action::Remove(remove) => {
                growth.bytes -= remove.size.unwrap_or(0);
                growth.files -= 1;
            }
            _ => {}
        }
    }
    growth
}

/// The files that a fill touches.
#[derive(Default)]
pub(crate) struct Touched {
    /// Files whose rows are all replaced.
    pub(crate) replaced: Vec<LogicalFileView>,
    /// Files of which some rows may stay.
    pub(crate) cut: Vec<LogicalFileView>,
}

enum Reach {
    None,
    Whole,
    Part,
}

/// How far a range reaches into a file of a day's partition, by the file's own bounds.
fn reach_in_day(file: &LogicalFileView, range: Interval) -> Reach {
    let stats: Option<serde_json::Value> = file.stats().and_then(|stats| serde_json::from_str(&stats).ok());
    let bound = |name: &str| stats.as_ref()?.get(name)?.get(INTERVAL)?.as_str().and_then(instant);
    match (bound("minValues"), bound("maxValues")) {
        (Some(least), Some(greatest)) if greatest < range.start || least >= range.end => Reach::None,
        (Some(least), Some(greatest)) if range.contains_instant(least) && range.contains_instant(greatest) => {
            Reach::Whole
        }
        _ => Reach::Part,
    }
}

/// Reads a timestamp as Delta writes it: with a zone, or else in UTC.
pub(crate) fn instant(text: &str) -> Option<Instant> {
    let with_zone = text.parse::<Timestamp>().ok();
    with_zone
        .or_else(|| {
            let civil: jiff::civil::DateTime = text.parse().ok()?;
            jiff::tz::Offset::UTC.to_timestamp(civil).ok()
        })
        .map(Instant::from_timestamp)
}

/// The metadata of the same table with other partition columns or another cut.
fn cut_anew(
    old: &Metadata,
    schema: &StructType,
    partitions: Vec<String>,
    cut: [(&'static str, String); 2],
) -> Result<Metadata, Fault> {
    let mut properties = old.configuration().clone();
    properties.extend(cut.map(|(name, value)| (name.to_owned(), value)));
    let metadata = new_metadata(schema, partitions, properties).map_err(|error| broken(&error.to_string()))?;
    metadata
        .with_table_id(old.id().to_owned())
        .map_err(|error| broken(&error.to_string()))
}

fn misfit(spec: &FillSpec, has: &str, wants: &str) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::LAYOUT_MISFIT,
            format!(
                "the table `{}` is {has}, and `{}` now has to be {wants}",
                spec.relation, spec.instance
            ),
        )
        .with_remedy(match spec.materialization {
            Materialization::Snapshot => "bring the table back as it was, or give the snapshot another name".to_owned(),
            Materialization::Table
            | Materialization::View
            | Materialization::Interval
            | Materialization::Incremental
            | Materialization::Seed => format!("replace the whole table: `mulgil run {} --full`", spec.instance.node),
        }),
    )
}

fn broken(error: &str) -> Fault {
    Box::new(Diagnostic::error(
        codes::BUG,
        format!("the schema of a table could not be made: {error}"),
    ))
}
