//! Small projects, written as text: what is wrong with them, what they mean, and their queries.

mod batches;
mod dbt;
mod faults;
mod fingerprints;
mod flows;
mod hooks;
mod meaning;
mod queries;
mod speed;

use std::{fs, path::Path};

use mulgil_core::{name::NodeName, project::Node};
use mulgil_project::{LoadOptions, Loaded};

/// A project on disk, from one text: each file after a line `== path`.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// Writes the files. Where nothing makes it a project, a `mulgil.yml` with a name is added.
    pub(crate) fn new(text: &str) -> Self {
        let folder = Self(tempfile::tempdir().expect("a temporary folder can be made"));
        if !text.contains("== mulgil.yml") && !text.contains("== dbt_project.yml") {
            folder.write("mulgil.yml", "name: shop\n");
        }
        for file in text.split("== ").skip(1) {
            let (path, content) = file.split_once('\n').expect("a file has a line with its path");
            folder.write(path.trim(), content);
        }
        folder
    }

    /// Writes one file.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("folders can be made");
        fs::write(path, content).expect("files can be written");
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn load(&self) -> Loaded {
        mulgil_project::load(self.path(), &LoadOptions::default())
    }
}

/// What is wrong with a project, as people see it.
pub(crate) fn faults(text: &str) -> String {
    printed(&Folder::new(text).load())
}

/// Its diagnostics, one after the other.
pub(crate) fn printed(loaded: &Loaded) -> String {
    let faults: Vec<String> = loaded.diagnostics.iter().map(ToString::to_string).collect();
    faults.join("\n\n")
}

/// A project that has no faults.
pub(crate) fn loaded(text: &str) -> Loaded {
    let loaded = Folder::new(text).load();
    assert!(loaded.project.is_some(), "{}", printed(&loaded));
    loaded
}

/// One of its nodes.
pub(crate) fn node(loaded: &Loaded, name: &str) -> Node {
    let project = loaded.project.as_ref().expect("it has no faults");
    project.node(&NodeName::new(name)).expect("the node is there").clone()
}

/// A value as JSON, one field on a line.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("it can be written")
}
