//! What stands left of `in (select …)`, with its table's name.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Query, Select, SelectItem, VisitMut, VisitorMut, visit_expressions_mut};

use super::rewritten::has_query;
use crate::{hidden, statement::ast};

/// Names the table of what is compared with sub-queries, where a query reads only one: inside of the
/// sub-query a bare name could be taken for one of its own columns.
pub(super) fn name(select: &mut Select) {
    let [table] = select.from.as_slice() else {
        return;
    };
    let Some(name) = ast::called(&table.relation).filter(|_| table.joins.is_empty()) else {
        return;
    };
    let aliases = select.projection.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(hidden::folded(alias)),
        _ => None,
    });
    let mut namer = LeftSides {
        name,
        aliases: aliases.collect(),
        depth: 0,
    };
    let _ = select.visit(&mut namer);
}

struct LeftSides {
    name: String,
    /// What `group by` and `having` may mean instead of a column.
    aliases: Vec<String>,
    depth: usize,
}

impl VisitorMut for LeftSides {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let (0, Expr::InSubquery { expr: value, .. }) = (self.depth, expr)
            && !has_query(value)
        {
            let _ = visit_expressions_mut(value, |part: &mut Expr| {
                if let Expr::Identifier(column) = part
                    && !self.aliases.contains(&hidden::folded(column))
                {
                    *part = Expr::CompoundIdentifier(vec![ast::quoted(&self.name), column.clone()]);
                }
                ControlFlow::<()>::Continue(())
            });
        }
        ControlFlow::Continue(())
    }
}
