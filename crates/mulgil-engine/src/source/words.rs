//! Types in words: as `columns:` takes them and messages say them, nested ones too
//! (`array<struct<key text, value bigint>>`), and as the ledger keeps them.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, TimeUnit};

/// How many arrays and structs may lie in one another; the type of what lies deeper is text.
pub(super) const MAX_DEPTH: usize = 16;

/// The Arrow type of every instant.
pub(super) fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The type of arrays of such elements, as tables keep it.
pub(super) fn array_type(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, true)))
}

/// The type of objects with these keys, each of which may be absent.
pub(super) fn struct_type(keys: impl IntoIterator<Item = (String, DataType)>) -> DataType {
    let field = |(name, data_type)| Field::new(name, data_type, true);
    DataType::Struct(keys.into_iter().map(field).collect::<Fields>())
}

/// The type that words of SQL name; nothing for words that we do not know.
pub(super) fn declared_type(words: &str) -> Option<DataType> {
    let mut rest = words.trim();
    let data_type = take_type(&mut rest, 0)?;
    rest.is_empty().then_some(data_type)
}

/// A type in the words of SQL, as `columns:` takes them; Arrow's word where SQL has none.
pub(super) fn sql_words(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "text".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::List(element) => format!("array<{}>", sql_words(element.data_type())),
        DataType::Struct(fields) => {
            let field = |field: &Arc<Field>| format!("{} {}", name_words(field.name()), sql_words(field.data_type()));
            format!("struct<{}>", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A type in a message about one value: of a nested one not what is in it.
pub(super) fn short_words(data_type: &DataType) -> String {
    match data_type {
        DataType::List(_) => "array<…>".to_owned(),
        DataType::Struct(_) => "struct<…>".to_owned(),
        flat => sql_words(flat),
    }
}

/// A column's type as the ledger keeps it: a nested one in our words where they say all of it.
pub(super) fn ledger_text(data_type: &DataType) -> String {
    if matches!(data_type, DataType::List(_) | DataType::Struct(_)) {
        let words = sql_words(data_type);
        if declared_type(&words).as_ref() == Some(data_type) {
            return words;
        }
    }
    data_type.to_string()
}

/// The type that [`ledger_text`] wrote.
pub(super) fn ledger_type(text: &str) -> Option<DataType> {
    if opened(text, "array").is_some() || opened(text, "struct").is_some() {
        declared_type(text)
    } else {
        text.parse().ok()
    }
}

/// Takes one type off the front; `depth` is how many others it lies in.
fn take_type(rest: &mut &str, depth: usize) -> Option<DataType> {
    if let Some(inside) = opened(rest, "array").or_else(|| opened(rest, "list")) {
        *rest = inside;
        let element = take_inner(rest, depth)?;
        return take(rest, '>').then(|| array_type(element));
    }
    if let Some(inside) = opened(rest, "struct") {
        *rest = inside;
        return take_struct(rest, depth);
    }
    let (words, after) = rest.split_at(flat_end(rest));
    *rest = after;
    flat_type(words)
}

fn take_inner(rest: &mut &str, depth: usize) -> Option<DataType> {
    (depth < MAX_DEPTH).then(|| take_type(rest, depth + 1)).flatten()
}

/// The fields of a struct, and what closes it.
fn take_struct(rest: &mut &str, depth: usize) -> Option<DataType> {
    let mut keys: Vec<(String, DataType)> = Vec::new();
    loop {
        let name = take_name(rest)?;
        take(rest, ':');
        let data_type = take_inner(rest, depth)?;
        if keys.iter().any(|(known, _)| *known == name) {
            return None;
        }
        keys.push((name, data_type));
        if take(rest, '>') {
            return Some(struct_type(keys));
        }
        if !take(rest, ',') {
            return None;
        }
    }
}

/// A field's name: as it is, or in double quotes with those inside written twice.
fn take_name(rest: &mut &str) -> Option<String> {
    if let Some(mut quoted) = rest.strip_prefix('"') {
        let mut name = String::new();
        loop {
            let (piece, after) = quoted.split_once('"')?;
            name.push_str(piece);
            let Some(more) = after.strip_prefix('"') else {
                *rest = after.trim_start();
                return Some(name);
            };
            name.push('"');
            quoted = more;
        }
    }
    let end = rest.find(|character: char| !is_plain(character)).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    let is_apart = after.starts_with(':') || after.starts_with(char::is_whitespace);
    *rest = after.trim_start();
    (!name.is_empty() && is_apart).then(|| name.to_owned())
}

fn name_words(name: &str) -> String {
    if !name.is_empty() && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Whether a character of a name needs no quotes.
fn is_plain(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// What follows `name<`.
fn opened<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (word, rest) = text.split_at_checked(name.len())?;
    let inside = rest.trim_start().strip_prefix('<')?;
    word.eq_ignore_ascii_case(name).then(|| inside.trim_start())
}

fn take(rest: &mut &str, mark: char) -> bool {
    match rest.strip_prefix(mark) {
        Some(after) => {
            *rest = after.trim_start();
            true
        }
        None => false,
    }
}

/// Where a type without parts ends: before a comma or `>` that is in no brackets.
fn flat_end(text: &str) -> usize {
    let mut brackets = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '(' => brackets += 1,
            ')' => brackets = brackets.saturating_sub(1),
            ',' | '>' if brackets == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

fn flat_type(words: &str) -> Option<DataType> {
    let words = words.trim().to_ascii_lowercase();
    let (name, arguments) = match words.split_once('(') {
        Some((name, rest)) => (name.trim_end(), Some(rest.strip_suffix(')')?)),
        None => (words.as_str(), None),
    };
    Some(match (name, arguments) {
        ("text" | "string" | "varchar" | "char", None) => DataType::Utf8,
        ("varchar" | "char", Some(length)) => length.trim().parse::<u32>().ok().map(|_| DataType::Utf8)?,
        ("smallint", None) => DataType::Int16,
        ("integer" | "int", None) => DataType::Int32,
        ("bigint", None) => DataType::Int64,
        ("real", None) => DataType::Float32,
        ("double" | "double precision" | "float", None) => DataType::Float64,
        ("boolean" | "bool", None) => DataType::Boolean,
        ("date", None) => DataType::Date32,
        ("timestamp" | "timestamp without time zone", None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        ("timestamptz" | "timestamp with time zone", None) => instant_type(),
        ("decimal" | "numeric", Some(arguments)) => decimal_type(arguments)?,
        _ => return None,
    })
}

fn decimal_type(arguments: &str) -> Option<DataType> {
    let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
    let precision: u8 = precision.trim().parse().ok()?;
    let scale: u8 = scale.trim().parse().ok()?;
    (1..=38)
        .contains(&precision)
        .then_some(())
        .filter(|()| scale <= precision)
        .map(|()| DataType::Decimal128(precision, scale as i8))
}
