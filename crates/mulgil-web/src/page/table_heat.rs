//! The intervals of a table: a picture of cells, and beside it in words all that is not right.
//!
//! The picture is a table of links, so that it can be read by rows and gone through by keys. A long one is broken
//! into blocks, as a text is into lines, with the newest block first.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use maud::{Markup, html};
use mulgil_core::grid::Zone;

use crate::{
    look::Language,
    number,
    part::{fix, link, mark, paging},
    text::{frame as shared, state as states, table as words, time as calendar},
    time::civil,
    view::{
        Frame, Link,
        table::{Heat, HeatCell, Range, Shape, Table},
    },
};

/// Weeks of a block: half a year, so that it fits a phone.
const WEEKS_OF_BLOCK: u32 = 26;
/// Rows of a block where a row is a day.
const DAYS_OF_BLOCK: u32 = 31;
/// Ranges that are not folded.
const RANGES_IN_SIGHT: usize = 12;
/// Rows of a block where a row is a year.
const YEARS_OF_BLOCK: u32 = 40;

/// The section of the intervals.
pub(super) fn heat(frame: &Frame, view: &Table) -> Markup {
    let language = frame.look.language;
    let heat = &view.heat;
    let zone = view
        .grid
        .as_ref()
        .and_then(|grid| Zone::named(&grid.zone))
        .unwrap_or_else(|| frame.zone.clone());
    html! {
        section .part #intervals data-live {
            div .part-head { h2 { (words::INTERVALS.of(language)) } (mark::counts(&heat.counts, language)) }
            @if heat.cells.is_empty() {
                div .empty { p { (words::HEAT_EMPTY.of(language)) } p { (fix::command(&format!("mulgil plan {}", view.name), language)) } }
            } @else {
                div .heat-and-words {
                    div .heat {
                        (picture(heat, &zone, language))
                        (paging::by_time(&heat.paging, language))
                    }
                    (in_words(heat, language))
                }
            }
        }
    }
}

fn picture(heat: &Heat, zone: &Zone, language: Language) -> Markup {
    let label = words::heat(heat.shape, heat.cells.len() as u64, language);
    // Which way time goes from one cell to the next.
    let goes = if heat.shape == Shape::Days { "down" } else { "along" };
    html! {
        // One box for all blocks: a cell of it can be reached by keys, so that it can be scrolled by them.
        div .blocks .scroll role="group" aria-label=(label) data-cells=(goes) data-from-end[heat.shape == Shape::Days] {
            @match heat.shape {
                Shape::Whole | Shape::Line => div .in-line { @for cell in &heat.cells { (link_of(cell, language)) } },
                Shape::Days | Shape::Hours | Shape::Years => @for block in blocks(heat).iter().rev() {
                    (drawn(heat.shape, block, zone, language))
                },
            }
        }
    }
}

/// Cells of one block by row and column. Two can share a place: an hour that a clock has twice.
type Block<'a> = BTreeMap<u32, BTreeMap<u32, Vec<&'a HeatCell>>>;

/// The blocks, oldest first. The last one is full, and what is left over stands in the first.
fn blocks(heat: &Heat) -> Vec<Block<'_>> {
    let (by_column, size) = match heat.shape {
        Shape::Days => (true, WEEKS_OF_BLOCK),
        Shape::Hours => (false, DAYS_OF_BLOCK),
        Shape::Years | Shape::Line | Shape::Whole => (false, YEARS_OF_BLOCK),
    };
    let place = |cell: &HeatCell| if by_column { cell.column } else { cell.row };
    let last = heat.cells.iter().map(place).max().unwrap_or(0);
    let mut blocks: BTreeMap<u32, Block<'_>> = BTreeMap::new();
    for cell in &heat.cells {
        let from_the_end = (last - place(cell)) / size;
        blocks
            .entry(u32::MAX - from_the_end)
            .or_default()
            .entry(cell.row)
            .or_default()
            .entry(cell.column)
            .or_default()
            .push(cell);
    }
    blocks.into_values().collect()
}

fn drawn(shape: Shape, block: &Block<'_>, zone: &Zone, language: Language) -> Markup {
    let columns = block.values().flat_map(BTreeMap::keys);
    let (Some(first), Some(last)) = (columns.clone().min().copied(), columns.max().copied()) else {
        return html! {};
    };
    html! {
        table .block {
            thead { tr { td {} @for (span, name) in heads(shape, block, (first, last), zone, language) {
                th colspan=(span) { (name) }
            } } }
            tbody { @for (row, cells) in block {
                tr {
                    th scope="row" { (row_name(shape, *row, cells, zone, language)) }
                    @for column in first..=last {
                        td { @for cell in cells.get(&column).into_iter().flatten() { (link_of(cell, language)) } }
                    }
                }
            } }
        }
    }
}

fn link_of(cell: &HeatCell, language: Language) -> Markup {
    let word = states::interval_mark(cell.mark).of(language);
    html! {
        a class={ "c " (mark::class(cell.mark)) } href=(cell.href)
            aria-label={ (link::cut(&cell.interval.name, 60)) ", " (word) } {}
    }
}

/// The names above the columns, each over as many as it spans.
fn heads(
    shape: Shape,
    block: &Block<'_>,
    (first, last): (u32, u32),
    zone: &Zone,
    language: Language,
) -> Vec<(u32, String)> {
    let mut out: Vec<(u32, String)> = Vec::new();
    let mut before = None;
    for column in first..=last {
        let group = match shape {
            Shape::Days => newest_of(block, column, zone)
                .map(|at| (at.year(), at.month()))
                .or(before),
            Shape::Hours => Some((i16::try_from(column / 6).unwrap_or(0), 1)),
            Shape::Years | Shape::Line | Shape::Whole => Some((i16::try_from(column).unwrap_or(0), 1)),
        };
        match out.last_mut() {
            Some((span, _)) if group == before => *span += 1,
            _ => out.push((1, head(shape, column, group, before, language))),
        }
        before = group;
    }
    if shape == Shape::Days {
        give_room(&mut out);
    }
    out
}

/// A name that says the year needs four columns, any other two: with less it would reach into its neighbour. Each
/// cell says its date in full.
fn give_room(heads: &mut [(u32, String)]) {
    for (span, name) in heads {
        let needs = if name.contains('-') { 4 } else { 2 };
        if *span < needs {
            name.clear();
        }
    }
}

type Month = Option<(i16, i8)>;

fn head(shape: Shape, column: u32, group: Month, before: Month, language: Language) -> String {
    match (shape, group) {
        (Shape::Days, Some((year, month))) => match before {
            Some((year_before, _)) if year_before == year => calendar::month(month, language),
            // The first name of a block, and of a year, says which year it is.
            _ => format!("{year}-{month:02}"),
        },
        (Shape::Days, None) => String::new(),
        (Shape::Hours, _) => format!("{column:02}"),
        (Shape::Years | Shape::Line | Shape::Whole, _) => (column + 1).to_string(),
    }
}

/// The civil time of a column's last cell in a block: a week belongs to the month in which it ends.
fn newest_of(block: &Block<'_>, column: u32, zone: &Zone) -> Option<DateTime> {
    block
        .values()
        .rev()
        .find_map(|cells| cells.get(&column)?.last())
        .map(|cell| civil(cell.interval.range.start, zone))
}

fn row_name(shape: Shape, row: u32, cells: &BTreeMap<u32, Vec<&HeatCell>>, zone: &Zone, language: Language) -> String {
    let first = cells
        .values()
        .flatten()
        .next()
        .map(|cell| civil(cell.interval.range.start, zone));
    match (shape, first) {
        (Shape::Days, Some(at)) => {
            let day = usize::try_from(at.date().weekday().to_monday_zero_offset()).unwrap_or(0);
            // Every second name is enough to count by, and leaves them room.
            if row.is_multiple_of(2) {
                calendar::weekdays(language)[day].to_owned()
            } else {
                String::new()
            }
        }
        (Shape::Hours, Some(at)) => at.strftime("%Y-%m-%d").to_string(),
        (Shape::Years, Some(at)) => at.year().to_string(),
        (Shape::Line | Shape::Whole, Some(_)) | (_, None) => String::new(),
    }
}

/// What needs somebody comes first and stays in sight; the rest of a long list is folded.
fn in_words(heat: &Heat, language: Language) -> Markup {
    let (first, rest) = heat.ranges.split_at(heat.ranges.len().min(RANGES_IN_SIGHT));
    let folded = rest.len() as u64;
    html! {
        div .ranges {
            h3 .unseen { (words::RANGES.of(language)) }
            ul { @for range in first { (one_range(range, language)) } }
            @if folded > 0 {
                details .twin {
                    summary { (shared::show_more(folded, language)) }
                    ul { @for range in rest { (one_range(range, language)) } }
                }
            }
            @if heat.more_ranges > 0 { p .rest .muted { (shared::and_more(heat.more_ranges, language)) } }
        }
    }
}

fn one_range(range: &Range, language: Language) -> Markup {
    let name = Link {
        text: range.name.clone(),
        href: Some(range.href.clone()),
    };
    html! {
        li class=(if mark::is_wrong(range.mark) { "range is-wrong" } else { "range" }) {
            p {
                (mark::shape(range.mark)) span { (link::link(&name)) }
                @if range.count > 1 { span .muted .range-count { (number::count(range.count)) } }
            }
            p .range-told { (link::free(&states::status(&range.status, language), 300)) }
            @if let Some(fix) = &range.fix {
                (fix::here(fix, language))
                div .range-fix { (fix::command(&fix.command, language)) }
            }
        }
    }
}
