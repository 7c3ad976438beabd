//! `mulgil dev` beside somebody who saves files and asks for runs: whatever is asked for after a file was saved goes
//! by that file.

use std::process::Stdio;

use crate::{
    harness::Place,
    server::{Server, read, until},
};

const SHOP: &str = "
=== mulgil.yml
name: shop
=== models/word.sql
select 0 as word
=== models/endless.sql
{{ config(enabled=false) }}
select count(*) as n from generate_series(1, 2000000) a cross join generate_series(1, 200000) b
where (a.value * b.value) % 7 = 3
";

fn dev(place: &Place) -> Server {
    let server = Server::start_as(place, &["dev", "--port", "0"]);
    server.is_ready();
    server
}

fn said(place: &Place, what: &str) {
    until(what, || read(place, "serve.log").contains(what).then_some(()));
}

#[test]
fn what_is_asked_for_right_after_a_file_was_saved_goes_by_that_file() {
    let place = Place::of(SHOP);
    let server = dev(&place);
    for word in 1..=6 {
        place.write("models/word.sql", &format!("select {word} as word"));
        place.mulgil(&["run", "word"]).ends_with(0);
        assert_eq!(
            place.rows("select word from word"),
            [word.to_string()],
            "{}",
            read(&place, "serve.log")
        );
    }
    let states: Vec<_> = place
        .mulgil(&["runs", "ls", "--json"])
        .ends_with(0)
        .json()
        .as_array()
        .unwrap()
        .clone();
    assert!(states.iter().all(|run| run["state"] == "success"), "{states:?}");
    // What cannot be loaded is refused at once, and what was loaded goes on.
    place.write("models/word.sql", "select {{ nothing( as word");
    place.mulgil(&["run", "word"]).ends_with(3);
    said(&place, "the project as it was goes on");
    assert_eq!(server.end(), Some(0));
}

#[test]
fn a_run_that_was_asked_for_ends_before_the_project_is_loaded_anew_and_can_be_cancelled() {
    let place = Place::of(SHOP);
    place.edit("models/endless.sql", "enabled=false", "materialized='table'");
    place.write(
        "flows/never.yml",
        "steps:\n  endless: {models: endless}\nschedule: '0 0 1 1 *'\n",
    );
    let server = dev(&place);
    let mut endless = place
        .command(&["run", "endless"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let run = until("it runs", || {
        let runs = place.mulgil(&["runs", "ls", "--json"]).ends_with(0).json();
        let runs = runs.as_array().unwrap().clone();
        let run = runs
            .iter()
            .find(|run| run["selector"] == "endless" && run["state"] == "running")?;
        Some(run["run"].to_string())
    });
    place.write("models/word.sql", "select 7 as word");
    said(&place, "it is loaded when the run that was asked for has ended");
    let mut word = place.command(&["run", "word"]).stderr(Stdio::null()).spawn().unwrap();
    place.mulgil(&["runs", "cancel", &run]).ends_with(0).says("told to end");
    assert_ne!(endless.wait().unwrap().code(), Some(0));
    assert_eq!(word.wait().unwrap().code(), Some(0));
    assert_eq!(place.rows("select word from word"), ["7"]);
    let shown = place.mulgil(&["runs", "show", &run, "--json"]).ends_with(0).json();
    assert_eq!(shown["state"], "cancelled", "{shown}");
    place.mulgil(&["runs", "cancel", &run]).ends_with(1).says("MG4235");
    assert_eq!(server.end(), Some(0));
}
