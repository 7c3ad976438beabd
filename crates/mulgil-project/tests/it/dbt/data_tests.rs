//! Data tests: queries in files, the project's own tests, thresholds and conditions.

use std::fmt::Write as _;

use insta::assert_snapshot;
use mulgil_core::port::SourceSeen;

use super::told;
use crate::{Folder, loaded, printed};

const SHOP: &str = "== dbt_project.yml
name: shop
== models/raw.sql
{{ config(materialized='table') }}
select 1 as id
== models/inlined.sql
{{ config(materialized='ephemeral') }}
select * from {{ ref('raw') }}
== models/orders.sql
{{ config(materialized='table') }}
select id from {{ ref('raw') }}
";

/// The tests of every node, as they are declared and as queries.
fn tests(text: &str) -> String {
    let project = loaded(text);
    let compiler = project.compiler.as_ref().expect("it has no faults");
    let mut out = printed(&project);
    out.push('\n');
    for node in &project.project.as_ref().expect("it has no faults").nodes {
        for test in &node.tests {
            let seen = std::collections::BTreeMap::<_, SourceSeen>::new();
            let bound = compiler.bound_test(&node.name, test, &seen).expect("it can be bound");
            let names: Vec<&str> = bound.bindings.iter().map(|binding| binding.name.as_str()).collect();
            let _ = writeln!(
                out,
                "{}: {} {:?} warn {} error {} at {}\n  looks into {:?}, reads {}\n  {}",
                node.name,
                test.name,
                test.severity,
                test.thresholds.warn_if,
                test.thresholds.error_if,
                test.place,
                test.kind.looks_into(),
                names.join(", "),
                bound.sql.trim().replace('\n', "\n  ")
            );
        }
    }
    out
}

#[test]
fn a_query_belongs_to_the_last_node_that_it_looks_at() {
    assert_snapshot!(
        tests(&format!(
            "{SHOP}== dbt_project.yml
name: shop
data_tests:
  shop: {{+severity: error, strict: {{+limit: 9}}}}
== tests/no_orphans.sql
{{{{ config(severity='warn', error_if='>10') }}}}
select o.id from {{{{ ref('orders') }}}} o left join {{{{ ref('raw') }}}} r on o.id = r.id where r.id is null
== tests/strict/positive.sql
select * from {{{{ ref('inlined') }}}} where id < 0;
== tests/off.sql
{{{{ config(enabled=false) }}}}
select * from {{{{ ref('raw') }}}}
== tests/fixtures/rows.sql
select 1
== tests/tests.yml
data_tests:
  - name: positive
    description: Ids count up.
    config: {{warn_if: '> 2'}}
"
        )),
        @r#"
    raw: positive Error warn > 2 error != 0 at tests/strict/positive.sql
      looks into [], reads inlined
      select * from (
      select * from "inlined" where id < 0
      ) as failing_rows limit 9
    orders: no_orphans Warning warn != 0 error > 10 at tests/no_orphans.sql
      looks into [raw], reads orders, raw
      select o.id from "orders" o left join "raw" r on o.id = r.id where r.id is null
    "#
    );
}

#[test]
fn thresholds_conditions_and_names() {
    assert_snapshot!(
        tests(&format!(
            "{SHOP}== models/schema.yml
models:
  - name: orders
    tests:
      - unique: {{column_name: id, name: one_each}}
    columns:
      - name: id
        data_tests:
          - not_null:
              config: {{severity: WARN, where: \"id > {{{{ var('least', 0) }}}}\", limit: 5, warn_if: '>= 2', error_if: '!=0', fail_calc: 'COUNT( * )'}}
          - accepted_values:
              arguments: {{values: [1, 2], quote: false}}
          - relationships: {{to: ref('raw'), field: id, where: 'id is not null', severity: warn, store_failures: true}}
          - test_name: not_null
            name: again
            config: {{tags: [x], enabled: true}}
          - unique: {{config: {{enabled: false}}}}
"
        )),
        @r#"
    warning[MG1302]: `store_failures` of the data test `relationships` has no effect here yet
      --> models/schema.yml:12:97
    do: leave it for dbt, or remove it
    orders: one_each Error warn != 0 error != 0 at models/schema.yml:4:9
      looks into [], reads orders
      select "id", count(*) as __rows from "orders" where "id" is not null group by "id" having count(*) > 1
    orders: not_null_orders_id Warning warn >= 2 error != 0 at models/schema.yml:8:13
      looks into [], reads orders
      select * from (
      select * from (select * from "orders" where id > 0) as filtered_rows where "id" is null
      ) as failing_rows limit 5
    orders: accepted_values_orders_id__False__1__2 Error warn != 0 error != 0 at models/schema.yml:10:13
      looks into [], reads orders
      select "id", count(*) as __rows from "orders" where "id" not in (1, 2) group by "id"
    orders: relationships_orders_id__id__ref_raw_ Warning warn != 0 error != 0 at models/schema.yml:12:13
      looks into [raw], reads orders, raw
      select child.* from (select * from "orders" where id is not null) as child left join (select distinct "id" as parent_key from "raw") as parent on child."id" = parent.parent_key where child."id" is not null and parent.parent_key is null
    orders: again Error warn != 0 error != 0 at models/schema.yml:13:13
      looks into [], reads orders
      select * from "orders" where "id" is null
    "#
    );
}

#[test]
fn tests_that_the_project_writes_itself() {
    assert_snapshot!(
        tests(&format!(
            "{SHOP}== tests/generic/within.sql
{{% test within(model, column_name, least=0, most=none) %}}
select * from {{{{ model }}}} where {{{{ column_name }}}} < {{{{ least }}}}{{% if most %}} or {{{{ column_name }}}} > {{{{ most }}}}{{% endif %}}
{{% endtest %}}
== macros/tests.sql
{{% data_test same_count(model, to) %}}
select 1 as n from {{{{ model }}}} having count(*) <> (select count(*) from {{{{ to }}}})
{{% enddata_test %}}
== models/schema.yml
models:
  - name: orders
    data_tests:
      - same_count: {{to: ref('raw')}}
      - shop.same_count: {{name: counted, arguments: {{to: \"{{{{ ref('inlined') }}}}\"}}, config: {{where: id > 1, severity: warn}}}}
    columns:
      - name: id
        data_tests:
          - within
          - within: {{arguments: {{least: 1, most: 9}}, limit: 3}}
"
        )),
        @r#"
    orders: same_count_orders_ref_raw_ Error warn != 0 error != 0 at models/schema.yml:4:9
      looks into [raw], reads orders, raw
      select 1 as n from "orders" having count(*) <> (select count(*) from "raw")
    orders: counted Warning warn != 0 error != 0 at models/schema.yml:5:9
      looks into [raw], reads orders, inlined
      select 1 as n from (select * from "orders" where id > 1) as filtered_rows having count(*) <> (select count(*) from "inlined")
    orders: within_orders_id Error warn != 0 error != 0 at models/schema.yml:9:13
      looks into [], reads orders
      select * from "orders" where id < 0
    orders: within_orders_id__1__9 Error warn != 0 error != 0 at models/schema.yml:10:13
      looks into [], reads orders
      select * from (
      
      select * from "orders" where id < 1 or id > 9
      ) as failing_rows limit 3
    "#
    );
}

#[test]
fn tests_that_cannot_be() {
    assert_snapshot!(
        told(&format!(
            "{SHOP}== macros/tests.sql
{{% test within(model, column_name) %}}select {{{{ nothing.at }}}} from {{{{ model }}}}{{% endtest %}}
{{% test half(model) %}}select from where{{% endtest %}}
== models/schema.yml
models:
  - name: orders
    columns:
      - name: id
        data_tests:
          - not_null: {{config: {{warn_if: many, error_if: 10, limit: few, fail_calc: sum(id), serverity: warn}}}}
          - dbt_utils.at_least_one
          - withn
          - within
          - half: {{}}
          - unique: {{with: 1}}
data_tests:
  - {{name: no_orphan}}
== tests/no_orphans.sql
select * from {{{{ ref('order') }}}}
== tests/nothing.sql
select 1 as x
== tests/two.sql
{{{{ config(materialised='x', store_failures=true, where='a') }}}}
select * from {{{{ ref('raw') }}}}; select 2
== tests/set.sql
{{{{ config({{'severity': 'fatal', 'where': 'x'}}) }}}}
select * from {{{{ ref('raw') }}}}
"
        )),
        @"
    error[MG1102]: a value that is not defined is used
      --> macros/tests.sql:1:54
    do: give it a value with `{% set … %}`, or read a variable with `var('…')`

    error[MG1016]: `warn_if` is a comparison with a count of rows
      --> models/schema.yml:6:42
    do: write `warn_if: '> 10'`, with one of `=`, `!=`, `>`, `>=`, `<`, `<=`

    error[MG1016]: `error_if` is a comparison with a count of rows
      --> models/schema.yml:6:58
    do: write `error_if: '> 10'`, with one of `=`, `!=`, `>`, `>=`, `<`, `<=`

    error[MG1006]: `limit` cannot be `few`
      --> models/schema.yml:6:69
    do: write a whole number from 1

    error[MG1209]: a data test counts the rows that break it; another `fail_calc` is not done
      --> models/schema.yml:6:85
    do: remove it, and let the query of the test return one row for each failure

    warning[MG1005]: the data test `not_null` has no key `serverity`
      --> models/schema.yml:6:94
    do: write `severity`, or remove it

    error[MG1209]: the data test `dbt_utils.at_least_one` is of the package `dbt_utils`, and packages are not read yet
      --> models/schema.yml:7:13
    do: write the test in a file under `macros/`, or as a query under `tests/`

    error[MG1016]: there is no data test `withn`
      --> models/schema.yml:8:13
    do: write `within`

    error[MG1102]: the template fails: too many arguments: unknown keyword argument `column_name`
      --> models/schema.yml:10:13
    do: look at the expression at this place

    warning[MG1005]: the data test `unique` has no key `with`
      --> models/schema.yml:11:22
    do: remove it; known here are `arguments`, `config`, `name`, `description` and `column_name`

    warning[MG1015]: there is no data test `no_orphan` to describe
      --> models/schema.yml:13:12
    do: write `no_orphans`, or remove the description

    error[MG1104]: data test `no_orphans` refers to `order`, which is not in this project
      --> tests/no_orphans.sql:1:18
    do: write `ref('orders')`

    warning[MG1302]: the data test `nothing`, which looks at no model and no seed, has no effect here yet
      --> tests/nothing.sql
    do: test a model that reads the same

    error[MG1016]: `severity` is `error` or `warn`
      --> tests/set.sql
    do: write `- not_null`, or `- accepted_values: {values: [a, b]}`

    error[MG1110]: the SQL of `two` cannot be read: a model is one SELECT, and here are several statements
      --> tests/two.sql
    do: write one SELECT: its rows are the table's
    "
    );
}

#[test]
fn an_edited_threshold_or_query_is_another_assertion() {
    let fingerprint = |config: &str, sql: &str| {
        let folder = Folder::new(&format!(
            "{SHOP}== tests/t.sql\n{{{{ config({config}) }}}}\n{sql} {{{{ ref('orders') }}}}\n"
        ));
        let loaded = folder.load();
        crate::node(&loaded, "orders").tests[0].fingerprint
    };
    let first = fingerprint("", "select * from");
    assert_eq!(first, fingerprint("", "SELECT  *\n from"));
    assert_eq!(first, fingerprint("severity='warn'", "select * from"));
    assert_ne!(first, fingerprint("warn_if='> 3'", "select * from"));
    assert_ne!(first, fingerprint("", "select id from"));
}

#[test]
fn tests_have_the_names_that_dbt_gives_and_those_of_one_name_are_told_apart() {
    let loaded = Folder::new(
        "== dbt_project.yml
name: shop
== models/a.sql
{{ config(materialized='table') }}
select 1 as id, 'x' as a_column_with_a_long_name
== models/c.sql
select * from {{ ref('a') }}
== models/schema.yml
models:
  - name: a
    columns:
      - name: id
        data_tests:
          - not_null
          - not_null: {config: {where: 'id > 0'}}
          - unique: {name: one_name}
          - not_null: {name: one_name}
          - accepted_values: {arguments: {values: [1, 2]}}
          - accepted_values: {values: [1, 2], quote: false}
          - accepted_values: {arguments: {values: [true, 'a b', 1.5]}}
      - name: a_column_with_a_long_name
        data_tests:
          - accepted_values: {arguments: {values: ['placed and so on', 'shipped', 'completed', 'returned']}}
          - relationships: {arguments: {to: ref('c'), field: a_column_with_a_long_name}}
",
    )
    .load();
    assert_eq!(crate::printed(&loaded), "");
    let names: Vec<String> = crate::node(&loaded, "a")
        .tests
        .into_iter()
        .map(|test| test.name)
        .collect();
    assert_snapshot!(names.join("\n"), @"
    not_null_a_id
    not_null_a_id_6cf1b1b1
    one_name
    one_name_d7d9632f
    accepted_values_a_id__1__2
    accepted_values_a_id__False__1__2
    accepted_values_a_id__True__a_b__1_5
    accepted_values_a_a_column_with_a_long_name__placed_and_so_on__shipped__completed__returned
    relationships_a_a_column_with_a_long_name__a_column_with_a_long_name__ref_c_
    ");
}
