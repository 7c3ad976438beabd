//! Where the warehouse and the files of sources are said to lie.

use insta::assert_snapshot;

use crate::faults;

/// What is wrong with a project of that warehouse.
fn complaint(warehouse: &str) -> String {
    faults(&format!(
        "== mulgil.yml\nname: shop\nwarehouse: {warehouse}\n== models/a.sql\nselect 1 as x\n"
    ))
}

#[test]
fn a_warehouse_that_is_no_place() {
    assert_snapshot!(complaint("'ftp://lake/wh'"), @"
    error[MG1006]: `ftp://lake/wh` is no place in an object store: `ftp://` is no object store; there are s3://, gs://, az:// and abfss://
      --> mulgil.yml:2:12
    do: write `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`
    ");
    assert_snapshot!(complaint("'s3://AKID:secret@lake/wh'"), @"
    error[MG1006]: `s3://…@lake/wh` is no place in an object store: it holds a login; credentials come from the environment
      --> mulgil.yml:2:12
    do: write `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`
    ");
    assert_snapshot!(complaint("{kind: gcs, url: 's3://lake/wh'}"), @"
    error[MG1006]: the warehouse is of kind `gcs`, and its URL is `s3://lake/wh`
      --> mulgil.yml:2:29
    do: write `kind: s3`, or leave it out
    ");
    assert_snapshot!(complaint("{kind: s3, path: wh, allow_http: maybe}"), @"
    error[MG1006]: the warehouse does not say in which bucket it lies
      --> mulgil.yml:2:12
    do: add `url: s3://bucket/prefix`

    error[MG1006]: `path` has a meaning only for a local warehouse
      --> mulgil.yml:2:29
    do: write `url`

    error[MG1006]: `allow_http` is neither `true` nor `false`
      --> mulgil.yml:2:45
    do: write `allow_http: true`
    ");
    assert_snapshot!(complaint("{url: 's3://lake/wh', endpoint: 'http://me:secret@minio/x'}"), @"
    error[MG1006]: `endpoint` cannot be `http://…@minio/x`
      --> mulgil.yml:2:44
    do: write where the store is, without a login: `https://minio.example.com:9000`
    ");
    assert_snapshot!(complaint("{path: wh, region: eu-west-1}"), @"
    error[MG1006]: `region` has a meaning only for a warehouse in an object store
      --> mulgil.yml:2:31
    do: remove it, or add `url: s3://bucket/prefix`
    ");
}

#[test]
fn a_source_in_no_bucket() {
    let text = "== mulgil.yml
name: shop
sources:
  raw:
    twice: {files: 's3://lake//x_{YYYYMMDD}.csv'}
    local: {files: 'data/x_{YYYYMMDD}.csv', endpoint: 'https://minio.example.com'}
== models/a.sql
select * from {{ source('raw', 'local') }}
";
    assert_snapshot!(faults(text), @"
    error[MG1006]: `s3://lake//x_{YYYYMMDD}.csv` is no place in an object store: it has two slashes in a row
      --> mulgil.yml:4:20
    do: write `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`

    error[MG1006]: `endpoint` has a meaning only for files in an object store
      --> mulgil.yml:5:55
    do: remove it, or write `files` as a URL: `s3://bucket/events_{YYYYMMDD}.csv`
    ");
}
