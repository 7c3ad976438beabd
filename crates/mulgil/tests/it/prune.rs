//! What a project no longer declares stays until somebody has it dropped.

use crate::harness::Place;

fn shop() -> Place {
    let place = Place::of(
        "\
=== mulgil.yml
name: shop
=== models/kept.sql
{{ config(materialized='table') }}
select 1 as id
=== models/old_table.sql
{{ config(materialized='incremental') }}
select id from {{ ref('kept') }}
=== models/old_view.sql
select id from {{ ref('old_table') }}
",
    );
    place.mulgil(&["run"]).ends_with(0);
    place.remove("models/old_table.sql");
    place.remove("models/old_view.sql");
    place
}

#[test]
fn only_a_run_that_is_told_to_drops_what_is_no_longer_declared() {
    let place = shop();
    let folder = place.path().join("warehouse/shop/old_table");
    for words in [&["run"][..], &["run", "--full"], &["plan"]] {
        place.mulgil(words).ends_with(0);
        assert!(folder.exists(), "{words:?}");
    }
    let plan = place.mulgil(&["plan"]).ends_with(0);
    assert!(
        plan.stdout.contains("no longer declared: table shop.old_table"),
        "{}",
        plan.stdout
    );
    place.mulgil(&["run", "kept", "--prune"]).ends_with(2);
    let run = place.mulgil(&["run", "--prune"]).ends_with(0);
    assert!(run.stderr.contains("dropped table shop.old_table"), "{}", run.stderr);
    assert!(run.stderr.contains("dropped view shop.old_view"), "{}", run.stderr);
    assert!(!folder.exists() && !place.path().join("warehouse/.dropped").exists());
    assert!(
        !place
            .mulgil(&["plan"])
            .ends_with(0)
            .stdout
            .contains("no longer declared")
    );
    // It may come back, and is made from nothing.
    place.write(
        "models/old_table.sql",
        "{{ config(materialized='incremental') }}\nselect id + 1 as id from {{ ref('kept') }}\n",
    );
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.rows("select id from old_table"), ["2"]);
    assert_eq!(place.plan(), Vec::<String>::new());
}

#[test]
fn a_run_that_fails_drops_nothing() {
    let place = shop();
    place.write(
        "models/broken.sql",
        "{{ config(materialized='table') }}\nselect nothing from {{ ref('kept') }}\n",
    );
    place.mulgil(&["run", "--prune"]).ends_with(1);
    assert!(place.path().join("warehouse/shop/old_table").exists());
}

#[test]
fn a_kill_at_every_write_of_a_drop_is_made_up_for() {
    for write in (1..).step_by(2) {
        let place = shop();
        let mut command = place.command(&["run", "--prune"]);
        let killed = command
            .env("MULGIL_CRASH_TEST", format!("write:{write}"))
            .output()
            .unwrap();
        place.mulgil(&["run", "--prune"]).ends_with(0);
        let plan = place.mulgil(&["plan"]).ends_with(0);
        assert_eq!(plan.stdout, "nothing is due\n", "killed at write {write}");
        assert!(!place.path().join("warehouse/shop/old_table").exists());
        assert_eq!(place.rows("select id from kept"), ["1"]);
        if killed.status.success() {
            assert!(write > 5, "nothing was killed");
            return;
        }
    }
}
