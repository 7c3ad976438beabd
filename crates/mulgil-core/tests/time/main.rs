//! How time is cut, mapped, written and kept in sets, over awkward zones and by property.

mod cron;
mod grid;
mod interval_text;
mod mapping;
mod ranges;
mod schedule;

use mulgil_core::{
    cron::Cron,
    grid::{Cut, Grid, Unit, Zone},
    interval::{Instant, Interval, RangeSet},
};

/// Zones in which something about hours or dates is unlike elsewhere, and New York.
const ZONES: [&str; 9] = [
    "UTC",
    "America/New_York",
    "Asia/Kolkata",
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Asia/Seoul",
    "Asia/Kathmandu",
];

const UNITS: [Unit; 5] = [Unit::Hour, Unit::Day, Unit::Week, Unit::Month, Unit::Year];

const CRONS: [&str; 6] = [
    "0 5 * * *",
    "30 2 * * *",
    "15 1,13 * * MON-FRI",
    "*/20 * * * *",
    "0 */4 * * *",
    "0 0 L * *",
];

fn zone(name: &str) -> Zone {
    Zone::named(name).expect("a zone of the database")
}

fn units(unit: Unit, name: &str) -> Grid {
    Grid {
        cut: Cut::Unit(unit),
        zone: zone(name),
        begin: None,
        end: None,
    }
}

fn crons(cron: &str, name: &str) -> Grid {
    let cron = Cron::parse(cron).expect("a cron");
    Grid {
        cut: Cut::Cron(cron),
        zone: zone(name),
        begin: None,
        end: None,
    }
}

fn at(text: &str) -> Instant {
    Instant::from_timestamp(text.parse().expect("an instant"))
}

fn range(start: &str, end: &str) -> Interval {
    Interval::new(at(start), at(end)).expect("a range")
}

fn set(ranges: &[Interval]) -> RangeSet {
    ranges.iter().copied().collect()
}
