//! Whether neighbouring intervals may be filled by one run of a query: only where a row of one
//! interval is made from the same rows when others are filled beside it. When in doubt, not.
//!
//! The analysis follows one question through the query: which columns carry the event time of the
//! inputs that are cut to the interval? Row-wise SQL keeps rows apart by itself; a group keeps them
//! apart if the event time is among its keys; a join, if it compares the event times.

use std::collections::{BTreeMap, BTreeSet};

use mulgil_core::grid::Unit;
use sqlparser::ast::{
    Expr, FunctionArguments, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query,
    Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, TableAlias, TableFactor,
    TableWithJoins,
};

use super::expression::{
    any_expression, arguments, conjuncts, folded, function_name, is_aggregate, is_qualified, item_expr, last_part,
    output_name,
};

/// How the rows of a bound name depend on the interval that is filled.
#[derive(Clone, Debug)]
pub(crate) enum Scoping {
    /// Exactly the rows whose event time lies in the interval.
    Interval {
        /// The column; absent where it has no name.
        event_time: Option<String>,
    },
    /// The same rows for every interval.
    Static,
    /// Rows that one run for several intervals would mix: a window, a coarser table, itself.
    Mixed,
    /// A view or an ephemeral model.
    Query(Box<Query>, Names),
}

/// What the names in a query mean: by schema part and name.
pub(crate) type Names = BTreeMap<(Option<String>, String), Scoping>;

/// Whether one run of the query for several intervals gives each interval's rows. `event_time` is
/// the output's column: if it is not the inputs' own event time, a row could come out in another
/// interval than the one it was read in. `unit` is the grid's, where it is one.
pub(crate) fn fills_many(query: &Query, names: &Names, event_time: Option<&str>, unit: Option<Unit>) -> bool {
    let Some(event_time) = event_time else {
        return false;
    };
    Analysis { names, unit }
        .query(query, &Ctes::new())
        .is_some_and(|rows| rows.scoped && rows.times.contains(&event_time.to_lowercase()))
}

/// What is known of the rows that a query or a table gives, if they can be told apart by interval.
#[derive(Clone, Debug)]
struct Rows {
    /// Whether they depend on the interval at all.
    scoped: bool,
    /// The columns that tell a row's interval.
    times: BTreeSet<String>,
    /// All columns by position; absent where a `*` hides them.
    columns: Option<Vec<Column>>,
}

#[derive(Clone, Debug)]
struct Column {
    name: Option<String>,
    tells_time: bool,
}

type Ctes = BTreeMap<String, Option<Rows>>;
/// The rows behind each name of a FROM clause.
type Scope = Vec<(String, Rows)>;

struct Analysis<'a> {
    names: &'a Names,
    unit: Option<Unit>,
}

impl Analysis<'_> {
    fn query(&self, query: &Query, outer: &Ctes) -> Option<Rows> {
        let Query {
            with,
            body,
            order_by: _,
            limit_clause: None,
            fetch: None,
            locks: _,
            for_clause: None,
            settings: None,
            format_clause: None,
            pipe_operators,
        } = query
        else {
            return None;
        };
        if !pipe_operators.is_empty() {
            return None;
        }
        let mut ctes = outer.clone();
        if let Some(with) = with {
            if with.recursive {
                return None;
            }
            for cte in &with.cte_tables {
                let rows = self.query(&cte.query, &ctes).filter(|_| cte.alias.columns.is_empty());
                ctes.insert(folded(&cte.alias.name), rows);
            }
        }
        self.body(body, &ctes)
    }

    fn body(&self, body: &SetExpr, ctes: &Ctes) -> Option<Rows> {
        match body {
            SetExpr::Select(select) => self.select(select, ctes),
            SetExpr::Query(query) => self.query(query, ctes),
            SetExpr::SetOperation {
                op: SetOperator::Union,
                set_quantifier: SetQuantifier::All,
                left,
                right,
            } => {
                let (left, right) = (self.body(left, ctes)?, self.body(right, ctes)?);
                // A static half would be repeated for each interval, but not in one run for many.
                (left.scoped == right.scoped).then(|| union(left, right))
            }
            SetExpr::SetOperation { .. }
            | SetExpr::Values(_)
            | SetExpr::Insert(_)
            | SetExpr::Update(_)
            | SetExpr::Delete(_)
            | SetExpr::Merge(_)
            | SetExpr::Table(_) => None,
        }
    }

    fn select(&self, select: &Select, ctes: &Ctes) -> Option<Rows> {
        let plain = select.distinct.is_none()
            && select.top.is_none()
            && select.exclude.is_none()
            && select.into.is_none()
            && select.lateral_views.is_empty()
            && select.prewhere.is_none()
            && select.connect_by.is_empty()
            && select.cluster_by.is_empty()
            && select.distribute_by.is_empty()
            && select.sort_by.is_empty()
            && select.qualify.is_none()
            && select.value_table_mode.is_none();
        if !plain || has_sub_query(select) {
            return None;
        }
        let scope = self.from(&select.from, ctes)?;
        let scoped = scope.iter().any(|(_, rows)| rows.scoped);
        let keys = group_keys(select)?;
        if scoped && mixes_rows(select, !keys.is_empty()) {
            return None;
        }
        let is_kept_apart = keys.is_empty() || keys.iter().any(|key| self.tells_time(key, &scope));
        if scoped && !is_kept_apart {
            return None;
        }
        Some(Rows {
            scoped,
            times: self.output_times(select, &scope),
            columns: self.output_columns(select, &scope),
        })
    }

    /// Whether an expression has different values in different intervals: the event time itself,
    /// or cut to a unit that is not longer than an interval.
    fn tells_time(&self, expr: &Expr, scope: &Scope) -> bool {
        match expr {
            Expr::Identifier(name) => scope.iter().any(|(_, rows)| rows.times.contains(&folded(name))),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., table, column] => scope
                    .iter()
                    .any(|(name, rows)| *name == folded(table) && rows.times.contains(&folded(column))),
                _ => false,
            },
            Expr::Nested(inner) => self.tells_time(inner, scope),
            Expr::Cast { expr, data_type, .. } => {
                self.tells_time(expr, scope) && self.keeps_grain(&data_type.to_string().to_lowercase())
            }
            Expr::Function(function) if function_name(function) == "date_trunc" => {
                let [unit, time] = arguments(function).as_slice().try_into().unwrap_or([None, None]);
                let grain = unit.map(|unit: &Expr| unit.to_string().trim_matches('\'').to_lowercase());
                grain.is_some_and(|grain| self.is_fine(&grain)) && time.is_some_and(|time| self.tells_time(time, scope))
            }
            _ => false,
        }
    }

    fn keeps_grain(&self, data_type: &str) -> bool {
        match data_type {
            "date" => self.is_fine("day"),
            other => other.starts_with("timestamp"),
        }
    }

    fn is_fine(&self, grain: &str) -> bool {
        match grain {
            "microsecond" | "millisecond" | "second" | "minute" => true,
            // Weeks do not lie inside months; everything else nests.
            "week" => self.unit == Some(Unit::Week),
            other => match (other.parse::<Unit>(), self.unit) {
                (Ok(grain), Some(unit)) => grain <= unit,
                (Ok(_) | Err(()), _) => false,
            },
        }
    }

    fn output_times(&self, select: &Select, scope: &Scope) -> BTreeSet<String> {
        let mut times = BTreeSet::new();
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(_) => times.extend(scope.iter().flat_map(|(_, rows)| rows.times.clone())),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    let table = last_part(name);
                    times.extend(
                        scope
                            .iter()
                            .filter(|(name, _)| Some(name) == table.as_ref())
                            .flat_map(|(_, rows)| rows.times.clone()),
                    );
                }
                item => {
                    if let (Some(expr), Some(name)) = (item_expr(item), output_name(item))
                        && self.tells_time(expr, scope)
                    {
                        times.insert(name);
                    }
                }
            }
        }
        times
    }

    fn output_columns(&self, select: &Select, scope: &Scope) -> Option<Vec<Column>> {
        let column = |item: &SelectItem| {
            Some(Column {
                name: output_name(item),
                tells_time: self.tells_time(item_expr(item)?, scope),
            })
        };
        select.projection.iter().map(column).collect()
    }

    fn from(&self, from: &[TableWithJoins], ctes: &Ctes) -> Option<Scope> {
        let mut scope = Scope::new();
        for item in from {
            let mut joined = vec![self.factor(&item.relation, ctes)?];
            for join in &item.joins {
                let right = self.factor(&join.relation, ctes)?;
                if !self.join_keeps_apart(join, &joined, &right) {
                    return None;
                }
                let (left_nulls, right_nulls) = null_sides(&join.join_operator);
                // A row without a partner has NULL there, which is no time: such rows of many
                // intervals would fall into one group.
                if left_nulls {
                    for (_, rows) in &mut joined {
                        rows.times.clear();
                    }
                }
                joined.push(right);
                if let Some((_, rows)) = joined.last_mut().filter(|_| right_nulls) {
                    rows.times.clear();
                }
            }
            // A comma is a cross join: only one of its sides may depend on the interval.
            let depends = |scope: &Scope| scope.iter().any(|(_, rows)| rows.scoped);
            if depends(&scope) && depends(&joined) {
                return None;
            }
            scope.extend(joined);
        }
        Some(scope)
    }

    fn join_keeps_apart(&self, join: &Join, left: &Scope, right: &(String, Rows)) -> bool {
        let left_scoped = left.iter().any(|(_, rows)| rows.scoped);
        let constraint = match &join.join_operator {
            JoinOperator::Join(on) | JoinOperator::Inner(on) => {
                if !(left_scoped && right.1.scoped) {
                    return true;
                }
                on
            }
            JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => match (left_scoped, right.1.scoped) {
                (_, false) => return true,
                // Rows of a static left side without a partner would be made again for each interval.
                (false, true) => return false,
                (true, true) => on,
            },
            JoinOperator::Right(on) | JoinOperator::RightOuter(on) => match (left_scoped, right.1.scoped) {
                (false, _) => return true,
                (true, false) => return false,
                (true, true) => on,
            },
            JoinOperator::FullOuter(on) => {
                if left_scoped != right.1.scoped {
                    return false;
                }
                on
            }
            JoinOperator::CrossJoin(_) => return !(left_scoped && right.1.scoped),
            JoinOperator::Semi(on)
            | JoinOperator::LeftSemi(on)
            | JoinOperator::Anti(on)
            | JoinOperator::LeftAnti(on) => {
                if !right.1.scoped {
                    return true;
                }
                on
            }
            _ => return false,
        };
        !left_scoped && !right.1.scoped || self.compares_times(constraint, left, right)
    }

    fn compares_times(&self, constraint: &JoinConstraint, left: &Scope, right: &(String, Rows)) -> bool {
        let right_scope = vec![right.clone()];
        match constraint {
            JoinConstraint::On(condition) => conjuncts(condition).into_iter().any(|part| match part {
                Expr::BinaryOp {
                    left: one,
                    op: sqlparser::ast::BinaryOperator::Eq,
                    right: other,
                } => {
                    let is_pair = |one: &Expr, other: &Expr| {
                        is_qualified(one)
                            && is_qualified(other)
                            && self.tells_time(one, left)
                            && self.tells_time(other, &right_scope)
                    };
                    is_pair(one, other) || is_pair(other, one)
                }
                _ => false,
            }),
            JoinConstraint::Using(columns) => columns.iter().filter_map(last_part).any(|column| {
                left.iter().any(|(_, rows)| rows.times.contains(&column)) && right.1.times.contains(&column)
            }),
            JoinConstraint::Natural | JoinConstraint::None => false,
        }
    }

    fn factor(&self, factor: &TableFactor, ctes: &Ctes) -> Option<(String, Rows)> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                version: None,
                sample: None,
                ..
            } => {
                let rows = self.named(name, ctes)?;
                Some((alias_or(alias.as_ref(), last_part(name)?)?, rows))
            }
            TableFactor::Derived {
                lateral: false,
                subquery,
                alias,
                sample: None,
            } => {
                let rows = self.query(subquery, ctes)?;
                Some((alias_or(alias.as_ref(), String::new())?, rows))
            }
            _ => None,
        }
    }

    fn named(&self, name: &ObjectName, ctes: &Ctes) -> Option<Rows> {
        let parts: Vec<&Ident> = name.0.iter().map(ObjectNamePart::as_ident).collect::<Option<_>>()?;
        let key = match parts.as_slice() {
            [name] => {
                if let Some(rows) = ctes.get(&folded(name)) {
                    return rows.clone();
                }
                (None, name.value.clone())
            }
            [schema, name] => (Some(schema.value.clone()), name.value.clone()),
            _ => return None,
        };
        match self.names.get(&key)? {
            Scoping::Interval { event_time } => Some(Rows {
                scoped: true,
                times: event_time.iter().map(|column| column.to_lowercase()).collect(),
                columns: None,
            }),
            Scoping::Static => Some(Rows {
                scoped: false,
                times: BTreeSet::new(),
                columns: None,
            }),
            Scoping::Mixed => None,
            Scoping::Query(query, names) => Analysis { names, unit: self.unit }.query(query, &Ctes::new()),
        }
    }
}

/// The rows of two halves that depend on the interval alike. They are put together by position, and
/// the left gives the names.
fn union(left: Rows, right: Rows) -> Rows {
    let columns: Option<Vec<Column>> = left.columns.zip(right.columns).map(|(left, right)| {
        let pairs = left.into_iter().zip(right);
        let column = |(left, right): (Column, Column)| Column {
            name: left.name,
            tells_time: left.tells_time && right.tells_time,
        };
        pairs.map(column).collect()
    });
    let times = columns.iter().flatten().filter(|column| column.tells_time);
    Rows {
        scoped: left.scoped,
        times: times.filter_map(|column| column.name.clone()).collect(),
        columns,
    }
}

/// Which sides of a join may be NULL for want of a partner: the left, the right.
fn null_sides(join: &JoinOperator) -> (bool, bool) {
    match join {
        JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => (false, true),
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => (true, false),
        JoinOperator::Join(_)
        | JoinOperator::Inner(_)
        | JoinOperator::CrossJoin(_)
        | JoinOperator::Semi(_)
        | JoinOperator::LeftSemi(_)
        | JoinOperator::Anti(_)
        | JoinOperator::LeftAnti(_) => (false, false),
        _ => (true, true),
    }
}

/// The expressions of GROUP BY, with ordinals and names of the output replaced by what they stand
/// for; empty without GROUP BY, nothing where it cannot be told.
fn group_keys(select: &Select) -> Option<Vec<&Expr>> {
    let GroupByExpr::Expressions(keys, modifiers) = &select.group_by else {
        return None;
    };
    if !modifiers.is_empty() {
        return None;
    }
    let mut resolved = Vec::with_capacity(keys.len());
    for key in keys {
        resolved.push(match key {
            Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => return None,
            Expr::Value(value) => {
                let ordinal: usize = value.to_string().parse().ok()?;
                item_expr(select.projection.get(ordinal.checked_sub(1)?)?)?
            }
            Expr::Identifier(name) => select
                .projection
                .iter()
                .find(|item| matches!(item, SelectItem::ExprWithAlias { alias, .. } if folded(alias) == folded(name)))
                .and_then(item_expr)
                .unwrap_or(key),
            other => other,
        });
    }
    Some(resolved)
}

/// Whether the SELECT has a query inside an expression, those of joins among them. What it reads is
/// not followed, so that it could depend on the interval where nothing else in the SELECT does.
fn has_sub_query(select: &Select) -> bool {
    let is_sub_query = |part: &Expr| match part {
        Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => true,
        Expr::Function(function) => matches!(function.args, FunctionArguments::Subquery(_)),
        _ => false,
    };
    any_expression(select, is_sub_query)
}

/// Whether the SELECT has what looks beyond one row: window functions, and without a GROUP BY also
/// aggregates.
fn mixes_rows(select: &Select, is_grouped: bool) -> bool {
    if select.having.is_some() && !is_grouped {
        return true;
    }
    let looks_beyond = |part: &Expr| match part {
        Expr::Function(function) => function.over.is_some() || (!is_grouped && is_aggregate(&function_name(function))),
        _ => false,
    };
    any_expression(&select.projection, looks_beyond)
        || any_expression(&select.selection, looks_beyond)
        || any_expression(&select.having, looks_beyond)
        || any_expression(&select.group_by, looks_beyond)
}

/// The alias, or else the name itself; nothing where columns are renamed, which is not followed.
fn alias_or(alias: Option<&TableAlias>, name: String) -> Option<String> {
    match alias {
        None => Some(name),
        Some(alias) => alias.columns.is_empty().then(|| folded(&alias.name)),
    }
}
