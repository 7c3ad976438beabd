//! Losses of power at any operation: what was acknowledged is there, and every version that can be
//! seen is complete.

use mulgil_core::{
    grid::Unit,
    port::{Author, Engine as _},
};

use super::*;
use crate::store::testing::ForgetfulDisk;

/// Fills `t` again and again until the power goes; returns the last acknowledged version.
async fn fill_until_dark(world: &World, seed: u64) -> Option<i64> {
    let mut acknowledged = None;
    for round in 0..6 {
        let first = 1 + (seed + round * 3) % 5;
        let range = days(
            &format!("2013-01-{first:02}"),
            &format!("2013-01-{:02}", first + 1 + (seed + round) % 3),
        );
        let mut sql = format!("select *, {round} as round from ({})", hours_sql(range));
        if (seed + round).is_multiple_of(4) {
            sql = format!("select * from ({sql}) where n < 20");
        }
        let mut spec = fill_days(range, &sql);
        spec.grid = grid(
            if seed.is_multiple_of(2) { Unit::Day } else { Unit::Hour },
            "America/New_York",
        );
        match world.fill(&spec).await {
            Ok(outcome) => acknowledged = outcome.version,
            Err(_) => break,
        }
    }
    acknowledged
}

/// What the tags of a table's commits say that it holds must be what it holds.
async fn check(world: &World, acknowledged: Option<i64>, unit: Unit) {
    let log = world.engine.commits_after(&relation("t"), None).await.unwrap();
    let Some(log) = log else {
        assert_eq!(acknowledged, None);
        return;
    };
    assert!(Some(log.version) >= acknowledged && !log.gap);
    let mut expected = std::collections::BTreeMap::new();
    for commit in log.commits {
        let Author::Ours(tag) = commit.author else {
            panic!("all commits are ours")
        };
        for filled in tag.intervals {
            expected.insert(filled.interval.start.0, filled.rows);
        }
    }
    let table = binding("t", grid(unit, "America/New_York"), Some("at"), None, Key::default());
    let sql = "select arrow_cast(_interval, 'Int64') as i, count(*), sum(n), max(round) from t group by 1 order by 1";
    let found = world.lines("UTC", vec![table], sql).await.unwrap();
    let expected: Vec<_> = expected
        .iter()
        .filter(|(_, rows)| **rows > 0)
        .map(|(start, rows)| format!("{start},{rows},"))
        .collect();
    assert_eq!(found.len() - 1, expected.len());
    for (found, expected) in found[1..].iter().zip(expected) {
        assert!(found.starts_with(&expected), "{found} is not {expected}…");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_loss_of_power_at_any_operation() {
    for seed in 0..60_u64 {
        let unit = if seed.is_multiple_of(2) { Unit::Day } else { Unit::Hour };
        let dir = tempfile::tempdir().unwrap();
        let attic = tempfile::tempdir_in(dir.path()).unwrap();
        let operations = seed * seed * 7 % 180;
        let disk = ForgetfulDisk::new(attic.path(), operations, seed);
        let world = World::over(dir, Box::new(disk.clone()));
        let acknowledged = fill_until_dark(&world, seed).await;
        disk.lose_power();
        let again = World::over(world.dir, Box::new(OsDisk));
        again.seq.store(100, Ordering::SeqCst);
        check(&again, acknowledged, unit).await;
        let range = days("2013-01-01", "2013-01-08");
        let mut whole = fill_days(range, &format!("select *, 9 as round from ({})", hours_sql(range)));
        whole.grid = grid(unit, "America/New_York");
        again.fill(&whole).await.unwrap();
        check(&again, acknowledged, unit).await;
    }
}
