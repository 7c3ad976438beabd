//! Backfills over flows: a slice is asked for as soon as there is room, and what a person says of them.

use std::collections::BTreeSet;

use mulgil_core::{
    backfill::{Backfill, Change, Of},
    codes, crash,
    diagnostic::Diagnostic,
    due,
    flow::{Flow, name},
    interval::{Instant, Interval},
    name::Instance,
    port::Fault,
    state::{Cause, NodeState},
};
use mulgil_store::{MadeBackfill, NewBackfill};

use super::{Mind, Service, begin::not_found};

/// Intervals of one backfill that are asked for of flows at once at most: each is an entry of its flow's
/// document, which keeps a bounded number of them apart.
const MAX_OPEN_OF_FLOWS: u32 = 100;

impl Service {
    /// Asks for the next slices of backfills over flows, where they have room, and flags their flows. Gives
    /// the backfills that are not over; none where no flow that is flagged has intervals.
    pub(super) async fn ask_backfills(
        &self,
        flagged: &mut BTreeSet<String>,
        now: Instant,
    ) -> Result<Vec<Backfill>, Fault> {
        if !flagged.iter().any(|name| self.has_intervals(name)) {
            return Ok(Vec::new());
        }
        let backfills = self.store.open_backfills().await?;
        let mut has_asked = false;
        for backfill in &backfills {
            let room = backfill.room(MAX_OPEN_OF_FLOWS, |instance| Of::Flows.means(instance));
            let slice = backfill.next_slice(room, |instance| {
                flow_of(instance).is_some_and(|it| self.has_intervals(it))
            });
            if slice.is_empty() {
                continue;
            }
            let flows: Vec<String> = slice
                .iter()
                .filter_map(|(instance, _)| flow_of(instance).map(str::to_owned))
                .collect();
            match self.store.ask_backfill(backfill.id, slice, now).await {
                Ok(()) => {}
                // Somebody held it back, or ended it, beside this server.
                Err(fault) if fault.code == codes::BACKFILL_NOT_OPEN => continue,
                Err(fault) => return Err(fault),
            }
            crash::point("backfill_asked");
            flagged.extend(flows);
            has_asked = true;
        }
        if has_asked {
            return self.store.open_backfills().await;
        }
        Ok(backfills)
    }

    /// Makes a backfill. Of a flow the intervals are taken that are over, as it cuts them now.
    pub(super) async fn make_backfill(
        &self,
        mind: &mut Mind,
        mut new: NewBackfill,
        now: Instant,
    ) -> Result<MadeBackfill, Fault> {
        for (instance, grid, ranges) in &mut new.takes {
            let Some(name) = flow_of(instance) else {
                continue;
            };
            let flow = self.flows.get(name).ok_or_else(|| not_found(name))?;
            if !flow.grid.is_cut() {
                return Err(without_intervals(name));
            }
            flow.params(&new.terms.params).map_err(first)?;
            grid.clone_from(&flow.grid);
            *ranges = ranges.intersect(&due::nameable(&flow.as_node(), now));
        }
        let made = self.store.make_backfill(new, now).await?;
        crash::point("backfill_made");
        flag(mind, &made.backfill);
        Ok(made)
    }

    /// Holds a backfill back, lets it go on, or ends it with its runs.
    pub(super) async fn change_backfill(
        &self,
        mind: &mut Mind,
        backfill: i64,
        change: Change,
        by: &str,
    ) -> Result<Backfill, Fault> {
        let (after, runs) = self.store.change_backfill(backfill, change, by, self.now()).await?;
        crash::point("backfill_changed");
        for run in runs {
            if let Some(walk) = mind.walks.get_mut(&run) {
                walk.cancel();
                mind.touched.insert(run);
            }
        }
        flag(mind, &after);
        Ok(after)
    }

    fn has_intervals(&self, flow: &str) -> bool {
        self.flows.get(flow).is_some_and(|flow| flow.grid.is_cut())
    }
}

/// When more of what was asked of a flow can begin: at the end of the first of its intervals that is not over. What is
/// asked for was over; it is not where the clock was set back since.
pub(super) fn over_at(flow: &Flow, state: &NodeState, now: Instant) -> Option<Instant> {
    let asked = state.dirty.get(&Cause::Manual)?;
    let ahead = asked.subtract(&due::nameable(&flow.as_node(), now));
    let first = ahead.ranges().first()?;
    Some(flow.grid.interval_at(first.start).end).filter(|at| *at > now)
}

/// The intervals of a flow that backfills asked for, in the order in which they come.
pub(super) fn in_turn(backfills: &[Backfill], flow: &Flow) -> Vec<Interval> {
    let instance = flow.instance();
    let asked = backfills.iter().filter_map(|backfill| {
        let open = backfill.part(&instance)?.open.keys();
        Some(backfill.terms.order.intervals(&flow.grid, &open))
    });
    asked.flatten().collect()
}

/// The backfill that asked for an interval.
pub(super) fn asking<'a>(backfills: &'a [Backfill], flow: &Flow, interval: Interval) -> Option<&'a Backfill> {
    let instance = flow.instance();
    backfills.iter().find(|backfill| {
        let part = backfill.part(&instance);
        part.is_some_and(|part| part.open.keys().overlaps(interval))
    })
}

fn flow_of(instance: &Instance) -> Option<&str> {
    name::flow_in(instance.node.as_str())
}

/// The flows of a backfill are looked at again.
fn flag(mind: &mut Mind, backfill: &Backfill) {
    let flows = backfill.parts.iter().filter_map(|part| flow_of(&part.instance));
    mind.flagged.extend(flows.map(str::to_owned));
}

fn without_intervals(flow: &str) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::BAD_INTERVAL,
            format!("the flow `{flow}` is not run by intervals, so there is nothing to backfill"),
        )
        .with_remedy(format!("run it: `mulgil run flow:{flow}`")),
    )
}

/// Of several faults the first; the rest is told when that is mended.
pub(super) fn first(faults: Vec<Diagnostic>) -> Fault {
    let fault = faults.into_iter().next();
    Box::new(fault.unwrap_or_else(|| Diagnostic::error(codes::BUG, "parameters were refused without a reason")))
}
