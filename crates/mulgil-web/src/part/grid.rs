//! Steps by runs: a table in which each cell is a shape, its word and a link.
//!
//! A page of it has thousands of cells, so a cell says only what does not follow from its row and column. Its
//! tooltip is made by the script, from the names of both and the times that the row has in a list: a title in each
//! cell would make the page half as large again.

use std::time::Duration;

use maud::{Markup, Render, html};

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
    let longest = flow
        .columns
        .iter()
        .filter_map(|column| column.took)
        .max()
        .unwrap_or_default();
    html! {
        div .scroll .grid-box data-from-end {
            table .grid data-grid aria-label=(words::GRID.of(language)) {
                thead { tr {
                    th scope="col" { (words::STEP.of(language)) }
                    @for column in &flow.columns { (head(column, longest, clock)) }
                } }
                tbody { @for row in &flow.rows { (grid_row(row, language)) } }
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
    let stands = column.run.map_or_else(
        || words::NO_RUN.of(language).to_owned(),
        |run| of_run::name(run, language),
    );
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
    let height = (took * BAR_HEIGHT)
        .checked_div(longest.as_millis())
        .unwrap_or(0)
        .max(u128::from(column.took.is_some()));
    html! {
        svg .took width="14" height=(BAR_HEIGHT) aria-hidden="true" {
            rect .bar .(mark::class(column.mark)) x="2" width="10" y=(BAR_HEIGHT - height) height=(height) rx="1" {}
        }
    }
}

fn grid_row(row: &Row, language: Language) -> Markup {
    html! {
        tr data-took=(took(row, language)) {
            th scope="row" .inner[row.depth > 0] title=(state::step_kind(row.kind, language)) { (link::link(&row.name)) }
            @for cell in &row.cells { td { @if let Some(cell) = cell { (grid_cell(cell, language)) } } }
        }
    }
}

/// One element and no more: what is written here is written thousands of times.
fn grid_cell(cell: &Cell, language: Language) -> Markup {
    let word = state::mark(cell.mark).of(language);
    let class = Shape {
        mark: cell.mark,
        is_tried_again: cell.attempts > 1,
    };
    html! {
        @match cell.href.as_deref().filter(|href| address::is_local(href)) {
            Some(href) => a class=(class) href=(href) { (word) },
            None => i class=(class) { (word) },
        }
    }
}

struct Shape {
    mark: Mark,
    is_tried_again: bool,
}

impl Render for Shape {
    fn render_to(&self, to: &mut String) {
        to.push_str("c ");
        to.push_str(mark::class(self.mark));
        if self.is_tried_again {
            to.push_str(" again");
        }
    }
}

/// How long each cell took, and in how many tries where there was more than one: `12초|3분 20초 · 2회 시도|…`.
fn took(row: &Row, language: Language) -> String {
    let took = |cell: &Option<Cell>| {
        let Some(cell) = cell else { return String::new() };
        let took = cell.took.map(|took| time::took(took, language));
        let tries = (cell.attempts > 1).then(|| of_run::attempts(cell.attempts, language));
        took.into_iter().chain(tries).collect::<Vec<_>>().join(" · ")
    };
    let took: Vec<_> = row.cells.iter().map(took).collect();
    took.join("|").trim_end_matches('|').to_owned()
}
