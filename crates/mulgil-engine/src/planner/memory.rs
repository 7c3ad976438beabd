//! What did not fit into memory is planned and run once more, frugally: in one partition, in small
//! batches, and with joins that sort both sides, because a hash table cannot be spilled to disk.

use std::{any::Any, sync::Arc};

use datafusion::{
    arrow::compute::SortOptions,
    common::{
        Result,
        config::{ConfigOptions, SpillCompression},
        tree_node::{Transformed, TransformedResult as _, TreeNode as _},
    },
    execution::{SessionState, SessionStateBuilder},
    physical_optimizer::{PhysicalOptimizerRule, join_selection::JoinSelection},
    physical_plan::{
        ExecutionPlan,
        joins::{HashJoinExec, SortMergeJoinExec},
    },
    prelude::SessionConfig,
};
use mulgil_core::{codes, port::Fault};

/// Rows that go through a frugal plan at once.
const FEW_ROWS: usize = 1024;
/// The part of the memory that a frugal sort keeps for merging what it spilled.
const MERGING: u64 = 32;
/// The least that it keeps.
const LEAST_FOR_MERGING: u64 = 1 << 18;
/// The most that it keeps.
const MOST_FOR_MERGING: u64 = 64 << 20;

/// What queries may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// Bytes on disk.
    pub(crate) spill: u64,
}

impl Limits {
    /// The fault of what did not fit even frugally, with the limits that it ran into.
    pub(crate) fn named(self, fault: Fault) -> Fault {
        if !is_short(&fault) {
            return fault;
        }
        Box::new(fault.with_remedy(format!(
            "raise `memory` in mulgil.yml, which is {}, and have disk for what is spilled (`spill` is {}); \
             or ask for less: fewer columns, a filter, fewer intervals at once (`batch`)",
            sized(self.memory),
            sized(self.spill)
        )))
    }
}

/// Whether work ended because its memory did not suffice.
pub(crate) fn is_short(fault: &Fault) -> bool {
    fault.code == codes::OUT_OF_MEMORY
}

/// Bytes as `mulgil.yml` takes them.
fn sized(bytes: u64) -> String {
    const UNITS: [(&str, u32); 3] = [("GB", 30), ("MB", 20), ("KB", 10)];
    let unit = UNITS
        .iter()
        .find(|(_, shift)| bytes >> shift > 0 && bytes.trailing_zeros() >= *shift);
    match unit {
        Some((name, shift)) => format!("{}{name}", bytes >> shift),
        None if bytes >> 20 > 0 => format!("{}MB", bytes >> 20),
        None => format!("{bytes}B"),
    }
}

/// What every session sets so that less lies on disk.
pub(crate) fn compress_spills(config: &mut SessionConfig) {
    config.options_mut().execution.spill_compression = SpillCompression::Lz4Frame;
}

/// The same session, frugal.
pub(crate) fn frugal(state: &SessionState, limits: Limits) -> SessionState {
    let mut config = state
        .config()
        .clone()
        .with_target_partitions(1)
        .with_batch_size(FEW_ROWS);
    // A plan of many joins sorts twice as often, and each sort keeps its part from the first row on.
    let merging = (limits.memory / MERGING).clamp(LEAST_FOR_MERGING, MOST_FOR_MERGING);
    config.options_mut().execution.sort_spill_reservation_bytes = merging as usize;
    let mut rules = Vec::new();
    for rule in state.physical_optimizers() {
        let chooses_joins = (rule.as_ref() as &dyn Any).is::<JoinSelection>();
        rules.push(Arc::clone(rule));
        if chooses_joins {
            rules.push(Arc::new(SpillingJoins));
        }
    }
    SessionStateBuilder::new_from_existing(state.clone())
        .with_config(config)
        .with_physical_optimizer_rules(rules)
        .build()
}

/// Makes joins of hash tables joins of sorted sides.
#[derive(Debug)]
struct SpillingJoins;

impl PhysicalOptimizerRule for SpillingJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            Ok(
                match plan.downcast_ref::<HashJoinExec>().map(sorting).transpose()?.flatten() {
                    Some(join) => Transformed::yes(join),
                    None => Transformed::no(plan),
                },
            )
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "spilling_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The same join with both sides sorted; nothing for those that only a hash table can do.
fn sorting(join: &HashJoinExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if join.contains_projection() || join.null_aware {
        return Ok(None);
    }
    let join = SortMergeJoinExec::try_new(
        Arc::clone(join.left()),
        Arc::clone(join.right()),
        join.on().to_vec(),
        join.filter().cloned(),
        *join.join_type(),
        vec![SortOptions::default(); join.on().len()],
        join.null_equality(),
    )?;
    Ok(Some(Arc::new(join)))
}
