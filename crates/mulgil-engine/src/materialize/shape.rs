//! The columns of a table: which types it can keep, how a query's output fits into what is there,
//! and how a batch is brought into that form. It reads and writes nothing.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use datafusion::arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit},
    util::display::FormatOptions,
};
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    name::{Instance, Key},
    port::Fault,
    project::SchemaChange,
    task::Column,
};

use crate::hidden::{DAY, INTERVAL};

/// Letters that a Parquet column of a Delta table cannot have.
const FORBIDDEN: &[char] = &[' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='];
/// The digits that Delta's decimals have at most.
const MAX_DIGITS: u8 = 38;

/// The columns of a table that readers see, key columns left out.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// What the table has after the fill, in order.
    pub(crate) table: Fields,
    /// What the query gives of them, in the table's types and order.
    pub(crate) output: SchemaRef,
    /// Whether the table gets columns that it did not have, or loses some.
    pub(crate) changes_columns: bool,
    /// Whether it loses some.
    pub(crate) loses_columns: bool,
}

/// How a query's columns differ from those of its table.
pub(crate) struct Difference {
    /// Those that the table does not have.
    pub(crate) new: Fields,
    /// Those that the query does not give.
    pub(crate) missing: Vec<String>,
}

/// What a fill makes of a table's columns.
pub(crate) enum Existing {
    /// There is no table, or all of it is replaced: the output decides.
    None,
    /// The table's own columns; the output has to fit into them.
    Columns(Fields),
}

impl Shape {
    /// Fits a query's output to a table.
    pub(crate) fn fit(output: &Schema, existing: Existing, instance: &Instance) -> Result<Self, Fault> {
        let given = stored_fields(output, instance)?;
        let table = match existing {
            Existing::None => given.clone(),
            Existing::Columns(columns) => merged(&given, columns, instance)?,
        };
        let names: HashSet<&str> = given.iter().map(|field| field.name().as_str()).collect();
        let present: Vec<FieldRef> = table
            .iter()
            .filter(|field| names.contains(field.name().as_str()))
            .cloned()
            .collect();
        Ok(Self {
            table,
            output: Arc::new(Schema::new(present)),
            changes_columns: false,
            loses_columns: false,
        })
    }

    /// Fits a query's output to a table that keeps its rows. What the output lacks is NULL; columns
    /// that the rule does not allow to come or go come back as the difference.
    pub(crate) fn take_in(
        output: &Schema,
        columns: Fields,
        rule: SchemaChange,
        instance: &Instance,
    ) -> Result<Result<Self, Difference>, Fault> {
        let given = stored_fields(output, instance)?;
        let all = merged(&given, columns.clone(), instance)?;
        let has = |fields: &Fields, name: &str| fields.iter().any(|field| field.name() == name);
        let new: Fields = given
            .iter()
            .filter(|field| !has(&columns, field.name()))
            .cloned()
            .collect();
        let missing: Vec<String> = columns
            .iter()
            .map(|field| field.name().clone())
            .filter(|name| !has(&given, name))
            .collect();
        let table: Fields = match rule {
            SchemaChange::Ignore if missing.is_empty() => columns,
            SchemaChange::Fail if new.is_empty() && missing.is_empty() => columns,
            SchemaChange::Ignore | SchemaChange::Fail => return Ok(Err(Difference { new, missing })),
            SchemaChange::AppendNewColumns => all,
            SchemaChange::SyncAllColumns => all
                .iter()
                .filter(|field| !missing.contains(field.name()))
                .cloned()
                .collect(),
        };
        let loses_columns = rule == SchemaChange::SyncAllColumns && !missing.is_empty();
        let gets_columns = new.iter().any(|field| has(&table, field.name()));
        Ok(Ok(Self {
            output: Arc::new(Schema::new(table.clone())),
            table,
            changes_columns: loses_columns || gets_columns,
            loses_columns,
        }))
    }

    /// Whether another query of the same fill gives columns that fit.
    pub(crate) fn admit(&self, output: &Schema, instance: &Instance) -> Result<(), Fault> {
        let given = stored_fields(output, instance)?;
        let existing = self.output.fields().clone();
        let merged = merged(&given, existing, instance)?;
        match merged
            .iter()
            .find(|field| self.output.field_with_name(field.name()).is_err())
        {
            None => Ok(()),
            Some(extra) => Err(Box::new(
                Diagnostic::error(
                    codes::TYPE_MISFIT,
                    format!(
                        "`{instance}` gives a column `{}` for one interval and not for the one before",
                        extra.name()
                    ),
                )
                .with_remedy("make the SQL give the same columns for every interval"),
            )),
        }
    }

    /// A batch of a query's output in the table's types; what the query leaves out is NULL.
    pub(crate) fn conform(&self, batch: &RecordBatch, instance: &Instance) -> Result<RecordBatch, Fault> {
        let columns: Vec<ArrayRef> = self
            .output
            .fields()
            .iter()
            .map(|field| match batch.column_by_name(field.name()) {
                Some(column) => convert(column, field, instance),
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            })
            .collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options).map_err(|error| {
            Box::new(Diagnostic::error(
                codes::BUG,
                format!("a batch of `{instance}` lost its form: {error}"),
            ))
        })
    }

    /// What readers see, keys first.
    pub(crate) fn columns(&self, key: &Key) -> Vec<Column> {
        let keys = key.0.keys().map(|name| Column {
            name: name.clone(),
            data_type: DataType::Utf8.to_string(),
        });
        keys.chain(described(&self.table)).collect()
    }
}

/// Fields as the ledger keeps them.
pub(crate) fn described(fields: &Fields) -> impl Iterator<Item = Column> + '_ {
    fields.iter().map(|field| Column {
        name: field.name().clone(),
        data_type: field.data_type().to_string(),
    })
}

/// The visible columns of a table, key columns left out.
pub(crate) fn visible(schema: &Schema, key: &Key) -> Fields {
    schema
        .fields()
        .iter()
        .filter(|field| field.name() != INTERVAL && field.name() != DAY && !key.0.contains_key(field.name()))
        .map(|field| {
            Arc::new(Field::new(
                field.name(),
                stored(field.data_type()).unwrap_or_else(|| field.data_type().clone()),
                true,
            ))
        })
        .collect()
}

/// The output's columns as a table keeps them; a key column of the output is ours to set.
fn stored_fields(output: &Schema, instance: &Instance) -> Result<Fields, Fault> {
    let mut names = BTreeSet::new();
    let mut fields = Vec::new();
    for field in output.fields() {
        let name = field.name();
        if instance.key.0.contains_key(name) {
            continue;
        }
        check_name(name, &mut names, instance)?;
        let data_type = stored(field.data_type()).ok_or_else(|| unkept(field, instance))?;
        fields.push(Field::new(name, data_type, true));
    }
    if fields.is_empty() {
        return Err(bad_name(
            instance,
            "has no column that a table could keep",
            "select at least one column",
        ));
    }
    Ok(fields.into())
}

fn check_name(name: &str, names: &mut BTreeSet<String>, instance: &Instance) -> Result<(), Fault> {
    if name == INTERVAL || name == DAY {
        let message = format!("gives a column `{name}`, a name that is kept for the table's own bookkeeping");
        return Err(bad_name(instance, &message, "give it another name with `as`"));
    }
    if name.is_empty() || name.contains(FORBIDDEN) {
        let message = format!("gives a column `{name}`, a name that a table cannot have");
        return Err(bad_name(instance, &message, "give it a plain name with `as`"));
    }
    if !names.insert(name.to_lowercase()) {
        let message = format!("gives more than one column the name `{name}`; upper and lower case count as the same");
        return Err(bad_name(instance, &message, "give one of them another name with `as`"));
    }
    Ok(())
}

/// The table's columns after the output has been fitted in: its own first, in their order, then
/// what is new.
fn merged(given: &Fields, existing: Fields, instance: &Instance) -> Result<Fields, Fault> {
    let mut all: Vec<FieldRef> = existing.iter().cloned().collect();
    for field in given {
        match existing
            .iter()
            .find(|column| column.name().eq_ignore_ascii_case(field.name()))
        {
            None => all.push(Arc::clone(field)),
            Some(column) if column.name() == field.name() && fits(field.data_type(), column.data_type()) => {}
            Some(column) => return Err(misfit(field, column, instance)),
        }
    }
    Ok(all.into())
}

/// Whether every value of one type has the same value in the other.
fn fits(from: &DataType, to: &DataType) -> bool {
    use DataType::{Decimal128, Float32, Float64, Int8, Int16, Int32, Int64};
    match (from, to) {
        (from, to) if from == to => true,
        (Int8, Int16 | Int32 | Int64 | Float32 | Float64)
        | (Int16, Int32 | Int64 | Float32 | Float64)
        | (Int32, Int64 | Float64)
        | (Float32, Float64) => true,
        (Int8, Decimal128(digits, scale)) => whole_digits(*digits, *scale) >= 3,
        (Int16, Decimal128(digits, scale)) => whole_digits(*digits, *scale) >= 5,
        (Int32, Decimal128(digits, scale)) => whole_digits(*digits, *scale) >= 10,
        (Int64, Decimal128(digits, scale)) => whole_digits(*digits, *scale) >= 19,
        (Decimal128(from_digits, from_scale), Decimal128(digits, scale)) => {
            from_scale <= scale && whole_digits(*from_digits, *from_scale) <= whole_digits(*digits, *scale)
        }
        (DataType::List(from), DataType::List(to)) => fits(from.data_type(), to.data_type()),
        (DataType::Struct(from), DataType::Struct(to)) => {
            from.len() == to.len()
                && from
                    .iter()
                    .zip(to)
                    .all(|(from, to)| from.name() == to.name() && fits(from.data_type(), to.data_type()))
        }
        _ => false,
    }
}

fn whole_digits(digits: u8, scale: i8) -> i16 {
    i16::from(digits) - i16::from(scale)
}

/// The type in which a table keeps values of a type; nothing for what it cannot keep.
pub(crate) fn stored(data_type: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match data_type {
        T::Boolean | T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Float32 | T::Float64 | T::Date32 => {
            data_type.clone()
        }
        T::UInt8 => T::Int16,
        T::UInt16 => T::Int32,
        T::UInt32 | T::UInt64 => T::Int64,
        T::Float16 => T::Float32,
        T::Date64 => T::Date32,
        T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Null => T::Utf8,
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => T::Binary,
        T::Timestamp(_, None) => T::Timestamp(TimeUnit::Microsecond, None),
        T::Timestamp(_, Some(_)) => T::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        T::Decimal32(digits, scale)
        | T::Decimal64(digits, scale)
        | T::Decimal128(digits, scale)
        | T::Decimal256(digits, scale) => {
            if *digits > MAX_DIGITS || *scale < 0 || i16::from(*digits) < i16::from(*scale) {
                return None;
            }
            T::Decimal128(*digits, *scale)
        }
        T::Dictionary(_, value) => stored(value)?,
        T::RunEndEncoded(_, value) => stored(value.data_type())?,
        T::List(item) | T::LargeList(item) | T::FixedSizeList(item, _) | T::ListView(item) | T::LargeListView(item) => {
            T::List(Arc::new(Field::new("element", stored(item.data_type())?, true)))
        }
        T::Struct(fields) => T::Struct(
            fields
                .iter()
                .map(|field| Some(Arc::new(Field::new(field.name(), stored(field.data_type())?, true))))
                .collect::<Option<Fields>>()?,
        ),
        T::Map(..) | T::Union(..) | T::Time32(_) | T::Time64(_) | T::Duration(_) | T::Interval(_) => return None,
    })
}

fn convert(column: &ArrayRef, field: &Field, instance: &Instance) -> Result<ArrayRef, Fault> {
    if column.data_type() == field.data_type() {
        return Ok(Arc::clone(column));
    }
    let strict = CastOptions {
        safe: false,
        format_options: FormatOptions::default(),
    };
    cast_with_options(column, field.data_type(), &strict).map_err(|error| {
        let remedy = format!("cast `{}` in the SQL to a type that holds all its values", field.name());
        Box::new(
            Diagnostic::error(
                codes::SQL_FAILED,
                format!(
                    "a value of `{}` in `{instance}` does not fit its column: {error}",
                    field.name()
                ),
            )
            .with_remedy(remedy),
        )
    })
}

fn bad_name(instance: &Instance, message: &str, remedy: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::BAD_COLUMN_NAME, format!("the SQL of `{instance}` {message}")).with_remedy(remedy),
    )
}

fn unkept(field: &Field, instance: &Instance) -> Fault {
    let (name, data_type) = (field.name(), field.data_type());
    Box::new(
        Diagnostic::error(
            codes::BAD_COLUMN_TYPE,
            format!(
                "the SQL of `{instance}` gives the column `{name}` of the type {data_type}, which a table cannot keep"
            ),
        )
        .with_remedy(format!(
            "cast it: `cast({name} as varchar) as {name}`, or to a number or timestamp"
        )),
    )
}

fn misfit(given: &Field, column: &Field, instance: &Instance) -> Fault {
    let node = &instance.node;
    Box::new(
        Diagnostic::error(
            codes::TYPE_MISFIT,
            format!(
                "the column `{}` of `{instance}` is {} in its table, and the SQL now gives `{}` as {}, which does not fit",
                column.name(),
                column.data_type(),
                given.name(),
                given.data_type()
            ),
        )
        .with_remedy(format!("cast it in the SQL, or replace the whole table: `mulgil run {node} --full`")),
    )
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{AsArray, StringViewArray, TimestampNanosecondArray, UInt64Array};
    use mulgil_core::name::NodeName;

    use super::*;

    fn instance() -> Instance {
        Instance::of(NodeName::new("m"))
    }

    fn schema(fields: &[(&str, DataType)]) -> Schema {
        Schema::new(
            fields
                .iter()
                .map(|(name, data_type)| Field::new(*name, data_type.clone(), true))
                .collect::<Vec<_>>(),
        )
    }

    fn fit(output: &[(&str, DataType)], table: &[(&str, DataType)]) -> Result<Shape, Fault> {
        let columns = Existing::Columns(schema(table).fields().clone());
        Shape::fit(&schema(output), columns, &instance())
    }

    #[test]
    fn new_columns_come_last_and_missing_ones_stay() {
        let shape = fit(
            &[("c", DataType::Int64), ("b", DataType::Utf8View)],
            &[("a", DataType::Int64), ("b", DataType::Utf8)],
        )
        .unwrap();
        let names = |fields: &Fields| {
            fields
                .iter()
                .map(|field| field.name().clone())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(names(&shape.table), "a b c");
        assert_eq!(names(shape.output.fields()), "b c");
    }

    #[test]
    fn narrower_types_fit_and_others_are_named_with_the_remedy() {
        assert!(fit(&[("a", DataType::Int32)], &[("a", DataType::Int64)]).is_ok());
        assert!(
            fit(
                &[("a", DataType::Decimal128(5, 2))],
                &[("a", DataType::Decimal128(10, 2))]
            )
            .is_ok()
        );
        let fault = fit(&[("a", DataType::Utf8)], &[("a", DataType::Int64)]).unwrap_err();
        assert_eq!(fault.code, codes::TYPE_MISFIT);
        assert!(fault.message.contains("`a`") && fault.message.contains("Int64") && fault.message.contains("Utf8"));
        assert!(fault.remedy.unwrap().contains("mulgil run m --full"));
    }

    #[test]
    fn names_that_a_table_cannot_have_are_refused() {
        for columns in [
            &[("count(*)", DataType::Int64)][..],
            &[("a", DataType::Int64), ("A", DataType::Int64)],
            &[("_day", DataType::Date32)],
        ] {
            let fault = Shape::fit(&schema(columns), Existing::None, &instance()).unwrap_err();
            assert_eq!(fault.code, codes::BAD_COLUMN_NAME);
        }
        let fault = Shape::fit(
            &schema(&[("d", DataType::Time64(TimeUnit::Microsecond))]),
            Existing::None,
            &instance(),
        );
        assert_eq!(fault.unwrap_err().code, codes::BAD_COLUMN_TYPE);
    }

    #[test]
    fn batches_take_the_tables_types() {
        let batch = RecordBatch::try_from_iter([
            ("text", Arc::new(StringViewArray::from(vec!["x"])) as ArrayRef),
            (
                "at",
                Arc::new(TimestampNanosecondArray::from(vec![1_500]).with_timezone("America/New_York")),
            ),
            ("n", Arc::new(UInt64Array::from(vec![7]))),
        ])
        .unwrap();
        let shape = Shape::fit(&batch.schema(), Existing::None, &instance()).unwrap();
        let batch = shape.conform(&batch, &instance()).unwrap();
        assert_eq!(batch.column(0).as_string::<i32>().value(0), "x");
        assert_eq!(
            batch.column(1).data_type(),
            &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        );
        let too_big =
            RecordBatch::try_from_iter([("n", Arc::new(UInt64Array::from(vec![u64::MAX])) as ArrayRef)]).unwrap();
        let shape = Shape::fit(&too_big.schema(), Existing::None, &instance()).unwrap();
        assert_eq!(
            shape.conform(&too_big, &instance()).unwrap_err().code,
            codes::SQL_FAILED
        );
    }
}
