//! Views: nothing is stored. The query is planned, so that what is wrong with it shows now.

use mulgil_core::{
    interval::Interval,
    port::{Fault, FillOutcome, Filled, Growth},
    project::Fingerprint,
};

use super::{
    Fill, no_query,
    shape::{Existing, Shape},
};

/// Plans the view and returns its columns.
pub(super) async fn fill(fill: &Fill<'_>) -> Result<FillOutcome, Fault> {
    let query = fill.spec.queries.first().ok_or_else(no_query)?;
    let plan = fill.plan(query).await?.plan;
    let shape = Shape::fit(&plan.schema(), Existing::None, &fill.spec.instance)?;
    let columns = shape.columns(&fill.spec.instance.key);
    let described = columns
        .iter()
        .flat_map(|column| [column.name.as_bytes(), column.data_type.as_bytes()]);
    Ok(FillOutcome {
        version: None,
        table_id: None,
        intervals: vec![Filled {
            interval: Interval::WHOLE,
            rows: 0,
            content: Fingerprint::of(std::iter::once(query.sql.as_bytes()).chain(described)),
        }],
        written: 0,
        columns,
        replaced_all: false,
        growth: Growth::default(),
    })
}
