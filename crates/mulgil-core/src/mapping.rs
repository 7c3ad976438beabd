//! From an upstream's time to a reader's and back.

use serde::{Deserialize, Serialize};

use crate::grid::Unit;

/// How much of an upstream one interval of the reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mapping {
    /// What lies over the same time: finer, all inside; coarser, the one around.
    Overlap,
    /// A window of `count` units that ends with the reader's own interval: `last 7 days`.
    Window {
        /// How many.
        count: u32,
        /// Of what, in the reader's zone.
        unit: Unit,
    },
    /// All of it, as it is.
    Whole {
        /// Whether a change of the upstream makes the reader stale (`restate_on`).
        restates: bool,
    },
}
