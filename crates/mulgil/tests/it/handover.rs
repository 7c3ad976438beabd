//! `mulgil handover`: the examples and a project with schedules, as whoever takes them over reads them.

use std::fs;

use serde_json::Value;

use crate::harness::Place;

const SHOP: &str = r#"
=== mulgil.yml
name: shop
timezone: Asia/Seoul
notifications: {webhook: {alerts: {url: "{{ env_var('ALERTS_URL') }}"}}}
retention: {logs: 90d}
=== models/orders.sql
{{ config(materialized='table') }}
select 1 as id, 10 as amount
=== models/nightly.sql
{{ config(materialized='table', schedule='30 2 * * 1-5', owner='mina@shop.example') }}
select count(*) as orders from {{ ref('orders') }}
=== models/broken.sql
{{ config(materialized='table') }}
select cast('none' as int) as n
=== models/schema.yml
models:
  - name: orders
    columns: [{name: id, data_tests: [{accepted_values: {values: [2]}}]}]
=== flows/daily.yml
description: What the shop does each morning
owner: data@shop.example
schedule: {cron: "0 5 * * *", timezone: America/New_York}
on_failure: [webhook:alerts]
deadline: {after: scheduled, within: 2h}
steps:
  load: {command: [sh, -c, "echo load"], env: {TOKEN: "{{ env_var('SHOP_TOKEN', 'hunter2hunter2') }}"}}
  fill: {models: orders, needs: [load]}
=== flows/broken.yml
steps:
  fails: {command: "false"}
"#;

fn told(place: &Place, words: &[&str]) -> String {
    let done = place
        .command(words)
        .env("ALERTS_URL", "https://hooks.example/s3cret")
        .output()
        .unwrap();
    let done = crate::harness::Done::of(done).ends_with(0);
    assert!(
        !done.stdout.contains("s3cret") && !done.stdout.contains("hunter2"),
        "{}",
        done.stdout
    );
    done.stdout
}

/// The document without what is another each time: the folder, the version, and moments.
fn still(place: &Place, text: &str) -> String {
    let mut out = text.replace(&place.path().display().to_string(), "<folder>");
    out = out.replace(env!("CARGO_PKG_VERSION"), "<version>");
    let mut still = String::new();
    while let Some(at) = moment(&out) {
        still.push_str(&out[..at]);
        still.push_str("<moment>");
        out = out[at + 25..].to_owned();
    }
    still + &out
}

/// Where `2026-11-20T09:00:00+09:00` begins.
fn moment(text: &str) -> Option<usize> {
    let pattern = b"dddd-dd-ddTdd:dd:dd+dd:dd";
    text.as_bytes().windows(pattern.len()).position(|window| {
        window.iter().zip(pattern).all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            b'+' => matches!(byte, b'+' | b'-'),
            other => byte == other,
        })
    })
}

#[test]
fn a_project_with_schedules_is_handed_over() {
    let place = Place::of(SHOP);
    let run = place
        .command(&["run"])
        .env("ALERTS_URL", "https://hooks.example/s3cret")
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    let run = place
        .command(&["run", "flow:broken"])
        .env("ALERTS_URL", "https://hooks.example/s3cret")
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    let before = fs::read(place.path().join(".mulgil/dev.db")).unwrap();
    insta::assert_snapshot!("handover_shop", still(&place, &told(&place, &["handover"])));
    assert_eq!(
        fs::read(place.path().join(".mulgil/dev.db")).unwrap(),
        before,
        "it only reads"
    );
}

#[test]
fn as_json_it_has_the_next_ticks_in_order() {
    let place = Place::of(SHOP);
    let told: Value = serde_json::from_str(&told(&place, &["handover", "--json"])).unwrap();
    let duty = |name: &str| {
        let runs = told["runs"].as_array().unwrap();
        runs.iter()
            .find(|run| run["name"] == name)
            .unwrap_or_else(|| panic!("no {name} in {told:#}"))
            .clone()
    };
    let daily = duty("daily");
    assert_eq!(daily["schedule"], "every day at 05:00 (America/New_York)");
    assert_eq!(daily["on_failure"], serde_json::json!(["webhook:alerts"]));
    assert_eq!(daily["fills"], serde_json::json!(["orders"]));
    let next: Vec<&str> = daily["next"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tick| tick.as_str().unwrap())
        .collect();
    let parsed: Vec<jiff::Timestamp> = next.iter().map(|tick| tick.parse().unwrap()).collect();
    assert!(
        parsed.len() == 3 && parsed.is_sorted() && parsed[0] > jiff::Timestamp::now(),
        "{next:?}"
    );
    assert!(next.iter().all(|tick| tick.contains("T05:00:00-0")), "{next:?}");
    assert_eq!(
        duty("nightly")["schedule"],
        "from Monday to Friday at 02:30 (Asia/Seoul)"
    );
    assert_eq!(duty("broken")["schedule"], Value::Null);
    let keys: Vec<(&str, &Value)> = told["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| (key["name"].as_str().unwrap(), &key["is_set"]))
        .collect();
    assert_eq!(
        keys,
        [
            ("ALERTS_URL", &true.into()),
            ("SHOP_TOKEN", &false.into()),
            ("webhook:alerts", &Value::Null)
        ]
    );
    assert_eq!(
        told["retention"],
        serde_json::json!({"logs_days": 90, "runs_days": 180})
    );
    assert!(told["commands"]["backup"][0].as_str().unwrap().starts_with("tar -czf "));
}

#[test]
fn the_examples_are_handed_over() {
    let flights = Place::january();
    insta::assert_snapshot!("handover_flights", still(&flights, &told(&flights, &["handover"])));
    let shop = Place::ab_test();
    insta::assert_snapshot!("handover_ab_test", still(&shop, &told(&shop, &["handover"])));
}

#[test]
fn the_backup_that_it_names_is_one() {
    let place = Place::of(
        "=== mulgil.yml\nname: shop\n=== models/orders.sql\n{{ config(materialized='table') }}\nselect 7 as id\n",
    );
    place.mulgil(&["run"]).ends_with(0);
    let told: Value = serde_json::from_str(&told(&place, &["handover", "--json"])).unwrap();
    let command = told["commands"]["backup"][0].as_str().unwrap();
    let made = std::process::Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(made.success(), "{command}");
    let archive = format!("{}-backup.tar.gz", place.path().display());
    let restored = Place::of("");
    let unpacked = std::process::Command::new("tar")
        .args(["-xzf", &archive, "-C"])
        .arg(restored.path())
        .status()
        .unwrap();
    fs::remove_file(&archive).unwrap();
    assert!(unpacked.success());
    assert_eq!(restored.rows("select id from orders"), ["7"]);
    restored
        .mulgil(&["plan", "--json"])
        .ends_with(0)
        .is_empty_plan("in the copy");
}
