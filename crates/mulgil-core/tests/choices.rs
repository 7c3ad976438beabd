//! What dbt's commands take of a project, and what of it may start.

use std::collections::{BTreeMap, BTreeSet};

use insta::assert_snapshot;
use mulgil_core::{
    decide::{Action, Limits, Scope, Tasks, decide},
    interval::Instant,
    project::TestKind,
    select::choose::{Indirect, choose},
    timeline::Timeline,
};

const SHOP: &str = "
begin 2026-01-01
model countries seed test unique_countries_x
model orders reads countries test not_null_orders_x
model events reads countries test not_null_events_x
model report reads orders, events in marts test relationships_report_x
model board reads report in marts
now 2026-02-01T00:00Z
";

/// The project, in which the test of `report` looks into `events`.
fn shop(facts: &str) -> Timeline {
    let mut shop = Timeline::parse(&format!("{SHOP}{facts}"));
    for node in &mut shop.project.nodes {
        for test in &mut node.tests {
            if node.name.as_str() == "countries" {
                test.kind = TestKind::Unique { column: "x".to_owned() };
            }
            if node.name.as_str() == "report" {
                test.kind = TestKind::Relationships {
                    column: "x".to_owned(),
                    to: "events".into(),
                    field: "y".to_owned(),
                };
            }
        }
    }
    shop
}

fn chosen(select: &[&str], exclude: &[&str], indirect: Indirect) -> String {
    let words = |text: &[&str]| text.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    match choose(&shop("").project, &words(select), &words(exclude), indirect) {
        Ok(chosen) => {
            let nodes: Vec<String> = chosen.ranges.keys().map(ToString::to_string).collect();
            let tests: Vec<&str> = chosen.tests.iter().map(|(_, test)| test.as_str()).collect();
            let mut out = format!("{} | {}", nodes.join(" "), tests.join(" "));
            for warning in chosen.warnings {
                out.push_str(&format!("\n{warning}"));
            }
            out
        }
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn data_tests_belong_to_what_they_look_at() {
    let of = |indirect| chosen(&["events"], &[], indirect) + "\n" + &chosen(&["report", "events"], &[], indirect);
    assert_snapshot!(of(Indirect::Eager), @"
    events | not_null_events_x relationships_report_x
    events report | not_null_events_x relationships_report_x
    ");
    assert_snapshot!(of(Indirect::Cautious), @"
    events | not_null_events_x
    events report | not_null_events_x
    ");
    assert_snapshot!(chosen(&["report"], &[], Indirect::Cautious), @"report |");
    assert_snapshot!(chosen(&["report"], &[], Indirect::Buildable), @"report | relationships_report_x");
    assert_snapshot!(of(Indirect::Empty), @"
    events | 
    events report |
    ");
}

#[test]
fn data_tests_are_named_and_left_out() {
    assert_snapshot!(chosen(&["not_null_orders_x"], &[], Indirect::Eager), @" | not_null_orders_x");
    assert_snapshot!(chosen(&["test_type:generic,marts"], &[], Indirect::Eager), @" | relationships_report_x");
    assert_snapshot!(chosen(&["test_name:unique", "board"], &[], Indirect::Eager), @"board | unique_countries_x");
    assert_snapshot!(chosen(&[], &["orders", "test_name:unique"], Indirect::Eager), @"board countries events report | not_null_events_x relationships_report_x");
    assert_snapshot!(chosen(&["test_name:positive", "nowhere", "board"], &["x"], Indirect::Eager), @"
    board | 
    warning[MG0002]: `test_name:positive` matches no data test
    do: `mulgil dbt ls --resource-type test` lists them
    warning[MG0002]: there is no node `nowhere` in this project
    do: `mulgil status` lists all nodes
    warning[MG0002]: there is no node `x` in this project
    do: `mulgil status` lists all nodes
    ");
    assert_snapshot!(chosen(&["board@@2"], &[], Indirect::Eager), @"
    error[MG0003]: `board` is not filled by intervals, so `@2` cannot be named
    do: write `board` alone
    ");
}

/// What may start, in a run that does only some things.
fn started(shop: &Timeline, tasks: Tasks) -> String {
    let limits = Limits {
        tasks,
        ..Limits::new(4, Scope::All, Instant(i64::MAX))
    };
    let actions = decide(&shop.forecast(), &limits).actions;
    let shown = actions.into_iter().map(|action| match action {
        Action::Fill { instance, .. } => format!("fill {instance}"),
        Action::Test { node, tests } => format!("test {node}: {}", tests.join(" ")),
    });
    shown.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_run_of_fills_alone_waits_for_no_data_test() {
    let facts = "filled countries all\nfilled orders all\nagain countries all";
    let mut facts = shop(facts);
    assert_snapshot!(started(&facts, Tasks::FillsAndTests), @"fill countries");
    assert_snapshot!(started(&facts, Tasks::Fills), @"fill countries");
    // The seed is filled, and its data test is still to run.
    for state in facts.state.nodes.values_mut() {
        state.dirty.clear();
    }
    assert_snapshot!(started(&facts, Tasks::FillsAndTests), @"
    test countries: unique_countries_x
    test orders: not_null_orders_x
    ");
    assert_snapshot!(started(&facts, Tasks::Fills), @"fill events");
}

#[test]
fn a_run_of_data_tests_alone_runs_those_that_are_named_due_or_not() {
    let facts = shop("filled countries all\nagain countries all\nagain orders all");
    let asked = BTreeMap::from([
        ("countries".into(), BTreeSet::from(["unique_countries_x".to_owned()])),
        ("report".into(), BTreeSet::from(["relationships_report_x".to_owned()])),
    ]);
    assert_snapshot!(started(&facts, Tasks::Tests(asked)), @"
    test countries: unique_countries_x
    test report: relationships_report_x
    ");
}
