//! What is derived of one instance besides its cover: what is stale, failing, untested, waived.
//! Pure: facts change it, and it is stored as one JSON document.

use std::collections::BTreeMap;

use mulgil_core::{
    interval::{Interval, RangeMap, RangeSet},
    state::{Cause, Failing, NodeState},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    fact::Mark,
    sql::{self, Conn},
};

/// Entries of what made ranges stale that one document keeps apart.
const STALE_LIMIT: usize = 256;

/// One instance's document.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Document {
    /// What made ranges stale, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) stale: Vec<Stale>,
    #[serde(default, skip_serializing_if = "RangeMap::is_empty")]
    pub(crate) failing: RangeMap<Failing>,
    /// By the fact that filled it.
    #[serde(default, skip_serializing_if = "RangeMap::is_empty")]
    pub(crate) untested: RangeMap<i64>,
    #[serde(default, skip_serializing_if = "RangeSet::is_empty")]
    pub(crate) waived: RangeSet,
    /// The newest fact that filled any of it.
    #[serde(default)]
    pub(crate) fill_seq: i64,
}

/// Ranges that one fact made stale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stale {
    /// The fact: what was claimed after it makes these ranges fresh.
    pub(crate) seq: i64,
    pub(crate) cause: Cause,
    pub(crate) ranges: RangeSet,
    /// False where rows only lost their source: told to people, never due.
    #[serde(default = "due", skip_serializing_if = "is_due")]
    pub(crate) due: bool,
}

fn due() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_due(due: &bool) -> bool {
    *due
}

impl Document {
    /// An input changed, or the table itself.
    pub(crate) fn mark(&mut self, seq: i64, cause: Cause, mark: &Mark) {
        self.add(seq, cause, mark.ranges.clone(), true);
        for range in mark.released.iter() {
            let failing: Vec<_> = self
                .failing
                .within(range)
                .map(|(part, failing)| (part, *failing))
                .collect();
            self.failing.remove(range);
            for (part, failing) in failing {
                if let Some(released) = failing.released() {
                    self.failing.insert(part, released);
                }
            }
        }
    }

    /// The rows' source is gone.
    pub(crate) fn leave(&mut self, seq: i64, cause: Cause, mark: &Mark) {
        self.add(seq, cause, mark.ranges.clone(), false);
    }

    /// A person asked for it: then it is neither given up nor held.
    pub(crate) fn ask(&mut self, seq: i64, cause: Cause, ranges: &RangeSet) {
        self.add(seq, cause, ranges.clone(), true);
        self.waived = self.waived.subtract(ranges);
        for range in ranges.iter() {
            self.failing.remove(range);
        }
    }

    /// What was asked for up to that fact is not asked for any more.
    pub(crate) fn unask(&mut self, cause: &Cause, range: Interval, asked_before: i64) {
        self.unmark(range, |stale| stale.cause == *cause && stale.seq <= asked_before);
    }

    /// A person named it: nothing of it is held any more.
    pub(crate) fn let_go(&mut self) {
        self.failing = RangeMap::new();
    }

    /// A range was filled under a claim: what was stale before the claim is not any more.
    pub(crate) fn fill(&mut self, seq: i64, claim_seq: i64, range: Interval, untested: bool) {
        self.fill_seq = self.fill_seq.max(seq);
        self.unmark(range, |stale| stale.seq <= claim_seq);
        self.failing.remove(range);
        self.waived.remove(range);
        self.untested.remove(range);
        if untested {
            self.untested.insert(range, seq);
        }
    }

    /// Rows came back as they were before a newer fill; their data tests are due again.
    pub(crate) fn restore(&mut self, seq: i64, ranges: RangeSet, untested: bool) {
        self.fill_seq = self.fill_seq.max(seq);
        for range in ranges.iter() {
            self.untested.remove(range);
            if untested {
                self.untested.insert(range, seq);
            }
        }
        self.add(seq, Cause::Rollback, ranges, true);
    }

    /// Rows are gone: what was known of them is not any more, only what a person asked for is.
    pub(crate) fn lose(&mut self, ranges: &RangeSet) {
        for range in ranges.iter() {
            self.unmark(range, |stale| !matches!(stale.cause, Cause::Manual | Cause::Again));
            self.untested.remove(range);
        }
    }

    /// The blocking data tests have passed over all that was filled up to a fact.
    pub(crate) fn pass(&mut self, through: i64) {
        let passed = self.untested.keys_where(|seq| *seq <= through);
        for range in passed.iter() {
            self.untested.remove(range);
        }
    }

    /// What is stale and due, by cause.
    pub(crate) fn dirty(&self) -> BTreeMap<Cause, RangeSet> {
        let mut dirty: BTreeMap<Cause, RangeSet> = BTreeMap::new();
        for stale in self.stale.iter().filter(|stale| stale.due) {
            dirty
                .entry(stale.cause.clone())
                .or_default()
                .extend(stale.ranges.iter());
        }
        dirty
    }

    /// Into what decisions read, where it is known already what is filled. What changed under a range
    /// that is only being filled makes nothing stale before it is filled.
    pub(crate) fn describe(&self, state: &mut NodeState) {
        let filled = state.filled.keys();
        state.dirty = self.dirty();
        for (cause, ranges) in &mut state.dirty {
            if *cause != Cause::Manual {
                *ranges = ranges.intersect(&filled);
            }
        }
        state.dirty.retain(|_, ranges| !ranges.is_empty());
        state.untested = self.untested.keys();
        state.waived = self.waived.clone();
        state.failing = self.failing.clone();
        state.fill_seq = self.fill_seq;
    }

    /// Ranges are stale.
    pub(crate) fn add(&mut self, seq: i64, cause: Cause, ranges: RangeSet, due: bool) {
        if ranges.is_empty() {
            return;
        }
        self.stale.push(Stale {
            seq,
            cause,
            ranges,
            due,
        });
        if self.stale.len() > STALE_LIMIT {
            self.forget_oldest();
        }
    }

    /// Puts the two oldest entries of one cause together under the newer fact: what was stale stays
    /// so, only the older one's evidence is not told any more.
    fn forget_oldest(&mut self) {
        let alike = |a: &Stale, b: &Stale| a.cause == b.cause && a.due == b.due;
        let pair = self.stale.iter().enumerate().find_map(|(place, old)| {
            let newer = self.stale.iter().skip(place + 1).position(|newer| alike(old, newer))?;
            Some((place, place + newer))
        });
        if let Some((old, newer)) = pair {
            // The newer one has moved up by the one that is taken out.
            let old = self.stale.remove(old);
            self.stale[newer].ranges.extend(old.ranges.iter());
        }
    }

    fn unmark(&mut self, range: Interval, which: impl Fn(&Stale) -> bool) {
        for stale in self.stale.iter_mut().filter(|stale| which(stale)) {
            stale.ranges.remove(range);
        }
        self.stale.retain(|stale| !stale.ranges.is_empty());
    }
}

/// The document of an instance; an empty one where nothing is known of it.
pub(crate) async fn load(conn: &mut Conn, instance: &str) -> Result<Document, Error> {
    let row: Option<(String,)> = sql::query_as("select document from node where instance = $1")
        .bind(instance)
        .fetch_optional(conn)
        .await?;
    Ok(match row {
        Some((text,)) => serde_json::from_str(&text)?,
        None => Document::default(),
    })
}

/// Changes the document of an instance.
pub(crate) async fn change(
    conn: &mut Conn,
    instance: &str,
    how: impl FnOnce(&mut Document) + Send,
) -> Result<(), Error> {
    let mut document = load(&mut *conn, instance).await?;
    how(&mut document);
    sql::query(
        "insert into node (instance, document) values ($1, $2)
         on conflict (instance) do update set document = excluded.document",
    )
    .bind(instance)
    .bind(serde_json::to_string(&document)?)
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use mulgil_core::{interval::Instant, name::Instance};

    use super::*;

    fn span(from: i64, to: i64) -> Interval {
        Interval {
            start: Instant(from),
            end: Instant(to),
        }
    }

    fn mark(range: Interval) -> Mark {
        Mark {
            instance: Instance::of("reader".into()),
            ranges: range.into(),
            released: RangeSet::new(),
            because: Vec::new(),
        }
    }

    #[test]
    fn a_fill_clears_the_marks_older_than_its_claim_and_no_others() {
        let cause = Cause::Upstream("flights".into());
        let mut document = Document::default();
        document.mark(3, cause.clone(), &mark(span(0, 10)));
        document.mark(7, cause.clone(), &mark(span(4, 6)));
        document.fill(8, 5, span(2, 8), false);
        let expected: RangeSet = [span(0, 2), span(4, 6), span(8, 10)].into_iter().collect();
        assert_eq!(document.dirty(), BTreeMap::from([(cause, expected)]));
    }

    #[test]
    fn what_is_stale_for_long_stays_so_in_a_bounded_document() {
        let (flights, weather) = (Cause::Upstream("flights".into()), Cause::Upstream("weather".into()));
        let mut document = Document::default();
        document.mark(1, weather.clone(), &mark(span(0, 1)));
        for n in 0..1_000 {
            document.mark(n + 2, flights.clone(), &mark(span(2 * n, 2 * n + 1)));
        }
        assert_eq!(document.stale.len(), STALE_LIMIT);
        assert_eq!(document.dirty()[&flights].ranges().len(), 1_000);
        assert_eq!(document.dirty()[&weather], span(0, 1).into());
        assert!(document.stale.is_sorted_by_key(|stale| stale.seq));
        document.fill(2_000, 1_001, span(0, 2_000), false);
        assert!(document.dirty().is_empty());
    }

    #[test]
    fn asking_lifts_waivers_and_holds() {
        let mut document = Document {
            waived: span(0, 10).into(),
            ..Document::default()
        };
        document.ask(1, Cause::Manual, &span(2, 4).into());
        assert_eq!(document.waived, [span(0, 2), span(4, 10)].into_iter().collect());
        assert_eq!(document.dirty()[&Cause::Manual], span(2, 4).into());
    }

    #[test]
    fn passed_tests_clear_only_what_they_saw() {
        let mut document = Document::default();
        document.fill(4, 1, span(0, 2), true);
        document.fill(6, 5, span(2, 4), true);
        document.pass(4);
        assert_eq!(document.untested.keys(), span(2, 4).into());
        document.lose(&RangeSet::whole());
        assert!(document.untested.is_empty());
    }

    #[test]
    fn rows_that_lost_their_source_are_not_due() {
        let mut document = Document::default();
        document.leave(2, Cause::Source("raw.flights".into()), &mark(span(0, 2)));
        assert!(document.dirty().is_empty());
        assert_eq!(document.stale.len(), 1);
    }
}
