//! `from t, unnest(t.items) as item`: a table made of each row's list. The engine plans it and cannot run
//! it; here it becomes one pass over the rows, each of which is repeated for the elements of its list.

use std::sync::Arc;

use datafusion::{
    common::{
        Column, JoinType, Result, TableReference,
        tree_node::{Transformed, TreeNode as _, TreeNodeRecursion},
    },
    logical_expr::{Expr, Filter, Join, LogicalPlan, LogicalPlanBuilder, Projection, Unnest},
};

/// Turns the joins with unnested lists of the rows themselves into passes over these rows.
pub(super) fn unnested(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner && join.on.is_empty() => {
            let pass = if unnests_lists_of(&join.left, &join.right)? {
                pass(join)?
            } else {
                None
            };
            Ok(pass.map_or_else(|| Transformed::no(node.clone()), Transformed::yes))
        }
        _ => Ok(Transformed::no(node)),
    })
}

/// Whether the right side unnests, and asks for columns of the left side alone.
fn unnests_lists_of(left: &LogicalPlan, right: &LogicalPlan) -> Result<bool> {
    let right = inside(right).unwrap_or(right);
    let (mut asks, mut asks_others, mut unnests) = (false, false, false);
    right.apply(|node| {
        unnests |= matches!(node, LogicalPlan::Unnest(_));
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::OuterReferenceColumn(_, column) = expr {
                    asks = true;
                    asks_others |= !left.schema().has_column(column);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(unnests && asks && !asks_others)
}

/// What a lateral sub-query holds.
fn inside(plan: &LogicalPlan) -> Option<&LogicalPlan> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => inside(&alias.input),
        LogicalPlan::Subquery(subquery) => Some(&subquery.subquery),
        _ => None,
    }
}

fn pass(join: &Join) -> Result<Option<LogicalPlan>> {
    let Some(mut plan) = over(&join.right, &join.left, None)? else {
        return Ok(None);
    };
    if let Some(condition) = &join.filter {
        plan = LogicalPlan::Filter(Filter::try_new(condition.clone(), Arc::new(plan))?);
    }
    let columns = join.schema.iter().map(|field| Expr::Column(Column::from(field)));
    let plan = Projection::try_new(columns.collect(), Arc::new(plan))?;
    Ok(Some(LogicalPlan::Projection(plan)))
}

/// The right side with the rows of the left one under it, whose columns it passes on. Nothing where it
/// does more than to unnest. What it makes is called by the name that it has outside, lest two columns have one.
fn over(right: &LogicalPlan, left: &LogicalPlan, called: Option<&TableReference>) -> Result<Option<LogicalPlan>> {
    let kept = || left.schema().iter().map(|field| Expr::Column(Column::from(field)));
    Ok(Some(match right {
        LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => left.clone(),
        LogicalPlan::Subquery(subquery) => return over(&subquery.subquery, left, called),
        LogicalPlan::SubqueryAlias(alias) if names_itself(&alias.input) => {
            return over(&alias.input, left, Some(called.unwrap_or(&alias.alias)));
        }
        LogicalPlan::Projection(projection) => {
            let Some(input) = over(&projection.input, left, None)? else {
                return Ok(None);
            };
            let own: Vec<Expr> = projection.expr.iter().map(of_the_row).collect::<Result<_>>()?;
            let named = own.into_iter().zip(projection.schema.iter());
            let named = named.map(|(expr, (qualifier, field))| {
                expr.unalias()
                    .alias_qualified(called.or(qualifier).cloned(), field.name())
            });
            projected(kept().chain(named).collect(), input)?
        }
        LogicalPlan::Filter(filter) => {
            let Some(input) = over(&filter.input, left, None)? else {
                return Ok(None);
            };
            LogicalPlan::Filter(Filter::try_new(of_the_row(&filter.predicate)?, Arc::new(input))?)
        }
        LogicalPlan::Unnest(unnest) => match over(&unnest.input, left, None)? {
            Some(input) => repeated(unnest, input)?,
            None => return Ok(None),
        },
        _ => return Ok(None),
    }))
}

/// Whether it makes its columns, and can give them another table's name.
fn names_itself(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(_) => true,
        LogicalPlan::Subquery(subquery) => names_itself(&subquery.subquery),
        LogicalPlan::SubqueryAlias(alias) => names_itself(&alias.input),
        _ => false,
    }
}

fn repeated(unnest: &Unnest, input: LogicalPlan) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(input)
        .unnest_columns_with_options(unnest.exec_columns.clone(), unnest.options.clone())?
        .build()
}

fn projected(columns: Vec<Expr>, input: LogicalPlan) -> Result<LogicalPlan> {
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(input))?))
}

/// What an expression of the row outside is, where that row is here.
fn of_the_row(expr: &Expr) -> Result<Expr> {
    let here = expr.clone().transform(|expr| {
        Ok(match expr {
            Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
            other => Transformed::no(other),
        })
    });
    Ok(here?.data)
}
