//! Kills: wherever a run dies, the next one finishes it, and every table equals the undisturbed one.

use crate::harness::Place;

/// How many of the durable writes are killed at, spread over all; `cargo xtask chaos spine` takes each.
const STRIDES: u64 = 12;

/// After a kill: the next run finishes, nothing is due, the tables are as undisturbed, and the
/// ledger records nothing that the tables do not hold.
#[track_caller]
fn survives(place: &str, expected: &[(&'static str, Vec<String>)]) {
    let project = Place::january();
    let killed = project.run_killed_at(place);
    assert!(killed.code.is_none() || killed.code == Some(0), "{place}: {killed:?}");
    project.mulgil(&["run"]).ends_with(0);
    assert_eq!(project.plan(), Vec::<String>::new(), "{place}");
    assert!(
        project.tables() == expected,
        "{place}: a table differs from the undisturbed one"
    );
}

#[test]
fn every_kill_is_survived() {
    let undisturbed = Place::january();
    let counted = undisturbed.run_killed_at("count").ends_with(0);
    let writes = counted.writes();
    assert!(writes > STRIDES, "only {writes} durable writes were counted");
    let expected = undisturbed.tables();
    for stride in 0..STRIDES {
        survives(
            &format!("write:{}", 1 + stride * (writes - 1) / (STRIDES - 1)),
            &expected,
        );
    }
    for point in ["claimed", "files_written", "committed", "recorded"] {
        for passing in [1, 3] {
            survives(&format!("{point}:{passing}"), &expected);
        }
    }
}

#[test]
fn a_commit_that_was_not_recorded_is_adopted_and_not_made_again() {
    let project = Place::january();
    let killed = project.run_killed_at("committed:1");
    assert_eq!(killed.code, None);
    let done = project.mulgil(&["run"]).ends_with(0);
    let fills = done.stderr.lines().filter(|line| line.contains("filled ")).count();
    assert_eq!(
        fills,
        6 + 1 - 1,
        "one of seven tables was committed before the kill:\n{}",
        done.stderr
    );
}
