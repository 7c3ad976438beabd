//! Tables without a grid, and seeds: replaced as a whole in one commit; of a table with keys, the
//! rows of one key.

use mulgil_core::port::{Fault, FillOutcome};

use super::{
    Fill,
    stamp::Slots,
    target::{Replaces, Target},
};
use crate::hidden::TimePartition;

/// Replaces the table, or the rows of the spec's key in it.
pub(super) async fn fill(fill: &Fill<'_>) -> Result<FillOutcome, Fault> {
    let spec = fill.spec;
    let replaces = if spec.replaces_all || spec.instance.key.is_empty() {
        Replaces::All
    } else {
        Replaces::Key
    };
    let target = Target::open(fill.warehouse, spec, fill.claim, TimePartition::None, replaces).await?;
    fill.run(target, Slots::whole(&spec.instance)).await
}
