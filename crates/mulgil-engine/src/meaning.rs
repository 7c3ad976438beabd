//! What expressions mean once their types are known, where the engine means something else than
//! PostgreSQL, DuckDB and BigQuery do: a cast to a whole number rounds, a date and an interval are a
//! timestamp. And the arithmetic of calendar units.

mod at_zone;
mod interval_length;
mod interval_times;
mod timestamp_text;

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray},
        compute::cast,
        datatypes::{DataType, Field, FieldRef, Int64Type, TimeUnit, TimestampMicrosecondType},
    },
    common::{DFSchema, DataFusionError, Result, ScalarValue, config::ConfigOptions, tree_node::Transformed},
    functions::math::expr_fn::round,
    functions_nested::length::array_length_udf,
    logical_expr::{
        BinaryExpr, Cast, ColumnarValue, Expr, ExprSchemable as _, Operator, ReturnFieldArgs, ScalarFunctionArgs,
        ScalarUDF, ScalarUDFImpl, Signature, TryCast, Volatility, cast as logical_cast, expr::ScalarFunction,
        expr_rewriter::FunctionRewrite,
    },
};
pub(crate) use interval_times::IntervalProducts;
use jiff::{Span, Timestamp, Unit, Zoned, civil, tz::TimeZone};

/// The function that adds units of the calendar to a moment.
pub(crate) const ADD_UNITS: &str = "add_units";
/// The function that counts the borders of units between two moments.
pub(crate) const COUNT_UNITS: &str = "count_units";

/// The function that `AT TIME ZONE` is.
pub(crate) const AT_ZONE: &str = "at_zone";
/// The zone in which moments are that no session shows yet.
const UTC: &str = "UTC";

/// All functions of this file.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let functions: [ScalarUDF; 6] = [
        AddUnits::default().into(),
        CountUnits::default().into(),
        at_zone::AtZone::default().into(),
        interval_length::IntervalLength::default().into(),
        interval_times::IntervalTimes::default().into(),
        timestamp_text::TimestampText::default().into(),
    ];
    functions.map(Arc::new).into()
}

/// Rewrites casts to whole numbers, dates that an interval is added to, timestamps that become text, and
/// what asks a list for its length.
#[derive(Debug)]
pub(crate) struct Meaning;

impl FunctionRewrite for Meaning {
    fn name(&self) -> &'static str {
        "meaning"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, config: &ConfigOptions) -> Result<Transformed<Expr>> {
        match expr {
            Expr::Cast(Cast { expr, field }) => {
                let meant = before_cast(*expr, field.data_type(), schema)?;
                Ok(meant.update_data(|value| Expr::Cast(Cast::new_from_field(Box::new(value), field))))
            }
            Expr::TryCast(TryCast { expr, field }) => {
                let meant = before_cast(*expr, field.data_type(), schema)?;
                Ok(meant.update_data(|value| Expr::TryCast(TryCast::new_from_field(Box::new(value), field))))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right })
                if op == Operator::StringConcat && (is_timestamp(&left, schema)? || is_timestamp(&right, schema)?) =>
            {
                let (left, right) = (in_words(*left, schema)?, in_words(*right, schema)?);
                let joined = BinaryExpr::new(Box::new(left), op, Box::new(right));
                Ok(Transformed::yes(Expr::BinaryExpr(joined)))
            }
            Expr::ScalarFunction(mut function) if matches!(function.name(), "concat" | "concat_ws") => {
                let args = function.args.into_iter().map(|arg| in_words(arg, schema));
                function.args = args.collect::<Result<_>>()?;
                Ok(Transformed::yes(Expr::ScalarFunction(function)))
            }
            Expr::ScalarFunction(function)
                if function.name() == "character_length" && is_list(&function.args[0].get_type(schema)?) =>
            {
                Ok(Transformed::yes(length_of_list(function.args)))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right })
                if is_comparison(op) && are_intervals(&left, &right, schema)? =>
            {
                let length = |interval: Expr| Box::new(interval_length::of(interval));
                let compared = BinaryExpr::new(length(*left), op, length(*right));
                Ok(Transformed::yes(Expr::BinaryExpr(compared)))
            }
            // What is a moment in a zone is shown in the session's.
            Expr::ScalarFunction(function)
                if function.name() == AT_ZONE && !is_zoned(&function.args[0].get_type(schema)?) =>
            {
                let zone = config.execution.time_zone.clone().unwrap_or_else(|| UTC.to_owned());
                let shown = DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into()));
                Ok(Transformed::yes(logical_cast(Expr::ScalarFunction(function), shown)))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right })
                if matches!(op, Operator::Plus | Operator::Minus)
                    && left.get_type(schema)? == DataType::Date32
                    && matches!(right.get_type(schema)?, DataType::Interval(_)) =>
            {
                let moment = logical_cast(*left, DataType::Timestamp(TimeUnit::Microsecond, None));
                let moved = BinaryExpr::new(Box::new(moment), op, right);
                Ok(Transformed::yes(Expr::BinaryExpr(moved)))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// What a cast is of: a value that becomes a whole number is rounded first, and a timestamp is written as text.
fn before_cast(value: Expr, to: &DataType, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(if to.is_integer() && has_fraction(&value, schema)? {
        Transformed::yes(round(vec![value]))
    } else if to.is_string() && is_timestamp(&value, schema)? {
        Transformed::yes(timestamp_text::of(value))
    } else {
        Transformed::no(value)
    })
}

/// Whether values may lie between whole numbers. What was rounded already does not.
fn has_fraction(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    if let Expr::ScalarFunction(function) = expr
        && matches!(function.name(), "round" | "floor" | "ceil" | "trunc")
    {
        return Ok(false);
    }
    let data_type = expr.get_type(schema)?;
    Ok(data_type.is_floating()
        || matches!(data_type, DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) if scale > 0))
}

/// `add_units('month', 3, moment)`: the same day of a later month, or its last one. A date stays a date
/// for days and coarser units.
#[derive(Debug, PartialEq, Eq, Hash)]
struct AddUnits {
    signature: Signature,
}

impl Default for AddUnits {
    fn default() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for AddUnits {
    fn name(&self) -> &'static str {
        ADD_UNITS
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [_, _, moment] = types else {
            return Err(DataFusionError::Plan(
                "date_add takes a unit, a count and a date or time".to_owned(),
            ));
        };
        Ok(vec![DataType::Utf8, DataType::Int64, as_moment(moment)?])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        as_moment(types.last().unwrap_or(&DataType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let moment = as_moment(
            args.arg_fields
                .last()
                .map_or(&DataType::Null, |field| field.data_type()),
        )?;
        let unit = args.scalar_arguments.first().copied().flatten();
        let is_short = unit
            .and_then(|unit| unit.try_as_str().flatten())
            .and_then(Units::parse)
            .is_some_and(Units::is_of_clock);
        let data_type = match moment {
            DataType::Date32 if is_short => DataType::Timestamp(TimeUnit::Microsecond, None),
            other => other,
        };
        Ok(Arc::new(Field::new(ADD_UNITS, data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let (unit, counts, moments) = three(&args, rows)?;
        let to = args.return_field.data_type().clone();
        let zone = zone_of(&to)?;
        let counts = cast(&counts, &DataType::Int64)?;
        let counts = counts.as_primitive::<Int64Type>();
        let micros = in_micros(&moments)?;
        let added: PrimitiveArray<TimestampMicrosecondType> = (0..rows)
            .map(|row| {
                if micros.is_null(row) || counts.is_null(row) {
                    return Ok(None);
                }
                add(micros.value(row), counts.value(row), unit, &zone).map(Some)
            })
            .collect::<Result<_>>()?;
        back(
            added,
            &to,
            args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_))),
        )
    }
}

/// `count_units('day', earlier, later)`: how many borders of the unit lie between them.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CountUnits {
    signature: Signature,
}

impl Default for CountUnits {
    fn default() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for CountUnits {
    fn name(&self) -> &'static str {
        COUNT_UNITS
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [_, earlier, later] = types else {
            return Err(DataFusionError::Plan(
                "date_diff takes a unit and two dates or times".to_owned(),
            ));
        };
        Ok(vec![DataType::Utf8, as_moment(earlier)?, as_moment(later)?])
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let (unit, earlier, later) = three(&args, rows)?;
        let (first_zone, second_zone) = (zone_of(earlier.data_type())?, zone_of(later.data_type())?);
        let (earlier, later) = (in_micros(&earlier)?, in_micros(&later)?);
        let counted: Int64Array = (0..rows)
            .map(|row| {
                if earlier.is_null(row) || later.is_null(row) {
                    return Ok(None);
                }
                let first = number_of(earlier.value(row), unit, &first_zone)?;
                let second = number_of(later.value(row), unit, &second_zone)?;
                Ok(Some(second - first))
            })
            .collect::<Result<_>>()?;
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        answer(Arc::new(counted), is_scalar)
    }
}

/// What is joined to text; a timestamp is written as a cast to text writes it.
fn in_words(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(if is_timestamp(&expr, schema)? {
        timestamp_text::of(expr)
    } else {
        expr
    })
}

fn is_timestamp(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    Ok(matches!(expr.get_type(schema)?, DataType::Timestamp(..)))
}

fn is_list(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)
    )
}

/// How many elements a list has; an empty one has none.
fn length_of_list(list: Vec<Expr>) -> Expr {
    let length = Expr::ScalarFunction(ScalarFunction::new_udf(array_length_udf(), list));
    logical_cast(length, DataType::Int64)
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(
        op,
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom
    )
}

/// Whether two lengths of time are compared that the engine would compare by months first, then by days.
fn are_intervals(left: &Expr, right: &Expr, schema: &DFSchema) -> Result<bool> {
    let (left, right) = (left.get_type(schema)?, right.get_type(schema)?);
    let is_interval = |data_type: &DataType| matches!(data_type, DataType::Interval(_));
    let is_length = |data_type: &DataType| is_interval(data_type) || matches!(data_type, DataType::Duration(_));
    Ok(is_length(&left) && is_length(&right) && (is_interval(&left) || is_interval(&right)))
}

fn is_zoned(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, Some(_)))
}

/// The type in which a moment is calculated with.
fn as_moment(data_type: &DataType) -> Result<DataType> {
    match data_type {
        DataType::Date32 | DataType::Date64 => Ok(DataType::Date32),
        DataType::Timestamp(_, zone) => Ok(DataType::Timestamp(TimeUnit::Microsecond, zone.clone())),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => {
            Ok(DataType::Timestamp(TimeUnit::Microsecond, None))
        }
        other => Err(DataFusionError::Plan(format!("{other} is no date and no time"))),
    }
}

fn three(args: &ScalarFunctionArgs, rows: usize) -> Result<(Units, ArrayRef, ArrayRef)> {
    let [unit, first, second] = args.args.as_slice() else {
        return Err(DataFusionError::Internal("three values were planned".to_owned()));
    };
    let unit = match unit {
        ColumnarValue::Scalar(unit) => unit.try_as_str().flatten().unwrap_or_default().to_owned(),
        ColumnarValue::Array(_) => return Err(DataFusionError::Plan("a unit is one word".to_owned())),
    };
    let unit = Units::parse(&unit).ok_or_else(|| DataFusionError::Plan(format!("`{unit}` is no unit of time")))?;
    Ok((unit, first.to_array(rows)?, second.to_array(rows)?))
}

fn zone_of(data_type: &DataType) -> Result<TimeZone> {
    match data_type {
        DataType::Timestamp(_, Some(zone)) => {
            let known = mulgil_core::grid::Zone::named(zone).map(|zone| zone.tz().clone());
            known.ok_or_else(|| DataFusionError::Execution(format!("the time zone {zone} is not known")))
        }
        _ => Ok(TimeZone::UTC),
    }
}

fn in_micros(moments: &ArrayRef) -> Result<PrimitiveArray<TimestampMicrosecondType>> {
    let zone = match moments.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let cast = cast(moments, &DataType::Timestamp(TimeUnit::Microsecond, zone))?;
    Ok(cast.as_primitive::<TimestampMicrosecondType>().clone())
}

fn zoned(micros: i64, zone: &TimeZone) -> Result<Zoned> {
    let at = Timestamp::from_microsecond(micros).map_err(|error| out_of_range(&error))?;
    Ok(at.to_zoned(zone.clone()))
}

/// Units of the calendar and of the clock.
#[derive(Clone, Copy)]
enum Units {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
}

impl Units {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "year" => Self::Year,
            "quarter" => Self::Quarter,
            "month" => Self::Month,
            "week" => Self::Week,
            "day" => Self::Day,
            "hour" => Self::Hour,
            "minute" => Self::Minute,
            "second" => Self::Second,
            "millisecond" => Self::Millisecond,
            "microsecond" => Self::Microsecond,
            _ => return None,
        })
    }

    /// Whether it is shorter than a day.
    fn is_of_clock(self) -> bool {
        matches!(
            self,
            Self::Hour | Self::Minute | Self::Second | Self::Millisecond | Self::Microsecond
        )
    }
}

fn add(micros: i64, count: i64, unit: Units, zone: &TimeZone) -> Result<i64> {
    let none = Span::new();
    let span = match unit {
        Units::Year => none.try_years(count),
        Units::Quarter => none.try_months(count.saturating_mul(3)),
        Units::Month => none.try_months(count),
        Units::Week => none.try_weeks(count),
        Units::Day => none.try_days(count),
        Units::Hour => none.try_hours(count),
        Units::Minute => none.try_minutes(count),
        Units::Second => none.try_seconds(count),
        Units::Millisecond => none.try_milliseconds(count),
        Units::Microsecond => none.try_microseconds(count),
    }
    .map_err(|error| out_of_range(&error))?;
    let moved = zoned(micros, zone)?
        .checked_add(span)
        .map_err(|error| out_of_range(&error))?;
    Ok(moved.timestamp().as_microsecond())
}

/// How many borders of a unit lie before a moment, on the clock of a zone.
fn number_of(micros: i64, unit: Units, zone: &TimeZone) -> Result<i64> {
    let at = zoned(micros, zone)?;
    let date = at.date();
    let days = || -> Result<i64> {
        let since = date
            .since((Unit::Day, civil::date(1970, 1, 1)))
            .map_err(|error| out_of_range(&error))?;
        Ok(i64::from(since.get_days()))
    };
    let clock = |step: i64| -> Result<i64> {
        let second = i64::from(at.hour()) * 3_600 + i64::from(at.minute()) * 60 + i64::from(at.second());
        Ok((days()? * 86_400 + second).div_euclid(step))
    };
    match unit {
        Units::Year => Ok(i64::from(date.year())),
        Units::Quarter => Ok(i64::from(date.year()) * 4 + i64::from(date.month() - 1) / 3),
        Units::Month => Ok(i64::from(date.year()) * 12 + i64::from(date.month())),
        // Weeks begin on Monday; 1970 began on a Thursday.
        Units::Week => Ok((days()? + 3).div_euclid(7)),
        Units::Day => days(),
        Units::Hour => clock(3_600),
        Units::Minute => clock(60),
        Units::Second => clock(1),
        Units::Millisecond => Ok(micros.div_euclid(1_000)),
        Units::Microsecond => Ok(micros),
    }
}

fn back(added: PrimitiveArray<TimestampMicrosecondType>, to: &DataType, is_scalar: bool) -> Result<ColumnarValue> {
    let array: ArrayRef = match to {
        DataType::Timestamp(_, Some(zone)) => Arc::new(added.with_timezone(Arc::clone(zone))),
        _ => Arc::new(added),
    };
    answer(cast(&array, to)?, is_scalar)
}

fn answer(array: ArrayRef, is_scalar: bool) -> Result<ColumnarValue> {
    if is_scalar {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
    }
    Ok(ColumnarValue::Array(array))
}

fn out_of_range(error: &jiff::Error) -> DataFusionError {
    DataFusionError::Execution(format!("a date is out of range: {error}"))
}
