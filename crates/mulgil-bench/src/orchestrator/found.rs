//! What was measured: numbers by the program and the name of the figure.

use std::collections::BTreeMap;

/// All that was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    figures: BTreeMap<(String, String), f64>,
    /// What is to be said besides.
    pub(crate) notes: Vec<String>,
}

impl Found {
    /// Keeps a figure, and says it.
    pub(crate) fn tell(&mut self, program: &str, figure: &str, value: f64) {
        println!("{program} {figure} {value:.3}");
        self.figures.insert((program.to_owned(), figure.to_owned()), value);
    }

    /// Keeps what is to be said, and says it.
    pub(crate) fn note(&mut self, text: String) {
        println!("{text}");
        self.notes.push(text);
    }

    /// A figure of a program; nothing where it was not measured.
    pub(crate) fn of(&self, program: &str, figure: &str) -> Option<f64> {
        self.figures.get(&(program.to_owned(), figure.to_owned())).copied()
    }

    /// The parts of a list of times by size, under the names `FIGURE.p50`, `.p95`, `.p99` and `.max`.
    pub(crate) fn tell_parts(&mut self, program: &str, figure: &str, mut values: Vec<f64>) {
        values.sort_by(f64::total_cmp);
        let Some(max) = values.last().copied() else {
            return;
        };
        for percent in [50, 95, 99] {
            let at = values.len() * percent / 100;
            let value = values.get(at).copied().unwrap_or(max);
            self.tell(program, &format!("{figure}.p{percent}"), value);
        }
        self.tell(program, &format!("{figure}.max"), max);
    }
}
