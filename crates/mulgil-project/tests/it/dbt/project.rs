//! `dbt_project.yml`: names, folders, variables, configuration.

use insta::assert_snapshot;

use super::told;
use crate::{Folder, node, printed};

const SHOP: &str = "== dbt_project.yml
name: shop
version: '1.0.0'
config-version: 2
profile: shop
model-paths: [models]
seed-paths: [seeds]
clean-targets: [target, dbt_packages]
require-dbt-version: '>=1.0.0'
models:
  +tags: all
  shop:
    +materialized: table
    staging:
      +materialized: view
      +schema: staging
      tags: [raw]
    marts:
      orders: {+alias: sales, +tags: [gold], meta: {owner: ann}}
      off: {+enabled: false}
seeds:
  shop: {+schema: fixed, +tags: given}
== models/staging/stg_orders.sql
select * from {{ ref('raw_orders') }}
== models/marts/orders.sql
{{ config(tags='own') }}
select * from {{ ref('stg_orders') }}
== models/marts/off.sql
select 1 as x
== seeds/raw_orders.csv
id,status
1,placed
";

#[test]
fn folders_configure_and_the_schema_is_put_before() {
    assert_snapshot!(told(SHOP), @"
    raw_orders Seed shop_fixed.raw_orders given
    stg_orders View shop_staging.stg_orders all,raw
    orders Table shop.sales all,gold,own
    ");
}

#[test]
fn mulgil_yml_beside_it_goes_over_it() {
    assert_snapshot!(
        told(&format!(
            "{SHOP}== mulgil.yml
timezone: Asia/Seoul
environments: {{dev: {{schema_prefix: dev_}}}}
models: {{staging: {{+materialized: table}}}}
"
        )),
        @"
    raw_orders Seed dev_shop_fixed.raw_orders given
    stg_orders Table dev_shop_staging.stg_orders all,raw
    orders Table dev_shop.sales all,gold,own
    "
    );
    assert_snapshot!(told(&format!("{SHOP}== mulgil.yml\nname: store\n")), @"
    error[MG1210]: the project is named `store` here and `shop` in `dbt_project.yml`
      --> mulgil.yml:1:7
    do: remove the name here
    ");
}

#[test]
fn what_is_not_done_is_told_and_stops_nothing() {
    assert_snapshot!(
        told(
            "== dbt_project.yml
name: shop
nmae: x
on-run-start: \"create schema x\"
on-run-end: []
query-comment: ''
dispatch: []
quoting: {database: true}
snapshots: {+strategy: timestamp}
models:
  +post-hook: \"grant select\"
  +materialised: table
  dbt_utils: {+enabled: true}
  shop:
    +grants: {select: [ann]}
    +docs: {node_color: red}
== macros/naming.sql
{% macro generate_schema_name(custom_schema_name, node) %}x{% endmacro %}
== macros/broken.sql
{% macro f() %}{% do x.append(1) if y %}{% endmacro %}
== models/a.sql
{{ config(materialized='table', unique_key='id', own_word=1, post_hook='vacuum') }}
select 1 as id
== models/b.py
def model(dbt, session): pass
== snapshots/s.sql
{% snapshot s %}{{ config(unique_key='id', updated_at='at', persist_docs={'relation': true}) }}select 1 as id{% endsnapshot %}
"
        ),
        @"
    warning[MG1302]: the macro `generate_schema_name` has no effect here yet
      --> dbt_project.yml
    do: leave it for dbt, or remove it

    warning[MG1005]: `dbt_project.yml` has no key `nmae`
      --> dbt_project.yml:2:1
    do: write `name`, or remove it

    warning[MG1302]: `quoting` of `dbt_project.yml` has no effect here yet
      --> dbt_project.yml:7:1
    do: leave it for dbt, or remove it

    warning[MG1005]: `models:` has no key `materialised`
      --> dbt_project.yml:11:3
    do: write `materialized`, or remove it

    warning[MG1005]: `dbt_utils` is neither a setting nor a folder here
      --> dbt_project.yml:12:3
    do: remove it, or make the folder

    warning[MG1302]: `grants` of the folder `shop` has no effect here yet
      --> dbt_project.yml:14:5
    do: leave it for dbt, or remove it

    warning[MG1101]: the template does not parse: expected call expression in call block, got expression
      --> macros/broken.sql:1:37
    do: look for a `{{`, `{%` or `{#` that is not closed, or a block without its end

    warning[MG1210]: `unique_key` has a meaning only for an incremental model: others are made anew as a whole
      --> models/a.sql:1:33
    do: write `materialized='incremental'`, or remove `unique_key`

    warning[MG1005]: `config()` has no key `own_word`
      --> models/a.sql:1:50
    do: remove it; known here are `materialized`, `incremental_strategy`, `batch_size`, `interval`, `event_time`, `begin`, `end`, `lookback` and 28 more

    warning[MG1302]: a model in Python has no effect here yet
      --> models/b.py
    do: leave it for dbt, or remove it

    warning[MG1302]: `persist_docs` of `config()` has no effect here yet
      --> snapshots/s.sql:1:61
    do: leave it for dbt, or remove it
    a Table shop.a
    s Snapshot shop.s
    "
    );
}

#[test]
fn variables_of_the_project_go_over_those_of_all() {
    let folder = Folder::new(
        "== dbt_project.yml
name: shop
vars:
  rate: 1
  shop: {rate: 2, town: Seoul}
  other: {rate: 3}
models:
  +schema: \"{{ env_var('TEAM', 'core') }}\"
  +enabled: \"{{ target.name != 'prod' }}\"
== models/a.sql
select {{ var('rate') }} as rate, '{{ var('town') }}' as town, '{{ target.type }}' as kind
",
    );
    let loaded = folder.load();
    assert_snapshot!(printed(&loaded), @"");
    let a = node(&loaded, "a");
    assert_eq!(a.relation.to_string(), "shop_core.a");
    let compiler = loaded.compiler.expect("it has no faults");
    let instance = mulgil_core::name::Instance::of(a.name);
    let sql = compiler
        .rendered(&instance, mulgil_core::interval::Interval::WHOLE)
        .expect("it can be rendered");
    assert_eq!(sql, "select 2 as rate, 'Seoul' as town, 'mulgil' as kind");
}

#[test]
fn faults_of_the_file_come_at_once() {
    assert_snapshot!(
        told(
            "== dbt_project.yml
model-paths: [../elsewhere]
models:
  shop: {+enabled: perhaps, +schema: \"{{ env_var('NOBODY') }}\", +alias: \"{{ nothing.at.all }}\"}
== models/a.sql
select 1 as x
"
        ),
        @"
    error[MG1007]: the project has no name
      --> dbt_project.yml
    do: add a line such as `name: shop`

    error[MG1006]: `model-paths` cannot be `../elsewhere`
      --> dbt_project.yml:1:14
    do: name a folder inside the project folder, such as `models`

    warning[MG1005]: `shop` is neither a setting nor a folder here
      --> dbt_project.yml:3:3
    do: remove it, or make the folder

    error[MG1108]: the environment variable `NOBODY` has no value
      --> dbt_project.yml:3:38
    do: set it, or give a default: `env_var('NOBODY', '…')`

    error[MG1102]: the template fails: `nothing` is undefined
      --> dbt_project.yml:3:73
    do: `var`, `env_var` and `target` have values here
    "
    );
}

#[test]
fn a_whole_project_in_the_older_spelling() {
    assert_snapshot!(
        told(
            "== dbt_project.yml
name: 'cafe'
config-version: 2
version: '0.1'
profile: 'cafe'
model-paths: [\"models\"]
analysis-paths: [\"analysis\"]
test-paths: [\"tests\"]
seed-paths: [\"seeds\"]
macro-paths: [\"macros\"]
target-path: \"target\"
clean-targets: [target, dbt_modules, logs]
require-dbt-version: [\">=1.0.0\", \"<2.0.0\"]
models:
  cafe:
      materialized: table
      staging:
        materialized: view
== profiles.yml
cafe:
  target: dev
  outputs:
    dev: {type: duckdb, path: 'cafe.duckdb', threads: 24}
== seeds/raw_payments.csv
id,order_id,method,amount
1,1,card,100
== seeds/.gitkeep
== models/overview.md
{% docs order_state %}How far an order is.{% enddocs %}
== models/staging/stg_payments.sql
with source as (
    {#- The seed stands for what a loader would bring. #}
    select * from {{ ref('raw_payments') }}
)
select id as payment_id, order_id, method, amount / 100 as amount from source
== models/orders.sql
{% set methods = ['card', 'coupon'] %}
select
    order_id,
    {% for method in methods -%}
    sum(case when method = '{{ method }}' then amount else 0 end) as {{ method }}_amount,
    {% endfor -%}
    sum(amount) as total_amount
from {{ ref('stg_payments') }}
group by order_id
== models/schema.yml
version: 2
models:
  - name: orders
    description: One row for each order.
    columns:
      - name: order_id
        tests: [unique, not_null]
      - name: state
        description: '{{ doc(\"order_state\") }}'
        tests:
          - accepted_values:
              values: ['open', 'closed']
== models/staging/schema.yml
version: 2
models:
  - name: stg_payments
    columns:
      - name: order_id
        tests:
          - relationships: {to: ref('orders'), field: order_id}
== tests/totals_are_positive.sql
select order_id from {{ ref('orders') }} group by 1 having not(sum(total_amount) >= 0)
"
        ),
        @"
    raw_payments Seed main.raw_payments
    stg_payments View main.stg_payments
    orders Table main.orders
    "
    );
}
