//! What the file of a flow means.

use insta::assert_snapshot;
use mulgil_core::{
    flow::{Channel, RunIf, StepKind},
    name::NodeName,
    project::Missed,
};

use super::{SHOP, flow};
use crate::{Folder, json, loaded};

const DAILY: &str = r#"== flows/daily_sales.yml
description: Sales of each day
owner: data@shop.example
tags: [daily]
schedule: {cron: "0 5 * * *", timezone: UTC}
interval: day
begin: 2026-01-01
lookback: 2
params:
  n: {type: integer, default: 7}
  country: {type: string, default: kr, allowed: [kr, jp], description: Which one}
max_active: 2
on_full: skip
timeout: 6h
on_failure: [webhook:alerts]
deadline: {after: scheduled, within: 2h, then: cancel}
steps:
  models: {models: "tag:daily+", exclude: [loud], needs: [load], full: true}
  load: {sql: sql/load.sql, on: warehouse, retry: {max: 7, delay: 5m}, timeout: 20m, total_timeout: 3h, pool: big, priority: 5}
  mail:
    command: [echo, "{{ ds }}"]
    needs: [models, load]
    when: "{{ steps.load.rows > 0 }}"
    env: {TO: "{{ params.country }}"}
    allow_failure: true
    on_lost: fail
  py: {python: "tasks.load:main", needs: load, params: {day: "{{ ds }}"}, run_if: always, retry: 2}
finally:
  - {name: clean, command: rm -rf tmp, cwd: sql}
"#;

#[test]
fn all_of_it() {
    let loaded = loaded(&format!("{SHOP}{DAILY}"));
    assert_snapshot!(json(&flow(&loaded).view()), @r#"
    {
      "begin": "2026-01-01T00:00:00+09:00",
      "deadline": {
        "after": "scheduled",
        "then": "cancel",
        "within_us": 7200000000
      },
      "description": "Sales of each day",
      "file": "flows/daily_sales.yml",
      "interval": "day",
      "lookback": 2,
      "max_active": 2,
      "missed": "all",
      "name": "daily_sales",
      "on_failure": [
        "webhook:alerts"
      ],
      "on_full": "skip",
      "on_recovery": [],
      "on_success": [],
      "owner": "data@shop.example",
      "params": [
        {
          "allowed": [
            "kr",
            "jp"
          ],
          "default": "kr",
          "description": "Which one",
          "name": "country",
          "required": false,
          "type": "string"
        },
        {
          "default": 7,
          "name": "n",
          "required": false,
          "type": "integer"
        }
      ],
      "partial": false,
      "schedule": {
        "cron": "0 5 * * *",
        "zone": "UTC"
      },
      "selected": [
        "report",
        "sales"
      ],
      "steps": [
        {
          "allow_failure": false,
          "content": "6235e02b584e9490c25528db6354775b",
          "env": {},
          "finally": false,
          "name": "load",
          "needs": [],
          "on_lost": "retry",
          "params": {},
          "pool": "big",
          "priority": 5,
          "retry": {
            "cap_us": 3600000000,
            "delay_us": 300000000,
            "factor": 2,
            "max": 7
          },
          "run_if": "success",
          "sql": "sql/load.sql",
          "timeout_us": 1200000000,
          "total_timeout_us": 10800000000
        },
        {
          "allow_failure": false,
          "env": {},
          "exclude": [
            "loud"
          ],
          "finally": false,
          "full": true,
          "models": [
            "tag:daily+"
          ],
          "name": "models",
          "needs": [
            "load"
          ],
          "on_lost": "retry",
          "params": {},
          "priority": 0,
          "retry": {
            "cap_us": 3600000000,
            "delay_us": 10000000,
            "factor": 2,
            "max": 0
          },
          "run_if": "success"
        },
        {
          "allow_failure": true,
          "command": [
            "echo",
            "{{ ds }}"
          ],
          "env": {
            "TO": "{{ params.country }}"
          },
          "finally": false,
          "name": "mail",
          "needs": [
            "load",
            "models"
          ],
          "on_lost": "fail",
          "params": {},
          "priority": 0,
          "retry": {
            "cap_us": 3600000000,
            "delay_us": 10000000,
            "factor": 2,
            "max": 0
          },
          "run_if": "success",
          "when": "{{ steps.load.rows > 0 }}"
        },
        {
          "allow_failure": false,
          "args": [],
          "content": "df6a46db4e7bdabcc66befbec3d43349",
          "env": {},
          "finally": false,
          "name": "py",
          "needs": [
            "load"
          ],
          "on_lost": "retry",
          "params": {
            "day": "{{ ds }}"
          },
          "priority": 0,
          "python": "tasks.load:main",
          "retry": {
            "cap_us": 3600000000,
            "delay_us": 10000000,
            "factor": 2,
            "max": 2
          },
          "run_if": "always",
          "warm": true
        },
        {
          "allow_failure": false,
          "command": "rm -rf tmp",
          "cwd": "sql",
          "env": {},
          "finally": true,
          "name": "clean",
          "needs": [],
          "on_lost": "retry",
          "params": {},
          "priority": 0,
          "retry": {
            "cap_us": 3600000000,
            "delay_us": 10000000,
            "factor": 2,
            "max": 0
          },
          "run_if": "always"
        }
      ],
      "tags": [
        "daily"
      ],
      "timeout_us": 21600000000,
      "timezone": "Asia/Seoul",
      "version": "ecb8b5718e031fb5e7fbd06793ec448c"
    }
    "#);
}

#[test]
fn for_people() {
    let flow = flow(&loaded(&format!("{SHOP}{DAILY}")));
    assert_snapshot!(flow.lines().join("\n"), @r#"
    daily_sales  flows/daily_sales.yml
      Sales of each day
      schedule: 0 5 * * * UTC
      deadline: 2h after scheduled, then cancel
      interval: day
      owner: data@shop.example
      version: ecb8b571
      param country: string = "kr"
      param n: integer = 7
      steps:
        load: sql sql/load.sql
        models: models tag:daily+  after load
        mail: command echo {{ ds }}  after load, models
        py: python tasks.load:main  after load
        clean: command rm -rf tmp  finally
    "#);
    assert_snapshot!(flow.row().join(" | "), @"daily_sales | 0 5 * * * UTC | day | 5 | data@shop.example");
}

#[test]
fn what_is_not_said() {
    let flow = flow(&loaded(&format!(
        "{SHOP}== flows/a.yml\nsteps: {{x: {{sql: select 1}}}}\n"
    )));
    assert_eq!(flow.missed, Missed::Latest);
    assert_eq!((flow.max_active, flow.lookback, flow.partial), (1, 0, false));
    assert!(!flow.grid.is_cut());
    assert_eq!(flow.grid.zone.name(), "Asia/Seoul");
    let step = &flow.steps[0];
    assert_eq!((step.run_if, step.retry.max, step.priority), (RunIf::Success, 0, 0));
    assert_eq!(step.place.to_string(), "flows/a.yml:1:9");
}

#[test]
fn a_flow_by_interval_makes_up_for_every_tick() {
    let text = "interval: hour\nbegin: 2026-01-01\nsteps: {x: {sql: select 1}}\n";
    let hourly = flow(&loaded(&format!("{SHOP}== flows/a.yml\n{text}")));
    assert_eq!(hourly.missed, Missed::All);
    let hourly = flow(&loaded(&format!("{SHOP}== flows/a.yml\nmissed: none\n{text}")));
    assert_eq!(hourly.missed, Missed::None);
}

#[test]
fn what_it_selects_and_owns() {
    let loaded = loaded(&format!("{SHOP}{DAILY}"));
    let flow = flow(&loaded);
    let selected: Vec<&str> = flow.selected().map(NodeName::as_str).collect();
    assert_eq!(selected, ["report", "sales"]);
    let project = loaded.project.as_ref().expect("it has no faults");
    let owner = |name: &str| project.flow_of(&NodeName::new(name)).map(|flow| flow.name.as_str());
    assert_eq!(owner("sales"), Some("daily_sales"));
    assert_eq!(owner("loud"), None);
    assert_eq!(flow.notify.on_failure, [Channel::Webhook("alerts".to_owned())]);
    assert_eq!(project.webhooks["alerts"].url, "https://alerts.example/x");
    assert_eq!(flow.node_of(&flow.steps[0]), NodeName::new("daily_sales.load"));
}

#[test]
fn steps_stand_in_order_and_finally_last() {
    let flow = flow(&loaded(&format!("{SHOP}{DAILY}")));
    let names: Vec<&str> = flow.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["load", "models", "mail", "py", "clean"]);
    let clean = flow.step("clean").expect("it is there");
    assert_eq!(clean.run_if, RunIf::Always);
    assert_eq!(flow.waits_for(clean).count(), 4);
}

#[test]
fn only_files_under_flows_are_read() {
    let text = format!(
        "{SHOP}== flows/team/a.yml\nsteps: {{x: {{sql: select 1}}}}\n== flows/off/b.yml\nbroken: [\n== flows/notes.md\n# no\n== .mulgilignore\nflows/off/\n== other/c.yml\nbroken: [\n"
    );
    let loaded = loaded(&text);
    let project = loaded.project.as_ref().expect("it has no faults");
    let names: Vec<&str> = project.flows.iter().map(|flow| flow.name.as_str()).collect();
    assert_eq!(names, ["a"]);
}

#[test]
fn a_dbt_project_has_flows_too() {
    let loaded = loaded(
        "== dbt_project.yml\nname: shop\n== models/a.sql\nselect 1 as x\n== flows/daily.yml\nschedule: '@daily'\nsteps: {fill: {models: a}}\n",
    );
    assert_eq!(flow(&loaded).row()[1], "@daily UTC");
}

#[test]
fn a_project_may_be_of_flows_alone() {
    let loaded = loaded("== flows/a.yml\nsteps: {x: {command: 'true'}}\n");
    assert!(loaded.diagnostics.is_empty());
}

#[test]
fn what_its_sql_reads_is_known() {
    let text = "steps: {x: {sql: \"insert into t select * from {{ ref('sales') }}, {{ source('raw', 'events') }}\"}}\n";
    let flow = flow(&loaded(&format!("{SHOP}== flows/a.yml\n{text}")));
    let names: Vec<&str> = flow.steps[0].reads.iter().map(|read| read.name().as_str()).collect();
    assert_eq!(names, ["sales", "raw.events"]);
}

fn version(text: &str) -> String {
    flow(&loaded(&format!("{SHOP}{text}"))).fingerprint.to_string()
}

#[test]
fn comments_and_layout_are_no_other_version() {
    let one = version(
        "== flows/a.yml\nowner: me\nsteps:\n  b: {sql: \"select 1 from x\"}\n  a: {sql: sql/load.sql, needs: [b]}\nparams: {n: {type: integer, default: 1}}\n",
    );
    let folder = Folder::new(&format!(
        "{SHOP}== flows/a.yml\n# why\nparams:\n  n:\n    default: 1  # one\n    type: integer\nsteps:\n  a:\n    needs: b\n    sql: sql/load.sql\n  b:\n    sql: |\n      select 1 -- one\n      from x\nowner: 'me'\n"
    ));
    folder.write(
        "sql/load.sql",
        "/* all */ delete from sales\n  where id = :n;\n\ninsert into sales select {{ params.n }} as id -- done\n",
    );
    assert_eq!(flow(&folder.load()).fingerprint.to_string(), one);
}

#[test]
fn what_is_said_is_another_version() {
    let one = "owner: me\nsteps:\n  a: {python: tasks/load.py}\n  b: {sql: select 1}\n";
    let mut versions = vec![version(&format!("== flows/a.yml\n{one}"))];
    for (from, to) in [
        ("owner: me", "owner: you"),
        ("select 1", "select 2"),
        ("select 1}", "select 1, timeout: 5m}"),
        ("select 1}", "select 1, needs: [a]}"),
        ("select 1}", "select 1, priority: 1}"),
        ("steps:", "finally: {z: {command: x}}\nsteps:"),
        ("steps:", "schedule: '@daily'\nsteps:"),
        ("  b:", "  c:"),
        ("tasks/load.py}", "tasks/load.py, params: {x: 1}}"),
        ("tasks/load.py}", "tasks/load.py, params: {x: '1'}}"),
    ] {
        versions.push(version(&format!("== flows/a.yml\n{}", one.replace(from, to))));
    }
    versions.push(version(&format!("== flows/b.yml\n{one}")));
    let folder = Folder::new(&format!("{SHOP}== flows/a.yml\n{one}"));
    folder.write("tasks/load.py", "print('other')\n");
    versions.push(flow(&folder.load()).fingerprint.to_string());
    let count = versions.len();
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), count);
}

/// Numbers that look random and are the same each time.
fn drawn(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("it is small")
    }
}

#[test]
fn the_order_in_the_file_does_not_count() {
    for seed in 1..=40 {
        let mut draw = drawn(seed);
        let count = 2 + draw(8);
        let mut lines: Vec<String> = (0..count)
            .map(|step| {
                let mut needs: Vec<String> = (0..step)
                    .filter(|_| draw(3) == 0)
                    .map(|need| format!("s{need}"))
                    .collect();
                let at = if needs.is_empty() { 0 } else { draw(needs.len()) };
                needs.rotate_left(at);
                format!("  s{step}: {{sql: 'select {step}', needs: [{}]}}\n", needs.join(", "))
            })
            .collect();
        let mut last: Option<(Vec<String>, String)> = None;
        for _ in 0..4 {
            for index in (1..lines.len()).rev() {
                lines.swap(index, draw(index + 1));
            }
            let flow = flow(&loaded(&format!("== flows/a.yml\nsteps:\n{}", lines.concat())));
            for (at, step) in flow.steps.iter().enumerate() {
                assert!(
                    step.needs
                        .iter()
                        .all(|need| flow.steps[..at].iter().any(|other| other.name == *need))
                );
            }
            let shown = (
                flow.steps.iter().map(|step| step.name.clone()).collect(),
                flow.fingerprint.to_string(),
            );
            assert_eq!(*last.get_or_insert_with(|| shown.clone()), shown, "seed {seed}");
        }
    }
}

#[test]
fn a_large_flow_is_read_at_once() {
    let steps: String = (0..10_000)
        .map(|step| format!("  s{step}: {{sql: select 1}}\n"))
        .collect();
    let flow = flow(&loaded(&format!("== flows/a.yml\nsteps:\n{steps}")));
    assert_eq!(flow.steps.len(), 10_000);
    assert!(flow.steps.iter().all(|step| matches!(step.kind, StepKind::Sql { .. })));
}
