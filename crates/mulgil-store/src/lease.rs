//! Leases: a right that one process has at a time, until a moment that the database's clock tells.
//!
//! Whoever holds one renews it well before that moment; after it the right is over, whatever the
//! holder's own clock says, and the next one to take it has a higher epoch. What a holder does carries
//! its epoch, so that one which slept past its lease is refused. No fact: a lease says who may work now,
//! not what happened.

use std::time::Duration;

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    interval::Instant,
    port::Fault,
};

use crate::{
    Store,
    error::Error,
    sql::{self, Conn},
};

/// A lease that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What it is for.
    pub name: String,
    /// Who has it: a name that no other process has.
    pub holder: String,
    /// Higher than that of every earlier one of this name.
    pub epoch: i64,
    /// Until when, by the database's clock. One's own clock may be another: a holder counts the time since
    /// it asked instead.
    pub expires_at: Instant,
}

/// What a ledger lets its writer do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fence {
    /// All of it: something else sees to it that nobody else writes.
    #[default]
    Open,
    /// Nothing but taking a lease.
    Closed,
    /// All of it while this lease holds; each group of requests looks at it in its own transaction.
    Lease(Lease),
}

/// What is known of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseState {
    /// As it was last taken or renewed.
    pub lease: Lease,
    /// Whether it still holds, by the database's clock.
    pub is_live: bool,
}

impl Store {
    /// Takes a lease for `ttl`; nothing where another holder's still holds. Who has it already keeps its
    /// epoch and has it for `ttl` from now.
    ///
    /// # Errors
    /// A coded MG5 fault of the database.
    pub async fn take_lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>, Fault> {
        self.take(name, holder, ttl, None).await
    }

    /// As [`Self::take_lease`], and takes it too from a holder whose name begins with `dead`: the caller knows
    /// that no such process lives.
    ///
    /// # Errors
    /// A coded MG5 fault of the database.
    pub async fn inherit_lease(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        dead: &str,
    ) -> Result<Option<Lease>, Fault> {
        self.take(name, holder, ttl, Some(dead.to_owned())).await
    }

    async fn take(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        dead: Option<String>,
    ) -> Result<Option<Lease>, Fault> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        self.write_lease(move |conn| {
            Box::pin(async move {
                let now = conn.now().await?;
                let is_dead = |last: &Lease| dead.as_ref().is_some_and(|dead| last.holder.starts_with(dead.as_str()));
                let epoch = match load(&mut *conn, &name).await? {
                    Some(last) if last.expires_at <= now => last.epoch + 1,
                    Some(last) if last.holder == holder => last.epoch,
                    Some(last) if is_dead(&last) => last.epoch + 1,
                    Some(_) => return Ok(None),
                    None => 1,
                };
                let lease = Lease {
                    name,
                    holder,
                    epoch,
                    expires_at: after(now, ttl),
                };
                save(conn, &lease).await?;
                Ok(Some(lease))
            })
        })
        .await
    }

    /// Has a lease for `ttl` from now.
    ///
    /// # Errors
    /// `LEASE_LOST` where it is over or another has taken it since: what it gave the right to may not be
    /// done any more. Else a coded MG5 fault of the database; then the lease may be renewed or not.
    pub async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<Lease, Fault> {
        let mut lease = lease.clone();
        self.write_lease(move |conn| {
            Box::pin(async move {
                let now = conn.now().await?;
                check(&mut *conn, &lease, now).await?;
                lease.expires_at = after(now, ttl);
                save(conn, &lease).await?;
                Ok(lease)
            })
        })
        .await
    }

    /// Gives a lease back, so that the next one need not wait until it is over. One that is over already, or
    /// has passed to another, is left as it is.
    ///
    /// # Errors
    /// A coded MG5 fault of the database; then the lease ends by itself.
    pub async fn release_lease(&self, lease: &Lease) -> Result<(), Fault> {
        let lease = lease.clone();
        self.write_lease(move |conn| {
            Box::pin(async move {
                sql::query(
                    "update lease set expires_at = $4
                     where name = $1 and holder = $2 and epoch = $3 and expires_at > $4",
                )
                .bind(&lease.name)
                .bind(&lease.holder)
                .bind(lease.epoch)
                .bind(conn.now().await?.0)
                .execute(conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// A lease as it stands; nothing where it was never taken.
    ///
    /// # Errors
    /// A coded MG5 fault of the database.
    pub async fn lease(&self, name: &str) -> Result<Option<LeaseState>, Fault> {
        let leases = self.leases().await?;
        Ok(leases.into_iter().find(|state| state.lease.name == name))
    }

    /// Every lease that was ever taken, by name.
    ///
    /// # Errors
    /// A coded MG5 fault of the database.
    pub async fn leases(&self) -> Result<Vec<LeaseState>, Fault> {
        self.read(|conn| Box::pin(async move { Ok(all(conn).await?) })).await
    }
}

/// Every lease with whether it still holds.
pub(crate) async fn all(conn: &mut Conn) -> Result<Vec<LeaseState>, sqlx::Error> {
    let rows: Vec<LeaseRow> = sql::query_as("select name, holder, epoch, expires_at from lease order by name")
        .fetch_all(&mut *conn)
        .await?;
    let now = conn.now().await?;
    let state = |row| {
        let lease = of_row(row);
        let is_live = lease.expires_at > now;
        LeaseState { lease, is_live }
    };
    Ok(rows.into_iter().map(state).collect())
}

type LeaseRow = (String, String, i64, i64);

fn of_row((name, holder, epoch, expires_at): LeaseRow) -> Lease {
    Lease {
        name,
        holder,
        epoch,
        expires_at: Instant(expires_at),
    }
}

fn after(now: Instant, ttl: Duration) -> Instant {
    Instant(now.0.saturating_add(i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX)))
}

async fn load(conn: &mut Conn, name: &str) -> Result<Option<Lease>, Error> {
    let row: Option<LeaseRow> = sql::query_as("select name, holder, epoch, expires_at from lease where name = $1")
        .bind(name)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(of_row))
}

async fn save(conn: &mut Conn, lease: &Lease) -> Result<(), Error> {
    sql::query(
        "insert into lease (name, holder, epoch, expires_at) values ($1, $2, $3, $4)
         on conflict (name) do update set
             holder = excluded.holder, epoch = excluded.epoch, expires_at = excluded.expires_at",
    )
    .bind(&lease.name)
    .bind(&lease.holder)
    .bind(lease.epoch)
    .bind(lease.expires_at.0)
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether a lease holds, by the database's clock.
pub(crate) async fn check_now(conn: &mut Conn, lease: &Lease) -> Result<(), Error> {
    let now = conn.now().await?;
    check(conn, lease, now).await
}

/// Why nothing is written where no lease is held.
pub(crate) fn not_held() -> Fault {
    Box::new(
        Diagnostic::error(codes::LEASE_LOST, "another process has the right to write this ledger")
            .with_remedy("nothing: this one waits until it is its turn")
            .with_retry(Retry::Later),
    )
}

async fn check(conn: &mut Conn, lease: &Lease, now: Instant) -> Result<(), Error> {
    let why = match load(conn, &lease.name).await? {
        None => "nobody has ever taken it".to_owned(),
        Some(last) if last.epoch != lease.epoch || last.holder != lease.holder => {
            format!("`{}` has taken it since (epoch {})", last.holder, last.epoch)
        }
        Some(last) if last.expires_at <= now => format!("it was over at {:?}", last.expires_at),
        Some(_) => return Ok(()),
    };
    let message = format!(
        "the lease `{}` of `{}` (epoch {}) holds no more: {why}",
        lease.name, lease.holder, lease.epoch
    );
    let lost = Diagnostic::error(codes::LEASE_LOST, message)
        .with_remedy(
            "nothing: whoever holds it now goes on; this process stops what it did and may take the lease anew",
        )
        .with_retry(Retry::Later);
    Err(lost.into())
}
