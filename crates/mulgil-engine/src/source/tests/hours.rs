//! The hours of a single file with an event time.

use insta::assert_snapshot;
use mulgil_core::port::{Filled, SourceSeen};

use super::Fixture;

fn hourly(rows: &str) -> Fixture {
    Fixture::csv("t.csv")
        .event_time("at")
        .file("t.csv", format!("id,at\n{rows}"))
}

/// `start rows` of each hour.
fn shown(hours: &[Filled]) -> String {
    let line = |hour: &Filled| format!("{:?} {}", hour.interval.start, hour.rows);
    hours.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn rows_are_counted_by_utc_hour() {
    let seen = hourly("1,2013-01-01T00:10:00Z\n2,2013-01-01T09:59:59+09:00\n3,2013-01-01T05:00:00Z\n")
        .first_look()
        .await;
    assert_snapshot!(shown(&seen.hours), @r"
    2013-01-01T00:00:00Z 2
    2013-01-01T05:00:00Z 1
    ");
    let seen = Fixture::csv("t.csv")
        .event_time("at")
        .zone("Asia/Kolkata")
        .file("t.csv", "id,at\n1,2013-01-01\n2,1969-12-31\n")
        .first_look()
        .await;
    assert_snapshot!(shown(&seen.hours), @r"
    1969-12-30T18:00:00Z 1
    2012-12-31T18:00:00Z 1
    ");
}

#[tokio::test]
async fn order_and_spelling_do_not_count_and_content_does() {
    let before = hourly("1,2013-01-01T00:10:00Z\n2,2013-01-01T00:20:00Z\n3,2013-01-01T05:00:00Z\n")
        .first_look()
        .await;
    let same = hourly("3,2013-01-01 05:00:00\n\"2\",2013-01-01T00:20:00Z\n1,2013-01-01T00:10:00.000Z\n")
        .first_look()
        .await;
    assert_eq!(before.hours, same.hours);
    let other = hourly("1,2013-01-01T00:10:00Z\n7,2013-01-01T00:20:00Z\n3,2013-01-01T05:00:00Z\n")
        .first_look()
        .await;
    assert_ne!(before.hours[0], other.hours[0]);
    assert_eq!(before.hours[1], other.hours[1]);
}

#[tokio::test]
async fn they_are_taken_again_only_when_the_content_changes() {
    let fixture = hourly("1,2013-01-01T00:10:00Z\n");
    let mut known = fixture.first_look().await;
    // A mark that a second reading would take away.
    known.hours[0].rows = 77;
    assert_eq!(fixture.observe(&known).await.unwrap().hours, known.hours);
    fixture.write("t.csv", "id,at\n1,2013-01-01T00:10:00Z\n2,2013-01-01T03:10:00Z\n");
    assert_snapshot!(shown(&fixture.observe(&known).await.unwrap().hours), @r"
    2013-01-01T00:00:00Z 1
    2013-01-01T03:00:00Z 1
    ");
}

#[tokio::test]
async fn a_row_without_a_time_is_a_fault() {
    let fixture = hourly("1,2013-01-01T00:10:00Z\n2,NA\n");
    assert_snapshot!(fixture.observe(&SourceSeen::default()).await.unwrap_err(), @r"
    error[MG3109]: a row has no value in `at`, the event time of source `raw.t`, so it belongs to no interval
      --> t.csv:3:3
    do: give the row its time, or take the row out
    ");
}
