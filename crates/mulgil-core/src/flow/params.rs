//! The values of a flow's parameters: what a start gives, checked and brought to their types. A command
//! line and a form give texts, so a text is read as the type wants it.

use std::collections::BTreeMap;

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
};
use serde_json::{Number, Value as Json};

use super::{Flow, Param, ParamType};
use crate::{codes, diagnostic::Diagnostic, grid::Zone, select::nearest};

impl Flow {
    /// The values of all parameters for a run that is given these. A parameter that is not given has its
    /// default; without one it is null.
    ///
    /// # Errors
    /// All that is wrong at once: a value of another type or one that is not allowed, a parameter that
    /// the flow does not have, one that has to be given.
    pub fn params(&self, given: &BTreeMap<String, Json>) -> Result<BTreeMap<String, Json>, Vec<Diagnostic>> {
        let mut faults: Vec<Diagnostic> = given
            .keys()
            .filter(|name| self.params.iter().all(|param| param.name != **name))
            .map(|name| self.unknown_param(name))
            .collect();
        let mut values = BTreeMap::new();
        for param in &self.params {
            let given = given.get(&param.name).filter(|value| !value.is_null());
            let value = match (given, &param.default) {
                (Some(given), _) => param.value(given, &self.grid.zone),
                (None, Some(default)) => Ok(default.clone()),
                (None, None) if param.required => Err(self.missing_param(param)),
                (None, None) => Ok(Json::Null),
            };
            match value {
                Ok(value) => drop(values.insert(param.name.clone(), value)),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(values) } else { Err(faults) }
    }

    fn unknown_param(&self, name: &str) -> Diagnostic {
        let known = || self.params.iter().map(|param| param.name.as_str());
        let remedy = match (nearest(name, known()), known().next()) {
            (Some(near), _) => format!("write `{near}`"),
            (None, Some(_)) => format!("leave it out; it has {}", known().collect::<Vec<_>>().join(", ")),
            (None, None) => format!(
                "leave it out, or declare it under `params:` in `{}`",
                self.file.display()
            ),
        };
        Diagnostic::error(
            codes::UNKNOWN_PARAM,
            format!("the flow `{}` has no parameter `{name}`", self.name),
        )
        .with_remedy(remedy)
    }

    fn missing_param(&self, param: &Param) -> Diagnostic {
        Diagnostic::error(
            codes::MISSING_PARAM,
            format!("the flow `{}` needs the parameter `{}`", self.name, param.name),
        )
        .with_related(param.place.clone(), "it is declared as required")
        .with_remedy(format!("give it: `--param {}=…`", param.name))
    }
}

impl Param {
    /// A value that was given, as its type has it. Times without an offset are in the zone.
    ///
    /// # Errors
    /// When it is of another type, or not one of those allowed.
    pub fn value(&self, given: &Json, zone: &Zone) -> Result<Json, Diagnostic> {
        let value = self.kind.read(given, zone).ok_or_else(|| {
            self.fault(format!(
                "the parameter `{}` is {}, but was given {}",
                self.name,
                self.kind.described(),
                shown(given)
            ))
            .with_remedy(format!("write {}", self.kind.example()))
        })?;
        if self.allowed.is_empty() || self.allowed.contains(&value) {
            return Ok(value);
        }
        let allowed: Vec<String> = self.allowed.iter().map(shown).collect();
        Err(self
            .fault(format!(
                "the parameter `{}` cannot be {}, which is none of the values allowed",
                self.name,
                shown(&value)
            ))
            .with_remedy(format!("write one of {}", allowed.join(", "))))
    }

    fn fault(&self, message: String) -> Diagnostic {
        Diagnostic::error(codes::BAD_PARAM, message).with_related(self.place.clone(), "it is declared here")
    }
}

impl ParamType {
    /// As it is written in a flow.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::List => "list",
            Self::Object => "object",
        }
    }

    /// The type of that name.
    pub fn named(word: &str) -> Option<Self> {
        let all = [
            Self::String,
            Self::Integer,
            Self::Number,
            Self::Boolean,
            Self::Date,
            Self::Timestamp,
            Self::List,
            Self::Object,
        ];
        all.into_iter().find(|kind| kind.as_str() == word)
    }

    /// A value of that type, from one that says the same; nothing where it does not.
    fn read(self, given: &Json, zone: &Zone) -> Option<Json> {
        match self {
            Self::String => given.is_string().then(|| given.clone()),
            Self::Integer => integer(given),
            Self::Number => number(given),
            Self::Boolean => match given {
                Json::Bool(_) => Some(given.clone()),
                Json::String(text) => text.trim().parse::<bool>().ok().map(Json::from),
                Json::Null | Json::Number(_) | Json::Array(_) | Json::Object(_) => None,
            },
            Self::Date => Some(given.as_str()?.trim().parse::<Date>().ok()?.to_string().into()),
            Self::Timestamp => timestamp(given.as_str()?.trim(), zone),
            Self::List => nested(given).filter(Json::is_array),
            Self::Object => nested(given).filter(Json::is_object),
        }
    }

    fn described(self) -> &'static str {
        match self {
            Self::String => "text",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Date => "a date",
            Self::Timestamp => "a moment",
            Self::List => "a list",
            Self::Object => "a mapping",
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::String => "a text; in YAML and JSON in quotes",
            Self::Integer => "digits such as `7`",
            Self::Number => "a number such as `0.5`",
            Self::Boolean => "`true` or `false`",
            Self::Date => "a date such as `2026-01-31`",
            Self::Timestamp => "a moment such as `2026-01-31T05:00:00+09:00`",
            Self::List => "a list in JSON, such as `[\"kr\", \"jp\"]`",
            Self::Object => "a mapping in JSON, such as `{\"a\": 1}`",
        }
    }
}

fn integer(given: &Json) -> Option<Json> {
    match given {
        Json::Number(number) => number.as_i64().map(Json::from),
        Json::String(text) => text.trim().parse::<i64>().ok().map(Json::from),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

/// A number; a whole one stays whole, one too large for the type is none.
fn number(given: &Json) -> Option<Json> {
    match given {
        Json::Number(_) => Some(given.clone()),
        Json::String(text) => match text.trim().parse::<i64>() {
            Ok(whole) => Some(whole.into()),
            Err(_) => Number::from_f64(text.trim().parse().ok()?).map(Json::Number),
        },
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

fn timestamp(text: &str, zone: &Zone) -> Option<Json> {
    let civil = || {
        let date = || text.parse::<Date>().ok().map(|date| date.at(0, 0, 0, 0));
        let civil = text.parse::<DateTime>().ok().or_else(date)?;
        zone.tz().to_ambiguous_timestamp(civil).compatible().ok()
    };
    let at = text.parse::<Timestamp>().ok().or_else(civil)?;
    let zoned = at.to_zoned(zone.tz().clone());
    Some(zoned.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string().into())
}

fn nested(given: &Json) -> Option<Json> {
    match given {
        Json::String(text) => serde_json::from_str(text).ok(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => Some(given.clone()),
    }
}

/// A value as messages show it, cut where it is long.
fn shown(value: &Json) -> String {
    const SHOWN: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return format!("`{text}`");
    }
    format!("`{}…`", text.chars().take(SHOWN).collect::<String>())
}
