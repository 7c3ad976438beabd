//! Loads the project in a folder and says how long that took: `cargo run --release --example load -- DIR`.

use std::{path::PathBuf, time::Instant};

fn main() {
    let root: PathBuf = std::env::args_os().nth(1).unwrap_or_else(|| ".".into()).into();
    for _ in 0..3 {
        let begun = Instant::now();
        let loaded = mulgil_project::load(&root, &mulgil_project::LoadOptions::default());
        let spent = begun.elapsed();
        let flows = loaded.project.as_ref().map_or(0, |project| project.flows.len());
        println!("{flows} flows, {} faults: {spent:?}", loaded.diagnostics.len());
    }
}
