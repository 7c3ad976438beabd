//! Seeds of dbt projects: types, delimiters, NULL.

use crate::harness::Place;

#[test]
fn a_seed_has_the_rows_that_dbt_loads() {
    let place = Place::of(
        "\
=== dbt_project.yml
name: shop
seeds:
  shop:
    s: {+column_types: {zip: text, n: bigint}, +delimiter: ';', +quote_columns: true}
=== seeds/s.csv
zip;n;q;w;m
001;1;\"\";null;1
NULL;2;\"null\"; null ;NULL
;;\"a  b\";x;3
",
    );
    place.mulgil(&["run"]).ends_with(0);
    // As dbt with DuckDB has them.
    assert_eq!(
        place.rows("select zip, n, q is null as a, w, m is null as b, m + 1 as m from s order by n nulls last"),
        [
            "001,1,true,null,false,2",
            "NULL,2,false, null ,true,",
            ",,false,x,false,4"
        ]
    );
    place.edit("dbt_project.yml", "zip: text, ", "zip: text, w: text, ");
    assert_eq!(place.plan(), ["s all code"], "it is read in another way");
}
