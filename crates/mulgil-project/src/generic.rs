//! Data tests that a project writes itself: `{% test name(model, column_name) %}` becomes a macro,
//! and each use of it a text that calls the macro. Text in, text out.

use serde_json::Value as Json;

/// What stands before the name of such a test's macro.
pub(crate) const PREFIX: &str = "test_";

/// The text with its `test` blocks as macros, line by line where they were.
pub(crate) fn as_macros(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find("{%") {
        let (before, tag) = rest.split_at(open);
        out.push_str(before);
        let end = tag.find("%}").map_or(tag.len(), |end| end + 2);
        let (tag, after) = tag.split_at(end);
        out.push_str(&macro_tag(tag).unwrap_or_else(|| tag.to_owned()));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The tag of a macro in the place of a test's.
fn macro_tag(tag: &str) -> Option<String> {
    let inner = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let (dash, inner) = inner.strip_prefix('-').map_or(("", inner), |rest| ("-", rest));
    let trimmed = inner.trim_start();
    let space = &inner[..inner.len() - trimmed.len()];
    let end = trimmed
        .find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .unwrap_or(trimmed.len());
    let (word, rest) = trimmed.split_at(end);
    match word {
        "test" | "data_test" => Some(format!("{{%{dash}{space}macro {PREFIX}{}%}}", rest.trim_start())),
        "endtest" | "enddata_test" => Some(format!("{{%{dash}{space}endmacro{rest}%}}")),
        _ => None,
    }
}

/// The text that calls the macro of a test for a node.
pub(crate) fn call(word: &str, model: &str, filter: Option<&str>, arguments: &[(String, Json)]) -> String {
    let rows = match filter {
        Some(filter) => format!("(select * from {{{{ ref('{model}') }}}} where {filter}) as filtered_rows"),
        None => format!("{{{{ ref('{model}') }}}}"),
    };
    let mut text = format!("{{% set test_model_ %}}{rows}{{% endset %}}");
    let mut given = vec!["model=test_model_".to_owned()];
    for (index, (key, value)) in arguments.iter().enumerate() {
        match value.as_str() {
            Some(template) if template.contains("{{") || template.contains("{%") => {
                text.push_str(&format!("{{% set test_{index}_ %}}{template}{{% endset %}}"));
                given.push(format!("{key}=test_{index}_"));
            }
            Some(expression) if is_call(expression) => given.push(format!("{key}={expression}")),
            _ => given.push(format!("{key}={}", literal(value))),
        }
    }
    text.push_str(&format!("{{{{ {PREFIX}{word}({}) }}}}", given.join(", ")));
    text
}

/// Whether a text is a call such as `ref('orders')`, which dbt lets stand without braces.
fn is_call(text: &str) -> bool {
    let text = text.trim();
    text.ends_with(')')
        && ["ref(", "source(", "var(", "env_var("]
            .iter()
            .any(|call| text.starts_with(call))
}

/// A value as templates write it.
fn literal(value: &Json) -> String {
    match value {
        Json::Null => "none".to_owned(),
        Json::Bool(_) | Json::Number(_) | Json::String(_) => value.to_string(),
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(literal).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(key, value)| format!("{}: {}", Json::from(key.as_str()), literal(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}

/// The name that dbt gives to such a test: its word, the node, and the values of its arguments in
/// the order of their names.
pub(crate) fn name(word: &str, model: &str, mut arguments: Vec<(String, Json)>) -> String {
    arguments.sort_by(|one, other| one.0.cmp(&other.0));
    let values: Vec<String> = arguments.iter().flat_map(|(_, value)| flat(value)).collect();
    format!("{word}_{model}_{}", values.join("__"))
}

fn flat(value: &Json) -> Vec<String> {
    let values: Vec<&Json> = match value {
        Json::Array(items) => items.iter().collect(),
        Json::Object(fields) => fields.values().collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => vec![value],
    };
    values.into_iter().map(|value| cleaned(&printed(value))).collect()
}

/// A value as dbt prints it, which is as Python does.
fn printed(value: &Json) -> String {
    match value {
        Json::Null => "None".to_owned(),
        Json::Bool(true) => "True".to_owned(),
        Json::Bool(false) => "False".to_owned(),
        Json::String(text) => text.clone(),
        Json::Number(_) | Json::Array(_) | Json::Object(_) => value.to_string(),
    }
}

/// The text with one `_` for each run of letters that a name does not have.
fn cleaned(text: &str) -> String {
    let mut out = String::new();
    let mut in_gap = false;
    for letter in text.chars() {
        let is_plain = letter.is_ascii_alphanumeric() || letter == '_';
        if is_plain {
            out.push(letter);
        } else if !in_gap {
            out.push('_');
        }
        in_gap = !is_plain;
    }
    out
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    #[test]
    fn blocks_become_macros_and_lines_stay() {
        assert_snapshot!(
            as_macros("{%- test even(model, column_name) -%}\nselect 1\n{%- endtest %}\n{% macro x() %}{% endmacro %}\n{% data_test odd(model) %}\n{% enddata_test %}"),
            @"
        {%- macro test_even(model, column_name) -%}
        select 1
        {%- endmacro %}
        {% macro x() %}{% endmacro %}
        {% macro test_odd(model) %}
        {% endmacro %}
        "
        );
    }

    #[test]
    fn a_use_is_a_call() {
        let arguments = [
            ("column_name".to_owned(), json!("id")),
            ("to".to_owned(), json!("ref('b')")),
            ("least".to_owned(), json!("{{ var('least') }}")),
            ("of".to_owned(), json!([1, "x", null, {"a": true}])),
        ];
        assert_snapshot!(
            call("within", "a", Some("id > 0"), &arguments),
            @r#"{% set test_model_ %}(select * from {{ ref('a') }} where id > 0) as filtered_rows{% endset %}{% set test_2_ %}{{ var('least') }}{% endset %}{{ test_within(model=test_model_, column_name="id", to=ref('b'), least=test_2_, of=[1, "x", none, {"a": true}]) }}"#
        );
        assert_snapshot!(name("within", "a", arguments.to_vec()), @"within_a_id___var_least___1__x__None___a_true___ref_b_");
        assert_eq!(name("whole", "a", Vec::new()), "whole_a_");
    }
}
