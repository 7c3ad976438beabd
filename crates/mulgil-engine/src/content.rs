//! The content of rows: how many they are, and a hash of them that does not depend on their order,
//! their partitions, their files or encodings.

use datafusion::arrow::{
    array::RecordBatch,
    datatypes::SchemaRef,
    row::{RowConverter, SortField},
};
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    interval::Interval,
    port::{Fault, Filled, RowSum},
    project::Fingerprint,
};

/// The content of one interval, as far as it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    rows: u64,
    /// The sum of the rows' hashes, which no order changes.
    sum: u128,
}

impl Content {
    /// Both together.
    pub(crate) fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// Without rows that are in it.
    pub(crate) fn take(&mut self, other: Self) {
        self.rows = self.rows.saturating_sub(other.rows);
        self.sum = self.sum.wrapping_sub(other.sum);
    }

    /// How many rows.
    pub(crate) fn rows(self) -> u64 {
        self.rows
    }

    /// One row more, by its hash.
    pub(crate) fn add_row(&mut self, hash: u128) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash);
    }

    /// As the ledger keeps it, for rows of these columns.
    pub(crate) fn filled(&self, interval: Interval, output: &SchemaRef) -> Filled {
        let columns: String = output
            .fields()
            .iter()
            .map(|field| format!("{}\u{1f}{}\u{1e}", field.name(), field.data_type()))
            .collect();
        Filled {
            interval,
            rows: self.rows,
            content: Fingerprint::of([
                columns.as_bytes(),
                &self.rows.to_le_bytes()[..],
                &self.sum.to_le_bytes()[..],
            ]),
        }
    }
}

impl From<RowSum> for Content {
    fn from(told: RowSum) -> Self {
        Self {
            rows: told.rows,
            sum: told.sum.0,
        }
    }
}

impl From<Content> for RowSum {
    fn from(content: Content) -> Self {
        Self {
            rows: content.rows,
            sum: Fingerprint(content.sum),
        }
    }
}

/// Hashes rows of one form.
pub(crate) struct RowHasher {
    converter: RowConverter,
}

impl RowHasher {
    /// For rows of these columns.
    pub(crate) fn new(output: &SchemaRef) -> Result<Self, Fault> {
        let fields = output
            .fields()
            .iter()
            .map(|field| SortField::new(field.data_type().clone()))
            .collect();
        RowConverter::new(fields)
            .map(|converter| Self { converter })
            .map_err(|error| hash_fault(&error.to_string()))
    }

    /// The content of a batch.
    pub(crate) fn content(&self, batch: &RecordBatch) -> Result<Content, Fault> {
        let mut content = Content::default();
        self.hashes(batch)?.for_each(|hash| content.add_row(hash));
        Ok(content)
    }

    /// The hash of each row of a batch, in their order.
    pub(crate) fn hashes(&self, batch: &RecordBatch) -> Result<impl Iterator<Item = u128>, Fault> {
        let rows = self
            .converter
            .convert_columns(batch.columns())
            .map_err(|error| hash_fault(&error.to_string()))?;
        Ok((0..rows.num_rows()).map(move |row| {
            let hash = blake3::hash(rows.row(row).as_ref());
            let mut low = [0; 16];
            low.copy_from_slice(&hash.as_bytes()[..16]);
            u128::from_le_bytes(low)
        }))
    }
}

fn hash_fault(error: &str) -> Fault {
    Box::new(Diagnostic::error(
        codes::BUG,
        format!("rows could not be hashed: {error}"),
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Float64Array, StringArray};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn content_depends_on_neither_order_nor_parts(
            rows in prop::collection::vec((any::<Option<i16>>(), "[a-c]{0,3}"), 1..60),
            cut in 0_usize..60,
            turn in 0_usize..60,
        ) {
            let make = |rows: &[(Option<i16>, String)]| RecordBatch::try_from_iter([
                ("n", Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.0.map(f64::from)))) as ArrayRef),
                ("t", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.1)))),
            ]).unwrap();
            let whole = make(&rows);
            let schema = whole.schema();
            let hasher = RowHasher::new(&schema).unwrap();
            let expected = hasher.content(&whole).unwrap();
            let mut turned = rows.clone();
            turned.rotate_left(turn % rows.len());
            let cut = cut % rows.len();
            let mut parts = Content::default();
            for part in [&turned[..cut], &turned[cut..]] {
                let other = RowHasher::new(&schema).unwrap();
                parts.add(other.content(&make(part)).unwrap());
            }
            prop_assert_eq!(parts, expected);
            let mut changed = rows;
            changed[0].1.push('x');
            prop_assert_ne!(hasher.content(&make(&changed)).unwrap(), expected);
        }
    }
}
