//! The clock of a supervisor. It is a program of its own, so it reads the time by itself: once here.

use std::time::SystemTime;

use mulgil_core::interval::Instant;

/// The time now.
#[expect(
    clippy::disallowed_methods,
    reason = "a supervisor outlives the program that started it; this is its one clock"
)]
pub(crate) fn now() -> Instant {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Instant(since.map_or(0, |elapsed| elapsed.as_micros() as i64))
}
