//! A timestamp as text: `2024-02-29 13:04:05.25`, with the offset of its zone where it has one, as PostgreSQL
//! and DuckDB write it.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, StringArray},
        datatypes::{DataType, TimeUnit},
    },
    common::{DataFusionError, Result},
    logical_expr::{
        ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, expr::ScalarFunction,
    },
};
use mulgil_core::grid::Zone;

use super::{answer, in_micros};
use crate::zone;

/// A call of the function.
pub(super) fn of(timestamp: Expr) -> Expr {
    let function = Arc::new(ScalarUDF::from(TimestampText::default()));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![timestamp]))
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct TimestampText {
    signature: Signature,
}

impl Default for TimestampText {
    fn default() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for TimestampText {
    fn name(&self) -> &'static str {
        "timestamp_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Timestamp(_, zone)] => Ok(vec![DataType::Timestamp(TimeUnit::Microsecond, zone.clone())]),
            _ => Err(DataFusionError::Plan("timestamp_text takes a timestamp".to_owned())),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let timestamps = args.args[0].to_array(args.number_rows)?;
        let zone = match timestamps.data_type() {
            DataType::Timestamp(_, Some(name)) => Some(
                Zone::named(name)
                    .ok_or_else(|| DataFusionError::Execution(format!("the time zone {name} is not known")))?,
            ),
            _ => None,
        };
        let micros = in_micros(&timestamps)?;
        let texts: StringArray = micros
            .iter()
            .map(|micros| micros.map(|micros| text(micros, zone.as_ref())))
            .collect();
        answer(Arc::new(texts), matches!(args.args[0], ColumnarValue::Scalar(_)))
    }
}

fn text(micros: i64, zone: Option<&Zone>) -> String {
    let ns = i128::from(micros) * 1_000;
    let Some(zone) = zone else {
        return zone::naive_text(ns).replacen('T', " ", 1);
    };
    let shown = zone::instant_text(ns, zone).replacen('T', " ", 1);
    match shown.strip_suffix('Z') {
        Some(clock) => format!("{clock}+00"),
        // Whole hours need no minutes.
        None => shown.strip_suffix(":00").unwrap_or(&shown).to_owned(),
    }
}
