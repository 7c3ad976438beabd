//! `AT TIME ZONE`.

use datafusion::{
    arrow::{
        array::{Array, PrimitiveArray},
        datatypes::{DataType, TimeUnit, TimestampMicrosecondType},
    },
    common::{DataFusionError, Result},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility},
};
use jiff::tz::TimeZone;

use super::{AT_ZONE, UTC, as_moment, back, in_micros, is_zoned, out_of_range, zoned};

/// `AT TIME ZONE`: of a moment, what clocks show there; of what clocks show there, the moment.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct AtZone {
    signature: Signature,
}

impl Default for AtZone {
    fn default() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for AtZone {
    fn name(&self) -> &'static str {
        AT_ZONE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [moment, _] = types else {
            return Err(DataFusionError::Plan(
                "AT TIME ZONE takes a timestamp and a zone".to_owned(),
            ));
        };
        let moment = match as_moment(moment)? {
            DataType::Timestamp(unit, zone) => DataType::Timestamp(unit, zone),
            _ => DataType::Timestamp(TimeUnit::Microsecond, None),
        };
        Ok(vec![moment, DataType::Utf8])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let zone = (!is_zoned(&types[0])).then(|| UTC.into());
        Ok(DataType::Timestamp(TimeUnit::Microsecond, zone))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ColumnarValue::Scalar(name) = &args.args[1] else {
            return Err(DataFusionError::Plan("a zone is one text".to_owned()));
        };
        let name = name.try_as_str().flatten().unwrap_or_default();
        let zone = mulgil_core::grid::Zone::named(name)
            .ok_or_else(|| DataFusionError::Plan(format!("`{name}` is no time zone")))?;
        let moments = args.args[0].to_array(args.number_rows)?;
        let is_moment = is_zoned(moments.data_type());
        let micros = in_micros(&moments)?;
        let (from, to) = if is_moment {
            (zone.tz().clone(), TimeZone::UTC)
        } else {
            (TimeZone::UTC, zone.tz().clone())
        };
        let moved: PrimitiveArray<TimestampMicrosecondType> = micros
            .iter()
            .map(|micros| {
                let Some(micros) = micros else {
                    return Ok(None);
                };
                let clock = zoned(micros, &from)?.datetime();
                let moved = clock.to_zoned(to.clone()).map_err(|error| out_of_range(&error))?;
                Ok(Some(moved.timestamp().as_microsecond()))
            })
            .collect::<Result<_>>()?;
        let is_scalar = matches!(args.args[0], ColumnarValue::Scalar(_));
        back(moved, args.return_field.data_type(), is_scalar)
    }
}
