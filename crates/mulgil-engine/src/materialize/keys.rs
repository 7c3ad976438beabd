//! The values of an incremental table's unique key that a fill brings: which rows of the table they
//! take the place of. NULL is the same as nothing, as in SQL.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use datafusion::{
    arrow::{
        array::{Array, BooleanArray, RecordBatch},
        datatypes::{Schema, SchemaRef},
        util::pretty::pretty_format_batches,
    },
    error::DataFusionError,
    execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation},
};
use mulgil_core::{codes, diagnostic::Diagnostic, name::Instance, port::Fault, project::Strategy};
use std::sync::Arc;

use super::broke;
use crate::{
    content::RowHasher,
    fault::{self, Author},
};

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
        }))
    }

    /// The columns, alone.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Takes in the values of rows of the output.
    pub(super) fn add(&self, rows: &RecordBatch) -> Result<(), Fault> {
        let keys = rows.project(&self.columns).map_err(|error| broke(&error.to_string()))?;
        let hashes: Vec<u128> = self.hasher.hashes(&keys)?.collect();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// Whether no row has come.
    pub(super) fn is_empty(&self) -> bool {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .hashes
            .is_empty()
    }

    /// Which rows have a value that the fill brings too. `keys` has the key columns alone.
    pub(super) fn taken(&self, keys: &RecordBatch) -> Result<BooleanArray, Fault> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
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
        let names: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        let shown = pretty_format_batches(std::slice::from_ref(row)).map(|table| table.to_string());
        let shown = shown.unwrap_or_default();
        let value = shown.lines().nth(3).unwrap_or_default().trim_matches(['|', ' ']);
        Box::new(
            Diagnostic::error(
                codes::DUPLICATE_KEY,
                format!(
                    "the SQL of `{}` gives two rows with the same unique key ({}): {value}",
                    self.instance,
                    names.join(", ")
                ),
            )
            .with_remedy(
                "keep one row of each key in the SQL (`row_number() over (partition by …) = 1`), or write `incremental_strategy='delete+insert'` to keep both",
            ),
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
