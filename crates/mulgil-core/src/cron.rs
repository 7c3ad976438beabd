//! A cron: five fields, in civil time of a zone.

use serde::{Deserialize, Serialize};

/// A cron expression that parsed, kept as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cron(pub(crate) String);
