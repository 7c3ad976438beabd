//! What binds tighter than what, where the parser sees it otherwise than PostgreSQL and DuckDB do.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr};

/// Puts the operators of an expression above and below each other as they are meant. What is in parentheses
/// stays.
pub(super) fn mend(expr: &mut Expr) {
    bind_tightly(expr);
    end_distinct_from(expr);
}

/// The parser lets comparisons and arithmetic bind tighter than the arrows of JSON. In PostgreSQL and DuckDB
/// `a = doc ->> 'x'` and `doc ->> 'x' = a` compare what is at `x`.
fn bind_tightly(expr: &mut Expr) {
    if let Expr::BinaryOp { left, op, right } = expr
        && is_arrow(op)
    {
        bind_tightly(left);
        bind_tightly(right);
    }
    while let Some(better) = turned(expr) {
        *expr = better;
    }
}

/// The expression with an operator above the arrow that stood below it; nothing where all is well.
fn turned(expr: &Expr) -> Option<Expr> {
    let Expr::BinaryOp { left, op, right } = expr else {
        return None;
    };
    if !is_arrow(op) {
        return None;
    }
    let arrow = |left: Expr, right: Expr| Expr::BinaryOp {
        left: Box::new(left),
        op: op.clone(),
        right: Box::new(right),
    };
    let mut above = left.as_ref().clone();
    if let Some(doc) = last_of(&mut above) {
        *doc = arrow(doc.clone(), right.as_ref().clone());
        bind_tightly(doc);
        return Some(above);
    }
    let mut above = right.as_ref().clone();
    let step = first_of(&mut above)?;
    *step = arrow(left.as_ref().clone(), step.clone());
    Some(above)
}

/// The operand that an expression ends with; nothing where it is one thing.
fn last_of(expr: &mut Expr) -> Option<&mut Expr> {
    match expr {
        Expr::BinaryOp { op, .. } if is_arrow(op) => None,
        Expr::BinaryOp { right, .. } => Some(right),
        Expr::IsDistinctFrom(_, last) | Expr::IsNotDistinctFrom(_, last) => Some(last),
        Expr::Like { pattern, .. } | Expr::ILike { pattern, .. } => Some(pattern),
        Expr::Between { high, .. } => Some(high),
        Expr::UnaryOp { expr, .. } => Some(expr),
        _ => None,
    }
}

fn is_arrow(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Arrow, HashArrow, HashLongArrow, LongArrow};
    matches!(op, Arrow | LongArrow | HashArrow | HashLongArrow)
}

/// The operand that an expression begins with; nothing where it is one thing.
fn first_of(expr: &mut Expr) -> Option<&mut Expr> {
    let first = match expr {
        Expr::BinaryOp { left, .. } => left,
        Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsTrue(inner)
        | Expr::IsFalse(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotUnknown(inner)
        | Expr::IsDistinctFrom(inner, _)
        | Expr::IsNotDistinctFrom(inner, _) => inner,
        Expr::Like { expr, .. }
        | Expr::ILike { expr, .. }
        | Expr::InList { expr, .. }
        | Expr::InSubquery { expr, .. }
        | Expr::Between { expr, .. } => expr,
        _ => return None,
    };
    if matches!(
        first.as_ref(),
        Expr::BinaryOp { .. }
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::Like { .. }
            | Expr::InList { .. }
            | Expr::Between { .. }
    ) {
        return first_of(first);
    }
    Some(first)
}

/// The parser lets `is distinct from` take all that follows: `a is distinct from b and c` is meant as
/// `(a is distinct from b) and c`.
fn end_distinct_from(expr: &mut Expr) {
    let (Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right)) = &*expr else {
        return;
    };
    let (mut left, mut above) = (left.clone(), right.as_ref().clone());
    end_distinct_from(&mut left);
    let Some(first) = first_condition(&mut above) else {
        return;
    };
    let (left, right) = (left, Box::new(first.clone()));
    *first = match expr {
        Expr::IsDistinctFrom(..) => Expr::IsDistinctFrom(left, right),
        _ => Expr::IsNotDistinctFrom(left, right),
    };
    *expr = above;
}

/// The first of some conditions that AND and OR join; nothing where there is one.
fn first_condition(expr: &mut Expr) -> Option<&mut Expr> {
    let Expr::BinaryOp {
        left,
        op: BinaryOperator::And | BinaryOperator::Or,
        ..
    } = expr
    else {
        return None;
    };
    let has_more = matches!(
        left.as_ref(),
        Expr::BinaryOp {
            op: BinaryOperator::And | BinaryOperator::Or,
            ..
        }
    );
    if has_more { first_condition(left) } else { Some(left) }
}
