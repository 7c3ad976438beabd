//! One commit of a table, the only way in which a table changes: data first, then the entry of its log
//! that names them. Whoever committed since the table was looked at makes it fail, and nothing changes.

use std::{collections::HashMap, path::Path};

use deltalake::{
    DeltaTable,
    kernel::{
        Action, Add, Protocol, StructType,
        transaction::{CommitBuilder, CommitProperties, TableReference},
    },
    logstore::LogStoreRef,
    protocol::DeltaOperation,
};
use mulgil_core::{codes, crash, diagnostic::Diagnostic, port::Fault};
use serde_json::json;

use crate::{
    fault,
    materialize::{parts::Part, target::PartitionValues},
};

/// Under which key of a commit's own information the claim stands for which a hook wrote it.
pub(crate) const HOOK: &str = "mulgil.hook";
/// Commits after which the table's state is written down as a whole.
const CHECKPOINT_EVERY: u64 = 25;

/// What a commit says.
pub(crate) struct Commit {
    /// What changes.
    pub(crate) actions: Vec<Action>,
    /// What it is called in the table's history.
    pub(crate) operation: DeltaOperation,
    /// What it says of itself.
    pub(crate) properties: CommitProperties,
}

/// The properties of a commit that fails if anybody else committed since its table was looked at: they
/// may have read or written what it replaces.
pub(crate) fn alone() -> CommitProperties {
    CommitProperties::default().with_max_retries(0)
}

impl Commit {
    /// Makes it, on top of a table as it was looked at, or as the first of a new one. Gives its version.
    pub(crate) async fn make(
        self,
        log_store: &LogStoreRef,
        table: Option<&DeltaTable>,
        folder: &Path,
    ) -> Result<u64, Fault> {
        let to_fault = |error| fault::delta(&error, folder);
        let state = table.map(DeltaTable::snapshot).transpose().map_err(to_fault)?;
        let committed = CommitBuilder::from(self.properties)
            .with_actions(self.actions)
            .build(
                state.map(|state| state as &dyn TableReference),
                log_store.clone(),
                self.operation,
            )
            .into_prepared_commit_future()
            .await
            .map_err(to_fault)?
            .await
            .map_err(to_fault)?;
        crash::point("committed");
        checkpoint(log_store, committed.version).await;
        Ok(committed.version)
    }
}

/// Writes the table's state down now and then, so that opening it stays cheap. Without it the
/// table is as right as before, so a failure is not the commit's.
async fn checkpoint(log_store: &LogStoreRef, version: u64) {
    if (version + 1).is_multiple_of(CHECKPOINT_EVERY) {
        let mut table = DeltaTable::new(log_store.clone());
        if table.load_version(version).await.is_ok() {
            let _ = deltalake::checkpoints::create_checkpoint(&table, None).await;
        }
    }
}

/// A new data file in a partition.
pub(crate) fn add(part: Part, partition_values: PartitionValues) -> Add {
    Add {
        path: part.name,
        partition_values: partition_values.into_iter().collect::<HashMap<_, _>>(),
        size: part.size as i64,
        modification_time: part.modified_ms,
        data_change: true,
        stats: Some(part.stats),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    }
}

/// Whether a schema has times without a zone, which older readers do not know.
pub(crate) fn needs_naive_times(schema: &StructType) -> bool {
    deltalake::kernel::contains_timestampntz(schema.fields())
}

/// The least protocol that a schema needs, on top of the one that is there.
pub(crate) fn protocol(old: Option<&Protocol>, schema: &StructType) -> Result<Protocol, Fault> {
    const NAIVE_TIMES: &str = "timestampNtz";
    if !needs_naive_times(schema) && old.is_none() {
        let plain = json!({ "minReaderVersion": 1, "minWriterVersion": 2 });
        return serde_json::from_value(plain).map_err(|error| broken(&error.to_string()));
    }
    let old = old.map(|old| json!(old)).unwrap_or_default();
    let features = |name: &str, implied: &[&str]| -> Vec<String> {
        let listed = old.get(name).and_then(serde_json::Value::as_array);
        let mut features: Vec<String> = match listed {
            Some(listed) => listed
                .iter()
                .filter_map(|feature| feature.as_str().map(str::to_owned))
                .collect(),
            None => implied.iter().map(|feature| (*feature).to_owned()).collect(),
        };
        if !features.iter().any(|feature| feature == NAIVE_TIMES) {
            features.push(NAIVE_TIMES.to_owned());
        }
        features
    };
    let raised = json!({
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": features("readerFeatures", &[]),
        "writerFeatures": features("writerFeatures", &["appendOnly", "invariants"]),
    });
    serde_json::from_value(raised).map_err(|error| broken(&error.to_string()))
}

fn broken(error: &str) -> Fault {
    Box::new(Diagnostic::error(
        codes::BUG,
        format!("the protocol of a table could not be made: {error}"),
    ))
}
