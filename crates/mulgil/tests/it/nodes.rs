//! What a node is, in words and as JSON.

use serde_json::json;

use crate::harness::Place;

#[test]
fn a_node_is_told_with_its_version_columns_readers_and_tests() {
    let place = Place::of(
        "
=== mulgil.yml
name: shop
=== seeds/orders.csv
id,amount
1,10
2,20
=== models/sales.sql
{{ config(materialized='table', publish='after_tests') }}
select id, amount from {{ ref('orders') }}
=== models/large.sql
{{ config(materialized='view') }}
select id from {{ ref('sales') }} where amount > 15
=== models/schema.yml
models:
  - name: sales
    description: What was sold.
    columns:
      - {name: amount, description: In euros., data_tests: [not_null]}
",
    );
    let show = |place: &Place| place.mulgil(&["nodes", "show", "sales"]).ends_with(0).stdout;
    let before = show(&place);
    assert!(before.contains("not_null_sales_amount: did not run yet"), "{before}");
    place.mulgil(&["run"]).ends_with(0);
    place.write("seeds/orders.csv", "id,amount\n1,10\n2,20\n3,\n");
    place.mulgil(&["run"]).ends_with(1);
    let text = show(&place);
    for told in [
        "What was sold.",
        "models/sales.sql",
        "shop.sales",
        "version 1 waits for its data tests; readers see version 0 (it waits since 20",
        "reads      orders",
        "read by    large",
        "In euros.",
        "bigint",
        "not_null_sales_amount: failed at 20",
        r#"{"amount":null,"id":3}"#,
    ] {
        assert!(text.contains(told), "no `{told}` in:\n{text}");
    }
    let told = place.mulgil(&["nodes", "show", "sales", "--json"]).ends_with(0).json();
    assert_eq!(told["version"], 1);
    assert_eq!(told["published"], 0);
    assert_eq!(told["rows"], 3);
    assert_eq!(told["read_by"], json!(["large"]));
    assert_eq!(told["tests"][0]["result"], "failed");
    assert_eq!(told["tests"][0]["sample"], json!([{"id": 3, "amount": null}]));
    assert!(told["waits_since"].is_string(), "{told}");

    let list = place.mulgil(&["nodes", "ls"]).ends_with(0).stdout;
    let kinds: Vec<&str> = list
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().nth(1).unwrap())
        .collect();
    assert_eq!(kinds, ["seed", "table", "view"], "{list}");
    let list = place.mulgil(&["nodes", "ls", "--json"]).ends_with(0).json();
    assert_eq!(list["nodes"][0]["rows"], 3);
    place.mulgil(&["nodes", "show", "sale"]).ends_with(5).says("sales");
}
