//! How long something that failed waits before it is tried again: growing pauses with full jitter, so
//! that many that failed together do not come back together.

use serde::{Deserialize, Serialize};

use crate::project::Fingerprint;

/// The pauses of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BackOff {
    /// The longest first pause, in microseconds.
    pub base_us: i64,
    /// The longest pause there is, in microseconds.
    pub cap_us: i64,
    /// By how much the pause may grow each time; 1 keeps it.
    pub factor: u32,
}

impl BackOff {
    /// The longest that the pause after the `failures`-th failure in a row (from 1) may be, in
    /// microseconds: `min(cap, base · factor^(failures − 1))`.
    pub fn longest_us(self, failures: u32) -> i64 {
        let times = i64::from(self.factor).saturating_pow(failures.saturating_sub(1));
        self.base_us.saturating_mul(times).clamp(0, self.cap_us.max(0))
    }

    /// The pause after the `failures`-th failure in a row (from 1), in microseconds: anything up to the
    /// longest, the same for the same seed.
    pub fn pause_us(self, failures: u32, seed: Fingerprint) -> i64 {
        let longest = u128::from(self.longest_us(failures).unsigned_abs());
        (seed.0 % (longest + 1)) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_an_hour_and_is_the_same_for_the_same_seed() {
        let pauses_of = BackOff {
            base_us: 30_000_000,
            cap_us: 3_600_000_000,
            factor: 2,
        };
        for (count, longest) in [(1, 30), (2, 60), (4, 240), (7, 1_920), (8, 3_600), (u32::MAX, 3_600)] {
            let pauses: Vec<i64> = (0..200)
                .map(|n| pauses_of.pause_us(count, Fingerprint::of_text(&n.to_string())))
                .collect();
            let most = pauses.iter().max().copied().unwrap_or_default();
            assert!(most <= longest * 1_000_000, "{count}: {most}");
            assert!(most > longest * 900_000, "{count}: {most}");
            assert_eq!(pauses[7], pauses_of.pause_us(count, Fingerprint::of_text("7")));
        }
    }
}
