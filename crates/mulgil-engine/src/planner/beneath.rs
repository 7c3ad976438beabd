//! `sum(case when (select … where s.id = t.id) …)`: a sub-query inside of an aggregate or of a group. The engine
//! joins sub-queries below filters and projections alone, so their values are made in a projection beneath.

use std::sync::Arc;

use datafusion::{
    common::{
        Column, Result,
        tree_node::{Transformed, TreeNode as _},
    },
    logical_expr::{Aggregate, Expr, LogicalPlan, Projection},
};

/// Takes sub-queries that ask for the row outside out of aggregates.
pub(super) fn projected(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(aggregate) => over_values(aggregate),
        other => Ok(Transformed::no(other)),
    })
}

fn over_values(aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
    let mut values: Vec<Expr> = Vec::new();
    let groups = named(&aggregate.group_expr, &mut values)?;
    let aggregates = named(&aggregate.aggr_expr, &mut values)?;
    if values.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let kept = aggregate
        .input
        .schema()
        .iter()
        .map(|field| Expr::Column(Column::from(field)));
    let made = values
        .into_iter()
        .enumerate()
        .map(|(place, value)| value.alias(name(place)));
    let below = Projection::try_new(kept.chain(made).collect(), Arc::clone(&aggregate.input))?;
    let above = Aggregate::try_new(Arc::new(LogicalPlan::Projection(below)), groups, aggregates)?;
    // Whoever stands above asks for the columns by their names.
    let columns = above.schema.iter().zip(aggregate.schema.iter());
    let columns = columns.map(|(now, (qualifier, field))| {
        let column = Expr::Column(Column::from(now));
        column.alias_qualified(qualifier.cloned(), field.name())
    });
    let columns = columns.collect();
    let plan = Projection::try_new(columns, Arc::new(LogicalPlan::Aggregate(above)))?;
    Ok(Transformed::yes(LogicalPlan::Projection(plan)))
}

/// The expressions with columns in place of their sub-queries, which are added to the values.
fn named(exprs: &[Expr], values: &mut Vec<Expr>) -> Result<Vec<Expr>> {
    let named = exprs.iter().map(|expr| {
        let named = expr.clone().transform_down(|expr| match expr {
            Expr::ScalarSubquery(subquery) if !subquery.outer_ref_columns.is_empty() => {
                let value = Expr::ScalarSubquery(subquery);
                let known = values.iter().position(|known| *known == value);
                let place = known.unwrap_or_else(|| {
                    values.push(value);
                    values.len() - 1
                });
                Ok(Transformed::yes(Expr::Column(Column::new_unqualified(name(place)))))
            }
            other => Ok(Transformed::no(other)),
        });
        Ok(named?.data)
    });
    named.collect()
}

/// The name of a value; none that is typed is like it.
fn name(place: usize) -> String {
    format!("@value{place}")
}
