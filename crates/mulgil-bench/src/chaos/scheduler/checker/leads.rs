//! Servers of two machines: by the folders of attempts, which say whose they are, and the journal, which says when
//! they ran.

use crate::chaos::scheduler::record::Record;

/// Attempts in the order of their claims that one machine made, until the other makes one.
struct Term {
    machine: usize,
    attempts: Vec<i64>,
    /// When the first and the last line of their tasks was written.
    first_ns: i64,
    last_ns: i64,
}

pub(super) fn one_acts(record: &Record) -> Vec<String> {
    let [one, other] = &record.attempts;
    let mut rows: Vec<String> = one
        .intersection(other)
        .map(|attempt| format!("attempt {attempt} has a folder on both machines"))
        .collect();
    let terms = terms(record);
    for (index, term) in terms.iter().enumerate() {
        let earlier = terms[..index].iter().filter(|earlier| earlier.machine != term.machine);
        rows.extend(
            earlier
                .filter(|earlier| earlier.last_ns > term.first_ns)
                .map(|earlier| {
                    let late = (earlier.last_ns - term.first_ns) as f64 / 1e9;
                    format!(
                        "tasks of machine {} (attempts {:?}) wrote {late:.3} s after machine {} had begun {:?}",
                        earlier.machine, earlier.attempts, term.machine, term.attempts
                    )
                }),
        );
    }
    rows
}

fn terms(record: &Record) -> Vec<Term> {
    let mut entries: Vec<_> = record.journal.iter().collect();
    entries.sort_by_key(|entry| entry.attempt);
    let mut terms: Vec<Term> = Vec::new();
    for entry in entries {
        let own = record.attempts.iter().position(|own| own.contains(&entry.attempt));
        let Some(machine) = own else { continue };
        if terms.last().is_none_or(|term| term.machine != machine) {
            terms.push(Term {
                machine,
                attempts: Vec::new(),
                first_ns: i64::MAX,
                last_ns: i64::MIN,
            });
        }
        if let Some(term) = terms.last_mut() {
            term.attempts.push(entry.attempt);
            term.attempts.dedup();
            term.first_ns = term.first_ns.min(entry.at_ns);
            term.last_ns = term.last_ns.max(entry.at_ns);
        }
    }
    terms
}
