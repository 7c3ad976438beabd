//! The schemas take what the loader takes, and know no key that it does not know.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value as Json, json};

use super::{flow, project};
use crate::{LoadOptions, load, yaml};

/// What of a value a schema refuses, as places in it; as much of draft 7 as our schemas use.
fn refused(schema: &Json, root: &Json, value: &Json, place: &str) -> Vec<String> {
    let fields = match schema {
        Json::Bool(true) => return Vec::new(),
        Json::Object(fields) => fields,
        other => return vec![format!("{place}: refused by {other}")],
    };
    let mut found = Vec::new();
    let takes = |schema: &Json| refused(schema, root, value, place).is_empty();
    for (word, rule) in fields {
        let is_fine = match word.as_str() {
            "$schema" | "title" | "description" | "definitions" | "properties" | "additionalProperties" => true,
            "$ref" => {
                let target = rule.as_str().unwrap().trim_start_matches('#');
                takes(root.pointer(target).unwrap())
            }
            "type" => {
                let words = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                words.iter().any(|word| is_of(word.as_str().unwrap(), value))
            }
            "enum" => rule.as_array().unwrap().contains(value),
            "required" => rule
                .as_array()
                .unwrap()
                .iter()
                .all(|key| !value.is_object() || value.get(key.as_str().unwrap()).is_some()),
            "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().unwrap()),
            "maximum" => value.as_i64().is_none_or(|number| number <= rule.as_i64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| fits(rule.as_str().unwrap(), text)),
            "items" => match value.as_array() {
                Some(items) => items.iter().all(|item| refused(rule, root, item, place).is_empty()),
                None => true,
            },
            "anyOf" => rule.as_array().unwrap().iter().any(takes),
            "allOf" => rule.as_array().unwrap().iter().all(takes),
            "oneOf" => rule.as_array().unwrap().iter().filter(|one| takes(one)).count() == 1,
            "propertyNames" => keys(value).all(|key| refused(rule, root, &json!(key), place).is_empty()),
            "dependencies" => {
                let mut rules = rule.as_object().unwrap().iter();
                rules.all(|(key, rule)| value.get(key).is_none() || takes(rule))
            }
            other => panic!("the schemas use `{other}`, which this test cannot read"),
        };
        if !is_fine {
            found.push(format!("{place}: {word}"));
        }
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let known = fields.get("properties").and_then(|known| known.get(key));
        let rule = known.or_else(|| fields.get("additionalProperties"));
        let place = format!("{place}/{key}");
        found.extend(rule.into_iter().flat_map(|rule| refused(rule, root, inner, &place)));
    }
    found
}

fn keys(value: &Json) -> impl Iterator<Item = &String> {
    value.as_object().into_iter().flat_map(|fields| fields.keys())
}

fn is_of(word: &str, value: &Json) -> bool {
    match word {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    }
}

/// The patterns of our schemas, by what they mean.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern {
        "^[^+]" => !text.starts_with('+'),
        "^webhook:" => text.starts_with("webhook:"),
        "^[a-z0-9][a-z0-9_-]*$" => crate::flows::is_plain_name(text),
        span if span.contains("weeks?") => crate::values::parse_duration(text).is_some(),
        size if size.contains("[A-Za-z]*") => crate::manifest::parse_bytes(text).is_some(),
        other => panic!("the schemas use the pattern {other}"),
    }
}

fn value_of(text: &str) -> Json {
    let mut faults = Vec::new();
    let tree = yaml::parse(Path::new("a.yml"), text, &mut faults);
    assert!(faults.is_empty(), "{faults:?}");
    tree.unwrap().to_json()
}

#[track_caller]
fn takes(schema: &Json, text: &str) {
    assert_eq!(
        refused(schema, schema, &value_of(text), ""),
        Vec::<String>::new(),
        "{text}"
    );
}

/// The files below a folder whose names end so.
fn below(folder: &Path, end: &str, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, end, out);
        } else if path.to_string_lossy().ends_with(end) {
            out.push(path);
        }
    }
}

#[test]
fn every_project_and_flow_that_is_shipped_is_taken() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["../../examples", "../mulgil/src/command"] {
        below(&here.join(folder), ".yml", &mut files);
    }
    let mut count = (0, 0);
    for file in files {
        let text = fs::read_to_string(&file).unwrap().replace("@NAME@", "shop");
        let text = ["@BEGIN@", "@END@", "@FLOW_BEGIN@"]
            .iter()
            .fold(text, |text, word| text.replace(word, "2026-01-01"));
        let text = text.replace("@ZONE@", "UTC");
        if file.ends_with("mulgil.yml") {
            takes(&project(), &text);
            count.0 += 1;
        } else if file.parent().unwrap().ends_with("flows") {
            takes(&flow(), &text);
            count.1 += 1;
        }
    }
    assert!(count.0 >= 3 && count.1 >= 3, "{count:?}");
}

/// A project in which everything stands that the loader knows, one line below each place where keys are.
const PROJECT: &str = "\
name: shop
timezone: Asia/Seoul
warehouse:
  kind: local
environments:
  prod:
    schema_prefix: prod_
models:
  shop:
    +interval: day
    +event_time: at
    +begin: 2026-01-01
    +schedule:
      cron: 0 5 * * *
sources:
  raw:
    events:
      files: data/events_{YYYYMMDD}.csv
notifications:
  webhook:
    alerts:
      url: https://alerts.example
retention:
  logs: 30d
pools: {big: 4}
";

const FLOW: &str = "\
schedule:
  cron: 0 5 * * *
interval: day
begin: 2026-01-01
params:
  country:
    type: string
deadline:
  within: 2h
on_failure: webhook:alerts
steps:
  load:
    sql: select 1
    retry:
      max: 3
  then:
    command: [echo, hello]
    needs: load
";

/// The texts with a key that nobody knows, once at each depth.
fn with_a_stranger(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let stranger = format!("{}strangest: 1", " ".repeat(indent));
        let (before, after) = lines.split_at(index);
        out.push([before, &[stranger.as_str()][..], after, &[""][..]].concat().join("\n"));
    }
    out
}

fn loaded(project: &str, flow: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("flows")).unwrap();
    fs::create_dir_all(folder.path().join("models")).unwrap();
    fs::write(
        folder.path().join("models/a.sql"),
        "select at from {{ source('raw', 'events') }}",
    )
    .unwrap();
    fs::write(folder.path().join("mulgil.yml"), project).unwrap();
    fs::write(folder.path().join("flows/daily.yml"), flow).unwrap();
    load(folder.path(), &LoadOptions::default()).project.is_some()
}

#[test]
fn a_key_that_the_loader_does_not_know_the_schema_does_not_know() {
    takes(&project(), PROJECT);
    takes(&flow(), FLOW);
    assert!(loaded(PROJECT, FLOW));
    let agree = |schema: &Json, text: &str, is_loaded: bool| {
        let is_taken = refused(schema, schema, &value_of(text), "").is_empty();
        assert_eq!(is_taken, is_loaded, "{text}");
        is_taken
    };
    let projects = with_a_stranger(PROJECT);
    let taken = projects
        .iter()
        .filter(|text| agree(&project(), text, loaded(text, FLOW)));
    assert_eq!(taken.count(), 0);
    let flows = with_a_stranger(FLOW);
    let taken = flows.iter().filter(|text| agree(&flow(), text, loaded(PROJECT, text)));
    assert_eq!(taken.count(), 0);
}

#[test]
fn every_key_says_what_it_is() {
    let (project, flow) = (project(), flow());
    for (schema, place) in [
        (&project, "/properties"),
        (&flow, "/properties"),
        (&flow, "/definitions/step/properties"),
        (
            &project,
            "/properties/sources/additionalProperties/additionalProperties/properties",
        ),
        (&project, "/properties/retention/properties"),
        (&project, "/properties/notifications/properties"),
        (&flow, "/properties/deadline/properties"),
    ] {
        let known = schema.pointer(place).unwrap_or_else(|| panic!("no {place}"));
        for (key, value) in known.as_object().unwrap() {
            assert!(value["description"].is_string(), "{place}: {key}");
        }
    }
}

#[test]
fn a_step_has_one_kind_and_only_its_own_words() {
    let schema = flow();
    let is_taken = |step: &str| refused(&schema, &schema, &value_of(&format!("steps: {{a: {step}}}")), "").is_empty();
    assert!(is_taken("{python: a.py, args: [x], retry: 2}"));
    assert!(!is_taken("{sql: select 1, args: [x]}"));
    assert!(!is_taken("{sql: select 1, models: a}"));
    assert!(!is_taken("{description: nothing}"));
    assert!(!is_taken("{sql: select 1, timeout: soon}"));
    assert!(!is_taken("{sql: select 1, run_if: sometimes}"));
}
