//! Whether the files of a project changed since they were last looked at, without reading them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use mulgil_core::project::{FilePattern, Fingerprint, Project};

/// Files that are looked at; a folder with more is looked at in part.
const MAX_FILES: usize = 50_000;
/// How deep folders may be nested.
const MAX_DEPTH: usize = 32;
/// The ends of names of files that a project is read from.
const ENDINGS: &[&str] = &["sql", "yml", "yaml", "csv", "py"];
/// Folders of other tools, which may be large.
const SKIPPED: &[&str] = &["target", "node_modules", "__pycache__", "venv"];

/// A stamp of the project's files: their paths, sizes and times. Hidden folders, those of `without` and the files
/// of sources are left out: data that comes is no change of the project.
pub fn stamp(project: &Project, without: &[PathBuf]) -> Fingerprint {
    let mut look = Look {
        root: &project.root,
        without,
        data: project.sources.iter().map(|source| ends_of(&source.files)).collect(),
        found: Vec::new(),
    };
    look.folder(&project.root, 0);
    look.found.sort();
    Fingerprint::of_text(&look.found.join("\n"))
}

/// What stands before the date of a source's files, and behind it; of a single file all of it.
fn ends_of(files: &FilePattern) -> (String, String) {
    match files {
        FilePattern::Single(path) => (path.display().to_string(), String::new()),
        FilePattern::PerInterval { template, .. } => {
            let before = template.split('{').next().unwrap_or_default();
            let behind = template.rsplit('}').next().unwrap_or_default();
            (before.to_owned(), behind.to_owned())
        }
    }
}

struct Look<'a> {
    root: &'a Path,
    without: &'a [PathBuf],
    data: Vec<(String, String)>,
    found: Vec<String>,
}

impl Look<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) {
        // What cannot be read now is told when the project is loaded.
        let Ok(entries) = fs::read_dir(folder) else {
            return;
        };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let Ok(kind) = entry.file_type() else { continue };
            if name.starts_with('.') || self.found.len() >= MAX_FILES {
                continue;
            }
            if kind.is_dir() {
                let is_left_out = SKIPPED.contains(&name.as_ref()) || self.without.contains(&path);
                if !is_left_out && depth < MAX_DEPTH {
                    self.folder(&path, depth + 1);
                }
                continue;
            }
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            if !ENDINGS.contains(&ending) || self.is_data(&path) {
                continue;
            }
            // A link is looked at where it leads.
            let Ok(data) = fs::metadata(&path) else { continue };
            let changed = data.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let changed = changed.map_or(0, |at| at.as_nanos());
            self.found.push(format!("{} {} {changed}", path.display(), data.len()));
        }
    }

    fn is_data(&self, path: &Path) -> bool {
        let path = path.strip_prefix(self.root).unwrap_or(path).to_string_lossy();
        let mut data = self.data.iter();
        data.any(|(before, behind)| {
            let rest = path.strip_prefix(before.as_str());
            let rest = rest.and_then(|rest| rest.strip_suffix(behind.as_str()));
            // A date begins with a digit.
            rest.is_some_and(|date| date.is_empty() || date.starts_with(|first: char| first.is_ascii_digit()))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_changes_with_the_files_that_a_project_is_read_from_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["models/deep", "warehouse", "data", ".mulgil"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let manifest = "name: shop\ntimezone: UTC\nsources:\n  store:\n    sales: {files: 'data/sales_{YYYYMMDD}.csv'}\n    \
                        shops: {files: data/shops.csv}\n";
        fs::write(root.join("mulgil.yml"), manifest).unwrap();
        let loaded = crate::load(root, &crate::LoadOptions::default());
        let project = loaded.project.unwrap();
        let of = || stamp(&project, &[project.root.join("warehouse")]);
        let first = of();
        fs::write(root.join("models/deep/a.sql"), "select 1").unwrap();
        let second = of();
        assert_ne!(first, second);
        for other in ["warehouse/a.sql", ".mulgil/a.sql", "models/a.parquet", "notes.txt"] {
            fs::write(root.join(other), "x").unwrap();
        }
        for data in ["data/sales_20260310.csv", "data/shops.csv"] {
            fs::write(root.join(data), "x").unwrap();
        }
        assert_eq!(of(), second);
        fs::write(root.join("models/deep/a.sql"), "select 10").unwrap();
        let third = of();
        assert_ne!(third, second);
        fs::remove_file(root.join("models/deep/a.sql")).unwrap();
        assert_eq!(of(), first);
    }
}
