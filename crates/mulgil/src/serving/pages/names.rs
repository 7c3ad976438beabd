//! How things are called on pages, and where their pages are.

use mulgil_core::{
    grid::Grid,
    interval::Interval,
    interval_text,
    name::{Instance, Key},
    run::RunState,
    why::Status,
};
use mulgil_web::view::{Link, Mark, Named};

/// The page of a table, or of one instance of a node with keys.
pub(super) fn table_href(instance: &Instance) -> String {
    let page = format!("/tables/{}", encoded(instance.node.as_str()));
    if instance.key.is_empty() {
        page
    } else {
        format!("{page}?keys={}", encoded(&instance.key.to_string()))
    }
}

/// A table, with its page.
pub(super) fn table_link(instance: &Instance) -> Link {
    Link {
        text: instance.to_string(),
        href: Some(table_href(instance)),
    }
}

/// The page of a flow.
pub(super) fn flow_href(flow: &str) -> String {
    format!("/flows/{}", encoded(flow))
}

/// A flow, with its page.
pub(super) fn flow_link(flow: &str) -> Link {
    Link {
        text: flow.to_owned(),
        href: Some(flow_href(flow)),
    }
}

/// The page of a run.
pub(super) fn run_href(run: i64) -> String {
    format!("/runs/{run}")
}

/// A run, with its page.
pub(super) fn run_link(run: i64) -> Link {
    Link {
        text: run.to_string(),
        href: Some(run_href(run)),
    }
}

/// The page of a try of a task.
pub(super) fn attempt_href(run: i64, task: i64, number: u32) -> String {
    format!("/runs/{run}/tasks/{task}/attempts/{number}")
}

/// The page that says why: of `NODE@INTERVAL`, as it is typed.
pub(super) fn why_href(target: &str) -> String {
    format!("/why/{}", encoded(target))
}

/// `NODE@INTERVAL`, as the command line has it.
pub(super) fn target(instance: &Instance, range: Interval, grid: &Grid) -> String {
    format!("{instance}@{}", interval_text::format(range, grid))
}

/// An interval, with its name on its grid.
pub(super) fn named(range: Interval, grid: &Grid) -> Named {
    Named {
        name: interval_text::format(range, grid),
        range,
    }
}

/// A key as an address has it: `country=kr`.
pub(super) fn key(text: &str) -> Option<Key> {
    let instance = Instance::parse(&format!("node[{text}]"))?;
    Some(instance.key)
}

/// How something that stands so is drawn.
pub(super) fn mark(status: &Status) -> Mark {
    match status {
        Status::Running => Mark::Run(RunState::Running),
        Status::Held { .. } => Mark::Held,
        Status::Failed => Mark::Run(RunState::Failed),
        Status::Waiting { .. } => Mark::Waiting,
        Status::Missing => Mark::Missing,
        Status::Stale { .. } => Mark::Stale,
        Status::Untested | Status::Provisional => Mark::Provisional,
        Status::Fresh | Status::Sealed => Mark::Run(RunState::Success),
        Status::Waived => Mark::Waived,
        Status::NotExpected => Mark::NotExpected,
    }
}

/// How much a mark needs somebody: 0 for what stands well.
pub(super) fn gravity(mark: Mark) -> u8 {
    match mark {
        Mark::Run(RunState::Failed | RunState::Crashed | RunState::UpstreamFailed) => 9,
        Mark::Held => 8,
        Mark::Missing => 7,
        Mark::Stale => 6,
        Mark::Retrying => 5,
        Mark::Waiting => 4,
        Mark::Run(RunState::Planned | RunState::Queued | RunState::Running | RunState::Waiting) => 3,
        Mark::Provisional => 2,
        Mark::Waived | Mark::Run(RunState::Cancelled | RunState::Skipped) => 1,
        Mark::Run(RunState::Success) | Mark::NotExpected => 0,
    }
}

/// A part of an address: what could mean something else in it is written `%5B`. An `@` stays, so that
/// addresses can be read.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' | b':' => {
                out.push(char::from(byte));
            }
            other => {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                out.push('%');
                out.push(char::from(DIGITS[usize::from(other >> 4)]));
                out.push(char::from(DIGITS[usize::from(other & 15)]));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_can_be_read_and_means_one_thing() {
        let instance = Instance::parse("sales[country=kr,shop=서울]").unwrap();
        assert_eq!(
            table_href(&instance),
            "/tables/sales?keys=country%3Dkr%2Cshop%3D%EC%84%9C%EC%9A%B8"
        );
        assert_eq!(key("country=kr,shop=서울"), Some(instance.key));
        assert_eq!(
            why_href("flow:daily@2026-11-20T05+09:00"),
            "/why/flow:daily@2026-11-20T05%2B09:00"
        );
        assert_eq!(
            table_href(&Instance::parse("a/../b?c#d").unwrap()),
            "/tables/a%2F..%2Fb%3Fc%23d"
        );
    }
}
