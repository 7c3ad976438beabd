//! Runs that a person has done again: the same run, where it is not done, or all of it by a new one.

use std::sync::Arc;

use mulgil_core::{
    codes, crash,
    diagnostic::{Diagnostic, Retry},
    flow::{Class, Flow},
    interval::{Instant, Interval},
    port::Fault,
    run::Trigger,
};
use mulgil_store::PastWalk;

use super::{
    Mind, Retried, Service,
    backfills::first,
    begin::{busy, draining, has_room, not_found},
    live_walk::LiveWalk,
    port::{Begins, Happening},
};

impl Service {
    /// Does a run again; gives the run that does.
    pub(super) async fn retry(
        &self,
        mind: &mut Mind,
        run: i64,
        what: Retried,
        by: &str,
        now: Instant,
    ) -> Result<i64, Fault> {
        if mind.is_draining {
            return Err(draining());
        }
        let past = self.store.past_walk(run).await?;
        if !past.state.is_terminal() {
            return Err(goes_on(run));
        }
        match what {
            Retried::Unfinished => {
                has_room(mind, &past.flow)?;
                self.reopen(mind, run, by, now).await
            }
            Retried::All | Retried::Latest => {
                let begins = self.anew(past, what)?;
                has_room(mind, &begins.flow)?;
                let name = begins.flow.name.clone();
                self.begin_walk(mind, begins, now).await?.ok_or_else(|| busy(&name))
            }
        }
    }

    /// The same run goes on.
    async fn reopen(&self, mind: &mut Mind, run: i64, by: &str, now: Instant) -> Result<i64, Fault> {
        let open = self.store.reopen_walk(run, by, now).await?;
        crash::point("flow_reopened");
        let walk = LiveWalk::of(open);
        self.witness.saw(&Happening::RunBegan {
            run,
            flow: walk.flow.name.clone(),
            scheduled_at: walk.scheduled_at,
            interval: walk.walk.interval,
        });
        mind.walks.insert(run, walk);
        mind.touched.insert(run);
        Ok(run)
    }

    /// A new run over the same interval, with the same parameters.
    fn anew(&self, past: PastWalk, what: Retried) -> Result<Begins, Fault> {
        let (flow, params) = if what == Retried::Latest {
            let flow = self.flows.get(&past.flow.name);
            let flow = flow.ok_or_else(|| not_found(&past.flow.name))?;
            if flow.grid.interval_at(past.interval.start) != past.interval {
                return Err(cut_otherwise(flow, past.interval));
            }
            (Arc::clone(flow), flow.params(&past.params).map_err(first)?)
        } else {
            (Arc::new(past.flow), past.params)
        };
        Ok(Begins {
            flow,
            trigger: Trigger::Manual,
            class: Class::Interactive,
            scheduled_at: None,
            interval: past.interval,
            params,
            backfill: None,
        })
    }
}

fn goes_on(run: i64) -> Fault {
    Box::new(
        Diagnostic::error(codes::RUN_NOT_RETRIED, format!("run {run} goes on"))
            .with_remedy(format!(
                "wait until it has ended, or end it: `mulgil runs cancel {run}`"
            ))
            .with_retry(Retry::Later),
    )
}

fn cut_otherwise(flow: &Flow, interval: Interval) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::BAD_INTERVAL,
            format!(
                "the flow `{}` is not cut as it was: {interval:?} is no interval of it any more",
                flow.name
            ),
        )
        .with_remedy("leave `--latest` away, or run an interval as it is cut now: `mulgil run flow:NAME --interval …`"),
    )
}
