//! A project and its store as a team has them after a year, made by the program itself: the tables are filled by
//! runs, the flow's runs by a backfill over a server, the long log by a step.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use mulgil_store::{LedgerPlace, Store};

use crate::{
    chaos::scheduler::{
        record::told,
        server::{Server, Start},
    },
    place, wait,
};

/// The folder in which it is kept.
pub(super) const NAME: &str = "pages-store-1";

/// Tables that are cut by days.
const TABLES: usize = 500;
/// Days of each.
const DAYS: i64 = 365;
/// Hours of the one that is cut by them.
const HOURS: i64 = 100_000;
/// Runs of the flow, one an hour, and the steps of each.
const RUNS: i64 = 10_000;
const STEPS: usize = 20;
/// Lines of the long log.
const LINES: u64 = 1_000_000;

/// Steps at once while it is made.
const SLOTS: usize = 64;
/// How long the flow's runs may take.
const PATIENCE: Duration = Duration::from_mins(30);
/// How often is looked whether they have.
const LOOK: Duration = Duration::from_secs(1);

/// The project's own file.
const PROJECT: &str = "name: year
timezone: UTC
models:
  year:
    +end: @END@
sources:
  raw:
    days: {files: 'data/days/{YYYYMMDD}.csv', event_time: at, columns: {at: timestamp}}
    hours: {files: 'data/hours/{YYYYMMDD}{HH}.csv', event_time: at, columns: {at: timestamp}}
";

/// The name of a table.
pub(super) fn table(index: usize) -> String {
    format!("t{index:03}")
}

/// A day in the middle of the tables' year.
pub(super) fn day() -> Date {
    end().checked_sub(jiff::Span::new().days(DAYS / 2)).unwrap_or(end())
}

/// The day before which everything ends: fixed, so that what is kept stays whole.
fn end() -> Date {
    Date::constant(2026, 11, 1)
}

/// Makes the project and fills it.
pub(super) fn make(folder: &Path) -> Result<()> {
    let files = files();
    place::write_all(folder, files.iter().map(|(path, text)| (path.as_str(), text.clone())))?;
    let began = Instant::now();
    super::mulgil(folder, &["run"])?;
    eprintln!("the tables are filled after {} s", began.elapsed().as_secs());
    let mut server = Server::spawn(&place::program()?, folder, SLOTS, &Start::default())?;
    ensure!(server.ready(folder)?, "the server ended at once");
    let [from, to] = [RUNS, 0].map(|hours| before_end(hours).strftime("%Y-%m-%dT%H:%M").to_string());
    super::mulgil(
        folder,
        &["backfill", "flow:hourly", "--from", &from, "--to", &to, "-j", "64"],
    )?;
    wait_for(folder, RUNS)?;
    eprintln!("the flow's runs are done after {} s", began.elapsed().as_secs());
    super::mulgil(folder, &["run", "flow:long"])?;
    server.end(Duration::from_mins(1))?;
    Ok(())
}

fn files() -> Vec<(String, String)> {
    let begin = end().checked_sub(jiff::Span::new().days(DAYS)).unwrap_or(end());
    let mut files = vec![("mulgil.yml".to_owned(), PROJECT.replace("@END@", &end().to_string()))];
    for index in 0..TABLES {
        // Each tenth begins a chain, so that there is something upstream and downstream to draw.
        let from = match index % 10 {
            0 => "source('raw', 'days')".to_owned(),
            _ => format!("ref('{}')", table(index - 1)),
        };
        let text = format!(
            "{{{{ config(interval='day', event_time='at', begin='{begin}') }}}}\n\
             select at, {index} as n, 'some text' as words from {{{{ {from} }}}}\n"
        );
        files.push((format!("models/chain{:02}/{}.sql", index / 10, table(index)), text));
    }
    let first = before_end(HOURS).strftime("%Y-%m-%dT%H:%M:%S");
    files.push((
        "models/hours.sql".to_owned(),
        format!(
            "{{{{ config(interval='hour', event_time='at', begin='{first}') }}}}\n\
             select at, 1 as n from {{{{ source('raw', 'hours') }}}}\n"
        ),
    ));
    // A source has a file for each interval, with one row.
    let file_of = |at: Timestamp, name: &str| {
        let row = at.strftime("at\n%Y-%m-%dT%H:%M:%S\n").to_string();
        (format!("data/{}.csv", at.strftime(name)), row)
    };
    files.extend((1..=DAYS).map(|day| file_of(before_end(day * 24), "days/%Y%m%d")));
    files.extend((1..=HOURS).map(|hour| file_of(before_end(hour), "hours/%Y%m%d%H")));
    let steps: String = (0..STEPS)
        .map(|index| format!("  s{index:02}: {{sql: select {index}, needs: [{}]}}\n", needs(index)))
        .collect();
    let begin = before_end(RUNS).strftime("%Y-%m-%dT%H:%M:%S");
    files.push((
        "flows/hourly.yml".to_owned(),
        format!("interval: hour\nbegin: {begin}\nmax_active: 64\nsteps:\n{steps}"),
    ));
    let long = format!("steps:\n  print: {{command: [seq, \"1\", \"{LINES}\"]}}\n");
    files.push(("flows/long.yml".to_owned(), long));
    files
}

/// Rows of five, each after the one before.
fn needs(index: usize) -> String {
    index
        .checked_sub(5)
        .map_or_else(String::new, |before| format!("s{before:02}"))
}

fn before_end(hours: i64) -> Timestamp {
    let end = end()
        .to_zoned(TimeZone::UTC)
        .map_or(Timestamp::UNIX_EPOCH, |end| end.timestamp());
    end.saturating_sub(SignedDuration::from_hours(hours)).unwrap_or(end)
}

/// Waits until so many runs of the flow have ended.
fn wait_for(folder: &Path, runs: i64) -> Result<()> {
    let done = wait::until(PATIENCE, LOOK, || {
        let (newest, open) = ask(folder, async |store| {
            let newest = store.runs(1).await.map_err(told)?;
            Ok((newest, store.open_walks().await.map_err(told)?))
        })?;
        let is_done = open.is_empty() && newest.first().is_some_and(|run| run.id >= runs);
        Ok(is_done.then_some(()))
    })?;
    done.with_context(|| format!("the flow's runs were not done in {} s", PATIENCE.as_secs()))
}

/// The newest run of the flow with many runs, and the task of the run with the long log, which came after it.
pub(super) fn newest(folder: &Path) -> Result<(i64, i64)> {
    ask(folder, async |store| {
        let last = store.runs(1).await.map_err(told)?.pop().context("no run")?;
        let (_, tasks) = store.run(last.id).await.map_err(told)?.context("no run")?;
        Ok((last.id - 1, tasks.first().context("no task")?.id))
    })
}

fn ask<T>(folder: &Path, question: impl AsyncFnOnce(&Store) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let place = LedgerPlace::folder(folder.join(".mulgil"), "dev");
        let store = Store::open_read_only(&place, "year/dev").await.map_err(told)?;
        let store = store.context("there is no ledger")?;
        let answer = question(&store).await;
        store.close().await;
        answer
    })
}
