//! Seeds: what their files are cut at, and the types of their columns.

use insta::assert_snapshot;
use mulgil_core::{
    interval::Interval,
    name::{Instance, NodeName},
    task::Reads,
};

use crate::{faults, loaded, node};

const SHOP: &str = "== dbt_project.yml
name: shop
seeds:
  +column_types: {zip: varchar(5), other: text, n: int}
  shop:
    +delimiter: ';'
    +quote_columns: false
== seeds/places.csv
\"zip\";n;rate
00120;1;0.5
== seeds/properties.yml
seeds:
  - name: places
    config:
      column_types: {n: int64, rate: 'numeric(10, 2)'}
== models/a.sql
select zip from {{ ref('places') }}
";

fn reading(text: &str) -> String {
    let project = loaded(text);
    let compiler = project.compiler.as_ref().expect("it has no faults");
    let instance = Instance::of(NodeName::new("places"));
    let queries = compiler
        .fill_queries(&instance, Interval::WHOLE, false, &std::collections::BTreeMap::new())
        .expect("it has a query");
    match &queries[0].bindings[0].reads {
        Reads::Seed { source, .. } => format!("{:?}\n{:?}", source.format, source.columns),
        other => panic!("a seed is read as {other:?}"),
    }
}

#[test]
fn types_add_up_by_column_and_those_of_folders_are_for_columns_that_are_there() {
    assert_snapshot!(reading(SHOP), @r#"
    DbtSeed { delimiter: ';' }
    {"n": "bigint", "rate": "decimal(10,2)", "zip": "text"}
    "#);
    let own = SHOP.replace("== dbt_project.yml", "== mulgil.yml");
    assert_snapshot!(reading(&own), @r#"
    Csv { delimiter: ';', null_words: [] }
    {"n": "bigint", "rate": "decimal(10,2)", "zip": "text"}
    "#);
}

#[test]
fn how_a_seed_is_read_is_what_its_rows_are_made_with() {
    let before = node(&loaded(SHOP), "places").fingerprint;
    for (from, to) in [("int64", "text"), ("'numeric(10, 2)'", "double")] {
        assert_ne!(
            node(&loaded(&SHOP.replace(from, to)), "places").fingerprint,
            before,
            "{from}"
        );
    }
    for (from, to) in [
        ("other: text", "other: date"),
        ("+quote_columns: false", "+quote_columns: true"),
    ] {
        assert_eq!(
            node(&loaded(&SHOP.replace(from, to)), "places").fingerprint,
            before,
            "{from}"
        );
    }
}

#[test]
fn what_cannot_be_read_so_is_told() {
    let text = SHOP
        .replace("int64", "bytes")
        .replace("'numeric(10, 2)'", "real, rat: text");
    let cut = SHOP.replace("';'", "'||'");
    assert_snapshot!(faults(&cut) + "\n\n" + &faults(&text), @r#"
    error[MG1006]: `delimiter` cannot be `"||"`
      --> dbt_project.yml:5:17
    do: write one ASCII character: `';'`

    error[MG1006]: `bytes` of the column `n` is no type
      --> seeds/properties.yml:4:21
    do: write text, smallint, integer, bigint, real, double, boolean, date, timestamp, timestamptz or decimal(p,s)

    warning[MG1006]: `column_types` names the column `rat`, which the file does not have
      --> seeds/properties.yml:4:21
    do: write `rate`
    "#);
}
