//! The facts of backfills.

use mulgil_core::{
    backfill::{Ranges, Terms},
    grid::Grid,
    interval::RangeSet,
    name::Instance,
};
use serde::{Deserialize, Serialize};

/// A person asked for intervals of the past; nothing is due of it yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackfillMade {
    /// Its number.
    pub backfill: i64,
    /// What was said of it.
    pub terms: Terms,
    /// What it takes, in the order of its instances.
    pub parts: Vec<BackfillTakes>,
}

/// What a backfill takes of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackfillTakes {
    /// Which.
    pub instance: Instance,
    /// How its time is cut.
    pub grid: Grid,
    /// Which of its time.
    pub ranges: RangeSet,
}

/// A slice of a backfill was asked for: it is due from here on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackfillAsked {
    /// Its number.
    pub backfill: i64,
    /// The slice.
    pub ranges: Ranges,
}

/// A person held a backfill back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackfillPaused {
    /// Its number.
    pub backfill: i64,
    /// Who.
    pub by: String,
    /// What was asked for and had not begun: it is left again, and due no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_back: Ranges,
}

/// A person ended a backfill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackfillCancelled {
    /// Its number.
    pub backfill: i64,
    /// Who.
    pub by: String,
    /// What was asked for and is not live: it is due no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Ranges,
    /// Its runs of flows that go on: they are ended too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<i64>,
}
