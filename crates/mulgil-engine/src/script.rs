//! Scripts: statements that are run for what they do.

use std::sync::Arc;

use datafusion::sql::parser::DFParser;
use futures::TryStreamExt as _;
use mulgil_core::{port::Fault, task::ScriptSpec};

use crate::{
    fault::{self, Author},
    session::Sessions,
    table::Snapshots,
};

/// Who writes a script, for messages.
const AUTHOR: &str = "a hook";

/// Runs the statements of a script in order. Queries are run to their end, and their rows are dropped;
/// whatever would define or change something is refused.
pub(crate) async fn run(sessions: &Arc<Sessions>, spec: &ScriptSpec) -> Result<(), Fault> {
    let author = Author::Node(AUTHOR.to_owned());
    let statements = DFParser::parse_sql(&spec.sql).map_err(|error| fault::sql(&error, &author))?;
    for statement in statements {
        let sql = statement.to_string();
        // Each statement sees what is there when it begins.
        let snapshots = Arc::<Snapshots>::default();
        let ready = sessions
            .plan(&sql, &spec.bindings, &spec.zone, &snapshots, &author)
            .await?;
        let mut rows = ready.rows(&author)?;
        while rows
            .try_next()
            .await
            .map_err(|error| fault::sql(&error, &author))?
            .is_some()
        {}
    }
    Ok(())
}
