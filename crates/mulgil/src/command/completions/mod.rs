//! `mulgil completions`: the scripts of shells, which ask `mulgil complete` what may stand next: commands and flags,
//! and the names of the project in the current folder. It reads names alone, renders nothing, and is silent
//! whatever is wrong: a fault in the middle of typing helps nobody.

mod next;
mod split;

use clap::CommandFactory as _;

use self::next::{Answer, Kind};
use crate::{
    cli::{self, Cli, Shell},
    command::Outcome,
    say,
};

pub(crate) fn completions(flags: &cli::Completions) -> Outcome {
    let script = match flags.shell {
        Shell::Bash => include_str!("bash.sh"),
        Shell::Zsh => include_str!("zsh.zsh"),
        Shell::Fish => include_str!("fish.fish"),
    };
    say::print(script.trim_end());
    Ok(0)
}

/// Prints what the shell has to do besides, then one candidate a line.
pub(crate) fn complete(flags: &cli::Complete) -> Outcome {
    let words = match flags.shell {
        Shell::Bash => split::words(&flags.words.concat()),
        Shell::Zsh | Shell::Fish => flags.words.clone(),
    };
    let mut root = Cli::command();
    root.build();
    let answer = next::answer(&root, &words);
    let typed = words.last().map_or("", String::as_str);
    say::print(&lines(&answer, flags.shell, split::told_apart(typed, &flags.breaks)).join("\n"));
    Ok(0)
}

/// `before` bytes of each candidate are another word to the shell, which has them already.
fn lines(answer: &Answer, shell: Shell, before: usize) -> Vec<String> {
    let kind = match answer.kind {
        Kind::Closed => "closed",
        Kind::Open => "open",
        Kind::Files => "files",
        Kind::Folders => "folders",
    };
    let mut lines = vec![kind.to_owned()];
    lines.extend(answer.candidates.iter().map(|(value, help)| match shell {
        Shell::Bash => value.get(before..).unwrap_or(value).to_owned(),
        Shell::Zsh => value.clone(),
        Shell::Fish => format!("{value}\t{help}"),
    }));
    lines
}
