//! One data file of a table that is being filled, read again: its rows in the form of a new file.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::TableProvider as _,
    common::{Column, ScalarValue},
    datasource::provider_as_source,
    execution::SendableRecordBatchStream,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit},
    physical_plan::execute_stream,
};
use deltalake::{
    delta_datafusion::{DeltaScanConfig, DeltaScanNext, FileSelection},
    kernel::LogicalFileView,
};
use mulgil_core::port::Fault;

use super::{Fill, broke, target::Target};
use crate::fault;

/// A column of the file.
pub(super) fn column(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

/// The rows of a file for which a condition holds, or all. A column that the file lacks is NULL.
pub(super) async fn rows(
    fill: &Fill<'_>,
    target: &Target,
    file: &LogicalFileView,
    form: &SchemaRef,
    condition: Option<Expr>,
) -> Result<SendableRecordBatchStream, Fault> {
    let table = target.table().ok_or_else(|| broke("files without a table"))?;
    let state = table
        .snapshot()
        .map_err(|error| fault::delta(&error, target.folder()))?;
    let to_fault = |error| fault::sql(&error, &fill.author);
    let config = DeltaScanConfig::new().with_wrap_partition_values(false);
    let scan = DeltaScanNext::new(Arc::new(state.snapshot().clone()), config)
        .map_err(to_fault)?
        .with_file_selection(FileSelection::from_file_paths([file.path().into_owned()]));
    let plan = plan(scan, form, condition).map_err(to_fault)?;
    let session = fill.sessions.base();
    let plan = session.create_physical_plan(&plan).await.map_err(to_fault)?;
    execute_stream(plan, session.task_ctx()).map_err(to_fault)
}

fn plan(scan: DeltaScanNext, form: &SchemaRef, condition: Option<Expr>) -> datafusion::error::Result<LogicalPlan> {
    let schema = scan.schema();
    let columns: Vec<Expr> = form
        .fields()
        .iter()
        .map(|field| match schema.field_with_name(field.name()) {
            Ok(_) => cast(column(field.name()), field.data_type().clone()).alias(field.name()),
            Err(_) => cast(lit(ScalarValue::Null), field.data_type().clone()).alias(field.name()),
        })
        .collect();
    let scan = LogicalPlanBuilder::scan("file", provider_as_source(Arc::new(scan)), None)?;
    match condition {
        Some(condition) => scan.filter(condition)?,
        None => scan,
    }
    .project(columns)?
    .build()
}
