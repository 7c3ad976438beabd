//! What may stand next on a command line: by the command line's own declaration, and by the names of the project.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::{Arg, Command};
use mulgil_core::{diagnostic::Code, flow::name};
use mulgil_project::{LoadOptions, Names};

use crate::{command::explain, generated::error_pages::PAGES, wire};

/// What may stand next.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) kind: Kind,
    /// Each with a few words about it.
    pub(super) candidates: Vec<(String, String)>,
}

/// What the shell does with the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Each is a whole word.
    Closed,
    /// More may follow without a space.
    Open,
    /// It completes names of files by itself.
    Files,
    /// It completes names of folders by itself.
    Folders,
}

/// For words of which the first is the program and the last is being typed.
pub(super) fn answer(root: &Command, words: &[String]) -> Answer {
    let (typed, before) = match words {
        [_, before @ .., typed] => (typed.as_str(), before),
        [_] | [] => ("", &[][..]),
    };
    let place = Place::after(root, before);
    place.next(typed)
}

/// Where on a command line one is.
struct Place<'a> {
    command: &'a Command,
    /// The flag whose value comes next.
    expects: Option<&'a Arg>,
    /// Values without a flag so far.
    values: usize,
    /// Whether no flag can come any more.
    is_past_flags: bool,
    project_dir: PathBuf,
}

impl<'a> Place<'a> {
    fn after(root: &'a Command, words: &[String]) -> Self {
        let mut place = Self {
            command: root,
            expects: None,
            values: 0,
            is_past_flags: false,
            project_dir: PathBuf::from("."),
        };
        for word in words {
            place.pass(word);
        }
        place
    }

    fn pass(&mut self, word: &str) {
        if let Some(arg) = self.expects.take() {
            return self.take(arg, word);
        }
        if self.is_past_flags {
            self.values += 1;
        } else if word == "--" {
            self.is_past_flags = true;
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long
                .split_once('=')
                .map_or((long, None), |(name, value)| (name, Some(value)));
            if let Some(arg) = self.long(name) {
                self.flag(arg, value);
            }
        } else if let Some(short) = word.strip_prefix('-').and_then(|rest| rest.chars().next()) {
            let value = word.get(1 + short.len_utf8()..).filter(|rest| !rest.is_empty());
            let arg = self.command.get_arguments().find(|arg| arg.get_short() == Some(short));
            if let Some(arg) = arg {
                self.flag(arg, value);
            }
        } else if let Some(command) = self.command.find_subcommand(word).filter(|_| self.values == 0) {
            self.command = command;
        } else {
            self.values += 1;
        }
    }

    fn flag(&mut self, arg: &'a Arg, value: Option<&str>) {
        if !takes_value(arg) {
            return;
        }
        match value {
            Some(value) => self.take(arg, value),
            None => self.expects = Some(arg),
        }
    }

    /// Of all values one counts here: where the project is.
    fn take(&mut self, arg: &Arg, value: &str) {
        if arg.get_id() == "project_dir" {
            self.project_dir = PathBuf::from(value);
        }
    }

    fn long(&self, name: &str) -> Option<&'a Arg> {
        self.command.get_arguments().find(|arg| arg.get_long() == Some(name))
    }

    fn next(&self, typed: &str) -> Answer {
        if let Some(arg) = self.expects {
            return self.value(arg, "", typed);
        }
        let flag = typed.strip_prefix("--").and_then(|long| long.split_once('='));
        if let Some((name, value)) = flag.filter(|_| !self.is_past_flags) {
            let arg = self.long(name).filter(|arg| takes_value(arg));
            return arg.map_or_else(nothing, |arg| self.value(arg, &format!("--{name}="), value));
        }
        if typed.starts_with('-') && !self.is_past_flags {
            return self.flags(typed);
        }
        let mut answer = self.positional().map_or_else(nothing, |arg| self.value(arg, "", typed));
        if self.values == 0 {
            let commands = self.command.get_subcommands().filter(|command| !command.is_hide_set());
            let named = commands.filter(|command| command.get_name().starts_with(typed));
            let told = named.map(|command| (command.get_name().to_owned(), text(command.get_about())));
            answer.candidates.splice(0..0, told);
        }
        answer
    }

    /// The value without a flag that comes next; the last one may take many.
    fn positional(&self) -> Option<&'a Arg> {
        let positionals: Vec<&Arg> = self.command.get_positionals().collect();
        positionals.get(self.values).copied().or_else(|| {
            let last = positionals.last()?;
            let is_many = last.get_num_args().is_some_and(|count| count.max_values() > 1);
            let is_appended = matches!(last.get_action(), clap::ArgAction::Append);
            (is_many || is_appended).then_some(*last)
        })
    }

    fn flags(&self, typed: &str) -> Answer {
        let shown = self.command.get_arguments().filter(|arg| !arg.is_hide_set());
        let flags = shown.filter_map(|arg| Some((format!("--{}", arg.get_long()?), text(arg.get_help()))));
        closed(flags.filter(|(flag, _)| flag.starts_with(typed)))
    }

    /// The values of a flag, or of a place without one.
    fn value(&self, arg: &Arg, lead: &str, typed: &str) -> Answer {
        let possible = arg.get_possible_values();
        if !possible.is_empty() {
            let named = possible
                .iter()
                .map(|value| (value.get_name().to_owned(), text(value.get_help())));
            return closed(led(lead, typed, named));
        }
        let word = arg
            .get_value_names()
            .and_then(<[_]>::first)
            .map_or("", |name| name.as_str());
        match (word, arg.get_id().as_str()) {
            ("PATH", _) => Answer {
                kind: Kind::Files,
                candidates: Vec::new(),
            },
            ("DIR", _) => Answer {
                kind: Kind::Folders,
                candidates: Vec::new(),
            },
            ("SELECTOR", _) => self.selectors(lead, typed),
            ("NODE", _) => closed(led(lead, typed, about(&self.names().nodes, "node"))),
            ("NODE@INTERVAL", _) => Answer {
                kind: Kind::Open,
                ..closed(led(lead, typed, about(&self.names().nodes, "node")))
            },
            ("FLOW", _) => closed(led(lead, typed, about(&self.names().flows, "flow"))),
            ("NAME", "env" | "target") => closed(led(lead, typed, about(&self.names().environments, "environment"))),
            ("CODE", _) => {
                let codes = PAGES
                    .iter()
                    .map(|(code, page)| (Code(*code).to_string(), explain::title(page).to_owned()));
                closed(led(lead, &typed.to_uppercase(), codes))
            }
            (..) => nothing(),
        }
    }

    /// `+sa` may become `+sales`; `a,b` ends in a selector of its own.
    fn selectors(&self, lead: &str, typed: &str) -> Answer {
        let others = typed.rfind(',').map_or(0, |at| at + 1);
        let operators = typed[others..].find(|sign: char| !(sign.is_ascii_digit() || matches!(sign, '+' | '@')));
        // A name may begin with a digit: without a `+` behind it that is no operator.
        let own = others + operators.unwrap_or(typed.len() - others);
        let own = typed[others..own]
            .rfind(['+', '@'])
            .map_or(others, |at| others + at + 1);
        let (before, rest) = typed.split_at(own);
        let lead = format!("{lead}{before}");
        let names = self.names();
        let mut all: Vec<(String, String)> = about(&names.nodes, "node").collect();
        let takes_flows = before.is_empty() && matches!(self.command.get_name(), "run" | "backfill");
        if takes_flows {
            all.extend(names.flows.iter().map(|flow| (name::of_flow(flow), "flow".to_owned())));
        }
        if !rest.is_empty() {
            all.extend(
                names
                    .sources
                    .iter()
                    .map(|source| (format!("source:{source}"), "source".to_owned())),
            );
        }
        closed(led(&lead, rest, all.into_iter()))
    }

    fn names(&self) -> Names {
        let Some(root) = mulgil_project::find_root(&whole(&self.project_dir)) else {
            return Names::default();
        };
        let options = LoadOptions {
            env: wire::environment(),
            home: std::env::home_dir(),
            ..LoadOptions::default()
        };
        mulgil_project::names(&root, &options)
    }
}

fn whole(folder: &Path) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

fn text(help: Option<&clap::builder::StyledStr>) -> String {
    help.map(ToString::to_string).unwrap_or_default()
}

fn about<'a>(names: &'a BTreeSet<String>, what: &'a str) -> impl Iterator<Item = (String, String)> + 'a {
    names.iter().map(move |name| (name.clone(), what.to_owned()))
}

/// Those that begin as was typed, with what stands before them.
fn led(
    lead: &str,
    typed: &str,
    values: impl Iterator<Item = (String, String)>,
) -> impl Iterator<Item = (String, String)> {
    let fitting = values.filter(move |(value, _)| value.starts_with(typed));
    fitting.map(move |(value, help)| (format!("{lead}{value}"), help))
}

fn closed(candidates: impl Iterator<Item = (String, String)>) -> Answer {
    Answer {
        kind: Kind::Closed,
        candidates: candidates.collect(),
    }
}

fn nothing() -> Answer {
    closed(std::iter::empty())
}
