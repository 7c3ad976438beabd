//! Who gets the next slot: capacity first, then class, then priority, each flow in its turn. Slots are
//! counted from live attempts, never kept as a number of their own.

use std::collections::BTreeMap;

use crate::{flow::Class, interval::Instant};

/// Whoever has waited so long, in microseconds, goes up by one class.
pub const AGEING_US: i64 = 600 * 1_000_000;

/// What waits for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Whose it is: each gets its turn.
    pub flow: &'a str,
    /// Who waits for it.
    pub class: Class,
    /// Among equals, the larger goes first.
    pub priority: i32,
    /// Since when it could start.
    pub since: Instant,
    /// The pool whose slot it takes besides.
    pub pool: Option<&'a str>,
    /// Slots that live attempts of backfills may hold together, this one with them; none for what is of no
    /// backfill.
    pub share: Option<usize>,
}

/// The free slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Free {
    /// Of all.
    pub slots: usize,
    /// Of pools; one that is not named here has none.
    pub pools: BTreeMap<String, usize>,
    /// Those that live attempts of backfills hold already.
    pub backfilling: usize,
}

impl Free {
    /// Whether there is a slot for it.
    fn has(&self, one: &Candidate<'_>) -> bool {
        let has_pool = |pool| self.pools.get(pool).is_some_and(|free| *free > 0);
        one.pool.is_none_or(has_pool) && one.share.is_none_or(|share| self.backfilling < share)
    }

    fn take(&mut self, one: &Candidate<'_>) {
        self.slots -= 1;
        self.backfilling += usize::from(one.share.is_some());
        if let Some(free) = one.pool.and_then(|pool| self.pools.get_mut(pool)) {
            *free -= 1;
        }
    }
}

/// The places of those that may start, in the order in which they do. A full pool holds back only its own,
/// and so does the share of backfills.
/// `busy` says how many attempts each flow has live.
pub fn choose(waiting: &[Candidate<'_>], mut free: Free, busy: &BTreeMap<&str, usize>, now: Instant) -> Vec<usize> {
    let mut turns = busy.clone();
    let mut left: Vec<usize> = (0..waiting.len()).collect();
    let mut chosen = Vec::new();
    while free.slots > 0 {
        let able = left.iter().enumerate().filter(|(_, index)| free.has(&waiting[**index]));
        let best = able.min_by_key(|(_, index)| {
            let one = &waiting[**index];
            let turn = turns.get(one.flow).copied().unwrap_or(0);
            (
                rank(one, now),
                std::cmp::Reverse(one.priority),
                turn,
                one.since,
                **index,
            )
        });
        let Some((place, index)) = best.map(|(place, index)| (place, *index)) else {
            return chosen;
        };
        left.swap_remove(place);
        let one = &waiting[index];
        free.take(one);
        *turns.entry(one.flow).or_default() += 1;
        chosen.push(index);
    }
    chosen
}

/// Its class, less one for each time of ageing; never less than what the clock started has. So who has
/// waited for long is an equal of that, and comes in its turn.
fn rank(one: &Candidate<'_>, now: Instant) -> i64 {
    let class = match one.class {
        Class::Interactive => return 0,
        Class::Scheduled => return 1,
        Class::Backfill => 2,
        Class::Healing => 3,
    };
    let aged = now.0.saturating_sub(one.since.0).max(0) / AGEING_US;
    (class - aged).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(flow: &str, class: Class) -> Candidate<'_> {
        Candidate {
            flow,
            class,
            priority: 0,
            since: Instant(0),
            pool: None,
            share: None,
        }
    }

    fn slots(slots: usize, pools: &[(&str, usize)]) -> Free {
        let pools = pools.iter().map(|(name, free)| ((*name).to_owned(), *free)).collect();
        Free {
            slots,
            pools,
            backfilling: 0,
        }
    }

    #[test]
    fn a_full_pool_does_not_hold_up_a_free_one() {
        let mut waiting = vec![one("a", Class::Scheduled); 4];
        for (index, pool) in ["full", "full", "free", "unknown"].into_iter().enumerate() {
            waiting[index].pool = Some(pool);
        }
        waiting[2].priority = -5;
        let chosen = choose(
            &waiting,
            slots(9, &[("full", 0), ("free", 1)]),
            &BTreeMap::new(),
            Instant(0),
        );
        assert_eq!(chosen, [2]);
    }

    #[test]
    fn what_the_clock_started_goes_before_a_thousand_days_of_backfill() {
        let mut waiting = vec![one("history", Class::Backfill); 1_000];
        waiting.push(one("today", Class::Scheduled));
        waiting.push(one("person", Class::Interactive));
        let chosen = choose(&waiting, slots(3, &[]), &BTreeMap::new(), Instant(0));
        assert_eq!(chosen, [1_001, 1_000, 0]);
    }

    #[test]
    fn backfills_hold_their_share_together_and_no_more() {
        let mut waiting = vec![one("history", Class::Backfill); 4];
        waiting.push(one("today", Class::Scheduled));
        for (index, share) in [1, 3, 3, 3].into_iter().enumerate() {
            waiting[index].share = Some(share);
        }
        let none = BTreeMap::new();
        // Who may hold one slot begins only while backfills hold none.
        assert_eq!(choose(&waiting, slots(9, &[]), &none, Instant(0)), [4, 0, 1, 2]);
        let busy = Free {
            backfilling: 2,
            ..slots(9, &[])
        };
        assert_eq!(choose(&waiting, busy, &none, Instant(0)), [4, 1]);
        // However long it has waited.
        let full = Free {
            backfilling: 3,
            ..slots(9, &[])
        };
        assert_eq!(choose(&waiting, full, &none, Instant(100 * AGEING_US)), [4]);
    }

    #[test]
    fn who_has_waited_for_long_is_not_passed_over_for_ever() {
        let now = Instant(2 * AGEING_US);
        let mut fresh = one("today", Class::Scheduled);
        fresh.since = now;
        let waiting = [fresh, one("holes", Class::Healing)];
        assert_eq!(
            choose(&waiting, slots(1, &[]), &BTreeMap::from([("today", 1)]), now),
            [1]
        );
        let waiting = [fresh, one("holes", Class::Healing)];
        assert_eq!(
            choose(&waiting, slots(1, &[]), &BTreeMap::new(), Instant(AGEING_US)),
            [0]
        );
    }

    #[test]
    fn each_flow_has_its_turn_and_priority_goes_before() {
        let mut waiting = vec![one("a", Class::Scheduled); 3];
        waiting.push(one("b", Class::Scheduled));
        assert_eq!(choose(&waiting, slots(2, &[]), &BTreeMap::new(), Instant(0)), [0, 3]);
        assert_eq!(
            choose(&waiting, slots(2, &[]), &BTreeMap::from([("b", 2)]), Instant(0)),
            [0, 1]
        );
        waiting[2].priority = 1;
        assert_eq!(choose(&waiting, slots(1, &[]), &BTreeMap::new(), Instant(0)), [2]);
    }
}
