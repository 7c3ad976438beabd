//! Bad files: the code, the place and what to do, exactly as they are printed.

use std::fmt::Write as _;

use insta::assert_snapshot;

use super::SHOP;
use crate::{Folder, faults, printed};

/// What is wrong with a flow in a file `flows/f.yml`, each fault on one line: code, place, message.
pub(super) fn told(flow: &str) -> String {
    told_in(&format!("== flows/f.yml\n{flow}"))
}

fn told_in(files: &str) -> String {
    let loaded = Folder::new(&format!("{SHOP}{files}")).load();
    let mut out = String::new();
    for fault in &loaded.diagnostics {
        let place = fault.place.as_ref().map(ToString::to_string).unwrap_or_default();
        writeln!(out, "{} {place} {}", fault.code, fault.message).expect("a text can be written");
        for (place, what) in &fault.related {
            writeln!(out, "  + {place} {what}").expect("a text can be written");
        }
        if let Some(remedy) = &fault.remedy {
            writeln!(out, "  do: {remedy}").expect("a text can be written");
        }
    }
    out
}

#[test]
fn what_stands_at_the_top() {
    assert_snapshot!(told("shedule: '0 5 * * *'\nsteps: {a: {sql: select 1}}\n"), @"
    MG1005 flows/f.yml:1:1 a flow has no key `shedule`
      do: write `schedule`, or remove it
    ");
    assert_snapshot!(told("- a\n- b\n"), @"
    MG1006 flows/f.yml:1:1 a flow is a list, but has to be a mapping (`key: value`)
      do: write a mapping (`key: value`)
    ");
    assert_snapshot!(told("name: Daily Sales\nsteps: {a: {sql: select 1}}\n"), @"
    MG1009 flows/f.yml:1:7 a flow cannot be named `Daily Sales`: it has to begin with a small letter or a digit
      do: write `daily_sales`
    ");
    assert_snapshot!(told("schedule: 0 25 * * *\nsteps: {a: {sql: select 1}}\n"), @"
    MG1014 flows/f.yml:1:11 `0 25 * * *` is not a cron: the hour field `25` is wrong: `25` is not a number from 0 to 23
      do: write five fields: minute, hour, day of month, month, day of week; `0 5 * * *` is 05:00 every day
    ");
    assert_snapshot!(told("schedule: {cron: '0 5 * * *', timezone: Asia/Soul}\nsteps: {a: {sql: select 1}}\n"), @"
    MG1013 flows/f.yml:1:11 there is no time zone `Asia/Soul`
      do: write `Asia/Seoul`
    ");
    assert_snapshot!(told("timezone: Mars\nsteps: {a: {sql: select 1}}\n"), @"
    MG1013 flows/f.yml:1:11 there is no time zone `Mars`
      do: write a name of the IANA database, such as `Asia/Seoul` or `UTC`
    ");
    assert_snapshot!(told("interval: daily\nbegin: 2026-01-01\nsteps: {a: {sql: select 1}}\n"), @"
    MG1006 flows/f.yml:1:11 `interval` cannot be `daily`
      do: write `day`
    ");
    assert_snapshot!(told("interval: day\nsteps: {a: {sql: select 1}}\n"), @"
    MG1201 flows/f.yml:1:11 a flow with an `interval` has to say from when on it runs
      do: add the first day that you want, such as `begin: 2026-01-01`
    ");
    assert_snapshot!(told("begin: 2026-01-01\nlookback: 2\nsteps: {a: {sql: select 1}}\n"), @"
    MG1208 flows/f.yml:1:8 `begin` has a meaning only for a flow with an `interval`
      do: add `interval: day`, or remove `begin`
    MG1208 flows/f.yml:2:11 `lookback` has a meaning only for a flow with an `interval`
      do: add `interval: day`, or remove `lookback`
    ");
    assert_snapshot!(told("interval: month\nbegin: 2026-01-15\nend: 2025-01-01\nsteps: {a: {sql: select 1}}\n"), @"
    MG1205 flows/f.yml:2:8 `begin` is 2026-01-15, where no interval begins
      do: write `2026-01-01` or `2026-02-01`
    MG1205 flows/f.yml:3:6 the flow ends before it begins
      do: write a `begin` before the `end`
    ");
    assert_snapshot!(told("interval: day\nbegin: 2026-01-01\nschedule: 0 * * * *\nsteps: {a: {sql: select 1}}\n"), @"
    MG1204 flows/f.yml:3:11 the schedule ticks more often than the flow's intervals end, so most ticks would do nothing
      do: make the interval or the schedule match, or set `partial: true` to run the open interval too
    ");
    assert_snapshot!(told("missed: some\nmax_active: 0\non_full: wait\nsteps: {a: {sql: select 1}}\n"), @"
    MG1006 flows/f.yml:1:9 `missed` cannot be `some`
      do: write one of `latest`, `all` and `none`
    MG1006 flows/f.yml:2:13 `max_active` cannot be `0`
      do: write a whole number from 1
    MG1006 flows/f.yml:3:10 `on_full` cannot be `wait`
      do: write one of `queue`, `skip`, `cancel_old` and `fail`
    ");
    assert_snapshot!(told("timeout: 0s\ndeadline: {after: clock, at: 25:00}\nsteps: {a: {sql: select 1}}\n"), @"
    MG1006 flows/f.yml:1:10 `timeout` cannot be `0s`
      do: write a span that is longer than nothing, such as `20m`
    MG1006 flows/f.yml:2:30 `at` cannot be `25:00`
      do: write the hour and the minute in quotes: `'07:30'`
    ");
    assert_snapshot!(told("deadline: {at: '07:30', within: 2h}\nsteps: {a: {sql: select 1}}\n"), @"
    MG1006 flows/f.yml:1:33 a deadline is a time of the clock or a span, and this one is both
      do: write `within` with `after: scheduled`, `queued` or `started`, or `at` with `after: clock`
    ");
    assert_snapshot!(told("deadline: {after: clock}\nsteps: {a: {sql: select 1}}\n"), @"
    MG1007 flows/f.yml:1:11 a deadline by the clock has to say at which time
      do: add `at: '07:30'`
    ");
    assert_snapshot!(told("deadline: {after: queued, at: '07:30'}\nsteps: {a: {sql: select 1}}\n"), @"
    MG1006 flows/f.yml:1:19 `after` cannot be `queued`
      do: write one of `clock`
    ");
    assert_snapshot!(told("deadline: {at: '07:30', timezone: Asia/Soul}\nsteps: {a: {sql: select 1}}\n"), @"
    MG1013 flows/f.yml:1:35 there is no time zone `Asia/Soul`
      do: write `Asia/Seoul`
    ");
    assert_snapshot!(told("timeout: soon\ndeadline: {afer: started}\nsteps: {a: {sql: select 1}}\n"), @"
    MG1006 flows/f.yml:1:10 `timeout` cannot be `soon`
      do: write a number and a unit: `3d`, `12h`, `30m`
    MG1005 flows/f.yml:2:12 `deadline` has no key `afer`
      do: write `after`, or remove it
    ");
}

#[test]
fn who_is_told() {
    assert_snapshot!(
        told("on_failure: [slack:data-alerts, 'webhook:alert', mail]\non_success: {a: b}\nsteps: {a: {sql: select 1}}\n"),
        @"
        MG1214 flows/f.yml:1:14 `slack:` is not done yet: only webhooks are called
          do: write `webhook:data-alerts` and declare it under `notifications:` in `mulgil.yml`
        MG1218 flows/f.yml:1:33 the project declares no webhook `alert`
          do: write `webhook:alerts`
        MG1006 flows/f.yml:1:50 `mail` is no channel
          do: write `webhook:NAME`, with the name of a webhook under `notifications:` in `mulgil.yml`
        MG1006 flows/f.yml:2:13 a channel is a mapping, but has to be text
          do: write text
        "
    );
    assert_snapshot!(
        faults("== mulgil.yml\nname: shop\nnotifications:\n  webhok: {}\n  slack: {x: {url: y}}\n  webhook:\n    a: {}\n    b: {url: 'ftp://x'}\n    C: {url: '{{ env_var(\"NO\") }}', method: GET}\n== models/a.sql\nselect 1\n"),
        @r#"
        error[MG1005]: `notifications` has no key `webhok`
          --> mulgil.yml:3:3
        do: write `webhook`, or remove it

        warning[MG1214]: `slack` of `notifications` has no effect yet: only webhooks are called
          --> mulgil.yml:4:3
        do: use `webhook: {NAME: {url: …}}`; Slack takes one too

        error[MG1007]: the webhook `a` has no `url`
          --> mulgil.yml:6:5
        do: add it: `url: "{{ env_var('ALERTS_URL') }}"`

        error[MG1006]: `url` of the webhook `b` is no URL of `http` or `https`
          --> mulgil.yml:7:14
        do: write the whole URL, or a template that gives it: `"{{ env_var('ALERTS_URL') }}"`

        error[MG1009]: a webhook cannot be named `C`: it has to begin with a small letter or a digit
          --> mulgil.yml:8:5
        do: write `c`

        error[MG1108]: the environment variable `NO` has no value
          --> mulgil.yml:8:14
        do: set it, or give a default: `env_var('NO', '…')`

        error[MG1005]: the webhook `C` has no key `method`
          --> mulgil.yml:8:37
        do: remove it; known here are `url`
        "#
    );
}

#[test]
fn what_a_start_may_be_given() {
    assert_snapshot!(
        told("params:
  a: {type: strng}
  b: {default: 1}
  c: {type: integer, default: five}
  d: {type: date, default: 2026-02-30}
  e: {type: string, allowed: [x, y], default: z}
  f: {type: string, required: true, default: x}
  ds: date
  9x: string
  g: {type: string, requird: true, required: 1}
  h: int
steps: {a: {sql: select 1}}
"),
        @r#"
        MG1006 flows/f.yml:2:13 the parameter `a` cannot be of the type `strng`
          do: write `string`
        MG1007 flows/f.yml:3:3 the parameter `b` has no `type`
          do: add one of `string`, `integer`, `number`, `boolean`, `date`, `timestamp`, `list` and `object`
        MG1006 flows/f.yml:4:31 the parameter `c` is a whole number, but was given `"five"`
          do: write digits such as `7`
        MG1006 flows/f.yml:5:28 the parameter `d` is a date, but was given `"2026-02-30"`
          do: write a date such as `2026-01-31`
        MG1006 flows/f.yml:6:47 the parameter `e` cannot be `"z"`, which is none of the values allowed
          do: write one of `"x"`, `"y"`
        MG1006 flows/f.yml:7:31 a parameter with a default is never missing
          do: remove `required` or `default`
        MG1009 flows/f.yml:8:3 a parameter cannot be named `ds`: in SQL it is the interval's
          do: rename it
        MG1009 flows/f.yml:9:3 a parameter cannot be named `9x`: a name has letters of the Latin alphabet, digits and `_`, and begins with a letter
          do: rename it
        MG1005 flows/f.yml:10:21 the parameter `g` has no key `requird`
          do: write `required`, or remove it
        MG1006 flows/f.yml:10:46 `required` is neither true nor false
          do: write `true` or `false`
        MG1006 flows/f.yml:11:6 the parameter `h` cannot be of the type `int`
          do: write `integer`
        "#
    );
}

#[test]
fn flows_without_steps() {
    assert_snapshot!(told(""), @"
    MG1215 flows/f.yml the flow has no steps, so it would do nothing
      do: add one: `steps: {load: {sql: sql/load.sql}}`
    ");
    assert_snapshot!(told("owner: me\nsteps:\n"), @"
    MG1215 flows/f.yml:2:6 the flow has no steps, so it would do nothing
      do: add one: `steps: {load: {sql: sql/load.sql}}`
    ");
    assert_snapshot!(told("steps: {}\nfinally: {a: {sql: select 1}}\n"), @"
    MG1215 flows/f.yml:1:8 the flow has no steps, so it would do nothing
      do: add one: `steps: {load: {sql: sql/load.sql}}`
    ");
    assert_snapshot!(told("steps: load\n"), @"
    MG1006 flows/f.yml:1:8 `steps` is text, but has to be a mapping (`key: value`)
      do: write a mapping (`key: value`)
    ");
}

#[test]
fn what_a_flow_selects() {
    assert_snapshot!(
        told("steps:
  a: {models: saels}
  b: {models: 'tag:nightly'}
  c: {models: '+'}
  d: {models: 'sales@2026-01'}
  e: {models: sales, exclude: sales}
  f: {models: []}
  g: {models: 'tag:{{ params.x }}'}
  h: {models: [sales, 'tag:no']}
"),
        @r#"
        MG1217 flows/f.yml:2:15 the step `a` selects no models: there is no node `saels` in this project
          do: did you mean `sales`? `mulgil status` lists all
        MG1217 flows/f.yml:3:15 the step `b` selects no models: no node has the tag `nightly`
          do: give a model `tags=['…']` in its config
        MG1217 flows/f.yml:4:15 the step `c` selects no models: `+` names nothing that could be selected
          do: write a name with at most one `+` on either side: `+sales`, `sales+`, `2+sales+1`
        MG1217 flows/f.yml:5:15 the step `d` selects no models: `sales` is not filled by intervals, so `2026-01` cannot be named
          do: write `sales` alone
        MG1217 flows/f.yml:6:15 the step `e` selects no models: all of them are excluded
          do: exclude less
        MG1007 flows/f.yml:7:15 `models` selects nothing
          do: name some: `models: "tag:daily+"`; `"*"` is all of them
        MG1217 flows/f.yml:8:15 `models` is no template: whose schedule a model has is decided before any run
          do: write the selector itself, or two steps with a `when`
        MG1217 flows/f.yml:9:15 the step `h` selects no models: no node has the tag `no`
          do: give a model `tags=['…']` in its config
        "#
    );
}

#[test]
fn a_schedule_has_one_owner() {
    let own = "== models/timed.sql\n{{ config(materialized='table', schedule='0 4 * * *') }}\nselect 1 as id\n";
    assert_snapshot!(
        told_in(&format!("{own}== flows/a.yml\nschedule: 0 5 * * *\nsteps:\n  fill: {{models: timed}}\n")),
        @"
        MG1203 models/timed.sql:1:33 `timed` has two schedules: its own and that of the flow `a`, which selects it
          + flows/a.yml:1:11 the schedule of the flow `a`
          do: remove one of the schedules, or select the model in one place
        "
    );
    assert_snapshot!(
        told_in("== flows/a.yml\nschedule: 0 5 * * *\nsteps:\n  fill: {models: 'tag:daily'}\n== flows/b.yml\nschedule: 0 6 * * *\nsteps:\n  all: {models: '*'}\n"),
        @"
        MG1203 flows/b.yml:3:3 `report` has two schedules: those of the flows `a` and `b`, which both select it
          + flows/a.yml:3:3 the flow `a` selects it here
          do: remove one of the schedules, or select the model in one place
        "
    );
    // A flow that is started by hand owns none.
    assert_snapshot!(
        told_in(&format!("{own}== flows/a.yml\nsteps:\n  fill: {{models: timed}}\n")),
        @""
    );
}

#[test]
fn templates_are_tried() {
    assert_snapshot!(
        told("params: {country: {type: string, default: kr}, free: string}
steps:
  load: {sql: select 1}
  a: {sql: \"select '{{ params.cuntry }}', '{{ params.country }}'\"}
  b: {sql: \"select '{{ ds }}'\"}
  c: {sql: 'select :interval_start, :countri, :country'}
  d: {command: 'echo {{ steps.lod.rows }}', needs: [load]}
  e: {command: 'echo {{ steps.load.rows }}'}
  f: {sql: 'select {{ 1 + }}'}
  g: {sql: \"select * from {{ ref('saless') }}\"}
  h: {sql: \"select * from {{ this }} {{ config(a=1) }}\"}
  i: {command: 'echo {{ nothing }}', when: 'steps.load.rows > 0'}
  j: {command: 'x', needs: [load], when: '{{ steps.load.rows + 1 > 0 }}', params: {y: '{{ params.nope }}', z: '{{ steps.load.output.a.b | int }}'}}
  k: {command: 'x {{ var(\"no\") }} {{ params.free | int + 1 }}'}
  l: {command: '{% for x in range(100000) %}{% for y in range(1000) %}{% endfor %}{% endfor %}'}
finally:
  m: {command: 'echo {{ steps.load.state }} {{ steps.z.state }}'}
"),
        @r#"
        MG1220 flows/f.yml:4:12 the step `a` names `params.cuntry`, which the flow does not declare
          do: write `params.country`
        MG1111 flows/f.yml:5:12 the step `b` names `ds`, but its flow has no interval
          do: add `interval: day` and `begin:` to the flow, or use `run.scheduled_at` or a parameter
        MG1111 flows/f.yml:6:12 the step `c` names `:interval_start`, but its flow has no interval
          do: add `interval: day` and `begin:` to the flow, or use `run.scheduled_at` or a parameter
        MG1220 flows/f.yml:6:12 the step `c` names `:countri`, which the flow does not declare
          do: write `:country`
        MG1212 flows/f.yml:7:16 the step `d` names the step `lod`, which the flow does not have
          do: write `steps.load`
        MG1212 flows/f.yml:8:16 the step `e` names the step `load`, but does not wait for it
          do: add it: `needs: [load]`
        MG1101 flows/f.yml:9:12 the template does not parse: unexpected end of variable block
          do: look for a `{{`, `{%` or `{#` that is not closed, or a block without its end
        MG1104 flows/f.yml:10:12 step `f.g` refers to `saless`, which is not in this project
          do: write `ref('sales')`
        MG1102 flows/f.yml:11:12 `this` belongs to a model, and the step `h` is none
          do: name the table by `ref`, or remove it
        MG1102 flows/f.yml:11:12 `config()` belongs to a model, and the step `h` is none
          do: name the table by `ref`, or remove it
        MG1102 flows/f.yml:12:16 `nothing` is not defined
          do: give it a value with `{% set … %}`, or read a variable with `var('…')`
        MG1006 flows/f.yml:12:44 `when` is the text `steps.load.rows > 0`, which is neither true nor false
          do: write it as a template: `when: "{{ steps.load.rows > 0 }}"`
        MG1220 flows/f.yml:13:83 the step `j` names `params.nope`, which the flow does not declare
          do: declare it: `params: {nope: string}`; there are `country` and `free`
        MG1107 flows/f.yml:14:16 the variable `no` has no value
          do: add it under `vars:` in `mulgil.yml`, or give a default: `var('no', '…')`
        MG1103 flows/f.yml:15:16 the template takes more than 1000000 steps
          do: make the loop or the macro smaller; what is large belongs into a seed or into SQL
        MG1212 flows/f.yml:17:16 the step `m` names the step `z`, which the flow does not have
          do: write `steps.a`
        "#
    );
}

#[test]
fn a_script_is_told_at_its_own_place() {
    assert_snapshot!(
        told_in("== flows/f.yml\nsteps:\n  a: {sql: sql/bad.sql}\n== sql/bad.sql\nselect 1;\n  select :n, '{{ params.m }}'\n"),
        @"
        MG1220 sql/bad.sql:2:10 the step `a` names `:n`, which the flow does not declare
          do: declare it: `params: {n: string}`; there are none
        MG1220 sql/bad.sql:2:18 the step `a` names `params.m`, which the flow does not declare
          do: declare it: `params: {m: string}`; there are none
        "
    );
    assert_snapshot!(
        told_in("== flows/f.yml\nsteps:\n  a: {sql: sql/bad.sql}\n== sql/bad.sql\nselect 1;\n  select {{ if }}\n"),
        @"
        MG1102 sql/bad.sql:2:13 `if` is not defined
          do: give it a value with `{% set … %}`, or read a variable with `var('…')`
        "
    );
}

#[test]
fn names_that_are_taken() {
    assert_snapshot!(
        told_in("== flows/a.yml\nname: b\nsteps: {x: {sql: select 1}}\n== flows/b.yml\nsteps: {x: {sql: select 1}}\n== flows/raw.yml\nsteps: {x: {sql: select 1}}\n== flows/Daily.yml\nsteps: {x: {sql: select 1}}\n"),
        @"
        MG1009 flows/Daily.yml a flow cannot be named `Daily`: it has to begin with a small letter or a digit
          do: write `daily`
        MG1010 flows/b.yml there are two flows named `b`
          + flows/a.yml:1:7 the other one
          do: rename one of the files, or give one another `name:`
        MG1010 flows/raw.yml the flow `raw` has the name of a source, so that their parts could not be told apart
          + mulgil.yml:5:5 the source
          do: rename the file, or give the flow another `name:`
        "
    );
}

#[test]
fn yaml_that_is_none() {
    assert_snapshot!(told("steps:\n\ta: {sql: select 1}\n"), @"
    MG1003 flows/f.yml:2:1 a tab is used to indent, which YAML does not allow
      do: replace the tab by spaces
    ");
    assert_snapshot!(told("a: &a [1]\nsteps: {a: {sql: select 1}}\n"), @"
    MG1003 flows/f.yml:1:4 an anchor (`&name`) is YAML that project files do not use
      do: write the value itself; quote text that begins with `&`, `*` or `!`
    ");
    assert_snapshot!(told("steps: {a: {sql: 'select 1}}\n"), @"
    MG1003 flows/f.yml:1:18 the YAML cannot be read: while scanning a quoted scalar, found unexpected end of stream
      do: look at this line and the one before it for indentation, a missing colon or an open quote
    ");
    assert_snapshot!(told("steps: {a: {sql: select 1}}\n---\nsteps: {}\n"), @"
    MG1003 flows/f.yml:2:1 a second document begins here
      do: keep one document in a file
    ");
}

#[test]
fn a_flow_that_is_too_large() {
    let folder = Folder::new(SHOP);
    folder.write("flows/big.yml", "x".repeat(10 << 20));
    assert_snapshot!(printed(&folder.load()), @"
    error[MG1216]: the file of a flow has 10485760 bytes, and may have 4194304
      --> flows/big.yml
    do: divide the flow, and keep SQL and data in files of their own
    ");
    let steps: String = (0..20_001).fold("steps:\n".to_owned(), |mut text, index| {
        writeln!(text, "  s{index}: {{sql: x}}").expect("a text can be written");
        text
    });
    folder.write("flows/big.yml", steps);
    assert_snapshot!(printed(&folder.load()), @"
    error[MG1216]: the flow has 20001 steps, and may have 20000
      --> flows/big.yml
    do: divide the flow, or let one step do more
    ");
    let params: String = (0..201).fold("steps: {a: {sql: x}}\nparams:\n".to_owned(), |mut text, index| {
        writeln!(text, "  p{index}: string").expect("a text can be written");
        text
    });
    folder.write("flows/big.yml", params);
    assert_snapshot!(printed(&folder.load()), @"
    error[MG1216]: the flow has 201 parameters, and may have 200
      --> flows/big.yml:3:3
    do: take some of them together into one of type `object`
    ");
}

#[test]
fn many_faults_are_counted() {
    let steps: String = (0..5_000).fold("steps:\n".to_owned(), |mut text, index| {
        writeln!(text, "  s{index}: {{sql: select 1, needs: [t{index}]}}").expect("a text can be written");
        text
    });
    let loaded = Folder::new(&format!("{SHOP}== flows/f.yml\n{steps}")).load();
    assert_eq!(loaded.diagnostics.len(), 101);
    let keys: String = (0..20_000).fold(String::new(), |mut text, index| {
        writeln!(text, "k{index}: 1").expect("a text can be written");
        text
    });
    let loaded = Folder::new(&format!("{SHOP}== flows/f.yml\n{keys}")).load();
    assert_eq!(loaded.diagnostics.len(), 101);
}

/// Whichever core reads a file, it tells what it tells alone, in the order of files and lines.
#[test]
fn of_many_flows_each_tells_what_it_tells_alone() {
    const FLOWS: usize = 600;
    const KINDS: [&[u8]; 6] = [
        b"schedule: 0 5 * * *\nsteps: {a: {sql: select 1}}\n",
        b"shedule: 0 5 * * *\nsteps: {a: {sql: 'select :x'}}\n",
        b"steps:\n  a: {sql: \"select {{ params.x }}\"}\n  b: {sql: 'select 1', needs: [c]}\n",
        b"steps: [\n",
        b"steps: {a: {sql: \"select '{{ 1 + 1 }}'\"}}\n",
        b"steps: \xff\n",
    ];
    let told = |folder: &Folder| {
        let faults = folder.load().diagnostics.into_iter().map(|fault| {
            let place = fault.place.expect("it has a place");
            (place.file, place.line, place.column, fault.code, fault.message)
        });
        faults.collect::<Vec<_>>()
    };
    let alone = KINDS.map(|text| {
        let folder = Folder::new(SHOP);
        folder.write("flows/f.yml", text);
        told(&folder)
    });
    assert_eq!(alone.each_ref().map(Vec::len), [0, 2, 2, 1, 0, 1]);
    let folder = Folder::new(SHOP);
    let mut wanted = Vec::new();
    for index in 0..FLOWS {
        let path = format!("flows/{}/f{index:03}.yml", index / 100);
        folder.write(&path, KINDS[index % KINDS.len()]);
        let faults = alone[index % KINDS.len()].iter().cloned();
        wanted
            .extend(faults.map(|(_, line, column, code, message)| (path.clone().into(), line, column, code, message)));
    }
    assert_eq!(told(&folder), wanted);
}
