//! Backfills over models: one run fills one slice, so that whoever waits for a run waits for one slice.

use mulgil_core::{
    backfill::{Backfill, BackfillState, Of, Ranges},
    codes,
    decide::Scope,
    diagnostic::Diagnostic,
    interval::RangeSet,
    name::Instance,
    port::Fault,
    run::Trigger,
};
use mulgil_store::Store;

use crate::RunRequest;

/// What is next of a backfill over models.
#[derive(Clone, Debug)]
pub enum BackfillTurn {
    /// This run: it asks for the next slice, and fills that and what of earlier slices could not be filled
    /// then. When it has ended, ask again.
    Slice(RunRequest),
    /// Nothing of it is left; what is open waits for what it reads, or for its next try. This run fills what
    /// can be by now: worth a try from time to time, not at once.
    Waits(RunRequest),
    /// A person holds it back.
    Paused,
    /// Nothing of its models is left or open.
    Over,
}

/// What is next of a backfill, as far as it is over models. Of them there are as many intervals in a slice as
/// may be open at once; what waits for something else is not counted.
///
/// # Errors
/// `NOT_FOUND` where there is no backfill of that number, and faults of the ledger.
pub async fn backfill_turn(store: &Store, backfill: i64) -> Result<BackfillTurn, Fault> {
    let backfill = store.backfill(backfill).await?.ok_or_else(|| not_found(backfill))?;
    let is_model = |instance: &Instance| Of::Models.means(instance);
    let slice = backfill.next_slice(backfill.terms.parallel as usize, is_model);
    if !slice.is_empty() {
        return Ok(BackfillTurn::Slice(request(&backfill, slice)));
    }
    let parts = backfill.parts.iter().filter(|part| is_model(&part.instance));
    match backfill.state {
        BackfillState::Paused => Ok(BackfillTurn::Paused),
        BackfillState::Open if parts.clone().any(|part| !part.open.is_empty()) => {
            Ok(BackfillTurn::Waits(request(&backfill, Vec::new())))
        }
        BackfillState::Open | BackfillState::Cancelled | BackfillState::Done => Ok(BackfillTurn::Over),
    }
}

/// The run that asks for a slice. What is held of it is let go by that; of the rest nothing is.
fn request(backfill: &Backfill, slice: Ranges) -> RunRequest {
    let parts = backfill.parts.iter().filter(|part| Of::Models.means(&part.instance));
    let scope = parts.filter_map(|part| {
        let asked = slice.iter().find(|(instance, _)| *instance == part.instance);
        let asked = asked.map(|(_, ranges)| ranges.clone()).unwrap_or_default();
        let ranges: RangeSet = asked.union(&part.open.keys());
        (!ranges.is_empty()).then(|| (part.instance.clone(), ranges))
    });
    RunRequest {
        selector: format!("{} (backfill {})", backfill.terms.selector, backfill.id),
        scope: Scope::Only(scope.collect()),
        backfill: (!slice.is_empty()).then_some(backfill.id),
        manual: slice,
        ..RunRequest::of_all(Trigger::Backfill)
    }
}

fn not_found(backfill: i64) -> Fault {
    Box::new(
        Diagnostic::error(codes::NOT_FOUND, format!("there is no backfill {backfill}"))
            .with_remedy("`mulgil backfill ls` shows them all"),
    )
}
