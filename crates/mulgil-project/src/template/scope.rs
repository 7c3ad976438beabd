//! The context of one rendering: what the names in a template mean, and the record of what was
//! named.

use std::{
    collections::BTreeSet,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use minijinja::{
    Error, ErrorKind, Output, State, Value, escape_formatter,
    value::{Enumerator, Kwargs, Object, Serde, ValueKind, from_args},
};

use super::{
    Facts, Globals, MAX_FUEL, MAX_MACRO_DEPTH, MAX_OUTPUT_BYTES, Mention, Rendered, UNSCOPED, flow_words, words,
};

/// How deep the value of an expression may be nested.
const MAX_VALUE_DEPTH: u32 = 64;
/// Begins the detail of an error that a limit caused.
pub(super) const LIMIT: &str = "limit: ";
/// Begins the detail of an error about a value that only a run has.
pub(super) const NO_RUN: &str = "no run: ";
/// The hidden name under which macros find the scope of the model at work.
const SELF: &str = "__scope";

/// The context of one rendering.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) globals: Arc<Globals>,
    pub(super) facts: Facts,
    fail_at: Option<usize>,
    mentions: Mutex<Vec<Mention>>,
    asked_incremental: AtomicBool,
    macro_files: Mutex<BTreeSet<PathBuf>>,
    macro_depth: AtomicU32,
    macro_fuel: AtomicU64,
}

impl Scope {
    pub(super) fn new(globals: &Arc<Globals>, facts: Facts, fail_at: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            globals: globals.clone(),
            facts,
            fail_at,
            mentions: Mutex::default(),
            asked_incremental: AtomicBool::new(false),
            macro_files: Mutex::default(),
            macro_depth: AtomicU32::new(0),
            macro_fuel: AtomicU64::new(0),
        })
    }

    /// What was rendered and named.
    pub(super) fn finish(&self, sql: String) -> Rendered {
        Rendered {
            sql,
            mentions: self.mentions().clone(),
            asked_incremental: self.asked_incremental.load(Ordering::Relaxed),
            macro_files: lock(&self.macro_files).clone(),
        }
    }

    /// Records a mention and gives its index; fails where somebody asked for its place.
    pub(super) fn mention(&self, mention: Mention) -> Result<usize, Error> {
        let mut mentions = self.mentions();
        let index = mentions.len();
        mentions.push(mention);
        if self.fail_at == Some(index) {
            return Err(Error::new(ErrorKind::InvalidOperation, "this place was asked for"));
        }
        Ok(index)
    }

    fn mentions(&self) -> MutexGuard<'_, Vec<Mention>> {
        lock(&self.mentions)
    }

    fn run_value(&self, word: &str) -> Value {
        if self.facts.sentinels {
            return Value::from("2000-01-01T00:00:00+00:00");
        }
        match &self.facts.run {
            Some(run) if word == "invocation_id" => Value::from(run.invocation_id.as_str()),
            Some(run) => Value::from(words::rfc3339(run.started_at, &self.facts.zone)),
            None => Value::from(Error::new(ErrorKind::InvalidOperation, format!("{NO_RUN}`{word}`"))),
        }
    }
}

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let scope = self.clone();
        Some(match key.as_str()? {
            SELF => Value::from_dyn_object(scope),
            "config" => Value::from_object(Function {
                scope,
                word: Word::Config,
            }),
            "ref" => Value::from_object(Function { scope, word: Word::Ref }),
            "source" => Value::from_object(Function {
                scope,
                word: Word::Source,
            }),
            "var" => Value::from_object(Function { scope, word: Word::Var }),
            "env_var" => Value::from_object(Function {
                scope,
                word: Word::EnvVar,
            }),
            "is_incremental" => Value::from_object(Function {
                scope,
                word: Word::IsIncremental,
            }),
            "this" => Value::from_object(This { scope }),
            "key" => Value::from_object(KeyValues { scope }),
            "run_started_at" | "invocation_id" => self.run_value(key.as_str()?),
            "target" => Value::from_pairs([
                ("name", Value::from(self.globals.environment.as_str())),
                ("schema", Value::from(self.globals.schema.as_str())),
                ("type", Value::from(self.globals.kind.as_str())),
                ("profile_name", Value::from(self.globals.profile.as_str())),
                ("threads", Value::from(self.globals.threads)),
            ]),
            "project_name" => Value::from(self.globals.project.as_str()),
            "execute" => Value::from(true),
            word @ ("params" | "steps") if self.facts.flow.is_some() => flow_words::value(&scope, word),
            word => match self.facts.words.get(word) {
                Some(value) => Value::from(Serde(value)),
                None => return words::moments(&scope, word),
            },
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

#[derive(Clone, Copy, Debug)]
enum Word {
    Config,
    Ref,
    Source,
    Var,
    EnvVar,
    IsIncremental,
}

#[derive(Debug)]
struct Function {
    scope: Arc<Scope>,
    word: Word,
}

impl Object for Function {
    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        match self.word {
            Word::Config => self.config(args),
            Word::Ref => self.reference(args),
            Word::Source => self.source(args),
            Word::Var => self.var(args),
            Word::EnvVar => self.env_var(args),
            Word::IsIncremental => {
                from_args::<()>(args)?;
                self.scope.asked_incremental.store(true, Ordering::Relaxed);
                Ok(Value::from(self.scope.facts.is_incremental))
            }
        }
    }
}

impl Function {
    fn config(&self, args: &[Value]) -> Result<Value, Error> {
        // dbt takes one mapping too, for keys that are no words of a call: `post-hook`.
        let (mapping, kwargs): (Option<Value>, Kwargs) = from_args(args)?;
        let mut given: Vec<(String, Value)> = Vec::new();
        if let Some(mapping) = mapping {
            for key in mapping.try_iter()? {
                given.push((key.to_string(), mapping.get_item(&key)?));
            }
        }
        for name in kwargs.args() {
            given.push((name.to_owned(), kwargs.peek(name)?));
        }
        let mut settings = Vec::new();
        for (name, value) in given {
            let value = serde_json::to_value(&value)
                .map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("`{name}`: {error}")))?;
            settings.push((name, value));
        }
        self.scope.mention(Mention::Config(settings))?;
        Ok(Value::from(""))
    }

    fn reference(&self, args: &[Value]) -> Result<Value, Error> {
        let (first, second): (String, Option<String>) = from_args(args)?;
        let (package, name) = match second {
            Some(second) => (Some(first), second),
            None => (None, first),
        };
        let scoped = format!("\"{name}\"");
        let unscoped = format!("\"{UNSCOPED}\".\"{name}\"");
        self.relation(
            Mention::Ref {
                package,
                name,
                unscoped: false,
            },
            scoped,
            unscoped,
        )
    }

    fn source(&self, args: &[Value]) -> Result<Value, Error> {
        let (group, table): (String, String) = from_args(args)?;
        let scoped = format!("\"{group}\".\"{table}\"");
        let unscoped = format!("\"{UNSCOPED}\".\"{group}.{table}\"");
        self.relation(
            Mention::Source {
                group,
                table,
                unscoped: false,
            },
            scoped,
            unscoped,
        )
    }

    fn relation(&self, mention: Mention, scoped: String, unscoped: String) -> Result<Value, Error> {
        let index = self.scope.mention(mention)?;
        Ok(Value::from_object(RelationName {
            scope: self.scope.clone(),
            index,
            scoped,
            unscoped,
        }))
    }

    fn var(&self, args: &[Value]) -> Result<Value, Error> {
        let (name, default): (String, Option<Value>) = from_args(args)?;
        if let Some(value) = self.scope.globals.vars.get(&name) {
            return Ok(Value::from(Serde(value)));
        }
        if let Some(default) = default {
            return Ok(default);
        }
        self.scope.mention(Mention::MissingVar(name))?;
        Ok(Value::from(""))
    }

    fn env_var(&self, args: &[Value]) -> Result<Value, Error> {
        let (name, default): (String, Option<Value>) = from_args(args)?;
        let globals = &self.scope.globals;
        if let Some(value) = globals.env.get(&name) {
            let is_written = default.and_then(|default| default.as_str().map(|default| default == value));
            if is_written != Some(true) {
                lock(&globals.secrets).insert(value.clone());
            }
            return Ok(Value::from(value.as_str()));
        }
        if let Some(default) = default {
            return Ok(default);
        }
        self.scope.mention(Mention::MissingEnvVar(name))?;
        Ok(Value::from(""))
    }
}

/// What `ref` and `source` give: prints the bound name; `.render()` the name without a filter.
#[derive(Debug)]
struct RelationName {
    scope: Arc<Scope>,
    index: usize,
    scoped: String,
    unscoped: String,
}

impl Object for RelationName {
    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        if method != "render" {
            return Err(Error::new(
                ErrorKind::UnknownMethod,
                format!("a relation has no `{method}()`, only `render()`"),
            ));
        }
        from_args::<()>(args)?;
        if let Some(Mention::Ref { unscoped, .. } | Mention::Source { unscoped, .. }) =
            self.scope.mentions().get_mut(self.index)
        {
            *unscoped = true;
        }
        Ok(Value::from(self.unscoped.as_str()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.scoped)
    }
}

/// What `this` gives: prints the model's own relation.
#[derive(Debug)]
struct This {
    scope: Arc<Scope>,
}

impl Object for This {
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scope.mention(Mention::This).map_err(|_| fmt::Error)?;
        f.write_str(&self.scope.facts.this)
    }
}

/// What `key` gives: its columns' values.
#[derive(Debug)]
struct KeyValues {
    scope: Arc<Scope>,
}

impl Object for KeyValues {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let column = key.as_str()?;
        if let Err(error) = self.scope.mention(Mention::Key(column.to_owned())) {
            return Some(Value::from(error));
        }
        let facts = &self.scope.facts;
        match facts.key.as_ref().and_then(|key| key.0.get(column)) {
            // Marked, so that it can be told from other texts where it is printed.
            Some(value) if facts.prints_key_words => Some(Value::from_safe_string(value.clone())),
            Some(value) => Some(Value::from(value.as_str())),
            None => facts.sentinels.then(|| Value::from(Facts::key_word(column))),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// A macro, callable from every file: renders its own file with the scope of the model at work and
/// calls the macro there.
#[derive(Debug)]
pub(super) struct MacroCall {
    template: String,
    name: String,
}

impl MacroCall {
    pub(super) fn new(template: String, name: String) -> Self {
        Self { template, name }
    }
}

impl Object for MacroCall {
    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let Some(scope) = state.lookup(SELF).and_then(|value| value.downcast_object::<Scope>()) else {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "a macro is called outside of a model",
            ));
        };
        let depth = scope.macro_depth.fetch_add(1, Ordering::Relaxed);
        let result = if depth >= MAX_MACRO_DEPTH {
            Err(limit(format!(
                "macros call each other deeper than {MAX_MACRO_DEPTH} times"
            )))
        } else if scope.macro_fuel.load(Ordering::Relaxed) >= MAX_FUEL {
            Err(limit(format!("the macros take more than {MAX_FUEL} steps")))
        } else {
            self.run(&scope, state, args)
        };
        scope.macro_depth.fetch_sub(1, Ordering::Relaxed);
        result
    }
}

impl MacroCall {
    fn run(&self, scope: &Arc<Scope>, state: &State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        lock(&scope.macro_files).insert(PathBuf::from(&self.template));
        let template = state.env().get_template(&self.template)?;
        let mut captured = template.render_captured(Value::from_dyn_object(scope.clone()))?;
        let text = captured.with_state_mut(|state| {
            let text = state.call_macro(&self.name, args);
            // A call costs at least one step, so that empty macros are counted too.
            let used = state.fuel_levels().map_or(0, |(used, _)| used) + 1;
            scope.macro_fuel.fetch_add(used, Ordering::Relaxed);
            text
        })?;
        Ok(Value::from(text))
    }
}

/// Prints a value: as it is, or the word of its column where it is a key's.
pub(super) fn print(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let scope = || state.lookup(SELF)?.downcast_object::<Scope>();
    if let Some(scope) = value.is_safe().then(scope).flatten()
        && let Some(word) = scope.facts.word_for(value.as_str().unwrap_or_default())
    {
        return out.write_str(&word).map_err(Error::from);
    }
    escape_formatter(out, state, value)
}

/// A value as JSON; what prints itself is its text. One that is not defined is a fault, as where it is
/// printed; so is one that is larger than a text may be.
pub(super) fn to_json(value: &Value) -> Result<serde_json::Value, Error> {
    let mut left = MAX_OUTPUT_BYTES;
    converted(value, &mut left, 0)
}

fn converted(value: &Value, left: &mut usize, depth: u32) -> Result<serde_json::Value, Error> {
    let size = value.as_str().map_or(8, str::len);
    *left = left
        .checked_sub(size)
        .filter(|_| depth < MAX_VALUE_DEPTH)
        .ok_or_else(|| limit("the value of an expression is too large".to_owned()))?;
    let wrong = |error: &dyn fmt::Display| Error::new(ErrorKind::InvalidOperation, error.to_string());
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Result<Vec<_>, Error> = value
                .try_iter()?
                .map(|item| converted(&item, left, depth + 1))
                .collect();
            Ok(items?.into())
        }
        ValueKind::Map => {
            // What has fields and cannot list them is one of our words: a moment, a relation.
            let Ok(keys) = value.try_iter() else {
                return Ok(value.to_string().into());
            };
            let mut fields = serde_json::Map::new();
            for key in keys {
                let item = converted(&value.get_item(&key)?, left, depth + 1)?;
                fields.insert(key.to_string(), item);
            }
            Ok(fields.into())
        }
        ValueKind::Plain => Ok(value.to_string().into()),
        // Of kinds that are still to come nothing is known but that they can be written.
        _ => serde_json::to_value(value).map_err(|error| wrong(&error)),
    }
}

pub(super) fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while the lock was held leaves a collection that is only shorter.
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

fn limit(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("{LIMIT}{message}"))
}
