//! The schema of `mulgil.yml`.

use serde_json::{Map, Value as Json, json};

use super::{any, flag, map_of, object, object_with, one_of, said, schedule, span, text, texts, whole};
use crate::{
    dialect::{OF_MODELS, OF_SEEDS, OF_SNAPSHOTS, Words},
    flows, manifest, sources, warehouse,
};

/// Threads that a project may ask for.
const MAX_THREADS: u64 = 1024;

pub(super) fn schema() -> Json {
    // The name may stand in a `dbt_project.yml` beside it.
    object(manifest::KEYS, key)
}

fn key(key: &str) -> Json {
    match key {
        "name" => said("The project's name, which is the schema of its tables.", text()),
        "version" => said("Of the project; a note.", any()),
        "description" => said("What the project is for.", text()),
        "timezone" => said(
            "Whose days are cut, shown and scheduled: `Asia/Seoul`. UTC when absent.",
            text(),
        ),
        "warehouse" => said(
            "Where the tables lie: a folder or a bucket. `warehouse` when absent.",
            json!({"anyOf": [{"type": "string"}, object(warehouse::KEYS, warehouse_key)]}),
        ),
        "environments" => said(
            "Each has tables and a ledger of its own: `mulgil run --env prod`.",
            map_of(&json!({"anyOf": [{"type": "null"}, object(manifest::ENVIRONMENT_KEYS, environment_key)]})),
        ),
        "models" => said("What holds for models, by folder.", folder(OF_MODELS)),
        "seeds" => said("What holds for seeds, by folder.", folder(OF_SEEDS)),
        "snapshots" => said("What holds for snapshots, by folder.", folder(OF_SNAPSHOTS)),
        "sources" => said(
            "Files that others write, as `source('group', 'table')` reads them.",
            map_of(&map_of(&object_with(&["files"], sources::KEYS, source_key))),
        ),
        "vars" => said("Values for `var('name')`.", json!({"type": ["object", "null"]})),
        "memory" => said("What queries together may hold before they spill: `2GB`.", size()),
        "spill" => said("What they may spill to disk: `20GB`.", size()),
        "threads" => said("Threads that queries compute on.", whole(1, MAX_THREADS)),
        "query_timeout" => said("How long a query may take: `30m`.", span()),
        "notifications" => said("Whom flows tell.", object(flows::CHANNEL_KINDS, channel_kind)),
        "ledger" => said(
            "The ledger's database, `postgres://…`; a file in `.mulgil` when absent.",
            text(),
        ),
        "pools" => said(
            "How many steps of each pool run at once.",
            map_of(&whole(1, manifest::MAX_POOL_SLOTS.unsigned_abs())),
        ),
        "retention" => said(
            "For how long is kept what is forgotten some day.",
            object(manifest::RETENTION_KEYS, retention_key),
        ),
        _ => any(),
    }
}

fn size() -> Json {
    json!({"type": ["string", "integer"], "pattern": "^\\s*[0-9]+\\s*[A-Za-z]*\\s*$"})
}

fn warehouse_key(key: &str) -> Json {
    match key {
        "kind" => said(
            "Where: on this machine or in a bucket.",
            one_of(&["local", "s3", "gcs", "azure"]),
        ),
        "path" => said("The folder of a local warehouse.", text()),
        "url" => said(
            "The bucket and what the tables' names begin with: `s3://bucket/prefix`.",
            text(),
        ),
        other => store_key(other),
    }
}

/// How an object store is reached.
fn store_key(key: &str) -> Json {
    match key {
        "endpoint" => said("The store's address, where it is not the provider's own.", text()),
        "region" => said("The bucket's region.", text()),
        "allow_http" => said("Whether the address may be without encryption.", flag()),
        _ => any(),
    }
}

fn environment_key(key: &str) -> Json {
    match key {
        "schema_prefix" => said("What the schemas of its tables begin with: `dev_`.", text()),
        "ledger" => said("The database of its ledger; an empty text for a file.", text()),
        _ => any(),
    }
}

fn source_key(key: &str) -> Json {
    match key {
        "files" => said(
            "Where its files are: `data/events_{YYYYMMDD}.csv`, a path or a URL; the date in it makes each file one interval.",
            text(),
        ),
        "format" => said(
            "What the files are, where their names do not tell.",
            one_of(&["csv", "tsv", "json", "jsonl", "parquet"]),
        ),
        "event_time" => said("The column that says when a row happened.", text()),
        "timezone" => said(
            "Of times without an offset, and of the dates in names. UTC when absent.",
            text(),
        ),
        "columns" => said("Types of columns; those of others are found.", map_of(&text())),
        "nulls" => said("Words that mean no value.", texts()),
        "delimiter" => said("What stands between the fields of CSV.", text()),
        "description" => said("What it is.", text()),
        other => store_key(other),
    }
}

fn channel_kind(kind: &str) -> Json {
    match kind {
        "webhook" => {
            let url = |_: &str| said("Where the notice is sent: `https://…`.", text());
            said(
                "Addresses that are called, by name.",
                map_of(&object_with(&["url"], flows::WEBHOOK_KEYS, url)),
            )
        }
        _ => said("Known, and not done yet: use `webhook`.", any()),
    }
}

fn retention_key(key: &str) -> Json {
    match key {
        "logs" => said("Logs of attempts; 30 days when absent.", span()),
        "runs" => said("Runs of flows and their ticks; 180 days when absent.", span()),
        _ => any(),
    }
}

/// Settings with and without `+`, and folders, each of which holds the same again.
fn folder(words: Words) -> Json {
    let mut properties = Map::new();
    let mut names = Vec::new();
    let lists = [words.known, words.quiet, words.idle];
    for key in lists.into_iter().flatten() {
        // Without `+` a mapping may be a folder of that name.
        let schema = setting(key);
        let either = json!({"anyOf": [schema.clone(), {"type": "object"}]});
        properties.insert(format!("+{key}"), schema);
        properties.insert((*key).to_owned(), either);
        names.push(format!("+{key}"));
    }
    let inside = json!({
        "type": ["object", "null"],
        "properties": properties,
        "propertyNames": {"anyOf": [{"pattern": "^[^+]"}, {"enum": names}]},
        "additionalProperties": {"type": "object"},
    });
    // Folders lie in folders; what is in them is said once more and not for ever.
    let mut outer = inside.clone();
    let mut middle = inside.clone();
    middle["additionalProperties"] = inside;
    outer["additionalProperties"] = middle;
    outer
}

/// What models, seeds and snapshots set.
fn setting(key: &str) -> Json {
    match key {
        "materialized" => said("How it is made.", text()),
        "interval" | "batch_size" => said("How its time is cut: `hour`, `day`, `week`, `month`, `year`.", text()),
        "event_time" => said("The column that says when a row happened.", text()),
        "begin" => said("The first interval that is wanted.", text()),
        "end" => said("The first interval that is no longer wanted.", text()),
        "lookback" => said(
            "How many intervals before the newest are filled again at a tick.",
            whole(0, u64::from(u32::MAX)),
        ),
        "schedule" => said("When it ticks; without one it follows what it reads.", schedule()),
        "timezone" => said("The zone that its time is cut in.", text()),
        "settle" => said("How long after its end an interval stays provisional: `3d`.", span()),
        "partial" => said("Whether the open interval is filled too.", flag()),
        "missed" => said(
            "What becomes of ticks that nobody was there for.",
            one_of(&["latest", "all", "none"]),
        ),
        "batch" => said("Intervals that one query fills at most.", whole(1, u64::from(u32::MAX))),
        "keys" => said("Columns by whose values it is filled apart.", json!({"type": "object"})),
        "reads" => said("Windows of what it reads: `{events: last 7 days}`.", map_of(&text())),
        "publish" => said("When readers see a new version.", one_of(&["at_once", "after_tests"])),
        "enabled" => said("Whether it is part of the project.", any()),
        "tags" => said("Words to select it by.", texts()),
        "owner" => said("Whom to ask.", text()),
        "description" => said("What it is.", text()),
        "schema" => said("The schema of its table.", text()),
        "alias" => said("The table's name, where it is not the file's.", text()),
        _ => any(),
    }
}
