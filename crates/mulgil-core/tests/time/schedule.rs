//! Ticks of schedules.

use mulgil_core::{
    cron::Cron,
    grid::{Grid, Unit, Zone},
    schedule::Schedule,
};

use crate::{at, crons, range, units, zone};

fn schedule(cron: &str, name: &str) -> Schedule {
    Schedule {
        cron: Cron::parse(cron).expect("a cron"),
        zone: zone(name),
    }
}

#[test]
fn ticks_are_before_after_and_inside() {
    let daily = schedule("0 5 * * *", "Asia/Seoul");
    let five = at("2026-03-09T20:00:00Z");
    assert_eq!(daily.last_tick(five), Some(five));
    assert_eq!(
        daily.last_tick(at("2026-03-09T19:59:59Z")),
        Some(at("2026-03-08T20:00:00Z"))
    );
    assert_eq!(daily.next_tick(five), Some(at("2026-03-10T20:00:00Z")));
    let window = range("2026-03-09T20:00:00Z", "2026-03-11T20:00:00Z");
    assert_eq!(
        daily.ticks(window).collect::<Vec<_>>(),
        [five, at("2026-03-10T20:00:00Z")]
    );
}

#[test]
fn finer_is_when_some_interval_holds_two_ticks() {
    let day = units(Unit::Day, "America/New_York");
    let hour = units(Unit::Hour, "America/New_York");
    let finer = |cron: &str, grid: &Grid| schedule(cron, "America/New_York").finer_than(grid);
    assert!(!finer("0 5 * * *", &day));
    assert!(!finer("0 9 * * MON-FRI", &day));
    assert!(!finer("0 0 1 * *", &day));
    assert!(finer("0 5,17 * * *", &day));
    assert!(finer("0 0,12 29 FEB *", &day));
    assert!(finer("* * * * *", &day));
    assert!(!finer("0 * * * *", &hour));
    assert!(finer("*/30 * * * *", &hour));
    assert!(finer("0 5 * * *", &units(Unit::Week, "America/New_York")));
    assert!(!finer("0 5 * * MON", &units(Unit::Week, "America/New_York")));
    assert!(!finer("*/5 * * * *", &crons("*/5 * * * *", "America/New_York")));
    assert!(finer("*/5 * * * *", &crons("*/10 * * * *", "America/New_York")));
    assert!(!finer("* * * * *", &Grid::whole(Zone::UTC)));
}
