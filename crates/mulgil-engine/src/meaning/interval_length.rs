//! How long an interval is: what comparisons of intervals compare.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Int64Array},
        compute::cast,
        datatypes::{DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit},
    },
    common::{DataFusionError, Result},
    logical_expr::{
        ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, expr::ScalarFunction,
    },
};

use super::answer;

/// A call of the function.
pub(super) fn of(interval: Expr) -> Expr {
    let function = Arc::new(ScalarUDF::from(IntervalLength::default()));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![interval]))
}

/// The microseconds of an interval, with months of 30 days and days of 24 hours, as PostgreSQL compares.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct IntervalLength {
    signature: Signature,
}

impl Default for IntervalLength {
    fn default() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for IntervalLength {
    fn name(&self) -> &'static str {
        "interval_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Duration(_)] => Ok(vec![DataType::Duration(TimeUnit::Microsecond)]),
            [DataType::Interval(_)] => Ok(vec![DataType::Interval(IntervalUnit::MonthDayNano)]),
            _ => Err(DataFusionError::Plan("interval_length takes an interval".to_owned())),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let lengths = args.args[0].to_array(args.number_rows)?;
        let micros: ArrayRef = if matches!(lengths.data_type(), DataType::Duration(_)) {
            cast(&lengths, &DataType::Int64)?
        } else {
            let lengths = lengths.as_primitive::<IntervalMonthDayNanoType>().iter();
            Arc::new(lengths.map(|length| length.map(micros_of)).collect::<Int64Array>())
        };
        answer(micros, matches!(args.args[0], ColumnarValue::Scalar(_)))
    }
}

fn micros_of(length: IntervalMonthDayNano) -> i64 {
    const DAY: i64 = 86_400_000_000;
    let days = i64::from(length.months) * 30 + i64::from(length.days);
    days.saturating_mul(DAY).saturating_add(length.nanoseconds / 1_000)
}
