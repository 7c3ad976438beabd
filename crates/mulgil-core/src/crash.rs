//! Places where a test may kill this process, so that every one of them is known to be survived.
//!
//! Disarmed, as it always is outside the crash tests, a place costs one relaxed atomic load. The
//! binary arms it from its environment; a kill is an abort, without any clean-up, like `kill -9`.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

static ARMED: AtomicBool = AtomicBool::new(false);
static WRITES: AtomicU64 = AtomicU64::new(0);
static KILL: Mutex<Option<Kill>> = Mutex::new(None);

/// When to die.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kill {
    /// Just before the n-th write, from 1, of anything durable: a file of a table, its log, the ledger.
    AtWrite(u64),
    /// At the n-th passing, from 1, of a named point.
    AtPoint {
        /// Its name.
        name: String,
        /// Passings that are left.
        passing: u64,
    },
    /// Never; only counts the writes.
    CountOnly,
}

/// Reads `write:17`, `claimed:1` or `count`.
pub fn parse(text: &str) -> Option<Kill> {
    if text == "count" {
        return Some(Kill::CountOnly);
    }
    let (name, number) = text.split_once(':')?;
    let number = number.parse().ok().filter(|number| *number > 0)?;
    Some(match name {
        "write" => Kill::AtWrite(number),
        name => Kill::AtPoint {
            name: name.to_owned(),
            passing: number,
        },
    })
}

/// Arms the places.
pub fn arm(kill: Kill) {
    *KILL.lock().unwrap_or_else(PoisonError::into_inner) = Some(kill);
    ARMED.store(true, Ordering::SeqCst);
}

/// Called before every durable write.
pub fn write() {
    if !ARMED.load(Ordering::Relaxed) {
        return;
    }
    let count = WRITES.fetch_add(1, Ordering::SeqCst) + 1;
    let kill = KILL.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*kill, Some(Kill::AtWrite(at)) if count >= at) {
        std::process::abort();
    }
}

/// A named point: `claimed`, `files_written`, `committed`, `recorded`.
pub fn point(name: &str) {
    if !ARMED.load(Ordering::Relaxed) {
        return;
    }
    let mut kill = KILL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(Kill::AtPoint { name: wanted, passing }) = kill.as_mut()
        && wanted == name
    {
        *passing -= 1;
        if *passing == 0 {
            std::process::abort();
        }
    }
}

/// The durable writes so far, when they are counted ([`Kill::CountOnly`]).
pub fn counted() -> Option<u64> {
    let kill = KILL.lock().unwrap_or_else(PoisonError::into_inner);
    matches!(*kill, Some(Kill::CountOnly)).then(|| WRITES.load(Ordering::SeqCst))
}
