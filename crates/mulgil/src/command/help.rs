//! `mulgil help`: how a command is written, as its `--help` says it.

use clap::CommandFactory as _;
use mulgil_core::{codes, diagnostic::Diagnostic, select::nearest};

use crate::{
    cli::{self, Cli},
    command::Outcome,
    say,
};

pub(crate) fn help(flags: &cli::Help) -> Outcome {
    let mut command = Cli::command();
    command.build();
    for word in &flags.command {
        let Some(found) = command.find_subcommand(word).cloned() else {
            let known = command.get_subcommands().filter(|one| !one.is_hide_set());
            let fault = Diagnostic::error(codes::USAGE, format!("there is no command `{word}`"));
            let remedy = match nearest(word, known.map(clap::Command::get_name)) {
                Some(near) => format!("write `mulgil help {near}`"),
                None => "`mulgil help` lists all".to_owned(),
            };
            return Err(fault.with_remedy(remedy).into());
        };
        command = found;
    }
    say::print(command.render_long_help().to_string().trim_end());
    Ok(0)
}
