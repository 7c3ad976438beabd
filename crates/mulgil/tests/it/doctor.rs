//! `mulgil doctor` on folders that are well, and on ten that are not: each is named with what to do.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::SystemTime,
};

use mulgil_core::{interval::Instant, run::Trigger};
use mulgil_store::{LedgerPlace, NewRun, Store};
use serde_json::Value;

use crate::{
    bucket,
    harness::{Done, Place},
    postgres,
    server::Server,
};

const SHOP: &str = "\
=== mulgil.yml
name: shop
timezone: Asia/Seoul
=== models/orders.sql
{{ config(materialized='table') }}
select 1 as id union all select 2
=== flows/daily.yml
schedule: {cron: '0 5 * * *', timezone: America/New_York}
steps: {fill: {models: orders}}
";

fn shop() -> Place {
    Place::of(SHOP)
}

fn doctor(place: &Place) -> Done {
    place.mulgil(&["doctor", "--json", "--port", "0"])
}

/// The findings of one name, each as `verdict code: what | fix`.
fn findings(told: &Value, name: &str) -> Vec<String> {
    let of_name = told["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["name"] == name);
    let text = |check: &Value| {
        let code = check["code"]
            .as_str()
            .map_or_else(String::new, |code| format!(" {code}"));
        let fix = check["fix"]
            .as_str()
            .map_or_else(String::new, |fix| format!(" | {fix}"));
        format!(
            "{}{code}: {}{fix}",
            check["verdict"].as_str().unwrap(),
            check["what"].as_str().unwrap()
        )
    };
    of_name.map(text).collect()
}

/// Asserts that one finding of that name begins so and says all of this.
#[track_caller]
fn finds(told: &Value, name: &str, verdict: &str, parts: &[&str]) {
    let found = findings(told, name);
    let fits = |line: &&String| line.starts_with(verdict) && parts.iter().all(|part| line.contains(part));
    assert!(
        found.iter().any(|line| fits(&line)),
        "no {verdict} {parts:?} in {found:#?}\nof {told:#}"
    );
}

/// Nothing but what is named stands out.
#[track_caller]
fn else_is_well(told: &Value, but: &[&str]) {
    for check in told["checks"].as_array().unwrap() {
        if !but.contains(&check["name"].as_str().unwrap()) {
            // The disk of whoever runs the tests may be short.
            assert!(check["verdict"] == "ok" || check["name"] == "disk", "{check:#}");
        }
    }
}

/// Every file below a folder, with its size and when it was written; not those that SQLite needs to read.
fn files(folder: &Path) -> Vec<(String, u64, SystemTime)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let (path, about) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
            let name = path.display().to_string();
            if about.is_dir() {
                folders.push(path);
            } else if !name.ends_with("-shm") && !name.ends_with("-wal") {
                found.push((name, about.len(), about.modified().unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_folder_that_is_well_is_told_so_and_left_as_it_was() {
    let place = shop();
    let told = doctor(&place).ends_with(0).json();
    finds(&told, "ledger", "ok", &["the first run makes it"]);
    assert!(!place.path().join(".mulgil").exists(), "it made a folder");

    place.mulgil(&["run"]).ends_with(0);
    let before = files(place.path());
    let told = doctor(&place).ends_with(0).json();
    assert_eq!(files(place.path()), before);
    assert_eq!(
        (&told["project"], &told["version"]),
        (&"shop".into(), &env!("CARGO_PKG_VERSION").into())
    );
    finds(&told, "project", "ok", &["1 node", "1 flow"]);
    finds(&told, "zone", "ok", &["Asia/Seoul", "America/New_York"]);
    finds(&told, "clock", "ok", &["after all that the ledger has recorded"]);
    finds(&told, "tables", "ok", &["1 table"]);
    finds(&told, "lock", "ok", &["nobody"]);
    finds(&told, "disk", "", &["free"]);
    finds(&told, "git", "ok", &["no Git repository"]);
    assert_eq!(findings(&told, "python"), Vec::<String>::new(), "no step needs it");
    else_is_well(&told, &[]);

    let text = place.mulgil(&["doctor", "--port", "0"]).ends_with(0);
    assert!(
        text.stdout
            .lines()
            .all(|line| line.contains(" ok ") || line.contains("disk") || line.contains("do:"))
    );
    text.says("checks");
}

#[test]
fn beside_a_server_its_port_and_its_lock_are_its_own() {
    let place = shop();
    let server = Server::start(&place);
    server.is_ready();
    let presence: Value =
        serde_json::from_slice(&fs::read(place.path().join(".mulgil/dev.server.json")).unwrap()).unwrap();
    let port = presence["address"]
        .as_str()
        .unwrap()
        .rsplit(':')
        .next()
        .unwrap()
        .to_owned();
    let told = place.mulgil(&["doctor", "--json", "--port", &port]).ends_with(0).json();
    finds(&told, "server", "ok", &["answers", "ready"]);
    finds(&told, "port", "ok", &["own server"]);
    finds(&told, "lock", "ok", &["is held by `mulgil serve`"]);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn without_a_project_the_machine_is_looked_at_all_the_same() {
    let place = Place::of("");
    let told = doctor(&place).ends_with(5).json();
    assert_eq!(told["project"], Value::Null);
    finds(&told, "project", "fault MG0002", &["no mulgil.yml", "mulgil demo"]);
    finds(&told, "port", "ok", &[]);
    finds(&told, "disk", "", &["free"]);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn a_port_that_is_taken() {
    let place = shop();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let told = place.mulgil(&["doctor", "--json", "--port", &port]).ends_with(6).json();
    finds(&told, "port", "fault MG5242", &[&port, "mulgil serve --port 0"]);
    else_is_well(&told, &["port"]);
}

/// Runs doctor where a script has changed what is mounted, for this process alone. Nothing where the machine
/// does not let us mount.
fn mounted(place: &Place, script: &str) -> Option<Done> {
    let program = env!("CARGO_BIN_EXE_mulgil");
    let may_mount = |flags: &[&str]| {
        let mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"];
        let tried = Command::new("unshare")
            .args(flags)
            .args(mount)
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    };
    let flags = [&["-m"][..], &["-r", "-m"]].into_iter().find(|flags| may_mount(flags));
    let Some(flags) = flags else {
        eprintln!("not run: this machine does not let its tests mount (`unshare -m`)");
        return None;
    };
    let script = format!("set -e; {script}; exec \"$0\" doctor --json --port 0");
    let done = Command::new("unshare")
        .args(flags)
        .args(["sh", "-c", &script, program])
        .current_dir(place.path())
        .env_remove("MULGIL_ENV")
        .stdin(Stdio::null())
        .output();
    Some(Done::of(done.unwrap()))
}

#[test]
fn a_disk_that_is_full() {
    let place = shop();
    fs::create_dir(place.path().join(".mulgil")).unwrap();
    let script =
        "mount -t tmpfs -o size=64k tmpfs .mulgil; head -c 1000000 /dev/zero > .mulgil/full 2>/dev/null || true";
    if let Some(done) = mounted(&place, script) {
        let told = done.ends_with(6).json();
        finds(&told, "disk", "fault MG5101", &[".mulgil", "make room"]);
        else_is_well(&told, &["disk"]);
    }
}

#[test]
fn a_folder_that_cannot_be_written() {
    let place = shop();
    place.mulgil(&["run"]).ends_with(0);
    let script = "here=\"$PWD\"; mount --bind \"$here\" \"$here\"; mount -o remount,bind,ro \"$here\"; cd \"$here\"";
    if let Some(done) = mounted(&place, script) {
        let told = done.ends_with(6).json();
        finds(&told, "disk", "fault MG5102", &["Read-only", "mount it for writing"]);
        finds(&told, "ledger", "ok", &["schema"]);
        else_is_well(&told, &["disk"]);
    }
}

#[test]
fn a_clock_behind_the_newest_record() {
    let place = shop();
    place.mulgil(&["run"]).ends_with(0);
    let ahead = Instant::from_timestamp(jiff::Timestamp::now() + jiff::SignedDuration::from_hours(3));
    let ledger = LedgerPlace::folder(place.path().join(".mulgil"), "dev");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Store::open(&ledger, "shop/dev").await.unwrap();
        let new = NewRun {
            trigger: Trigger::Manual,
            selector: String::new(),
            manual: Vec::new(),
            again: Vec::new(),
            named: Vec::new(),
            backfill: None,
        };
        let run = store.begin_run(new, ahead).await.unwrap();
        store
            .end_run(run.id, mulgil_core::run::RunState::Success, ahead)
            .await
            .unwrap();
        store.close().await;
    });
    let told = doctor(&place).ends_with(6).json();
    finds(
        &told,
        "clock",
        "fault MG5107",
        &["the clock is 2 h 59 min", "timedatectl set-ntp true"],
    );
    else_is_well(&told, &["clock"]);
}

#[test]
fn no_python_where_a_step_needs_it() {
    let place = shop();
    place.write("tasks/load.py", "print('hello')\n");
    place.write("flows/load.yml", "steps: {load: {python: tasks/load.py}}\n");
    let nothing = tempfile::tempdir().unwrap();
    let done = place
        .command(&["doctor", "--json", "--port", "0"])
        .env("PATH", nothing.path())
        .output();
    let told = Done::of(done.unwrap()).ends_with(1).json();
    finds(
        &told,
        "python",
        "fault MG4211",
        &["`python3` is not there", "load.load", "install Python 3.9"],
    );
    else_is_well(&told, &["python"]);

    // One that is there and too old.
    place.write("old", "#!/bin/sh\necho 3.6.15\n");
    let script = place.path().join("old");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    place.write(
        "flows/load.yml",
        "steps: {load: {python: tasks/load.py, interpreter: ./old}}\n",
    );
    let told = doctor(&place).ends_with(1).json();
    finds(&told, "python", "fault MG4211", &["`./old` is Python 3.6.15"]);
}

#[test]
fn a_dead_database_of_the_ledger_with_postgres() {
    let database = postgres::Server::start();
    let place = shop();
    place.edit(
        "mulgil.yml",
        "name: shop",
        &format!("name: shop\nledger: \"{}\"", database.url("doctor")),
    );
    place.mulgil(&["run"]).ends_with(0);
    let told = doctor(&place).ends_with(0).json();
    finds(&told, "ledger", "ok", &["schema=doctor", "answers"]);
    finds(&told, "lead", "ok", &["no server leads"]);
    database.tell("stop");
    let told = doctor(&place).ends_with(6).json();
    finds(
        &told,
        "ledger",
        "fault MG5221",
        &["cannot be reached", "start the database"],
    );
    else_is_well(&told, &["ledger"]);
}

#[test]
fn a_table_whose_log_is_lost() {
    let place = shop();
    place.mulgil(&["run"]).ends_with(0);
    let log = place.path().join("warehouse/shop/orders/_delta_log");
    let aside = place.path().join("aside");
    fs::rename(&log, &aside).unwrap();
    let told = doctor(&place).ends_with(6).json();
    finds(
        &told,
        "tables",
        "fault MG5106",
        &["shop.orders", "version 0", "orders/_delta_log", "mulgil run orders"],
    );
    else_is_well(&told, &["tables"]);
    // It was only looked at: with the log back all is as before.
    fs::rename(&aside, &log).unwrap();
    place
        .mulgil(&["plan", "--json"])
        .ends_with(0)
        .is_empty_plan("with its log back");
    else_is_well(&doctor(&place).ends_with(0).json(), &[]);
}

#[test]
fn what_a_dead_server_left() {
    let place = shop();
    let server = Server::start(&place);
    server.is_ready();
    server.kill();
    let told = doctor(&place).ends_with(0).json();
    finds(&told, "lock", "warning", &["`mulgil serve`", "dead", "takes it over"]);
    finds(&told, "server", "warning", &["dead", "start it again: `mulgil serve`"]);
    else_is_well(&told, &["lock", "server"]);
    place.mulgil(&["run"]).ends_with(0);
    finds(&doctor(&place).json(), "lock", "ok", &["nobody"]);
}

#[test]
fn a_zone_that_nobody_knows() {
    let place = shop();
    place.mulgil(&["run"]).ends_with(0);
    place.edit("mulgil.yml", "Asia/Seoul", "Asia/Soul");
    place.edit("flows/daily.yml", "America/New_York", "America/New_Yrok");
    let told = doctor(&place).ends_with(3).json();
    finds(
        &told,
        "zone",
        "fault MG1013",
        &["Asia/Soul", "mulgil.yml:2", "write `Asia/Seoul`"],
    );
    finds(
        &told,
        "zone",
        "fault MG1013",
        &["America/New_Yrok", "flows/daily.yml:1", "America/New_York"],
    );
    // The rest is looked at without the project.
    finds(&told, "ledger", "ok", &["dev.db"]);
    finds(&told, "lock", "ok", &[]);
}

#[test]
fn a_ledger_of_a_newer_version_with_python() {
    let place = shop();
    place.mulgil(&["run"]).ends_with(0);
    place.python(
        "import sqlite3\n\
         ledger = sqlite3.connect('.mulgil/dev.db')\n\
         ledger.execute(\"insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
         values (9999, 'later', 1, x'00', 0)\")\n\
         ledger.commit()\n",
    );
    let told = doctor(&place).ends_with(6).json();
    finds(
        &told,
        "ledger",
        "fault MG5002",
        &["schema 9999", "a newer mulgil made it", "use the newer mulgil"],
    );
    else_is_well(&told, &["ledger"]);

    // One of an older version is no fault: whoever writes brings it up to date.
    place.python(
        "import sqlite3\n\
         ledger = sqlite3.connect('.mulgil/dev.db')\n\
         ledger.execute('delete from _sqlx_migrations where version > 13')\n\
         ledger.commit()\n",
    );
    let told = doctor(&place).ends_with(0).json();
    finds(&told, "ledger", "warning", &["schema 13", "mulgil db migrate"]);
}

#[test]
fn what_is_wrong_with_a_project_is_told_and_the_rest_looked_at() {
    let place = shop();
    place.write("models/broken.sql", "select * from {{ ref('orderz') }}");
    let told = doctor(&place).ends_with(3).json();
    finds(
        &told,
        "project",
        "fault MG1104",
        &["orderz", "models/broken.sql:1", "orders"],
    );
    finds(&told, "port", "ok", &[]);
    fs::write(place.path().join(".mulgil"), "a file").unwrap();
    doctor(&place).ends_with(3);
}

#[test]
fn rights_in_a_bucket_are_tried_out_with_python() {
    let store = bucket::Store::start();
    let place = shop();
    let warehouse = |url: &str| {
        format!(
            "name: shop\nwarehouse: {{url: '{url}', endpoint: 'http://127.0.0.1:{}', allow_http: true}}",
            store.port
        )
    };
    place.edit("mulgil.yml", "name: shop", &warehouse("s3://lake/wh"));
    let doctor = |place: &Place| {
        Done::of(
            bucket::command(place, &["doctor", "--json", "--port", "0"])
                .output()
                .unwrap(),
        )
    };
    let told = doctor(&place).ends_with(0).json();
    finds(&told, "bucket", "ok", &["s3://lake/wh", "put, read and removed"]);
    assert_eq!(store.names("wh"), Vec::<String>::new(), "nothing is left there");
    place.edit("mulgil.yml", "s3://lake/wh", "s3://pond/wh");
    let told = doctor(&place).ends_with(4).json();
    finds(&told, "bucket", "fault MG2104", &["pond"]);
}
