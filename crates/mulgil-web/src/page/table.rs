//! A table: its intervals first, then what it is and whom it concerns.

use maud::{Markup, html};

use super::{table_heat, table_size};
use crate::{
    address,
    frame::{Head, Section, page},
    look::Language,
    number,
    part::{fault, link, mark},
    text::{frame as shared, state as states, table as words},
    time::Clock,
    view::{
        Frame, Link, Mark,
        table::{Column, SAMPLE_ROWS, Sample, Size, Table, Test},
    },
};

/// Letters of a description that stand in sight.
const LEAD_SHOWN: usize = 400;
/// Letters of a description that the page shows.
const DESCRIPTION_SHOWN: usize = 4_000;
/// Letters of a column's description.
const COLUMN_TEXT_SHOWN: usize = 200;
/// Letters of a value of the sample.
const VALUE_SHOWN: usize = 80;
/// Rows that broke a test, each.
const BROKEN_SHOWN: usize = 5;
/// Letters of such a row.
const BROKEN_ROW_SHOWN: usize = 300;

/// The page.
pub fn table(frame: &Frame, view: &Table) -> String {
    let language = frame.look.language;
    let clock = frame.clock();
    let name = full_name(view);
    let body = html! {
        div .page-head {
            h1 { (link::name(&name)) }
            span .muted { (states::node_kind(view.kind, language)) @if let Some(made) = view.materialization { " · " (made) } }
            @if let Some(href) = view.backfill_href.as_deref().filter(|href| address::is_local(href)) {
                a .button .end href=(href) { (words::BACKFILL.of(language)) }
            }
        }
        @if let Some(text) = &view.description { (description(text, language)) }
        (table_heat::heat(frame, view))
        div #about data-live {
            div .sides {
                (facts(view, &clock))
                (neighbours(view, language))
            }
            @if !view.tests.is_empty() { (tests(&view.tests, &clock)) }
            @if !view.columns.is_empty() { (columns(view, language)) }
            (table_size::sizes(&view.sizes, &clock))
            (sample(view, language))
        }
    };
    page(frame, &Head::below(Section::Tables, name), &body)
}

/// A long one is folded: what is to be seen first are the intervals.
fn description(text: &str, language: Language) -> Markup {
    html! {
        p .lead { (link::free(text, LEAD_SHOWN)) }
        @if text.chars().count() > LEAD_SHOWN {
            details .twin {
                summary { (words::WHOLE_DESCRIPTION.of(language)) }
                p .lead-rest { (link::free(text, DESCRIPTION_SHOWN)) }
            }
        }
    }
}

fn full_name(view: &Table) -> String {
    match &view.keys {
        Some(keys) => format!("{}[{keys}]", view.name),
        None => view.name.clone(),
    }
}

fn facts(view: &Table, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    let fact = |name: crate::text::Text, value: Markup| html! { dt { (name.of(language)) } dd { (value) } };
    html! {
        section .part {
            h2 .unseen { (words::DESCRIPTION.of(language)) }
            dl .facts {
                @if let Some(grid) = &view.grid {
                    (fact(words::GRID, html! { (words::grid(&grid.unit, &grid.zone, &grid.begin, language)) }))
                }
                @if let Some(schedule) = &view.schedule { (fact(words::SCHEDULE, link::code(schedule))) }
                @if let Some(at) = view.next_at { (fact(words::NEXT, clock.minute(at))) }
                @if let Some(size) = &view.size { (size_facts(size, clock)) }
                @if let Some(relation) = &view.relation { (fact(words::RELATION, link::code(relation))) }
                @if let Some(path) = &view.path { (fact(words::FILE, link::code(path))) }
                @if let Some(owner) = &view.owner { (fact(words::OWNER, link::name(owner))) }
                @if !view.tags.is_empty() {
                    (fact(words::TAGS, html! { @for tag in view.tags.iter().take(40) { (link::code(tag)) " " } }))
                }
                @if !view.instances.is_empty() { (fact(words::INSTANCES, marked(&view.instances))) }
            }
        }
    }
}

fn size_facts(size: &Size, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        dt { (words::SIZE.of(language)) }
        dd {
            @if let Some(rows) = size.rows { (shared::rows(rows, language)) " · " }
            (number::bytes(size.bytes)) " · " (words::files(size.files, language))
        }
        @if let Some(version) = size.version { dt { (words::VERSION.of(language)) } dd { (version) } }
        @if let Some(at) = size.changed_at { dt { (words::CHANGED.of(language)) } dd { (clock.moment(at)) } }
    }
}

fn neighbours(view: &Table, language: Language) -> Markup {
    let list = |tables: &[(Link, Mark)]| {
        if tables.is_empty() {
            html! { p .muted { (words::NONE.of(language)) } }
        } else {
            marked(tables)
        }
    };
    html! {
        section .part .neighbours {
            div { h2 { (words::UPSTREAM.of(language)) } (list(&view.upstream)) }
            div { h2 { (words::DOWNSTREAM.of(language)) } (list(&view.downstream)) }
        }
    }
}

fn marked(tables: &[(Link, Mark)]) -> Markup {
    html! { ul .marked { @for (table, mark) in tables { li { (mark::shape(*mark)) (link::link(table)) } } } }
}

fn tests(tests: &[Test], clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        section .part {
            h2 { (words::TESTS.of(language)) }
            ul .tests { @for test in tests { (one_test(test, clock)) } }
        }
    }
}

fn one_test(test: &Test, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        li {
            p .test {
                @match test.last {
                    None => { (mark::verdict(crate::view::Verdict::Unknown, language)) }
                    Some((0, _)) => { (mark::verdict(crate::view::Verdict::Good, language)) }
                    Some(_) if test.warns => { (mark::verdict(crate::view::Verdict::Warning, language)) }
                    Some(_) => { (mark::verdict(crate::view::Verdict::Bad, language)) }
                }
                (link::name(&test.name))
                span .muted {
                    @match test.last {
                        None => (words::NEVER_RAN.of(language)),
                        Some((0, at)) => { (words::PASSED.of(language)) " " (clock.minute(at)) }
                        Some((rows, at)) => { (words::test_failures(rows, language)) " " (clock.minute(at)) }
                    }
                    @if test.warns { " · " (words::ONLY_WARNS.of(language)) }
                    @if test.has_changed { " · " (words::TEST_CHANGED.of(language)) }
                }
            }
            @if !test.sample.is_empty() {
                pre .scroll tabindex="0" { @for row in test.sample.iter().take(BROKEN_SHOWN) { (link::cut(row, BROKEN_ROW_SHOWN)) "\n" } }
            }
        }
    }
}

fn columns(view: &Table, language: Language) -> Markup {
    html! {
        section .part {
            h2 { (words::COLUMNS.of(language)) " " span .muted { (number::count((view.columns.len() as u64).saturating_add(view.more_columns))) } }
            div .scroll { table .list .columns {
                thead { tr {
                    th scope="col" { (words::COLUMN.of(language)) }
                    th scope="col" { (words::TYPE.of(language)) }
                    th scope="col" { (words::DESCRIPTION.of(language)) }
                } }
                tbody { @for column in &view.columns { (one_column(column)) } }
            } }
            @if view.more_columns > 0 { p .rest .muted { (words::more_columns(view.more_columns, language)) } }
        }
    }
}

fn one_column(column: &Column) -> Markup {
    html! {
        tr {
            th scope="row" { (link::code(&column.name)) }
            td .muted { (link::code(&column.kind)) }
            td {
                @if let Some(description) = &column.description { (link::free(description, COLUMN_TEXT_SHOWN)) " " }
                @for test in column.tests.iter().take(12) { span .tag { (link::name(test)) } " " }
            }
        }
    }
}

fn sample(view: &Table, language: Language) -> Markup {
    html! {
        @if view.sample.is_some() || view.sample_href.is_some() {
            section .part #sample {
                h2 { (words::SAMPLE.of(language)) }
                @match &view.sample {
                    None => @if let Some(href) = view.sample_href.as_deref().filter(|href| address::is_local(href)) {
                        a .button href={ (href) "#sample" } { (words::SAMPLE_SHOW.of(language)) }
                    },
                    Some(Sample::Fault(found)) => (fault::fault(found, language)),
                    Some(Sample::Rows { rows, .. }) if rows.is_empty() => p .muted { (words::SAMPLE_EMPTY.of(language)) },
                    Some(Sample::Rows { columns, rows, more_columns }) => {
                        (sample_rows(columns, rows))
                        @if *more_columns > 0 { p .rest .muted { (words::more_columns(*more_columns, language)) } }
                    }
                }
            }
        }
    }
}

fn sample_rows(columns: &[String], rows: &[Vec<Option<String>>]) -> Markup {
    html! {
        div .scroll tabindex="0" { table .sample {
            thead { tr { @for column in columns { th scope="col" { (link::code(column)) } } } }
            tbody { @for row in rows.iter().take(SAMPLE_ROWS) { tr { @for value in row {
                @match value {
                    Some(value) => td .num[is_number(value)] { (link::free(value, VALUE_SHOWN)) },
                    None => td .null { (words::NULL) },
                }
            } } } }
        } }
    }
}

fn is_number(value: &str) -> bool {
    !value.is_empty() && value.len() < 40 && value.parse::<f64>().is_ok_and(f64::is_finite)
}
