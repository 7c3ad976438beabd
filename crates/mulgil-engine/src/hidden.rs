//! The columns that interval tables carry for us: `_interval` and `_day`. They are not in
//! `select *`, but whoever names them may read them: only SQL that mentions one gets tables that
//! show them, and its wildcards are then written out without them.

use std::{collections::VecDeque, ops::ControlFlow};

use datafusion::sql::{
    parser::Statement as DfStatement,
    sqlparser::{
        ast::{
            ExceptSelectItem, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
            SelectItemQualifiedWildcardKind, Statement, TableFactor, VisitMut, VisitorMut, WildcardAdditionalOptions,
        },
        dialect::GenericDialect,
        tokenizer::{Token, Tokenizer},
    },
};
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    grid::{Cut, Grid, Unit},
    port::Fault,
};

/// The start of a row's interval.
pub(crate) const INTERVAL: &str = "_interval";
/// The date of the start of a row's interval, in the node's zone.
pub(crate) const DAY: &str = "_day";

/// How the rows of a grid are partitioned by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimePartition {
    /// Not at all.
    None,
    /// By `_interval`: days and coarser.
    Interval,
    /// By `_day`, with `_interval` an ordinary column: hours and crons.
    Day,
}

impl TimePartition {
    /// That of a grid.
    pub(crate) fn of(grid: &Grid) -> Self {
        match &grid.cut {
            Cut::Whole => Self::None,
            Cut::Unit(Unit::Day | Unit::Week | Unit::Month | Unit::Year) => Self::Interval,
            Cut::Unit(Unit::Hour) | Cut::Cron(_) => Self::Day,
        }
    }

    /// The hidden columns of a table of that kind.
    pub(crate) fn hidden(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::Interval => &[INTERVAL],
            Self::Day => &[INTERVAL, DAY],
        }
    }
}

/// Whether SQL names a hidden column anywhere.
pub(crate) fn is_mentioned(sql: &str) -> bool {
    let lower = sql.to_lowercase();
    if !lower.contains(INTERVAL) && !lower.contains(DAY) {
        return false;
    }
    Tokenizer::new(&GenericDialect {}, sql)
        .tokenize()
        .unwrap_or_default()
        .into_iter()
        .any(|token| match token {
            Token::Word(word) => matches!(&*folded_word(&word.value, word.quote_style), INTERVAL | DAY),
            _ => false,
        })
}

/// Writes the wildcards of a statement out so that they leave out the hidden columns of the tables
/// they stand for. `hidden_of` tells which a table of that name has.
pub(crate) fn write_out_wildcards(
    statement: &mut DfStatement,
    hidden_of: &dyn Fn(&ObjectName) -> &'static [&'static str],
) -> Result<(), Fault> {
    match statement {
        DfStatement::Statement(statement) => {
            let mut rewriter = Rewriter {
                hidden_of,
                scopes: Vec::new(),
            };
            match Statement::visit(statement, &mut rewriter) {
                ControlFlow::Break(fault) => Err(fault),
                ControlFlow::Continue(()) => Ok(()),
            }
        }
        DfStatement::Explain(explain) => write_out_wildcards(&mut explain.statement, hidden_of),
        DfStatement::CreateExternalTable(_) | DfStatement::CopyTo(_) | DfStatement::Reset(_) => Ok(()),
    }
}

struct Rewriter<'a> {
    hidden_of: &'a dyn Fn(&ObjectName) -> &'static [&'static str],
    /// The queries around the current place, the outermost first.
    scopes: Vec<Scope>,
}

/// The names of a query's common table expressions: they stand before tables of the same name.
#[derive(Default)]
struct Scope {
    /// Those whose own queries have been passed: only from there on they mean something.
    known: Vec<String>,
    /// The others, the next one first.
    coming: VecDeque<String>,
}

/// One thing that a wildcard stands for.
struct Part {
    name: ObjectName,
    hidden: &'static [&'static str],
}

impl VisitorMut for Rewriter<'_> {
    type Break = Fault;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Fault> {
        let mut scope = Scope::default();
        if let Some(with) = &query.with {
            let names = with.cte_tables.iter().map(|cte| folded(&cte.alias.name));
            if with.recursive {
                scope.known = names.collect();
            } else {
                scope.coming = names.collect();
            }
        }
        self.scopes.push(scope);
        ControlFlow::Continue(())
    }

    /// The first queries inside a query are those of its common table expressions, in order.
    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Fault> {
        self.scopes.pop();
        if let Some(around) = self.scopes.last_mut() {
            around.known.extend(around.coming.pop_front());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Fault> {
        match self.rewrite(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(fault) => ControlFlow::Break(fault),
        }
    }
}

impl Rewriter<'_> {
    fn rewrite(&self, select: &mut Select) -> Result<(), Fault> {
        let has_wildcard = select
            .projection
            .iter()
            .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
        if !has_wildcard {
            return Ok(());
        }
        let factors = || {
            select
                .from
                .iter()
                .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)))
        };
        if factors().all(|factor| self.hidden(factor).is_empty()) {
            return Ok(());
        }
        let plain_joins = select.from.iter().flat_map(|from| &from.joins).all(keeps_all_columns);
        let parts: Option<Vec<Part>> = factors().map(|factor| self.part(factor)).collect();
        let projection = std::mem::take(&mut select.projection);
        for item in projection {
            match (item, &parts) {
                (SelectItem::Wildcard(options), Some(parts))
                    if plain_joins && (parts.len() == 1 || is_bare(&options)) =>
                {
                    select
                        .projection
                        .extend(parts.iter().map(|part| part.wildcard(options.clone())));
                }
                (SelectItem::Wildcard(_), _) => return Err(unclear()),
                (SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options), parts) => {
                    let hidden = parts
                        .iter()
                        .flatten()
                        .find(|part| part.name == name || part.name.0.last() == name.0.last())
                        .map_or(&[][..], |part| part.hidden);
                    select.projection.push(Part { name, hidden }.wildcard(options));
                }
                (other, _) => select.projection.push(other),
            }
        }
        Ok(())
    }

    fn hidden(&self, factor: &TableFactor) -> &'static [&'static str] {
        match factor {
            TableFactor::Table { name, .. } if !self.is_local(name) => (self.hidden_of)(name),
            _ => &[],
        }
    }

    fn is_local(&self, name: &ObjectName) -> bool {
        let [part] = &name.0[..] else {
            return false;
        };
        let name = part.as_ident().map(folded).unwrap_or_default();
        self.scopes.iter().any(|scope| scope.known.contains(&name))
    }

    /// What a wildcard calls a table; nothing for what has no name.
    fn part(&self, factor: &TableFactor) -> Option<Part> {
        let hidden = self.hidden(factor);
        let alias = match factor {
            TableFactor::Table { name, alias: None, .. } => {
                return Some(Part {
                    name: name.clone(),
                    hidden,
                });
            }
            TableFactor::Table { alias, .. }
            | TableFactor::Derived { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::UNNEST { alias, .. } => alias.as_ref()?,
            _ => return None,
        };
        Some(Part {
            name: ObjectName::from(vec![alias.name.clone()]),
            hidden,
        })
    }
}

impl Part {
    /// `name.* except (…)`.
    fn wildcard(&self, mut options: WildcardAdditionalOptions) -> SelectItem {
        let mut left_out: Vec<Ident> = self
            .hidden
            .iter()
            .map(|column| Ident::with_quote('"', *column))
            .collect();
        if let Some(except) = options.opt_except.take() {
            left_out.push(except.first_element);
            left_out.extend(except.additional_elements);
        }
        if !left_out.is_empty() {
            let first_element = left_out.remove(0);
            options.opt_except = Some(ExceptSelectItem {
                first_element,
                additional_elements: left_out,
            });
        }
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(self.name.clone()), options)
    }
}

/// A name as the planner takes it: without quotes its case does not count.
/// A name as SQL means it: in small letters where it is not quoted.
pub(crate) fn folded(name: &Ident) -> String {
    folded_word(&name.value, name.quote_style)
}

fn folded_word(word: &str, quote: Option<char>) -> String {
    match quote {
        Some(_) => word.to_owned(),
        None => word.to_lowercase(),
    }
}

/// Whether a wildcard over the join is the wildcards of its sides, one after the other.
fn keeps_all_columns(join: &Join) -> bool {
    match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint) => matches!(constraint, JoinConstraint::On(_) | JoinConstraint::None),
        _ => false,
    }
}

fn is_bare(options: &WildcardAdditionalOptions) -> bool {
    options.opt_exclude.is_none() && options.opt_except.is_none() && options.opt_replace.is_none()
}

fn unclear() -> Fault {
    Box::new(
        Diagnostic::error(
            codes::SQL_INVALID,
            format!(
                "`*` over a join like this cannot be told apart from `{INTERVAL}` and `{DAY}`, which the SQL names"
            ),
        )
        .with_remedy("name the columns instead of `*`, or join `on` a condition"),
    )
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn rewritten(sql: &str) -> Result<String, Fault> {
        let mut statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
        write_out_wildcards(&mut statement, &|name| {
            if name.to_string().trim_matches('"').to_lowercase() == "days" {
                &[INTERVAL]
            } else {
                &[]
            }
        })?;
        Ok(statement.to_string())
    }

    #[test]
    fn only_identifiers_count_as_mentions() {
        assert!(is_mentioned("select _interval from t"));
        assert!(is_mentioned("select t.\"_day\" from t"));
        assert!(is_mentioned("select _INTERVAL from t"));
        assert!(!is_mentioned("select \"_INTERVAL\" from t"));
        assert!(!is_mentioned("select '_interval' from t -- _day"));
        assert!(!is_mentioned("select my_interval from t"));
    }

    #[test]
    fn wildcards_leave_out_the_hidden_columns_of_each_table() {
        for (sql, expected) in [
            (
                "SELECT *, _interval FROM days",
                "SELECT days.* EXCEPT (\"_interval\"), _interval FROM days",
            ),
            (
                "SELECT * FROM days AS d JOIN other AS o ON d.a = o.a",
                "SELECT d.* EXCEPT (\"_interval\"), o.* FROM days AS d JOIN other AS o ON d.a = o.a",
            ),
            (
                "SELECT d.* FROM days AS d",
                "SELECT d.* EXCEPT (\"_interval\") FROM days AS d",
            ),
            ("SELECT * FROM other", "SELECT * FROM other"),
            (
                "WITH days AS (SELECT _interval AS i FROM x) SELECT * FROM days",
                "WITH days AS (SELECT _interval AS i FROM x) SELECT * FROM days",
            ),
            (
                "WITH days AS (SELECT _interval, * FROM days) SELECT * FROM Days",
                "WITH days AS (SELECT _interval, days.* EXCEPT (\"_interval\") FROM days) SELECT * FROM Days",
            ),
            (
                "WITH a AS (SELECT * FROM days), days AS (SELECT * FROM a) SELECT * FROM days",
                "WITH a AS (SELECT days.* EXCEPT (\"_interval\") FROM days), days AS (SELECT * FROM a) SELECT * FROM days",
            ),
            (
                "SELECT * FROM (WITH days AS (SELECT 1 AS a) SELECT * FROM days) AS x UNION ALL SELECT * FROM days",
                "SELECT * FROM (WITH days AS (SELECT 1 AS a) SELECT * FROM days) AS x UNION ALL \
                 SELECT days.* EXCEPT (\"_interval\") FROM days",
            ),
            (
                "WITH RECURSIVE days AS (SELECT 1 AS a UNION ALL SELECT * FROM days) SELECT * FROM days",
                "WITH RECURSIVE days AS (SELECT 1 AS a UNION ALL SELECT * FROM days) SELECT * FROM days",
            ),
        ] {
            assert_eq!(rewritten(sql).unwrap(), expected);
        }
        assert_eq!(
            rewritten("SELECT * FROM days JOIN other USING (a)").unwrap_err().code,
            codes::SQL_INVALID
        );
    }
}
