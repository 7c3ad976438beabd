//! The values of an incremental table's unique key that a fill brings: which rows of the table they
//! take the place of. NULL is the same as nothing, as in SQL.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use datafusion::{
    arrow::{
        array::{Array, BooleanArray, RecordBatch},
        compute::{filter_record_batch, is_null},
        datatypes::{Schema, SchemaRef},
        util::pretty::pretty_format_batches,
    },
    error::DataFusionError,
    execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation},
};
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    name::Instance,
    port::Fault,
    project::{Incremental, Strategy},
};

use super::broke;
use crate::{
    content::RowHasher,
    fault::{self, Author},
};

/// The column of a snapshot that is NULL in current rows.
const VALID_TO: &str = "dbt_valid_to";

/// What one value takes in memory: its hash, and its share of the set's free places.
const BYTES_OF_KEY: usize = 32;

/// The key columns of a fill, and the values seen so far.
pub(super) struct Keys {
    /// Their places in the output.
    columns: Vec<usize>,
    schema: SchemaRef,
    hasher: RowHasher,
    seen: Mutex<Seen>,
    /// Whether two rows of the fill may not have the same.
    is_unique: bool,
    instance: Instance,
    /// What to do about two rows of one key.
    remedy: &'static str,
}

struct Seen {
    hashes: HashSet<u128>,
    memory: MemoryReservation,
}

impl Keys {
    /// Those of a strategy; none where all rows stay.
    pub(super) fn of(
        strategy: &Strategy,
        output: &SchemaRef,
        pool: &Arc<dyn MemoryPool>,
        instance: &Instance,
    ) -> Result<Option<Self>, Fault> {
        let names = strategy.unique_key();
        if names.is_empty() {
            return Ok(None);
        }
        let place = |name: &String| output.index_of(name).map_err(|_| no_column(instance, name, output));
        let columns = names.iter().map(place).collect::<Result<Vec<_>, Fault>>()?;
        let schema: SchemaRef = Arc::new(output.project(&columns).map_err(|error| broke(&error.to_string()))?);
        Ok(Some(Self {
            hasher: RowHasher::new(&schema)?,
            columns,
            schema,
            seen: Mutex::new(Seen {
                hashes: HashSet::new(),
                memory: MemoryConsumer::new("keys of an incremental fill").register(pool),
            }),
            is_unique: matches!(strategy, Strategy::Merge { .. }),
            instance: instance.clone(),
            remedy: "keep one row of each key in the SQL (`row_number() over (partition by …) = 1`), or write `incremental_strategy='delete+insert'` to keep both",
        }))
    }

    /// Those that name the things of a snapshot; none where it is none.
    pub(super) fn of_things(
        how: &Incremental,
        output: &SchemaRef,
        pool: &Arc<dyn MemoryPool>,
        instance: &Instance,
    ) -> Result<Option<Self>, Fault> {
        let strategy = Strategy::Merge {
            unique_key: how.names_things.clone(),
        };
        let keys = Self::of(&strategy, output, pool, instance)?;
        Ok(keys.map(|keys| Self {
            remedy: "keep one row of each thing in the SQL (`row_number() over (partition by …) = 1`), or name more columns in `unique_key`",
            ..keys
        }))
    }

    /// The columns, alone.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Takes in the values of rows of the output.
    pub(super) fn add(&self, rows: &RecordBatch) -> Result<(), Fault> {
        let keys = self.project(rows)?;
        let hashes: Vec<u128> = self.hasher.hashes(&keys)?.collect();
        let mut seen = self.seen();
        let before = seen.hashes.len();
        for (row, hash) in hashes.into_iter().enumerate() {
            if !has_null(&keys, row) && !seen.hashes.insert(hash) && self.is_unique {
                return Err(self.twice(&keys.slice(row, 1)));
            }
        }
        let more = (seen.hashes.len() - before) * BYTES_OF_KEY;
        seen.memory
            .try_grow(more)
            .map_err(|error: DataFusionError| fault::sql(&error, &Author::Node(self.instance.to_string())))
    }

    /// Takes in the current rows of a snapshot among those of the output: each thing has one at most,
    /// and each row names its thing.
    pub(super) fn add_current(&self, rows: &RecordBatch) -> Result<(), Fault> {
        let Some(until) = rows.column_by_name(VALID_TO) else {
            return Ok(());
        };
        let is_current = is_null(until).map_err(|error| broke(&error.to_string()))?;
        let current = filter_record_batch(rows, &is_current).map_err(|error| broke(&error.to_string()))?;
        let keys = self.project(&current)?;
        if (0..keys.num_rows()).any(|row| has_null(&keys, row)) {
            return Err(self.nameless());
        }
        self.add(&current)
    }

    fn nameless(&self) -> Fault {
        let names = self.names();
        let filters: Vec<String> = names.iter().map(|name| format!("{name} is not null")).collect();
        Box::new(
            Diagnostic::error(
                codes::NULL_KEY,
                format!(
                    "the SQL of `{}` gives a row with NULL in its unique key ({})",
                    self.instance,
                    names.join(", ")
                ),
            )
            .with_remedy(format!(
                "filter such rows out in the SQL: `where {}`",
                filters.join(" and ")
            )),
        )
    }

    /// Whether no row has come.
    pub(super) fn is_empty(&self) -> bool {
        self.seen().hashes.is_empty()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> Vec<&str> {
        self.schema.fields().iter().map(|field| field.name().as_str()).collect()
    }

    /// Which rows have a value that the fill brings too. `keys` has the key columns alone.
    pub(super) fn taken(&self, keys: &RecordBatch) -> Result<BooleanArray, Fault> {
        let seen = self.seen();
        let hashes = self.hasher.hashes(keys)?.enumerate();
        Ok(hashes
            .map(|(row, hash)| Some(!has_null(keys, row) && seen.hashes.contains(&hash)))
            .collect())
    }

    /// The key columns of rows in the form of the output.
    pub(super) fn project(&self, rows: &RecordBatch) -> Result<RecordBatch, Fault> {
        rows.project(&self.columns).map_err(|error| broke(&error.to_string()))
    }

    fn twice(&self, row: &RecordBatch) -> Fault {
        let shown = pretty_format_batches(std::slice::from_ref(row)).map(|table| table.to_string());
        let shown = shown.unwrap_or_default();
        let value = shown.lines().nth(3).unwrap_or_default().trim_matches(['|', ' ']);
        Box::new(
            Diagnostic::error(
                codes::DUPLICATE_KEY,
                format!(
                    "the SQL of `{}` gives two rows with the same unique key ({}): {value}",
                    self.instance,
                    self.names().join(", ")
                ),
            )
            .with_remedy(self.remedy),
        )
    }
}

fn has_null(keys: &RecordBatch, row: usize) -> bool {
    keys.columns().iter().any(|column| column.is_null(row))
}

fn no_column(instance: &Instance, name: &str, output: &Schema) -> Fault {
    let known = output.fields().iter().map(|field| field.name().as_str());
    let remedy = match fault::nearest(name, known.clone()) {
        Some(near) => format!("write `{near}`"),
        None => format!(
            "name columns that the SQL gives: {}",
            known.collect::<Vec<_>>().join(", ")
        ),
    };
    Box::new(
        Diagnostic::error(
            codes::UNKNOWN_KEY_COLUMN,
            format!("`{instance}` has the unique key `{name}`, which is no column of its table"),
        )
        .with_remedy(remedy),
    )
}
