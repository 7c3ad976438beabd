//! Older versions of a table: reading one beside the newest.

use mulgil_core::codes;

use super::*;

/// The table `t` at a version.
fn at_version(version: ReadVersion) -> Vec<Binding> {
    let mut table = binding("t", Grid::whole(Zone::UTC), None, None, Key::default());
    if let Reads::Table { version: at, .. } = &mut table.reads {
        *at = version;
    }
    vec![table]
}

async fn value(world: &World, version: ReadVersion) -> Result<String, Fault> {
    let lines = world.lines("UTC", at_version(version), "select v from t").await?;
    Ok(lines[1].clone())
}

/// A table of one row, whose value is its version.
async fn versions(count: i64) -> World {
    let world = World::new();
    for version in 0..count {
        let spec = fill_table("t", &format!("select {version} as v"), Vec::new());
        assert_eq!(world.fill(&spec).await.unwrap().version, Some(version));
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_the_version_that_it_is_told() {
    let world = versions(3).await;
    for (version, expected) in [
        (ReadVersion::Newest, "2"),
        (ReadVersion::Published(0), "0"),
        (ReadVersion::Published(1), "1"),
        (ReadVersion::Published(2), "2"),
    ] {
        assert_eq!(value(&world, version).await.unwrap(), expected);
    }
    let fault = value(&world, ReadVersion::Nothing).await.unwrap_err();
    assert_eq!(fault.code, codes::NOT_PUBLISHED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_not_there_any_more_is_not_read_in_part() {
    let world = versions(2).await;
    let fault = value(&world, ReadVersion::Published(7)).await.unwrap_err();
    assert_eq!(fault.code, codes::VERSION_GONE, "{fault}");
    let mut files: Vec<PathBuf> = std::fs::read_dir(world.folder("t"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "parquet"))
        .collect();
    files.sort_by_key(|path| path.metadata().unwrap().modified().unwrap());
    std::fs::remove_file(&files[0]).unwrap();
    let fault = value(&world, ReadVersion::Published(0)).await.unwrap_err();
    assert_eq!(fault.code, codes::VERSION_GONE, "{fault}");
    assert_eq!(value(&world, ReadVersion::Newest).await.unwrap(), "1");
}
