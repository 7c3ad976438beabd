//! The kinds of steps that have a text or a file of their own: `sql`, `command`, `python`. Files are read here,
//! from the project folder and nowhere else.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    flow::{Entry as PythonEntry, Program, StepKind, Template},
    project::Fingerprint,
};

use super::{
    at,
    file::{FlowFile, not_yet},
    is_template,
};
use crate::{
    branches,
    config::Layer,
    files, text,
    yaml::{self, Node, Value},
};

/// Bytes that a script may have.
const MAX_SCRIPT_BYTES: u64 = 4 << 20;

impl FlowFile<'_> {
    pub(super) fn sql(&mut self, node: &Node, layer: &Layer) -> Option<StepKind> {
        self.check_on(layer);
        let written = self.template(node, "`sql`")?;
        let text = written.text.trim();
        let script = if is_path(text, "sql") {
            let path = self.script(text, &written.place)?;
            let text = files::read_text(self.root, &path, self.faults)?;
            Template {
                text,
                place: Place::file(path),
            }
        } else {
            written
        };
        let canonical = branches::canonical(&script.text);
        if canonical.is_empty() {
            self.faults.push(
                Diagnostic::error(codes::SQL_SYNTAX, "the step's SQL holds no statement")
                    .at(script.place)
                    .with_remedy("write what it is to do, or remove the step"),
            );
            return None;
        }
        Some(StepKind::Sql {
            content: Fingerprint::of_text(&canonical),
            script,
        })
    }

    fn check_on(&mut self, layer: &Layer) {
        let Some(on) = self.settings(layer).text("on") else {
            return;
        };
        if let Some(setting) = layer.get("on").filter(|_| on != "warehouse") {
            self.faults.push(
                not_yet(
                    format!("`on: {on}` is not done yet: SQL runs in the warehouse alone"),
                    setting.place.clone(),
                )
                .with_remedy("leave it out"),
            );
        }
    }

    pub(super) fn command(&mut self, node: &Node, step: &Node) -> Option<StepKind> {
        let program = if let Value::List(items) = &node.value {
            let told = self.faults.len();
            let words: Vec<Template> = items
                .iter()
                .filter_map(|item| self.template(item, "a word of `command`"))
                .collect();
            if self.faults.len() > told {
                return None;
            }
            Program::Words(words)
        } else {
            Program::Shell(self.template(node, "`command`")?)
        };
        let first = match &program {
            Program::Words(words) => words.first(),
            Program::Shell(text) => Some(text),
        };
        let Some(first) = first.filter(|word| !word.text.trim().is_empty()) else {
            self.faults.push(
                Diagnostic::error(codes::BAD_VALUE, "`command` names no program")
                    .at(at(node, self.file))
                    .with_remedy("write a list of words, `[./load.sh, --day, \"{{ ds }}\"]`, or a text for `sh`"),
            );
            return None;
        };
        let cwd = step.get("cwd").and_then(|node| self.template(node, "`cwd`"));
        // A name without a folder is looked for where the program runs; a path is one of the project.
        if let (Program::Words(_), None) = (&program, &cwd)
            && first.text.contains('/')
            && !first.text.starts_with('/')
            && !is_template(&first.text)
        {
            let (path, place) = (first.text.clone(), first.place.clone());
            self.script(&path, &place)?;
        }
        Some(StepKind::Command { program, cwd })
    }

    pub(super) fn python(&mut self, node: &Node, step: &Node, layer: &Layer) -> Option<StepKind> {
        let written = self.template(node, "`python`")?;
        let (entry, file) = self.entry(written.text.trim(), &written.place)?;
        let bytes = match file.as_ref().map(|file| fs::read(self.root.join(file))) {
            Some(Ok(bytes)) => Some(bytes),
            Some(Err(error)) => {
                let file = file.unwrap_or_default();
                self.faults.push(files::unreadable(&file, &error));
                return None;
            }
            None => None,
        };
        let args = step.get("args").map(|node| self.words(node)).unwrap_or_default();
        if let (PythonEntry::Function { .. }, Some(setting)) = (&entry, layer.get("args")) {
            self.faults.push(
                Diagnostic::error(
                    codes::KEY_MISPLACED,
                    "`args` has a meaning only for a script: a function is given `params`",
                )
                .at(setting.place.clone())
                .with_remedy("write `params: {…}`"),
            );
        }
        Some(StepKind::Python {
            warm: self
                .settings(layer)
                .flag("warm")
                .unwrap_or(matches!(entry, PythonEntry::Function { .. })),
            entry,
            interpreter: self.settings(layer).text("interpreter"),
            args,
            cwd: step.get("cwd").and_then(|node| self.template(node, "`cwd`")),
            content: bytes.map(|bytes| Fingerprint::of([bytes.as_slice()])),
        })
    }

    fn words(&mut self, node: &Node) -> Vec<Template> {
        let items: &[Node] = match &node.value {
            Value::List(items) => items,
            Value::Null => &[],
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Map(_) => {
                self.faults
                    .push(yaml::wrong_kind(self.file, node, "`args`", "a list (`- item`)"));
                &[]
            }
        };
        items
            .iter()
            .filter_map(|item| self.template(item, "a word of `args`"))
            .collect()
    }

    /// What of Python is run, and its file where that is the project's.
    fn entry(&mut self, text: &str, place: &Place) -> Option<(PythonEntry, Option<PathBuf>)> {
        if is_path(text, "py") {
            let path = self.script(text, place)?;
            return Some((PythonEntry::Script(path.clone()), Some(path)));
        }
        let Some((module, function)) = text
            .split_once(':')
            .filter(|(module, function)| module.split('.').all(text::is_name) && text::is_name(function))
        else {
            self.faults.push(
                Diagnostic::error(codes::BAD_VALUE, format!("`python` cannot be `{text}`"))
                    .at(place.clone())
                    .with_remedy("write a script, `tasks/load.py`, or a function of a module, `tasks.load:main`"),
            );
            return None;
        };
        let entry = PythonEntry::Function {
            module: module.to_owned(),
            function: function.to_owned(),
        };
        let path = module.replace('.', "/");
        let candidates = [format!("{path}.py"), format!("{path}/__init__.py")];
        if let Some(file) = candidates.iter().find(|file| self.root.join(file).is_file()) {
            return Some((entry, Some(PathBuf::from(file))));
        }
        // A module of a package that is installed lies elsewhere.
        let top = module.split('.').next().unwrap_or_default();
        if self.root.join(top).is_dir() {
            self.faults.push(missing(&candidates[0], place, self.root));
            return None;
        }
        Some((entry, None))
    }

    /// A file of the project that a step names; nothing, told, where it is none.
    fn script(&mut self, text: &str, place: &Place) -> Option<PathBuf> {
        let path: PathBuf = Path::new(text)
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect();
        let leads_out = |part: Component<'_>| !matches!(part, Component::Normal(_));
        if path.components().any(leads_out) {
            self.faults.push(
                Diagnostic::error(codes::BAD_VALUE, format!("`{text}` leads out of the project"))
                    .at(place.clone())
                    .with_remedy("write a path from the project folder, such as `sql/load.sql`"),
            );
            return None;
        }
        let size = match fs::metadata(self.root.join(&path)) {
            Ok(found) if found.is_file() => found.len(),
            Ok(_) | Err(_) => {
                self.faults.push(missing(text, place, self.root));
                return None;
            }
        };
        if size > MAX_SCRIPT_BYTES {
            self.faults.push(
                Diagnostic::error(
                    codes::FLOW_TOO_LARGE,
                    format!("the script has {size} bytes, and may have {MAX_SCRIPT_BYTES}"),
                )
                .at(Place::file(path))
                .with_remedy("keep data out of scripts: put it into a seed"),
            );
            return None;
        }
        Some(path)
    }
}

/// Whether a text names a file rather than being the script itself.
fn is_path(text: &str, extension: &str) -> bool {
    let is_one_word = !text.contains(['\n', ';', '\'', '"']) && !is_template(text);
    is_one_word
        && Path::new(text)
            .extension()
            .is_some_and(|own| own.eq_ignore_ascii_case(extension))
        && !text.contains(' ')
}

/// The fault of a file that is not there, with the nearest in its folder.
fn missing(text: &str, place: &Place, root: &Path) -> Diagnostic {
    let folder = Path::new(text).parent().unwrap_or(Path::new(""));
    let beside: Vec<String> = fs::read_dir(root.join(folder))
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| Some(folder.join(entry.file_name()).to_str()?.to_owned()))
        .collect();
    let remedy = text::nearest(text, beside.iter().map(String::as_str)).map_or_else(
        || "write the file, or its path from the project folder".to_owned(),
        |near| format!("write `{near}`"),
    );
    Diagnostic::error(codes::MISSING_FILE, format!("there is no file `{text}`"))
        .at(place.clone())
        .with_remedy(remedy)
}
