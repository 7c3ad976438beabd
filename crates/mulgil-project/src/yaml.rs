//! YAML as a tree that knows where everything stands. A document that is not what we read (tabs,
//! repeated keys, anchors, tags, several documents) is reported here; what it means is not known.

use std::{collections::BTreeMap, path::Path};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};

use crate::text;

/// How deep a document may be nested.
const MAX_DEPTH: usize = 64;
/// How many values aliases may repeat.
const MAX_COPIED: usize = 10_000;

/// A place without its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    line: u32,
    column: u32,
}

impl Spot {
    /// The place in a file.
    pub(crate) fn of(self, file: &Path) -> Place {
        Place::at(file, self.line, self.column)
    }

    fn from_marker(marker: &Marker) -> Self {
        Self {
            line: marker.line() as u32,
            column: marker.col() as u32 + 1,
        }
    }
}

/// A value and where it begins.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) spot: Spot,
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a mapping, where it stands, and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) spot: Spot,
    pub(crate) node: Node,
}

impl Node {
    /// The entries of a mapping; an empty value counts as an empty mapping.
    pub(crate) fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            Value::Null => Some(&[]),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::List(_) => None,
        }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries()?
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.node)
    }

    /// The same value without its places.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Text(value) => value.as_str().into(),
            Value::List(nodes) => nodes.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect(),
        }
    }

    /// How many values it is made of.
    fn size(&self) -> usize {
        match &self.value {
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => 1,
            Value::List(nodes) => 1 + nodes.iter().map(Self::size).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|entry| entry.node.size()).sum::<usize>(),
        }
    }

    /// What kind of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Reads one document of a dbt project, in which anchors, aliases and `<<` may stand.
pub(crate) fn parse_dbt(file: &Path, text: &str, faults: &mut Vec<Diagnostic>) -> Option<Node> {
    read(file, text, true, faults)
}

/// The document that says nothing.
pub(crate) fn nothing() -> Node {
    Node {
        value: Value::Null,
        spot: Spot { line: 1, column: 1 },
    }
}

/// The value that a text has where it stands without quotes.
pub(crate) fn scalar_of(text: &str) -> Value {
    scalar(text.trim(), ScalarStyle::Plain)
}

/// Reads one document. An empty file is an empty mapping; a fault that leaves no tree gives none.
pub(crate) fn parse(file: &Path, text: &str, faults: &mut Vec<Diagnostic>) -> Option<Node> {
    read(file, text, false, faults)
}

fn read(file: &Path, text: &str, anchors: bool, faults: &mut Vec<Diagnostic>) -> Option<Node> {
    let mut builder = Builder {
        file,
        faults,
        documents: 0,
        anchored: anchors.then(BTreeMap::new),
        copied: 0,
    };
    let mut events = Parser::new_from_str(text);
    match builder.document(&mut events) {
        Ok(node) => Some(node),
        Err(Stop::Reported) => None,
        Err(Stop::Scan(error)) => {
            faults.push(syntax_fault(file, text, &error));
            None
        }
    }
}

enum Stop {
    Reported,
    Scan(ScanError),
}

struct Builder<'a> {
    file: &'a Path,
    faults: &'a mut Vec<Diagnostic>,
    documents: u32,
    /// What anchors stand for so far; absent where they may not stand.
    anchored: Option<BTreeMap<usize, Node>>,
    /// Values that aliases repeated.
    copied: usize,
}

type Events<'a> = Parser<'a, saphyr_parser::StrInput<'a>>;

impl Builder<'_> {
    fn document(&mut self, events: &mut Events<'_>) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, span) = next(events)?;
            match event {
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::DocumentStart(_) => {
                    self.documents += 1;
                    if self.documents > 1 {
                        return Err(self.refuse(span, "a second document begins here", "keep one document in a file"));
                    }
                }
                Event::StreamEnd => {
                    return Ok(root.unwrap_or(Node {
                        value: Value::Null,
                        spot: Spot { line: 1, column: 1 },
                    }));
                }
                event @ (Event::Alias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..)
                | Event::MappingEnd) => root = Some(self.node(events, event, span, 0)?),
            }
        }
    }

    fn node(&mut self, events: &mut Events<'_>, event: Event<'_>, span: Span, depth: usize) -> Result<Node, Stop> {
        if depth > MAX_DEPTH {
            return Err(self.refuse(span, "the nesting is deeper than 64 levels", "flatten the document"));
        }
        let spot = Spot::from_marker(&span.start);
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_marks(span, anchor, tag.is_some())?;
                (scalar(&text, style), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_marks(span, anchor, tag.is_some())?;
                (self.list(events, depth)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_marks(span, anchor, tag.is_some())?;
                (self.map(events, depth)?, anchor)
            }
            Event::Alias(anchor) => return self.copy(anchor, span),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Err(self.refuse(span, "a value is missing here", "write the value")),
        };
        let node = Node { value, spot };
        if let Some(anchored) = self.anchored.as_mut().filter(|_| anchor != 0) {
            anchored.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// What an alias stands for.
    fn copy(&mut self, anchor: usize, span: Span) -> Result<Node, Stop> {
        let Some(node) = self
            .anchored
            .as_ref()
            .and_then(|anchored| anchored.get(&anchor))
            .cloned()
        else {
            return Err(self.refuse_mark(span, "an alias (`*name`)"));
        };
        self.copied += node.size();
        if self.copied > MAX_COPIED {
            return Err(self.refuse(span, "aliases repeat more than 10000 values", "write fewer aliases"));
        }
        Ok(node)
    }

    fn list(&mut self, events: &mut Events<'_>, depth: usize) -> Result<Value, Stop> {
        let mut nodes = Vec::new();
        loop {
            match next(events)? {
                (Event::SequenceEnd, _) => return Ok(Value::List(nodes)),
                (event, span) => nodes.push(self.node(events, event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, events: &mut Events<'_>, depth: usize) -> Result<Value, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged: Vec<Entry> = Vec::new();
        // Where each key stands first, so that a mapping of many keys is read in the time of its length.
        let mut first: BTreeMap<String, Spot> = BTreeMap::new();
        loop {
            let (event, span) = next(events)?;
            let (key, spot) = match event {
                Event::MappingEnd => {
                    // What is written goes over what is merged, and the first merged over the others.
                    for entry in merged {
                        if !first.contains_key(&entry.key) {
                            first.insert(entry.key.clone(), entry.spot);
                            entries.push(entry);
                        }
                    }
                    return Ok(Value::Map(entries));
                }
                Event::Scalar(text, _, 0, None) => (text.into_owned(), Spot::from_marker(&span.start)),
                Event::Scalar(..) | Event::Alias(_) => return Err(self.refuse_mark(span, "an anchor, alias or tag")),
                Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..) => {
                    return Err(self.refuse(span, "a key is not a word", "write a word before the colon"));
                }
            };
            let (event, span) = next(events)?;
            let node = self.node(events, event, span, depth + 1)?;
            if key == "<<" && self.anchored.is_some() {
                merged.extend(merged_entries(&node));
                continue;
            }
            if let Some(first) = first.get(&key) {
                self.faults.push(
                    Diagnostic::error(
                        codes::YAML_DUPLICATE_KEY,
                        format!("the key `{key}` stands twice in one mapping, so one value would be lost"),
                    )
                    .at(spot.of(self.file))
                    .with_related(first.of(self.file), "the first one")
                    .with_remedy("keep one of them"),
                );
            } else {
                first.insert(key.clone(), spot);
                entries.push(Entry { key, spot, node });
            }
        }
    }

    fn refuse_marks(&mut self, span: Span, anchor: usize, tagged: bool) -> Result<(), Stop> {
        if anchor != 0 && self.anchored.is_none() {
            return Err(self.refuse_mark(span, "an anchor (`&name`)"));
        }
        if tagged {
            return Err(self.refuse_mark(span, "a tag (`!name`)"));
        }
        Ok(())
    }

    fn refuse_mark(&mut self, span: Span, what: &str) -> Stop {
        self.refuse(
            span,
            &format!("{what} is YAML that project files do not use"),
            "write the value itself; quote text that begins with `&`, `*` or `!`",
        )
    }

    fn refuse(&mut self, span: Span, message: &str, remedy: &str) -> Stop {
        self.faults.push(
            Diagnostic::error(codes::YAML_SYNTAX, message)
                .at(Spot::from_marker(&span.start).of(self.file))
                .with_remedy(remedy),
        );
        Stop::Reported
    }
}

/// The entries that `<<` brings in: of a mapping, or of several.
fn merged_entries(node: &Node) -> Vec<Entry> {
    match &node.value {
        Value::Map(entries) => entries.clone(),
        Value::List(nodes) => nodes.iter().flat_map(merged_entries).collect(),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => Vec::new(),
    }
}

fn next<'a>(events: &mut Events<'a>) -> Result<(Event<'a>, Span), Stop> {
    match events.next_event() {
        Some(Ok(pair)) => Ok(pair),
        Some(Err(error)) => Err(Stop::Scan(error)),
        None => Ok((Event::StreamEnd, Span::empty(Marker::new(0, 1, 0)))),
    }
}

/// What the scanner cannot read. A tab in the indentation is its most common cause, and the
/// scanner's own words for it do not help.
fn syntax_fault(file: &Path, source: &str, error: &ScanError) -> Diagnostic {
    let line = error.marker().line();
    let tab = source
        .lines()
        .take(line)
        .enumerate()
        .find_map(|(index, content)| tab_in_indentation(content).map(|column| (index + 1, column)));
    if let Some((line, column)) = tab {
        return Diagnostic::error(codes::YAML_SYNTAX, "a tab is used to indent, which YAML does not allow")
            .at(Place::at(file, line as u32, column as u32))
            .with_remedy("replace the tab by spaces");
    }
    let info = error.info();
    Diagnostic::error(codes::YAML_SYNTAX, format!("the YAML cannot be read: {info}"))
        .at(Spot::from_marker(error.marker()).of(file))
        .with_remedy("look at this line and the one before it for indentation, a missing colon or an open quote")
}

fn tab_in_indentation(line: &str) -> Option<usize> {
    line.chars()
        .take_while(|letter| letter.is_whitespace())
        .position(|letter| letter == '\t')
        .map(|index| index + 1)
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    // A leading zero marks a code (a zip code, `007`) that must keep it.
    let is_number = digits.starts_with(|letter: char| letter.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0') || digits.starts_with("0."));
    if is_number {
        if let Ok(value) = text.parse() {
            return Value::Int(value);
        }
        if let Ok(value) = text.parse() {
            return Value::Float(value);
        }
    }
    Value::Text(text.to_owned())
}

/// A fault at a node: the value is not of the kind that is needed.
pub(crate) fn wrong_kind(file: &Path, node: &Node, what: &str, wanted: &str) -> Diagnostic {
    Diagnostic::error(
        codes::BAD_VALUE,
        format!("{what} is {}, but has to be {wanted}", node.kind()),
    )
    .at(node.spot.of(file))
    .with_remedy(format!("write {wanted}"))
}

/// The entries of a mapping, or a fault.
pub(crate) fn map<'a>(file: &Path, node: &'a Node, what: &str, faults: &mut Vec<Diagnostic>) -> &'a [Entry] {
    node.entries().unwrap_or_else(|| {
        faults.push(wrong_kind(file, node, what, "a mapping (`key: value`)"));
        &[]
    })
}

/// The items of a list, or a fault.
pub(crate) fn list<'a>(file: &Path, node: &'a Node, what: &str, faults: &mut Vec<Diagnostic>) -> &'a [Node] {
    match &node.value {
        Value::List(nodes) => nodes,
        Value::Null => &[],
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Map(_) => {
            faults.push(wrong_kind(file, node, what, "a list (`- item`)"));
            &[]
        }
    }
}

/// A text, or a fault. Numbers and booleans are taken as they print.
pub(crate) fn text(file: &Path, node: &Node, what: &str, faults: &mut Vec<Diagnostic>) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Int(value) => Some(value.to_string()),
        Value::Float(value) => Some(value.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) => {
            faults.push(wrong_kind(file, node, what, "text"));
            None
        }
    }
}

/// A list of texts, or one text for a list of one.
pub(crate) fn texts(file: &Path, node: &Node, what: &str, faults: &mut Vec<Diagnostic>) -> Vec<String> {
    match &node.value {
        Value::List(nodes) => nodes.iter().filter_map(|node| text(file, node, what, faults)).collect(),
        Value::Null => Vec::new(),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Map(_) => {
            text(file, node, what, faults).into_iter().collect()
        }
    }
}

/// A fault for each key that is not among the known ones.
pub(crate) fn check_keys(file: &Path, entries: &[Entry], known: &[&str], what: &str, faults: &mut Vec<Diagnostic>) {
    for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        faults.push(unknown_key(entry.spot.of(file), &entry.key, known, what));
    }
}

/// The fault of a key that is not among the known ones.
pub(crate) fn unknown_key(place: Place, key: &str, known: &[&str], what: &str) -> Diagnostic {
    let remedy = text::nearest(key, known.iter().copied()).map_or_else(
        || format!("remove it; known here are {}", text::listed(known.iter().copied())),
        |near| format!("write `{near}`, or remove it"),
    );
    Diagnostic::error(codes::UNKNOWN_KEY, format!("{what} has no key `{key}`"))
        .at(place)
        .with_remedy(remedy)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn read(text: &str) -> String {
        let mut faults = Vec::new();
        let node = parse(Path::new("x.yml"), text, &mut faults);
        let mut out: Vec<String> = faults.iter().map(ToString::to_string).collect();
        out.extend(node.map(|node| node.to_json().to_string()));
        out.join("\n")
    }

    #[test]
    fn scalars_are_read_as_yaml_1_2_means_them() {
        assert_snapshot!(
            read("a: 1\nb: 1.5\nc: 2022-01-01\nd: 'yes'\ne: no\nf: true\ng: ~\nh:\ni: 007\nj: 0.5\nk: [x, {y: z}]\nl: 'é'\n"),
            @r#"{"a":1,"b":1.5,"c":"2022-01-01","d":"yes","e":"no","f":true,"g":null,"h":null,"i":"007","j":0.5,"k":["x",{"y":"z"}],"l":"é"}"#
        );
        assert_snapshot!(read(""), @"null");
    }

    #[test]
    fn a_tab_is_named() {
        assert_snapshot!(read("a:\n\tb: 1\n"), @"
        error[MG1003]: a tab is used to indent, which YAML does not allow
          --> x.yml:2:1
        do: replace the tab by spaces
        ");
    }

    #[test]
    fn a_repeated_key_names_both_places_and_the_rest_is_read() {
        assert_snapshot!(read("a: 1\nb: 2\na: 3\n"), @r#"
        error[MG1004]: the key `a` stands twice in one mapping, so one value would be lost
          --> x.yml:3:1
          --> x.yml:1:1  the first one
        do: keep one of them
        {"a":1,"b":2}
        "#);
    }

    #[test]
    fn what_project_files_do_not_use_is_refused() {
        assert_snapshot!(read("a: &x 1\nb: *x\n"), @"
        error[MG1003]: an anchor (`&name`) is YAML that project files do not use
          --> x.yml:1:4
        do: write the value itself; quote text that begins with `&`, `*` or `!`
        ");
        assert_snapshot!(read("a: !secret x\n"), @"
        error[MG1003]: a tag (`!name`) is YAML that project files do not use
          --> x.yml:1:4
        do: write the value itself; quote text that begins with `&`, `*` or `!`
        ");
        assert_snapshot!(read("a: 1\n---\nb: 2\n"), @"
        error[MG1003]: a second document begins here
          --> x.yml:2:1
        do: keep one document in a file
        ");
        assert_snapshot!(read("? [a, b]\n: 1\n"), @"
        error[MG1003]: a key is not a word
          --> x.yml:1:3
        do: write a word before the colon
        ");
        assert_snapshot!(read("a: 'open\n"), @"
        error[MG1003]: the YAML cannot be read: while scanning a quoted scalar, found unexpected end of stream
          --> x.yml:1:4
        do: look at this line and the one before it for indentation, a missing colon or an open quote
        ");
        assert_snapshot!(read(&format!("a: {}{}", "[".repeat(70), "]".repeat(70))), @"
        error[MG1003]: the nesting is deeper than 64 levels
          --> x.yml:1:68
        do: flatten the document
        ");
    }

    fn read_dbt(text: &str) -> String {
        let mut faults = Vec::new();
        let node = parse_dbt(Path::new("x.yml"), text, &mut faults);
        let mut out: Vec<String> = faults.iter().map(ToString::to_string).collect();
        out.extend(node.map(|node| node.to_json().to_string()));
        out.join("\n")
    }

    #[test]
    fn dbts_files_may_repeat_themselves_by_aliases() {
        assert_snapshot!(
            read_dbt("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [*a, {z: 4}]}\nd: [&t text, *t]\n"),
            @r#"{"a":{"x":1,"y":2},"b":{"x":1,"y":3},"c":{"x":1,"y":2,"z":4},"d":["text","text"]}"#
        );
    }

    #[test]
    fn aliases_that_repeat_too_much_are_refused() {
        let lists = (1..8).fold("a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8]\n".to_owned(), |text, level| {
            let below = format!("*a{}, ", level - 1).repeat(8);
            format!("{text}a{level}: &a{level} [{below}]\n")
        });
        assert!(read_dbt(&lists).starts_with("error[MG1003]: aliases repeat more than 10000 values"));
    }
}
