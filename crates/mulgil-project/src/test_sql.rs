//! Data tests as queries: the rows that they return are failures.

use mulgil_core::{name::NodeName, project::TestKind};

/// The name of the count of equal rows; one that a tested column is not likely to have.
const ROWS: &str = "__rows";

/// The query of a data test over a node, by the names of nodes.
pub(crate) fn test_sql(node: &NodeName, kind: &TestKind) -> String {
    match kind {
        TestKind::NotNull { column } => {
            let column = quoted(column);
            format!("select * from \"{node}\" where {column} is null")
        }
        TestKind::Unique { column } => {
            let column = quoted(column);
            format!(
                "select {column}, count(*) as {ROWS} from \"{node}\" where {column} is not null group by {column} having count(*) > 1"
            )
        }
        TestKind::AcceptedValues { column, values, quote } => {
            let column = quoted(column);
            // A quoted value is compared as a text, whatever the column is.
            let compared = if *quote {
                format!("cast({column} as varchar)")
            } else {
                column.clone()
            };
            let values: Vec<String> = values
                .iter()
                .map(|value| {
                    if *quote {
                        format!("'{}'", value.replace('\'', "''"))
                    } else {
                        value.clone()
                    }
                })
                .collect();
            format!(
                "select {column}, count(*) as {ROWS} from \"{node}\" where {compared} not in ({}) group by {column}",
                values.join(", ")
            )
        }
        TestKind::Relationships { column, to, field } => {
            let (column, field) = (quoted(column), quoted(field));
            format!(
                "select child.* from \"{node}\" as child left join (select distinct {field} as parent_key from \"{to}\") as parent \
                 on child.{column} = parent.parent_key where child.{column} is not null and parent.parent_key is null"
            )
        }
    }
}

fn quoted(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}
