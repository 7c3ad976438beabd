//! The values of the page that says why an interval stands as it does: the scheduler's own predicates, asked of
//! the picture's forecast, with what the ledger knows beside.

use mulgil_core::{
    checks::{Check, Context, Says, checks, flow_checks},
    codes,
    diagnostic::Diagnostic,
    flow::{Flow, name},
    grid::Grid,
    interval::{Instant, Interval, RangeMap, RangeSet},
    interval_text,
    name::Instance,
    project::{Materialization, Node},
    select,
    state::NodeState,
    why::Status,
};
use mulgil_server::NoPage;
use mulgil_store::{
    FillFact,
    page::{FailedRow, FlowRunRow},
};
use mulgil_web::view::{
    Fix, Here, Link, Verdict,
    why::{Fill, Row, Why},
};

use super::{Made, Sight, cells::shape_of, faults, names, picture::Picture};
use crate::command::why_checks::{self, Subject};

/// Fills that are told.
const FILLS_SHOWN: usize = 5;

pub(super) async fn why(sight: Sight<'_>, target: &str) -> Made<Why> {
    match name::flow_in(target) {
        Some(rest) => of_flow(sight, target, rest).await,
        None => of_node(sight, target).await,
    }
}

/// All that a page is put together from.
struct Found<'a> {
    sight: Sight<'a>,
    instance: Instance,
    range: Interval,
    grid: &'a Grid,
    checks: Vec<Check>,
    status: Vec<(Interval, Status)>,
    fills: Vec<Fill>,
    /// The newest attempt that failed in it.
    failed: Option<FailedRow>,
}

async fn of_node(sight: Sight<'_>, target: &str) -> Made<Why> {
    let Sight {
        store, picture, now, ..
    } = sight;
    let project = &picture.project;
    let (instance, range) = select::one(project, target).map_err(|fault| {
        let name = target.split(['@', '[']).next().unwrap_or(target);
        match picture.node(name) {
            Some(_) => faults::unreadable(fault),
            None => faults::no_table(project, name),
        }
    })?;
    let Some(node) = project.node(&instance.node) else {
        return Err(faults::no_table(project, target));
    };
    let state = picture.state.nodes.get(&instance);
    let fills = store.newest_fills(&instance, range, FILLS_SHOWN).await?;
    let live = state.and_then(|state| state.live.within(range).next().map(|(_, live)| live.attempt));
    let run = match live {
        Some(attempt) => store.run_of_attempt(attempt).await?,
        None => None,
    };
    let failed = failed_in(sight, state, &instance, range).await?;
    let context = Context {
        fill: fills.first().map(|fill| (fill.filled_at, rows_of(node, fill))),
        run,
        ..context(sight)
    };
    let forecast = picture.forecast(now);
    let checks = checks(&forecast, &instance, range, &context);
    let known = mulgil_core::why::statuses(&forecast, &instance);
    let found = Found {
        status: parts(&known, range),
        fills: fills.iter().map(|fill| fill_of(fill, node)).collect(),
        instance,
        range,
        grid: &node.grid,
        checks,
        failed,
        sight,
    };
    let topics = vec![format!("table:{}", node.name)];
    Ok((found.page(), topics))
}

async fn of_flow(sight: Sight<'_>, target: &str, rest: &str) -> Made<Why> {
    let Sight {
        store, picture, now, ..
    } = sight;
    let (name, interval) = rest.split_once('@').map_or((rest, None), |(name, at)| (name, Some(at)));
    let Some(flow) = picture.project.flow(name) else {
        return Err(faults::no_flow(&picture.project, name));
    };
    let (none, idle) = (NodeState::default(), RangeSet::new());
    let instance = flow.instance();
    let state = picture.flows.get(&instance).unwrap_or(&none);
    let range = flow_interval(flow, target, interval).map_err(faults::unreadable)?;
    let active = picture.active.get(name).unwrap_or(&idle);
    let runs = store.runs_of_interval(name, range, FILLS_SHOWN as u32).await?;
    let tick = store.ticks(Some(instance.node.as_str()), 1).await?.into_iter().next();
    let failed = failed_in(sight, Some(state), &instance, range).await?;
    let done = runs.iter().find(|run| run.state == mulgil_core::run::RunState::Success);
    let context = Context {
        tick: tick.map(|row| (row.tick, row.run)),
        fill: done.and_then(|run| Some((run.ended_at?, None))),
        run: runs.iter().find(|run| run.ended_at.is_none()).map(|run| run.run),
        active_runs: active_runs(flow, active),
        ..context(sight)
    };
    let known = flow.statuses(state, active, now);
    let found = Found {
        checks: flow_checks(flow, state, active, range, now, &context),
        status: parts(&known, range),
        fills: runs
            .iter()
            .filter(|run| run.ended_at.is_some())
            .map(|run| run_of(run, &flow.grid))
            .collect(),
        instance,
        range,
        grid: &flow.grid,
        failed,
        sight,
    };
    Ok((found.page(), vec![format!("flow:{name}")]))
}

/// What is known beside the forecast, of whatever it is.
fn context(sight: Sight<'_>) -> Context {
    let heartbeat = sight.picture.health.as_ref().map(|facts| facts.heartbeat_at);
    Context {
        slots: Some((sight.picture.live, sight.slots)),
        heartbeat,
        ..Context::default()
    }
}

/// How many runs of a flow go on: each interval of one has its own.
fn active_runs(flow: &Flow, active: &RangeSet) -> u64 {
    active.iter().map(|range| flow.grid.count(range)).sum()
}

/// The interval of a flow that is named.
fn flow_interval(flow: &Flow, target: &str, text: Option<&str>) -> Result<Interval, Diagnostic> {
    match text {
        Some(text) => interval_text::parse(text, &flow.grid),
        None if !flow.grid.is_cut() => Ok(Interval::WHOLE),
        None => Err(
            Diagnostic::error(codes::BAD_INTERVAL, format!("`{target}` is run by intervals; name one"))
                .with_remedy(format!("write `{target}@2026-03-10`")),
        ),
    }
}

/// The newest attempt that failed in a range, where the ledger says that one has.
async fn failed_in(
    sight: Sight<'_>,
    state: Option<&NodeState>,
    instance: &Instance,
    range: Interval,
) -> Result<Option<FailedRow>, NoPage> {
    if !state.is_some_and(|state| state.failing.keys().overlaps(range)) {
        return Ok(None);
    }
    let all = sight.store.newest_failed().await?;
    Ok(all
        .into_iter()
        .find(|row| row.instance == *instance && row.range.overlaps(range)))
}

/// How a range stands, part by part, also where nothing is known of it.
fn parts(known: &RangeMap<Status>, range: Interval) -> Vec<(Interval, Status)> {
    let mut parts: Vec<_> = known
        .within(range)
        .map(|(part, status)| (part, status.clone()))
        .collect();
    let unknown = RangeSet::from(range).subtract(&known.keys());
    parts.extend(unknown.iter().map(|part| (part, Status::NotExpected)));
    parts.sort_by_key(|(part, _)| part.start);
    parts
}

/// How many rows a fill gave; a view keeps none.
fn rows_of(node: &Node, fill: &FillFact) -> Option<u64> {
    (node.materialization != Materialization::View).then_some(fill.rows)
}

fn fill_of(fill: &FillFact, node: &Node) -> Fill {
    Fill {
        at: fill.filled_at,
        run: fill.run.map(names::run_link),
        with: interval_text::format(fill.range, &node.grid),
        version: fill.version,
        rows: rows_of(node, fill),
    }
}

fn run_of(run: &FlowRunRow, grid: &Grid) -> Fill {
    Fill {
        at: run.ended_at.unwrap_or(run.started_at),
        run: Some(names::run_link(run.run)),
        with: interval_text::format(run.interval, grid),
        version: None,
        rows: None,
    }
}

impl Found<'_> {
    fn page(self) -> Why {
        let Sight { picture, now, .. } = self.sight;
        let subject = Subject {
            project: &picture.project,
            instance: &self.instance,
            range: self.range,
            grid: self.grid,
            now,
        };
        let is_due = why_checks::is_due(&self.checks, now);
        let target = names::target(&self.instance, self.range, self.grid);
        let rows = why_checks::telling(&self.checks).map(|check| Row {
            verdict: verdict(check, is_due, now),
            since: since(check),
            links: self.links(check),
            fix: why_checks::command_for(check, subject).map(|command| self.fix(command)),
            check: check.clone(),
        });
        let status = self
            .status
            .iter()
            .map(|(part, status)| (names::named(*part, self.grid), status.clone(), names::mark(status)));
        Why {
            node: match name::flow_in(self.instance.node.as_str()) {
                Some(flow) => names::flow_link(flow),
                None => names::table_link(&self.instance),
            },
            interval: names::named(self.range, self.grid),
            zone: self.grid.zone.clone(),
            count: self.grid.count(self.range),
            status: status.collect(),
            checks: rows.collect(),
            before: self.neighbour(Instant(self.range.start.0.saturating_sub(1))),
            after: self.neighbour(self.range.end),
            fix: why_checks::best_command(&self.checks, subject).map(|command| self.fix(command)),
            fills: self.fills.clone(),
            command: format!("mulgil why {target}"),
        }
    }

    /// The interval beside it, where there is one.
    fn neighbour(&self, at: Instant) -> Option<Link> {
        if !self.grid.is_cut() || !self.grid.extent().contains_instant(at) {
            return None;
        }
        let beside = self.grid.interval_at(at);
        let text = interval_text::format(beside, self.grid);
        Some(Link {
            href: Some(names::why_href(&format!("{}@{text}", self.instance))),
            text,
        })
    }

    /// A command, with the form that does the same.
    fn fix(&self, command: String) -> Fix {
        let picture: &Picture = self.sight.picture;
        let cutting = shape_of(picture, &self.instance);
        let fills = command.starts_with("mulgil run ") || command.starts_with("mulgil backfill ");
        let form = if !fills {
            None
        } else if let (Some(flow), 1) = (name::flow_in(self.instance.node.as_str()), self.grid.count(self.range)) {
            let interval = interval_text::format(self.range, self.grid);
            let query = if self.grid.is_cut() {
                format!("?interval={}", names::encoded(&interval))
            } else {
                String::new()
            };
            Some(format!("{}/run{query}", names::flow_href(flow)))
        } else if self.grid.is_cut() {
            let from = interval_text::format(self.grid.interval_at(self.range.start), self.grid);
            let to = interval_text::format(self.grid.interval_at(self.range.end), self.grid);
            cutting.backfill_href(&self.instance, &[("from", &from), ("to", &to)])
        } else {
            cutting.backfill_href(&self.instance, &[])
        };
        let page = || command.strip_prefix("mulgil why ").map(names::why_href);
        let here = form.map(Here::Form).or_else(|| page().map(Here::Page));
        Fix { command, here }
    }

    /// Where to look further.
    fn links(&self, check: &Check) -> Vec<Link> {
        match check {
            Check::Tick { run: Some(run), .. } | Check::InFlight { run: Some(run), .. } => vec![names::run_link(*run)],
            Check::Input {
                from,
                is_source,
                absent,
                due,
                ..
            } => {
                let mut links = vec![names::table_link(from)];
                let picture = self.sight.picture;
                let first = absent.iter().chain(due.iter()).next().filter(|_| !is_source);
                links.extend(first.map(|range| {
                    let text = shape_of(picture, from).first_target(from, range);
                    Link {
                        href: Some(names::why_href(&text)),
                        text,
                    }
                }));
                links
            }
            Check::Failing { .. } => {
                let attempt = |row: &FailedRow| Link {
                    href: Some(names::attempt_href(row.run, row.task, row.try_number)),
                    ..names::run_link(row.run)
                };
                self.failed.iter().map(attempt).collect()
            }
            Check::Tested { .. } => vec![names::table_link(&Instance::of(self.instance.node.clone()))],
            Check::Named { .. }
            | Check::Wanted { .. }
            | Check::Tick { run: None, .. }
            | Check::Waived { .. }
            | Check::Filled { .. }
            | Check::Right { .. }
            | Check::RolledBack { .. }
            | Check::InFlight { run: None, .. }
            | Check::Room { .. }
            | Check::Server { .. } => Vec::new(),
        }
    }
}

/// What a check means for a reader. Where nothing is to be done, it does not matter that nobody wants it, or that
/// there is no room for it.
fn verdict(check: &Check, is_due: bool, now: Instant) -> Verdict {
    match (check, check.says(now)) {
        (Check::Wanted { .. } | Check::Room { .. } | Check::Input { .. }, _) if !is_due => Verdict::Good,
        (Check::Failing { .. }, _) => Verdict::Bad,
        (Check::Input { absent, .. }, Says::Waits) if !absent.is_empty() => Verdict::Bad,
        (Check::Filled { .. }, Says::Due) => Verdict::Bad,
        (_, Says::Fine) => Verdict::Good,
        (_, Says::Due | Says::Waits) => Verdict::Warning,
        (_, Says::Stops) => Verdict::Bad,
    }
}

/// Since when it is so.
fn since(check: &Check) -> Option<Instant> {
    match check {
        Check::Tick { scheduled_at, .. } => Some(*scheduled_at),
        Check::Filled { at, .. } => *at,
        Check::Failing { failed_at, .. } => Some(*failed_at),
        Check::Server { heartbeat_at } => *heartbeat_at,
        Check::Wanted {
            last_tick, is_wanted, ..
        } => last_tick.filter(|_| *is_wanted),
        Check::Named { .. }
        | Check::Waived { .. }
        | Check::Right { .. }
        | Check::Input { .. }
        | Check::RolledBack { .. }
        | Check::Tested { .. }
        | Check::InFlight { .. }
        | Check::Room { .. } => None,
    }
}
