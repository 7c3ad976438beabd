//! Whether a template does more with the interval than print it. Its rendering for one interval
//! does not say then what it is for another, and only its own text does.

use crate::sql;

/// The words that stand for the interval.
const WORDS: &[&str] = &["interval", "ds", "ds_nodash", "batch"];
/// The expressions that are the interval's edges; with a filter behind them they are printed too.
const EDGES: &[&str] = &[
    "interval.start",
    "interval.end",
    "ds_nodash",
    "ds",
    "model.batch.event_time_start",
    "model.batch.event_time_end",
];

/// Whether a template has the interval in a statement, or in an expression that does not just
/// print it.
pub(crate) fn on_interval(source: &str) -> bool {
    let text = without_comments(source);
    let statements = between(&text, "{%", "%}").any(names_interval);
    statements || between(&text, "{{", "}}").any(|part| names_interval(part) && !prints_edge(part))
}

/// A template's text in which its comments and layout do not count.
pub(crate) fn canonical(source: &str) -> String {
    sql::tokens(&without_comments(source))
}

fn without_comments(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, comment)) = rest.split_once("{#") {
        text.push_str(before);
        rest = comment.split_once("#}").map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text
}

fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(open)
        .skip(1)
        .map(move |part| part.split_once(close).map_or(part, |(inside, _)| inside))
}

/// Whether one of the words stands there, but not as the name of an argument.
fn names_interval(part: &str) -> bool {
    let unquoted = unquoted(part);
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut rest = unquoted.as_str();
    while let Some(start) = rest.find(is_letter) {
        let after = rest[start..].trim_start_matches(is_letter);
        let word = &rest[start..rest.len() - after.len()];
        let next = after.trim_start();
        let is_argument = next.starts_with('=') && !next.starts_with("==");
        if WORDS.contains(&word) && !is_argument {
            return true;
        }
        rest = after;
    }
    false
}

fn unquoted(part: &str) -> String {
    let mut quote = None;
    part.chars()
        .filter(|letter| {
            let is_outside = quote.is_none();
            if quote == Some(*letter) {
                quote = None;
            } else if is_outside && matches!(letter, '\'' | '"') {
                quote = Some(*letter);
            }
            is_outside
        })
        .collect()
}

fn prints_edge(part: &str) -> bool {
    let part: String = part.trim_matches(['-', '+']).split_whitespace().collect();
    let (edge, filter) = part.split_once('|').unwrap_or((&part, ""));
    let pattern = filter
        .strip_prefix("date(")
        .and_then(|rest| rest.strip_suffix(')'))
        .map(unquoted);
    let is_plain = matches!(filter, "" | "date" | "epoch") || matches!(pattern.as_deref(), Some("" | "'" | "\""));
    EDGES.contains(&edge) && is_plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_an_edge_is_no_branch() {
        for source in [
            "{{ config(interval='day', batch=7) }} select 1",
            "select '{{ interval.start }}', {{- interval.end | epoch -}}",
            "select '{{ ds }}', '{{ ds_nodash }}', '{{ interval.start | date(\"%Y %m\") }}'",
            "select '{{ model.batch.event_time_start | date }}' {# if interval.start #}",
            "{% if var('interval') == 'ds' %} select interval '1 day' {% endif %}",
        ] {
            assert!(!on_interval(source), "{source}");
        }
    }

    #[test]
    fn anything_else_is() {
        for source in [
            "{% if interval.start | date('%u') == '1' %} 1 {% endif %}",
            "{% set day = ds %} {{ day }}",
            "{{ 1 if (ds | string) == '2022-01-01' else 2 }}",
            "{{ {'1': 'x'}[interval.start | date('%u')] }}",
            "{{ cut(interval.start) }}",
            "{{ interval.start | date('%u') | int }}",
            "{{ cut(from=model.batch.event_time_start) }}",
        ] {
            assert!(on_interval(source), "{source}");
        }
    }

    #[test]
    fn comments_and_layout_do_not_count() {
        assert_eq!(canonical("{# a #}select  1 -- b\n"), canonical("select 1"));
        assert_ne!(canonical("{% if A %}1{% endif %}"), canonical("{% if a %}1{% endif %}"));
    }
}
