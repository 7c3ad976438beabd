//! A project that `init` makes, and the schemas beside it.

use std::fs;

use serde_json::Value;

use crate::harness::Place;

#[test]
fn a_new_project_is_green_from_its_first_command_on() {
    let place = Place::of("");
    let told = place.mulgil(&["init", "My Shop"]).ends_with(0);
    assert!(
        told.stderr.contains("the project `my_shop`") && told.stderr.contains("cd 'My Shop'"),
        "{}",
        told.stderr
    );
    let within = |words: &[&str]| place.mulgil(&[&["-C", "My Shop"][..], words].concat());
    let check = within(&["check"]).ends_with(0);
    assert_eq!(
        check.stdout,
        "ok: my_shop (dev): 1 node, 1 source, 3 data tests, 1 flow\n"
    );
    assert_eq!(check.stderr, "");
    within(&["run"])
        .ends_with(0)
        .says("3 intervals")
        .says("3 of 3 data tests passed");
    within(&["plan", "--json"]).ends_with(0).is_empty_plan("after the run");
    let rows = within(&["query", "select sum(visits) from visits_daily", "-o", "csv"])
        .ends_with(0)
        .rows();
    assert_eq!(rows, ["15"]);
    within(&["run", "flow:daily"]).ends_with(0);
    for (of, file) in [
        ("project", "mulgil.project.schema.json"),
        ("flow", "mulgil.flow.schema.json"),
    ] {
        let printed = within(&["schema", of]).ends_with(0).json();
        let kept = fs::read_to_string(place.path().join("My Shop/.vscode").join(file)).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&kept).unwrap(), printed);
    }
}

#[test]
fn a_folder_with_a_project_is_left_alone_and_no_file_is_written_over() {
    let place = Place::of("=== models/schema.yml\n# mine\nversion: 2\n=== README.md\nmine\n");
    place
        .mulgil(&["init"])
        .ends_with(0)
        .says("left as it was  models/schema.yml");
    let mine = fs::read_to_string(place.path().join("models/schema.yml")).unwrap();
    assert_eq!(mine, "# mine\nversion: 2\n");
    place.mulgil(&["run"]).ends_with(0);
    let before = fs::read_to_string(place.path().join("mulgil.yml")).unwrap();
    place
        .mulgil(&["init"])
        .ends_with(2)
        .says("error[MG0061]: there is a project in");
    place
        .mulgil(&["init", "models"])
        .ends_with(2)
        .says("lies inside of the project in");
    assert_eq!(fs::read_to_string(place.path().join("mulgil.yml")).unwrap(), before);
    assert!(!place.path().join("models/mulgil.yml").exists());
}

#[test]
fn a_folder_whose_name_cannot_be_a_projects_is_taken_all_the_same() {
    let place = Place::of("");
    place
        .mulgil(&["init", "2026 보고"])
        .ends_with(0)
        .says("the project `project`");
    place.mulgil(&["-C", "2026 보고", "check"]).ends_with(0);
}
