//! When a node ticks: a cron in a zone.

use serde::{Deserialize, Serialize};

use crate::{cron::Cron, grid::Zone};

/// A schedule: at each firing T the intervals that end at or before T are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// When.
    pub cron: Cron,
    /// In which zone.
    pub zone: Zone,
}
