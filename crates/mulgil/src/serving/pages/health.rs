//! How the server is, as pages say it: by the same bounds as its `/readyz`.

use std::time::Duration;

use mulgil_core::{diagnostic::Diagnostic, interval::Instant};
use mulgil_server::{Database, HealthFacts};
use mulgil_web::view::{
    Verdict,
    today::{Light, LightKind},
};

use super::picture::Picture;

/// A heartbeat that is older than this has stopped.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// An answer of the ledger that takes longer is worth a look; twice as long as this is none.
const SLOW_LEDGER: Duration = Duration::from_secs(1);
/// Less of the disk than this is too little, in percent; twice as much is worth a look.
const DISK_PERCENT: u128 = 5;
/// So many bytes are enough, however large the disk is: 10 GiB.
const DISK_ENOUGH: u64 = 10 << 30;
/// A tick that came later than this is worth a look.
const LATE_TICK: Duration = Duration::from_mins(1);

/// The worst of what can be said of the server.
pub(super) fn verdict(facts: &HealthFacts, now: Instant) -> Verdict {
    let lights = [scheduler(facts, now), ledger(facts), disk(facts), draining(facts)];
    let verdicts = lights.into_iter().flatten().map(|light| light.verdict);
    verdicts.max_by_key(|verdict| weight(*verdict)).unwrap_or(Verdict::Good)
}

/// What is broken weighs more than what nobody can say.
fn weight(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Good => 0,
        Verdict::Unknown => 1,
        Verdict::Warning => 2,
        Verdict::Bad => 3,
    }
}

/// The worst of what can be said of the server, as a picture has it.
pub(super) fn of_picture(picture: &Picture) -> Verdict {
    let known = picture.health.as_deref().map(|facts| verdict(facts, picture.now));
    match (known, &picture.fault) {
        (_, Some(_)) => Verdict::Bad,
        (None, None) => Verdict::Unknown,
        (Some(known), None) => project(&picture.project_faults).map_or(known, |light| light.verdict),
    }
}

/// All lights of the first page.
pub(super) fn lights(picture: &Picture, slots: u64, faults: &[Diagnostic], now: Instant) -> Vec<Light> {
    let mut lights = Vec::new();
    if let Some(facts) = picture.health.as_deref() {
        lights.extend(scheduler(facts, now));
        lights.extend(match &picture.fault {
            Some(fault) => Some(Light {
                what: LightKind::Ledger(Err(fault.clone())),
                verdict: Verdict::Bad,
            }),
            None => ledger(facts),
        });
        lights.extend(disk(facts));
        lights.push(Light {
            what: LightKind::Lag(facts.schedule_lag),
            verdict: graded(facts.schedule_lag > LATE_TICK, false),
        });
        lights.extend(draining(facts));
    }
    lights.push(Light {
        what: LightKind::Slots {
            used: picture.live,
            of: slots,
        },
        verdict: graded(picture.live >= slots, false),
    });
    lights.extend(project(faults));
    lights
}

fn scheduler(facts: &HealthFacts, now: Instant) -> Option<Light> {
    let age = facts
        .heartbeat_at
        .map(|at| Duration::from_micros(now.0.saturating_sub(at.0).max(0).unsigned_abs()));
    Some(Light {
        verdict: age.map_or(Verdict::Unknown, |age| graded(age > HEARTBEAT / 3, age > HEARTBEAT)),
        what: LightKind::Scheduler(age),
    })
}

fn ledger(facts: &HealthFacts) -> Option<Light> {
    Some(match &facts.database {
        Database::Answers { after } => Light {
            what: LightKind::Ledger(Ok(*after)),
            verdict: graded(*after >= SLOW_LEDGER, *after >= SLOW_LEDGER * 2),
        },
        Database::Fails { fault } => Light {
            what: LightKind::Ledger(Err(fault.clone())),
            verdict: Verdict::Bad,
        },
    })
}

fn disk(facts: &HealthFacts) -> Option<Light> {
    let (free, all) = (facts.disk_free_bytes, facts.disk_total_bytes);
    let is_below = |percent: u128, enough: u64| u128::from(free) * 100 < u128::from(all) * percent && free < enough;
    (all > 0).then(|| Light {
        what: LightKind::Disk {
            free_bytes: free,
            total_bytes: all,
        },
        verdict: graded(
            is_below(DISK_PERCENT * 2, DISK_ENOUGH * 2),
            is_below(DISK_PERCENT, DISK_ENOUGH),
        ),
    })
}

fn draining(facts: &HealthFacts) -> Option<Light> {
    facts.draining.then_some(Light {
        what: LightKind::Draining,
        verdict: Verdict::Warning,
    })
}

fn project(faults: &[Diagnostic]) -> Option<Light> {
    (!faults.is_empty()).then(|| Light {
        what: LightKind::Project(faults.to_vec()),
        verdict: Verdict::Bad,
    })
}

fn graded(is_worth_a_look: bool, is_bad: bool) -> Verdict {
    match (is_worth_a_look, is_bad) {
        (_, true) => Verdict::Bad,
        (true, false) => Verdict::Warning,
        (false, false) => Verdict::Good,
    }
}
