//! The right to write a ledger that several processes can reach, kept for as long as a process lives.
//!
//! One process leads at a time: it has the lease [`LEAD`], renews it, and every group of requests that it
//! writes looks at it in its own transaction. So one that slept past its lease writes nothing more, whatever
//! it believes. Who cannot renew gives up well before the lease is over, so that it has time to end what it
//! started before another begins.

use std::{
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    port::Fault,
};
use tokio::{sync::watch, task::JoinHandle};

use crate::{Fence, Lease, LeaseState, Store};

/// The lease of whoever writes.
pub const LEAD: &str = "lead";

/// The times of a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeadTimes {
    /// How long the lease holds after it was taken or renewed.
    pub lease: Duration,
    /// How often it is renewed.
    pub beat: Duration,
    /// Who could not renew it for so long has lost it. What is left until the lease is over is the time to
    /// end what was started.
    pub give_up: Duration,
}

impl Default for LeadTimes {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            beat: Duration::from_secs(5),
            give_up: Duration::from_secs(20),
        }
    }
}

/// Who asks for the lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name, which no other process has; it begins with `place`.
    pub name: String,
    /// Where it runs: no other process that writes can live there while this one does, so a lease of that
    /// place is of one that died.
    pub place: String,
}

/// What came of asking for the lead.
#[derive(Debug)]
pub enum Led {
    /// It is ours.
    Here(Lead),
    /// Another has it.
    Elsewhere(LeaseState),
}

/// The lead, for as long as it lives or until it is lost.
#[derive(Debug)]
pub struct Lead {
    store: Arc<Store>,
    lease: Lease,
    lost: watch::Receiver<Option<Fault>>,
    keeper: JoinHandle<()>,
}

/// Told at each renewal when it was asked for: until then at the earliest nobody else had the lead.
pub type Beat = Box<dyn Fn(Clock) + Send + Sync>;

impl Lead {
    /// Asks for the lead. From then on the store writes only while it is held.
    ///
    /// # Errors
    /// A coded MG5 fault of the database.
    pub async fn take(store: &Arc<Store>, candidate: &Candidate, times: LeadTimes, beat: Beat) -> Result<Led, Fault> {
        store.fence(Fence::Closed);
        let asked = Clock::now();
        let taken = store
            .inherit_lease(LEAD, &candidate.name, times.lease, &candidate.place)
            .await?;
        let Some(lease) = taken else {
            return match store.lease(LEAD).await? {
                Some(state) => Ok(Led::Elsewhere(state)),
                None => Err(gone()),
            };
        };
        store.fence(Fence::Lease(lease.clone()));
        beat(asked);
        let (tell, lost) = watch::channel(None);
        let keeper = Keeper {
            store: Arc::clone(store),
            lease: lease.clone(),
            times,
            renewed_at: asked,
            beat,
        };
        Ok(Led::Here(Self {
            store: Arc::clone(store),
            lease,
            lost,
            keeper: tokio::spawn(async move {
                let fault = keeper.keep().await;
                // Who would be told may be gone.
                let _ = tell.send(Some(fault));
            }),
        }))
    }

    /// Its fencing number.
    pub fn epoch(&self) -> i64 {
        self.lease.epoch
    }

    /// Why it was lost, once it is.
    pub fn lost(&self) -> watch::Receiver<Option<Fault>> {
        self.lost.clone()
    }

    /// Gives it back, so that another need not wait.
    ///
    /// # Errors
    /// A coded MG5 fault of the database; then the lease ends by itself.
    pub async fn give_back(self) -> Result<(), Fault> {
        self.keeper.abort();
        self.store.release_lease(&self.lease).await
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.keeper.abort();
        self.store.fence(Fence::Closed);
    }
}

/// Renews the lease.
struct Keeper {
    store: Arc<Store>,
    lease: Lease,
    times: LeadTimes,
    renewed_at: Clock,
    beat: Beat,
}

impl Keeper {
    /// Returns why it could not go on.
    async fn keep(mut self) -> Fault {
        loop {
            tokio::time::sleep(self.times.beat).await;
            let asked = Clock::now();
            let left = self.times.give_up.saturating_sub(self.renewed_at.elapsed());
            let renewal = self.store.renew_lease(&self.lease, self.times.lease);
            match tokio::time::timeout(left, renewal).await {
                Ok(Ok(lease)) => {
                    self.lease = lease;
                    self.renewed_at = asked;
                    (self.beat)(asked);
                }
                Ok(Err(fault)) if fault.code == codes::LEASE_LOST => return self.lost(fault),
                Ok(Err(fault)) if self.renewed_at.elapsed() >= self.times.give_up => return self.lost(fault),
                // The database may be back at the next beat.
                Ok(Err(_)) => {}
                Err(_) => return self.lost(not_renewed(self.times.give_up)),
            }
        }
    }

    fn lost(&self, fault: Fault) -> Fault {
        self.store.fence(Fence::Closed);
        if fault.code == codes::LEASE_LOST {
            return fault;
        }
        Box::new(Diagnostic {
            code: codes::LEASE_LOST,
            message: format!(
                "the right to write the ledger could not be renewed for {} s: {}",
                self.times.give_up.as_secs(),
                fault.message
            ),
            ..*fault
        })
    }
}

fn not_renewed(after: Duration) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::LEASE_LOST,
            format!(
                "the right to write the ledger could not be renewed for {} s: the database does not answer",
                after.as_secs()
            ),
        )
        .with_remedy("look at the database; this process waits for it and for its turn")
        .with_retry(Retry::Later),
    )
}

fn gone() -> Fault {
    Box::new(
        Diagnostic::error(
            codes::LEASE_LOST,
            "the right to write the ledger changed hands while it was asked for",
        )
        .with_remedy("try again")
        .with_retry(Retry::Later),
    )
}
