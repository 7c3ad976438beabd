//! The narrow seam around the template engine: texts in; SQL, what was mentioned, and faults at
//! their places out. Nothing outside of this module names the engine. It knows no project: whether
//! a `ref` can be resolved is decided by who reads the mentions.
//!
//! Each file is parsed once. A macro is a global function that renders its own file and calls the
//! macro in it with the context of the model at work, so macros see each other across files and
//! every fault keeps its file, line and column.

mod flow_words;
mod scope;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    grid::Zone,
    interval::{Instant, Interval},
    name::Key,
};

use self::scope::{MacroCall, Scope};
pub(crate) use self::{flow_words::FlowFacts, words::rfc3339};
use crate::{generic, profiles::Target, text};

/// Instructions that rendering one model may take; its macros have as many again in all.
const MAX_FUEL: u64 = 1_000_000;
/// Bytes that one rendered model may have.
const MAX_OUTPUT_BYTES: usize = 4 << 20;
/// How deep macros may call each other across files.
const MAX_MACRO_DEPTH: u32 = 24;
/// How deep blocks and calls may be nested inside one file; a call of a macro counts for four. The
/// engine makes its stack larger as it goes, so the limit can be for people and not for the stack.
const MAX_RECURSION: usize = 400;
/// The schema part of the names of inputs that are read without a filter (`ref('x').render()`).
pub(crate) const UNSCOPED: &str = "__all";

/// What templates see of the project, the same for all of them.
#[derive(Debug, Default)]
pub(crate) struct Globals {
    /// For `var()`.
    pub(crate) vars: BTreeMap<String, serde_json::Value>,
    /// For `env_var()`.
    pub(crate) env: BTreeMap<String, String>,
    /// For `target.name`.
    pub(crate) environment: String,
    /// For `target.schema`.
    pub(crate) schema: String,
    /// For `target.type`, `target.profile_name` and `target.threads`.
    pub(crate) kind: String,
    pub(crate) profile: String,
    pub(crate) threads: usize,
    /// For `project_name` and the first argument of `ref('project', 'model')`.
    pub(crate) project: String,
    /// What `env_var()` gave so far and the project's files do not hold themselves.
    pub(crate) secrets: Mutex<BTreeSet<String>>,
}

impl Globals {
    /// The same values, with nothing given to anybody yet.
    pub(crate) fn copy(&self) -> Self {
        Self {
            vars: self.vars.clone(),
            env: self.env.clone(),
            environment: self.environment.clone(),
            schema: self.schema.clone(),
            kind: self.kind.clone(),
            profile: self.profile.clone(),
            threads: self.threads,
            project: self.project.clone(),
            secrets: Mutex::default(),
        }
    }

    /// Has the target of a profile in `target`.
    pub(crate) fn aim_at(&mut self, target: &Target) {
        self.environment.clone_from(&target.name);
        self.kind.clone_from(&target.kind);
        self.profile.clone_from(&target.profile);
        self.threads = target.threads.unwrap_or(1);
        if let Some(schema) = &target.schema {
            self.schema.clone_from(schema);
        }
    }

    /// The values of the environment that are in texts which were rendered so far.
    pub(crate) fn secrets(&self) -> Vec<String> {
        scope::lock(&self.secrets).iter().cloned().collect()
    }
}

/// A run, as templates see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFacts {
    /// When it began: `run_started_at`.
    pub started_at: Instant,
    /// Its id: `invocation_id`.
    pub invocation_id: String,
}

/// What one rendering is told.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The model's name.
    pub(crate) model: String,
    /// The model's relation, quoted; what `this` prints.
    pub(crate) this: String,
    /// The zone that instants are printed in.
    pub(crate) zone: Zone,
    /// What is filled.
    pub(crate) interval: Interval,
    /// What `is_incremental()` says.
    pub(crate) is_incremental: bool,
    /// The key's values; absent while they are not known yet.
    pub(crate) key: Option<Key>,
    /// Whether a value of the key is printed as a word for its column.
    pub(crate) prints_key_words: bool,
    /// The run; absent outside of one.
    pub(crate) run: Option<RunFacts>,
    /// Whether values that change from run to run are replaced by fixed ones.
    pub(crate) sentinels: bool,
    /// Further words and what they mean.
    pub(crate) words: BTreeMap<String, serde_json::Value>,
    /// What `params` and `steps` are in a step of a flow; absent elsewhere.
    pub(crate) flow: Option<FlowFacts>,
}

impl Facts {
    /// Fixed values for everything that changes from run to run or from interval to interval.
    pub(crate) fn sentinels(model: &str, is_incremental: bool) -> Self {
        Self {
            model: model.to_owned(),
            this: "\"__this\"".to_owned(),
            zone: Zone::UTC,
            // The first day of 2000.
            interval: Interval {
                start: Instant(946_684_800_000_000),
                end: Instant(946_771_200_000_000),
            },
            is_incremental,
            key: None,
            prints_key_words: false,
            run: None,
            sentinels: true,
            words: BTreeMap::new(),
            flow: None,
        }
    }

    /// The word for a value of the key, where such words are printed.
    fn word_for(&self, value: &str) -> Option<String> {
        let key = self.key.as_ref().filter(|_| self.prints_key_words)?;
        let (column, _) = key.0.iter().find(|(_, own)| *own == value)?;
        Some(Self::key_word(column))
    }

    /// What stands for a value of a key's column.
    pub(crate) fn key_word(column: &str) -> String {
        format!("__key_{column}__")
    }
}

/// Something that a template named, in the order of naming.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mention {
    /// `config(...)` with its settings.
    Config(Vec<(String, serde_json::Value)>),
    /// `ref(...)`.
    Ref {
        package: Option<String>,
        name: String,
        unscoped: bool,
    },
    /// `source(...)`.
    Source {
        group: String,
        table: String,
        unscoped: bool,
    },
    /// `key.<name>`.
    Key(String),
    /// `interval`, `ds`, `ds_nodash` or `model.batch`, in the words used.
    Interval(&'static str),
    /// `this`.
    This,
    /// `params.<name>` of a flow.
    Param(String),
    /// `steps.<name>` of a flow.
    Step(String),
    /// `var(...)` without a value and a default.
    MissingVar(String),
    /// `env_var(...)` without a value and a default.
    MissingEnvVar(String),
}

/// A rendered model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rendered {
    pub(crate) sql: String,
    pub(crate) mentions: Vec<Mention>,
    /// Whether `is_incremental()` was asked.
    pub(crate) asked_incremental: bool,
    /// The files of the macros that were called.
    pub(crate) macro_files: BTreeSet<PathBuf>,
}

/// Why a rendering failed, and what it had named until then.
pub(crate) type Refused = Box<(Diagnostic, Vec<Mention>)>;

/// All templates of a project, parsed.
#[derive(Debug)]
pub(crate) struct Templates {
    env: Environment<'static>,
    globals: Arc<Globals>,
    macros: BTreeSet<String>,
    /// Whether a macro file did not parse: then a macro that seems unknown may be in it.
    incomplete: bool,
}

impl Templates {
    /// No templates yet.
    pub(crate) fn new(globals: Globals) -> Self {
        let mut env = Environment::new();
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_fuel(Some(MAX_FUEL));
        env.set_recursion_limit(MAX_RECURSION);
        words::add_filters(&mut env);
        env.set_formatter(scope::print);
        Self {
            env,
            globals: Arc::new(globals),
            macros: BTreeSet::new(),
            incomplete: false,
        }
    }

    /// Adds a file of macros; they can be called from every other file.
    pub(crate) fn add_macros(&mut self, file: &Path, text: String, faults: &mut Vec<Diagnostic>) {
        let name = template_name(file);
        if let Err(fault) = self.add(file, generic::as_macros(&text)) {
            self.incomplete = true;
            faults.push(fault);
            return;
        }
        let exports: Vec<String> = {
            let scope = Scope::new(&self.globals, Facts::sentinels("", false), None);
            let rendered = self
                .env
                .get_template(&name)
                .and_then(|template| template.render_captured(Value::from_dyn_object(scope)));
            match rendered {
                Ok(captured) => captured.state().exports().into_iter().map(str::to_owned).collect(),
                Err(error) => {
                    self.incomplete = true;
                    faults.push(self.fault(file, &error, false));
                    return;
                }
            }
        };
        for export in exports {
            if !self.macros.insert(export.clone()) {
                faults.push(
                    Diagnostic::error(codes::DUPLICATE_NAME, format!("there is another macro `{export}`"))
                        .at(Place::file(file))
                        .with_remedy("rename one of them"),
                );
                continue;
            }
            let call = MacroCall::new(name.clone(), export.clone());
            self.env.add_global(export, Value::from_object(call));
        }
    }

    /// Adds a model.
    pub(crate) fn add(&mut self, file: &Path, text: String) -> Result<(), Diagnostic> {
        let kept = text.clone();
        self.env
            .add_template_owned(template_name(file), text)
            .map_err(|error| syntax_fault(file, &kept, &error))
    }

    /// Renders a model.
    pub(crate) fn render(&self, file: &Path, facts: &Facts) -> Result<Rendered, Diagnostic> {
        self.render_told(file, facts).map_err(|refused| refused.0)
    }

    /// Renders a model; where that fails, with what it had named until then.
    pub(crate) fn render_told(&self, file: &Path, facts: &Facts) -> Result<Rendered, Refused> {
        let scope = Scope::new(&self.globals, facts.clone(), None);
        let mut output = Bounded(Vec::new());
        let result = self
            .env
            .get_template(&template_name(file))
            .and_then(|template| template.render_captured_to(Value::from_dyn_object(scope.clone()), &mut output))
            .map(drop);
        match result {
            Ok(()) => Ok(scope.finish(String::from_utf8_lossy(&output.0).into_owned())),
            Err(error) => {
                let fault = self.fault(file, &error, output.0.len() >= MAX_OUTPUT_BYTES);
                Err(Box::new((fault, scope.finish(String::new()).mentions)))
            }
        }
    }

    /// Renders a text that is no template of the project's own and stands at a place: a file, or a value in
    /// a file. A fault of the text itself is at that place.
    pub(crate) fn render_at(&self, text: &str, place: &Place, facts: &Facts) -> Result<Rendered, Diagnostic> {
        let scope = Scope::new(&self.globals, facts.clone(), None);
        let mut output = Bounded(Vec::new());
        let name = template_name(&place.file);
        let result = self
            .env
            .template_from_named_str(&name, text)
            .and_then(|template| template.render_captured_to(Value::from_dyn_object(scope.clone()), &mut output))
            .map(drop);
        match result {
            Ok(()) => Ok(scope.finish(String::from_utf8_lossy(&output.0).into_owned())),
            Err(error) => {
                let is_own = error.name().is_none_or(|own| own == name);
                let fault = self.fault(&place.file, &error, output.0.len() >= MAX_OUTPUT_BYTES);
                let range = error.range().filter(|_| place.line.is_none());
                Err(match range {
                    _ if !is_own => fault,
                    Some(range) => fault.at(text::place_of(&place.file, text, range.start)),
                    None => fault.at(place.clone()),
                })
            }
        }
    }

    /// The value of an expression, and what it named.
    pub(crate) fn value_at(
        &self,
        expression: &str,
        place: &Place,
        facts: &Facts,
    ) -> Result<(serde_json::Value, Vec<Mention>), Diagnostic> {
        let scope = Scope::new(&self.globals, facts.clone(), None);
        let result = self
            .env
            .compile_expression(expression)
            .and_then(|expression| expression.eval(Value::from_dyn_object(scope.clone())))
            .and_then(|value| scope::to_json(&value));
        match result {
            Ok(value) => Ok((value, scope.finish(String::new()).mentions)),
            Err(error) => Err(self.fault(&place.file, &error, false).at(place.clone())),
        }
    }

    /// Renders a text that stands for itself, such as a value of a YAML file; or says why not.
    pub(crate) fn render_text(&self, text: &str) -> Result<(String, Vec<Mention>), String> {
        let scope = Scope::new(&self.globals, Facts::sentinels("", false), None);
        let mut output = Bounded(Vec::new());
        let result = self
            .env
            .template_from_str(text)
            .and_then(|template| template.render_captured_to(Value::from_dyn_object(scope.clone()), &mut output))
            .map(drop);
        match result {
            Ok(()) => {
                let rendered = scope.finish(String::from_utf8_lossy(&output.0).into_owned());
                Ok((rendered.sql, rendered.mentions))
            }
            Err(error) => Err(error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)),
        }
    }

    /// The names of all macros.
    pub(crate) fn macros(&self) -> Vec<String> {
        self.macros.iter().cloned().collect()
    }

    /// Where the mention of that index is written: the same rendering fails there on purpose.
    pub(crate) fn locate(&self, file: &Path, facts: &Facts, mention: usize) -> Place {
        let scope = Scope::new(&self.globals, facts.clone(), Some(mention));
        let result = self
            .env
            .get_template(&template_name(file))
            .and_then(|template| template.render_captured_to(Value::from_dyn_object(scope), &mut Bounded(Vec::new())));
        match result {
            Ok(_) => Place::file(file),
            Err(error) => self.place(file, &error),
        }
    }

    /// Where a setting of a file's `config(...)` calls is written; the file, where a macro gave it.
    pub(crate) fn locate_setting(&self, file: &Path, key: &str) -> Place {
        let source = self.source(file).unwrap_or_default();
        let from = source
            .find("config(")
            .map_or(source.len(), |call| call + "config(".len());
        find_setting(&source[from..], key).map_or_else(
            || Place::file(file),
            |offset| text::place_of(file, &source, from + offset),
        )
    }

    /// The variables and the environment, for what looks like a mistyped one.
    pub(crate) fn globals(&self) -> &Globals {
        &self.globals
    }

    /// The text of a file as it was written.
    pub(crate) fn source(&self, file: &Path) -> Option<String> {
        Some(self.env.get_template(&template_name(file)).ok()?.source().to_owned())
    }

    fn place(&self, file: &Path, error: &Error) -> Place {
        let file = error.name().map_or_else(|| file.to_path_buf(), PathBuf::from);
        let source = self.source(&file).unwrap_or_default();
        match (error.range(), error.line()) {
            (Some(range), _) => text::place_of(&file, &source, range.start),
            (None, Some(line)) => text::place_of_line(&file, &source, line),
            (None, None) => Place::file(file),
        }
    }

    fn fault(&self, file: &Path, error: &Error, overflowed: bool) -> Diagnostic {
        let place = self.place(file, error);
        let detail = error.detail().unwrap_or_default().to_owned();
        let fault = match error.kind() {
            ErrorKind::UnknownFunction => self.unknown_function(&place, error),
            ErrorKind::UndefinedError => self.undefined(&detail),
            ErrorKind::OutOfFuel => limit_fault(format!("the template takes more than {MAX_FUEL} steps")),
            _ if overflowed => limit_fault(format!("the template writes more than {} MiB", MAX_OUTPUT_BYTES >> 20)),
            _ if detail.starts_with("recursion limit") => {
                limit_fault(format!("macros or blocks are nested deeper than {MAX_RECURSION} steps"))
            }
            _ if detail.starts_with(scope::LIMIT) => limit_fault(detail[scope::LIMIT.len()..].to_owned()),
            _ if detail.starts_with(scope::NO_RUN) => Diagnostic::error(
                codes::NO_RUN_HERE,
                format!("{} has a value only in a run", &detail[scope::NO_RUN.len()..]),
            )
            .with_remedy("run the model, or use `interval.start` or the function `now()` of SQL"),
            kind => Diagnostic::error(
                codes::TEMPLATE_FAILED,
                if detail.is_empty() {
                    format!("the template fails: {kind}")
                } else {
                    format!("the template fails: {kind}: {detail}")
                },
            )
            .with_remedy("look at the expression at this place"),
        };
        fault.at(place)
    }

    fn unknown_function(&self, place: &Place, error: &Error) -> Diagnostic {
        let source = self.source(&place.file).unwrap_or_default();
        let name = error
            .range()
            .and_then(|range| source.get(range))
            .map(|call| call.split('(').next().unwrap_or_default().trim().to_owned())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| error.detail().unwrap_or_default().to_owned());
        let known = self
            .macros
            .iter()
            .map(String::as_str)
            .chain(words::FUNCTIONS.iter().copied());
        let remedy = match text::nearest(&name, known) {
            Some(near) => format!("write `{near}(…)`"),
            None if self.incomplete => "mend the macro files first: the macro may be in one of them".to_owned(),
            None => format!(
                "write the macro in a file under `macros/`; there are {}",
                self.macro_names()
            ),
        };
        Diagnostic::error(codes::UNKNOWN_MACRO, format!("there is no macro or function `{name}`")).with_remedy(remedy)
    }

    fn undefined(&self, detail: &str) -> Diagnostic {
        let word = detail.split('`').nth(1).unwrap_or_default();
        let known = self.macros.iter().map(String::as_str).chain(words::ALL.iter().copied());
        let remedy = text::nearest(word, known).map_or_else(
            || "give it a value with `{% set … %}`, or read a variable with `var('…')`".to_owned(),
            |near| format!("write `{near}`"),
        );
        let message = if word.is_empty() {
            "a value that is not defined is used".to_owned()
        } else {
            format!("`{word}` is not defined")
        };
        Diagnostic::error(codes::TEMPLATE_FAILED, message).with_remedy(remedy)
    }

    fn macro_names(&self) -> String {
        text::listed(self.macros.iter().map(String::as_str))
    }
}

fn template_name(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}

fn limit_fault(message: String) -> Diagnostic {
    Diagnostic::error(codes::TEMPLATE_LIMIT, message)
        .with_remedy("make the loop or the macro smaller; what is large belongs into a seed or into SQL")
}

fn syntax_fault(file: &Path, source: &str, error: &Error) -> Diagnostic {
    let place = match (error.range(), error.line()) {
        (Some(range), _) => text::place_of(file, source, range.start),
        (None, Some(line)) => text::place_of_line(file, source, line),
        (None, None) => Place::file(file),
    };
    let detail = error.detail().unwrap_or("it ends too early");
    Diagnostic::error(codes::TEMPLATE_SYNTAX, format!("the template does not parse: {detail}"))
        .at(place)
        .with_remedy("look for a `{{`, `{%` or `{#` that is not closed, or a block without its end")
}

/// The offset of `key=` in the arguments of a call; text in quotes is passed over.
fn find_setting(source: &str, key: &str) -> Option<usize> {
    let mut quote = None;
    let mut before = '(';
    for (index, letter) in source.char_indices() {
        let starts_word = !(before.is_ascii_alphanumeric() || before == '_');
        before = letter;
        if let Some(open) = quote {
            quote = (open != letter).then_some(open);
        } else if letter == '\'' || letter == '"' {
            quote = Some(letter);
        } else if starts_word && let Some(rest) = source[index..].strip_prefix(key) {
            let rest = rest.trim_start();
            if rest.starts_with('=') && !rest.starts_with("==") {
                return Some(index);
            }
        }
    }
    None
}

/// An output that refuses to grow beyond the limit.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT_BYTES {
            self.0.resize(MAX_OUTPUT_BYTES, b' ');
            return Err(io::Error::other("the output is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
