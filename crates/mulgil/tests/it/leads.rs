//! A ledger in PostgreSQL: copied there and back, and two servers of which one leads.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    harness::Place,
    postgres,
    server::{Server, newest, read, steps, until},
};

const SHOP: &str = r#"
=== mulgil.yml
name: shop
warehouse: WAREHOUSE
ledger: LEDGER
pools: {narrow: 2}
=== models/orders.sql
select 1 as id union all select 2
=== flows/quick.yml
steps:
  one: {command: "true"}
  two: {needs: [one], sql: select 1}
=== flows/slow.yml
steps:
  sleeps: {command: [sh, -c, "trap '' TERM; echo $$ >> PIDS; while [ ! -e GO ]; do sleep 0.1; done"]}
"#;

/// A project folder of a machine. What both machines see lies in `shared`.
fn machine(shared: &Path, ledger: &str) -> Place {
    let at = |name: &str| shared.join(name).display().to_string();
    let text = SHOP
        .replace("WAREHOUSE", &at("warehouse"))
        .replace("PIDS", &at("pids"))
        .replace("GO", &at("go"))
        .replace("LEDGER", &format!("\"{ledger}\""));
    Place::of(&text)
}

fn ends(place: &Place, flow: &str, state: &str) {
    until(&format!("{flow} is {state}"), || {
        (newest(place, flow)?["state"] == state).then_some(())
    });
}

fn said(place: &Place, what: &str) {
    until(what, || {
        fs::read_to_string(place.path().join("serve.log"))
            .ok()?
            .contains(what)
            .then_some(())
    });
}

#[test]
fn a_ledger_is_copied_to_a_database_and_back() {
    let database = postgres::Server::start();
    let shared = tempfile::tempdir().unwrap();
    let place = machine(shared.path(), "");
    let url = database.url("copied");
    place
        .mulgil(&["db", "copy", "--to", &url])
        .ends_with(5)
        .says("there is no ledger");
    place.mulgil(&["run"]).ends_with(0);
    place.mulgil(&["run", "flow:quick"]).ends_with(0);
    let told = place
        .mulgil(&["db", "copy", "--to", &url, "--json"])
        .ends_with(0)
        .json();
    let rows = |told: &Value| told["tables"].as_array().unwrap().clone();
    assert!(
        rows(&told)
            .iter()
            .any(|table| table["table"] == "fact" && table["rows"].as_i64() > Some(5))
    );
    let refused = place.mulgil(&["db", "copy", "--to", &url]).ends_with(6).says("MG5224");
    assert!(!refused.stderr.contains("password"), "{}", refused.stderr);

    // What was there goes on there.
    place.edit("mulgil.yml", "ledger: \"\"", &format!("ledger: \"{url}\""));
    let steps_before = steps(&place);
    assert_eq!(steps_before, ["one success 1", "two success 1"]);
    place.mulgil(&["run"]).ends_with(0).says("nothing");
    place.mulgil(&["run", "flow:quick"]).ends_with(0);
    fs::rename(place.path().join(".mulgil/dev.db"), place.path().join("old.db")).unwrap();
    let back = place
        .mulgil(&["db", "copy", "--to", "file", "--json"])
        .ends_with(0)
        .json();
    assert!(rows(&back).len() == rows(&told).len());
    place.edit("mulgil.yml", &format!("ledger: \"{url}\""), "ledger: \"\"");
    assert_eq!(
        place
            .mulgil(&["runs", "ls", "--json"])
            .ends_with(0)
            .json()
            .as_array()
            .unwrap()
            .len(),
        3
    );
    place.mulgil(&["db", "migrate"]).ends_with(0).says("is up to date");
}

#[test]
fn who_cannot_reach_the_ledger_is_told_without_its_password() {
    let shared = tempfile::tempdir().unwrap();
    let place = machine(shared.path(), "postgres://mina:s3cret@127.0.0.1:1/ops");
    for words in [&["run"][..], &["status"], &["runs", "ls"], &["db", "migrate"]] {
        let told = place.mulgil(words);
        assert!(
            told.stderr.contains("MG5221") && !told.stderr.contains("s3cret"),
            "{words:?}: {}",
            told.stderr
        );
    }
}

#[test]
fn one_server_leads_and_the_other_follows_when_it_is_stopped_or_ends() {
    let database = postgres::Server::start();
    let shared = tempfile::tempdir().unwrap();
    let url = database.url("led");
    let (a, b) = (machine(shared.path(), &url), machine(shared.path(), &url));
    let first = Server::start(&a);
    said(&a, "this server leads");
    let second = Server::start(&b);
    said(&b, "standing by: `mulgil serve` (process ");
    second.is_ready();
    a.mulgil(&["run", "flow:quick"]).ends_with(0).says("success");
    let refused = b.mulgil(&["run", "flow:quick"]).ends_with(6);
    assert!(refused.stderr.contains("stands by"), "{}", refused.stderr);

    // The leader is stopped in the middle of a step that does not listen to SIGTERM.
    let mut asked = a
        .command(&["run", "flow:slow"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let pids = shared.path().join("pids");
    until("the process runs", || pids.exists().then_some(()));
    first.signal("STOP");
    said(&b, "this server leads");
    until("it is tried again", || {
        (fs::read_to_string(&pids).ok()?.lines().count() == 2).then_some(())
    });
    // Its supervisor has ended the first one before that.
    let all = fs::read_to_string(&pids).unwrap();
    let old = all.lines().next().unwrap();
    let is_alive = fs::read_to_string(format!("/proc/{old}/cmdline")).is_ok_and(|line| line.contains("trap"));
    assert!(!is_alive, "{old} runs beside the next try");
    first.signal("CONT");
    said(&a, "MG5223");
    said(&a, "standing by");
    fs::write(shared.path().join("go"), "").unwrap();
    ends(&b, "slow", "success");
    assert_eq!(steps(&b), ["sleeps success 2"]);
    let run = newest(&b, "slow").unwrap()["run"].to_string();
    let told = b.mulgil(&["runs", "show", &run, "--json"]).ends_with(0).json();
    assert_eq!(told["task_runs"][0]["attempts"][0]["state"], "crashed", "{told}");
    asked.kill().unwrap();
    asked.wait().unwrap();

    // One that ends gives its lead back: the other leads at once, and takes work.
    assert_eq!(second.end(), Some(0));
    until("the first leads again", || {
        (read(&a, "serve.log").matches("this server leads").count() == 2).then_some(())
    });
    a.mulgil(&["run", "flow:quick"]).ends_with(0).says("success");
    // One that was killed is followed at once by the next in its folder.
    first.kill();
    let began = std::time::Instant::now();
    let third = Server::start(&a);
    until("the third leads", || {
        (read(&a, "serve.log").matches("this server leads").count() == 3).then_some(())
    });
    assert!(
        began.elapsed().as_secs() < 20,
        "it does not wait for a lease of its own place"
    );
    assert_eq!(third.end(), Some(0));
}

#[test]
fn a_database_that_stops_or_hangs_is_waited_for() {
    let database = postgres::Server::start();
    let shared = tempfile::tempdir().unwrap();
    let place = machine(shared.path(), &database.url("waited"));
    let server = Server::start(&place);
    said(&place, "this server leads");
    // Stopped hard and started again: the same lead goes on.
    database.tell("stop");
    database.tell("start");
    place.mulgil(&["run", "flow:quick"]).ends_with(0).says("success");
    // It hangs for longer than a lead may go without a renewal.
    database.tell("pause");
    said(&place, "MG5223");
    assert_eq!(server.get("/livez", None).0, 200);
    assert_eq!(server.get("/readyz", None).0, 503);
    database.tell("resume");
    until("it leads again", || {
        (read(&place, "serve.log").matches("this server leads").count() == 2).then_some(())
    });
    place.mulgil(&["run", "flow:quick"]).ends_with(0).says("success");
    assert_eq!(server.end(), Some(0));
}
