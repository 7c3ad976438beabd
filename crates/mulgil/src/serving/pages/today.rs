//! The values of the first page: what is wrong, what ran, how the server is.

use std::collections::BTreeMap;

use mulgil_core::{
    diagnostic::Retry,
    due::{self, Reason},
    flow::Flow,
    interval::{Instant, Interval, RangeMap},
    name::Instance,
    run::{RunState, TaskKind},
    state::NodeState,
    tick::LATE_AFTER_US,
    why::Status,
};
use mulgil_store::page::{FailedRow, FlowRunRow, OpenTicks};
use mulgil_web::view::{
    Fix, Here,
    today::{FLOWS_SHOWN, FlowDay, RunMark, TROUBLES_SHOWN, Today, Trouble, TroubleCause, TroubleKind, Troubles},
};

use super::{
    Made, Sight,
    cells::{in_words, shape_of},
    faults, health,
    names::{self, gravity},
    picture::Picture,
};

/// The time of which is told what ran, in microseconds.
const DAY_US: i64 = 86_400_000_000;
/// Runs of one flow that are shown.
const RUNS_SHOWN: usize = 48;
/// Marks that are graver need somebody.
const WELL: u8 = 3;

pub(super) async fn today(sight: Sight<'_>) -> Made<Today> {
    let Sight {
        store, picture, now, ..
    } = sight;
    let runs = store.newest_flow_runs().await?;
    let failed = store.newest_failed().await?;
    let open_ticks = store.ticks_without_runs().await?;
    let known = Known {
        picture,
        now,
        runs,
        failed,
        open_ticks,
    };
    let mut troubles = known.troubles();
    troubles.sort_by(|(kind, one), (other, two)| kind.cmp(other).then_with(|| one.name.cmp(&two.name)));
    let in_trouble = |flow: &Flow| {
        let href = names::flow_href(&flow.name);
        troubles.iter().any(|(_, trouble)| trouble.href == href)
    };
    let mut flows: Vec<&Flow> = picture.project.flows.iter().collect();
    flows.sort_by_key(|flow| (!in_trouble(flow), &flow.name));
    let more_flows = flows.len().saturating_sub(FLOWS_SHOWN) as u64;
    flows.truncate(FLOWS_SHOWN);
    let shown: Vec<&str> = flows.iter().map(|flow| flow.name.as_str()).collect();
    let since = Instant(now.0.saturating_sub(DAY_US));
    let mut days = store.flow_days(&shown, since, RUNS_SHOWN).await?;
    let flows = flows
        .into_iter()
        .map(|flow| known.day_of(flow, days.remove(&flow.name).unwrap_or_default()))
        .collect();
    let view = Today {
        troubles: by_kind(troubles),
        flows,
        more_flows,
        tables: tables(picture),
        lights: health::lights(picture, sight.slots, sight.faults, now),
    };
    Ok((view, vec!["today".to_owned()]))
}

/// Tables in all, and those that need nobody.
fn tables(picture: &Picture) -> (u64, u64) {
    let nodes = &picture.project.nodes;
    let well = nodes.iter().filter(|node| gravity(picture.worst(&node.name)) <= WELL);
    (nodes.len() as u64, well.count() as u64)
}

fn by_kind(troubles: Vec<(TroubleKind, Trouble)>) -> Vec<Troubles> {
    let mut kinds: BTreeMap<TroubleKind, Troubles> = BTreeMap::new();
    for (kind, trouble) in troubles {
        let of_kind = kinds.entry(kind).or_insert_with(|| Troubles {
            kind,
            count: 0,
            rows: Vec::new(),
        });
        of_kind.count += 1;
        if of_kind.rows.len() < TROUBLES_SHOWN {
            of_kind.rows.push(trouble);
        }
    }
    kinds.into_values().collect()
}

/// What the troubles are found in.
struct Known<'a> {
    picture: &'a Picture,
    now: Instant,
    runs: Vec<FlowRunRow>,
    failed: Vec<FailedRow>,
    open_ticks: BTreeMap<String, OpenTicks>,
}

impl Known<'_> {
    fn troubles(&self) -> Vec<(TroubleKind, Trouble)> {
        let mut troubles = Vec::new();
        for node in &self.picture.project.nodes {
            let base = Instance::of(node.name.clone());
            for instance in node.instances() {
                troubles.extend(self.of_instance(&instance, self.picture.state.nodes.get(&instance)));
            }
            if let Some(state) = self.picture.state.nodes.get(&base) {
                troubles.extend(due::failed_tests(node, state).into_iter().map(|test| {
                    let cause = TroubleCause::Test {
                        test: test.name.clone(),
                        failures: state.tests.get(&test.name).map_or(0, |last| last.failures),
                    };
                    let fix = format!("mulgil query 'select * from {}'", node.name);
                    (
                        TroubleKind::Failed,
                        Trouble {
                            fix: Some(typed(fix)),
                            ..Self::about(&base, cause)
                        },
                    )
                }));
            }
        }
        for flow in &self.picture.project.flows {
            let instance = flow.instance();
            troubles.extend(self.of_instance(&instance, self.picture.flows.get(&instance)));
            troubles.extend(self.of_last_run(flow));
            troubles.extend(self.late(flow));
        }
        troubles
    }

    /// The ranges of an instance that are not well, one trouble for each kind of them.
    fn of_instance(&self, instance: &Instance, state: Option<&NodeState>) -> Vec<(TroubleKind, Trouble)> {
        let Some(standing) = self
            .picture
            .standing(instance)
            .filter(|standing| gravity(standing.worst) > WELL)
        else {
            return Vec::new();
        };
        let mut kinds: BTreeMap<TroubleKind, RangeMap<Status>> = BTreeMap::new();
        for (range, status) in standing.statuses.iter() {
            if let Some(kind) = kind_of(status) {
                kinds.entry(kind).or_default().insert(range, status.clone());
            }
        }
        let of_kind = |(kind, ranges)| (kind, self.ranges(instance, state, kind, &ranges));
        kinds.into_iter().map(of_kind).collect()
    }

    fn ranges(
        &self,
        instance: &Instance,
        state: Option<&NodeState>,
        kind: TroubleKind,
        ranges: &RangeMap<Status>,
    ) -> Trouble {
        let shape = shape_of(self.picture, instance);
        let all = ranges.keys();
        let first = ranges.iter().next();
        let failing = state.and_then(|state| {
            let failing = state.failing.iter().filter(|(range, _)| all.overlaps(*range));
            failing.max_by_key(|(_, failing)| failing.failed_at)
        });
        let waits_on = self
            .picture
            .standing(instance)
            .and_then(|standing| standing.waits_on.clone());
        let cause = match (first.map(|(_, status)| status), waits_on) {
            (Some(Status::Stale { reason }), _) => TroubleCause::Stale(reason.clone()),
            (Some(Status::Waiting { on }), _) => TroubleCause::WaitsFor(on.clone()),
            (Some(Status::Failed | Status::Held { .. }), _) => {
                self.fault(instance, failing.map(|(range, _)| range), state)
            }
            (_, Some(on)) => TroubleCause::WaitsFor(on),
            (_, None) => TroubleCause::CanBeFilled,
        };
        let since = match kind {
            TroubleKind::Failed => failing.map(|(_, failing)| failing.failed_at),
            TroubleKind::Missing | TroubleKind::Waiting => first.and_then(|(range, _)| shape.first_end(range)),
            TroubleKind::Late | TroubleKind::Stale => None,
        };
        let filter = match kind {
            TroubleKind::Failed => "failed",
            TroubleKind::Stale => "stale",
            TroubleKind::Missing | TroubleKind::Waiting | TroubleKind::Late => "missing",
        };
        let mends = !matches!(
            cause,
            TroubleCause::WaitsFor(_) | TroubleCause::Stale(Reason::Source { .. })
        );
        Trouble {
            intervals: shape.grid.map_or_else(String::new, |grid| in_words(&all, grid)),
            count: all.iter().map(|range| shape.count(range)).sum(),
            since,
            why: first.map(|(range, _)| names::why_href(&shape.first_target(instance, range))),
            fix: match kind {
                TroubleKind::Failed => self.read_first(instance, failing.map(|(range, _)| range)),
                _ => None,
            }
            .or_else(|| {
                mends.then(|| Fix {
                    command: format!("mulgil backfill {instance} --{filter}"),
                    here: shape.backfill_href(instance, &[("only", filter)]).map(Here::Form),
                })
            }),
            ..Self::about(instance, cause)
        }
    }

    /// A trouble without intervals.
    fn about(instance: &Instance, cause: TroubleCause) -> Trouble {
        let (name, href) = match mulgil_core::flow::name::flow_in(instance.node.as_str()) {
            Some(flow) => (flow.to_owned(), names::flow_href(flow)),
            None => (instance.to_string(), names::table_href(instance)),
        };
        Trouble {
            name,
            href,
            intervals: String::new(),
            count: 0,
            cause,
            since: None,
            why: None,
            fix: None,
        }
    }

    /// What failed in a way that the next try repeats has to be read and mended before it is filled.
    fn read_first(&self, instance: &Instance, range: Option<Interval>) -> Option<Fix> {
        let row = self.newest(instance, range)?;
        (row.fault.retry != Retry::Later).then(|| Fix {
            command: format!("mulgil logs {} --attempt {}", row.run, row.attempt),
            here: Some(Here::Page(names::attempt_href(row.run, row.task, row.try_number))),
        })
    }

    /// The newest attempt that failed in a range.
    fn newest(&self, instance: &Instance, range: Option<Interval>) -> Option<&FailedRow> {
        self.failed.iter().find(|row| {
            let is_inside = range.is_none_or(|range| row.range.overlaps(range));
            row.instance == *instance && row.kind != TaskKind::Test && is_inside
        })
    }

    /// Why a range failed: as its newest attempt said it; where that is forgotten, what its code means.
    fn fault(&self, instance: &Instance, range: Option<Interval>, state: Option<&NodeState>) -> TroubleCause {
        if let Some(row) = self.newest(instance, range) {
            return TroubleCause::Fault {
                place: row.step.clone(),
                fault: Box::new(row.fault.clone()),
            };
        }
        let code = range.and_then(|range| Some(state?.failing.get(range.start)?.1.code));
        TroubleCause::Fault {
            place: None,
            fault: faults::of_code(code.unwrap_or(mulgil_core::codes::RUN_FAILED)),
        }
    }

    /// A flow without intervals whose newest run failed.
    fn of_last_run(&self, flow: &Flow) -> Option<(TroubleKind, Trouble)> {
        let last = self
            .runs
            .iter()
            .find(|run| run.flow == flow.name && !flow.grid.is_cut())?;
        if !matches!(last.state, RunState::Failed | RunState::Crashed) {
            return None;
        }
        // Of several steps the one that failed first.
        let first = self.failed.iter().rev().find(|row| row.run == last.run);
        let cause = TroubleCause::Fault {
            place: first.and_then(|row| row.step.clone()),
            fault: first.map_or_else(
                || faults::of_code(mulgil_core::codes::RUN_FAILED),
                |row| Box::new(row.fault.clone()),
            ),
        };
        let trouble = Trouble {
            since: last.ended_at,
            why: Some(names::run_href(last.run)),
            fix: Some(typed(format!("mulgil runs retry {}", last.run))),
            ..Self::about(&flow.instance(), cause)
        };
        Some((TroubleKind::Failed, trouble))
    }

    /// A run that should be over, and a tick whose run has not begun.
    fn late(&self, flow: &Flow) -> Vec<(TroubleKind, Trouble)> {
        let mut late = Vec::new();
        let open = self
            .runs
            .iter()
            .filter(|run| run.flow == flow.name && run.ended_at.is_none());
        for run in open {
            let deadline = flow.deadline.as_ref();
            let due_at =
                deadline.and_then(|deadline| deadline.due_at(run.scheduled_at, run.started_at, Some(run.started_at)));
            if let Some(due_at) = due_at.filter(|at| *at < self.now) {
                let cause = TroubleCause::Deadline {
                    due_at,
                    began_at: Some(run.started_at),
                };
                let trouble = Trouble {
                    intervals: Self::interval(flow, run.interval),
                    count: 1,
                    since: Some(due_at),
                    why: Some(names::run_href(run.run)),
                    ..Self::about(&flow.instance(), cause)
                };
                late.push((TroubleKind::Late, trouble));
            }
        }
        late.extend(flow.comes_late(self.now).map(|(next_at, due_at)| {
            let trouble = Trouble {
                fix: Some(typed(format!("mulgil flows show {}", flow.name))),
                ..Self::about(&flow.instance(), TroubleCause::ComesLate { next_at, due_at })
            };
            (TroubleKind::Late, trouble)
        }));
        let waits = self.open_ticks.get(&flow.name).filter(|_| flow.schedule.is_some());
        let waits = waits.filter(|open| self.now.0.saturating_sub(open.first_at.0) > LATE_AFTER_US);
        late.extend(waits.map(|open| {
            let cause = TroubleCause::NotBegun {
                scheduled_at: open.first_at,
            };
            let trouble = Trouble {
                count: open.count,
                since: Some(open.first_at),
                ..Self::about(&flow.instance(), cause)
            };
            (TroubleKind::Late, trouble)
        }));
        late
    }

    fn interval(flow: &Flow, interval: Interval) -> String {
        if flow.grid.is_cut() {
            mulgil_core::interval_text::format(interval, &flow.grid)
        } else {
            String::new()
        }
    }

    /// The last day of a flow: what ran of it, newest first, and how many runs there were.
    fn day_of(&self, flow: &Flow, (rows, count): (Vec<FlowRunRow>, u64)) -> FlowDay {
        let more = count.saturating_sub(rows.len() as u64);
        let runs = rows.into_iter().rev().map(|run| RunMark {
            run: run.run,
            interval: Self::interval(flow, run.interval),
            state: run.state,
            started_at: run.started_at,
            ended_at: run.ended_at,
        });
        FlowDay {
            name: flow.name.clone(),
            runs: runs.collect(),
            more,
            next_at: flow.next_tick(self.now),
        }
    }
}

fn kind_of(status: &Status) -> Option<TroubleKind> {
    match status {
        Status::Failed | Status::Held { rolled_back_to: None } => Some(TroubleKind::Failed),
        Status::Missing => Some(TroubleKind::Missing),
        Status::Stale { .. } => Some(TroubleKind::Stale),
        Status::Waiting { .. } => Some(TroubleKind::Waiting),
        // A person took it back, and knows.
        Status::Held { .. }
        | Status::Running
        | Status::Untested
        | Status::Provisional
        | Status::Fresh
        | Status::Sealed
        | Status::Waived
        | Status::NotExpected => None,
    }
}

fn typed(command: String) -> Fix {
    Fix { command, here: None }
}
