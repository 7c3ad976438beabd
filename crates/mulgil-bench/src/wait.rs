//! Waiting for what other processes do: nobody tells of it, so it is looked at again and again.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

/// Looks every so often until something is found; gives nothing where that is not in time.
///
/// # Errors
/// Where a look fails.
pub(crate) fn until<T>(
    patience: Duration,
    every: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let began = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        if began.elapsed() > patience {
            return Ok(None);
        }
        thread::sleep(every);
    }
}
