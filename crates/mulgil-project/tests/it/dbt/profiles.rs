//! `profiles.yml`: which target, and what is taken from it.

use insta::assert_snapshot;

use super::{loaded_with, shown};
use crate::{Folder, printed};

const PROJECT: &str = "== dbt_project.yml
name: shop
profile: shop
== models/a.sql
{{ config(materialized='table') }}
select 1 as x
== models/b.sql
{{ config(schema='marts') }}
select 1 as x
";

const PROFILES: &str = "shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: dev.duckdb, schema: \"dbt_{{ env_var('WHO', 'ann') }}\", threads: 4}
    prod: {type: postgres, host: db1, password: \"{{ env_var('NOT_SET') }}\", schema: analytics}
config: {send_anonymous_usage_stats: false}
";

#[test]
fn the_target_gives_the_schema_and_is_the_environment() {
    let folder = Folder::new(&format!("{PROJECT}== profiles.yml\n{PROFILES}"));
    let loaded = loaded_with(&folder, &[("WHO", "bob")], None);
    assert_snapshot!(shown(&loaded), @"
    a Table dbt_bob.a
    b View dbt_bob_marts.b
    ");
    let project = loaded.project.expect("it has no faults");
    assert_eq!(project.environment, "dev");
    assert_eq!(project.schema, "dbt_bob");
    assert_eq!(loaded.settings.parallel, Some(4));

    let loaded = loaded_with(&folder, &[], Some("prod"));
    assert_snapshot!(shown(&loaded), @"
    warning[MG1303]: the target `prod` is of type `postgres`, but its tables are made in the warehouse of the project
      --> profiles.yml:5:18
    do: nothing, if that is meant; a target of type `duckdb` or `mulgil` says so
    a Table analytics.a
    b View analytics_marts.b
    ");
    assert_eq!(loaded.project.expect("it has no faults").environment, "prod");
}

#[test]
fn the_file_is_looked_for_in_three_places() {
    let folder = Folder::new(PROJECT);
    assert_eq!(loaded_with(&folder, &[], None).project.unwrap().schema, "shop");
    folder.write("home/.dbt/profiles.yml", PROFILES);
    assert_eq!(loaded_with(&folder, &[], None).project.unwrap().schema, "dbt_ann");
    folder.write("profiles.yml", PROFILES.replace("'ann'", "'cho'"));
    assert_eq!(loaded_with(&folder, &[], None).project.unwrap().schema, "dbt_cho");
    folder.write("ci/profiles.yml", PROFILES.replace("'ann'", "'dan'"));
    let env = [("DBT_PROFILES_DIR", "ci")];
    assert_eq!(loaded_with(&folder, &env, None).project.unwrap().schema, "dbt_dan");
    let loaded = loaded_with(&folder, &[("DBT_PROFILES_DIR", "nowhere")], None);
    assert_snapshot!(printed(&loaded), @"
    error[MG1012]: `DBT_PROFILES_DIR` names a folder without a `profiles.yml`
      --> nowhere/profiles.yml
    do: put the file there, or unset `DBT_PROFILES_DIR`
    ");
}

#[test]
fn a_profile_or_target_that_is_not_there() {
    let folder = Folder::new(&format!("{PROJECT}== profiles.yml\n{PROFILES}"));
    assert_snapshot!(printed(&loaded_with(&folder, &[], Some("pord"))), @"
    error[MG1301]: the profile `shop` has no target `pord`
      --> profiles.yml:1:1
    do: write `prod`
    ");
    folder.write("profiles.yml", "store: {outputs: {a: {type: duckdb}}}\nshopping: {}\n");
    assert_snapshot!(printed(&loaded_with(&folder, &[], None)), @"
    error[MG1301]: there is no profile `shop` in profiles.yml
      --> dbt_project.yml:2:10
    do: add it to profiles.yml, or name another profile; there are `store` and `shopping`
    ");
    folder.write("profiles.yml", "shop: {outputs: {one: {type: duckdb}, two: {}}}\n");
    assert_snapshot!(printed(&loaded_with(&folder, &[], None)), @"
    error[MG1301]: the profile `shop` has no target `default`
      --> profiles.yml:1:1
    do: add it to profiles.yml, or name another target; there are `one` and `two`
    ");
    folder.write(
        "profiles.yml",
        "shop: {target: t, outputs: {t: {type: postgres, threads: many}}}\n",
    );
    assert_snapshot!(printed(&loaded_with(&folder, &[], None)), @"
    error[MG1007]: the target `t` does not say its `schema`
      --> profiles.yml:1:29
    do: add `schema: …`; the tables lie in it

    warning[MG1303]: the target `t` is of type `postgres`, but its tables are made in the warehouse of the project
      --> profiles.yml:1:39
    do: nothing, if that is meant; a target of type `duckdb` or `mulgil` says so

    error[MG1006]: `threads` is not a count of threads
      --> profiles.yml:1:58
    do: write a whole number from 1 to 1024
    ");
    folder.write(
        "profiles.yml",
        "shop: {target: t, outputs: {t: {type: duckdb, schema: \"{{ env_var('WHOO') }}-x\"}}}\n",
    );
    assert_snapshot!(printed(&loaded_with(&folder, &[("WHO", "ann")], None)), @"
    error[MG1108]: the environment variable `WHOO` has no value
      --> profiles.yml:1:55
    do: write `env_var('WHO')`

    error[MG1009]: `schema` cannot be `-x`: a name has letters of the Latin alphabet, digits and `_`, and begins with a letter
      --> profiles.yml:1:55
    do: use letters, digits and `_`, beginning with a letter
    ");
}

#[test]
fn targets_have_a_warehouse_each() {
    let folder = Folder::new(&format!(
        "{PROJECT}== profiles.yml
shop:
  target: dev
  outputs:
    dev: {{type: duckdb, path: dev.duckdb}}
    prod: {{type: duckdb, path: prod.duckdb}}
    other: {{type: duckdb, schema: other}}
"
    ));
    let warehouse = |target: Option<&str>| {
        let project = loaded_with(&folder, &[], target).project.expect("it has no faults");
        let place = project.warehouse.folder().expect("it is a folder");
        let inside = place.strip_prefix(folder.path()).expect("it lies inside");
        inside.display().to_string()
    };
    assert_eq!(warehouse(None), "warehouse/dev");
    assert_eq!(warehouse(Some("prod")), "warehouse/prod");
    assert_eq!(warehouse(Some("other")), "warehouse/other");
}

#[test]
fn an_environment_of_mulgil_yml_needs_no_target() {
    let folder = Folder::new(&format!(
        "{PROJECT}== profiles.yml
{PROFILES}== mulgil.yml
environments: {{ci: {{schema_prefix: ci_}}}}
"
    ));
    let loaded = loaded_with(&folder, &[], Some("ci"));
    assert_snapshot!(shown(&loaded), @"
    a Table ci_dbt_ann.a
    b View ci_dbt_ann_marts.b
    ");
    assert_eq!(loaded.project.expect("it has no faults").environment, "ci");
}
