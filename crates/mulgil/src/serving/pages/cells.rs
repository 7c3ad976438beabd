//! Intervals as pages draw and name them: cells of a heat-map page by page, ranges in words.

use mulgil_core::{
    due::Reason,
    grid::{Cut, Grid, Unit},
    interval::{Instant, Interval, RangeSet},
    interval_text,
    name::Instance,
    why::Status,
};
use mulgil_web::view::{
    Fix, Here, Mark, Paging,
    table::{Heat, HeatCell, RANGES_SHOWN, Range, Shape},
};

use super::{
    names::{self, encoded, gravity},
    picture::Picture,
    standing::Standing,
};

/// Ranges that are named in one line.
const WORDS: usize = 3;
/// Weeks of days on one page.
const WEEKS: u32 = 53;
/// Days of hours on one page.
const DAYS: u32 = 31;
/// Years of months and weeks on one page.
const YEARS: i64 = 12;
/// Intervals in one row where they have no shape of their own, and on one page.
const IN_A_ROW: u32 = 50;
const ON_A_PAGE: u32 = 500;

/// Ranges in words, the first few by name.
pub(super) fn in_words(ranges: &RangeSet, grid: &Grid) -> String {
    let shown = ranges
        .iter()
        .take(WORDS)
        .map(|range| interval_text::format(range, grid));
    let mut words = shown.collect::<Vec<_>>().join(", ");
    if ranges.ranges().len() > WORDS {
        words.push_str(", …");
    }
    words
}

/// How the time of a table, a source or a flow is cut, and what it is called in addresses.
#[derive(Clone, Copy)]
pub(super) struct Cutting<'a> {
    /// Its grid; nothing where all of time is one interval.
    pub(super) grid: Option<&'a Grid>,
    is_source: bool,
}

/// How the time of an instance of the project is cut.
pub(super) fn shape_of<'a>(picture: &'a Picture, instance: &Instance) -> Cutting<'a> {
    let project = &picture.project;
    let flow = mulgil_core::flow::name::flow_in(instance.node.as_str()).and_then(|flow| project.flow(flow));
    let source = project.source(&instance.node);
    let node = project.node(&instance.node).map(|node| &node.grid);
    let grid = flow
        .map(|flow| &flow.grid)
        .or(node)
        .or(source.map(|source| &source.grid));
    Cutting {
        grid: grid.filter(|grid| grid.is_cut()),
        is_source: node.is_none() && source.is_some(),
    }
}

impl Cutting<'_> {
    /// How many intervals a range has.
    pub(super) fn count(self, range: Interval) -> u64 {
        self.grid.map_or(1, |grid| grid.count(range))
    }

    /// The end of the first interval of a range.
    pub(super) fn first_end(self, range: Interval) -> Option<Instant> {
        self.grid.map(|grid| grid.next_cut(range.start))
    }

    /// `NODE@INTERVAL` of the first interval of a range.
    pub(super) fn first_target(self, instance: &Instance, range: Interval) -> String {
        match self.grid {
            Some(grid) => names::target(instance, grid.interval_at(range.start), grid),
            None => format!("{instance}@all"),
        }
    }

    /// The form that fills intervals of it anew, with what is filled in.
    pub(super) fn backfill_href(self, instance: &Instance, fields: &[(&str, &str)]) -> Option<String> {
        if self.is_source {
            return None;
        }
        let page = match mulgil_core::flow::name::flow_in(instance.node.as_str()) {
            // A flow without intervals is run, and not filled.
            Some(flow) => self.grid.map(|_| names::flow_href(flow))?,
            None => format!("/tables/{}", encoded(&instance.to_string())),
        };
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        let query = if fields.is_empty() {
            String::new()
        } else {
            format!("?{}", fields.join("&"))
        };
        Some(format!("{page}/backfill{query}"))
    }
}

/// The heat-map of an instance: one page of cells that ends before a moment, and all that is not right in words.
pub(super) fn heat(
    picture: &Picture,
    instance: &Instance,
    standing: Option<&Standing>,
    before: Option<Instant>,
    now: Instant,
) -> Heat {
    let cutting = shape_of(picture, instance);
    let nothing = Standing::default();
    let standing = standing.unwrap_or(&nothing);
    let (cells, paging, shape) = match cutting.grid {
        Some(grid) => page(grid, instance, standing, before, now),
        None => (whole(instance, standing), Paging::default(), Shape::Whole),
    };
    let (ranges, more_ranges) = ranges(cutting, instance, standing);
    Heat {
        shape,
        cells,
        paging,
        counts: standing.counts.clone(),
        ranges,
        more_ranges,
    }
}

fn whole(instance: &Instance, standing: &Standing) -> Vec<HeatCell> {
    vec![HeatCell {
        interval: mulgil_web::view::Named {
            name: "all".to_owned(),
            range: Interval::WHOLE,
        },
        mark: standing.worst,
        row: 0,
        column: 0,
        href: names::why_href(&format!("{instance}@all")),
    }]
}

/// How cells of a grid are laid out.
fn layout(grid: &Grid) -> Shape {
    match &grid.cut {
        Cut::Whole => Shape::Whole,
        Cut::Unit(Unit::Day) => Shape::Days,
        Cut::Unit(Unit::Hour) => Shape::Hours,
        Cut::Unit(Unit::Month | Unit::Week) => Shape::Years,
        Cut::Unit(Unit::Year) | Cut::Cron(_) => Shape::Line,
    }
}

/// One page of cells, with the way to the others.
fn page(
    grid: &Grid,
    instance: &Instance,
    standing: &Standing,
    before: Option<Instant>,
    now: Instant,
) -> (Vec<HeatCell>, Paging, Shape) {
    let shape = layout(grid);
    let known = standing.statuses.keys().span();
    let newest = known.map_or(grid.floor(now), |known| known.end.min(grid.next_cut(now)));
    let oldest = grid.begin.or(known.map(|known| known.start)).unwrap_or(newest);
    let oldest = oldest.max(grid.back(newest, MOST_BACK));
    let end = before.map_or(newest, |before| grid.floor(before).min(newest).max(oldest));
    let start = first_of_page(grid, shape, end).max(oldest);
    let Some(shown) = Interval::new(start, end) else {
        return (Vec::new(), Paging::default(), shape);
    };
    let origin = civil(grid, start);
    let mut cells = Vec::new();
    let mut hour = (origin, 0);
    for (index, interval) in grid
        .intervals(shown)
        .take(mulgil_web::view::table::CELLS_SHOWN)
        .enumerate()
    {
        let at = civil(grid, interval.start);
        hour = if hour.0 == at {
            (at, hour.1 + u32::from(index > 0))
        } else {
            (at, 0)
        };
        let (row, column) = place(grid, origin, at, index as u32, hour.1);
        let mark = standing
            .statuses
            .get(interval.start)
            .map_or(Mark::NotExpected, |(_, status)| names::mark(status));
        let interval = names::named(interval, grid);
        let href = names::why_href(&format!("{instance}@{}", interval.name));
        cells.push(HeatCell {
            interval,
            mark,
            row,
            column,
            href,
        });
    }
    let to = |end: Instant| heat_href(instance, (end < newest).then_some(end));
    let paging = Paging {
        newer: (end < newest).then(|| to(next_end(grid, shape, end).min(newest))),
        older: (start > oldest).then(|| to(start)),
    };
    (cells, paging, shape)
}

/// Intervals that one can go back to, where a grid does not say when it begins.
const MOST_BACK: u32 = 200_000;

/// Where a page begins that ends so.
fn first_of_page(grid: &Grid, shape: Shape, end: Instant) -> Instant {
    match shape {
        Shape::Days => grid.back(end, WEEKS * 7),
        Shape::Hours => grid.back(end, DAYS * 24),
        Shape::Years => match grid.cut {
            Cut::Unit(Unit::Week) => grid.back(end, YEARS as u32 * 52),
            Cut::Unit(_) | Cut::Cron(_) | Cut::Whole => grid.back(end, YEARS as u32 * 12),
        },
        Shape::Line => grid.back(end, ON_A_PAGE),
        Shape::Whole => Instant::MIN,
    }
}

/// Where the page after one ends.
fn next_end(grid: &Grid, shape: Shape, end: Instant) -> Instant {
    match shape {
        Shape::Days => grid.ahead(end, WEEKS * 7),
        Shape::Hours => grid.ahead(end, DAYS * 24),
        Shape::Years => grid.ahead(end, YEARS as u32 * 12),
        Shape::Line => grid.ahead(end, ON_A_PAGE),
        Shape::Whole => Instant::MAX,
    }
}

fn civil(grid: &Grid, at: Instant) -> jiff::civil::Date {
    at.to_timestamp().to_zoned(grid.zone.tz().clone()).date()
}

/// The row and the column of a cell; `hour` is its place in its day.
fn place(grid: &Grid, origin: jiff::civil::Date, at: jiff::civil::Date, index: u32, hour: u32) -> (u32, u32) {
    let days = |from: jiff::civil::Date| at.since(from).map_or(0, |span| span.get_days().max(0).unsigned_abs());
    match layout(grid) {
        Shape::Days => {
            let monday = u32::from(origin.weekday().to_monday_zero_offset().unsigned_abs());
            let day = days(origin) + monday;
            (day % 7, day / 7)
        }
        Shape::Hours => (days(origin), hour),
        Shape::Years => {
            let year = i64::from(at.year()) - i64::from(origin.year());
            let column = match grid.cut {
                Cut::Unit(Unit::Week) => (at.day_of_year() - 1) / 7,
                Cut::Unit(_) | Cut::Cron(_) | Cut::Whole => i16::from(at.month() - 1),
            };
            (
                u32::try_from(year).unwrap_or(0),
                u32::from(column.max(0).unsigned_abs()),
            )
        }
        Shape::Line => (index / IN_A_ROW, index % IN_A_ROW),
        Shape::Whole => (0, 0),
    }
}

fn heat_href(instance: &Instance, before: Option<Instant>) -> String {
    let href = names::table_href(instance);
    match before {
        Some(before) => {
            let sign = if href.contains('?') { '&' } else { '?' };
            format!("{href}{sign}before={}", before.0)
        }
        None => href,
    }
}

/// Ranges in words: what needs somebody first, then the newest; and how many more there are.
fn ranges(cutting: Cutting<'_>, instance: &Instance, standing: &Standing) -> (Vec<Range>, u64) {
    let mut all: Vec<_> = standing.statuses.iter().collect();
    all.sort_by_key(|(range, status)| {
        let grave = gravity(names::mark(status));
        let group = if grave > 3 { grave } else { 0 };
        (std::cmp::Reverse(group), std::cmp::Reverse(range.start))
    });
    let more = all.len().saturating_sub(RANGES_SHOWN) as u64;
    let shown = all.into_iter().take(RANGES_SHOWN).map(|(range, status)| {
        let mark = names::mark(status);
        let name = cutting
            .grid
            .map_or_else(|| "all".to_owned(), |grid| interval_text::format(range, grid));
        Range {
            count: cutting.count(range),
            status: status.clone(),
            mark,
            href: names::why_href(&cutting.first_target(instance, range)),
            fix: fix(cutting, instance, range, mark).filter(|_| !is_of_files(status)),
            name,
        }
    });
    (shown.collect(), more)
}

/// Whether it is stale by files alone: those that changed are read by themselves, and those that went cannot be.
fn is_of_files(status: &Status) -> bool {
    matches!(
        status,
        Status::Stale {
            reason: Reason::Source { .. }
        }
    )
}

/// The command that mends a range, where somebody has to.
pub(super) fn fix(cutting: Cutting<'_>, instance: &Instance, range: Interval, mark: Mark) -> Option<Fix> {
    let mends = gravity(mark) > 5 && mark != Mark::Run(mulgil_core::run::RunState::Running);
    if !mends || cutting.is_source {
        return None;
    }
    let is_flow = mulgil_core::flow::name::flow_in(instance.node.as_str()).is_some();
    let Some(grid) = cutting.grid else {
        return Some(Fix {
            command: format!("mulgil run {instance}"),
            here: cutting.backfill_href(instance, &[]).map(Here::Form),
        });
    };
    let from = interval_text::format(grid.interval_at(range.start), grid);
    let to = interval_text::format(grid.interval_at(range.end), grid);
    let command = if is_flow {
        format!("mulgil backfill {instance} --from {from} --to {to}")
    } else {
        format!("mulgil backfill {instance}@{}", interval_text::format(range, grid))
    };
    Some(Fix {
        command,
        here: cutting
            .backfill_href(instance, &[("from", &from), ("to", &to)])
            .map(Here::Form),
    })
}

#[cfg(test)]
mod tests {
    use mulgil_core::{grid::Zone, interval::RangeMap};

    use super::*;

    fn grid(unit: Unit, zone: &str, begin: &str) -> Grid {
        let mut grid = Grid {
            cut: Cut::Unit(unit),
            zone: Zone::named(zone).unwrap(),
            begin: None,
            end: None,
        };
        grid.begin = Some(interval_text::parse(begin, &grid).unwrap().start);
        grid
    }

    /// A table that is fresh over a range, and misses one interval of it.
    fn standing(grid: &Grid, range: &str, hole: &str) -> Standing {
        let parse = |text: &str| interval_text::parse(text, grid).unwrap();
        let mut statuses = RangeMap::new();
        statuses.insert(parse(range), Status::Fresh);
        statuses.insert(parse(hole), Status::Missing);
        Standing::of(statuses, &|range| grid.count(range))
    }

    fn orders() -> Instance {
        Instance::of("orders".into())
    }

    #[test]
    fn days_are_a_calendar_with_a_way_to_older_ones() {
        let grid = grid(Unit::Day, "Asia/Seoul", "2024-01-01");
        let standing = standing(&grid, "2024-01-01..2026-11-20", "2026-11-18");
        let now = interval_text::parse("2026-11-20", &grid).unwrap().start;
        let (cells, paging, shape) = page(&grid, &orders(), &standing, None, now);
        assert_eq!((shape, cells.len()), (Shape::Days, 371));
        let hole = cells.iter().find(|cell| cell.mark == Mark::Missing).unwrap();
        // A Wednesday.
        assert_eq!((hole.interval.name.as_str(), hole.row), ("2026-11-18", 2));
        assert_eq!(hole.href, "/why/orders@2026-11-18");
        let places: std::collections::BTreeSet<_> = cells.iter().map(|cell| (cell.row, cell.column)).collect();
        assert_eq!(places.len(), cells.len(), "two cells have one place");
        assert_eq!(paging.newer, None);
        let before = cells[0].interval.range.start;
        assert_eq!(paging.older, Some(format!("/tables/orders?before={}", before.0)));
        let (older, paging, _) = page(&grid, &orders(), &standing, Some(before), now);
        assert_eq!(older.last().unwrap().interval.range.end, before);
        assert_eq!(paging.newer.as_deref(), Some("/tables/orders"));
        let (oldest, paging, _) = page(&grid, &orders(), &standing, Some(older[0].interval.range.start), now);
        assert_eq!((oldest[0].interval.name.as_str(), paging.older), ("2024-01-01", None));
    }

    #[test]
    fn a_day_of_twenty_five_hours_has_a_place_for_each() {
        let grid = grid(Unit::Hour, "America/New_York", "2026-10-30T00");
        let standing = standing(&grid, "2026-10-30..2026-11-03", "2026-11-01T05");
        let now = interval_text::parse("2026-11-03T00", &grid).unwrap().start;
        let (cells, _, shape) = page(&grid, &orders(), &standing, None, now);
        assert_eq!((shape, cells.len()), (Shape::Hours, 97));
        let places: std::collections::BTreeSet<_> = cells.iter().map(|cell| (cell.row, cell.column)).collect();
        assert_eq!(places.len(), cells.len(), "two cells have one place");
        assert_eq!(cells.iter().filter(|cell| cell.row == 2).count(), 25);
    }

    #[test]
    fn months_and_weeks_are_rows_of_years() {
        for (unit, begin, range, hole) in [
            (Unit::Month, "2020-01", "2020-01..2026-11", "2025-07"),
            (Unit::Week, "2020-W01", "2020-W01..2026-W40", "2025-W30"),
        ] {
            let grid = grid(unit, "UTC", begin);
            let standing = standing(&grid, range, hole);
            let now = standing.statuses.keys().span().unwrap().end;
            let (cells, ..) = page(&grid, &orders(), &standing, None, now);
            let places: std::collections::BTreeSet<_> = cells.iter().map(|cell| (cell.row, cell.column)).collect();
            assert_eq!(places.len(), cells.len(), "two cells have one place");
            assert_eq!(cells.iter().filter(|cell| cell.mark == Mark::Missing).count(), 1);
        }
    }

    #[test]
    fn what_needs_somebody_is_told_first() {
        let grid = grid(Unit::Day, "UTC", "2026-01-01");
        let standing = standing(&grid, "2026-01-01..2026-02-01", "2026-01-10");
        let cutting = Cutting {
            grid: Some(&grid),
            is_source: false,
        };
        let (told, more) = ranges(cutting, &orders(), &standing);
        let names: Vec<&str> = told.iter().map(|range| range.name.as_str()).collect();
        assert_eq!(
            names,
            ["2026-01-10", "2026-01-11..2026-02-01", "2026-01-01..2026-01-10"]
        );
        assert_eq!(
            told[0].fix.as_ref().unwrap().command,
            "mulgil backfill orders@2026-01-10"
        );
        assert_eq!((told[1].fix.as_ref(), more), (None, 0));
        assert_eq!(in_words(&standing.statuses.keys(), &grid), "2026-01");
    }
}
