//! Large projects and ledgers that no example has.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Result;
use mulgil_core::{
    grid::{Cut, Grid, Unit, Zone},
    interval::{Instant, Interval},
    name::Instance,
    project::Project,
    state::State,
    timeline::Timeline,
};

/// A small generator, so that a seed gives the same numbers everywhere.
pub(crate) struct Random(u64);

impl Random {
    /// From a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number below a bound. Xorshift, after Marsaglia (2003).
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Nodes by day in a row, each reading the one before it, over years of which 5 % are holes.
pub(crate) fn days(nodes: usize, years: u32) -> (Project, State, Instant) {
    let mut text = String::from("begin 2023-01-01\n");
    for index in 0..nodes {
        let reads = if index % 10 == 0 {
            String::new()
        } else {
            format!(" reads n{}", index - 1)
        };
        let _ = writeln!(text, "model n{index} by day{reads}");
    }
    let _ = writeln!(text, "now {}-01-01T00:00:00Z", 2023 + years);
    with_holes(Timeline::parse(&text), 20)
}

/// One node by hour, over so many hours of which 5 % are holes.
pub(crate) fn hours(count: u64) -> (Project, State, Instant) {
    let mut timeline = Timeline::parse("begin 2010-01-01\nmodel clicks by hour\nnow 2026-01-01T00:00:00Z");
    timeline.now = Instant(timeline.now.0);
    let node = &mut timeline.project.nodes[0];
    let grid = Grid {
        cut: Cut::Unit(Unit::Hour),
        zone: Zone::UTC,
        begin: None,
        end: None,
    };
    node.grid.begin = Some(grid.back(timeline.now, u32::try_from(count).unwrap_or(u32::MAX)));
    with_holes(timeline, 20)
}

/// Fills all but one in so many intervals of every node.
fn with_holes(mut timeline: Timeline, one_in: u64) -> (Project, State, Instant) {
    let mut random = Random::new(7);
    for node in &timeline.project.nodes {
        let state = timeline.state.nodes.entry(Instance::of(node.name.clone())).or_default();
        let begin = node.grid.extent().start;
        let Some(whole) = Interval::new(begin, node.grid.floor(timeline.now)) else {
            continue;
        };
        for interval in node.grid.intervals(whole) {
            if random.below(one_in) != 0 {
                state.filled.insert(interval, node.fingerprint);
                state.made_at.insert(interval, timeline.now);
            }
        }
    }
    (timeline.project, timeline.state, timeline.now)
}

/// A project folder of so many models in chains of ten over one source, each with a config, a macro
/// and a test.
pub(crate) fn models(folder: &Path, count: usize) -> Result<()> {
    fs::create_dir_all(folder.join("models"))?;
    fs::create_dir_all(folder.join("macros"))?;
    fs::create_dir_all(folder.join("data"))?;
    fs::write(
        folder.join("data/events.csv"),
        "event_at,user_id,amount\n2026-01-01T00:00:00Z,1,2\n",
    )?;
    fs::write(
        folder.join("mulgil.yml"),
        "name: wide\ntimezone: Asia/Seoul\nmodels: {wide: {+begin: 2026-01-01}}\n\
         sources: {raw: {events: {files: data/events.csv, event_time: event_at, columns: {event_at: timestamptz}}}}\n",
    )?;
    fs::write(
        folder.join("macros/money.sql"),
        "{% macro won(column) %}cast({{ column }} as bigint){% endmacro %}\n",
    )?;
    let mut properties = String::from("models:\n");
    for index in 0..count {
        let from = match index % 10 {
            0 => "{{ source('raw', 'events') }}".to_owned(),
            _ => format!("{{{{ ref('m{}') }}}}", index - 1),
        };
        let sql = format!(
            "{{{{ config(interval='day', event_time='event_at') }}}}\n-- model {index}\nwith base as (\n  select event_at, user_id, {{{{ won('amount') }}}} as amount\n  from {from}\n  where amount > {index}\n)\nselect event_at, user_id, case when amount > 10 then 10 else amount end as amount\nfrom base\nwhere user_id is not null\n"
        );
        fs::write(folder.join(format!("models/m{index}.sql")), sql)?;
        let _ = writeln!(
            properties,
            "  - {{name: m{index}, columns: [{{name: user_id, data_tests: [not_null]}}]}}"
        );
    }
    Ok(fs::write(folder.join("models/schema.yml"), properties)?)
}
