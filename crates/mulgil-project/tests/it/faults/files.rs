//! The files themselves.

use insta::assert_snapshot;
use mulgil_project::LoadOptions;

use super::{DAILY, with};
use crate::{Folder, faults, printed};

#[test]
fn a_good_project_has_no_faults() {
    assert_snapshot!(with(""), @"");
}

#[test]
fn no_project() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let loaded = mulgil_project::load(folder.path(), &LoadOptions::default());
    let text = printed(&loaded).replace(&folder.path().display().to_string(), "[folder]");
    assert_snapshot!(text, @"
    error[MG1001]: the folder [folder] has no `mulgil.yml`, so it is no project
    do: go to a project folder, or write a `mulgil.yml` with a `name:`
    ");
}

#[test]
fn an_empty_project_is_a_warning() {
    let loaded = Folder::new("== mulgil.yml\nname: shop\n").load();
    assert_snapshot!(printed(&loaded), @"
    warning[MG1011]: the project has no models and no seeds, so nothing is to do
      --> mulgil.yml
    do: write a SELECT into a file such as `models/first.sql`
    ");
    assert!(loaded.project.is_some());
}

#[test]
fn a_file_that_is_not_utf8() {
    let folder = Folder::new(DAILY);
    folder.write("models/bad.sql", b"select 1\n-- \xff\xfe".as_slice());
    assert_snapshot!(printed(&folder.load()), @"
    error[MG1002]: the file is not UTF-8 text
      --> models/bad.sql:2
    do: save the file as UTF-8
    ");
}

#[test]
fn yaml_with_a_tab() {
    assert_snapshot!(faults("== mulgil.yml\nname: shop\nsources:\n\traw: {}\n"), @"
    error[MG1003]: a tab is used to indent, which YAML does not allow
      --> mulgil.yml:3:1
    do: replace the tab by spaces
    ");
}

#[test]
fn yaml_with_a_key_twice() {
    assert_snapshot!(faults("== mulgil.yml\nname: shop\ntimezone: UTC\nname: store\n== models/a.sql\nselect 1 as x"), @"
    error[MG1004]: the key `name` stands twice in one mapping, so one value would be lost
      --> mulgil.yml:3:1
      --> mulgil.yml:1:1  the first one
    do: keep one of them
    ");
}

#[test]
fn a_manifest_that_is_a_folder() {
    let folder = Folder::new("== mulgil.yml/inside.txt\n");
    assert_eq!(
        mulgil_project::find_root(&folder.path().join("mulgil.yml")).as_deref(),
        Some(folder.path())
    );
    assert_snapshot!(printed(&folder.load()), @"
    error[MG1002]: `mulgil.yml` is a folder, but a file is needed
      --> mulgil.yml
    do: rename the folder, and write a file `mulgil.yml` with a `name:`
    ");
}

#[cfg(unix)]
#[test]
fn links_that_lead_back() {
    let folder = Folder::new("== models/a.sql\nselect 1 as a\n== models/deep/b.sql\nselect 1 as b\n== macros/m.sql\n");
    let link = |to: &str, at: &str| {
        std::os::unix::fs::symlink(to, folder.path().join(at)).expect("links can be made");
    };
    link(".", "models/self");
    link(".", "models/self2");
    link("..", "models/deep/up");
    link("../..", "models/deep/out");
    link("deep", "models/beside");
    assert_snapshot!(printed(&folder.load()), @"
    error[MG1002]: the folder is a link to `models/deep`, whose files are read already
      --> models/beside
    do: remove the link, or keep it out with `.mulgilignore`

    error[MG1002]: the folder is a link to `.`, whose files are read already
      --> models/deep/out
    do: remove the link, or keep it out with `.mulgilignore`

    error[MG1002]: the folder is a link to `models`, whose files are read already
      --> models/deep/up
    do: remove the link, or keep it out with `.mulgilignore`

    error[MG1002]: the folder is a link to `models`, whose files are read already
      --> models/self
    do: remove the link, or keep it out with `.mulgilignore`

    error[MG1002]: the folder is a link to `models`, whose files are read already
      --> models/self2
    do: remove the link, or keep it out with `.mulgilignore`
    ");
    folder.write(
        ".mulgilignore",
        "models/self*\nmodels/deep/up\nmodels/deep/out\nmodels/beside\n",
    );
    assert_eq!(printed(&folder.load()), "");
}

#[cfg(unix)]
#[test]
fn a_link_to_a_folder_elsewhere_is_followed_once() {
    let elsewhere = Folder::new("== shared/c.sql\nselect 1 as c\n");
    let folder = Folder::new("== models/a.sql\nselect 1 as a\n");
    let target = elsewhere.path().join("shared");
    std::os::unix::fs::symlink(&target, folder.path().join("models/shared")).expect("links can be made");
    std::os::unix::fs::symlink(&target, target.join("again")).expect("links can be made");
    let shown = printed(&folder.load());
    assert!(shown.contains("--> models/shared/again"), "{shown}");
    assert_eq!(shown.matches("error[").count(), 1, "{shown}");
}
