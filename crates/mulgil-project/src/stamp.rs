//! Whether the files of a project changed since they were last looked at, without reading them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use mulgil_core::project::Fingerprint;

/// Files that are looked at; a folder with more is looked at in part.
const MAX_FILES: usize = 50_000;
/// How deep folders may be nested.
const MAX_DEPTH: usize = 32;
/// The ends of names of files that a project is read from.
const ENDINGS: &[&str] = &["sql", "yml", "yaml", "csv", "py"];
/// Folders of other tools, which may be large.
const SKIPPED: &[&str] = &["target", "node_modules", "__pycache__", "venv"];

/// A stamp of the project's files: their paths, sizes and times. Hidden folders and those of `without` are
/// left out.
pub fn stamp(root: &Path, without: &[PathBuf]) -> Fingerprint {
    let mut found = Vec::new();
    look(root, without, 0, &mut found);
    found.sort();
    Fingerprint::of_text(&found.join("\n"))
}

fn look(folder: &Path, without: &[PathBuf], depth: usize, found: &mut Vec<String>) {
    // What cannot be read now is told when the project is loaded.
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let Ok(kind) = entry.file_type() else { continue };
        if name.starts_with('.') || found.len() >= MAX_FILES {
            continue;
        }
        if kind.is_dir() {
            let is_left_out = SKIPPED.contains(&name.as_ref()) || without.contains(&path);
            if !is_left_out && depth < MAX_DEPTH {
                look(&path, without, depth + 1, found);
            }
            continue;
        }
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if !ENDINGS.contains(&ending) {
            continue;
        }
        // A link is looked at where it leads.
        let Ok(data) = fs::metadata(&path) else { continue };
        let changed = data.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let changed = changed.map_or(0, |at| at.as_nanos());
        found.push(format!("{} {} {changed}", path.display(), data.len()));
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
        for name in ["models/deep", "warehouse", ".mulgil"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let of = || stamp(root, &[root.join("warehouse")]);
        let first = of();
        fs::write(root.join("models/deep/a.sql"), "select 1").unwrap();
        let second = of();
        assert_ne!(first, second);
        for other in ["warehouse/a.sql", ".mulgil/a.sql", "models/a.parquet", "notes.txt"] {
            fs::write(root.join(other), "x").unwrap();
        }
        assert_eq!(of(), second);
        fs::write(root.join("models/deep/a.sql"), "select 10").unwrap();
        let third = of();
        assert_ne!(third, second);
        fs::remove_file(root.join("models/deep/a.sql")).unwrap();
        assert_eq!(of(), first);
    }
}
