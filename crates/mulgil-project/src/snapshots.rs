//! The snapshots of a project: `{% snapshot name %}` blocks in files of their own, and entries of YAML
//! files that name what they look at.

use std::path::{Path, PathBuf};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
};

use crate::{
    assemble::Assembly, config, dialect::OF_SNAPSHOTS, files::TextFile, rendering::Rendering, template::Facts,
};

/// One `snapshot` block: its name, and the text of its file in which all else is blank.
struct Block {
    name: String,
    text: String,
}

impl Assembly<'_> {
    /// Adds the snapshots of all files.
    pub(crate) fn add_snapshots(&mut self, faults: &mut Vec<Diagnostic>) {
        for TextFile { path, text } in std::mem::take(&mut self.files.snapshots) {
            let blocks = match blocks(&text) {
                Ok(blocks) => blocks,
                Err(why) => {
                    faults.push(
                        Diagnostic::error(codes::TEMPLATE_SYNTAX, why)
                            .at(Place::file(&path))
                            .with_remedy("write `{% snapshot name %} … {% endsnapshot %}` around the SELECT"),
                    );
                    continue;
                }
            };
            let is_alone = blocks.len() == 1;
            for Block { name, text } in blocks {
                let path = if is_alone { path.clone() } else { part_of(&path, &name) };
                self.add_snapshot(&name, path, text, faults);
            }
        }
        let described = self.properties.snapshots.iter();
        let of_yaml: Vec<(String, String, PathBuf)> = described
            .filter_map(|(name, one)| {
                let relation = one.relation.as_ref()?;
                let file = one.place.file.clone();
                Some((
                    name.clone(),
                    format!("select * from {{{{ {relation} }}}}"),
                    part_of(&file, name),
                ))
            })
            .collect();
        for (name, text, path) in of_yaml {
            self.add_snapshot(&name, path, text, faults);
        }
    }

    fn add_snapshot(&mut self, stem: &str, path: PathBuf, text: String, faults: &mut Vec<Diagnostic>) {
        let Some(name) = self.claim(stem, &path, faults) else {
            return;
        };
        let facts = Facts::sentinels(name.as_str(), false);
        let rendered = self
            .templates
            .add(&path, text)
            .and_then(|()| self.templates.render(&path, &facts));
        let rendered = match rendered {
            Ok(rendered) => rendered,
            Err(fault) => {
                faults.push(fault);
                self.known.broken.insert(name);
                return;
            }
        };
        let mut layer = self.manifest.snapshots.layer_of(&path);
        if let Some(described) = self.properties.snapshots.get(name.as_str()) {
            config::overlay(&mut layer, &described.settings);
        }
        config::overlay(
            &mut layer,
            &self.settings_in_file(&path, &rendered, OF_SNAPSHOTS, faults),
        );
        if !config::is_enabled(&layer, faults) {
            self.known.disabled.insert(name);
            return;
        }
        let told = faults.len();
        let config = config::snapshot(&layer, &self.manifest.zone, faults);
        for fault in faults.iter_mut().skip(told).filter(|fault| fault.place.is_none()) {
            fault.place = Some(Place::file(&path));
        }
        self.add(name, path, config, vec![Rendering::plain(facts, rendered)], None);
    }
}

fn part_of(file: &Path, name: &str) -> PathBuf {
    PathBuf::from(format!("{}#{name}", file.display()))
}

/// The names of the `snapshot` blocks of a file; none where they cannot be read.
pub(crate) fn names(text: &str) -> Vec<String> {
    let blocks = blocks(text).unwrap_or_default();
    blocks.into_iter().map(|block| block.name).collect()
}

/// The `snapshot` blocks of a file. Places in them are places in the file.
fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, usize)> = None;
    let mut at = 0;
    while let Some((start, end, words)) = next_tag(text, at) {
        at = end;
        match (words.as_slice(), open.take()) {
            (["snapshot", name], None) => open = Some(((*name).to_owned(), end)),
            (["endsnapshot"], Some((name, from))) => blocks.push(Block {
                name,
                text: blanked(text, from, start),
            }),
            (["snapshot", ..], Some((name, _))) => return Err(format!("the snapshot `{name}` has no end")),
            (["snapshot", ..], None) => return Err("a snapshot has no name".to_owned()),
            (["endsnapshot", ..], None) => return Err("a snapshot ends that did not begin".to_owned()),
            (_, still) => open = still,
        }
    }
    match open {
        Some((name, _)) => Err(format!("the snapshot `{name}` has no end")),
        None if blocks.is_empty() => Err("the file has no `snapshot` block".to_owned()),
        None => Ok(blocks),
    }
}

/// The next tag from a place on: where it stands, and its first words.
fn next_tag(text: &str, from: usize) -> Option<(usize, usize, Vec<&str>)> {
    let start = from + text[from..].find("{%")?;
    let end = start + text[start..].find("%}")? + 2;
    let inner = text[start + 2..end - 2].trim_matches(['-', '+']);
    Some((start, end, inner.split_whitespace().collect()))
}

/// The text with blanks for all that lies outside a part, line by line as it was.
fn blanked(text: &str, from: usize, to: usize) -> String {
    let blank = |part: &str| {
        part.chars()
            .map(|sign| if sign == '\n' { '\n' } else { ' ' })
            .collect::<String>()
    };
    format!("{}{}{}", blank(&text[..from]), &text[from..to], blank(&text[to..]))
}
