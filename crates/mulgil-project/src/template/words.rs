//! The words about time in templates: `interval`, `ds`, `model.batch`, and the filters `date` and
//! `epoch`.

use std::{fmt, sync::Arc};

use minijinja::{
    Environment, Error, ErrorKind, Value,
    value::{Enumerator, Object},
};
use mulgil_core::{grid::Zone, interval::Instant};

use super::{Mention, scope::Scope};

/// The functions that templates can call besides macros.
pub(super) const FUNCTIONS: &[&str] = &[
    "config",
    "ref",
    "source",
    "var",
    "env_var",
    "is_incremental",
    "range",
    "dict",
    "namespace",
];

/// Every word that templates know.
pub(super) const ALL: &[&str] = &[
    "config",
    "ref",
    "source",
    "var",
    "env_var",
    "is_incremental",
    "this",
    "interval",
    "ds",
    "ds_nodash",
    "model",
    "key",
    "target",
    "project_name",
    "run_started_at",
    "invocation_id",
    "interval.start",
    "interval.end",
    "model.batch.event_time_start",
    "model.batch.event_time_end",
];

/// The value of a word about time.
pub(super) fn moments(scope: &Arc<Scope>, word: &str) -> Option<Value> {
    let scope = scope.clone();
    Some(match word {
        "interval" => Value::from_object(Edges {
            scope,
            word: "interval",
            start: "start",
            end: "end",
        }),
        "ds" => moment(scope, "ds", Edge::Start, Form::Date),
        "ds_nodash" => moment(scope, "ds_nodash", Edge::Start, Form::Compact),
        "model" => Value::from_object(Model { scope }),
        _ => return None,
    })
}

/// The filters over them.
pub(super) fn add_filters(env: &mut Environment<'static>) {
    env.add_filter(
        "date",
        |value: Value, pattern: Option<String>| -> Result<String, Error> {
            let moment = Moment::of(&value, "date")?;
            let zoned = moment
                .touch()?
                .to_timestamp()
                .to_zoned(moment.scope.facts.zone.tz().clone());
            jiff::fmt::strtime::format(pattern.as_deref().unwrap_or("%Y-%m-%d"), &zoned)
                .map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("`date`: {error}")))
        },
    );
    // dbt's words for what a rendered value is to be read as; here it is read as what it looks like.
    for word in ["as_text", "as_bool", "as_number", "as_native"] {
        env.add_filter(word, |value: Value| value);
    }
    // A word for a shell, whatever letters it has.
    env.add_filter("sh", |value: Value| {
        format!("'{}'", value.to_string().replace('\'', "'\\''"))
    });
    env.add_filter("epoch", |value: Value| -> Result<i64, Error> {
        Ok(Moment::of(&value, "epoch")?.touch()?.to_timestamp().as_second())
    });
}

/// An instant with the offset that its zone has then.
pub(crate) fn rfc3339(at: Instant, zone: &Zone) -> String {
    at.to_timestamp()
        .to_zoned(zone.tz().clone())
        .strftime("%Y-%m-%dT%H:%M:%S%:z")
        .to_string()
}

#[derive(Clone, Copy, Debug)]
enum Edge {
    Start,
    End,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Rfc3339,
    Date,
    Compact,
}

fn moment(scope: Arc<Scope>, word: &'static str, edge: Edge, form: Form) -> Value {
    Value::from_object(Moment {
        scope,
        word,
        edge,
        form,
    })
}

/// An edge of the interval. It counts as named when it is printed or filtered, not when it is
/// passed on, because a macro takes hold of every name in its text before it runs.
#[derive(Debug)]
struct Moment {
    scope: Arc<Scope>,
    word: &'static str,
    edge: Edge,
    form: Form,
}

impl Moment {
    fn of(value: &Value, filter: &str) -> Result<Arc<Self>, Error> {
        value.downcast_object::<Self>().ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidOperation,
                format!("the filter `{filter}` takes `interval.start` or `interval.end`"),
            )
        })
    }

    fn touch(&self) -> Result<Instant, Error> {
        self.scope.mention(Mention::Interval(self.word))?;
        let interval = self.scope.facts.interval;
        Ok(match self.edge {
            Edge::Start => interval.start,
            Edge::End => interval.end,
        })
    }
}

impl Object for Moment {
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.touch().map_err(|_| fmt::Error)?;
        let zone = &self.scope.facts.zone;
        match self.form {
            Form::Rfc3339 => f.write_str(&rfc3339(at, zone)),
            Form::Date => write!(
                f,
                "{}",
                at.to_timestamp().to_zoned(zone.tz().clone()).strftime("%Y-%m-%d")
            ),
            Form::Compact => write!(
                f,
                "{}",
                at.to_timestamp().to_zoned(zone.tz().clone()).strftime("%Y%m%d")
            ),
        }
    }
}

/// Something with a start and an end: `interval`, `model.batch`.
#[derive(Debug)]
struct Edges {
    scope: Arc<Scope>,
    word: &'static str,
    start: &'static str,
    end: &'static str,
}

impl Object for Edges {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let edge = if name == self.start {
            Edge::Start
        } else if name == self.end {
            Edge::End
        } else {
            return None;
        };
        Some(moment(self.scope.clone(), self.word, edge, Form::Rfc3339))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Printed as a whole it is a mistake that SQL would not catch; what it has is named.
        write!(f, "<{}: use .{} or .{}>", self.word, self.start, self.end)
    }
}

/// What `model` gives: dbt's words for the batch at work.
#[derive(Debug)]
struct Model {
    scope: Arc<Scope>,
}

impl Object for Model {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "name" => Some(Value::from(self.scope.facts.model.as_str())),
            "batch" => Some(Value::from_object(Edges {
                scope: self.scope.clone(),
                word: "model.batch",
                start: "event_time_start",
                end: "event_time_end",
            })),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}
