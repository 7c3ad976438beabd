//! Data tests as queries: the rows that they return are failures.

use mulgil_core::{name::NodeName, project::TestKind};

use crate::data_test::Rows;

/// The name of the count of equal rows; one that a tested column is not likely to have.
const ROWS: &str = "__rows";

/// What a row that breaks a test meets, where no other row matters and all rows are looked at.
pub(crate) fn row_breaks_if(kind: &TestKind, rows: &Rows) -> Option<String> {
    if rows.filter.is_some() || rows.limit.is_some() {
        return None;
    }
    match kind {
        TestKind::NotNull { column } => Some(format!("{} is null", quoted(column))),
        TestKind::AcceptedValues { column, values, quote } => Some(is_other(column, values, *quote)),
        TestKind::Unique { .. } | TestKind::Relationships { .. } | TestKind::Query { .. } => None,
    }
}

/// That a column has none of some values.
fn is_other(column: &str, values: &[String], quote: bool) -> String {
    let column = quoted(column);
    // A quoted value is compared as a text, whatever the column is.
    let compared = if quote {
        format!("cast({column} as varchar)")
    } else {
        column
    };
    let value = |value: &String| {
        if quote {
            format!("'{}'", value.replace('\'', "''"))
        } else {
            value.clone()
        }
    };
    let values: Vec<String> = values.iter().map(value).collect();
    format!("{compared} not in ({})", values.join(", "))
}

/// The query of a data test over a node, by the names of nodes. Nothing for one whose query the
/// project writes itself.
pub(crate) fn test_sql(node: &NodeName, kind: &TestKind, rows: &Rows) -> Option<String> {
    let from = match &rows.filter {
        Some(filter) => format!("(select * from \"{node}\" where {filter})"),
        None => format!("\"{node}\""),
    };
    let from = from.as_str();
    // A part of a table needs a name of its own.
    let named = if rows.filter.is_some() {
        format!("{from} as filtered_rows")
    } else {
        from.to_owned()
    };
    let sql = match kind {
        TestKind::NotNull { column } => {
            let column = quoted(column);
            format!("select * from {named} where {column} is null")
        }
        TestKind::Unique { column } => {
            let column = quoted(column);
            format!(
                "select {column}, count(*) as {ROWS} from {named} where {column} is not null group by {column} having count(*) > 1"
            )
        }
        TestKind::AcceptedValues { column, values, quote } => {
            let (named_column, other) = (quoted(column), is_other(column, values, *quote));
            format!("select {named_column}, count(*) as {ROWS} from {named} where {other} group by {named_column}")
        }
        TestKind::Relationships { column, to, field } => {
            let (column, field) = (quoted(column), quoted(field));
            format!(
                "select child.* from {from} as child left join (select distinct {field} as parent_key from \"{to}\") as parent \
                 on child.{column} = parent.parent_key where child.{column} is not null and parent.parent_key is null"
            )
        }
        TestKind::Query { .. } => return None,
    };
    Some(limited(sql, rows.limit))
}

/// The query with no more rows than are counted.
pub(crate) fn limited(sql: String, limit: Option<u32>) -> String {
    match limit {
        Some(limit) => format!(
            "select * from (\n{}\n) as failing_rows limit {limit}",
            sql.trim_end().trim_end_matches(';')
        ),
        None => sql,
    }
}

/// A column as SQL writes it. What could not be the name of a column is an expression, as dbt lets it
/// stand.
fn quoted(column: &str) -> String {
    let is_name = column.chars().all(|sign| sign.is_alphanumeric() || sign == '_');
    if is_name {
        format!("\"{column}\"")
    } else {
        format!("({column})")
    }
}
