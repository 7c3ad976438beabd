//! `sum` of whole numbers that does not wrap round. It adds in 128 bits, so that only a sum that is
//! too great by itself is an error, in whatever order its rows come.

use std::{mem::size_of_val, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array},
        datatypes::{
            ArrowPrimitiveType, DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Field, FieldRef, Int64Type,
        },
        error::ArrowError,
    },
    common::{DataFusionError, Result, ScalarValue},
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF,
        SetMonotonicity, Signature,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::{AggregateOrderSensitivity, format_state_name},
    },
    physical_expr::NullState,
};

/// The type in which is added.
const WIDE: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);

/// The engine's `sum` with ours over it, for bigint.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct CheckedSum {
    engines: Arc<AggregateUDF>,
}

impl CheckedSum {
    /// Over the engine's own function.
    pub(crate) fn over(engines: Arc<AggregateUDF>) -> Self {
        Self { engines }
    }
}

fn is_ours(field: &Field, is_distinct: bool) -> bool {
    field.data_type() == &DataType::Int64 && !is_distinct
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        self.engines.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.engines.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match (args.return_field.data_type(), args.is_distinct) {
            (DataType::Int64, false) => Ok(Box::new(Sum::default())),
            (DataType::Int64, true) => Ok(Box::new(DistinctSum(self.engines.accumulator(args)?))),
            _ => self.engines.accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if is_ours(&args.return_field, args.is_distinct) {
            let name = format_state_name(args.name, "sum");
            return Ok(vec![Arc::new(Field::new(name, WIDE, true))]);
        }
        self.engines.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.engines.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if is_ours(&args.return_field, args.is_distinct) {
            return Ok(Box::new(GroupedSum::default()));
        }
        self.engines.create_groups_accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if is_ours(&args.return_field, args.is_distinct) {
            return Ok(Box::new(Sum::default()));
        }
        self.engines.create_sliding_accumulator(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.engines.order_sensitivity()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.engines.inner().set_monotonicity(data_type)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.engines.documentation()
    }
}

/// The sum, if it is one that bigint holds.
fn narrowed(sum: i128) -> Result<i64> {
    i64::try_from(sum).map_err(|_| {
        let text = format!("the sum {sum} is out of the range of bigint; cast what is summed to decimal(38, 0)");
        DataFusionError::from(ArrowError::ArithmeticOverflow(text))
    })
}

fn wide(sum: Option<i128>) -> ScalarValue {
    ScalarValue::Decimal128(sum, DECIMAL128_MAX_PRECISION, 0)
}

/// One sum, whose rows may also go again, as those of a window do.
#[derive(Debug, Default)]
struct Sum {
    total: i128,
    rows: u64,
}

impl Sum {
    fn value(&self) -> Option<i128> {
        (self.rows > 0).then_some(self.total)
    }
}

impl Accumulator for Sum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<Int64Type>();
        self.total += values.iter().flatten().map(i128::from).sum::<i128>();
        self.rows += (values.len() - values.null_count()) as u64;
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<Int64Type>();
        self.total -= values.iter().flatten().map(i128::from).sum::<i128>();
        self.rows -= (values.len() - values.null_count()) as u64;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let sums = states[0].as_primitive::<Decimal128Type>();
        self.total += sums.iter().flatten().sum::<i128>();
        self.rows += (sums.len() - sums.null_count()) as u64;
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![wide(self.value())])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(self.value().map(narrowed).transpose()?))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The sum of different values, which the engine gathers.
#[derive(Debug)]
struct DistinctSum(Box<dyn Accumulator>);

impl Accumulator for DistinctSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut sum = Sum::default();
        for state in self.0.state()? {
            if let ScalarValue::List(list) = state {
                sum.update_batch(&[Arc::clone(list.values())])?;
            }
        }
        sum.evaluate()
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

/// The sums of many groups.
#[derive(Debug)]
struct GroupedSum {
    totals: Vec<i128>,
    seen: NullState,
}

impl Default for GroupedSum {
    fn default() -> Self {
        Self {
            totals: Vec::new(),
            seen: NullState::new(),
        }
    }
}

impl GroupedSum {
    fn add<T: ArrowPrimitiveType<Native: Into<i128>> + Send>(
        &mut self,
        values: &ArrayRef,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total_groups: usize,
    ) {
        self.totals.resize(total_groups, 0);
        let (totals, values) = (&mut self.totals, values.as_primitive::<T>());
        self.seen
            .accumulate(groups, values, filter, total_groups, |group, value| {
                totals[group] += value.into();
            });
    }
}

impl GroupsAccumulator for GroupedSum {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total_groups: usize,
    ) -> Result<()> {
        self.add::<Int64Type>(&values[0], groups, filter, total_groups);
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total_groups: usize) -> Result<()> {
        self.add::<Decimal128Type>(&values[0], groups, None, total_groups);
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let totals = emit_to.take_needed(&mut self.totals);
        let sums: Vec<i64> = totals.into_iter().map(narrowed).collect::<Result<_>>()?;
        Ok(Arc::new(Int64Array::new(sums.into(), self.seen.build(emit_to))))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let totals = emit_to.take_needed(&mut self.totals);
        let sums = Decimal128Array::new(totals.into(), self.seen.build(emit_to)).with_data_type(WIDE);
        Ok(vec![Arc::new(sums)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<Int64Type>();
        let is_kept = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        let kept = values.iter().enumerate();
        let kept = kept.map(|(row, value)| value.filter(|_| is_kept(row)).map(i128::from));
        let sums: Decimal128Array = kept.collect();
        Ok(vec![Arc::new(sums.with_data_type(WIDE))])
    }

    fn size(&self) -> usize {
        self.totals.capacity() * size_of::<i128>() + self.seen.size()
    }
}
