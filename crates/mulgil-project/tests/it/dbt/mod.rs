//! Projects of dbt, read as they are: what they mean, and what is told of them.

mod data_tests;
mod files;
mod profiles;
mod project;
mod seeds;

use mulgil_project::{LoadOptions, Loaded};

use crate::{Folder, printed};

/// Its diagnostics, and where its nodes lie.
fn shown(loaded: &Loaded) -> String {
    let mut out = printed(loaded);
    if let Some(project) = &loaded.project {
        for node in &project.nodes {
            let line = format!(
                "{} {:?} {} {}",
                node.name,
                node.materialization,
                node.relation,
                node.tags.join(",")
            );
            out.push('\n');
            out.push_str(line.trim_end());
        }
    }
    out.trim_start().to_owned()
}

fn told(text: &str) -> String {
    shown(&Folder::new(text).load())
}

/// Loads with these variables of the environment and that target.
fn loaded_with(folder: &Folder, env: &[(&str, &str)], target: Option<&str>) -> Loaded {
    let options = LoadOptions {
        env: env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        target: target.map(str::to_owned),
        environment: target.unwrap_or("dev").to_owned(),
        home: Some(folder.path().join("home")),
        ..LoadOptions::default()
    };
    mulgil_project::load(folder.path(), &options)
}
