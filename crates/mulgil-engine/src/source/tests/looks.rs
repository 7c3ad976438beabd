//! What a look keeps and what it renews.

use std::fs::{self, File};

use insta::assert_snapshot;
use mulgil_core::{grid::Unit, port::SourceSeen, project::FileFormat};

use super::Fixture;

fn days() -> Fixture {
    Fixture::per(Unit::Day, "UTC", "d_{YYYYMMDD}.csv")
        .file("d_20130101.csv", "a,b\n1,x\n")
        .file("d_20130102.csv", "a,b\n2,\n")
}

#[tokio::test]
async fn what_is_as_it_was_is_not_read_again() {
    let fixture = days();
    let mut known = fixture.first_look().await;
    // A mark that a second reading would take away.
    known.files[0].content = "f".repeat(32);
    let seen = fixture.observe(&known).await.unwrap();
    assert_eq!(seen, known);
}

#[tokio::test]
async fn a_changed_file_gets_its_new_hash_and_the_others_keep_theirs() {
    let fixture = days();
    let known = fixture.first_look().await;
    fixture.write("d_20130102.csv", "a,b\n3,\n9,\n");
    fixture.write("d_20130103.csv", "a,b\n4,\n");
    let seen = fixture.observe(&known).await.unwrap();
    assert_eq!(seen.files[0], known.files[0]);
    assert_ne!(seen.files[1].content, known.files[1].content);
    assert_eq!(seen.files.len(), 3);
    fs::remove_file(fixture.path().join("d_20130101.csv")).unwrap();
    let seen = fixture.observe(&seen).await.unwrap();
    assert_eq!(seen.files.len(), 2);
}

#[tokio::test]
async fn a_touched_file_has_the_same_content() {
    let fixture = days();
    let known = fixture.first_look().await;
    let file = File::options()
        .append(true)
        .open(fixture.path().join("d_20130101.csv"))
        .unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1))
        .unwrap();
    let seen = fixture.observe(&known).await.unwrap();
    assert_eq!(seen.files[0].content, known.files[0].content);
    assert_ne!(seen.files[0].modified_ns, known.files[0].modified_ns);
}

#[tokio::test]
async fn columns_stay_as_they_were_found_and_declared_types_always_count() {
    let fixture = days();
    let known = fixture.first_look().await;
    fixture.write("d_20130101.csv", "a,b\n1.5,x\n");
    assert_eq!(fixture.observe(&known).await.unwrap().columns, known.columns);
    let fixture = fixture.column("a", "double");
    let seen = fixture.observe(&known).await.unwrap();
    assert_snapshot!(seen.columns[0].data_type, @"Float64");
    assert!(fixture.sql_over("select * from t", &seen, None).await.is_ok());
}

#[tokio::test]
async fn columns_are_inferred_over_several_files() {
    let fixture = Fixture::per(Unit::Day, "UTC", "d_{YYYYMMDD}.csv");
    for day in 1..=28 {
        let a = if day == 20 { "2.5" } else { "1" };
        fixture.write(&format!("d_201302{day:02}.csv"), format!("a,b,c\n{a},,x\n"));
    }
    fixture.write("d_20130301.csv", "a,c\n,\n");
    assert_snapshot!(fixture.inferred().await, @r"
    a Float64
    c Utf8
    ");
}

#[tokio::test]
async fn a_broken_file_does_not_keep_the_others_from_being_looked_at() {
    let fixture = days().file("d_20130103.csv", "").file("d_20130100.txt", "");
    let seen = fixture.first_look().await;
    assert_eq!(seen.files.len(), 3);
    let first = SourceSeen {
        files: seen.files[..1].to_vec(),
        ..seen.clone()
    };
    assert!(fixture.sql_over("select * from t", &first, None).await.is_ok());
    assert_snapshot!(fixture.sql_over("select * from t", &seen, None).await.unwrap_err(), @r"
    error[MG3106]: the file is empty: it has not even the header line that source `raw.t` needs
      --> d_20130103.csv
    do: write the header line also where there are no rows
    ");
}

#[tokio::test]
async fn without_files_the_columns_stay() {
    let fixture = Fixture::csv("t.csv").file("t.csv", "a\n1\n");
    let known = fixture.first_look().await;
    fs::remove_file(fixture.path().join("t.csv")).unwrap();
    let seen = fixture.observe(&known).await.unwrap();
    assert!(seen.files.is_empty());
    assert_eq!(seen.columns, known.columns);
    assert_snapshot!(fixture.sql_over("select count(*) as n from t", &seen, None).await.unwrap(), @r"
    +---+
    | n |
    +---+
    | 0 |
    +---+
    ");
}

#[tokio::test]
async fn an_empty_file_of_json_lines_has_no_columns_yet() {
    let fixture = Fixture::csv("t.jsonl")
        .format(FileFormat::JsonLines)
        .file("t.jsonl", "");
    let seen = fixture.first_look().await;
    assert_eq!((seen.files.len(), seen.columns.len()), (1, 0));
}

#[tokio::test]
async fn a_source_that_is_read_in_another_way_is_looked_at_anew() {
    let fixture = Fixture::csv("t.csv").file("t.csv", "a;b\n2013-01-01 10:00:00;2013-02-01 00:00:00\n");
    let mut known = fixture.first_look().await;
    assert_eq!(known.columns.len(), 1);
    let mut fixture = fixture.format(FileFormat::Csv {
        delimiter: ';',
        null_words: Vec::new(),
    });
    for (event_time, zone) in [
        (None, "UTC"),
        (Some("a"), "UTC"),
        (Some("b"), "UTC"),
        (Some("b"), "Asia/Seoul"),
    ] {
        fixture.source.event_time = event_time.map(str::to_owned);
        fixture = fixture.zone(zone);
        let seen = fixture.observe(&known).await.unwrap();
        assert_eq!(seen, fixture.first_look().await);
        assert!(fixture.sql_over("select * from t", &seen, None).await.is_ok());
        assert_eq!(fixture.observe(&seen).await.unwrap(), seen);
        known = seen;
    }
}
