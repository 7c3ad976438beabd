//! Leases: one holder at a time, an epoch that only grows.

use std::{sync::Arc, time::Duration};

use mulgil_core::codes;
use mulgil_store::{Lease, Store};
use proptest::prelude::*;
use tokio::task::JoinSet;

use super::support::*;

const LONG: Duration = Duration::from_hours(1);

async fn take(store: &Store, holder: &str, ttl: Duration) -> Option<Lease> {
    store.take_lease("clock", holder, ttl).await.unwrap()
}

#[tokio::test]
async fn a_lease_has_one_holder_until_it_is_given_back() {
    let store = scratch().await;
    assert_eq!(store.lease("clock").await.unwrap(), None);
    let first = take(&store, "a", LONG).await.unwrap();
    assert_eq!(first.epoch, 1);
    assert_eq!(take(&store, "b", LONG).await, None);
    assert!(
        store.take_lease("other", "b", LONG).await.unwrap().is_some(),
        "names are apart"
    );
    assert_eq!(take(&store, "a", LONG).await.unwrap().epoch, 1, "who has it has it");
    let renewed = store.renew_lease(&first, LONG).await.unwrap();
    assert!(renewed.expires_at >= first.expires_at);
    store.release_lease(&renewed).await.unwrap();
    assert!(!store.lease("clock").await.unwrap().unwrap().is_live);
    let second = take(&store, "b", LONG).await.unwrap();
    assert_eq!(second.epoch, 2);
    let fault = store.renew_lease(&first, LONG).await.unwrap_err();
    assert_eq!(fault.code, codes::LEASE_LOST);
    assert_eq!(
        fault.message,
        "the lease `clock` of `a` (epoch 1) holds no more: `b` has taken it since (epoch 2)"
    );
    store.release_lease(&first).await.unwrap();
    assert!(
        store.lease("clock").await.unwrap().unwrap().is_live,
        "it is not the first one's to give back"
    );
}

#[tokio::test]
async fn a_lease_that_is_over_is_renewed_by_nobody_and_taken_anew_with_a_higher_epoch() {
    let store = scratch().await;
    let over = take(&store, "a", Duration::ZERO).await.unwrap();
    assert_eq!(
        store.renew_lease(&over, LONG).await.unwrap_err().code,
        codes::LEASE_LOST
    );
    assert_eq!(take(&store, "a", LONG).await.unwrap().epoch, 2);
}

#[tokio::test]
async fn of_many_who_ask_at_once_one_has_it() {
    let store = Arc::new(scratch().await);
    let mut asked = JoinSet::new();
    for n in 0..20 {
        let store = Arc::clone(&store);
        asked.spawn(async move { take(&store, &format!("server {n}"), LONG).await });
    }
    assert_eq!(asked.join_all().await.into_iter().flatten().count(), 1);
}

/// What a process may do with a lease; one that is `short` is over at once.
#[derive(Clone, Debug)]
enum Step {
    Take { holder: u8, short: bool },
    Renew { holder: u8, short: bool },
    Release { holder: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let holder = 0..3_u8;
    let step = prop_oneof![
        (holder.clone(), any::<bool>()).prop_map(|(holder, short)| Step::Take { holder, short }),
        (holder.clone(), any::<bool>()).prop_map(|(holder, short)| Step::Renew { holder, short }),
        holder.prop_map(|holder| Step::Release { holder }),
    ];
    prop::collection::vec(step, 1..30)
}

/// The lease as it ought to be.
#[derive(Default)]
struct Model {
    holder: u8,
    epoch: i64,
    is_live: bool,
    /// What each process believes to have.
    held: [Option<Lease>; 3],
}

impl Model {
    fn holds(&self, holder: u8) -> bool {
        let epoch = self.held[usize::from(holder)].as_ref().map(|lease| lease.epoch);
        self.is_live && self.holder == holder && epoch == Some(self.epoch)
    }

    async fn step(&mut self, store: &Store, step: &Step) -> Result<(), TestCaseError> {
        let ttl = |short: &bool| if *short { Duration::ZERO } else { LONG };
        match step {
            Step::Take { holder, short } => {
                let taken = take(store, &holder.to_string(), ttl(short)).await;
                prop_assert_eq!(taken.is_some(), !self.is_live || self.holder == *holder);
                if let Some(lease) = taken {
                    self.epoch += i64::from(!self.is_live);
                    prop_assert_eq!(lease.epoch, self.epoch);
                    (self.holder, self.is_live) = (*holder, !short);
                    self.held[usize::from(*holder)] = Some(lease);
                }
            }
            Step::Renew { holder, short } => {
                let Some(lease) = self.held[usize::from(*holder)].clone() else {
                    return Ok(());
                };
                let renewed = store.renew_lease(&lease, ttl(short)).await;
                prop_assert_eq!(renewed.is_ok(), self.holds(*holder));
                match renewed {
                    Ok(_) => self.is_live = !short,
                    Err(fault) => prop_assert_eq!(fault.code, codes::LEASE_LOST),
                }
            }
            Step::Release { holder } => {
                let Some(lease) = self.held[usize::from(*holder)].clone() else {
                    return Ok(());
                };
                store.release_lease(&lease).await.unwrap();
                self.is_live &= !self.holds(*holder);
            }
        }
        let Some(state) = store.lease("clock").await.unwrap() else {
            prop_assert_eq!(self.epoch, 0);
            return Ok(());
        };
        prop_assert_eq!(state.is_live, self.is_live);
        prop_assert_eq!(state.lease.epoch, self.epoch);
        prop_assert_eq!(state.lease.holder, self.holder.to_string());
        Ok(())
    }
}

#[test]
fn whatever_processes_do_a_lease_has_one_holder_and_its_epoch_only_grows() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    proptest!(ProptestConfig::with_cases(32), |(steps in steps())| {
        runtime.block_on(async {
            let (store, mut model) = (scratch().await, Model::default());
            for step in &steps {
                model.step(&store, step).await?;
            }
            store.close().await;
            Ok::<(), TestCaseError>(())
        })?;
    });
}
