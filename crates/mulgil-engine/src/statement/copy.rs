//! COPY.
use datafusion::sql::sqlparser::ast::Statement;
use mulgil_core::port::{Fault, QueryLimits, StatementOutcome};

use super::{change::refused, context::Context};

pub(super) async fn copy(
    _context: &Context<'_>,
    _copy: Statement,
    _limits: QueryLimits,
) -> Result<StatementOutcome, Fault> {
    Err(refused("COPY"))
}
