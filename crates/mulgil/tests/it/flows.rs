//! Flows as a person has them: run by hand, kept by a server, and gone on with after it was killed.

use std::{fs, process::Stdio};

use serde_json::Value;

use crate::{
    harness::{Done, Place},
    server::{Server, newest, read, steps, until},
};

const SHOP: &str = r#"
=== mulgil.yml
name: shop
=== models/orders.sql
select 1 as id, 'kr' as country union all select 2, 'jp'
=== flows/daily.yml
description: What the shop does each morning
params:
  country: {type: string, default: kr, allowed: [kr, jp]}
steps:
  models: {models: orders}
  count:
    needs: [models]
    sql: "create or replace table shop.counted as select count(*) as orders from {{ ref('orders') }} where country = :country"
  tell:
    needs: [count]
    command: [sh, -c, "echo country $COUNTRY; cat; echo '{\"type\": \"result\", \"value\": {\"told\": 3}}' >> $MULGIL_EVENTS"]
    env: {COUNTRY: "{{ params.country }}"}
  after:
    needs: [tell]
    when: "{{ steps.tell.output.told > 2 }}"
    command: "echo told {{ steps.tell.output.told }} > after.txt"
  never:
    needs: [tell]
    when: "{{ steps.tell.output.told > 3 }}"
    command: "false"
finally:
  tidy: {command: "echo tidied > tidy.txt"}
=== flows/broken.yml
steps:
  fails:  {command: [sh, -c, "echo before; exit 3"], retry: {max: 1, delay: 1s}}
  behind: {needs: [fails], command: "true"}
=== flows/slow.yml
steps:
  sleeps: {command: "echo $$ >> pids.txt; while [ ! -e go ]; do sleep 0.1; done; echo done"}
"#;

fn shop() -> Place {
    Place::of(SHOP)
}

#[test]
fn a_flow_is_shown_and_run_step_by_step() {
    let place = shop();
    let listed = place.mulgil(&["flows", "ls"]).ends_with(0);
    assert!(
        listed.stdout.contains("daily") && listed.stdout.contains("slow"),
        "{}",
        listed.stdout
    );
    let shown = place.mulgil(&["flows", "show", "daily"]).ends_with(0);
    assert!(
        shown.stdout.contains("What the shop does each morning"),
        "{}",
        shown.stdout
    );

    place
        .mulgil(&["run", "flow:daily", "--param", "country=jp"])
        .ends_with(0);
    let run = newest(&place, "daily").unwrap()["run"].as_i64().unwrap().to_string();
    let told = place.mulgil(&["runs", "show", &run, "--json"]).ends_with(0).json();
    assert_eq!(told["state"], "success");
    assert_eq!(place.rows("select orders from shop.counted"), ["1"]);
    assert_eq!(read(&place, "after.txt"), "told 3\n");
    assert_eq!(read(&place, "tidy.txt"), "tidied\n");
    let log = place.mulgil(&["logs", &run]).ends_with(0).stdout;
    assert!(log.contains("country jp"), "{log}");
    assert!(log.contains(r#""params":{"country":"jp"}"#), "{log}");
    let states: Vec<String> = told["task_runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| format!("{} {}", task["node"].as_str().unwrap(), task["state"].as_str().unwrap()))
        .collect();
    assert!(states.contains(&"flow:daily/never skipped".to_owned()), "{states:?}");
}

#[test]
fn a_step_that_fails_is_tried_again_and_ends_the_run() {
    let place = shop();
    place.mulgil(&["run", "flow:broken"]).ends_with(1).says("MG4201");
    assert_eq!(steps(&place), ["fails failed 2", "behind upstream_failed 0"]);
    let log = place.mulgil(&["logs"]).ends_with(0).stdout;
    assert_eq!(log.matches("before").count(), 2, "{log}");
}

#[test]
fn a_ledger_that_begins_anew_finds_the_logs_of_the_old_one_set_aside() {
    let place = shop();
    place.mulgil(&["run", "flow:broken"]).ends_with(1);
    for file in ["dev.db", "dev.db-wal", "dev.db-shm"] {
        // Some are there only while somebody writes.
        let _ = fs::remove_file(place.path().join(".mulgil").join(file));
    }
    place.mulgil(&["run", "flow:daily"]).ends_with(0).says("set aside");
    assert!(place.path().join(".mulgil/attempts/dev/1-of-another-ledger-1").is_dir());
    place
        .mulgil(&["logs", "--attempt", "99"])
        .ends_with(5)
        .says("has no attempt 99");
}

#[test]
fn what_is_wrong_is_told_before_anything_runs() {
    let place = shop();
    place.mulgil(&["run", "flow:dayly"]).ends_with(5).says("write `daily`");
    place
        .mulgil(&["run", "flow:daily", "--param", "country=de"])
        .ends_with(1)
        .says("MG4221");
    place
        .mulgil(&["run", "flow:daily", "--param", "land=kr"])
        .ends_with(1)
        .says("MG4222");
    place
        .mulgil(&["run", "flow:daily", "--interval", "2026-01-01"])
        .ends_with(2)
        .says("MG0003");
    place
        .mulgil(&["run", "orders", "--param", "a=b"])
        .ends_with(2)
        .says("models have no parameters");
    place
        .mulgil(&["run", "flow:daily", "orders"])
        .ends_with(2)
        .says("stands beside other selectors");
    place
        .mulgil(&["backfill", "flow:daily@2026-01-01"])
        .ends_with(2)
        .says("mulgil run flow:daily --interval 2026-01-01");
    place
        .mulgil(&["runs", "cancel", "1"])
        .ends_with(5)
        .says("nothing ran yet");
    place.mulgil(&["check"]).ends_with(0);
    place.edit("flows/slow.yml", "command:", "comand:");
    place.mulgil(&["check"]).ends_with(3).says("flows/slow.yml:2");
    assert!(!place.path().join(".mulgil/dev.db").exists());
}

#[test]
fn a_server_is_healthy_takes_work_over_and_ends_when_it_is_told_to() {
    let place = shop();
    let server = Server::start(&place);
    assert_eq!(server.get("/livez", None).0, 200);
    server.is_ready();
    let health: Value = serde_json::from_str(&server.get("/health", None).1).unwrap();
    assert_eq!(health["metadatabase"]["status"], "healthy");
    assert_eq!(health["scheduler"]["status"], "healthy");
    assert!(health["scheduler"]["latest_scheduler_heartbeat"].is_string());
    assert_eq!(server.get("/metrics", None).0, 401);
    let token = read(&place, ".mulgil/dev.token");
    let (status, metrics) = server.get("/metrics", Some(token.trim()));
    assert_eq!(status, 200);
    assert!(
        metrics.contains("\nmulgil_scheduler_heartbeat_age_seconds "),
        "{metrics}"
    );

    // What a person types is done by the server, and followed.
    place
        .mulgil(&["run", "flow:daily"])
        .ends_with(0)
        .says("in the server")
        .says("success");
    place.mulgil(&["run", "flow:broken"]).ends_with(1).says("MG4201");
    place
        .mulgil(&["run", "orders", "--full"])
        .ends_with(0)
        .says("in the server");
    place.mulgil(&["run"]).ends_with(0).says("nothing is due");

    let slow = place
        .command(&["run", "flow:slow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let run = until("the slow flow runs", || {
        let run = newest(&place, "slow")?;
        place
            .path()
            .join("pids.txt")
            .exists()
            .then(|| run["run"].as_i64().unwrap().to_string())
    });
    place.mulgil(&["runs", "cancel", &run]).ends_with(0).says("told to end");
    Done::of(slow.wait_with_output().unwrap())
        .ends_with(1)
        .says("cancelled");
    assert_eq!(steps(&place), ["sleeps cancelled 1"]);
    assert_eq!(server.end(), Some(0));
    assert!(!place.path().join(".mulgil/dev.server.json").exists());
}

#[test]
fn a_process_outlives_its_killed_server_and_the_next_one_goes_on_with_it() {
    let place = shop();
    let server = Server::start(&place);
    server.is_ready();
    let mut followed = place
        .command(&["run", "flow:slow"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the process runs", || {
        place.path().join("pids.txt").exists().then_some(())
    });
    server.kill();
    followed.kill().unwrap();
    followed.wait().unwrap();
    let run = newest(&place, "slow").unwrap()["run"].to_string();
    for verb in ["cancel", "retry"] {
        place
            .mulgil(&["runs", verb, &run])
            .ends_with(1)
            .says("start `mulgil serve`");
    }
    let server = Server::start(&place);
    server.is_ready();
    assert_eq!(newest(&place, "slow").unwrap()["state"], "running");
    place.write("go", "");
    until("the run has ended", || {
        (newest(&place, "slow")?["state"] == "success").then_some(())
    });
    // The same process, one attempt.
    assert_eq!(read(&place, "pids.txt").lines().count(), 1);
    assert_eq!(steps(&place), ["sleeps success 1"]);
    let log = place.mulgil(&["logs"]).ends_with(0).stdout;
    assert!(log.contains("done"), "{log}");
    assert_eq!(server.end(), Some(0));
}

#[test]
fn twenty_processes_outlive_a_server_that_is_started_anew() {
    let place = shop();
    let step = |number| {
        format!("  s{number:02}: {{command: \"echo $$ >> pids.txt; while [ ! -e go ]; do sleep 0.1; done\"}}\n")
    };
    let steps: String = (0..20).map(step).collect();
    place.write("flows/many.yml", &format!("steps:\n{steps}"));
    let serve = ["serve", "--port", "0", "--slots", "20"];
    let server = Server::start_as(&place, &serve);
    server.is_ready();
    let mut followed = place
        .command(&["run", "flow:many"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = || fs::read_to_string(place.path().join("pids.txt")).map_or(0, |text| text.lines().count());
    until("twenty processes run", || (lines() == 20).then_some(()));
    server.kill();
    followed.kill().unwrap();
    followed.wait().unwrap();
    let server = Server::start_as(&place, &serve);
    server.is_ready();
    place.write("go", "");
    until("the run has ended", || {
        (newest(&place, "many")?["state"] == "success").then_some(())
    });
    assert_eq!(lines(), 20);
    let expected: Vec<String> = (0..20).map(|number| format!("s{number:02} success 1")).collect();
    assert_eq!(crate::server::steps(&place), expected);
    assert_eq!(server.end(), Some(0));
}

const HISTORY: &str = r#"
=== mulgil.yml
name: shop
=== data/one.csv
at,amount
2026-01-01T05:00:00Z,1
2026-01-02T05:00:00Z,2
2026-01-03T05:00:00Z,3
=== models/sales.sql
{{ config(interval='day', begin='2026-01-01', end='2026-01-04', event_time='at') }}
select at, amount from {{ source('raw', 'one') }}
=== flows/history.yml
interval: day
begin: 2026-01-01
end: 2026-01-11
params: {word: {type: string, default: plain}}
steps:
  load: {command: "echo {{ ds }} {{ params.word }} >> loaded.txt; [ ! -e hold ] || while [ -e hold ]; do sleep 0.05; done"}
"#;

fn history() -> Place {
    let place = Place::of(HISTORY);
    let manifest = "name: shop\nsources:\n  raw:\n    one: {files: data/one.csv, event_time: at}\n";
    place.write("mulgil.yml", manifest);
    place
}

fn backfill(place: &Place, number: i64) -> Value {
    let all = place.mulgil(&["backfill", "ls", "--json"]).ends_with(0).json();
    let found = all.as_array().unwrap().iter().find(|row| row["backfill"] == number);
    found.cloned().unwrap_or(Value::Null)
}

#[test]
fn a_backfill_in_a_server_is_a_row_that_is_held_back_and_goes_on() {
    let place = history();
    place.mulgil(&["backfill", "ls"]).ends_with(0).says("no backfill");
    place
        .mulgil(&["backfill", "flow:history", "--dry-run"])
        .ends_with(0)
        .says("10 intervals in all");
    let server = Server::start(&place);
    server.is_ready();
    place.write("hold", "");
    let words = [
        "backfill",
        "flow:history",
        "--newest-first",
        "-j",
        "2",
        "--param",
        "word=again",
        "--detach",
    ];
    place.mulgil(&words).ends_with(0).says("backfill 1 goes on: 0 of 10");
    place
        .mulgil(&["backfill", "flow:history", "--from", "2026-01-05"])
        .ends_with(2)
        .says("MG0052");
    until("the newest has begun", || {
        place.path().join("loaded.txt").exists().then_some(())
    });
    assert_eq!(read(&place, "loaded.txt").lines().next(), Some("2026-01-10 again"));
    place
        .mulgil(&["backfill", "pause", "1"])
        .ends_with(0)
        .says("is held back");
    fs::remove_file(place.path().join("hold")).unwrap();
    // What was asked for ends; the rest stays where it is.
    until("what was asked for is filled", || {
        let row = backfill(&place, 1);
        (row["open"] == 0 && row["filled"].as_i64()? > 0).then_some(())
    });
    let row = backfill(&place, 1);
    assert_eq!(row["state"], "paused", "{row}");
    assert_eq!(
        row["filled"].as_i64().unwrap() + row["left"].as_i64().unwrap(),
        10,
        "{row}"
    );
    place.mulgil(&["backfill", "resume", "1"]).ends_with(0).says("goes on");
    until("it is done", || (backfill(&place, 1)["state"] == "done").then_some(()));
    let mut days: Vec<String> = read(&place, "loaded.txt").lines().map(str::to_owned).collect();
    days.sort();
    let expected: Vec<String> = (1..=10).map(|day| format!("2026-01-{day:02} again")).collect();
    assert_eq!(days, expected);
    place.mulgil(&["backfill", "cancel", "1"]).ends_with(1).says("MG4241");

    // Models are filled by slices.
    until("the models are filled", || {
        place
            .mulgil(&["run"])
            .ends_with(0)
            .stderr
            .contains("nothing is due")
            .then_some(())
    });
    let words = [
        "backfill",
        "sales",
        "--from",
        "2026-01-01",
        "--to",
        "2026-01-03",
        "-j",
        "1",
    ];
    // Who does not detach waits until it is over.
    place.mulgil(&words).ends_with(0).says("backfill 2 is done: 2 of 2");
    assert_eq!(backfill(&place, 2)["state"], "done");
    let runs = place.mulgil(&["runs", "ls", "--json"]).ends_with(0).json();
    let slices = runs
        .as_array()
        .unwrap()
        .iter()
        .filter(|run| run["selector"].as_str().unwrap().contains("(backfill 2)"));
    assert_eq!(slices.count(), 2, "{runs}");
    assert_eq!(server.end(), Some(0));
}

#[test]
fn a_run_that_failed_goes_on_where_it_failed() {
    let place = Place::of(
        "
=== mulgil.yml
name: shop
=== flows/shaky.yml
steps:
  first:  {command: \"echo first >> done.txt\"}
  second: {needs: [first], command: \"test -e mended && echo second >> done.txt\"}
  third:  {needs: [second], command: \"echo third >> done.txt\"}
",
    );
    place.mulgil(&["run", "flow:shaky"]).ends_with(1);
    let run = newest(&place, "shaky").unwrap()["run"].to_string();
    place.mulgil(&["runs", "retry", &run]).ends_with(1);
    assert_eq!(
        steps(&place),
        ["first success 1", "second failed 2", "third upstream_failed 0"]
    );
    place.write("mended", "");
    // In a server as without one.
    let server = Server::start(&place);
    server.is_ready();
    place.mulgil(&["runs", "retry", &run]).ends_with(0).says("success");
    assert_eq!(
        steps(&place),
        ["first success 1", "second success 3", "third success 1"]
    );
    assert_eq!(read(&place, "done.txt"), "first\nsecond\nthird\n");
    place.mulgil(&["runs", "retry", &run]).ends_with(1).says("MG4236");
    place.mulgil(&["runs", "retry", "99"]).ends_with(5).says("no run 99");
    place
        .mulgil(&["runs", "retry", &run, "--all"])
        .ends_with(0)
        .says("success");
    assert_ne!(newest(&place, "shaky").unwrap()["run"].to_string(), run);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn what_is_saved_is_loaded_and_what_is_said_is_followed() {
    let place = shop();
    let server = Server::start_as(&place, &["dev", "--port", "0"]);
    server.is_ready();
    place.write("flows/new.yml", "steps:\n  only: {comand: \"true\"}\n");
    until("the fault is said", || {
        read(&place, "serve.log")
            .contains("the project as it was goes on")
            .then_some(())
    });
    assert_eq!(server.get("/readyz", None).0, 200);
    place.write(
        "flows/new.yml",
        "steps:\n  only: {command: \"echo one; sleep 1; echo two\"}\n",
    );
    until("it is served anew", || {
        read(&place, "serve.log")
            .contains("the project changed: served as it is now")
            .then_some(())
    });
    assert_eq!(read(&place, "serve.log").matches("serving shop").count(), 1);
    server.is_ready();
    let mut asked = place
        .command(&["run", "flow:new"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let run = until("it runs", || newest(&place, "new"))["run"].to_string();
    let said = place.mulgil(&["logs", "-f", &run]).ends_with(0).stdout;
    assert_eq!(said.matches("attempt").count(), 2, "{said}");
    assert!(said.contains(": one\n") && said.contains(": two\n"), "{said}");
    assert_eq!(asked.wait().unwrap().code(), Some(0));
    assert_eq!(server.end(), Some(0));
}
