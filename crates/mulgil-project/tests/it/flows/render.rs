//! The work of a step for a run.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use mulgil_core::{
    flow::{Flow, StepContext, StepOutcome, StepWork},
    interval::{Instant, Interval},
    run::RunState,
    task::{Reads, ScriptSpec},
};
use mulgil_project::Loaded;
use serde_json::{Value as Json, json};

use super::{SHOP, flow};
use crate::{json, loaded};

fn at(text: &str) -> Instant {
    Instant::from_timestamp(text.parse().expect("is a timestamp"))
}

/// The second day of 2026 in Seoul.
fn context(flow: &Flow, given: Json) -> StepContext {
    let given: BTreeMap<String, Json> = serde_json::from_value(given).expect("is a mapping");
    let interval = Interval::new(at("2026-01-01T15:00:00Z"), at("2026-01-02T15:00:00Z"));
    StepContext {
        run_id: "r7".to_owned(),
        scheduled_at: Some(at("2026-01-02T20:00:00Z")),
        started_at: at("2026-01-02T20:00:01Z"),
        interval: interval.filter(|_| flow.grid.is_cut()),
        params: flow.params(&given).expect("the parameters are right"),
        steps: BTreeMap::from([(
            "load".to_owned(),
            StepOutcome {
                state: RunState::Success,
                rows: Some(3),
                output: json!({"path": "it's here", "days": [1, 2]}),
            },
        )]),
        attempt: 2,
        idempotency_id: "r7/x".to_owned(),
    }
}

const HEAD: &str = "interval: day
begin: 2026-01-01
params:
  n: {type: integer, default: -7}
  who: {type: string, default: \"o'neil -- :n\"}
  day: {type: date, default: 2026-02-03}
  at: {type: timestamp, default: 2026-02-03 04:05}
  ids: {type: list, default: [1, 2]}
  free: string
";

fn project(steps: &str) -> Loaded {
    loaded(&format!(
        "{SHOP}== flows/f.yml\n{HEAD}steps:\n  load: {{sql: select 1}}\n{steps}"
    ))
}

fn work(loaded: &Loaded, step: &str, given: Json) -> Result<StepWork, String> {
    let flow = flow(loaded);
    let compiler = loaded.compiler.as_ref().expect("it has no faults");
    let step = flow.step(step).expect("the step is there");
    compiler
        .render_step(&flow, step, &context(&flow, given), &BTreeMap::new())
        .map_err(|fault| fault.to_string())
}

fn script(steps: &str) -> String {
    match work(&project(steps), "x", json!({})) {
        Ok(StepWork::Script(ScriptSpec {
            sql,
            bindings,
            zone,
            schema,
            claim,
        })) => {
            assert!(claim.is_none());
            let names: Vec<String> = bindings
                .iter()
                .map(|binding| {
                    let name = match &binding.schema {
                        Some(schema) => format!("{schema}.{}", binding.name),
                        None => binding.name.clone(),
                    };
                    match &binding.reads {
                        Reads::Table { relation, scope, .. } => format!("{name} = {relation} {scope:?}"),
                        Reads::Source { source, scope, .. } => format!("{name} = source {} {scope:?}", source.name),
                        Reads::Query { sql, .. } => format!("{name} = ({})", sql.trim()),
                        Reads::Seed { .. } => format!("{name} = seed"),
                    }
                })
                .collect();
            format!("{}\n[{}]\nin {schema}, {zone}", sql.trim(), names.join("; "))
        }
        Ok(other) => format!("{other:?}"),
        Err(fault) => fault,
    }
}

#[test]
fn values_in_sql_are_literals() {
    assert_snapshot!(
        script("  x: {sql: \"select ':n', :n, 1 -:n, :who, :day, :at, :ids, :free, :ds -- :n\"}\n"),
        @"
        select ':n', (-7), 1 -(-7), 'o''neil -- :n', date '2026-02-03', timestamptz '2026-02-03T04:05:00+09:00', (1, 2), null, date '2026-01-02' -- :n
        []
        in shop, Asia/Seoul
        "
    );
    assert_snapshot!(
        script("  x: {sql: 'select 1 where at >= :interval_start and at < :interval_end and a::int = b[1:2]'}\n"),
        @"
        select 1 where at >= timestamptz '2026-01-02T00:00:00+09:00' and at < timestamptz '2026-01-03T00:00:00+09:00' and a::int = b[1:2]
        []
        in shop, Asia/Seoul
        "
    );
    assert_snapshot!(
        script("  x: {sql: 'select :who, :own', params: {who: me, own: '{{ params.n + 1 }}'}}\n"),
        @"
        select 'me', (-6)
        []
        in shop, Asia/Seoul
        "
    );
}

#[test]
fn templates_see_the_run() {
    assert_snapshot!(
        script(
            "  x:
    needs: load
    sql: |
      select '{{ ds }}', '{{ ds_nodash }}', '{{ interval.start }}', '{{ interval.end | date }}', {{ interval.end | epoch }},
        {{ params.n }}, '{{ run.id }}', '{{ run.attempt }}', '{{ run.scheduled_at }}', '{{ run.idempotency_id }}',
        {{ steps.load.rows }}, '{{ steps.load.output.path }}', {{ steps.load.output.days | length }}, '{{ steps.load.state }}',
        '{{ flow.name }}', '{{ step.name }}', '{{ run_started_at }}'
"
        ),
        @"
        select '2026-01-02', '20260102', '2026-01-02T00:00:00+09:00', '2026-01-03', 1767366000,
          -7, 'r7', '2', '2026-01-03T05:00:00+09:00', 'r7/x',
          3, 'it's here', 2, 'success',
          'f', 'x', '2026-01-03T05:00:01+09:00'
        []
        in shop, Asia/Seoul
        "
    );
}

#[test]
fn names_are_bound() {
    assert_snapshot!(
        script("  x: {sql: \"insert into own select * from {{ ref('sales') }}, {{ source('raw', 'events') }}, report, loud, shop.sales, elsewhere\"}\n"),
        @r#"
        insert into own select * from "sales", "raw"."events", report, loud, shop.sales, elsewhere
        [sales = shop.sales None; raw.events = source raw.events None; loud = (select * from "report"); report = shop.report None; shop.sales = shop.sales None]
        in shop, Asia/Seoul
        "#
    );
    assert_snapshot!(script("  x: {sql: \"select 'from report', sales from dual\"}\n"), @"
    select 'from report', sales from dual
    []
    in shop, Asia/Seoul
    ");
    assert_snapshot!(script("  x: {sql: \"vacuum what; select from report join loud\"}\n"), @r#"
    vacuum what; select from report join loud
    [loud = (select * from "report"); report = shop.report None]
    in shop, Asia/Seoul
    "#);
}

#[test]
fn a_script_of_a_file() {
    assert_snapshot!(script("  x: {sql: sql/load.sql}\n"), @"
    delete from sales where id = (-7);
    insert into sales select -7 as id
    [sales = shop.sales None]
    in shop, Asia/Seoul
    ");
}

#[test]
fn a_program_and_its_words() {
    let project = project(
        "  x:
    needs: [load]
    command: [echo, '{{ ds }}', \"it's {{ params.who }}\"]
    cwd: 'sql/{{ ds }}'
    env: {DAY: '{{ interval.start | date }}', N: 5}
    params: {one: '{{ steps.load.output.days }}', two: 'd {{ ds }}', three: [true, {a: '{{ steps.load.rows }}'}], four: '{{ interval.start }}'}
",
    );
    assert_snapshot!(json(&work(&project, "x", json!({"free": "y"})).expect("it can be rendered")), @r#"
    {
      "kind": "process",
      "argv": [
        "echo",
        "2026-01-02",
        "it's o'neil -- :n"
      ],
      "env": {
        "DAY": "2026-01-02",
        "MULGIL_ATTEMPT": "2",
        "MULGIL_FLOW": "f",
        "MULGIL_IDEMPOTENCY_ID": "r7/x",
        "MULGIL_INTERVAL_END": "2026-01-03T00:00:00+09:00",
        "MULGIL_INTERVAL_START": "2026-01-02T00:00:00+09:00",
        "MULGIL_RUN_ID": "r7",
        "MULGIL_SCHEDULED_AT": "2026-01-03T05:00:00+09:00",
        "MULGIL_STEP": "x",
        "N": "5"
      },
      "cwd": "sql/2026-01-02",
      "input": {
        "attempt": 2,
        "flow": "f",
        "idempotency_id": "r7/x",
        "interval": {
          "end": "2026-01-03T00:00:00+09:00",
          "start": "2026-01-02T00:00:00+09:00"
        },
        "params": {
          "at": "2026-02-03T04:05:00+09:00",
          "day": "2026-02-03",
          "four": "2026-01-02T00:00:00+09:00",
          "free": "y",
          "ids": [
            1,
            2
          ],
          "n": -7,
          "one": [
            1,
            2
          ],
          "three": [
            true,
            {
              "a": 3
            }
          ],
          "two": "d 2026-01-02",
          "who": "o'neil -- :n"
        },
        "run_id": "r7",
        "scheduled_at": "2026-01-03T05:00:00+09:00",
        "started_at": "2026-01-03T05:00:01+09:00",
        "step": "x",
        "steps": {
          "load": {
            "output": {
              "days": [
                1,
                2
              ],
              "path": "it's here"
            },
            "rows": 3,
            "state": "success"
          }
        },
        "timezone": "Asia/Seoul"
      }
    }
    "#);
}

#[test]
fn a_text_for_the_shell() {
    let project = project("  x: {command: 'echo {{ params.who | sh }} > {{ ds }}'}\n");
    let Ok(StepWork::Process(process)) = work(&project, "x", json!({})) else {
        panic!("it is a process");
    };
    assert_eq!(process.argv, ["sh", "-c", "echo 'o'\\''neil -- :n' > 2026-01-02"]);
}

#[test]
fn python_and_models() {
    let project = project(
        "  x: {python: tasks/load.py, args: [--day, '{{ ds }}'], interpreter: python3.12}\n  y: {python: 'pkg.mod:main'}\n  z: {models: 'tag:daily', exclude: report, full: true}\n",
    );
    let shown = |step: &str| {
        let mut work =
            serde_json::to_value(work(&project, step, json!({})).expect("it can be rendered")).expect("is JSON");
        for key in ["env", "input"] {
            work.as_object_mut().map(|work| work.remove(key));
        }
        work.to_string()
    };
    assert_snapshot!(shown("x"), @r#"{"args":["--day","2026-01-02"],"cwd":"","entry":{"script":"tasks/load.py"},"interpreter":"python3.12","kind":"python","warm":false}"#);
    assert_snapshot!(shown("y"), @r#"{"args":[],"cwd":"","entry":{"function":{"function":"main","module":"pkg.mod"}},"interpreter":null,"kind":"python","warm":true}"#);
    assert_snapshot!(shown("z"), @r#"{"exclude":["report"],"full":true,"interval":{"end":1767366000000000,"start":1767279600000000},"kind":"models","select":["tag:daily"]}"#);
}

#[test]
fn work_can_be_written_and_read_back() {
    let project =
        project("  x: {sql: select 1}\n  y: {command: ls}\n  z: {python: tasks/load.py}\n  m: {models: sales}\n");
    for step in ["x", "y", "z", "m"] {
        let work = work(&project, step, json!({})).expect("it can be rendered");
        let text = serde_json::to_string(&work).expect("is JSON");
        assert_eq!(serde_json::from_str::<StepWork>(&text).expect("is work"), work);
    }
    let flow = flow(&project);
    let text = serde_json::to_string(&flow).expect("is JSON");
    let read: Flow = serde_json::from_str(&text).expect("is a flow");
    assert_eq!(read, flow);
    assert_eq!(read.version(), flow.fingerprint);
}

fn when(text: &str) -> String {
    let project = project(&format!("  x: {{command: ls, needs: [load], when: {text}}}\n"));
    let flow = flow(&project);
    let compiler = project.compiler.as_ref().expect("it has no faults");
    let step = flow.step("x").expect("the step is there");
    match compiler.render_when(&flow, step, &context(&flow, json!({}))) {
        Ok(runs) => runs.to_string(),
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn when_is_true_or_false() {
    assert_eq!(when("\"{{ steps.load.rows > 2 }}\""), "true");
    assert_eq!(when("\"{{ steps.load.rows > 3 }}\""), "false");
    assert_eq!(when("\"{{ 'x' in params.ids }}\""), "false");
    assert_eq!(when("false"), "false");
    assert_eq!(when("\" {{ 'Yes' }} \""), "true");
    assert_snapshot!(when("\"{{ steps.load.rows }}\""), @"
    error[MG4224]: `when` of the step `x` gives `3`, which is neither true nor false
      --> flows/f.yml:12:41
    do: compare something, so that it gives `true` or `false`: `{{ steps.load.rows > 0 }}`
    ");
    assert_snapshot!(when("\"{{ steps.load.output.nothing > 1 }}\""), @"
    error[MG1102]: `steps.load.output.nothing` is not defined
      --> flows/f.yml:12:41
    do: give it a value with `{% set … %}`, or read a variable with `var('…')`
    ");
}

#[test]
fn values_of_a_step_that_does_not_run_are_not_asked_for() {
    let project = project(
        "  x: {command: ls, needs: [load], when: \"{{ steps.load.state in ['failed'] }}\", params: {a: '{{ steps.load.output.no.way }}'}}\n",
    );
    let flow = flow(&project);
    let compiler = project.compiler.as_ref().expect("it has no faults");
    let step = flow.step("x").expect("the step is there");
    let runs = compiler.render_when(&flow, step, &context(&flow, json!({})));
    assert_eq!(runs, Ok(false));
}

fn fault(steps: &str, given: Json) -> String {
    work(&project(steps), "x", given).expect_err("it cannot be rendered")
}

#[test]
fn what_only_a_run_can_tell() {
    assert_snapshot!(fault("  x: {sql: 'select :ids'}\n", json!({"ids": []})), @r#"
    error[MG4225]: the list `ids` is empty, and SQL has no empty list
      --> flows/f.yml:12:12
    do: skip the step then: `when: "{{ params.ids | length > 0 }}"`
    "#);
    assert_snapshot!(fault("  x: {sql: 'select :ids'}\n", json!({"ids": [[1]]})), @"
    error[MG4225]: the list `ids` holds lists or mappings, which SQL cannot compare
      --> flows/f.yml:12:12
    do: give it plain values, or print what you need in a template
    ");
    assert_snapshot!(fault("  x: {command: ['{{ params.who }}']}\n", json!({"who": "a\0b"})), @"
    error[MG4225]: a word of the step `x` holds a NUL, which no process can be given
      --> flows/f.yml:12:17
    do: remove it from the value
    ");
    assert_snapshot!(
        fault("  late: {sql: select 1}\n  x: {command: 'echo {{ steps.late.rows }}', needs: [late]}\n", json!({})),
        @"
        error[MG1102]: the template fails: invalid operation: the step `late` has not ended, so that nothing is known of it
          --> flows/f.yml:13:16
        do: look at the expression at this place
        "
    );
    assert_snapshot!(
        fault("  x: {command: 'x', needs: [load], params: {a: '{{ steps.load.output.no.way }}'}}\n", json!({})),
        @"
        error[MG1102]: `steps.load.output.no` is not defined
          --> flows/f.yml:12:3
        do: give it a value with `{% set … %}`, or read a variable with `var('…')`
        "
    );
    assert_snapshot!(
        fault("  x: {command: '{% for i in range(params.n) %}{% for j in range(params.n) %}{% endfor %}{% endfor %}'}\n", json!({"n": 90_000})),
        @"
        error[MG1103]: the template takes more than 1000000 steps
          --> flows/f.yml:12:16
        do: make the loop or the macro smaller; what is large belongs into a seed or into SQL
        "
    );
    assert_snapshot!(
        fault("  x: {command: 'x', params: {a: '{{ \"x\" * (params.n | abs) }}'}}\n", json!({"n": 5_000_000})),
        @"
        error[MG1103]: the value of an expression is too large
          --> flows/f.yml:12:3
        do: make the loop or the macro smaller; what is large belongs into a seed or into SQL
        "
    );
}

#[test]
fn a_run_without_an_interval_has_none() {
    let loaded = loaded(&format!(
        "{SHOP}== flows/f.yml\nparams: {{n: {{type: integer, default: 1}}}}\nsteps: {{x: {{sql: sql/load.sql}}, y: {{command: 'ls {{% if params.n > 1 %}}{{{{ ds }}}}{{% endif %}}'}}}}\n"
    ));
    assert!(matches!(work(&loaded, "x", json!({})), Ok(StepWork::Script(_))));
    assert!(matches!(work(&loaded, "y", json!({})), Ok(StepWork::Process(_))));
    assert_snapshot!(work(&loaded, "y", json!({"n": 2})).expect_err("there is none"), @"
    error[MG1111]: the step `y` names `ds`, but its flow has no interval
      --> flows/f.yml:2:46
    do: add `interval: day` and `begin:` to the flow, or use `run.scheduled_at` or a parameter
    ");
}

#[test]
fn parameters_are_checked() {
    let flow = flow(&loaded(&format!(
        "{SHOP}== flows/f.yml\nparams:\n  n: integer\n  x: {{type: number, allowed: [0.5, 1]}}\n  b: {{type: boolean, required: true}}\n  d: date\n  t: timestamp\n  l: {{type: list}}\n  o: object\n  s: {{type: string, default: kr}}\nsteps: {{x: {{sql: select 1}}}}\n"
    )));
    let params = |given: Json| {
        let given = serde_json::from_value(given).expect("is a mapping");
        match flow.params(&given) {
            Ok(values) => json!(values).to_string(),
            Err(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        }
    };
    assert_snapshot!(
        params(json!({"n": "5", "x": "0.5", "b": "true", "d": " 2026-01-31 ", "t": "2026-01-31 05:00", "l": "[1, \"a\"]", "o": {"a": 1}})),
        @r#"{"b":true,"d":"2026-01-31","l":[1,"a"],"n":5,"o":{"a":1},"s":"kr","t":"2026-01-31T05:00:00+09:00","x":0.5}"#
    );
    assert_snapshot!(params(json!({"b": false, "n": null, "t": "2026-01-31T05:00:00Z"})), @r#"{"b":false,"d":null,"l":null,"n":null,"o":null,"s":"kr","t":"2026-01-31T14:00:00+09:00","x":null}"#);
    assert_snapshot!(
        params(json!({"n": "five", "x": 2, "d": "31.1.2026", "t": "x", "l": "a", "o": [], "s": 5, "cuntry": 1, "nn": 2})),
        @r#"
        error[MG4222]: the flow `f` has no parameter `cuntry`
        do: leave it out; it has b, d, l, n, o, s, t, x
        error[MG4222]: the flow `f` has no parameter `nn`
        do: write `n`
        error[MG4223]: the flow `f` needs the parameter `b`
          --> flows/f.yml:4:3  it is declared as required
        do: give it: `--param b=…`
        error[MG4221]: the parameter `d` is a date, but was given `"31.1.2026"`
          --> flows/f.yml:5:3  it is declared here
        do: write a date such as `2026-01-31`
        error[MG4221]: the parameter `l` is a list, but was given `"a"`
          --> flows/f.yml:7:3  it is declared here
        do: write a list in JSON, such as `["kr", "jp"]`
        error[MG4221]: the parameter `n` is a whole number, but was given `"five"`
          --> flows/f.yml:2:3  it is declared here
        do: write digits such as `7`
        error[MG4221]: the parameter `o` is a mapping, but was given `[]`
          --> flows/f.yml:8:3  it is declared here
        do: write a mapping in JSON, such as `{"a": 1}`
        error[MG4221]: the parameter `s` is text, but was given `5`
          --> flows/f.yml:9:3  it is declared here
        do: write a text; in YAML and JSON in quotes
        error[MG4221]: the parameter `t` is a moment, but was given `"x"`
          --> flows/f.yml:6:3  it is declared here
        do: write a moment such as `2026-01-31T05:00:00+09:00`
        error[MG4221]: the parameter `x` cannot be `2`, which is none of the values allowed
          --> flows/f.yml:3:3  it is declared here
        do: write one of `0.5`, `1`
        "#
    );
}
