//! Where the pages are: names become parts of addresses here and nowhere else.

/// The first page.
pub const TODAY: &str = "/";
/// All flows.
pub const FLOWS: &str = "/flows";
/// All runs.
pub const RUNS: &str = "/runs";
/// All tables.
pub const TABLES: &str = "/tables";

/// A flow's runs.
pub fn flow(name: &str) -> String {
    format!("/flows/{}", encoded(name))
}

/// The form that runs a flow.
pub fn run_flow(name: &str) -> String {
    format!("/flows/{}/run", encoded(name))
}

/// The form that fills intervals of a flow.
pub fn backfill_flow(name: &str) -> String {
    format!("/flows/{}/backfill", encoded(name))
}

/// A run.
pub fn run(id: i64) -> String {
    format!("/runs/{id}")
}

/// The form that cancels a run.
pub fn cancel_run(id: i64) -> String {
    format!("/runs/{id}/cancel")
}

/// A try of a task, from 1.
pub fn attempt(run: i64, task: i64, number: u32) -> String {
    format!("/runs/{run}/tasks/{task}/attempts/{number}")
}

/// A table.
pub fn table(name: &str) -> String {
    format!("/tables/{}", encoded(name))
}

/// The form that fills intervals of a table.
pub fn backfill_table(name: &str) -> String {
    format!("/tables/{}/backfill", encoded(name))
}

/// Why `NODE@INTERVAL` stands as it does.
pub fn why(target: &str) -> String {
    format!("/why/{}", encoded(target))
}

/// Sets how pages look, and comes back.
pub fn look(field: &str, value: &str, back: &str) -> String {
    format!("/look?{field}={}&back={}", encoded(value), encoded(back))
}

/// An address with one more field in its query.
pub fn with(address: &str, field: &str, value: &str) -> String {
    let joint = if address.contains('?') { '&' } else { '?' };
    format!("{address}{joint}{field}={}", encoded(value))
}

/// Whether an address leads to this server: what a redirect may follow.
pub fn is_local(address: &str) -> bool {
    address.starts_with('/')
        && !address.starts_with("//")
        && !address.contains(['\\', '\r', '\n', '\t', '\0'])
}

/// A text as part of a path or a query. `@`, `=` and what cannot be misread stay, so that addresses can be read.
pub fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'@' | b':' | b',' => {
                out.push(char::from(byte));
            }
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    // A path of dots alone would be folded away by whoever reads the address.
    match out.as_str() {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => out,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_local, look, table, why};

    #[test]
    fn names_cannot_leave_their_place_in_an_address() {
        assert_eq!(table("a/../b?c#d"), "/tables/a%2F..%2Fb%3Fc%23d");
        assert_eq!(table(".."), "/tables/%2E%2E");
        assert_eq!(why("읽음@2026-11-20T05:00"), "/why/%EC%9D%BD%EC%9D%8C@2026-11-20T05:00");
        assert_eq!(look("lang", "ko", "/runs?state=failed&x"), "/look?lang=ko&back=%2Fruns%3Fstate%3Dfailed%26x");
    }

    #[test]
    fn only_addresses_of_this_server_are_local() {
        for local in ["/", "/runs?state=failed", "/tables/a%2Fb"] {
            assert!(is_local(local), "{local}");
        }
        for foreign in ["", "runs", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nb: c"] {
            assert!(!is_local(foreign), "{foreign:?}");
        }
    }
}
