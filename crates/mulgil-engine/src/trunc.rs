//! Where SQL meets civil time. `date_trunc` cuts where the grid cuts: the engine's own one picks the
//! second of two midnights where a zone repeats one, and fails outside the years that nanoseconds
//! reach; ours asks the grid of the timestamp's zone. Naive timestamps and finer units stay with the
//! engine's. A cast from an instant to a naive timestamp gives the clock of its zone, as in
//! PostgreSQL; the engine's own gives that of UTC.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, PrimitiveArray},
        compute::cast,
        datatypes::{DataType, FieldRef, TimeUnit, TimestampMicrosecondType},
    },
    common::{DFSchema, Result, ScalarValue, config::ConfigOptions, tree_node::Transformed},
    functions::datetime::expr_fn::to_local_time,
    logical_expr::{
        ColumnarValue, Expr, ExprSchemable as _, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
        Signature, cast as logical_cast, expr_rewriter::FunctionRewrite,
    },
};
use mulgil_core::{
    grid::{Cut, Grid, Unit, Zone},
    interval::{Instant, Interval},
};

/// Intervals that one call keeps at hand; data comes in rough order of time.
const KEPT_INTERVALS: usize = 64;

/// The engine's `date_trunc` with ours over it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DateTrunc {
    engines: Arc<ScalarUDF>,
    aliases: Vec<String>,
}

impl DateTrunc {
    /// Over the engine's own function.
    pub(crate) fn over(engines: Arc<ScalarUDF>) -> Self {
        Self {
            aliases: engines.aliases().to_vec(),
            engines,
        }
    }
}

impl ScalarUDFImpl for DateTrunc {
    fn name(&self) -> &'static str {
        "date_trunc"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        self.engines.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.engines.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.engines.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let unit = match &args.args[0] {
            ColumnarValue::Scalar(unit) => unit.try_as_str().flatten().and_then(Grain::parse),
            ColumnarValue::Array(_) => None,
        };
        let zone = match args.args[1].data_type() {
            DataType::Timestamp(_, Some(zone)) => Zone::named(&zone),
            _ => None,
        };
        match (unit, zone) {
            (Some(unit), Some(zone)) => truncate(&args.args[1], unit, &zone),
            (_, None) | (None, _) => self.engines.inner().invoke_with_args(args),
        }
    }
}

/// Rewrites casts from instants to naive timestamps, so that they read the clock of the zone.
#[derive(Debug)]
pub(crate) struct LocalCasts;

impl FunctionRewrite for LocalCasts {
    fn name(&self) -> &'static str {
        "local_casts"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        let (input, to) = match &expr {
            Expr::Cast(cast) => (&cast.expr, cast.field.data_type()),
            Expr::TryCast(cast) => (&cast.expr, cast.field.data_type()),
            _ => return Ok(Transformed::no(expr)),
        };
        let is_naive = matches!(to, DataType::Timestamp(_, None));
        if !is_naive || !matches!(input.get_type(schema)?, DataType::Timestamp(_, Some(_))) {
            return Ok(Transformed::no(expr));
        }
        let local = to_local_time(vec![(**input).clone()]);
        Ok(Transformed::yes(logical_cast(local, to.clone())))
    }
}

/// What a grid can be cut into, and the quarter of a year.
#[derive(Clone, Copy)]
enum Grain {
    Of(Unit),
    Quarter,
}

impl Grain {
    fn parse(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        match text.as_str() {
            "quarter" => Some(Self::Quarter),
            other => other.parse().ok().map(Self::Of),
        }
    }
}

fn truncate(value: &ColumnarValue, grain: Grain, zone: &Zone) -> Result<ColumnarValue> {
    Ok(match value {
        ColumnarValue::Array(array) => ColumnarValue::Array(truncate_array(array, grain, zone)?),
        ColumnarValue::Scalar(scalar) => {
            let array = truncate_array(&scalar.to_array()?, grain, zone)?;
            ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
        }
    })
}

fn truncate_array(array: &ArrayRef, grain: Grain, zone: &Zone) -> Result<ArrayRef> {
    let original = array.data_type().clone();
    let DataType::Timestamp(_, tz) = &original else {
        return Ok(Arc::clone(array));
    };
    let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, tz.clone()))?;
    let micros = micros.as_primitive::<TimestampMicrosecondType>();
    let mut floors = Floors::new(grain, zone);
    let cut: PrimitiveArray<TimestampMicrosecondType> =
        micros.iter().map(|at| at.map(|at| floors.of(Instant(at)).0)).collect();
    Ok(cast(
        &(Arc::new(cut.with_timezone_opt(tz.clone())) as ArrayRef),
        &original,
    )?)
}

/// The starts of intervals, with those last seen kept at hand.
struct Floors {
    grid: Grid,
    grain: Grain,
    kept: Vec<Interval>,
    next: usize,
    last: Interval,
}

impl Floors {
    fn new(grain: Grain, zone: &Zone) -> Self {
        let unit = match grain {
            Grain::Of(unit) => unit,
            Grain::Quarter => Unit::Month,
        };
        Self {
            grid: Grid {
                cut: Cut::Unit(unit),
                zone: zone.clone(),
                begin: None,
                end: None,
            },
            grain,
            kept: Vec::with_capacity(KEPT_INTERVALS),
            next: 0,
            last: Interval {
                start: Instant(0),
                end: Instant(0),
            },
        }
    }

    fn of(&mut self, at: Instant) -> Instant {
        if !self.last.contains_instant(at) {
            self.last = match self.kept.iter().find(|interval| interval.contains_instant(at)) {
                Some(interval) => *interval,
                None => self.find(at),
            };
        }
        self.last.start
    }

    fn find(&mut self, at: Instant) -> Interval {
        let mut interval = self.grid.interval_at(at);
        if matches!(self.grain, Grain::Quarter) {
            let month = i64::from(self.grid.zone.tz().to_datetime(interval.start.to_timestamp()).month());
            interval.start = self.grid.back(interval.start, ((month - 1) % 3) as u32);
        }
        if self.kept.len() < KEPT_INTERVALS {
            self.kept.push(interval);
        } else {
            self.kept[self.next] = interval;
            self.next = (self.next + 1) % KEPT_INTERVALS;
        }
        interval
    }
}
