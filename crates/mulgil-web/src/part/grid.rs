//! Steps by runs: a table in which each cell is a shape, its word and a link.
//!
//! A page of it has thousands of cells, so a cell says only what does not follow from its row and column. It leads
//! to its run, as its column does; the script takes it to its attempt and shows a tooltip, from what the row says
//! of its cells. That is a tenth of what an address and a title in each cell would be over the wire.

use std::time::Duration;

use maud::{Markup, html};

use crate::{
    address,
    look::Language,
    part::{link, mark},
    text::{flow as words, run as of_run, state},
    time::{self, Clock},
    view::{
        Mark,
        flow::{Cell, Column, Flow, Row},
    },
};

/// How high the longest bar above the columns is.
const BAR_HEIGHT: u128 = 28;

/// The grid.
pub fn grid(flow: &Flow, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    let longest = flow.columns.iter().filter_map(|column| column.took).max().unwrap_or_default();
    html! {
        div .scroll .grid-box data-from-end {
            table .grid data-grid data-tries=(words::TRIES.of(language)) aria-label=(words::GRID.of(language)) {
                thead { tr {
                    th scope="col" { (words::STEP.of(language)) }
                    @for column in &flow.columns { (head(column, longest, clock)) }
                } }
                tbody { @for row in &flow.rows { (grid_row(row, &flow.columns, language)) } }
            }
        }
    }
}

/// What a column is called: its interval, else when it began.
pub fn name(column: &Column, clock: &Clock<'_>) -> String {
    match (&column.interval, column.started_at) {
        (Some(interval), _) => link::cut(&interval.name, 40).into_owned(),
        (None, Some(at)) => time::civil(at, clock.zone).strftime("%m-%d %H:%M").to_string(),
        (None, None) => "—".to_owned(),
    }
}

fn head(column: &Column, longest: Duration, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    let name = name(column, clock);
    let stands = column.run.map_or_else(|| words::NO_RUN.of(language).to_owned(), |run| of_run::name(run, language));
    let mut says = vec![name.clone(), stands, state::mark(column.mark).of(language).to_owned()];
    says.extend(column.took.map(|took| time::took(took, language)));
    let inside = html! {
        (bar(column, longest))
        span .when { (name) }
        (mark::shape(column.mark))
    };
    html! {
        th scope="col" data-run=[column.run] data-name=(name) title=(says.join(" · ")) {
            @match column.run {
                Some(run) => a href=(address::run(run)) { (inside) span .unseen { (state::mark(column.mark).of(language)) } },
                None => { (inside) },
            }
        }
    }
}

fn bar(column: &Column, longest: Duration) -> Markup {
    let took = column.took.unwrap_or_default().as_millis();
    let height = (took * BAR_HEIGHT).checked_div(longest.as_millis()).unwrap_or(0).max(u128::from(column.took.is_some()));
    html! {
        svg .took width="14" height=(BAR_HEIGHT) aria-hidden="true" {
            rect .bar .(mark::class(column.mark)) x="2" width="10" y=(BAR_HEIGHT - height) height=(height) rx="1" {}
        }
    }
}

fn grid_row(row: &Row, columns: &[Column], language: Language) -> Markup {
    let told: Vec<_> = row.cells.iter().zip(columns).map(|(cell, column)| told(cell.as_ref(), column, language)).collect();
    html! {
        tr data-c=(told.join("|").trim_end_matches('|')) {
            th scope="row" .inner[row.depth > 0] title=(state::step_kind(row.kind, language)) { (link::link(&row.name)) }
            @for (cell, column) in row.cells.iter().zip(columns) { (grid_cell(cell.as_ref(), column, language)) }
        }
    }
}

fn grid_cell(cell: Option<&Cell>, column: &Column, language: Language) -> Markup {
    let Some(cell) = cell else { return html! { td {} } };
    let word = state::mark(cell.mark).of(language);
    let href = match (&cell.href, column.run) {
        (None, _) => None,
        (Some(_), Some(run)) => Some(address::run(run)),
        (Some(href), None) => Some(href.clone()).filter(|href| address::is_local(href)),
    };
    // One element and no more: what is written here is written thousands of times.
    let class = Shape { mark: cell.mark, is_tried_again: cell.attempts > 1 };
    html! {
        td { @match href {
            Some(href) => a class=(class) href=(href) { (word) },
            None => i class=(class) { (word) },
        } }
    }
}

struct Shape {
    mark: Mark,
    is_tried_again: bool,
}

impl maud::Render for Shape {
    fn render_to(&self, to: &mut String) {
        to.push_str("c ");
        to.push_str(mark::class(self.mark));
        if self.is_tried_again {
            to.push_str(" again");
        }
    }
}

/// What the row tells the script of a cell: `TASK.ATTEMPT^12초`, another address where it leads to one.
fn told(cell: Option<&Cell>, column: &Column, language: Language) -> String {
    let Some(cell) = cell else { return String::new() };
    let href = cell.href.as_deref().filter(|href| address::is_local(href) && !href.contains(['|', '^'])).unwrap_or("");
    let place = column
        .run
        .and_then(|run| href.strip_prefix(&address::run(run))?.strip_prefix("/tasks/"))
        .map_or_else(|| href.to_owned(), |place| place.replace("/attempts/", "."));
    match cell.took {
        Some(took) => format!("{place}^{}", time::took(took, language)),
        None => place,
    }
}
