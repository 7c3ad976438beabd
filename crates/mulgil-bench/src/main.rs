//! Long runs: benchmarks beside their peers, and kills at random moments. Started by `cargo xtask
//! bench NAME` and `cargo xtask chaos NAME`; what they print is committed under docs/bench.
#![expect(
    clippy::disallowed_methods,
    reason = "this program measures programs: it starts them and reads the clock"
)]

mod chaos;
mod disk;
mod measure;
mod place;
mod report;
mod spine;
mod synthetic;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["bench", "spine"] => spine::bench(),
        ["chaos", "spine", options @ ..] => chaos::spine(chaos::Options::parse(options)?),
        ["chaos", "disk", options @ ..] => disk::chaos(chaos::Options::parse(options)?),
        _ => bail!("write `bench spine`, or `chaos spine|disk [--rounds N] [--seed N] [--only-seed N]`"),
    }
}
