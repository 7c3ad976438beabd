//! The ledger, what it knows of the clock and of tables, and who works with it.

use std::{net::SocketAddr, time::Duration};

use futures::{StreamExt as _, stream};
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    grid::Zone,
    interval::{Instant, Interval},
    interval_text,
    port::{Engine, Fault},
    project::Materialization,
};
use mulgil_server::{
    Presence,
    client::{Client, Patience},
};
use mulgil_store::{DataLock, LEAD, LedgerPlace, RelationEntry, Store};

use super::Report;
use crate::{
    right, say,
    wire::{Opened, Outline},
};

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long a database may take to answer.
const DATABASE: Duration = Duration::from_secs(5);

/// How long a server may take to answer.
const SERVER: Patience = Patience {
    connect: Duration::from_secs(2),
    answer: Duration::from_secs(5),
    verb: Duration::from_secs(5),
    silence: Duration::from_secs(5),
    lost: Duration::from_secs(5),
    pause: Duration::from_millis(100),
};

/// How far clocks of machines that share a ledger may be apart, in microseconds.
const APART_US: i64 = 5_000_000;

/// Tables whose logs are read at once.
const AT_ONCE: usize = 8;

/// Broken tables that are told one by one.
const MAX_TOLD: usize = 5;

/// Gives where the project's own server answers, if one does.
pub(super) async fn look(outline: &Outline, now: Instant, report: &mut Report) -> Option<SocketAddr> {
    let store = look_at_ledger(outline, report).await;
    let zone = outline
        .opened
        .as_ref()
        .map_or(Zone::UTC, |opened| opened.project.zone.clone());
    match &store {
        Some(store) => look_at_clock(store, now, &zone, report).await,
        None => report.ok(
            "clock",
            format!(
                "it is {}; there is no record to compare it with",
                say::moment(now, &zone)
            ),
        ),
    }
    look_at_lock(outline, &zone, report);
    let served_at = look_at_server(outline, report).await;
    if let Some(store) = &store {
        look_at_lead(store, report).await;
        match &outline.opened {
            Ok(opened) => look_at_tables(opened, store, report).await,
            Err(_) => report.unseen("tables", "the project cannot be read"),
        }
    }
    served_at
}

/// Opens it to read, whatever its schema is; gives it where that went well.
async fn look_at_ledger(outline: &Outline, report: &mut Report) -> Option<Store> {
    let place = match outline.place() {
        None => {
            report.unseen(
                "ledger",
                "it lies in a database, and the project that says where cannot be read",
            );
            return None;
        }
        Some(Err(fault)) => {
            report.fault("ledger", &fault);
            return None;
        }
        Some(Ok(place)) => place.with_patience(DATABASE),
    };
    match open(&place, &outline.ledger()).await {
        Ok(Found::Nothing) => report.ok("ledger", format!("none at {place} yet: the first run makes it")),
        Ok(Found::Older(schema)) => report.warning(
            "ledger",
            format!(
                "{place} has schema {schema}, and this version works with {}",
                mulgil_store::schema()
            ),
            "`mulgil db migrate` brings it up to date, and so does every command that writes",
        ),
        Ok(Found::Open(store)) => {
            report.ok("ledger", format!("{place} answers: schema {}", mulgil_store::schema()));
            return Some(*store);
        }
        Err(fault) => report.fault("ledger", &fault),
    }
    None
}

/// How a ledger was found.
enum Found {
    Nothing,
    /// With the schema of an older version.
    Older(i64),
    Open(Box<Store>),
}

async fn open(place: &LedgerPlace, ledger: &str) -> Result<Found, Fault> {
    let Some(schema) = Store::schema_found(place, ledger).await? else {
        return Ok(Found::Nothing);
    };
    if schema < i64::from(mulgil_store::schema()) {
        return Ok(Found::Older(schema));
    }
    let store = Store::open_read_only(place, ledger).await?;
    Ok(store.map_or(Found::Nothing, |store| Found::Open(Box::new(store))))
}

async fn look_at_clock(store: &Store, now: Instant, zone: &Zone, report: &mut Report) {
    let newest = match store.newest_record().await {
        Ok(newest) => newest,
        Err(fault) => return report.fault("clock", &fault),
    };
    let here = say::moment(now, zone);
    let Some(newest) = newest.filter(|newest| newest.0.saturating_sub(now.0) > APART_US) else {
        return report.ok("clock", format!("it is {here}, after all that the ledger has recorded"));
    };
    let behind = Interval {
        start: now,
        end: newest,
    };
    let whole_seconds = Interval {
        start: behind.start,
        end: Instant(behind.start.0 + (behind.end.0 - behind.start.0) / 1_000_000 * 1_000_000),
    };
    let message = format!(
        "it is {here} here, and the ledger's newest record is of {}: the clock is {} behind",
        say::moment(newest, zone),
        interval_text::format_length(whole_seconds)
    );
    report.fault(
        "clock",
        &Diagnostic::error(codes::CLOCK_BEHIND, message).with_remedy(
            "set the clock (`timedatectl set-ntp true`); until then no schedule ticks that has ticked before",
        ),
    );
}

/// The lock of the operating system goes with its process; what is written beside it may stay behind.
fn look_at_lock(outline: &Outline, zone: &Zone, report: &mut Report) {
    let (dir, environment) = (&outline.data_dir, &outline.environment);
    let Some(holder) = DataLock::holder(dir, environment) else {
        return report.ok("lock", format!("nobody writes {environment} now"));
    };
    let since = say::moment(holder.since, zone);
    let who = format!(
        "`{}` (process {} on {}, since {since})",
        holder.command, holder.pid, holder.host
    );
    if DataLock::is_held(dir, environment) {
        return report.ok("lock", format!("{environment} is held by {who}"));
    }
    report.warning(
        "lock",
        format!("{environment} was held by {who}, which is dead and left its lock behind"),
        "nothing by hand: `mulgil serve` or `mulgil run` takes it over, and goes on with what was left",
    );
}

async fn look_at_server(outline: &Outline, report: &mut Report) -> Option<SocketAddr> {
    let (dir, environment) = (&outline.data_dir, &outline.environment);
    let found = match Presence::read(dir, environment) {
        Ok(None) => {
            report.ok("server", "none runs here");
            return None;
        }
        Ok(Some(presence)) => Client::find_with(dir, environment, VERSION, SERVER)
            .await
            .map(|client| (presence, client)),
        Err(fault) => Err(fault),
    };
    match found {
        Ok((presence, Some(client))) => {
            look_at_readiness(&presence, &client, report).await;
            Some(presence.address)
        }
        Ok((Presence { address, pid, .. }, None)) => {
            report.warning(
                "server",
                format!("the one at {address} (process {pid}) is dead, and did not say that it ended"),
                "start it again: `mulgil serve`; it goes on where the ledger says that it was",
            );
            None
        }
        Err(fault) => {
            report.fault("server", &fault);
            None
        }
    }
}

async fn look_at_readiness(presence: &Presence, client: &Client, report: &mut Report) {
    let Presence {
        address, pid, version, ..
    } = presence;
    let what = format!("mulgil {version} answers at {address} (process {pid})");
    match client.readiness().await {
        Err(fault) => report.fault("server", &fault),
        Ok(ready) if !ready.is_ready() => {
            let why = if ready.details.is_empty() {
                ready.reasons
            } else {
                ready.details
            };
            report.warning(
                "server",
                format!("{what}, and is not ready: {}", why.join("; ")),
                "mend what it names; it goes on by itself then",
            );
        }
        Ok(_) if version != VERSION => report.warning(
            "server",
            format!("{what}, and this is mulgil {VERSION}"),
            "start the server again with this version, or use the server's",
        ),
        Ok(_) => report.ok("server", format!("{what}, and is ready")),
    }
}

/// Who leads, where several servers may.
async fn look_at_lead(store: &Store, report: &mut Report) {
    match store.place() {
        LedgerPlace::Folder { .. } => {}
        LedgerPlace::Postgres(_) => match store.lease(LEAD).await {
            Ok(Some(held)) if held.is_live => {
                report.ok("lead", format!("the ledger is led by {}", right::leader(&held)));
            }
            Ok(_) => report.ok("lead", "no server leads now; the first that asks does"),
            Err(fault) => report.fault("lead", &fault),
        },
    }
}

/// Whether each table is there of which the ledger knows a version.
async fn look_at_tables(opened: &Opened, store: &Store, report: &mut Report) {
    let known = match store.catalog().await {
        Ok(known) => known,
        Err(fault) => return report.fault("tables", &fault),
    };
    let engine = match opened.engine() {
        Ok(engine) => engine,
        Err(fault) => return report.fault("tables", &fault),
    };
    let known: Vec<RelationEntry> = known.into_iter().filter(is_table).collect();
    let looks = known.iter().map(|entry| look_at_table(opened, engine.as_ref(), entry));
    let found: Vec<Option<Fault>> = stream::iter(looks).buffered(AT_ONCE).collect().await;
    let broken: Vec<Fault> = found.into_iter().flatten().collect();
    for fault in broken.iter().take(MAX_TOLD) {
        report.fault("tables", fault);
    }
    match (known.len() as u64, broken.len()) {
        (0, _) => report.ok("tables", "none is filled yet"),
        (all, 0) => report.ok("tables", format!("{}, each with its log", say::count(all, "table"))),
        (_, broken) if broken > MAX_TOLD => {
            let more = say::count((broken - MAX_TOLD) as u64, "further table");
            report.warning(
                "tables",
                format!("{more} cannot be read"),
                "mend these first; the cause may be one",
            );
        }
        (..) => {}
    }
}

fn is_table(entry: &RelationEntry) -> bool {
    entry.version.is_some() && entry.kind != Materialization::View
}

/// Why a table that the ledger knows cannot be read.
async fn look_at_table(opened: &Opened, engine: &dyn Engine, entry: &RelationEntry) -> Option<Fault> {
    match engine.commits_after(&entry.relation, entry.version).await {
        Ok(Some(_)) => None,
        Err(fault) => Some(fault),
        Ok(None) => {
            let RelationEntry { relation, node, .. } = entry;
            let log = opened
                .project
                .warehouse
                .join(&relation.schema)
                .join(&relation.name)
                .join("_delta_log");
            let version = entry.version.unwrap_or_default();
            let message = format!(
                "the log of the table {relation} is lost: the ledger knows its version {version}, and {log} is not there"
            );
            let fault = Diagnostic::error(codes::TABLE_UNREADABLE, message).with_remedy(format!(
                "put `{log}` back from a backup before anything runs; without one `mulgil run {node}` fills the table anew"
            ));
            Some(Box::new(fault))
        }
    }
}
