//! `mulgil serve`: keeps time, fills what is due and runs flows, until it is told to end.

use crate::{
    cli::{self, Global},
    command::Outcome,
    say, serving, wire,
};

pub(crate) async fn serve(global: &Global, flags: &cli::Serve) -> Outcome {
    let opened = wire::open(global)?;
    opened.warnings.iter().for_each(say::fault);
    serving::serve(&opened, flags).await
}
