//! `mulgil sql`: statements one after the other, typed at a prompt or read from a script.

mod complete;
mod dot;
mod prompt;
mod screen;
mod script;
mod shell;

use std::io::{self, IsTerminal as _};

use self::shell::Shell;
use crate::{
    cli::{self, Global},
    command::Outcome,
    wire,
};

pub(crate) async fn sql(global: &Global, flags: &cli::Sql) -> Outcome {
    let is_typed = flags.file.is_none() && io::stdin().is_terminal() && io::stdout().is_terminal();
    let mut shell = Shell::new(wire::open(global)?, flags, is_typed)?;
    let ended = match &flags.file {
        Some(path) => script::file(&mut shell, path).await,
        None if is_typed => prompt::run(&mut shell).await?,
        None => script::stdin(&mut shell).await,
    };
    Ok(ended.exit_code())
}
