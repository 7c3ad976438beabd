//! Where the warehouse and the files of sources lie.

use mulgil_core::{location::Location, project::Project};

use crate::loaded;

fn project(settings: &str) -> Project {
    let text = format!("== mulgil.yml\nname: shop\n{settings}\n== models/a.sql\nselect 1 as x\n");
    loaded(&text).project.expect("it has no faults")
}

#[test]
fn a_warehouse_is_a_folder_or_a_place_in_a_bucket() {
    let place = |settings: &str| project(settings).warehouse;
    let folder = |settings: &str| {
        let project = project(settings);
        let folder = project.warehouse.folder().expect("it is a folder").to_owned();
        folder
            .strip_prefix(&project.root)
            .expect("it lies inside")
            .display()
            .to_string()
    };
    assert_eq!(folder(""), "warehouse");
    assert_eq!(folder("warehouse: {kind: local, path: wh}"), "wh");
    assert_eq!(folder("warehouse: data/wh"), "data/wh");
    assert_eq!(
        place("warehouse: s3://lake/wh/"),
        place("warehouse: {kind: s3, url: 's3://lake/wh'}")
    );
    assert_eq!(place("warehouse: gs://lake").to_string(), "gs://lake");
    let azure = "abfss://lake@account.dfs.core.windows.net/wh";
    assert_eq!(place(&format!("warehouse: {azure}")).to_string(), azure);
    let Location::Bucket { options, .. } =
        place("warehouse: {url: 's3://lake/wh', endpoint: 'http://minio:9000/', region: eu-west-1, allow_http: true}")
    else {
        panic!("it is a bucket")
    };
    assert_eq!(options.endpoint.as_deref(), Some("http://minio:9000"));
    assert_eq!(
        (options.region.as_deref(), options.allow_http),
        (Some("eu-west-1"), true)
    );
}

#[test]
fn files_in_a_bucket_need_not_be_there_yet() {
    let project = project(
        "sources: {raw: {one: {files: 's3://lake/x.csv', region: eu-west-1}, \
         many: {files: 'gs://lake/{YYYY}/x_{YYYYMMDD}.jsonl'}}}",
    );
    let regions: Vec<_> = project
        .sources
        .iter()
        .map(|source| source.store.region.as_deref())
        .collect();
    assert_eq!(regions, [None, Some("eu-west-1")]);
}
