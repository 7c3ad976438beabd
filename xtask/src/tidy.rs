//! `cargo xtask tidy`: the rules that no compiler knows. Only what can be decided surely fails;
//! what asks for a look is a note.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    generate,
    metadata::{Edge, Metadata},
    shell::root,
};

/// A file this long is worth a second look.
const LONG_FILE_LINES: usize = 600;

/// What a light crate must not be built from: these packages and those whose names go on with `-`.
const HEAVY: [&str; 3] = ["datafusion", "arrow", "deltalake"];

/// What nothing of ours may be built from.
const BANNED: [&str; 3] = ["openssl-sys", "native-tls", "protoc-bin-vendored"];

/// Where packages may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Places of somebody's machine. Written in halves, so that this file does not hold them.
const PLACES: [&str; 4] = [
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/tmp/", "prompts"),
    concat!("/ho", "me/"),
];

/// Where a crate stands; a crate sees only what lies below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    /// L0: what things mean, without I/O.
    Pure,
    /// L1: files, metadata, processes. They do not see each other.
    Part,
    /// L2: the loop and the pages.
    Loop,
    /// L3: HTTP.
    Server,
    /// What runs SQL: sees the core, and DataFusion and Delta.
    Heavy,
    /// The binary: the one that names both sides.
    Binary,
    /// For tests and measurements.
    Bench,
    /// What tests of light crates use.
    Testkit,
    /// The chores: sees nothing of ours.
    Chores,
}

fn layer(name: &str) -> Option<Layer> {
    Some(match name {
        "mulgil-core" | "mulgil-jinja" => Layer::Pure,
        "mulgil-project" | "mulgil-store" | "mulgil-runner" | "mulgil-notebook" => Layer::Part,
        "mulgil-scheduler" | "mulgil-web" => Layer::Loop,
        "mulgil-server" => Layer::Server,
        "mulgil-engine" | "mulgil-connectors" | "mulgil-warehouses" | "mulgil-pgwire" | "mulgil-cluster" => {
            Layer::Heavy
        }
        "mulgil" => Layer::Binary,
        "mulgil-bench" => Layer::Bench,
        "mulgil-testkit" => Layer::Testkit,
        "xtask" => Layer::Chores,
        _ => return None,
    })
}

impl Layer {
    fn is_light(self) -> bool {
        match self {
            Self::Pure | Self::Part | Self::Loop | Self::Server | Self::Testkit | Self::Chores => true,
            Self::Heavy | Self::Binary | Self::Bench => false,
        }
    }

    /// Whether a crate of this layer may name one of the other.
    fn sees(self, other: Self, is_dev: bool) -> bool {
        if is_dev && other == Self::Testkit {
            return self != Self::Chores;
        }
        match self {
            Self::Pure | Self::Chores => false,
            Self::Part | Self::Heavy => other == Self::Pure,
            Self::Loop => matches!(other, Self::Pure | Self::Part),
            Self::Server | Self::Testkit => matches!(other, Self::Pure | Self::Part | Self::Loop),
            Self::Binary => !matches!(other, Self::Bench | Self::Testkit | Self::Chores | Self::Binary),
            Self::Bench => other != Self::Chores && other != Self::Bench,
        }
    }
}

/// Checks all rules and prints all faults.
pub(crate) fn run() -> Result<()> {
    let files = files(root())?;
    let mut faults = Vec::new();
    faults.extend(check_crates(&Metadata::read()?));
    faults.extend(check_codes()?);
    faults.extend(check_readmes()?);
    for file in &files {
        // What is not text is data, and data has no rules here.
        if let Ok(text) = fs::read_to_string(root().join(file)) {
            faults.extend(check_text(file, &text));
        }
    }
    for fault in &faults {
        eprintln!("tidy: {fault}");
    }
    match faults.len() {
        0 => Ok(()),
        count => bail!("{count} faults"),
    }
}

fn check_crates(metadata: &Metadata) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, edges) in &metadata.members {
        let Some(from) = layer(name) else {
            faults.push(format!("crate `{name}` has no layer; give it one in xtask/src/tidy.rs"));
            continue;
        };
        faults.extend(check_edges(name, from, edges));
        let closure = metadata.closure(name);
        let is_heavy = |package: &&&str| HEAVY.iter().any(|heavy| is_or_extends(package, heavy));
        if let Some(package) = closure.iter().find(is_heavy).filter(|_| from.is_light()) {
            faults.push(format!("crate `{name}` is light, but is built from `{package}`"));
        }
        faults.extend(
            BANNED.iter().filter(|banned| closure.contains(**banned)).map(|banned| {
                format!("crate `{name}` is built from `{banned}`, which needs what a machine may not have")
            }),
        );
    }
    let elsewhere = metadata.sources.iter().filter(|(_, source)| *source != REGISTRY);
    faults.extend(elsewhere.map(|(id, source)| format!("{id} comes from {source}, not from crates.io")));
    faults
}

fn check_edges(name: &str, from: Layer, edges: &[Edge]) -> Vec<String> {
    edges
        .iter()
        .filter(|edge| edge.to != name)
        .filter_map(|edge| Some((edge, layer(&edge.to)?)))
        .filter(|(edge, to)| !from.sees(*to, edge.is_dev))
        .map(|(edge, to)| format!("crate `{name}` ({from:?}) may not depend on `{}` ({to:?})", edge.to))
        .collect()
}

fn is_or_extends(package: &str, name: &str) -> bool {
    package
        .strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Every code has a page, and every page a code.
fn check_codes() -> Result<Vec<String>> {
    let codes = codes(&fs::read_to_string(root().join("crates/mulgil-core/src/codes.rs"))?);
    let pages: BTreeSet<u16> = generate::pages()?.into_iter().map(|page| page.code).collect();
    let mut faults = Vec::new();
    for (code, name) in &codes {
        if !pages.contains(code) {
            faults.push(format!("code {name} has no page docs/error/MG{code:04}.md"));
        }
    }
    for code in pages.iter().filter(|code| !codes.contains_key(code)) {
        faults.push(format!(
            "docs/error/MG{code:04}.md has no code in mulgil-core's codes.rs"
        ));
    }
    Ok(faults)
}

/// The lines `NAME = 1104;` of the table of codes.
fn codes(text: &str) -> BTreeMap<u16, String> {
    let entry = |line: &str| {
        let (name, number) = line.trim().strip_suffix(';')?.split_once(" = ")?;
        let is_name = name
            .bytes()
            .all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
        let is_number = number.len() == 4 && is_name;
        Some((number.parse().ok().filter(|_| is_number)?, name.to_owned()))
    };
    text.lines().filter_map(entry).collect()
}

/// The two READMEs have the same headings by level, and the same blocks of code.
fn check_readmes() -> Result<Vec<String>> {
    let read = |name: &str| fs::read_to_string(root().join(name)).with_context(|| format!("{name} cannot be read"));
    let (english, korean) = (read("README.md")?, read("README.ko.md")?);
    let (english, korean) = (outline(&english), outline(&korean));
    let differing = english.iter().zip(&korean).find(|(a, b)| a != b);
    Ok(match differing {
        Some((a, b)) => vec![format!(
            "README.ko.md is not in step with README.md: `{a}` there, `{b}` here"
        )],
        None if english.len() != korean.len() => vec!["one README goes on where the other ends".to_owned()],
        None => Vec::new(),
    })
}

/// The levels of headings and the lines inside fences, in order.
fn outline(text: &str) -> Vec<&str> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
            lines.push(line);
        } else if is_code {
            lines.push(line.split(" #").next().unwrap_or(line).trim_end());
        } else if line.starts_with('#') {
            lines.push(line.split(' ').next().unwrap_or(line));
        }
    }
    lines
}

fn check_text(file: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let name = file.display();
    for (index, line) in text.lines().enumerate() {
        if let Some(place) = PLACES.iter().find(|place| names_place(line, place)) {
            faults.push(format!("{name}:{}: names `{place}`, a place of one machine", index + 1));
        }
    }
    if file.extension().is_some_and(|extension| extension == "rs") {
        let length = text.lines().count();
        if length > LONG_FILE_LINES {
            eprintln!("tidy: note: {name} has {length} lines");
        }
        if is_source(file) && !text.starts_with("//!") {
            faults.push(format!("{name}:1: begins without `//!`, which says what the file is"));
        }
    }
    faults
}

/// Whether a path of that place stands in the line by itself, not as the middle of another.
fn names_place(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '>')))
    })
}

/// Whether a file is ours to begin with a description: `src` of a crate, but not what is generated.
fn is_source(file: &Path) -> bool {
    let mut parts = file.iter();
    parts.any(|part| part == "src") && !file.iter().any(|part| part == "generated")
}

/// Every file of the checkout, from its root, but for what is built, hidden or kept by git itself.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut open = vec![PathBuf::new()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = entry.file_name();
            let path = folder.join(&name);
            let kind = entry.file_type()?;
            let is_skipped = matches!(
                name.to_str(),
                Some(".git" | "target" | ".mulgil" | "warehouse" | "__pycache__")
            );
            if kind.is_dir() && !is_skipped {
                open.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_see_only_what_lies_below() {
        assert!(Layer::Part.sees(Layer::Pure, false));
        assert!(!Layer::Part.sees(Layer::Part, true));
        assert!(!Layer::Heavy.sees(Layer::Part, false));
        assert!(!Layer::Loop.sees(Layer::Heavy, false));
        assert!(Layer::Binary.sees(Layer::Heavy, false));
        assert!(Layer::Part.sees(Layer::Testkit, true));
        assert!(!Layer::Part.sees(Layer::Testkit, false));
    }

    #[test]
    fn heavy_packages_are_told_by_whole_words() {
        assert!(is_or_extends("arrow", "arrow"));
        assert!(is_or_extends("arrow-schema", "arrow"));
        assert!(!is_or_extends("arrowhead", "arrow"));
    }

    #[test]
    fn reads_codes_and_nothing_else() {
        let text =
            "macro { $name:ident = $number:literal; }\n    /// Doc.\n    USAGE = 0001;\n    UNKNOWN_REF = 1104;\n";
        let found: Vec<_> = codes(text).into_iter().collect();
        assert_eq!(found, [(1, "USAGE".to_owned()), (1104, "UNKNOWN_REF".to_owned())]);
    }

    #[test]
    fn finds_places_that_stand_by_themselves() {
        assert!(names_place(concat!("see /wo", "rk/main"), PLACES[1]));
        assert!(!names_place(concat!("src/wo", "rk/mod.rs"), PLACES[1]));
    }

    #[test]
    fn outlines_keep_headings_and_code() {
        assert_eq!(
            outline("# A\ntext\n```sh\nrun   # why\n```\n## B\n"),
            ["#", "```sh", "run", "```", "##"]
        );
    }
}
