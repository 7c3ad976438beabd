//! Hooks of models and of runs: what is run, with what, and what is wrong with them.

use std::{collections::BTreeMap, fmt::Write as _};

use insta::assert_snapshot;
use mulgil_core::{
    interval::{Instant, Interval},
    name::{Instance, NodeName},
    task::{Reads, ScriptSpec},
};
use mulgil_project::{Loaded, RunFacts, RunResult};

use crate::{faults, loaded, node};

const SHOP: &str = r#"== dbt_project.yml
name: shop
on-run-start: "select '{{ target.schema }}'"
on-run-end:
  - "{% for schema in schemas %}select '{{ schema }}';{% endfor %}"
  - "{% for result in results if result.status in ['error'] %}select '{{ result.node.name }}';{% endfor %}"
models:
  +pre-hook: "select 'of all'"
  +post-hook: {sql: "select 'outside, after'", transaction: false}
  shop:
    marts:
      +post-hook: ["select 'of the folder'"]
seeds:
  +post-hook: "select count(*) from {{ this }}"
== macros/audit.sql
{% macro audit(of) %}select 'macro' from {{ of }}{% endmacro %}
== models/log.sql
{{ config(materialized='table') }}
select 1 as x
== models/marts/orders.sql
{{ config(materialized='table', pre_hook=audit(this)) }}
{{ config(post_hook=["{% if is_incremental() %}never{% endif %}", '{"sql": "select \'as json\'", "transaction": true}']) }}
select 1 as id
== models/marts/schema.yml
models:
  - name: orders
    config:
      pre-hook: {sql: "select '{{ var('who', 'me') }}' from {{ ref('log') }}", transaction: false}
== seeds/countries.csv
code
kr
"#;

fn shown(scripts: &[ScriptSpec]) -> String {
    let mut out = String::new();
    for script in scripts {
        let names: Vec<String> = script
            .bindings
            .iter()
            .map(|binding| match &binding.reads {
                Reads::Table { relation, .. } => format!("{} = {relation}", binding.name),
                other => format!("{} = {other:?}", binding.name),
            })
            .collect();
        let line = format!("{} [{}] in {}", script.sql.trim(), names.join(", "), script.schema);
        writeln!(out, "{line}").expect("a text can be written");
    }
    out
}

fn around(loaded: &Loaded, name: &str) -> String {
    let compiler = loaded.compiler.as_ref().expect("it has no faults");
    let instance = Instance::of(NodeName::new(name));
    let hooks = compiler
        .hooks(&instance, Interval::WHOLE, false, &BTreeMap::new())
        .expect("they can be rendered");
    format!("{}-- fill\n{}", shown(&hooks.before), shown(&hooks.after))
}

#[test]
fn hooks_of_folders_files_and_yaml_add_up_and_those_outside_of_a_transaction_stand_outside() {
    let loaded = loaded(SHOP);
    assert_snapshot!(around(&loaded, "orders"), @r#"
    select 'me' from "log" [log = shop.log] in shop
    select 'of all' [] in shop
    select 'macro' from "shop"."orders" [orders = shop.orders] in shop
    -- fill
    select 'of the folder' [] in shop
    select 'as json' [] in shop
    select 'outside, after' [] in shop
    "#);
    assert_snapshot!(around(&loaded, "log"), @"
    select 'of all' [] in shop
    -- fill
    select 'outside, after' [] in shop
    ");
    assert_snapshot!(around(&loaded, "countries"), @r#"
    -- fill
    select count(*) from "shop"."countries" [countries = shop.countries] in shop
    "#);
}

#[test]
fn what_a_hook_reads_comes_first_and_makes_nothing_stale() {
    let orders = node(&loaded(SHOP), "orders");
    let inputs: Vec<String> = orders.inputs.iter().map(|input| format!("{input:?}")).collect();
    assert_snapshot!(inputs.join("\n"), @"Input { from: Node(log), mapping: Whole { restates: false }, shared_keys: [] }");
    assert_eq!(orders.reads.len(), 1, "selectors follow it");
}

#[test]
fn a_hook_is_no_part_of_what_rows_are_made_with() {
    let before = node(&loaded(SHOP), "orders").fingerprint;
    let without = SHOP
        .replace("pre_hook=audit(this)", "alias='orders'")
        .replace("  +pre-hook: \"select 'of all'\"\n", "")
        .replace("'{{ var('who', 'me') }}' from {{ ref('log') }}", "1");
    assert_ne!(without, SHOP);
    assert_eq!(node(&loaded(&without), "orders").fingerprint, before);
}

#[test]
fn a_run_stands_between_hooks_and_the_last_ones_know_how_it_ended() {
    let loaded = loaded(SHOP);
    let run = RunFacts {
        started_at: Instant(0),
        invocation_id: "1".to_owned(),
    };
    let compiler = loaded.compiler.as_ref().expect("it has no faults").for_run(run);
    let result = |node: &str, status| RunResult {
        node: NodeName::new(node),
        test: None,
        status,
        message: None,
        failures: None,
    };
    let results = [result("log", "success"), result("orders", "error")];
    let start = compiler.run_start(&BTreeMap::new()).expect("it can be rendered");
    let end = compiler
        .run_end(&results, &BTreeMap::new())
        .expect("it can be rendered");
    assert_snapshot!(shown(&start) + &shown(&end), @"
    select 'shop' [] in shop
    select 'shop'; [] in shop
    select 'orders'; [] in shop
    ");
    // What is rendered to nothing is not run.
    assert_eq!(compiler.run_end(&[], &BTreeMap::new()).expect("it can be rendered"), []);
}

#[test]
fn what_is_wrong_with_a_hook_is_told_where_it_is_written() {
    assert_snapshot!(
        faults(
            "== dbt_project.yml
name: shop
on-run-start: \"select {{ nothing() }}\"
on-run-end: {a: b}
models:
  +post-hook: \"select * from {{ ref('nowhere') }}\"
== models/a.sql
{{ config(materialized='table', pre_hook=1) }}
select 1 as x
== models/b.sql
{{ config(materialized='ephemeral', post_hook='select 1') }}
select 1 as x
== models/c.sql
{{ config(materialized='table', pre_hook='{{ this ') }}
select 1 as x
"
        ),
        @"
        error[MG1106]: in a hook: there is no macro or function `nothing`
          --> dbt_project.yml:2:15
        do: write the macro in a file under `macros/`; there are none

        error[MG1006]: `on-run-end` is a mapping, but has to be text
          --> dbt_project.yml:3:13
        do: write text

        error[MG1104]: in a hook: model `a` refers to `nowhere`, which is not in this project
          --> dbt_project.yml:5:15
        do: write the model in `models/nowhere.sql`, or declare a source in `mulgil.yml` and write `source('…', 'nowhere')`

        error[MG1104]: in a hook: model `c` refers to `nowhere`, which is not in this project
          --> dbt_project.yml:5:15
        do: write the model in `models/nowhere.sql`, or declare a source in `mulgil.yml` and write `source('…', 'nowhere')`

        error[MG1006]: `pre_hook` cannot be `1`
          --> models/a.sql:1:33
        do: write SQL, a list of SQL, or `{sql: …, transaction: false}`

        warning[MG1302]: a hook of an ephemeral model, which is never made, has no effect here yet
          --> models/b.sql:1:37
        do: give the hook to a model that is a table or a view, or remove it

        error[MG1101]: in a hook: the template does not parse: unexpected end of input, expected end of variable block
          --> models/c.sql:1:33
        do: look for a `{{`, `{%` or `{#` that is not closed, or a block without its end
        "
    );
}
