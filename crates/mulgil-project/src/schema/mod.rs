//! What may stand in `mulgil.yml` and in the files of `flows`, as JSON Schema (draft 7): editors complete and check
//! by it. Which keys there are is taken from the tables that the loader itself looks into; what is said of each
//! stands here. Where the loader takes more than a schema can say, the schema lets it pass.

mod flow;
mod project;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value as Json, json};

/// Of `mulgil.yml`.
pub fn project() -> Json {
    with_head("mulgil.yml", project::schema())
}

/// Of the files of `flows`.
pub fn flow() -> Json {
    with_head("a flow of Mulgil", flow::schema())
}

fn with_head(title: &str, schema: Json) -> Json {
    let mut head = Map::new();
    head.insert("$schema".to_owned(), "http://json-schema.org/draft-07/schema#".into());
    head.insert("title".to_owned(), title.into());
    if let Json::Object(schema) = schema {
        head.extend(schema);
    }
    Json::Object(head)
}

/// A mapping with the keys of a table and no others.
fn object(keys: &[&str], schema_of: impl Fn(&str) -> Json) -> Json {
    let properties: Map<String, Json> = keys.iter().map(|key| ((*key).to_owned(), schema_of(key))).collect();
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

/// The same with keys that have to be there.
fn object_with(required: &[&str], keys: &[&str], schema_of: impl Fn(&str) -> Json) -> Json {
    let mut schema = object(keys, schema_of);
    schema["required"] = json!(required);
    schema
}

/// A mapping of names to values of one kind.
fn map_of(value: &Json) -> Json {
    json!({"type": ["object", "null"], "additionalProperties": value})
}

fn text() -> Json {
    json!({"type": ["string", "number", "boolean"]})
}

fn texts() -> Json {
    json!({"anyOf": [text(), {"type": "array", "items": text()}]})
}

fn flag() -> Json {
    json!({"type": "boolean"})
}

fn whole(least: u64, most: u64) -> Json {
    json!({"type": "integer", "minimum": least, "maximum": most})
}

/// A span of time: `20m`.
fn span() -> Json {
    json!({"type": "string", "pattern": "^\\s*[0-9]+\\s*(s|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?)\\s*$"})
}

fn one_of(words: &[&str]) -> Json {
    json!({"enum": words})
}

fn any() -> Json {
    json!({})
}

/// A cron, or one in a zone.
fn schedule() -> Json {
    let of = |key: &str| match key {
        "cron" => said("When: minute, hour, day, month, weekday.", text()),
        "timezone" => said("In which zone; else that of the flow or the model.", text()),
        _ => any(),
    };
    json!({"anyOf": [{"type": "string"}, object_with(&["cron"], crate::settings::SCHEDULE_KEYS, of)]})
}

/// A schema with what an editor shows beside the key.
fn said(text: &str, mut schema: Json) -> Json {
    schema["description"] = text.into();
    schema
}
