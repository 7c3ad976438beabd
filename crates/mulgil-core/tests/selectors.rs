//! Selectors: a project and what is typed in, the instances that are selected out.

use std::fmt::Write as _;

use insta::assert_snapshot;
use mulgil_core::{
    interval_text,
    select::{Selection, select},
    timeline::Timeline,
};

const SHOP: &str = "
begin 2026-01-01
source raw.orders by day
source raw.rates
source web.events by day
model countries seed
model orders by day reads raw.orders in staging/shop tags daily owner data@shop.example
model events by day reads web.events in staging tags daily|web owner ann
model rates reads raw.rates in staging
model sales by day keys country=kr|jp reads orders, rates tags daily|money
model margin by day keys country=kr|jp reads sales tags money test not_null
model margins view reads margin in marts
model sales_weekly by week reads sales in marts tags weekly
model board reads margins, events, countries in marts owner ann
";

fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|word| (*word).to_owned()).collect()
}

fn selected(selectors: &[&str], exclude: &[&str], interval: Option<&str>) -> String {
    let shop = Timeline::parse(SHOP);
    match select(&shop.project, &words(selectors), &words(exclude), interval) {
        Ok(selection) => told(&shop, &selection),
        Err(fault) => fault.to_string(),
    }
}

/// Each instance with its ranges, where they are not all of time; `*` where it was named; then warnings.
fn told(shop: &Timeline, selection: &Selection) -> String {
    let mut out = Vec::new();
    // In the order of the project, upstream first.
    for node in &shop.project.nodes {
        for instance in node.instances() {
            let Some(ranges) = selection.ranges.get(&instance) else {
                continue;
            };
            let mut text = instance.to_string();
            for range in ranges
                .iter()
                .filter(|_| !ranges.covers(mulgil_core::interval::Interval::WHOLE))
            {
                let _ = write!(text, "@{}", interval_text::format(range, &node.grid));
            }
            if selection.named.contains(&instance) {
                text.push('*');
            }
            out.push(text);
        }
    }
    let mut out = vec![out.join(" ")];
    out.extend(selection.warnings.iter().map(ToString::to_string));
    out.join("\n")
}

fn of(selector: &str) -> String {
    selected(&[selector], &[], None)
}

#[test]
fn names_and_folders() {
    assert_snapshot!(of("orders"), @"orders*");
    assert_snapshot!(of("sales"), @"sales[country=kr]* sales[country=jp]*");
    assert_snapshot!(of("shop.staging.shop.orders"), @"orders*");
    assert_snapshot!(of("staging.shop.orders"), @"orders*");
    assert_snapshot!(of("staging"), @"orders events rates");
    assert_snapshot!(of("shop.staging"), @"orders events rates");
    assert_snapshot!(of("staging.shop"), @"orders");
    assert_snapshot!(of("staging.*"), @"orders events rates");
    assert_snapshot!(of("fqn:marts"), @"margins sales_weekly board");
    assert_snapshot!(of("sales*"), @"sales[country=kr] sales[country=jp] sales_weekly");
    assert_snapshot!(of("m[!a]rgin"), @"
    error[MG0002]: `m[!a]rgin` matches nothing
    do: `mulgil status` lists all nodes; quote a pattern so that the shell leaves it as it is
    ");
    assert_snapshot!(of("shop"), @"countries orders events rates sales[country=kr] sales[country=jp] margin[country=kr] margin[country=jp] margins sales_weekly board");
    assert_snapshot!(selected(&[], &[], None), @"countries orders events rates sales[country=kr] sales[country=jp] margin[country=kr] margin[country=jp] margins sales_weekly board");
}

#[test]
fn a_nodes_name_goes_before_a_folder_or_a_project_of_that_name() {
    let mut shop = Timeline::parse(&SHOP.replace("model board reads", "model staging reads"));
    shop.project.name = "orders".to_owned();
    let of = |selector: &str| {
        told(
            &shop,
            &select(&shop.project, &words(&[selector]), &[], None).expect("a selection"),
        )
    };
    assert_snapshot!(of("orders"), @"orders*");
    assert_snapshot!(of("staging"), @"staging*");
    assert_snapshot!(of("orders.staging"), @"orders events rates");
}

#[test]
fn methods() {
    assert_snapshot!(of("tag:daily"), @"orders events sales[country=kr] sales[country=jp]");
    assert_snapshot!(of("tag:[dw]*ly"), @"orders events sales[country=kr] sales[country=jp] sales_weekly");
    assert_snapshot!(of("config.tags:web"), @"events");
    assert_snapshot!(of("path:models/staging"), @"orders events rates");
    assert_snapshot!(of("./models/staging/shop/"), @"orders");
    assert_snapshot!(of("models/*/sales_weekly.sql"), @"sales_weekly");
    assert_snapshot!(of("seeds/*"), @"countries");
    assert_snapshot!(of("file:orders.sql"), @"orders");
    assert_snapshot!(of("file:orders"), @"orders");
    assert_snapshot!(of("countries.csv"), @"countries");
    assert_snapshot!(of("config.materialized:incremental"), @"orders events sales[country=kr] sales[country=jp] margin[country=kr] margin[country=jp] sales_weekly");
    assert_snapshot!(of("config.materialized:view"), @"margins");
    assert_snapshot!(of("config.materialized:[ts]*"), @"countries rates board");
    assert_snapshot!(of("resource_type:seed"), @"countries");
    assert_snapshot!(of("resource_type:model,marts"), @"margins sales_weekly board");
    assert_snapshot!(of("resource_type:test"), @"
    error[MG0004]: `resource_type:test` selects no tables: data tests run with what they test
    do: name what they test; a test of `severity: warn` stops nothing
    ");
    assert_snapshot!(of("owner:ann"), @"events board");
    assert_snapshot!(of("owner:data@shop.example"), @"orders");
    assert_snapshot!(of("owner:*@shop.example@2026-03"), @"orders@2026-03");
    assert_snapshot!(of("package:this,tag:web"), @"events");
    assert_snapshot!(of("package:shop,tag:web"), @"events");
}

#[test]
fn along_the_graph() {
    assert_snapshot!(of("+sales"), @"orders rates sales[country=kr]* sales[country=jp]*");
    assert_snapshot!(of("rates+"), @"rates* sales[country=kr] sales[country=jp] margin[country=kr] margin[country=jp] margins sales_weekly board");
    assert_snapshot!(of("1+board"), @"countries events margins board*");
    assert_snapshot!(of("2+margins+1"), @"sales[country=kr] sales[country=jp] margin[country=kr] margin[country=jp] margins* board");
    assert_snapshot!(of("0+board"), @"board*");
    assert_snapshot!(of("99999999999+events+"), @"events* board");
    assert_snapshot!(of("@sales_weekly"), @"orders rates sales[country=kr] sales[country=jp] sales_weekly*");
    assert_snapshot!(of("@margin"), @"countries orders events rates sales[country=kr] sales[country=jp] margin[country=kr]* margin[country=jp]* margins board");
    assert_snapshot!(of("margins+"), @"margins* board");
    assert_snapshot!(of("source:raw.orders+1"), @"orders");
    assert_snapshot!(of("source:raw+1"), @"orders rates");
    assert_snapshot!(of("source:shop.web.ev*+"), @"events board");
    assert_snapshot!(of("@source:web"), @"countries orders events rates sales[country=kr] sales[country=jp] margin[country=kr] margin[country=jp] margins board");
    assert_snapshot!(of("+tag:web+"), @"events board");
}

#[test]
fn keys_go_along_with_readers_that_have_them() {
    assert_snapshot!(of("sales[country=kr]"), @"sales[country=kr]*");
    assert_snapshot!(of("sales[country=kr]+"), @"sales[country=kr]* margin[country=kr] margins sales_weekly board");
    assert_snapshot!(of("+margin[country=jp]"), @"orders rates sales[country=jp] margin[country=jp]*");
    assert_snapshot!(of("tag:money[country=kr]"), @"sales[country=kr] margin[country=kr]");
    assert_snapshot!(of("s[a]les[country=kr]"), @"sales[country=kr]");
    assert_snapshot!(of("sales[country=kr],margin+"), @"
    error[MG0002]: `sales[country=kr],margin+` matches nothing: nothing is in all of its parts
    do: a comma takes what both sides select; a space takes what either does
    ");
    assert_snapshot!(selected(&["tag:money"], &["sales[country=kr]"], None), @"sales[country=jp] margin[country=kr] margin[country=jp]");
}

#[test]
fn intervals() {
    assert_snapshot!(of("orders@2026-03"), @"orders@2026-03*");
    assert_snapshot!(of("orders+1@2026-03"), @"orders@2026-03* sales[country=kr]@2026-03 sales[country=jp]@2026-03");
    assert_snapshot!(of("@orders@2026-03-02..2026-03-09"), @"countries orders@2026-03-02..2026-03-09* events@2026-03-02..2026-03-09 rates sales[country=kr]@2026-03-02..2026-03-09 sales[country=jp]@2026-03-02..2026-03-09 margin[country=kr]@2026-03-02..2026-03-09 margin[country=jp]@2026-03-02..2026-03-09 margins sales_weekly@2026-W10 board");
    assert_snapshot!(of("orders@2026-03,tag:daily"), @"orders@2026-03*");
    assert_snapshot!(of("orders@2026-01..2026-04,orders@2026-03..2026-06"), @"orders@2026-03*");
    assert_snapshot!(of("orders@2026-01 orders@2026-03"), @"orders@2026-01@2026-03*");
    assert_snapshot!(selected(&["orders", "events@2026-01"], &[], Some("2026-03")), @"orders@2026-03* events@2026-01*");
    assert_snapshot!(selected(&["orders", "rates"], &["orders@2026-03"], None), @"orders@..2026-03-01@2026-04-01..* rates*");
    assert_snapshot!(selected(&["staging"], &["orders@2026-03"], Some("2026")), @"orders@2026-01-01..2026-03-01@2026-04-01..2027-01-01 events@2026 rates");
    assert_snapshot!(of("rates@2026-03"), @"
    error[MG0003]: `rates` is not filled by intervals, so `2026-03` cannot be named
    do: write `rates` alone
    ");
    assert_snapshot!(of("orders@2026-03+"), @"
    error[MG0004]: `orders@2026-03+` has a `+` behind its interval
    do: write it in front: `orders+@2026-03`
    ");
    assert_snapshot!(of("orders@soon"), @"
    error[MG0003]: `soon` is not an interval
    do: write a year, month, week, date, hour or instant: `2013`, `2013-03`, `2013-W10`, `2013-03-10`, `2013-03-10T01-05:00`, `2013-03-10T01:00:00-05:00`; or `A..B`, which excludes B
    ");
}

#[test]
fn unions_intersections_and_what_is_left_out() {
    assert_snapshot!(selected(&["rates countries", "events"], &[], None), @"countries* events* rates*");
    assert_snapshot!(of("tag:daily,tag:money"), @"sales[country=kr] sales[country=jp]");
    assert_snapshot!(of("+board,staging tag:weekly"), @"orders events rates sales_weekly");
    assert_snapshot!(of("orders,tag:daily sales"), @"orders* sales[country=kr]* sales[country=jp]*");
    assert_snapshot!(selected(&[], &["+board"], None), @"sales_weekly");
    assert_snapshot!(selected(&["+board"], &["tag:daily marts", "countries"], None), @"rates margin[country=kr] margin[country=jp]");
    assert_snapshot!(selected(&["orders"], &["tag:daily,tag:money"], None), @"orders*");
}

#[test]
fn what_finds_nothing_is_told() {
    assert_snapshot!(of("night_*"), @"
    error[MG0002]: `night_*` matches nothing
    do: `mulgil status` lists all nodes; quote a pattern so that the shell leaves it as it is
    ");
    assert_snapshot!(of("orders night_* models/stagin"), @"
    orders*
    warning[MG0002]: `night_*` matches nothing
    do: `mulgil status` lists all nodes; quote a pattern so that the shell leaves it as it is
    warning[MG0002]: no node has its file at `models/stagin`
    do: did you mean `path:models/staging`?
    ");
    assert_snapshot!(of("orders,tag:money"), @"
    error[MG0002]: `orders,tag:money` matches nothing: nothing is in all of its parts
    do: a comma takes what both sides select; a space takes what either does
    ");
    assert_snapshot!(of("config.materialized:ephemeral"), @"
    error[MG0002]: `config.materialized:ephemeral` matches nothing
    do: leave it away: this project has none of that kind
    ");
    assert_snapshot!(of("file:order.sql"), @"
    error[MG0002]: no node has a file `order.sql`
    do: did you mean `file:orders.sql`?
    ");
    assert_snapshot!(of("source:raw.orders"), @"
    error[MG0002]: `source:raw.orders` selects nothing: a source is observed, not filled
    do: write `source:raw.orders+` for what reads it
    ");
    assert_snapshot!(of("orders resource_type:source"), @"
    orders*
    warning[MG0002]: `resource_type:source` selects nothing: a source is observed, not filled
    do: write `resource_type:source+` for what reads it
    ");
    assert_snapshot!(selected(&["orders"], &["x*"], None), @"
    error[MG0002]: `x*` matches nothing
    do: `mulgil status` lists all nodes; quote a pattern so that the shell leaves it as it is
    ");
    assert_snapshot!(selected(&["orders"], &["staging"], None), @"
    warning[MG0002]: all that was selected is excluded, so nothing is left
    do: write less behind `--exclude`
    ");
}

#[test]
fn names_that_do_not_exist_are_errors_beside_others_too() {
    assert_snapshot!(of("orders order"), @"
    error[MG0002]: there is no node `order` in this project
    do: did you mean `orders`? `mulgil status` lists all
    ");
    assert_snapshot!(of("stagin"), @"
    error[MG0002]: there is no node `stagin` in this project
    do: did you mean `staging`? `mulgil status` lists all
    ");
    assert_snapshot!(of("raw.orders"), @"
    error[MG0002]: `raw.orders` is a source: it is observed, not filled
    do: write `source:raw.orders+` for what reads it
    ");
    assert_snapshot!(of("tag:dayly"), @"
    error[MG0002]: no node has the tag `dayly`
    do: did you mean `tag:daily`?
    ");
    assert_snapshot!(of("tag:x"), @"
    error[MG0002]: no node has the tag `x`
    do: give a model `tags=['…']` in its config
    ");
    assert_snapshot!(of("source:row.orders+"), @"
    error[MG0002]: there is no source `row.orders` in this project
    do: did you mean `source:raw.orders`?
    ");
    assert_snapshot!(of("owner:anne"), @"
    error[MG0002]: no node has the owner `anne`
    do: did you mean `owner:ann`?
    ");
    assert_snapshot!(of("package:shopp"), @"
    error[MG0002]: there is no package `shopp`: this project is `shop`
    do: did you mean `package:shop`?
    ");
    assert_snapshot!(selected(&["orders"], &["nights"], None), @"
    error[MG0002]: there is no node `nights` in this project
    do: `mulgil status` lists all nodes
    ");
    assert_snapshot!(of("sales[country=kp]"), @"
    error[MG0005]: `sales` has no `country=kp`
    do: did you mean `country=jp`? its values are kr, jp
    ");
    assert_snapshot!(of("sales[city=seoul]"), @"
    error[MG0005]: `sales` has no key `city`: it has the keys country
    do: write `sales`
    ");
    assert_snapshot!(of("tag:daily[country=xx]"), @"
    error[MG0005]: nothing that `tag:daily[country=xx]` names has the key `country=xx`
    do: `mulgil status` lists all keys
    ");
}

#[test]
fn what_cannot_be_read() {
    assert_snapshot!(of(""), @"
    error[MG0004]: a selector is empty
    do: write a name, or `*` for all nodes
    ");
    assert_snapshot!(of("orders, sales"), @"
    error[MG0004]: `orders,` has a comma with nothing beside it
    do: write a comma without spaces for what both select: `tag:daily,sales+`
    ");
    assert_snapshot!(of("+"), @"
    error[MG0004]: `+` names nothing that could be selected
    do: write a name with at most one `+` on either side: `+sales`, `sales+`, `2+sales+1`
    ");
    assert_snapshot!(of("++orders"), @"
    error[MG0004]: `++orders` names nothing that could be selected
    do: write a name with at most one `+` on either side: `+sales`, `sales+`, `2+sales+1`
    ");
    assert_snapshot!(of("@orders+"), @"
    error[MG0004]: `@orders+` has both `@` and `+`
    do: `@orders` is it, all that reads it, and all that any of these reads; write one of the two
    ");
    assert_snapshot!(of("sales[country"), @"
    error[MG0004]: `sales[country` cannot be read
    do: a key is written `sales[column=value]`
    ");
    assert_snapshot!(of("sales[country]"), @"
    error[MG0002]: `sales[country]` matches nothing
    do: a key is written `name[column=value]`
    ");
    assert_snapshot!(of("tags:daily"), @"
    error[MG0004]: `tags:` in `tags:daily` is no method
    do: did you mean `tag:daily`? the methods are fqn, tag, path, file, config.materialized, config.tags, resource_type, source, owner, package
    ");
    assert_snapshot!(of("state:modified"), @"
    error[MG0004]: `state:` is a method of dbt that this version does not have
    do: the methods are fqn, tag, path, file, config.materialized, config.tags, resource_type, source, owner, package
    ");
    assert_snapshot!(of("config.enabled:true"), @"
    error[MG0004]: `config.enabled:` is a method of dbt that this version does not have
    do: the methods are fqn, tag, path, file, config.materialized, config.tags, resource_type, source, owner, package
    ");
    assert_snapshot!(of("tag:"), @"
    error[MG0004]: `tag:` names nothing that could be selected
    do: write a name with at most one `+` on either side: `+sales`, `sales+`, `2+sales+1`
    ");
    assert_snapshot!(of("resource_type:modle"), @"
    error[MG0004]: `resource_type:modle`: `modle` is none of its words
    do: did you mean `model`? they are model, seed, source, test, snapshot, analysis, exposure, function, metric, saved_query, semantic_model, unit_test
    ");
    assert_snapshot!(of("config.materialized:tables"), @"
    error[MG0004]: `config.materialized:tables`: `tables` is none of its words
    do: did you mean `table`? they are table, view, incremental, interval, seed, ephemeral, snapshot, materialized_view
    ");
    assert_snapshot!(selected(&[], &["resource_type:test"], None), @"
    error[MG0004]: `resource_type:test` selects no tables: data tests run with what they test
    do: name what they test; a test of `severity: warn` stops nothing
    ");
}
