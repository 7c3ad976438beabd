//! Orchestration: the same work through Mulgil, Airflow, Prefect and Dagster, one after the other on one
//! machine. Each runs as it comes, with its ledger in SQLite.

mod driver;
mod found;
mod mulgil;
mod rows;
mod schedules;
mod session;

use anyhow::{Result, ensure};

use self::found::Found;
use crate::{peers::Peers, report};

/// The parts, each of which may be measured by itself.
const PARTS: [&str; 6] = ["chain", "many", "fan", "start", "cron", "schedules"];

/// Mulgil itself, as one may name it beside the peers.
const MULGIL: &str = "mulgil";

/// The peers, in the order in which they run.
const PEERS: [Peers; 3] = [Peers::Airflow, Peers::Prefect, Peers::Dagster];

/// Measures the parts and the programs that are named, else all, and writes docs/bench/orchestrator; of some
/// of them alone it only prints.
pub(crate) fn bench(words: &[&str]) -> Result<()> {
    let programs: Vec<&str> = std::iter::once(MULGIL)
        .chain(PEERS.map(Peers::name))
        .filter(|program| words.contains(program))
        .collect();
    let parts: Vec<&str> = PARTS.into_iter().filter(|part| words.contains(part)).collect();
    for word in words {
        ensure!(
            programs.contains(word) || parts.contains(word),
            "`{word}` is none of {}, {MULGIL}, {}",
            PARTS.join(", "),
            PEERS.map(Peers::name).join(", ")
        );
    }
    let parts = if parts.is_empty() { PARTS.to_vec() } else { parts };
    let is_wanted = |program: &str| programs.is_empty() || programs.contains(&program);
    let mut found = Found::default();
    if is_wanted(MULGIL) {
        mulgil::measure(&parts, &mut found);
    }
    for peer in PEERS.into_iter().filter(|peer| is_wanted(peer.name())) {
        driver::run(peer, &parts, &mut found);
    }
    let beside: Vec<String> = PEERS.iter().filter_map(|peer| peer.version().ok()).collect();
    let rows = rows::of(&parts, &found);
    let notes = rows::notes(&found);
    report::write_whole_beside(words.is_empty(), "orchestrator", &beside.join(", "), &rows, &notes)
}
