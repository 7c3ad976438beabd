//! A few rows of a table, asked of the engine within bounds of rows, columns, bytes and time.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    name::NodeName,
    port::{ByteSink, Fault, Format, QueryLimits, SessionSpec, SourceSeen},
    publish::ReadVersions,
};
use mulgil_web::view::table::{SAMPLE_COLUMNS, SAMPLE_ROWS, Sample};

use super::Sight;

/// Milliseconds that a sample may take.
const TIMEOUT_MS: u64 = 5_000;
/// Bytes of rows that are read.
const MAX_BYTES: usize = 4 << 20;
/// Characters of a value that are shown.
const MAX_CHARS: usize = 300;

/// Sources as they were last seen, those that matter.
type Seen = BTreeMap<NodeName, SourceSeen>;

/// The first rows of a relation, `schema.name` or a source's name, with these columns.
pub(super) async fn sample(sight: Sight<'_>, relation: &[&str], columns: &[String], seen: &Seen) -> Sample {
    match rows(sight, relation, columns, seen).await {
        Ok(sample) => sample,
        Err(fault) => Sample::Fault(fault),
    }
}

async fn rows(sight: Sight<'_>, relation: &[&str], columns: &[String], seen: &Seen) -> Result<Sample, Fault> {
    let shown = &columns[..columns.len().min(SAMPLE_COLUMNS)];
    let list = if shown.is_empty() {
        "*".to_owned()
    } else {
        shown.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
    };
    let from: Vec<String> = relation.iter().map(|part| quoted(part)).collect();
    let sql = format!("select {list} from {} limit {SAMPLE_ROWS}", from.join("."));
    let mut session = sight.program.runner.engine.session(&spec(sight, seen));
    let limits = QueryLimits {
        timeout_ms: TIMEOUT_MS,
        max_rows: Some(SAMPLE_ROWS as u64),
    };
    let mut bytes = Bounded::default();
    session.run(&sql, Format::JsonLines, limits, &mut bytes).await?;
    let lines = String::from_utf8_lossy(&bytes.0).into_owned();
    let objects = lines.lines().filter_map(|line| serde_json::from_str(line).ok());
    let objects: Vec<serde_json::Map<String, serde_json::Value>> = objects.collect();
    let shown = match (shown.is_empty(), objects.first()) {
        (true, Some(first)) => first.keys().take(SAMPLE_COLUMNS).cloned().collect(),
        (_, _) => shown.to_vec(),
    };
    let value = |object: &serde_json::Map<_, _>, column: &String| object.get(column).and_then(text);
    let rows = objects
        .iter()
        .map(|object| shown.iter().map(|column| value(object, column)).collect());
    Ok(Sample::Rows {
        rows: rows.collect(),
        more_columns: columns.len().saturating_sub(shown.len()) as u64,
        columns: shown,
    })
}

/// What the query may name: tables as readers see them, and sources as they were last seen.
fn spec(sight: Sight<'_>, seen: &Seen) -> SessionSpec {
    let Sight { opened, picture, .. } = sight;
    let known: BTreeSet<_> = picture.catalog.relations.values().map(|entry| &entry.node).collect();
    let exists = |name: &_| known.contains(name);
    let mut bindings = opened.compiler.query_bindings(&exists, seen);
    let published = |relation: &_| picture.state.tables.get(relation).map(|table| table.published);
    ReadVersions::of(&opened.project, published).pin(&mut bindings, None);
    SessionSpec {
        bindings,
        zone: opened.project.zone.clone(),
        schema: opened.project.schema.clone(),
        as_of: None,
    }
}

/// A name as SQL writes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A value as text; nothing for NULL.
fn text(value: &serde_json::Value) -> Option<String> {
    let text = match value {
        serde_json::Value::Null => return None,
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Some(match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    })
}

/// Bytes, up to a bound.
#[derive(Default)]
struct Bounded(Vec<u8>);

#[async_trait]
impl ByteSink for Bounded {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.0.len() + bytes.len() > MAX_BYTES {
            return Err(Box::new(
                Diagnostic::error(
                    codes::USAGE,
                    "the first rows of the table are too large to be shown here",
                )
                .with_remedy("ask for some of its columns: `mulgil query`")
                .with_retry(Retry::Never),
            ));
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_values_cut() {
        assert_eq!(quoted("a\"; drop table b"), "\"a\"\"; drop table b\"");
        assert_eq!(text(&serde_json::json!(null)), None);
        assert_eq!(text(&serde_json::json!(1.5)).as_deref(), Some("1.5"));
        let long = text(&serde_json::json!("물".repeat(1_000))).unwrap();
        assert_eq!(long.chars().count(), MAX_CHARS + 1);
    }
}
