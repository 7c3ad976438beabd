//! UPDATE, DELETE and MERGE as queries. Each gives, for every row that it asks something of, the row's
//! number, what to do, and the values that the row gets. So their conditions mean exactly what they
//! mean in a `select`, sub-queries and NULLs among them.

use datafusion::arrow::datatypes::Fields;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, JoinOperator, Merge, MergeAction, MergeClause,
    MergeClauseKind, MergeInsertKind, ObjectName, Query, SelectItem, TableFactor, TableWithJoins, Update,
    UpdateTableFromKind, WildcardAdditionalOptions, With, visit_expressions,
};
use mulgil_core::{codes, diagnostic::Diagnostic, port::Fault};

use super::{
    ast,
    numbered::ROW,
    parse::unsupported,
    refusals::no_column,
    write::{DELETE, INSERT, REPEATED, UPDATE},
};
use crate::{fault::Author, hidden};

/// What says that a row has a row of the source.
const THERE: &str = "@there";
/// Which row of its key a row of the source is.
pub(super) const REPEAT: &str = "@repeat";

/// The table that a statement changes, as it is named there.
pub(super) struct Target<'a> {
    /// What it is called.
    pub(super) alias: String,
    /// Its columns.
    pub(super) columns: &'a Fields,
    /// Those whose values may not be set.
    pub(super) fixed: Vec<String>,
}

/// The table of a DELETE, by its name.
pub(super) fn deleted(delete: &Delete) -> Result<&TableFactor, Fault> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    match from.as_slice() {
        [one] if one.joins.is_empty() && delete.tables.is_empty() => Ok(&one.relation),
        _ => Err(refused("DELETE from more than one table")),
    }
}

/// The rows that a DELETE takes out; nothing where it takes out all of them.
pub(super) fn delete(delete: Delete, with: Option<With>, target: &Target<'_>) -> Result<Option<Query>, Fault> {
    refuse(&[
        (delete.limit.is_some(), "LIMIT in DELETE"),
        (!delete.order_by.is_empty(), "ORDER BY in DELETE"),
        (delete.returning.is_some(), "RETURNING"),
        (delete.output.is_some(), "OUTPUT"),
        (!delete.optimizer_hints.is_empty(), "a hint"),
    ])?;
    if delete.using.is_none() && delete.selection.is_none() {
        return Ok(None);
    }
    let mut from = vec![ast::alone(ast::target(&target.alias)?)];
    from.extend(delete.using.unwrap_or_default());
    let columns = vec![ast::column(&target.alias, ROW), ast::number(DELETE)];
    ast::select(with, columns, from, delete.selection).map(Some)
}

/// The rows that an UPDATE gives other values, with the values.
pub(super) fn update(update: Update, with: Option<With>, target: &Target<'_>) -> Result<Query, Fault> {
    refuse(&[
        (update.limit.is_some(), "LIMIT in UPDATE"),
        (!update.order_by.is_empty(), "ORDER BY in UPDATE"),
        (update.returning.is_some(), "RETURNING"),
        (update.output.is_some(), "OUTPUT"),
        (update.or.is_some(), "OR in UPDATE"),
        (!update.optimizer_hints.is_empty(), "a hint"),
    ])?;
    let mut from = vec![TableWithJoins {
        relation: ast::target(&target.alias)?,
        joins: update.table.joins,
    }];
    from.extend(match update.from {
        Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => from,
        None => Vec::new(),
    });
    let set = assigned(update.assignments, target)?;
    let mut columns = vec![ast::column(&target.alias, ROW), ast::number(UPDATE)];
    columns.extend(target.columns.iter().map(|field| {
        let value = set.iter().find(|(name, _)| name == field.name());
        value.map_or_else(|| ast::column(&target.alias, field.name()), |(_, value)| value.clone())
    }));
    ast::select(with, columns, from, update.selection)
}

/// What a MERGE does to rows of its target, and which rows come.
pub(super) fn merge(merge: Merge, with: Option<With>, target: &Target<'_>) -> Result<Query, Fault> {
    refuse(&[
        (merge.output.is_some(), "OUTPUT"),
        (!merge.optimizer_hints.is_empty(), "a hint"),
    ])?;
    let source = ast::called(&merge.source).ok_or_else(|| {
        let fault = Diagnostic::error(codes::BAD_QUERY, "the source of the MERGE has no name");
        Box::new(fault.with_remedy("write `using (…) as s`")) as Fault
    })?;
    if merge.clauses.is_empty() {
        let fault = Diagnostic::error(codes::BAD_QUERY, "the MERGE says of no row what to do");
        return Err(Box::new(
            fault.with_remedy("write `when matched then …` or `when not matched then …`"),
        ));
    }
    let marked = marked(merge.source, &source)?;
    let arms = merge
        .clauses
        .into_iter()
        .map(|clause| arm(clause, target, &source))
        .collect::<Result<Vec<_>, Fault>>()?;
    joined(with, &arms, target, marked, *merge.on)
}

/// Rows that come, but for those that are there by a key.
pub(super) struct Upsert {
    /// The rows that come, under the name `excluded`, with the column [`REPEAT`].
    pub(super) source: TableFactor,
    /// The key columns.
    pub(super) keys: Vec<String>,
    /// The columns that the rows have.
    pub(super) columns: Vec<String>,
    /// What becomes of a row that is there; nothing where it stays as it is.
    pub(super) update: Option<(Vec<Assignment>, Option<Expr>)>,
}

/// What rows of `excluded` are called.
pub(super) const EXCLUDED: &str = "excluded";

/// An INSERT with ON CONFLICT, as a merge.
pub(super) fn upsert(upsert: Upsert, target: &Target<'_>) -> Result<Query, Fault> {
    let equal = |key: &String| ast::equal(ast::column(&target.alias, key), ast::column(EXCLUDED, key));
    let on = upsert.keys.iter().map(equal).map(Some).fold(None, ast::and);
    let has_key = upsert
        .keys
        .iter()
        .map(|key| Some(ast::is_there(ast::column(EXCLUDED, key))))
        .fold(None, ast::and);
    let is_repeated = ast::and(
        Some(ast::greater(ast::column(EXCLUDED, REPEAT), ast::number(1))),
        has_key,
    );
    let mut arms = Vec::new();
    let repeated = Arm {
        kind: Kind::Any,
        condition: is_repeated,
        action: if upsert.update.is_some() { REPEATED } else { 0 },
        values: Vec::new(),
    };
    arms.push(repeated);
    if let Some((assignments, selection)) = upsert.update {
        arms.push(Arm {
            kind: Kind::Matched,
            condition: selection,
            action: UPDATE,
            values: assigned(assignments, target)?,
        });
    }
    let comes = upsert.columns.into_iter().map(|name| {
        let value = ast::column(EXCLUDED, &name);
        (name, value)
    });
    arms.push(Arm {
        kind: Kind::NotMatched,
        condition: None,
        action: INSERT,
        values: comes.collect(),
    });
    let source = marked(upsert.source, EXCLUDED)?;
    joined(None, &arms, target, source, on.unwrap_or_else(ast::null))
}

/// To which pairs of rows an arm belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Any,
    Matched,
    NotMatched,
    NotMatchedBySource,
}

/// One WHEN of a merge.
struct Arm {
    kind: Kind,
    condition: Option<Expr>,
    action: i64,
    /// The values of columns that are set; others stay, or are NULL in a row that comes.
    values: Vec<(String, Expr)>,
}

impl Arm {
    fn holds(&self, target: &Target<'_>, source: &str) -> Expr {
        let (row, there) = (ast::column(&target.alias, ROW), ast::column(source, THERE));
        let pair = match self.kind {
            Kind::Any => None,
            Kind::Matched => ast::and(Some(ast::is_there(row)), Some(ast::is_there(there))),
            Kind::NotMatched => Some(ast::is_missing(row)),
            Kind::NotMatchedBySource => Some(ast::is_missing(there)),
        };
        ast::and(pair, self.condition.clone()).unwrap_or_else(|| ast::is_there(ast::number(1)))
    }

    fn value(&self, name: &str, target: &Target<'_>) -> Expr {
        match self.values.iter().find(|(set, _)| set == name) {
            Some((_, value)) => value.clone(),
            None if self.action == UPDATE => ast::column(&target.alias, name),
            None => ast::null(),
        }
    }
}

fn joined(
    with: Option<With>,
    arms: &[Arm],
    target: &Target<'_>,
    source: TableFactor,
    on: Expr,
) -> Result<Query, Fault> {
    let source_name = ast::called(&source).unwrap_or_default();
    let has = |kind: Kind| arms.iter().any(|arm| arm.kind == kind || arm.kind == Kind::Any);
    let join = match (has(Kind::NotMatched), has(Kind::NotMatchedBySource)) {
        (true, true) if arms.iter().any(|arm| arm.kind == Kind::NotMatchedBySource) => JoinOperator::FullOuter,
        (true, _) => JoinOperator::RightOuter,
        (false, true) => JoinOperator::LeftOuter,
        (false, false) => JoinOperator::Inner,
    };
    let when = |result: &dyn Fn(&Arm) -> Expr| -> Vec<(Expr, Expr)> {
        arms.iter()
            .map(|arm| (arm.holds(target, &source_name), result(arm)))
            .collect()
    };
    let mut columns = vec![
        ast::column(&target.alias, ROW),
        ast::case(when(&|arm| ast::number(arm.action)), ast::number(0)),
    ];
    columns.extend(target.columns.iter().map(|field| {
        let whens = when(&|arm| arm.value(field.name(), target));
        ast::case(whens, ast::null())
    }));
    let from = ast::joined(ast::target(&target.alias)?, source, on, join);
    ast::select(with, columns, vec![from], None)
}

/// A source whose rows say that they are there.
fn marked(source: TableFactor, name: &str) -> Result<TableFactor, Fault> {
    let items = vec![
        SelectItem::Wildcard(WildcardAdditionalOptions::default()),
        SelectItem::ExprWithAlias {
            expr: ast::number(1),
            alias: ast::quoted(THERE),
        },
    ];
    let query = ast::select_items(None, items, vec![ast::alone(source)], None)?;
    Ok(ast::derived(query, ast::named(name)))
}

fn arm(clause: MergeClause, target: &Target<'_>, source: &str) -> Result<Arm, Fault> {
    let kind = match clause.clause_kind {
        MergeClauseKind::Matched => Kind::Matched,
        MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget => Kind::NotMatched,
        MergeClauseKind::NotMatchedBySource => Kind::NotMatchedBySource,
    };
    let (action, values) = match (clause.action, kind) {
        (MergeAction::Insert(insert), Kind::NotMatched) => {
            refuse(&[(insert.insert_predicate.is_some(), "WHERE after INSERT in MERGE")])?;
            (INSERT, inserted(insert.columns, insert.kind, target, source)?)
        }
        (MergeAction::Update(update), Kind::Matched | Kind::NotMatchedBySource) => {
            refuse(&[
                (update.update_predicate.is_some(), "WHERE after UPDATE in MERGE"),
                (update.delete_predicate.is_some(), "DELETE WHERE in MERGE"),
            ])?;
            (UPDATE, assigned(update.assignments, target)?)
        }
        (MergeAction::Delete { .. }, Kind::Matched | Kind::NotMatchedBySource) => (DELETE, Vec::new()),
        (MergeAction::Insert(_) | MergeAction::Update(_) | MergeAction::Delete { .. }, _) => {
            return Err(refused("this action for rows that are (not) matched"));
        }
    };
    Ok(Arm {
        kind,
        condition: clause.predicate,
        action,
        values,
    })
}

fn inserted(
    columns: Vec<ObjectName>,
    kind: MergeInsertKind,
    target: &Target<'_>,
    source: &str,
) -> Result<Vec<(String, Expr)>, Fault> {
    let names = if columns.is_empty() {
        target.columns.iter().map(|field| field.name().clone()).collect()
    } else {
        columns
            .iter()
            .map(|name| column_of(name, target))
            .collect::<Result<Vec<_>, Fault>>()?
    };
    let values = match kind {
        MergeInsertKind::Row => names.iter().map(|name| ast::column(source, name)).collect(),
        MergeInsertKind::Values(values) => match <[_; 1]>::try_from(values.rows) {
            Ok([row]) => row.content,
            Err(_) => return Err(refused("more than one row of values in MERGE")),
        },
    };
    if values.len() != names.len() {
        return Err(count_differs(names.len(), values.len()));
    }
    for value in &values {
        only_source(value, &target.alias, source)?;
    }
    Ok(names.into_iter().zip(values.into_iter().map(default_is_null)).collect())
}

/// A row that comes has no row of the target: its values may name the source alone.
fn only_source(value: &Expr, target: &str, source: &str) -> Result<(), Fault> {
    let named = visit_expressions(value, |expr: &Expr| match expr {
        Expr::CompoundIdentifier(parts)
            if parts.len() > 1 && hidden::folded(&parts[0]) == target && target != source =>
        {
            ControlFlow::Break(expr.to_string())
        }
        _ => ControlFlow::Continue(()),
    });
    match named {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(name) => Err(Box::new(
            Diagnostic::error(
                codes::BAD_QUERY,
                format!("`{name}` is of the table that is merged into, which has no row there"),
            )
            .with_remedy(format!("name columns of `{source}`")),
        )),
    }
}

/// That a row has more or fewer values than columns are named.
pub(super) fn count_differs(columns: usize, values: usize) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::BAD_QUERY,
            format!("{columns} columns are to be set and {values} values are given"),
        )
        .with_remedy("name the columns that get the values: `insert into t (a, b) …`"),
    )
}

/// `DEFAULT` is NULL: columns have no other default.
pub(super) fn default_is_null(value: Expr) -> Expr {
    match value {
        Expr::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default") => {
            ast::null()
        }
        other => other,
    }
}

/// The columns that are set, each once, with their values.
fn assigned(assignments: Vec<Assignment>, target: &Target<'_>) -> Result<Vec<(String, Expr)>, Fault> {
    let mut set: Vec<(String, Expr)> = Vec::new();
    for assignment in assignments {
        let pairs = match assignment.target {
            AssignmentTarget::ColumnName(name) => vec![(name, assignment.value)],
            AssignmentTarget::Tuple(names) => match assignment.value {
                Expr::Tuple(values) if values.len() == names.len() => names.into_iter().zip(values).collect(),
                _ => return Err(refused("SET of several columns by one query")),
            },
        };
        for (name, value) in pairs {
            let column = column_of(&name, target)?;
            if target.fixed.contains(&column) {
                return Err(fixed(&column));
            }
            if set.iter().any(|(known, _)| *known == column) {
                return Err(Box::new(
                    Diagnostic::error(codes::BAD_QUERY, format!("the column `{column}` is set twice"))
                        .with_remedy("set it once"),
                ));
            }
            set.push((column, default_is_null(value)));
        }
    }
    Ok(set)
}

/// The column of the target that a name means.
pub(super) fn column_of(name: &ObjectName, target: &Target<'_>) -> Result<String, Fault> {
    let parts: Vec<String> = name
        .0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(hidden::folded)
        .collect();
    let column = match parts.as_slice() {
        [column] => column,
        [of, column] if *of == target.alias => column,
        _ => return Err(no_column(&name.to_string(), &target.alias, target.columns)),
    };
    match target.columns.iter().find(|field| field.name() == column) {
        Some(field) => Ok(field.name().clone()),
        None => Err(no_column(column, &target.alias, target.columns)),
    }
}

fn fixed(column: &str) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::NOT_CHANGEABLE,
            format!("`{column}` says in which interval a row lies: it cannot be set by hand"),
        )
        .with_remedy("change what the model reads, and let it fill the interval again"),
    )
}

fn refuse(parts: &[(bool, &str)]) -> Result<(), Fault> {
    match parts.iter().find(|(is_there, _)| *is_there) {
        Some((_, what)) => Err(refused(what)),
        None => Ok(()),
    }
}

/// That a part of a statement is not done here.
pub(super) fn refused(what: &str) -> Fault {
    unsupported(what, &Author::Typed)
}
