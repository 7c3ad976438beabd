//! Rows of values: `(a, b) < (c, d)`, `(a, b) in ((1, 2), (3, 4))`. The planner would compare them as one
//! value each, to which NULL is something like any other.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr};

use super::ast;

/// A comparison of two rows as comparisons of their values, from left to right.
pub(super) fn compared(left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Expr> {
    let (left, right) = (values(left)?, values(right)?);
    if left.len() != right.len() {
        return None;
    }
    Some(ast::nested(match op {
        BinaryOperator::Eq => equal(left, right)?,
        BinaryOperator::NotEq => ast::not(equal(left, right)?),
        BinaryOperator::Lt | BinaryOperator::LtEq => ordered(left, right, &BinaryOperator::Lt, op)?,
        BinaryOperator::Gt | BinaryOperator::GtEq => ordered(left, right, &BinaryOperator::Gt, op)?,
        _ => return None,
    }))
}

/// Whether a row lies between two.
pub(super) fn between(row: &Expr, negated: bool, low: &Expr, high: &Expr) -> Option<Expr> {
    let from = compared(row, &BinaryOperator::GtEq, low)?;
    let to = compared(row, &BinaryOperator::LtEq, high)?;
    let inside = ast::both(from, to);
    Some(ast::nested(if negated { ast::not(inside) } else { inside }))
}

/// Whether a row is one of several.
pub(super) fn in_list(row: &Expr, list: &[Expr], negated: bool) -> Option<Expr> {
    let row = values(row)?;
    let equals = list.iter().map(|other| {
        let other = values(other).filter(|other| other.len() == row.len())?;
        equal(row, other)
    });
    let any = equals.collect::<Option<Vec<Expr>>>()?.into_iter().reduce(ast::or)?;
    Some(ast::nested(if negated { ast::not(any) } else { any }))
}

/// The values of a row that is written out.
pub(super) fn values(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Tuple(values) if values.len() > 1 => Some(values),
        Expr::Nested(inner) => values(inner),
        _ => None,
    }
}

/// Whether all values are equal.
pub(super) fn equal(left: &[Expr], right: &[Expr]) -> Option<Expr> {
    let pairs = left.iter().zip(right);
    pairs
        .map(|(left, right)| one(left, BinaryOperator::Eq, right))
        .fold(None, |all, pair| ast::and(all, Some(pair)))
}

/// `a < c or (a = c and b <= d)`: by the first values that differ.
fn ordered(left: &[Expr], right: &[Expr], strictly: &BinaryOperator, at_last: &BinaryOperator) -> Option<Expr> {
    let ((left, more_left), (right, more_right)) = (left.split_first()?, right.split_first()?);
    if more_left.is_empty() {
        return Some(one(left, at_last.clone(), right));
    }
    let rest = ordered(more_left, more_right, strictly, at_last)?;
    let tied = ast::and(Some(one(left, BinaryOperator::Eq, right)), Some(rest))?;
    Some(ast::or(one(left, strictly.clone(), right), tied))
}

fn one(left: &Expr, op: BinaryOperator, right: &Expr) -> Expr {
    ast::binary(ast::nested(left.clone()), op, ast::nested(right.clone()))
}
