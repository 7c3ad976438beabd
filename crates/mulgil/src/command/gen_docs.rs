//! The reference of all commands, from the same comments as `--help`.

use std::fmt::Write as _;

use clap::CommandFactory as _;

use crate::{cli::Cli, command::Outcome, say};

pub(crate) fn gen_docs() -> Outcome {
    let mut out = String::from("# Commands\n\nWritten by `cargo xtask gen` from the program's own help.\n");
    let mut root = Cli::command();
    root.build();
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        section(command, "mulgil", &mut out);
    }
    say::print(out.trim_end());
    Ok(0)
}

fn section(command: &clap::Command, parent: &str, out: &mut String) {
    let name = format!("{parent} {}", command.get_name());
    let subcommands: Vec<_> = command.get_subcommands().filter(|sub| !sub.is_hide_set()).collect();
    if !subcommands.is_empty() {
        for sub in subcommands {
            section(sub, &name, out);
        }
        return;
    }
    let _ = write!(out, "\n## `{name}`\n\n");
    if let Some(about) = command.get_about() {
        let _ = writeln!(out, "{about}.\n");
    }
    let _ = writeln!(out, "| argument | meaning |\n|---|---|");
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        let mut written: Vec<String> = Vec::new();
        written.extend(argument.get_short().map(|short| format!("`-{short}`")));
        written.extend(argument.get_long().map(|long| format!("`--{long}`")));
        if written.is_empty() {
            written.extend(
                argument
                    .get_value_names()
                    .into_iter()
                    .flatten()
                    .map(|name| format!("`{name}`")),
            );
        }
        let help = argument
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default()
            .replace('|', "\\|");
        let _ = writeln!(out, "| {} | {help} |", written.join(", "));
    }
}
