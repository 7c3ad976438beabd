//! `generate_series` and `range` of timestamps with microseconds: the engine takes nanoseconds alone.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, TimeUnit},
    catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider},
    common::Result,
    execution::SessionState,
    logical_expr::Expr,
};

/// Puts ours around the engine's.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    for name in ["generate_series", "range"] {
        if let Some(engines) = state
            .table_functions()
            .get(name)
            .map(|known| Arc::clone(known.function()))
        {
            state.register_udtf(name, Arc::new(Series { engines }));
        }
    }
    Ok(())
}

#[derive(Debug)]
struct Series {
    engines: Arc<dyn TableFunctionImpl>,
}

impl TableFunctionImpl for Series {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let exprs: Vec<Expr> = args.exprs().iter().map(in_nanoseconds).collect::<Result<_>>()?;
        self.engines
            .call_with_args(TableFunctionArgs::new(&exprs, args.session()))
    }
}

fn in_nanoseconds(expr: &Expr) -> Result<Expr> {
    Ok(match expr {
        Expr::Literal(value, metadata) => match value.data_type() {
            DataType::Timestamp(_, zone) => {
                let fine = value.cast_to(&DataType::Timestamp(TimeUnit::Nanosecond, zone))?;
                Expr::Literal(fine, metadata.clone())
            }
            _ => expr.clone(),
        },
        other => other.clone(),
    })
}
