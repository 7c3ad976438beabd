//! The facts of tables that are not as we left them.

use mulgil_core::{
    interval::Instant,
    name::{Instance, NodeName, Relation},
    project::Materialization,
};
use serde::{Deserialize, Serialize};

use super::Mark;

/// A table's log has entries that were not recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetChanged {
    /// The table.
    pub relation: Relation,
    /// Its node.
    pub node: NodeName,
    /// How its rows are kept.
    pub materialization: Materialization,
    /// The version up to which all is recorded now.
    pub version: i64,
    /// The table's own id.
    #[serde(default)]
    pub table_id: String,
    /// Whether it is seen only when data tests have passed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
    /// Bytes of that version.
    pub bytes: u64,
    /// Files of that version.
    pub files: u64,
    /// What others did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<ForeignCommit>,
    /// Instances whose rows it may have changed; reasons are places in `commits`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// Readers that were filled after such a commit and so have read its rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_by: Vec<Mark>,
}

/// What somebody else did to a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ForeignCommit {
    /// A commit that is not ours.
    Commit {
        /// Its version.
        version: i64,
        /// When.
        committed_at: Instant,
    },
    /// The log does not reach back to what was recorded.
    Gap {
        /// The newest version.
        version: i64,
        /// The newest recorded version.
        recorded: Option<i64>,
    },
    /// Another table lies where the recorded one was, whatever its version.
    Replaced {
        /// The newest version.
        version: i64,
        /// The newest recorded version of the table that was there.
        recorded: Option<i64>,
    },
    /// The table is older than what was recorded: it was restored or made anew.
    Older {
        /// The newest version.
        version: i64,
        /// The newest recorded version.
        recorded: i64,
    },
}

impl ForeignCommit {
    /// Whether the versions that were recorded are not those of the table that lies there.
    pub(crate) fn is_another_table(&self) -> bool {
        match self {
            Self::Commit { .. } | Self::Gap { .. } => false,
            Self::Replaced { .. } | Self::Older { .. } => true,
        }
    }

    /// Whether the table may have been changed in ways that its log does not tell.
    pub(crate) fn is_untold(&self) -> bool {
        match self {
            Self::Commit { .. } => false,
            Self::Gap { .. } | Self::Replaced { .. } | Self::Older { .. } => true,
        }
    }
}

/// A table is not there any more, or not the one of these instances any more; what it held is
/// missing again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetVanished {
    /// The table.
    pub relation: Relation,
    /// The instances whose rows it held.
    pub instances: Vec<Instance>,
}
