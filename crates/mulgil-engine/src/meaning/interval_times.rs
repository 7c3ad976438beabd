//! `interval '1 day' * 3`. The planner knows no such operator, so it becomes a function while names are
//! still being given their types.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, AsArray, PrimitiveArray},
        datatypes::{DataType, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit},
    },
    common::{DFSchema, DataFusionError, Result, exec_err},
    logical_expr::{
        ColumnarValue, Expr, ExprSchemable as _, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        expr::ScalarFunction,
        planner::{ExprPlanner, PlannerResult, RawBinaryExpr},
    },
    sql::sqlparser::ast::BinaryOperator,
};

use super::answer;

/// Plans products of intervals and numbers.
#[derive(Debug)]
pub(crate) struct IntervalProducts;

impl ExprPlanner for IntervalProducts {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op != BinaryOperator::Multiply {
            return Ok(PlannerResult::Original(expr));
        }
        let (left, right) = (expr.left.get_type(schema)?, expr.right.get_type(schema)?);
        let args = match (&left, &right) {
            (DataType::Interval(_), factor) if factor.is_numeric() => vec![expr.left, expr.right],
            (factor, DataType::Interval(_)) if factor.is_numeric() => vec![expr.right, expr.left],
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let function = Arc::new(ScalarUDF::from(IntervalTimes::default()));
        let product = ScalarFunction::new_udf(function, args);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(product)))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct IntervalTimes {
    signature: Signature,
}

impl Default for IntervalTimes {
    fn default() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

impl ScalarUDFImpl for IntervalTimes {
    fn name(&self) -> &'static str {
        "interval_times"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Interval(_), factor] if factor.is_integer() => Ok(vec![INTERVAL, DataType::Int64]),
            [DataType::Interval(_), factor] if factor.is_numeric() => Ok(vec![INTERVAL, DataType::Float64]),
            _ => Err(DataFusionError::Plan(
                "interval_times takes an interval and a number".to_owned(),
            )),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(INTERVAL)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let intervals = args.args[0].to_array(args.number_rows)?;
        let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
        let factors = args.args[1].to_array(args.number_rows)?;
        let one = |row: usize| {
            if intervals.is_null(row) || factors.is_null(row) {
                return Ok(None);
            }
            let interval = intervals.value(row);
            let product = match factors.as_primitive_opt::<Int64Type>() {
                Some(factors) => times(interval, factors.value(row)),
                None => times_fraction(interval, factors.as_primitive::<Float64Type>().value(row)),
            };
            if product.is_none() {
                return exec_err!("a product of an interval is out of its range");
            }
            Ok(product)
        };
        let products: PrimitiveArray<IntervalMonthDayNanoType> =
            (0..args.number_rows).map(one).collect::<Result<_>>()?;
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        answer(Arc::new(products), is_scalar)
    }
}

fn times(interval: IntervalMonthDayNano, factor: i64) -> Option<IntervalMonthDayNano> {
    let part = |part: i32| i32::try_from(i64::from(part).checked_mul(factor)?).ok();
    Some(IntervalMonthDayNano {
        months: part(interval.months)?,
        days: part(interval.days)?,
        nanoseconds: interval.nanoseconds.checked_mul(factor)?,
    })
}

/// What is no whole month is days, a thirtieth of it each; what is no whole day is time, as in PostgreSQL.
fn times_fraction(interval: IntervalMonthDayNano, factor: f64) -> Option<IntervalMonthDayNano> {
    const NANOS_OF_DAY: f64 = 86_400e9;
    let whole = |part: f64| (part.abs() <= f64::from(i32::MAX)).then_some(part as i32);
    let months = f64::from(interval.months) * factor;
    let days_of_months = months.fract() * 30.0;
    let days = f64::from(interval.days) * factor;
    let time = (days.fract() + days_of_months.fract()) * NANOS_OF_DAY + interval.nanoseconds as f64 * factor;
    let micros = (time / 1e3).round();
    Some(IntervalMonthDayNano {
        months: whole(months.trunc())?,
        days: whole(days.trunc() + days_of_months.trunc())?,
        nanoseconds: (micros.abs() < 9e15).then_some(micros as i64 * 1_000)?,
    })
}
