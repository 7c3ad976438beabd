//! What tasks say, and what they say wrongly.

use mulgil_core::codes;
use mulgil_runner::{Event, Why, read_events};

use crate::common::{Place, shell};

#[tokio::test]
async fn events_are_kept_and_the_last_result_counts() {
    let place = Place::new();
    let script = r#"
        say() { printf '%s\n' "$1" >> "$MULGIL_EVENTS"; }
        say '{"type": "result", "value": 1}'
        say '{"type": "rows", "count": 3, "table": "raw.orders"}'
        say '{"type": "metadata", "values": {"source": "ftp"}}'
        say '{"type": "progress", "done": 1, "total": 2}'
        say '{"type": "log", "message": "halfway", "level": "warning"}'
        say '{"type": "result", "value": {"rows": 3}}'
        echo '{"type": "result", "value": "printed, so never taken"}'"#;
    let exit = place.run(shell("1", script, &[])).await;
    assert_eq!(exit.result, Some(serde_json::json!({"rows": 3})));
    assert!(exit.faults.is_empty(), "{:?}", exit.faults);
    let events = read_events(&place.path("1"), 0).expect("events").events;
    assert_eq!(events.len(), 6);
    assert_eq!(
        events[1].event,
        Some(Event::Rows {
            count: 3,
            table: Some("raw.orders".to_owned())
        })
    );
    assert!(place.log("1").contains(&"log warning: halfway".to_owned()));
}

#[tokio::test]
async fn what_is_wrong_is_told_and_costs_nothing_else() {
    let place = Place::new();
    let script = r#"
        echo before
        echo 'no json' >> "$MULGIL_EVENTS"
        echo '{"type": "unheard"}' >> "$MULGIL_EVENTS"
        head -c 70000 /dev/zero | tr '\0' x >> "$MULGIL_EVENTS"; echo >> "$MULGIL_EVENTS"
        echo '{"type": "result", "value": 1}' >> "$MULGIL_EVENTS"
        echo after
        printf '{"type": "result", "val' >> "$MULGIL_EVENTS"
        kill -KILL $$"#;
    let exit = place.run(shell("1", script, &[])).await;
    assert_eq!((exit.why, exit.signal), (Why::Exited, Some(9)));
    assert_eq!(exit.result, Some(serde_json::json!(1)));
    let said: Vec<_> = exit.faults.iter().map(|fault| fault.code).collect();
    assert_eq!(
        said,
        [
            codes::EVENT_INVALID,
            codes::EVENT_INVALID,
            codes::EVENT_TOO_LARGE,
            codes::EVENT_INVALID
        ]
    );
    assert!(
        exit.faults[3].message.contains("ended in the middle"),
        "{}",
        exit.faults[3].message
    );
    let log = place.log("1");
    assert!(
        log.contains(&"out before".to_owned()) && log.contains(&"out after".to_owned()),
        "{log:?}"
    );
    assert_eq!(log.iter().filter(|line| line.starts_with("sys [MG42")).count(), 4);
    let events = read_events(&place.path("1"), 0).expect("events").events;
    assert_eq!(events.iter().filter(|event| event.fault.is_some()).count(), 4);
}

#[tokio::test]
async fn what_a_task_says_of_its_failure_is_shown() {
    let place = Place::new();
    let script =
        r#"echo '{"type":"error","message":"the table is locked","place":"a.sh:3"}' >> "$MULGIL_EVENTS"; exit 2"#;
    let exit = place.run(shell("1", script, &[])).await;
    let fault = exit.fault().expect("a fault");
    assert_eq!(fault.code, codes::TASK_FAILED);
    assert_eq!(
        fault.message,
        "the task failed: the table is locked (a.sh:3) (exit code 2)"
    );
}

#[tokio::test]
async fn a_flood_of_events_is_bounded() {
    let place = Place::new();
    let script = r#"yes '{"type":"progress","done":1}' | head -n 20000 >> "$MULGIL_EVENTS""#;
    let exit = place.run(shell("1", script, &[])).await;
    assert_eq!(exit.code, Some(0));
    let said: Vec<_> = exit.faults.iter().map(|fault| fault.code).collect();
    assert_eq!(said, [codes::EVENT_TOO_LARGE]);
    let events = read_events(&place.path("1"), 0).expect("events").events;
    assert_eq!(events.len(), 10_001);
}
