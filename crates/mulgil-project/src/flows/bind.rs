//! Values in SQL: `:name` becomes a literal. Texts, quoted names and comments are left as they are, and so is
//! whatever only looks alike: `a::text`, `list[1:2]`, `column:path`.

use std::ops::Range;

use mulgil_core::{codes, diagnostic::Diagnostic};
use serde_json::Value as Json;

/// A value as SQL has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Bound {
    /// A moment: RFC 3339 with its offset.
    Moment(String),
    /// A date.
    Date(String),
    /// Any other value.
    Plain(Json),
}

/// Where `:name` stands, and the name.
pub(super) fn names(sql: &str) -> Vec<(Range<usize>, &str)> {
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if let Some(end) = passed_over(sql, at) {
            at = end;
            continue;
        }
        if bytes[at] != b':' {
            at += 1;
            continue;
        }
        let colons = bytes[at..].iter().take_while(|byte| **byte == b':').count();
        let length = name_length(&bytes[at + colons..]);
        if colons == 1 && length > 0 && !follows_a_value(bytes, at) {
            found.push((at..at + 1 + length, &sql[at + 1..at + 1 + length]));
            at += length;
        }
        at += colons;
    }
    found
}

/// The SQL with a literal for each name; `value` says what a name means.
pub(super) fn bind(sql: &str, mut value: impl FnMut(&str) -> Result<Bound, Diagnostic>) -> Result<String, Diagnostic> {
    let mut out = String::with_capacity(sql.len());
    let mut from = 0;
    for (range, name) in names(sql) {
        out.push_str(&sql[from..range.start]);
        out.push_str(&literal(name, &value(name)?)?);
        from = range.end;
    }
    out.push_str(&sql[from..]);
    Ok(out)
}

fn literal(name: &str, value: &Bound) -> Result<String, Diagnostic> {
    match value {
        Bound::Moment(text) => Ok(format!("timestamptz {}", quoted(text))),
        Bound::Date(text) => Ok(format!("date {}", quoted(text))),
        Bound::Plain(Json::Array(items)) if items.is_empty() => Err(Diagnostic::error(
            codes::UNBINDABLE,
            format!("the list `{name}` is empty, and SQL has no empty list"),
        )
        .with_remedy(format!(
            "skip the step then: `when: \"{{{{ params.{name} | length > 0 }}}}\"`"
        ))),
        Bound::Plain(Json::Array(items)) => {
            let literals: Result<Vec<String>, Diagnostic> = items.iter().map(|item| scalar(name, item)).collect();
            Ok(format!("({})", literals?.join(", ")))
        }
        Bound::Plain(Json::Object(fields)) => Ok(quoted(&Json::Object(fields.clone()).to_string())),
        Bound::Plain(plain) => scalar(name, plain),
    }
}

fn scalar(name: &str, value: &Json) -> Result<String, Diagnostic> {
    match value {
        Json::Null => Ok("null".to_owned()),
        Json::Bool(value) => Ok(value.to_string()),
        // A minus behind a minus would begin a comment.
        Json::Number(number) if number.to_string().starts_with('-') => Ok(format!("({number})")),
        Json::Number(number) => Ok(number.to_string()),
        Json::String(text) if text.contains('\0') => Err(Diagnostic::error(
            codes::UNBINDABLE,
            format!("`{name}` holds a NUL, which no text in SQL can hold"),
        )
        .with_remedy("remove it from the value")),
        Json::String(text) => Ok(quoted(text)),
        Json::Array(_) | Json::Object(_) => Err(Diagnostic::error(
            codes::UNBINDABLE,
            format!("the list `{name}` holds lists or mappings, which SQL cannot compare"),
        )
        .with_remedy("give it plain values, or print what you need in a template")),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The end of a text, a quoted name or a comment that begins here.
fn passed_over(sql: &str, at: usize) -> Option<usize> {
    let rest = &sql.as_bytes()[at..];
    let length = match rest[0] {
        quote @ (b'\'' | b'"' | b'`') => quoted_length(rest, quote, quote == b'\'' && is_escaping(sql.as_bytes(), at)),
        b'-' if rest.starts_with(b"--") => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        b'/' if rest.starts_with(b"/*") => comment_length(rest),
        b'$' if at == 0 || !is_word(sql.as_bytes()[at - 1]) => dollar_length(sql, at)?,
        _ => return None,
    };
    Some(at + length)
}

fn quoted_length(rest: &[u8], quote: u8, is_escaping: bool) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' if is_escaping => at += 2,
            // A doubled quote is one that stands for itself.
            byte if byte == quote && rest.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Whether a text is one of `E'…'`, in which a backslash escapes.
fn is_escaping(bytes: &[u8], at: usize) -> bool {
    let is_prefix = at > 0 && matches!(bytes[at - 1], b'e' | b'E');
    is_prefix && (at == 1 || !is_word(bytes[at - 2]))
}

fn comment_length(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (2, 1);
    while at < rest.len() && depth > 0 {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
    }
    at.min(rest.len())
}

/// The length of `$tag$ … $tag$`.
fn dollar_length(sql: &str, at: usize) -> Option<usize> {
    let bytes = &sql.as_bytes()[at..];
    let tag = 2 + bytes[1..].iter().position(|byte| *byte == b'$')?;
    if !bytes[1..tag - 1].iter().all(|byte| is_word(*byte)) || bytes[1].is_ascii_digit() {
        return None;
    }
    let rest = &sql[at + tag..];
    Some(rest.find(&sql[at..at + tag]).map_or(bytes.len(), |end| tag + end + tag))
}

fn name_length(bytes: &[u8]) -> usize {
    let begins = bytes
        .first()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    if begins {
        bytes
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
            .count()
    } else {
        0
    }
}

/// Whether a value ends just before, so that the colon belongs to it.
fn follows_a_value(bytes: &[u8], at: usize) -> bool {
    at > 0 && (is_word(bytes[at - 1]) || matches!(bytes[at - 1], b')' | b']' | b'\'' | b'"' | b'`'))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bound(sql: &str) -> String {
        bind(sql, |name| {
            Ok(match name {
                "start" => Bound::Moment("2026-01-01T00:00:00+09:00".to_owned()),
                "day" => Bound::Date("2026-01-01".to_owned()),
                "text" => Bound::Plain(json!("it's :day -- '")),
                "minus" => Bound::Plain(json!(-5)),
                "list" => Bound::Plain(json!(["a", "b'", 1])),
                "object" => Bound::Plain(json!({"a": "it's"})),
                "nothing" => Bound::Plain(Json::Null),
                "empty" => Bound::Plain(json!([])),
                "nested" => Bound::Plain(json!([[1]])),
                "nul" => Bound::Plain(json!("a\0b")),
                other => panic!("`{other}` was taken for a name"),
            })
        })
        .unwrap_or_else(|fault| fault.to_string())
    }

    #[test]
    fn names_become_literals() {
        assert_eq!(
            bound("where a >= :start and d=:day or x in :list"),
            "where a >= timestamptz '2026-01-01T00:00:00+09:00' and d=date '2026-01-01' or x in ('a', 'b''', 1)"
        );
        assert_eq!(bound("x = :text"), "x = 'it''s :day -- '''");
        assert_eq!(bound("x-:minus, y - :minus"), "x-(-5), y - (-5)");
        assert_eq!(bound(":object, :nothing"), "'{\"a\":\"it''s\"}', null");
        assert_eq!(
            bound("(:day)::text, f(:day)"),
            "(date '2026-01-01')::text, f(date '2026-01-01')"
        );
    }

    #[test]
    fn what_stands_in_texts_names_and_comments_stays() {
        for sql in [
            "select ':day', 'it''s :day', \":day\", `:day`",
            "select E'\\':day', e'\\\\', ''",
            "select 1 -- :day\n",
            "select /* :day /* :day */ :day */ 1",
            "select $$ :day $$, $x$ :day $$ :day $x$",
            "select 'open :day",
            "select /* open :day",
            "select a::day, a :: day, a::\n day",
            "select list[1:2], list[a:day], col:day, f(x):day, \"c\":day, {'a':day}",
            "select 'é':day, é:day, 12:30",
            "select a := 1, :1, : day",
        ] {
            assert_eq!(bound(sql), sql);
        }
    }

    #[test]
    fn what_follows_a_text_is_bound_again() {
        assert_eq!(bound("'\\', :day"), "'\\', date '2026-01-01'");
        assert_eq!(bound("name':day', :day"), "name':day', date '2026-01-01'");
        assert_eq!(bound("-- é\n:day"), "-- é\ndate '2026-01-01'");
        assert_eq!(
            bound("$1 + :day, a$b$c :day"),
            "$1 + date '2026-01-01', a$b$c date '2026-01-01'"
        );
        assert_eq!(bound("물 = :day 흐름"), "물 = date '2026-01-01' 흐름");
    }

    #[test]
    fn what_sql_cannot_hold_is_a_fault() {
        assert!(bound(":empty").starts_with("error[MG4225]: the list `empty` is empty, and SQL has no empty list"));
        assert!(bound(":nested").starts_with("error[MG4225]: the list `nested` holds lists"));
        assert!(bound(":nul").starts_with("error[MG4225]: `nul` holds a NUL"));
    }
}
