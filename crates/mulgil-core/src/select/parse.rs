//! What a selector says, read without a project: a union of parts, each an intersection of terms.
//!
//! ```text
//! selector  part part …                      a union: parts stand apart by spaces
//! part      term,term,…                      an intersection: a comma without spaces
//! term      [@ | [N]+][method:]value[key][+[N]][@INTERVAL]
//! ```
//! An `@` in front is an operator of the graph; any other begins an interval. What stands in
//! brackets is never taken apart: `sales[country=kr,city=seoul]`, `sales_[ab]*`.

use std::path::Path;

use super::{glob::is_pattern, nearest};
use crate::{
    codes,
    diagnostic::Diagnostic,
    name::{Instance, Key},
};

/// As many steps as there are.
pub const ALL_STEPS: u32 = u32::MAX;

/// An intersection: what all of its terms select.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// As it was written.
    pub text: String,
    /// Its terms, one at least.
    pub terms: Vec<Term>,
}

/// One thing that is named, and how far around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// As it was written.
    pub text: String,
    /// By what it is looked for.
    pub method: Method,
    /// What is looked for; may be a pattern.
    pub value: String,
    /// Only instances with these values.
    pub key: Key,
    /// How far around it.
    pub reach: Reach,
    /// Only this interval.
    pub interval: Option<String>,
}

/// How far around what is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// So many steps to what it reads, and to what reads it.
    Steps {
        /// Towards what it reads.
        up: u32,
        /// Towards what reads it.
        down: u32,
    },
    /// All that reads it, and all that any of these reads.
    Around,
}

/// By what nodes are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The name, or folders and name with dots between.
    Name,
    /// A tag.
    Tag,
    /// The file, or a folder above it, from the project folder.
    Path,
    /// The name of the file.
    File,
    /// How the rows are kept, in dbt's words.
    Materialized,
    /// What kind of thing it is.
    ResourceType,
    /// A source.
    Source,
    /// Whom to ask.
    Owner,
    /// The project.
    Package,
}

impl Method {
    /// The word before the colon, for each that has one of its own.
    pub const WORDS: &[(&str, Self)] = &[
        ("fqn", Self::Name),
        ("tag", Self::Tag),
        ("path", Self::Path),
        ("file", Self::File),
        ("config.materialized", Self::Materialized),
        ("config.tags", Self::Tag),
        ("resource_type", Self::ResourceType),
        ("source", Self::Source),
        ("owner", Self::Owner),
        ("package", Self::Package),
    ];

    /// The values that it can have, where they are known beforehand; some name what a project
    /// cannot have yet.
    fn values(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Materialized => Some(&[
                "table",
                "view",
                "incremental",
                "interval",
                "seed",
                "ephemeral",
                "snapshot",
                "materialized_view",
            ]),
            Self::ResourceType => Some(&[
                "model",
                "seed",
                "source",
                "test",
                "snapshot",
                "analysis",
                "exposure",
                "function",
                "metric",
                "saved_query",
                "semantic_model",
                "unit_test",
            ]),
            Self::Name | Self::Tag | Self::Path | Self::File | Self::Source | Self::Owner | Self::Package => None,
        }
    }
}

/// Methods of dbt that would be read as slips of the pen.
const NOT_HERE: &[&str] = &[
    "access",
    "exposure",
    "group",
    "metric",
    "result",
    "saved_query",
    "selector",
    "semantic_model",
    "source_status",
    "state",
    "test_name",
    "test_type",
    "unit_test",
    "version",
];

/// Reads one argument; it selects what any of the parts selects.
pub fn parse(text: &str) -> Result<Vec<Part>, Diagnostic> {
    let parts = split(text, char::is_whitespace);
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return Err(bad("a selector is empty", "write a name, or `*` for all nodes"));
    }
    parts.into_iter().map(part).collect()
}

/// Parts an interval from what it belongs to. The address of an owner may have an `@` of its own.
pub(super) fn split_interval(text: &str) -> (&str, Option<&str>) {
    let is_owner = text.contains("owner:");
    let mut is_inside = false;
    for (at, letter) in text.char_indices() {
        let rest = &text[at + letter.len_utf8()..];
        match letter {
            '[' => is_inside = true,
            ']' => is_inside = false,
            '@' if !is_inside && (!is_owner || is_like_interval(rest)) => return (&text[..at], Some(rest)),
            _ => {}
        }
    }
    (text, None)
}

fn part(text: &str) -> Result<Part, Diagnostic> {
    let terms = split(text, |letter| letter == ',');
    if terms.iter().any(|term| term.is_empty()) {
        return Err(bad(
            format!("`{text}` has a comma with nothing beside it"),
            "write a comma without spaces for what both select: `tag:daily,sales+`",
        ));
    }
    Ok(Part {
        text: text.to_owned(),
        terms: terms.into_iter().map(term).collect::<Result<_, _>>()?,
    })
}

fn term(text: &str) -> Result<Term, Diagnostic> {
    let (is_around, rest) = match text.strip_prefix('@') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (rest, interval) = split_interval(rest);
    if let Some(interval) = interval
        && interval.ends_with('+')
    {
        let plain = interval.trim_end_matches('+');
        return Err(bad(
            format!("`{text}` has a `+` behind its interval"),
            format!("write it in front: `{rest}+@{plain}`"),
        ));
    }
    let (reach, rest) = split_reach(text, is_around, rest)?;
    let (rest, key) = split_key(text, rest)?;
    let (method, value) = split_method(text, rest)?;
    if value.is_empty() || value.starts_with('+') || value.ends_with('+') {
        return Err(bad(
            format!("`{text}` names nothing that could be selected"),
            "write a name with at most one `+` on either side: `+sales`, `sales+`, `2+sales+1`",
        ));
    }
    check_value(text, method, value)?;
    Ok(Term {
        text: text.to_owned(),
        method,
        value: value.to_owned(),
        key,
        reach,
        interval: interval.map(str::to_owned),
    })
}

fn split_reach<'a>(text: &str, is_around: bool, rest: &'a str) -> Result<(Reach, &'a str), Diagnostic> {
    let (up, rest) = steps_up(rest);
    let (rest, down) = steps_down(rest);
    match (is_around, up, down) {
        (false, ..) => Ok((Reach::Steps { up, down }, rest)),
        (true, 0, 0) => Ok((Reach::Around, rest)),
        (true, ..) => Err(bad(
            format!("`{text}` has both `@` and `+`"),
            format!("`@{rest}` is it, all that reads it, and all that any of these reads; write one of the two"),
        )),
    }
}

/// `+x`, `2+x`.
fn steps_up(text: &str) -> (u32, &str) {
    let rest = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
    match rest.strip_prefix('+') {
        Some(value) => (steps(&text[..text.len() - rest.len()]), value),
        None => (0, text),
    }
}

/// `x+`, `x+3`.
fn steps_down(text: &str) -> (&str, u32) {
    let rest = text.trim_end_matches(|letter: char| letter.is_ascii_digit());
    match rest.strip_suffix('+') {
        Some(value) => (value, steps(&text[rest.len()..])),
        None => (text, 0),
    }
}

/// No digits mean all; so many that they are no number do too.
fn steps(digits: &str) -> u32 {
    digits.parse().unwrap_or(ALL_STEPS)
}

/// Parts `[column=value]` from the end; brackets without `=` belong to a pattern.
fn split_key<'a>(text: &str, rest: &'a str) -> Result<(&'a str, Key), Diagnostic> {
    let Some(at) = rest.rfind('[') else {
        return Ok((rest, Key::default()));
    };
    let (name, brackets) = rest.split_at(at);
    if brackets.contains(']') && !brackets.contains('=') {
        return Ok((rest, Key::default()));
    }
    // What stands in front may be a pattern with brackets of its own.
    let key = Instance::parse(&format!("any{brackets}")).map(|instance| instance.key);
    key.map(|key| (name, key)).ok_or_else(|| {
        bad(
            format!("`{text}` cannot be read"),
            format!("a key is written `{name}[column=value]`"),
        )
    })
}

fn split_method<'a>(text: &str, rest: &'a str) -> Result<(Method, &'a str), Diagnostic> {
    let Some((word, value)) = rest.split_once(':') else {
        return Ok((default_method(rest), rest));
    };
    if let Some((_, method)) = Method::WORDS.iter().find(|(own, _)| *own == word) {
        return Ok((*method, value));
    }
    let words = Method::WORDS.iter().map(|(own, _)| *own);
    let all = words.clone().collect::<Vec<_>>().join(", ");
    let (what, hint) = if NOT_HERE.contains(&word) || word.starts_with("config.") {
        (
            format!("`{word}:` is a method of dbt that this version does not have"),
            None,
        )
    } else {
        (format!("`{word}:` in `{text}` is no method"), nearest(word, words))
    };
    let remedy = match hint {
        Some(near) => format!("did you mean `{near}:{value}`? the methods are {all}"),
        None => format!("the methods are {all}"),
    };
    Err(bad(what, remedy))
}

fn default_method(value: &str) -> Method {
    if value.contains('/') {
        return Method::Path;
    }
    let extension = Path::new(value).extension().and_then(|extension| extension.to_str());
    match extension {
        Some(extension) if ["sql", "csv"].contains(&extension.to_ascii_lowercase().as_str()) => Method::File,
        Some(_) | None => Method::Name,
    }
}

fn check_value(text: &str, method: Method, value: &str) -> Result<(), Diagnostic> {
    let Some(values) = method.values().filter(|_| !is_pattern(value)) else {
        return Ok(());
    };
    if values.contains(&value) {
        return Ok(());
    }
    let hint = nearest(value, values.iter().copied()).map(|near| format!("did you mean `{near}`? "));
    Err(bad(
        format!("`{text}`: `{value}` is none of its words"),
        format!("{}they are {}", hint.unwrap_or_default(), values.join(", ")),
    ))
}

fn is_like_interval(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_digit()) || text.starts_with("..") || text == "all"
}

/// Cuts a text where it is not inside brackets.
fn split(text: &str, is_cut: impl Fn(char) -> bool) -> Vec<&str> {
    let (mut out, mut start, mut is_inside) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '[' => is_inside = true,
            ']' => is_inside = false,
            letter if !is_inside && is_cut(letter) => {
                out.push(&text[start..at]);
                start = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

fn bad(what: impl Into<String>, remedy: impl Into<String>) -> Diagnostic {
    Diagnostic::error(codes::BAD_SELECTOR, what).with_remedy(remedy)
}
