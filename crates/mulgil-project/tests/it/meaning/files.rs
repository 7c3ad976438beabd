//! Which files are read.

use std::path::Path;

use crate::{Folder, loaded};

#[test]
fn files_are_left_alone_where_the_project_says_so() {
    let project = loaded(
        "== .mulgilignore
drafts/
*.bak.sql
== models/a.sql
select 1 as x
== models/a.bak.sql
select broken from
== models/drafts/b.sql
select broken from
",
    );
    let names: Vec<&str> = project
        .project
        .as_ref()
        .expect("it has no faults")
        .nodes
        .iter()
        .map(|node| node.name.as_str())
        .collect();
    assert_eq!(names, ["a"]);
}

#[test]
fn a_project_is_found_from_a_folder_in_it() {
    let folder = Folder::new("== models/deep/a.sql\nselect 1 as x\n");
    let deep = folder.path().join("models/deep");
    assert_eq!(mulgil_project::find_root(&deep).as_deref(), Some(folder.path()));
    assert_eq!(mulgil_project::find_root(Path::new("/")), None);
}
