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

/// Whether a table holds what the tags of its commits say that it holds.
async fn is_complete(world: &World, acknowledged: Option<i64>, unit: Unit) -> Result<(), String> {
    let log = world
        .engine
        .commits_after(&relation("t"), None)
        .await
        .map_err(|fault| fault.to_string())?;
    let Some(log) = log else {
        return acknowledged.map_or(Ok(()), |version| Err(format!("version {version} is gone")));
    };
    if Some(log.version) < acknowledged || log.gap {
        return Err(format!("acknowledged was {acknowledged:?}, found {}", log.version));
    }
    let mut expected = std::collections::BTreeMap::new();
    for commit in log.commits {
        let Author::Ours(tag) = commit.author else {
            return Err("a commit has lost its tag".to_owned());
        };
        expected.extend(
            tag.intervals
                .iter()
                .map(|filled| (filled.interval.start.0, filled.rows)),
        );
    }
    expected.retain(|_, rows| *rows > 0);
    let expected: Vec<_> = expected.iter().map(|(start, rows)| format!("{start},{rows}")).collect();
    let table = binding("t", grid(unit, "America/New_York"), Some("at"), None, Key::default());
    let counts = "select arrow_cast(_interval, 'Int64') as i, count(*) from t group by 1 order by 1";
    let found = world
        .lines("UTC", vec![table.clone()], counts)
        .await
        .map_err(|fault| fault.to_string())?;
    if found[1..] != expected {
        return Err(format!("found {found:?}, expected {expected:?}"));
    }
    let all_bytes = world
        .lines("UTC", vec![table], "select sum(n), max(round), max(at) from t")
        .await;
    all_bytes.map(drop).map_err(|fault| fault.to_string())
}

/// Fills until the power goes after some operations, and looks at what is left.
async fn lose_power_after(operations: u64, seed: u64, lies: bool) -> Result<World, String> {
    let unit = if seed.is_multiple_of(2) { Unit::Day } else { Unit::Hour };
    let dir = tempfile::tempdir().unwrap();
    let attic = dir.path().join("attic");
    std::fs::create_dir(&attic).unwrap();
    let disk = ForgetfulDisk::new(&attic, operations, seed, lies);
    let world = World::over(dir, Box::new(disk.clone()));
    let acknowledged = fill_until_dark(&world, seed).await;
    disk.lose_power();
    let again = World::over(world.dir, Box::new(OsDisk));
    again.seq.store(100, Ordering::SeqCst);
    is_complete(&again, acknowledged, unit).await?;
    let range = days("2013-01-01", "2013-01-08");
    let mut whole = fill_days(range, &format!("select *, 9 as round from ({})", hours_sql(range)));
    whole.grid = grid(unit, "America/New_York");
    again.fill(&whole).await.map_err(|fault| fault.to_string())?;
    is_complete(&again, acknowledged, unit).await?;
    Ok(again)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_loss_of_power_at_any_operation() {
    for seed in 0..60 {
        if let Err(lost) = lose_power_after(seed * seed * 7 % 180, seed, false).await {
            panic!("seed {seed}: {lost}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_only_says_it_has_synced_is_found_out() {
    let mut found_out = 0;
    for seed in 0..10 {
        found_out += u32::from(lose_power_after(60 + seed * 7, seed, true).await.is_err());
    }
    assert!(found_out > 0, "else the test above would prove nothing");
}
