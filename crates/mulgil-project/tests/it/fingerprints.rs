//! What changes a fingerprint and what does not.

use mulgil_core::project::CodeFp;

use crate::{loaded, node};

/// The fingerprint of `daily` in a project where one text is replaced by another.
fn fingerprint(from: &str, to: &str) -> CodeFp {
    const TEXT: &str = "== mulgil.yml
name: shop
vars: {limit: 10}
sources:
  raw:
    events: {files: 'data/events_{YYYYMMDD}.csv', event_time: event_at, columns: {event_at: timestamp}}
== models/events.sql
{{ config(materialized='view') }}
select event_at, user_id from {{ source('raw', 'events') }} where amount > 0
== macros/m.sql
{% macro cents(x) %}{{ x }} * 100{% endmacro %}
== models/daily.sql
{{ config(interval='day', event_time='day', begin='2022-01-01') }}
-- users by day
select date_trunc('day', event_at) as day, count(*) as users, sum({{ cents('amount') }}) as amount
from {{ ref('events') }}
where amount < {{ var('limit') }} {% if is_incremental() %} and true {% endif %}
group by 1
";
    assert!(TEXT.contains(from), "{from}");
    node(&loaded(&TEXT.replacen(from, to, 1)), "daily").fingerprint
}

fn same(from: &str, to: &str) {
    assert_eq!(fingerprint("", ""), fingerprint(from, to), "{from} → {to}");
}

fn differs(from: &str, to: &str) {
    assert_ne!(fingerprint("", "").code, fingerprint(from, to).code, "{from} → {to}");
}

#[test]
fn comments_layout_and_case_keep_it() {
    same("-- users by day", "/* each user\n of a day */");
    same("-- users by day\n", "");
    same("select date_trunc", "SELECT\n    date_trunc");
    same("count(*) as users", "COUNT( * )   users");
    same("group by 1", "group by 1;");
}

#[test]
fn a_view_and_an_ephemeral_model_are_the_same_to_their_readers() {
    same("materialized='view'", "materialized='ephemeral'");
    same("{{ config(materialized='view') }}", "");
}

#[test]
fn what_says_when_and_not_what_keeps_it() {
    same("begin='2022-01-01'", "begin='2021-01-01', end='2023-01-01'");
    same(
        "begin='2022-01-01'",
        "begin='2022-01-01', lookback=2, schedule='0 5 * * *', batch=7, tags=['x']",
    );
    same(
        "begin='2022-01-01'",
        "begin='2022-01-01', description='users', owner='data', settle='3d', missed='all'",
    );
    same(
        "name: shop\n",
        "name: shop\nenvironments: {dev: {schema_prefix: dev_}}\n",
    );
    same(
        "begin='2022-01-01'",
        "begin='2022-01-01', schema='marts', alias='users_daily'",
    );
}

#[test]
fn what_the_rows_depend_on_changes_it() {
    differs("users,", "people,");
    differs("'day', event_at", "'hour', event_at");
    differs("* 100", "* 1000");
    differs("limit: 10", "limit: 11");
    differs("amount > 0", "amount > 1");
    differs("and true", "and false");
    differs("interval='day'", "interval='month'");
    differs("event_time='day', ", "event_time='day', timezone='Asia/Seoul', ");
    differs("begin='2022-01-01'", "begin='2022-01-01', keys={'country': ['kr']}");
    differs(
        "begin='2022-01-01'",
        "begin='2022-01-01', reads={'events': 'last 7 days'}",
    );
}

#[test]
fn the_shape_of_sources_is_told_apart() {
    let (before, after) = (
        fingerprint("", ""),
        fingerprint("event_at: timestamp", "event_at: timestamptz"),
    );
    assert_eq!(before.code, after.code);
    assert_ne!(before.schema, after.schema);
    let nulls = fingerprint("event_time: event_at,", "event_time: event_at, nulls: [NA],");
    assert_ne!(before.schema, nulls.schema);
}

#[test]
fn a_new_key_value_does_not_change_those_that_are_there() {
    let keys = |values: &str| {
        fingerprint(
            "begin='2022-01-01'",
            &format!("begin='2022-01-01', keys={{'country': {values}}}"),
        )
    };
    assert_eq!(keys("['kr']"), keys("['kr', 'jp']"));
}

#[test]
fn a_seed_is_its_content() {
    let seed = |content: &str| {
        let loaded = loaded(&format!("== seeds/countries.csv\n{content}"));
        node(&loaded, "countries").fingerprint
    };
    assert_eq!(seed("code\nkr\n"), seed("code\nkr\n"));
    assert_ne!(seed("code\nkr\n"), seed("code\njp\n"));
}

#[test]
fn the_interval_in_the_sql_is_a_fixed_word() {
    let naming = |edge: &str| {
        fingerprint(
            "where amount < ",
            &format!("where event_at >= '{{{{ interval.{edge} }}}}' and amount < "),
        )
    };
    assert_eq!(naming("start"), naming("start"));
    assert_ne!(naming("start"), naming("end"));
}

/// The code of a model with two keys, and what it reads.
fn keyed(keys: &str, sql: &str) -> (CodeFp, Vec<String>) {
    let project = loaded(&format!(
        "== models/up.sql\n{{{{ config(materialized='table') }}}}\nselect 1 as a\n\
         == macros/m.sql\n{{% macro of_korea(country) %}}{{% if country =='kr' %}}1{{% else %}}2{{% endif %}}{{% endmacro %}}\n\
         {{% macro said(country) %}}{{{{ country }}}}{{% endmacro %}}\n\
         == models/m.sql\n{{{{ config(interval='day', event_time='day', begin='2022-01-01', keys={{{keys}}}) }}}}\n{sql}\n"
    ));
    let node = node(&project, "m");
    let reads = node.inputs.iter().map(|input| input.from.name().to_string()).collect();
    (node.fingerprint, reads)
}

const TWO: &str = "'country': ['kr', 'jp'], 'city': ['a', 'b']";

#[test]
fn a_branch_on_a_key_changes_it() {
    let code = |sql: &str| keyed(TWO, sql).0.code;
    let branch = "{% if key.country =='kr' %} select 1 as day {% else %} select 2 as day {% endif %}";
    for (from, to) in [
        ("1 as", "100 as"),
        ("2 as", "200 as"),
        ("=='kr'", "=='jp'"),
        ("key.country", "key.city"),
    ] {
        assert_ne!(code(branch), code(&branch.replace(from, to)), "{from} → {to}");
    }
    assert_ne!(
        code("select '{{ key.country }}' as day"),
        code("select '{{ key.city }}' as day")
    );
    assert_ne!(
        code("select {{ of_korea(key.country) }} as day"),
        code("select {{ of_korea(key.city) }} as day")
    );
    let incremental = "select 1 as day {% if key.country =='kr' and is_incremental() %} where 1 = 2 {% endif %}";
    assert_ne!(code(incremental), code(&incremental.replace("'kr'", "'jp'")));
    // What was printed into a text is compared as the value that it is.
    let set = "{% set c = said(key.country) %}select {% if c =='kr' %} 1 {% else %} 2 {% endif %} as day";
    assert_ne!(code(set), code(&set.replace("'kr'", "'jp'")));
}

#[test]
fn a_branch_on_a_key_names_its_inputs() {
    let (_, reads) = keyed(
        TWO,
        "select 1 as day {% if key.country =='jp' and key.city =='b' %} from {{ ref('up') }} {% endif %}",
    );
    assert_eq!(reads, ["up"]);
}

#[test]
fn keys_that_are_only_printed_are_one_text() {
    let code = |values: &str| {
        let keys = format!("'country': {values}");
        keyed(
            &keys,
            "select '{{ said(key.country) }}' as a, 'kr' as b, '{{ key.country }}' as day",
        )
        .0
        .code
    };
    assert_eq!(code("['kr']"), code("['kr', 'jp']"));
    assert_eq!(code("[1, 11]"), code("['kr', 'jp', 'kr kr']"));
}

#[test]
fn a_branch_on_the_interval_changes_it() {
    let code = |sql: &str| keyed("'country': ['kr']", sql).0.code;
    let branch = "{% if interval.start | date('%u') =='1' %} select 1 as day {% else %} select 2 as day {% endif %}";
    assert_ne!(code(branch), code(&branch.replace("1 as", "100 as")));
    assert_ne!(code(branch), code(&branch.replace("=='1'", "=='2'")));
    assert_eq!(code(branch), code(&branch.replace("as day", "as  day -- the day\n")));
    let inline = "select {{ 1 if ds | string =='2022-01-01' else 2 }} as day";
    assert_ne!(code(inline), code(&inline.replace("1 if", "3 if")));
    let printed = "select '{{ ds }}' as day, '{{ interval.end | date(\"%d\") }}' as b {% if true %}{% endif %}";
    assert_eq!(code(printed), code(&printed.replace("{% if true %}{% endif %}", "")));
}
