//! Whose words a project is written in: our own, or dbt's. A word that nobody knows is a fault in a
//! project of our own, and in one of dbt a warning, because dbt itself lets it stand. A word that
//! dbt knows and that does nothing here yet is a warning in both.

use std::path::Path;

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place, Severity},
};

use crate::yaml::{self, Entry};

/// Whose words a project is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `mulgil.yml` alone.
    #[default]
    Own,
    /// `dbt_project.yml`, with or without `mulgil.yml`.
    Dbt,
}

/// The words that may stand at one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    /// What does something here.
    pub(crate) known: &'static [&'static str],
    /// What dbt knows, and what may be passed over: notes, and what only dbt's own program needs.
    pub(crate) quiet: &'static [&'static str],
    /// What dbt knows and what does nothing here yet.
    pub(crate) idle: &'static [&'static str],
    /// What dbt knows and without which the table would hold other rows.
    pub(crate) refused: &'static [&'static str],
}

impl Words {
    /// What is wrong with a word at that place, if anything.
    pub(crate) fn fault(&self, key: &str, place: Place, what: &str, dialect: Dialect) -> Option<Diagnostic> {
        if self.known.contains(&key) || self.quiet.contains(&key) {
            return None;
        }
        if self.refused.contains(&key) {
            return Some(
                Diagnostic::error(
                    codes::UNSUPPORTED_CONFIG,
                    format!("`{key}` of {what} is not done, and without it the table would hold other rows"),
                )
                .at(place)
                .with_remedy("remove it, if the rows may be as they are without it"),
            );
        }
        if self.idle.contains(&key) {
            return Some(no_effect(&format!("`{key}` of {what}")).at(place));
        }
        let fault = yaml::unknown_key(place, key, self.known, what);
        Some(dialect.softened(fault))
    }

    /// Tells what is wrong with the keys of a mapping.
    pub(crate) fn check(
        &self,
        file: &Path,
        entries: &[Entry],
        what: &str,
        dialect: Dialect,
        faults: &mut Vec<Diagnostic>,
    ) {
        faults.extend(
            entries
                .iter()
                .filter_map(|entry| self.fault(&entry.key, entry.spot.of(file), what, dialect)),
        );
    }
}

impl Dialect {
    /// A fault that dbt would not stop at.
    pub(crate) fn softened(self, fault: Diagnostic) -> Diagnostic {
        match self {
            Self::Own => fault,
            Self::Dbt => Diagnostic {
                severity: Severity::Warning,
                ..fault
            },
        }
    }
}

/// The warning about something that dbt does and that is not done here yet.
pub(crate) fn no_effect(what: &str) -> Diagnostic {
    Diagnostic::warning(codes::NO_EFFECT_YET, format!("{what} has no effect here yet"))
        .with_remedy("leave it for dbt, or remove it")
}

/// What dbt, or one of its adapters, knows of models and what does nothing here yet.
const IDLE_OF_MODELS: &[&str] = &[
    "concurrent_batches",
    "sql_header",
    "database",
    "quoting",
    "grants",
    "contract",
    "persist_docs",
    "on_configuration_change",
    "on_error",
    "freshness",
    "latest_version_pointer",
    "packages",
    "indexes",
    "unlogged",
    "partition_by",
    "partitions",
    "partitioned_by",
    "partition_expiration_days",
    "require_partition_filter",
    "cluster_by",
    "clustered_by",
    "liquid_clustered_by",
    "auto_liquid_cluster",
    "buckets",
    "bucketed_by",
    "dist",
    "sort",
    "sort_type",
    "bind",
    "backup",
    "auto_refresh",
    "transient",
    "copy_grants",
    "query_tag",
    "secure",
    "snowflake_warehouse",
    "target_lag",
    "refresh_mode",
    "automatic_clustering",
    "labels",
    "hours_to_expiration",
    "kms_key_name",
    "policy_tags",
    "options",
    "file_format",
    "format",
    "location",
    "location_root",
    "external_location",
    "s3_data_dir",
    "s3_data_naming",
    "table_type",
    "table_properties",
    "tblproperties",
    "properties",
    "on_table_exists",
    "views_enabled",
    "engine",
    "order_by",
    "primary_key",
    "ttl",
    "settings",
    "query_settings",
    "catalog",
    "catalog_name",
    "base_location_subpath",
    "submission_method",
    "cluster_id",
    "timeout",
];

/// Notes on seeds. Names of columns are kept as they are written, quoted or not.
const QUIET_OF_SEEDS: &[&str] = &["docs", "group", "access", "quote_columns"];

/// Notes on models.
const QUIET_OF_MODELS: &[&str] = &["docs", "group", "access", "static_analysis", "deprecation_date"];

/// What models may set.
pub(crate) const OF_MODELS: Words = Words {
    known: crate::config::MODEL_KEYS,
    quiet: QUIET_OF_MODELS,
    idle: IDLE_OF_MODELS,
    refused: &[],
};

/// What snapshots may set.
pub(crate) const OF_SNAPSHOTS: Words = Words {
    known: crate::config::SNAPSHOT_KEYS,
    quiet: QUIET_OF_MODELS,
    idle: &[
        "target_database",
        "database",
        "full_refresh",
        "quoting",
        "grants",
        "contract",
        "persist_docs",
        "packages",
    ],
    refused: &["dbt_valid_to_current", "snapshot_meta_column_names"],
};

/// What seeds may set.
pub(crate) const OF_SEEDS: Words = Words {
    known: crate::config::SEED_KEYS,
    quiet: QUIET_OF_SEEDS,
    idle: &[
        "full_refresh",
        "database",
        "quoting",
        "grants",
        "contract",
        "persist_docs",
        "packages",
        "transient",
        "labels",
        "fast",
    ],
    refused: &[],
};

/// What data tests may set.
pub(crate) const OF_TESTS: Words = Words {
    known: &[
        "severity",
        "warn_if",
        "error_if",
        "limit",
        "where",
        "fail_calc",
        "enabled",
    ],
    quiet: &["tags", "meta", "group", "docs"],
    idle: &[
        "store_failures",
        "store_failures_as",
        "schema",
        "database",
        "alias",
        "materialized",
        "quoting",
        "sql_header",
        "full_refresh",
    ],
    refused: &[],
};

/// What a YAML file beside models may hold.
pub(crate) const OF_PROPERTIES: Words = Words {
    known: &[
        "version",
        "models",
        "seeds",
        "snapshots",
        "sources",
        "data_tests",
        "macros",
    ],
    quiet: &["groups", "exposures", "analyses", "anchors", "_"],
    idle: &[
        "unit_tests",
        "metrics",
        "semantic_models",
        "saved_queries",
        "functions",
        "tests",
    ],
    refused: &[],
};

/// What the entry of a model or a seed may hold.
pub(crate) const OF_ENTRIES: Words = Words {
    known: &[
        "name",
        "description",
        "config",
        "columns",
        "data_tests",
        "tests",
        "tags",
        "meta",
    ],
    quiet: &[
        "docs",
        "group",
        "access",
        "deprecation_date",
        "latest_version",
        "metrics",
        "semantic_model",
        "time_spine",
        "agg_time_dimension",
        "primary_entity",
        "derived_semantics",
    ],
    idle: &["constraints", "versions", "freshness", "quoting", "defined_in"],
    refused: &[],
};

/// What the entry of a snapshot without a file may hold.
pub(crate) const OF_SNAPSHOT_ENTRIES: Words = Words {
    known: &[
        "name",
        "relation",
        "description",
        "config",
        "columns",
        "data_tests",
        "tests",
        "tags",
        "meta",
    ],
    ..OF_ENTRIES
};

/// What the entry of a column may hold.
pub(crate) const OF_COLUMNS: Words = Words {
    known: &["name", "description", "data_tests", "tests"],
    quiet: &[
        "data_type",
        "meta",
        "tags",
        "quote",
        "config",
        "docs",
        "granularity",
        "entity",
        "dimension",
    ],
    idle: &["constraints", "policy_tags"],
    refused: &[],
};

/// What a group of sources may hold.
pub(crate) const OF_SOURCES: Words = Words {
    known: &["name", "description", "tables"],
    quiet: &[
        "meta",
        "tags",
        "config",
        "loader",
        "overrides",
        "database",
        "schema",
        "catalog",
        "quoting",
        "docs",
        "version",
    ],
    idle: &["freshness", "loaded_at_field", "loaded_at_query", "tests", "data_tests"],
    refused: &[],
};

/// What a table of a source may hold.
pub(crate) const OF_TABLES: Words = Words {
    known: &["name", "description"],
    quiet: &[
        "meta",
        "tags",
        "config",
        "loader",
        "identifier",
        "quoting",
        "columns",
        "docs",
        "source_meta",
    ],
    idle: &[
        "freshness",
        "loaded_at_field",
        "loaded_at_query",
        "external",
        "tests",
        "data_tests",
    ],
    refused: &[],
};
