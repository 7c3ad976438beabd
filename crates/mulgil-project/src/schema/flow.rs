//! The schema of a flow.

use serde_json::{Map, Value as Json, json};

use super::{any, flag, map_of, object, object_with, one_of, said, schedule, span, text, texts, whole};
use crate::flows;

pub(super) fn schema() -> Json {
    let mut schema = object_with(&["steps"], flows::KEYS, key);
    schema["definitions"] = json!({"step": step()});
    schema
}

fn key(key: &str) -> Json {
    match key {
        "name" => said("Its name, where it is not the file's.", name()),
        "description" => said("What it is for.", text()),
        "owner" => said("Whom to ask.", text()),
        "tags" => said("Words to find it by.", texts()),
        "schedule" => said("When it starts; without one it is started by hand.", schedule()),
        "timezone" => said(
            "The zone of its intervals, its times and its SQL; else the project's.",
            text(),
        ),
        "missed" => said(
            "What becomes of ticks that nobody was there for.",
            one_of(&["latest", "all", "none"]),
        ),
        "interval" => said("How its time is cut: `day`; without it a run has no interval.", text()),
        "begin" => said("The first interval for which it runs.", text()),
        "end" => said("The first interval for which it no longer runs.", text()),
        "lookback" => said(
            "How many intervals before the newest run again at a tick.",
            whole(0, u64::from(u32::MAX)),
        ),
        "partial" => said("Whether the open interval runs too.", flag()),
        "params" => said(
            "What a start may be given.",
            map_of(&json!({"anyOf": [
                one_of(&flows::PARAM_TYPES),
                object_with(&["type"], flows::PARAM_KEYS, param_key),
            ]})),
        ),
        "max_active" => said(
            "Runs that may be active at once.",
            whole(1, u64::from(flows::MAX_ACTIVE)),
        ),
        "on_full" => said(
            "What becomes of a tick for which there is no room.",
            one_of(&["queue", "skip", "cancel_old", "fail"]),
        ),
        "timeout" => said("How long a run may take: `6h`.", span()),
        "deadline" => said("By when it has to be done.", object(flows::DEADLINE_KEYS, deadline_key)),
        "on_failure" => said("Who is told when it fails: `webhook:NAME`.", channels()),
        "on_success" => said("Who is told when it succeeds.", channels()),
        "on_recovery" => said("Who is told when it succeeds after a failure.", channels()),
        "steps" => said("What is done, by name.", steps()),
        "finally" => said("What is done after all steps, however they ended.", steps()),
        _ => any(),
    }
}

/// The name of a flow, a step or a pool.
fn name() -> Json {
    json!({"type": ["string", "integer"], "pattern": "^[a-z0-9][a-z0-9_-]*$"})
}

fn channels() -> Json {
    let channel = json!({"type": "string", "pattern": "^webhook:"});
    json!({"anyOf": [channel, {"type": "array", "items": channel}, {"type": "null"}]})
}

fn deadline_key(key: &str) -> Json {
    match key {
        "after" => said(
            "From when on the time counts.",
            one_of(&["scheduled", "queued", "started", "clock"]),
        ),
        "within" => said("How long it may take: `2h`.", span()),
        "at" => said(
            "A time of the clock on the day on which the run was due: `\"07:30\"`.",
            text(),
        ),
        "timezone" => said(
            "Whose clock `at` is read from; the flow's where nothing is said.",
            text(),
        ),
        "then" => said("What happens to a run that is late.", one_of(&["notify", "cancel"])),
        _ => any(),
    }
}

fn param_key(key: &str) -> Json {
    match key {
        "type" => said("What its values are.", one_of(&flows::PARAM_TYPES)),
        "default" => said("Its value where none is given.", any()),
        "required" => said("Whether a start has to give it.", flag()),
        "allowed" => said("The values that it may have.", json!({"type": "array"})),
        "description" => said("What it means.", text()),
        _ => any(),
    }
}

/// Steps by their names, or in a list.
fn steps() -> Json {
    let step = json!({"$ref": "#/definitions/step"});
    let listed = json!({"allOf": [step, {"required": ["name"]}]});
    json!({"anyOf": [
        {"type": ["object", "null"], "propertyNames": {"pattern": "^[a-z0-9][a-z0-9_-]*$"}, "additionalProperties": step},
        {"type": "array", "items": listed},
    ]})
}

/// A step, which has the key of exactly one kind, and of the others only what that kind has too.
fn step() -> Json {
    let kinds: Vec<&str> = flows::STEP_KINDS.iter().map(|(kind, _)| *kind).collect();
    let own: Vec<&str> = flows::STEP_KINDS
        .iter()
        .flat_map(|(_, own)| own.iter().copied())
        .collect();
    let keys: Vec<&str> = [&kinds[..], flows::STEP_KEYS, &own].concat();
    let mut schema = object(&keys, step_key);
    schema["oneOf"] = kinds.iter().map(|kind| json!({"required": [kind]})).collect();
    let needs_kind = own.iter().map(|key| {
        let those = flows::STEP_KINDS.iter().filter(|(_, own)| own.contains(key));
        let any_of: Json = those.map(|(kind, _)| json!({"required": [kind]})).collect();
        ((*key).to_owned(), json!({"anyOf": any_of}))
    });
    schema["dependencies"] = Json::Object(needs_kind.collect::<Map<_, _>>());
    schema
}

fn step_key(key: &str) -> Json {
    match key {
        "name" => said("Its name, in a list of steps.", name()),
        "description" => said("What it is for.", text()),
        "needs" => said("The steps that have ended before it.", texts()),
        "when" => said("Whether it runs: a template that is true or false.", text()),
        "run_if" => said(
            "How its needs must have ended.",
            one_of(&["success", "always", "failed", "any_success"]),
        ),
        "retry" => said(
            "How often it is tried again.",
            json!({"anyOf": [
                whole(0, u64::from(flows::MAX_RETRIES)),
                object_with(&["max"], flows::RETRY_KEYS, retry_key),
            ]}),
        ),
        "timeout" => said("How long one attempt may take: `20m`.", span()),
        "total_timeout" => said("How long all attempts may take, with the pauses.", span()),
        "allow_failure" => said("Whether the run goes well without it.", flag()),
        "pool" => said("Whose slots it takes.", name()),
        "priority" => said(
            "Who goes first: the higher one.",
            json!({"type": "integer", "minimum": -(flows::MAX_PRIORITY as i64), "maximum": flows::MAX_PRIORITY}),
        ),
        "on_lost" => said("What happens when its worker is lost.", one_of(&["retry", "fail"])),
        "sql" => said("Statements, or a file of them: `sql/load.sql`.", text()),
        "on" => said("Where they run: in the warehouse.", text()),
        "models" => said("Models that are filled: `tag:daily+`.", texts()),
        "exclude" => said("Models that are left out.", texts()),
        "full" => said("Whether they are filled whether due or not.", flag()),
        "command" => said(
            "A program and its words, or a text for `sh`.",
            json!({"anyOf": [text(), {"type": "array", "items": text()}]}),
        ),
        "python" => said(
            "A script, `tasks/report.py`, or a function, `tasks.report:main`.",
            text(),
        ),
        "args" => said("The words that the script is given.", texts()),
        "cwd" => said("The folder in which it runs.", text()),
        "env" => said("Variables of its environment.", map_of(&text())),
        "interpreter" => said("The Python that runs it.", text()),
        "warm" => said("Whether it may run in a process that is kept.", flag()),
        "params" => said(
            "Values of its own, before those of the flow.",
            json!({"type": ["object", "null"]}),
        ),
        _ => any(),
    }
}

fn retry_key(key: &str) -> Json {
    match key {
        "max" => said("Attempts after the first.", whole(0, u64::from(flows::MAX_RETRIES))),
        "delay" => said("The longest first pause: `10s`.", span()),
        "cap" => said("The longest pause: `1h`.", span()),
        "factor" => said(
            "By how much the pause grows each time.",
            whole(1, u64::from(flows::MAX_FACTOR)),
        ),
        _ => any(),
    }
}
