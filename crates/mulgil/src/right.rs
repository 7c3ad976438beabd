//! The right to write a warehouse and its ledger: the lock on the data folder, and where the ledger lies on a
//! server, its lead.

use std::sync::Arc;

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    port::Fault,
};
use mulgil_runner::Lifeline;
use mulgil_store::{Candidate, DataLock, Fence, Holder, Lead, LeadTimes, LeaseState, Led, Store};
use tokio::sync::watch;

/// The right to write, or to wait for it.
pub(crate) struct Right {
    _lock: Arc<DataLock>,
    shared: Option<Shared>,
}

/// A ledger that other machines can reach.
struct Shared {
    store: Arc<Store>,
    candidate: Candidate,
    lifeline: Lifeline,
    lead: Option<Lead>,
}

impl Right {
    /// To a ledger in the folder: who has the lock has it all.
    pub(crate) fn of_folder(lock: Arc<DataLock>) -> Self {
        Self {
            _lock: lock,
            shared: None,
        }
    }

    /// To a ledger on a server; nothing is written before the lead is taken.
    pub(crate) fn of_server(
        lock: Arc<DataLock>,
        store: Arc<Store>,
        holder: &Holder,
        lifeline: Lifeline,
    ) -> Result<Self, Fault> {
        let place = format!("{}/", lock.identity()?);
        let Holder {
            command,
            pid,
            host,
            since,
        } = holder;
        let candidate = Candidate {
            name: format!("{place}`{command}` (process {pid} on {host}) since {since:?}"),
            place,
        };
        store.fence(Fence::Closed);
        Ok(Self {
            _lock: lock,
            shared: Some(Shared {
                store,
                candidate,
                lifeline,
                lead: None,
            }),
        })
    }

    /// What has to be renewed while tasks run, where another machine could take over.
    pub(crate) fn lifeline(&self) -> Option<&Lifeline> {
        self.shared.as_ref().map(|shared| &shared.lifeline)
    }

    /// Takes the lead where there is one to take.
    ///
    /// # Errors
    /// `DATA_HELD` where another process has it, or a coded MG5 fault of the database.
    pub(crate) async fn take(mut self) -> Result<Self, Fault> {
        match self.ask().await? {
            None => Ok(self),
            Some(held) => Err(held_elsewhere(&held)),
        }
    }

    /// Asks for the lead; gives who has it, where that is another.
    pub(crate) async fn ask(&mut self) -> Result<Option<LeaseState>, Fault> {
        let Some(shared) = &mut self.shared else {
            return Ok(None);
        };
        // A lead that was lost ends before it is asked for anew.
        shared.lead = None;
        let lifeline = shared.lifeline.clone();
        let beat = Box::new(move |asked| {
            // Where it cannot be written tasks end, as if the lead were lost.
            let _ = lifeline.renew(asked);
        });
        match Lead::take(&shared.store, &shared.candidate, LeadTimes::default(), beat).await? {
            Led::Here(lead) => {
                shared.lead = Some(lead);
                Ok(None)
            }
            Led::Elsewhere(held) => Ok(Some(held)),
        }
    }

    /// Why the lead was lost, once it is; nothing where it cannot be.
    pub(crate) fn lost(&self) -> Option<watch::Receiver<Option<Fault>>> {
        Some(self.shared.as_ref()?.lead.as_ref()?.lost())
    }

    /// Gives it back, so that another process need not wait.
    pub(crate) async fn give_back(self) {
        if let Some(lead) = self.shared.and_then(|shared| shared.lead) {
            // Where this fails the lease ends by itself.
            let _ = lead.give_back().await;
        }
    }
}

/// Who has the lead, as people are told.
pub(crate) fn leader(held: &LeaseState) -> &str {
    let name = &held.lease.holder;
    name.split_once('/').map_or(name.as_str(), |(_, who)| who)
}

fn held_elsewhere(held: &LeaseState) -> Fault {
    Box::new(
        Diagnostic::error(codes::DATA_HELD, format!("the ledger is written by {}", leader(held)))
            .with_remedy(
                "wait until it has ended, or do it there; a process that died is followed after 30 s; reading \
                 commands work meanwhile",
            )
            .with_retry(Retry::Later),
    )
}
