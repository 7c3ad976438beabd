//! `(select d.name from d where d.id = e.id)`: a sub-query that asks for the row outside and is no
//! aggregate. The engine joins aggregates alone, so here it becomes one: the value of its only row, NULL
//! without a row, and an error where there are two.

use std::{mem::size_of_val, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray},
        datatypes::{DataType, Field, FieldRef, Int64Type},
    },
    common::{Column, Result, ScalarValue, exec_err, tree_node::Transformed, tree_node::TreeNode as _},
    functions_aggregate::first_last::first_value,
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Expr, FetchType, Limit, LogicalPlan, LogicalPlanBuilder,
        Signature, SkipType, Sort, Subquery, Volatility,
        expr_rewriter::NamePreserver,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::format_state_name,
    },
};

const NAME: &str = "single_value";
/// The name of the value beside the columns that are joined by; none that is typed is like it.
const VALUE: &str = "@single";

/// Makes aggregates of the sub-queries in the place of a value that ask for the row outside.
pub(super) fn aggregated(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let joinable = expr.transform_up(|expr| match expr {
                Expr::ScalarSubquery(subquery) if !subquery.outer_ref_columns.is_empty() => {
                    Ok(match aggregate(&subquery.subquery)? {
                        Some(plan) => Transformed::yes(Expr::ScalarSubquery(Subquery {
                            subquery: Arc::new(plan),
                            ..subquery
                        })),
                        None => Transformed::no(Expr::ScalarSubquery(subquery)),
                    })
                }
                other => Ok(Transformed::no(other)),
            })?;
            Ok(joinable.update_data(|expr| name.restore(expr)))
        })
    })
}

/// The sub-query as an aggregate; nothing where it has one row by itself, or several columns.
fn aggregate(query: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    if query.schema().fields().len() != 1 {
        return Ok(None);
    }
    let column = Expr::Column(Column::from(query.schema().qualified_field(0)));
    let (rows, value) = match query {
        LogicalPlan::Limit(limit) => match first_of(limit, column)? {
            Some(first) => first,
            None => return Ok(None),
        },
        _ if query.max_rows().is_some_and(|rows| rows <= 1) => return Ok(None),
        _ => (
            query.clone(),
            AggregateUDF::from(SingleValue::default()).call(vec![column]),
        ),
    };
    let aggregate = LogicalPlanBuilder::from(rows).aggregate(Vec::<Expr>::new(), [value.alias(VALUE)])?;
    Ok(Some(aggregate.build()?))
}

/// `order by … limit 1` is the first value in that order. Gives the rows that it is the first of.
fn first_of(limit: &Limit, column: Expr) -> Result<Option<(LogicalPlan, Expr)>> {
    let is_first = matches!(limit.get_skip_type()?, SkipType::Literal(0))
        && matches!(limit.get_fetch_type()?, FetchType::Literal(Some(1)));
    if !is_first || limit.input.max_rows().is_some_and(|rows| rows <= 1) {
        return Ok(None);
    }
    let sorted = |sort: &Sort, value: Expr| (sort.input.as_ref().clone(), first_value(value, sort.expr.clone()));
    Ok(Some(match limit.input.as_ref() {
        LogicalPlan::Sort(sort) => sorted(sort, column),
        // What is sorted by may be no part of what is asked.
        LogicalPlan::Projection(projection) => match (projection.input.as_ref(), projection.expr.as_slice()) {
            (LogicalPlan::Sort(sort), [value]) => sorted(sort, value.clone().unalias()),
            _ => (limit.input.as_ref().clone(), first_value(column, Vec::new())),
        },
        other => (other.clone(), first_value(column, Vec::new())),
    }))
}

/// The value of one row.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleValue {
    signature: Signature,
}

impl Default for SingleValue {
    fn default() -> Self {
        Self {
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl AggregateUDFImpl for SingleValue {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Single {
            value: ScalarValue::try_from(args.return_field.data_type())?,
            rows: 0,
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let value = format_state_name(args.name, "value");
        let rows = format_state_name(args.name, "rows");
        Ok(vec![
            Arc::new(Field::new(value, args.return_field.data_type().clone(), true)),
            Arc::new(Field::new(rows, DataType::Int64, false)),
        ])
    }
}

#[derive(Debug)]
struct Single {
    value: ScalarValue,
    rows: i64,
}

impl Single {
    fn take(&mut self, values: &ArrayRef, row: usize) -> Result<()> {
        self.rows += 1;
        if self.rows > 1 {
            return exec_err!("Scalar subquery returned more than one row");
        }
        self.value = ScalarValue::try_from_array(values, row)?;
        self.value.compact();
        Ok(())
    }
}

impl Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        (0..values[0].len()).try_for_each(|row| self.take(&values[0], row))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states[1].as_primitive::<Int64Type>();
        let mut held = (0..rows.len()).filter(|row| rows.value(*row) > 0);
        held.try_for_each(|row| self.take(&states[0], row))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), ScalarValue::Int64(Some(self.rows))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size() - size_of_val(&self.value)
    }
}
