//! A project, its ledger and a moment as a few lines of text, for tests of decisions.
//!
//! ```text
//! zone Asia/Seoul
//! begin 2026-11-01
//! source raw by day
//! model orders by day reads raw lookback 2 every '0 6 * * *'
//! model week by day reads orders last 7 days
//! model report reads week
//! available raw 2026-11-01..2026-11-20
//! filled orders 2026-11-16..2026-11-19
//! now 2026-11-20T06:00+09:00
//! ```
//! Words after a name, in any order: `by UNIT`, `by cron 'M H D M W'`, `reads A, B last N UNITs, C whole`,
//! `every 'M H D M W'`, `lookback N`, `settle Nd`, `partial`, `view`, `published` (after its tests), `keys column=v|w`, `code N`,
//! `test NAME`, `tags v|w`, `owner NAME`, `in FOLDER`; `seed` before `reads`. Facts: `filled NAME RANGE [at TIME] [code N]`, `changed NAME RANGE upstream|source OF`,
//! `foreign`, `asked`, `live`, `untested`, `waived NAME RANGE`, `versions NAME NEWEST PUBLISHED`, `tested NAME TEST FAILURES`, `failing NAME RANGE times N`, `rolled-back NAME RANGE VERSION`, `undone NAME RANGE`,
//! `available|gone SOURCE RANGE`. Without `by` a range is `all`.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use crate::{
    codes,
    cron::Cron,
    data_test::Thresholds,
    decide::{Action, Limits, Scope, decide},
    diagnostic::{Place, Retry, Severity},
    due::Reason,
    grid::{Cut, Grid, Unit, Zone},
    interval::{Instant, Interval, RangeSet},
    interval_text,
    location::{Location, StoreOptions},
    mapping::Mapping,
    name::{Instance, NodeName, Relation},
    plan::{Forecast, StepAction},
    project::{
        Batch, CodeFp, DataTest, FileFormat, FilePattern, Fingerprint, Input, KeyColumn, Materialization, Missed, Node,
        Project, Publish, Source, TestKind, Upstream,
    },
    schedule::Schedule,
    state::{Cause, Failing, Live, State, TestState},
};

/// What a text describes.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The project.
    pub project: Project,
    /// The ledger.
    pub state: State,
    /// The moment.
    pub now: Instant,
    begin: Option<Instant>,
}

impl Timeline {
    /// Reads a text; panics with the line that it cannot read, since it stands in a test.
    pub fn parse(text: &str) -> Self {
        let project = Project {
            name: "shop".to_owned(),
            environment: "dev".to_owned(),
            zone: Zone::UTC,
            schema: "shop".to_owned(),
            root: PathBuf::new(),
            warehouse: Location::Folder(PathBuf::from("warehouse")),
            nodes: Vec::new(),
            sources: Vec::new(),
            flows: Vec::new(),
            webhooks: BTreeMap::new(),
        };
        let mut timeline = Self {
            project,
            state: State::default(),
            now: Instant(0),
            begin: None,
        };
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            timeline
                .line(line)
                .unwrap_or_else(|| panic!("timeline: cannot read `{line}`"));
        }
        timeline
    }

    /// The forecast at the timeline's moment.
    pub fn forecast(&self) -> Forecast<'_> {
        Forecast::new(&self.project, &self.state, self.now)
    }

    /// The plan as lines: `fill orders 2026-11-17..2026-11-19  (lookback)`, a `?` behind what is due
    /// only if an upstream changes; then what waits, what is held, and what may start now.
    pub fn told(&self) -> String {
        let forecast = self.forecast();
        let plan = forecast.plan();
        let mut out = String::new();
        for step in &plan.steps {
            let (verb, maybe) = match &step.action {
                StepAction::Fill => ("fill", if step.if_changed { "?" } else { "" }),
                StepAction::Test { .. } => ("test", ""),
            };
            let of = match &step.reason {
                Reason::Upstream { node } => format!(" {node}"),
                Reason::Source { source } => format!(" {source}"),
                _ => String::new(),
            };
            let range = self.range(&step.instance, step.range);
            let _ = writeln!(
                out,
                "{verb} {} {range}  ({}{of}){maybe}",
                step.instance,
                step.reason.kind()
            );
        }
        for waiting in &plan.waiting {
            let range = self.range(&waiting.instance, waiting.range);
            let _ = writeln!(out, "wait {} {range} on {}", waiting.instance, waiting.on);
        }
        for held in &plan.held {
            let to = held
                .rolled_back_to
                .map_or_else(String::new, |to| format!(" at version {to}"));
            let range = self.range(&held.instance, held.range);
            let _ = writeln!(out, "hold {} {range}{to}", held.instance);
        }
        out
    }

    /// What may start now, as lines, with that many slots.
    pub fn started(&self, parallel: usize) -> String {
        let limits = Limits::new(parallel, Scope::All, Instant(i64::MAX));
        let mut out = String::new();
        for action in decide(&self.forecast(), &limits).actions {
            let _ = match action {
                Action::Fill { instance, range, .. } => {
                    let range = self.range(&instance, range);
                    writeln!(out, "start {instance} {range}")
                }
                Action::Test { node, .. } => writeln!(out, "start tests of {node}"),
            };
        }
        out
    }

    fn range(&self, instance: &Instance, range: Interval) -> String {
        let node = self
            .project
            .node(&instance.node)
            .expect("a step's node is in the project");
        interval_text::format(range, &node.grid)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let mut words = Words::new(line);
        match words.next()? {
            "versions" => self.versions(words)?,
            "tested" => self.tested(words)?,
            "zone" => self.project.zone = Zone::named(words.next()?)?,
            "begin" => {
                let day = Grid {
                    cut: Cut::Unit(Unit::Day),
                    zone: self.project.zone.clone(),
                    begin: None,
                    end: None,
                };
                self.begin = Some(interval_text::parse(words.next()?, &day).ok()?.start);
            }
            "now" => self.now = instant(words.next()?)?,
            "source" => self.source(words)?,
            "model" => self.model(words)?,
            "available" => {
                let (name, range) = self.source_range(&mut words)?;
                self.state.sources.entry(name).or_default().available.insert(range);
            }
            "gone" => {
                let (name, range) = self.source_range(&mut words)?;
                let state = self.state.sources.entry(name).or_default();
                state.available.remove(range);
                state.gone.insert(range);
            }
            fact => self.fact(fact, words)?,
        }
        Some(())
    }

    fn fact(&mut self, fact: &str, mut words: Words<'_>) -> Option<()> {
        let instance = Instance::parse(words.next()?)?;
        let node = self.project.node(&instance.node)?.clone();
        let range = range_of(words.next()?, &node.grid)?;
        let state = self.state.nodes.entry(instance).or_default();
        match fact {
            "filled" => {
                let (mut fp, mut at) = (node.fingerprint, self.now);
                while let Some(word) = words.next() {
                    match word {
                        "at" => at = instant(words.next()?)?,
                        "code" => fp.code = Fingerprint(words.next()?.parse().ok()?),
                        _ => return None,
                    }
                }
                state.filled.insert(range, fp);
                state.made_at.insert(range, at);
                state.fill_seq += 1;
            }
            "changed" => {
                let cause = match (words.next()?, words.next()?) {
                    ("upstream", of) => Cause::Upstream(of.into()),
                    ("source", of) => Cause::Source(of.into()),
                    _ => return None,
                };
                state.dirty.entry(cause).or_default().insert(range);
            }
            "foreign" => state.dirty.entry(Cause::Target).or_default().insert(range),
            "unfinished" => state.dirty.entry(Cause::Hooks).or_default().insert(range),
            "again" => state.dirty.entry(Cause::Again).or_default().insert(range),
            "asked" => state.dirty.entry(Cause::Manual).or_default().insert(range),
            "live" => state.live.insert(range, Live { attempt: 1, epoch: 1 }),
            "untested" => state.untested.insert(range),
            "waived" => state.waived.insert(range),
            "rolled-back" => {
                let failing = Failing::rolled_back(words.next()?.parse().ok()?, node.fingerprint, self.now);
                state.failing.insert(range, failing);
            }
            "undone" => state.dirty.entry(Cause::Rollback).or_default().insert(range),
            "failing" => {
                let times = if words.next()? == "times" {
                    words.next()?.parse().ok()?
                } else {
                    return None;
                };
                let failing = Failing {
                    equal_count: times,
                    code: codes::BUG,
                    failed_at: self.now,
                    next_try_at: self.now,
                    retry: Retry::Never,
                    code_fp: node.fingerprint,
                    rolled_back_to: None,
                };
                state.failing.insert(range, failing);
            }
            _ => return None,
        }
        words.next().is_none().then_some(())
    }

    /// `versions NAME NEWEST PUBLISHED`, `-` for none.
    fn versions(&mut self, mut words: Words<'_>) -> Option<()> {
        let node = self.project.node(&NodeName::new(words.next()?))?;
        let table = self.state.tables.entry(node.relation.clone()).or_default();
        table.is_there = true;
        table.version = words.next()?.parse().ok();
        table.published = words.next()?.parse().ok();
        Some(())
    }

    /// `tested NAME TEST FAILURES`, over all that is filled.
    fn tested(&mut self, mut words: Words<'_>) -> Option<()> {
        let node = self.project.node(&NodeName::new(words.next()?))?;
        let name = words.next()?;
        let fingerprint = node.tests.iter().find(|test| test.name == name)?.fingerprint;
        let state = self.state.nodes.entry(Instance::of(node.name.clone())).or_default();
        let result = TestState {
            fingerprint,
            failures: words.next()?.parse().ok()?,
            fill_seq: state.fill_seq,
        };
        state.tests.insert(name.to_owned(), result);
        Some(())
    }

    fn source_range(&self, words: &mut Words<'_>) -> Option<(NodeName, Interval)> {
        let name = NodeName::new(words.next()?);
        let range = range_of(words.next()?, &self.project.source(&name)?.grid)?;
        Some((name, range))
    }

    fn source(&mut self, mut words: Words<'_>) -> Option<()> {
        let name = NodeName::new(words.next()?);
        let mut grid = Grid::whole(self.project.zone.clone());
        let mut files = FilePattern::Single(PathBuf::from(format!("{name}.csv")));
        if words.next() == Some("by") {
            let unit: Unit = words.next()?.parse().ok()?;
            grid.cut = Cut::Unit(unit);
            files = FilePattern::PerInterval {
                template: format!("{name}_{{YYYYMMDD}}.csv"),
                unit,
            };
        }
        self.project.sources.push(Source {
            name,
            files,
            format: FileFormat::Csv {
                delimiter: ',',
                null_words: Vec::new(),
            },
            grid,
            store: StoreOptions::default(),
            event_time: Some("at".to_owned()),
            zone: self.project.zone.clone(),
            columns: BTreeMap::new(),
            description: None,
            place: Place::file("mulgil.yml"),
        });
        Some(())
    }

    fn model(&mut self, mut words: Words<'_>) -> Option<()> {
        let name = NodeName::new(words.next()?);
        let mut node = self.bare_node(name);
        let mut reads = "";
        while let Some(word) = words.next() {
            match word {
                "by" => {
                    let unit = words.next()?;
                    let cron = if unit == "cron" {
                        Some(Cron::parse(words.next()?).ok()?)
                    } else {
                        None
                    };
                    node.grid.cut = match cron {
                        Some(cron) => Cut::Cron(cron),
                        None => Cut::Unit(unit.parse().ok()?),
                    };
                    node.grid.begin = self.begin;
                    node.materialization = Materialization::Interval;
                }
                "until" => {
                    node.grid.end = Some(interval_text::parse(words.next()?, &node.grid).ok()?.start);
                }
                "every" => {
                    let cron = Cron::parse(words.next()?).ok()?;
                    node.schedule = Some(Schedule {
                        cron,
                        zone: self.project.zone.clone(),
                    });
                }
                "lookback" => node.lookback = words.next()?.parse().ok()?,
                "settle" => node.settle_us = words.next()?.strip_suffix('d')?.parse::<i64>().ok()? * 86_400_000_000,
                "partial" => node.partial = true,
                "view" => node.materialization = Materialization::View,
                "published" => node.publish = Publish::AfterTests,
                "incremental" => node.materialization = Materialization::Incremental,
                "code" => node.fingerprint.code = Fingerprint(words.next()?.parse().ok()?),
                "keys" => node.keys.push(key_column(words.next()?)?),
                "test" => node.tests.push(test(words.next()?)),
                "tags" => node.tags = words.next()?.split('|').map(str::to_owned).collect(),
                "owner" => node.owner = Some(words.next()?.to_owned()),
                "in" => node.file = PathBuf::from(format!("models/{}/{}.sql", words.next()?, node.name)),
                "seed" => {
                    node.materialization = Materialization::Seed;
                    node.file = PathBuf::from(format!("seeds/{}.csv", node.name));
                }
                "reads" => reads = words.rest_until_keyword(),
                _ => return None,
            }
        }
        for read in reads.split(',').map(str::trim).filter(|read| !read.is_empty()) {
            let input = self.input(&node, read)?;
            node.reads.push(input.from.clone());
            node.inputs.push(input);
        }
        self.project.nodes.push(node);
        Some(())
    }

    fn input(&self, reader: &Node, text: &str) -> Option<Input> {
        let mut words = text.split_whitespace();
        let name = NodeName::new(words.next()?);
        let upstream = self.project.node(&name);
        let mapping = match (words.next(), words.next(), words.next()) {
            (Some("last"), Some(count), Some(unit)) => Mapping::Window {
                count: count.parse().ok()?,
                unit: unit.trim_end_matches('s').parse().ok()?,
            },
            (Some("whole"), ..) => Mapping::Whole { restates: false },
            (None, ..) if !reader.grid.is_cut() => Mapping::Whole { restates: true },
            (None, ..) if upstream.is_some_and(|node| !node.grid.is_cut()) => Mapping::Whole { restates: false },
            (None, ..) => Mapping::Overlap,
            _ => return None,
        };
        let shared = |node: &Node| {
            let shared = node
                .keys
                .iter()
                .filter(|key| reader.keys.iter().any(|own| own.name == key.name));
            shared.map(|key| key.name.clone()).collect()
        };
        let shared_keys = upstream.map(shared).unwrap_or_default();
        let from = if upstream.is_some() {
            Upstream::Node(name)
        } else {
            Upstream::Source(name)
        };
        Some(Input {
            from,
            mapping,
            shared_keys,
        })
    }

    fn bare_node(&self, name: NodeName) -> Node {
        Node {
            relation: Relation {
                schema: self.project.schema.clone(),
                name: name.to_string(),
            },
            file: PathBuf::from(format!("models/{name}.sql")),
            name,
            materialization: Materialization::Table,
            grid: Grid::whole(self.project.zone.clone()),
            event_time: Some("at".to_owned()),
            incremental: None,
            keys: Vec::new(),
            reads: Vec::new(),
            inputs: Vec::new(),
            fingerprint: CodeFp {
                code: Fingerprint(1),
                schema: Fingerprint(1),
            },
            batch: Batch::Unbounded,
            schedule: None,
            missed: Missed::All,
            lookback: 0,
            settle_us: 0,
            partial: false,
            tests: Vec::new(),
            publish: Publish::AtOnce,
            tags: Vec::new(),
            description: None,
            columns: BTreeMap::new(),
            owner: None,
        }
    }
}

fn key_column(text: &str) -> Option<KeyColumn> {
    let (name, values) = text.split_once('=')?;
    Some(KeyColumn {
        name: name.to_owned(),
        values: values.split('|').map(str::to_owned).collect(),
    })
}

fn test(name: &str) -> DataTest {
    DataTest {
        name: name.to_owned(),
        kind: TestKind::NotNull {
            column: "at".to_owned(),
        },
        severity: Severity::Error,
        thresholds: Thresholds::default(),
        fingerprint: Fingerprint::of_text(name),
        place: Place::file("models/schema.yml"),
    }
}

fn range_of(text: &str, grid: &Grid) -> Option<Interval> {
    match text {
        "all" => Some(Interval::WHOLE),
        text => interval_text::parse(text, grid).ok(),
    }
}

fn instant(text: &str) -> Option<Instant> {
    text.parse::<jiff::Timestamp>().ok().map(Instant::from_timestamp)
}

/// Words between spaces; quoted text is one word.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn new(rest: &'a str) -> Self {
        Self { rest }
    }

    /// Up to the next word that begins another clause of a model.
    fn rest_until_keyword(&mut self) -> &'a str {
        const CLAUSES: [&str; 14] = [
            " by ",
            " until ",
            " every ",
            " lookback ",
            " settle ",
            " partial",
            " published",
            " view",
            " code ",
            " keys ",
            " test ",
            " tags ",
            " owner ",
            " in ",
        ];
        let end = CLAUSES
            .iter()
            .filter_map(|clause| self.rest.find(clause))
            .min()
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken.trim()
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start();
        if rest.is_empty() {
            return None;
        }
        let (word, left) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap_or((quoted, "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        self.rest = left;
        Some(word)
    }
}

/// The sets of a text's ranges, for assertions: `2026-11-16..2026-11-19 2026-11-21`.
pub fn ranges(text: &str, grid: &Grid) -> RangeSet {
    text.split_whitespace()
        .map(|part| range_of(part, grid).expect("a range of the grid"))
        .collect()
}
