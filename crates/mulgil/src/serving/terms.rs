//! Terms: the times in which this process leads. Where the ledger is a file there is one, from start to end.
//! Where it lies on a server several processes stand ready; one leads, the others wait until its lease is
//! over. One that loses its lead gives up what goes on (the supervisors of its tasks end those), and waits
//! for its next turn.

use std::{sync::Arc, time::Duration};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    port::Fault,
};
use mulgil_scheduler::service::Ask;
use tokio::sync::{mpsc, watch};

use super::{Parts, backfills::keep_filling, housekeeper::keep_house, models::Watchman, warn};
use crate::{
    right::{self, Right},
    say, wire,
};

/// How often one who waits asks for the lead.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// Leads whenever it may, until it is told to end and has.
pub(super) async fn keep(
    parts: Arc<Parts>,
    mut right: Right,
    mut inbox: mpsc::Receiver<Ask>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), Fault> {
    loop {
        if !stand_by(&parts, &mut right, &mut inbox, &mut stopping).await? {
            return Ok(());
        }
        match lead(&parts, &right, &mut inbox, &stopping).await {
            // A database that is gone is waited for as the lead is.
            Err(fault) if right.lifeline().is_some() && fault.retry == Retry::Later => warn(&fault),
            ended => {
                right.give_back().await;
                return ended;
            }
        }
    }
}

/// Waits for the lead; false where it is told to end before.
async fn stand_by(
    parts: &Parts,
    right: &mut Right,
    inbox: &mut mpsc::Receiver<Ask>,
    stopping: &mut watch::Receiver<bool>,
) -> Result<bool, Fault> {
    let mut told = String::new();
    loop {
        parts.pulse.beat(wire::now());
        let asked = tokio::select! {
            // A lease that is taken at this moment ends by itself.
            _ = stopping.wait_for(|stop| *stop) => return Ok(false),
            asked = right.ask() => asked,
        };
        let leader = match asked {
            Ok(None) => return Ok(true),
            Ok(Some(held)) => right::leader(&held).to_owned(),
            Err(fault) if fault.retry == Retry::Later => fault.message,
            Err(fault) => return Err(fault),
        };
        if leader != told {
            say::talk(&format!("standing by: {leader}"));
            told = leader;
        }
        let next = tokio::time::sleep(ASK_EVERY);
        tokio::pin!(next);
        loop {
            tokio::select! {
                _ = stopping.wait_for(|stop| *stop) => return Ok(false),
                Some(ask) = inbox.recv() => refuse(ask, &told),
                () = &mut next => break,
            }
        }
    }
}

/// One term. Ends when it is told to and all has ended, or with what ended it.
async fn lead(
    parts: &Arc<Parts>,
    right: &Right,
    inbox: &mut mpsc::Receiver<Ask>,
    stopping: &watch::Receiver<bool>,
) -> Result<(), Fault> {
    for fault in parts.runner.catch_up().await? {
        say::fault(&fault);
    }
    if right.lifeline().is_some() {
        say::talk("this server leads");
    }
    let service = parts.service().await?;
    let (end, ending) = watch::channel(false);
    let watchman = Watchman::start(parts.models.clone(), ending.clone());
    let housekeeper = tokio::spawn(keep_house(Arc::clone(parts), ending.clone()));
    let filler = tokio::spawn(keep_filling(Arc::clone(parts), ending));
    let mut told = stopping.clone();
    let ended = {
        let running = service.run(inbox);
        tokio::pin!(running);
        loop {
            tokio::select! {
                ended = &mut running => break ended,
                fault = lost(right) => break Err(fault),
                // What the watchman does ends beside what the service does.
                _ = told.wait_for(|stop| *stop), if !*end.borrow() => {
                    let _ = end.send(true);
                }
            }
        }
    };
    let _ = end.send(true);
    watchman.ended().await;
    housekeeper.abort();
    // What it does ends soon after it was told to.
    let _ = filler.await;
    ended
}

/// Returns when the lead is lost; never where it cannot be.
async fn lost(right: &Right) -> Fault {
    let Some(mut lost) = right.lost() else {
        return std::future::pending().await;
    };
    // The lead lives as long as the right, and says why it was lost.
    match lost.wait_for(Option::is_some).await.map(|fault| fault.clone()) {
        Ok(Some(fault)) => fault,
        Ok(None) | Err(_) => std::future::pending().await,
    }
}

fn refuse(ask: Ask, leader: &str) {
    let fault = || {
        Box::new(
            Diagnostic::error(codes::DATA_HELD, format!("this server stands by: {leader}"))
                .with_remedy("ask the server that leads")
                .with_retry(Retry::Later),
        )
    };
    // Whoever asked may be gone.
    match ask {
        Ask::Start { answer, .. } => drop(answer.send(Err(fault()))),
        Ask::Cancel { answer, .. } => drop(answer.send(Err(fault()))),
        Ask::Retry { answer, .. } => drop(answer.send(Err(fault()))),
        Ask::Backfill { answer, .. } => drop(answer.send(Err(fault()))),
        Ask::ChangeBackfill { answer, .. } => drop(answer.send(Err(fault()))),
        Ask::Look { .. } | Ask::Drain => {}
    }
}
