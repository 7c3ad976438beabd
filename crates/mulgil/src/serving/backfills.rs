//! Backfills in a server: made, shown, held back, ended; and the one who fills their models, a slice at a time.

use std::{sync::Arc, time::Duration};

use mulgil_core::{
    backfill::{Backfill, Change, Of, Terms},
    diagnostic::Diagnostic,
    grid::Grid,
    interval::RangeSet,
    name::Instance,
    port::Fault,
};
use mulgil_scheduler::{BackfillTurn, backfill_turn, service::Ask};
use mulgil_server::{Answer, Answered, BackfillRow, Named, Refusal};
use mulgil_store::{MadeBackfill, NewBackfill, Store};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Parts, control, warn};
use crate::{
    cli,
    command::{Faults, backfill},
    say,
    wire::Opened,
};

/// Backfills that are listed.
const MAX_LISTED: u32 = 100;

/// How often what waits for something else is tried, and new backfills are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Makes a backfill, or says what one would fill.
pub(super) async fn make(
    opened: &Opened,
    store: &Store,
    asks: &mpsc::Sender<Ask>,
    asked: mulgil_server::Backfill,
) -> Result<Answer, Refusal> {
    let named = backfill::Named {
        select: cli::Select {
            selectors: asked.select.chosen,
            more: Vec::new(),
            exclude: asked.select.exclude,
        },
        from: asked.from,
        to: asked.to,
        only: asked.only,
    };
    let mut terms = Terms::new(named.words(), "mulgil backfill");
    terms.order = asked.order.into();
    terms.parallel = asked.parallel.unwrap_or(terms.parallel);
    terms.share = asked.share.unwrap_or(terms.share);
    terms.params = asked.params;
    let takes = match &asked.flow {
        Some(name) => vec![of_flow(opened, store, &named, name, &terms).await?],
        None => of_models(opened, store, &named).await?,
    };
    if asked.preview {
        let ranges = takes.iter().flat_map(|(instance, grid, ranges)| {
            ranges.iter().map(|range| Named {
                instance: instance.clone(),
                range,
                count: grid.count(range),
            })
        });
        let ranges = ranges.collect();
        return Ok(Answer::of(Answered::Preview { ranges }));
    }
    if takes.iter().all(|(_, _, ranges)| ranges.is_empty()) {
        return Ok(Answer::of(Answered::NothingDue {}));
    }
    let (answer, told) = oneshot::channel();
    let new = NewBackfill { terms, takes };
    let made = ask(asks, Ask::Backfill { new, answer }, told).await?;
    let mut answer = Answer::of(Answered::Backfill(BackfillRow::from(&made.backfill)));
    answer.warnings.extend(left_out(&made));
    Ok(answer)
}

/// What a backfill is of: an instance, how its time is cut, and the intervals.
type Take = (Instance, Grid, RangeSet);

async fn of_flow(
    opened: &Opened,
    store: &Store,
    named: &backfill::Named,
    name: &str,
    terms: &Terms,
) -> Result<Take, Refusal> {
    let flow = control::flow(opened, name)?;
    flow.params(&terms.params).map_err(control::refusal)?;
    let states = store.flow_states([flow]).await?;
    let state = states.get(&flow.instance()).cloned().unwrap_or_default();
    let ranges = named.of_flow(flow, &state).map_err(refused)?;
    Ok((flow.instance(), flow.grid.clone(), ranges))
}

async fn of_models(opened: &Opened, store: &Store, named: &backfill::Named) -> Result<Vec<Take>, Refusal> {
    let state = store.load_state(&opened.project).await?;
    let named = named.of_models(opened, &state).map_err(refused)?;
    let with_grid = named.into_iter().filter_map(|(instance, ranges)| {
        let grid = opened.project.node(&instance.node)?.grid.clone();
        Some((instance, grid, ranges))
    });
    Ok(with_grid.collect())
}

fn refused(faults: Faults) -> Refusal {
    control::refusal(faults.0)
}

/// The newest backfills.
pub(super) async fn list(store: &Store) -> Result<Answer, Refusal> {
    let all = store.backfills(MAX_LISTED).await?;
    let backfills = all.iter().map(BackfillRow::from).collect();
    Ok(Answer::of(Answered::Backfills { backfills }))
}

/// Holds a backfill back, lets it go on, or ends it.
pub(super) async fn change(asks: &mpsc::Sender<Ask>, backfill: i64, change: Change) -> Result<Answer, Refusal> {
    let (answer, told) = oneshot::channel();
    let asked = Ask::ChangeBackfill {
        backfill,
        change,
        by: "mulgil backfill".to_owned(),
        answer,
    };
    let changed = ask(asks, asked, told).await?;
    Ok(Answer::of(Answered::Backfill(BackfillRow::from(&changed))))
}

async fn ask<T>(asks: &mpsc::Sender<Ask>, asked: Ask, told: oneshot::Receiver<Result<T, Fault>>) -> Result<T, Fault> {
    if asks.send(asked).await.is_err() {
        return Err(control::stopped());
    }
    told.await.unwrap_or_else(|_| Err(control::stopped()))
}

fn left_out(made: &MadeBackfill) -> Option<Diagnostic> {
    let MadeBackfill { left_out, others, .. } = made;
    let others: Vec<String> = others.iter().map(i64::to_string).collect();
    (*left_out > 0).then(|| {
        Diagnostic::warning(
            mulgil_core::codes::EMPTY_BACKFILL,
            format!(
                "left out because they are in backfill {} already: {}",
                others.join(", "),
                say::count(*left_out, "interval")
            ),
        )
        .with_remedy("`mulgil backfill ls` shows how far it is")
    })
}

/// Fills the models of backfills, a slice of each in turn, so that other runs wait for one slice at most.
pub(super) async fn keep_filling(parts: Arc<Parts>, mut ending: watch::Receiver<bool>) {
    let mut changes = parts.models.changes();
    let mut turn = Turn::All;
    while !*ending.borrow() {
        changes.mark_unchanged();
        let is_busy = match fill(&parts, &ending, turn).await {
            Ok(is_busy) => is_busy,
            Err(fault) => {
                warn(&fault);
                false
            }
        };
        turn = Turn::Slices;
        if is_busy {
            continue;
        }
        tokio::select! {
            // Whoever could tell is gone where this fails.
            _ = ending.wait_for(|end| *end) => return,
            _ = changes.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => turn = Turn::All,
        }
    }
}

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Slices that are left.
    Slices,
    /// What waits for something else too.
    All,
}

/// One slice of each backfill; false where none had one.
async fn fill(parts: &Parts, ending: &watch::Receiver<bool>, turn: Turn) -> Result<bool, Fault> {
    let store = &parts.runner.store;
    let mut is_busy = false;
    for backfill in store.open_backfills().await? {
        if !has_models(&backfill) || *ending.borrow() {
            continue;
        }
        let (request, was_left) = match backfill_turn(store, backfill.id).await? {
            BackfillTurn::Slice(request) => (request, true),
            BackfillTurn::Waits(request) if turn == Turn::All => (request, false),
            BackfillTurn::Waits(_) | BackfillTurn::Paused | BackfillTurn::Over => continue,
        };
        let mut end = ending.clone();
        let interrupt = async move {
            let _ = end.wait_for(|end| *end).await;
        };
        let summary = parts.models.run(&request, None, interrupt).await?;
        is_busy |= was_left && summary.stopped.is_none();
    }
    Ok(is_busy)
}

fn has_models(backfill: &Backfill) -> bool {
    backfill.parts.iter().any(|part| Of::Models.means(&part.instance))
}
