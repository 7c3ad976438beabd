//! The demo: what is wrong in it is wrong, and the commands that it prints mend it.

use std::{fs, net::TcpListener, path::Path, process::Command};

use serde_json::Value;

use crate::{
    harness::{Done, Place},
    server::{Server, until},
};

const UNTIL: &str = "2026-03-15";

/// What the demo is told after where it makes its folder.
const FLAGS: [&str; 3] = ["--until", UNTIL, "--no-serve"];

/// Fills the demo in the folder `story`.
fn demo(place: &Place) -> Done {
    place.mulgil(&[&["demo", "story"][..], &FLAGS].concat()).ends_with(0)
}

/// The commands of its steps, as a person copies them.
fn commands(told: &str) -> Vec<String> {
    let steps = told.split_once("Seven steps").unwrap().1.lines();
    let commands = steps.filter_map(|line| line.strip_prefix("     "));
    commands.map(str::to_owned).collect()
}

/// Types a command in the folder.
fn typed(folder: &Path, command: &str) -> Done {
    let program = Path::new(env!("CARGO_BIN_EXE_mulgil")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(folder)
        .env("PATH", path)
        .env_remove("MULGIL_ENV");
    Done::of(shell.output().unwrap())
}

/// How many intervals of each table stand how: `sales_daily fresh 12`.
fn standing(folder: &Path) -> Vec<String> {
    let status = typed(folder, "mulgil status --json").ends_with(0).json();
    let mut out = Vec::new();
    for node in status["nodes"].as_array().unwrap() {
        for (status, count) in node["counts"].as_object().unwrap() {
            out.push(format!("{} {status} {count}", node["node"].as_str().unwrap()));
        }
        assert_eq!(node["failed_tests"], serde_json::json!([]), "{node}");
    }
    out
}

/// The hour at which a flow comes next, and whether that is too late.
fn next_hour(folder: &Path, flow: &str) -> String {
    let shown = typed(folder, &format!("mulgil flows show {flow}")).ends_with(0).stdout;
    let next = shown.lines().find_map(|line| line.strip_prefix("  next: ")).unwrap();
    let (day, rest) = next.split_once('T').unwrap();
    rest.replace(day, "DAY")
}

/// Whether nothing is left to do of what stands so.
fn is_well(line: &str) -> bool {
    ["fresh", "sealed", "provisional"].contains(&line.split(' ').nth(1).unwrap())
}

const WRONG: [&str; 2] = ["sales_daily missing 2", "ranking failed 1"];

fn is_wrong(folder: &Path) {
    let standing = standing(folder);
    let wrong: Vec<&String> = standing.iter().filter(|line| !is_well(line)).collect();
    assert_eq!(wrong, WRONG, "{standing:?}");
}

#[test]
fn a_person_who_follows_the_seven_steps_has_mended_it_all() {
    let place = Place::of("");
    let told = demo(&place).stderr;
    let folder = place.path().join("story");
    is_wrong(&folder);
    let late = "16:00:00+09:00 (Asia/Seoul), too late: its run has to be done by DAYT07:30:00+09:00";
    assert_eq!(next_hour(&folder, "ranking"), late);
    let plan = typed(&folder, "mulgil plan").ends_with(0).stdout;
    assert!(plan.contains("sales_daily  2026-03-09..2026-03-11"), "{plan}");

    let commands = commands(&told);
    let [status, why, backfill, logs, mend, run, set, show, query] = commands.as_slice() else {
        panic!("{commands:#?}");
    };
    let status = typed(&folder, status).ends_with(0).stdout;
    assert!(status.contains("12/14") && status.contains("2 missing"), "{status}");
    let why = typed(&folder, why).ends_with(0).stdout;
    assert!(
        why.contains("missing: never filled") && why.contains("store.sales@2026-03-09: there"),
        "{why}"
    );
    typed(&folder, backfill).ends_with(0).says("2 intervals");
    let logs = typed(&folder, logs).ends_with(0).stdout;
    assert!(
        logs.contains("amount") && logs.contains("(line 5, column 28)"),
        "{logs}"
    );
    typed(&folder, mend).ends_with(0);
    typed(&folder, run).ends_with(0).says("8 rows");
    typed(&folder, set).ends_with(0);
    let show = typed(&folder, show).ends_with(0).stdout;
    assert!(show.contains("T07:00:00+09:00"), "{show}");
    let ranking = typed(&folder, query).ends_with(0).stdout;
    assert!(
        ranking.contains("달빛 아래 편의점") && ranking.contains("Nineteen Again"),
        "{ranking}"
    );

    let standing = standing(&folder);
    assert!(
        standing.len() >= 6 && standing.iter().all(|line| is_well(line)),
        "{standing:?}"
    );
    assert_eq!(typed(&folder, "mulgil plan").ends_with(0).stdout, "nothing is due\n");
    let check = typed(&folder, "mulgil check").ends_with(0);
    assert_eq!(check.stderr, "");
}

#[test]
fn a_server_leaves_to_the_person_what_is_wrong_and_ends_with_0() {
    let place = Place::of("");
    let folder = place.path().join("story");
    let server = Server::start_in(&place, "story", &["demo", "story", "--until", UNTIL, "--port", "0"]);
    server.is_ready();
    // It has looked at what is due, and found the file of flows.
    until("it has looked around", || {
        let log = fs::read_to_string(place.path().join("serve.log")).ok()?;
        log.contains("Ctrl-C").then_some(())
    });
    is_wrong(&folder);
    let runs = |folder: &Path| typed(folder, "mulgil runs ls --json").ends_with(0).json();
    let before = runs(&folder);
    typed(&folder, "mulgil backfill sales_daily --missing").ends_with(0);
    until("the holes are filled", || {
        let filled = !standing(&folder).iter().any(|line| line.contains("missing"));
        filled.then_some(())
    });
    let of_flow = |runs: &Value, flow: &str| {
        let selector = format!("flow:{flow}");
        runs.as_array()
            .unwrap()
            .iter()
            .filter(|run| run["selector"] == selector.as_str())
            .count()
    };
    let after = runs(&folder);
    assert_eq!(of_flow(&before, "morning"), 7, "{before}");
    assert_eq!(of_flow(&after, "morning"), 7, "{after}");
    assert_eq!(server.end(), Some(0));
}

#[test]
fn reports_are_written_by_the_step_in_python_and_the_tables_are_what_the_files_hold() {
    let place = Place::of("");
    demo(&place);
    let folder = place.path().join("story");
    let report = fs::read_to_string(folder.join("reports/2026-03-14.md")).unwrap();
    assert!(
        report.starts_with("# 달빛 2026-03-14\n") && report.contains("4 tables took in this day"),
        "{report}"
    );
    // The files that changed were read once more, and so were the windows over them.
    let rows = |sql: &str| {
        typed(&folder, &format!("mulgil query \"{sql}\" -o csv"))
            .ends_with(0)
            .rows()
    };
    let events = fs::read_to_string(folder.join("data/events_20260314.csv")).unwrap();
    let reads = events.lines().filter(|line| line.split(',').nth(2) == Some("read"));
    let counted = reads.clone().count().to_string();
    assert_eq!(
        rows("select sum(reads) from reads_daily where day = date '2026-03-14'"),
        [counted]
    );
    let mut people: Vec<&str> = reads.map(|line| line.split(',').nth(3).unwrap()).collect();
    people.sort_unstable();
    people.dedup();
    let readers = "select sum(readers) from readers_daily where day = date '2026-03-14'";
    assert_eq!(rows(readers), [people.len().to_string()]);
    assert_eq!(rows("select count(*) from readers_7d"), ["28"]);
    assert_eq!(
        rows("select count(*), count(distinct story_ko) from episodes"),
        ["48,8"]
    );
}

#[test]
fn what_cannot_be_is_told_before_anything_is_made() {
    let place = Place::of("=== story/notes.txt\nmine\n");
    place
        .mulgil(&["demo", "story"])
        .ends_with(2)
        .says("error[MG0061]")
        .says("exists already");
    place
        .mulgil(&["demo", "other", "--until", "2999-01-01"])
        .ends_with(2)
        .says("the days before 2999-01-01 are not over");
    place.mulgil(&["demo", "other", "--until", "soon"]).ends_with(2);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    place
        .mulgil(&["demo", "other", "--port", &port])
        .ends_with(6)
        .says("MG5242");
    assert!(!place.path().join("other").exists());
}
