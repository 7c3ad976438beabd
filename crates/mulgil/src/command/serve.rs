//! `mulgil serve`: keeps time, fills what is due and runs flows, until it is told to end. `mulgil dev` does so
//! too, and loads the project anew whenever its files change.

use std::time::Duration;

use crate::{
    cli::{self, Global},
    command::Outcome,
    say,
    serving::{self, Ended},
    wire::{self, Opened},
};

/// How often the project's files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long what goes on may last before the project is loaded anew.
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) async fn serve(global: &Global, flags: &cli::Serve) -> Outcome {
    let opened = wire::open(global)?;
    opened.warnings.iter().for_each(say::fault);
    let listener = serving::listen(flags.port).await?;
    serving::serve(&opened, flags, listener, None, wire::interrupt()).await?;
    Ok(0)
}

pub(crate) async fn dev(global: &Global, flags: &cli::Serve) -> Outcome {
    let opened = wire::open(global)?;
    opened.warnings.iter().for_each(say::fault);
    let listener = serving::listen(flags.port).await?;
    while_you_work(global, opened, flags, listener).await
}

/// Serves a project, and loads it anew whenever its files change.
pub(crate) async fn while_you_work(
    global: &Global,
    mut opened: Opened,
    flags: &cli::Serve,
    listener: serving::Listener,
) -> Outcome {
    // The port stays ours while the server begins anew.
    let mut interrupt = Box::pin(wire::interrupt());
    loop {
        let told = async {
            tokio::select! {
                () = &mut interrupt => None,
                next = reloaded(global, &opened) => Some(next),
            }
        };
        let ended = serving::serve(&opened, flags, listener.again()?, Some(PATIENCE), told).await?;
        match ended {
            Ended::Told(Some(next)) => {
                say::talk("the project changed");
                opened = *next;
            }
            Ended::Told(None) | Ended::ByItself => return Ok(0),
        }
    }
}

/// Returns when the project's files have changed and can be loaded. What is wrong with them is said, and what
/// was loaded last goes on.
async fn reloaded(global: &Global, opened: &Opened) -> Box<Opened> {
    let mut known = opened.stamp();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = opened.stamp();
        if now == known {
            continue;
        }
        known = now;
        match wire::open(global) {
            Ok(next) => {
                next.warnings.iter().for_each(say::fault);
                return Box::new(next);
            }
            Err(faults) => {
                say::faults(&faults);
                say::talk("the project as it was goes on until this is mended");
            }
        }
    }
}
