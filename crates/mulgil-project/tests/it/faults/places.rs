//! Where the warehouse and the files of sources are said to lie.

use insta::assert_snapshot;

use crate::faults;

#[test]
fn a_warehouse_that_is_no_place() {
    assert_snapshot!(faults("== mulgil.yml\nname: shop\nwarehouse: 'ftp://lake/wh'\n== models/a.sql\nselect 1 as x\n"), @"");
    assert_snapshot!(faults("== mulgil.yml\nname: shop\nwarehouse: 's3://AKID:secret@lake/wh'\n== models/a.sql\nselect 1 as x\n"), @"");
    assert_snapshot!(faults("== mulgil.yml\nname: shop\nwarehouse: {kind: gcs, url: 's3://lake/wh'}\n== models/a.sql\nselect 1 as x\n"), @"");
    assert_snapshot!(faults("== mulgil.yml\nname: shop\nwarehouse: {kind: s3, path: wh, allow_http: maybe}\n== models/a.sql\nselect 1 as x\n"), @"");
    assert_snapshot!(faults("== mulgil.yml\nname: shop\nwarehouse: {url: 's3://lake/wh', endpoint: 'http://me:secret@minio/x'}\n== models/a.sql\nselect 1 as x\n"), @"");
    assert_snapshot!(faults("== mulgil.yml\nname: shop\nwarehouse: {path: wh, region: eu-west-1}\n== models/a.sql\nselect 1 as x\n"), @"");
}

#[test]
fn a_source_in_no_bucket() {
    assert_snapshot!(
        faults(
            "== mulgil.yml
name: shop
sources:
  raw:
    twice: {files: 's3://lake//x_{YYYYMMDD}.csv'}
    local: {files: 'data/x_{YYYYMMDD}.csv', endpoint: 'https://minio.example.com'}
== models/a.sql
select * from {{ source('raw', 'local') }}
"
        ),
        @""
    );
}
