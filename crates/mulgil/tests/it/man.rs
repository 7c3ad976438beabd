//! Manual pages: one for each command, in roff that a formatter reads as it is meant.

use std::{fs, path::Path};

use crate::harness::Place;

/// What a line of roff may begin with to be a request of these pages.
const REQUESTS: [&str; 12] = [
    ".TH", ".SH", ".SS", ".TP", ".PP", ".IP", ".RS", ".RE", ".br", ".ie", ".el", ".B",
];

/// Every line that begins with a control sign is a request that pages have; text never does.
#[track_caller]
fn is_well_formed(name: &str, page: &str) {
    let mut levels = 0_i32;
    for line in page.lines() {
        let request = line.split_whitespace().next().unwrap_or_default();
        match line.chars().next() {
            Some('.') => assert!(REQUESTS.contains(&request), "{name}: {line}"),
            // The one that asks which formatter it is.
            Some('\'') => panic!("{name}: {line}"),
            Some(_) | None => assert!(!line.contains('\t'), "{name}: {line}"),
        }
        levels += i32::from(request == ".RS") - i32::from(request == ".RE");
        assert!(levels >= 0, "{name}: ends what did not begin");
    }
    assert_eq!(levels, 0, "{name}");
    let heads: Vec<&str> = page.lines().filter(|line| line.starts_with(".TH ")).collect();
    assert_eq!(heads.len(), 1, "{name}: {heads:?}");
    for section in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"] {
        assert!(page.lines().any(|line| line == section), "{name} has no {section}");
    }
}

#[test]
fn each_command_has_a_page() {
    let place = Place::of("");
    place
        .mulgil(&["man", "pages/man1"])
        .ends_with(0)
        .says("wrote")
        .says("man1/mulgil.1");
    let folder = place.path().join("pages/man1");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let page = fs::read_to_string(folder.join(&name)).unwrap();
        // The first two lines ask which formatter reads them.
        let page: String = page
            .lines()
            .filter(|line| !line.starts_with(".ie ") && !line.starts_with(".el "))
            .collect::<Vec<_>>()
            .join("\n");
        is_well_formed(&name, &page);
        names.push(name);
    }
    let reference =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md")).unwrap();
    let commands = reference
        .lines()
        .filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`'));
    for command in commands {
        let page = format!("{}.1", command.replace(' ', "-"));
        assert!(names.contains(&page), "no {page} among {names:?}");
    }
    assert!(
        !names
            .iter()
            .any(|name| name.contains("gen-docs") || name.contains("complete.1")),
        "{names:?}"
    );
    let doctor = fs::read_to_string(folder.join("mulgil-doctor.1")).unwrap();
    assert!(
        doctor.contains("how to mend it") && doctor.contains("\\-\\-port"),
        "{doctor}"
    );
}

#[test]
fn the_programs_page_is_printed_and_a_folder_that_cannot_be_made_is_told() {
    let place = Place::of("");
    let page = place.mulgil(&["man"]).ends_with(0).stdout;
    assert!(page.contains(".SH NAME") && page.contains("mulgil\\-run(1)"), "{page}");
    place.write("taken", "a file");
    place
        .mulgil(&["man", "taken"])
        .ends_with(6)
        .says("error[MG5103]")
        .says("do: ");
}
