//! `mulgil serve`: keeps time, fills what is due and runs flows, until it is told to end. `mulgil dev` does so
//! too, and loads the project anew whenever its files change.

use std::{sync::Arc, time::Duration};

use crate::{
    cli::{self, Global},
    command::Outcome,
    say,
    serving::{self, Anew, Ended, Reload, SERVE},
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
    let lock = opened.lock(SERVE)?;
    serving::serve(&opened, flags, listener, lock, None, wire::interrupt()).await?;
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
    // The port and the data folder stay ours while the server begins anew.
    let mut lock = opened.lock(SERVE)?;
    let mut interrupt = Box::pin(wire::interrupt());
    let mut reload = Arc::new(Reload::of(&opened));
    loop {
        let told = async {
            tokio::select! {
                () = &mut interrupt => None,
                next = reloaded(global, &opened, &reload) => Some(next),
            }
        };
        let anew = Anew {
            reload: Arc::clone(&reload),
            patience: PATIENCE,
        };
        let listener = listener.again()?;
        let ended = serving::serve(&opened, flags, listener, Arc::clone(&lock), Some(anew), told).await?;
        match ended {
            Ended::Told(Some(next)) => {
                if next.data_dir() != opened.data_dir() || next.project.environment != opened.project.environment {
                    lock = next.lock(SERVE)?;
                }
                reload = Arc::new(reload.anew());
                opened = *next;
            }
            Ended::Told(None) | Ended::ByItself => return Ok(0),
        }
    }
}

/// Returns when the project's files have changed and can be loaded, and what somebody has asked for of it has
/// ended. What is wrong with them is said, and what was loaded last goes on.
async fn reloaded(global: &Global, opened: &Opened, reload: &Reload) -> Box<Opened> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // Files that are saved while what goes on ends are looked at once more.
        let mut next = None;
        while reload.look(opened) {
            next = match wire::open(global) {
                Ok(loaded) => Some(Box::new(loaded)),
                Err(faults) => {
                    say::faults(&faults);
                    say::talk("the project as it was goes on until this is mended");
                    reload.open(&faults.0);
                    None
                }
            };
            if next.is_some() && reload.is_busy() {
                say::talk("the project changed; it is loaded when the run that was asked for has ended");
                reload.idle().await;
            }
        }
        if let Some(next) = next {
            next.warnings.iter().for_each(say::fault);
            return next;
        }
    }
}
