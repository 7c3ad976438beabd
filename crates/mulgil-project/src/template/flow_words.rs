//! The words `params` and `steps` in a step of a flow. While a project is loaded nobody knows what a step
//! will give, so then it is a value that every expression may ask for anything.

use std::{collections::BTreeMap, fmt, sync::Arc};

use minijinja::{
    Error, ErrorKind, State, Value,
    value::{Enumerator, Object, Serde},
};
use serde_json::Value as Json;

use super::{Mention, scope::Scope};

/// What the words mean for one rendering.
#[derive(Clone, Debug, Default)]
pub(crate) struct FlowFacts {
    /// The parameters; absent what is declared and not known yet.
    pub(crate) params: BTreeMap<String, Option<Json>>,
    /// What the steps gave that have ended; absent while nobody knows.
    pub(crate) steps: Option<Arc<BTreeMap<String, Json>>>,
}

/// The value of one of the words.
pub(super) fn value(scope: &Arc<Scope>, word: &str) -> Value {
    let scope = scope.clone();
    if word == "params" {
        Value::from_object(Params { scope })
    } else {
        Value::from_object(Steps { scope })
    }
}

#[derive(Debug)]
struct Params {
    scope: Arc<Scope>,
}

impl Object for Params {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        if let Err(error) = self.scope.mention(Mention::Param(name.to_owned())) {
            return Some(Value::from(error));
        }
        match self.scope.facts.flow.as_ref()?.params.get(name) {
            Some(Some(value)) => Some(Value::from(Serde(value))),
            Some(None) => Some(Value::from_object(Unknown)),
            None if self.scope.facts.sentinels => Some(Value::from_object(Unknown)),
            None => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let params = self.scope.facts.flow.as_ref().map(|flow| &flow.params);
        let names = params.into_iter().flat_map(BTreeMap::keys);
        Enumerator::Values(names.map(|name| Value::from(name.as_str())).collect())
    }
}

#[derive(Debug)]
struct Steps {
    scope: Arc<Scope>,
}

impl Object for Steps {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        if let Err(error) = self.scope.mention(Mention::Step(name.to_owned())) {
            return Some(Value::from(error));
        }
        let Some(steps) = &self.scope.facts.flow.as_ref()?.steps else {
            return Some(Value::from_object(Unknown));
        };
        Some(steps.get(name).map_or_else(
            || {
                let why = format!("the step `{name}` has not ended, so that nothing is known of it");
                Value::from(Error::new(ErrorKind::InvalidOperation, why))
            },
            |ended| Value::from(Serde(ended)),
        ))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<steps: name one of them>")
    }
}

/// A value that nobody knows yet.
#[derive(Debug)]
struct Unknown;

impl Object for Unknown {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from_object(Self))
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, _: &[Value]) -> Result<Value, Error> {
        Ok(Value::from_object(Self))
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, _: &str, _: &[Value]) -> Result<Value, Error> {
        Ok(Value::from_object(Self))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Empty
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown")
    }
}
