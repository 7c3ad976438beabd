//! A table's size over time: a line, and the same as a table.

use std::fmt::Write as _;

use maud::{Markup, html};
use mulgil_core::interval::Instant;

use crate::{number, text::table as words, time::Clock};

/// Points that a page draws.
const POINTS_SHOWN: usize = 120;
/// Lines of the twin: the newest.
const LINES_SHOWN: usize = 30;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 96.0;

/// The chart; nothing where there is no more than one size.
pub(super) fn sizes(sizes: &[(Instant, u64)], clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    let sizes = &sizes[sizes.len().saturating_sub(POINTS_SHOWN)..];
    let (Some(first), Some(last)) = (sizes.first(), sizes.last()) else {
        return html! {};
    };
    if sizes.len() < 2 {
        return html! {};
    }
    let most = sizes.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    let told = words::sizes(&number::bytes(first.1), &number::bytes(last.1), &number::bytes(most), language);
    html! {
        section .part {
            h2 { (words::SIZES.of(language)) }
            figure .chart {
                (line(sizes, most, &told))
                figcaption {
                    span .muted { (clock.minute(first.0)) }
                    span { (told) }
                    span .muted { (clock.minute(last.0)) }
                }
            }
            details .twin {
                summary { (words::AS_TABLE.of(language)) }
                table {
                    thead { tr { th scope="col" { (words::AT.of(language)) } th .num scope="col" { (words::SIZE.of(language)) } } }
                    tbody { @for (at, bytes) in sizes.iter().rev().take(LINES_SHOWN) {
                        tr { th scope="row" { (clock.minute(*at)) } td .num { (number::bytes(*bytes)) } }
                    } }
                }
            }
        }
    }
}

fn line(sizes: &[(Instant, u64)], most: u64, told: &str) -> Markup {
    let path = steps(sizes, most);
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT + 2.0) } role="img" aria-label=(told) preserveAspectRatio="none" {
            path .chart-area d={ (path) "V" (HEIGHT) "H0Z" } {}
            path .chart-line d=(path) {}
            path .chart-base d={ "M0 " (HEIGHT) "H" (WIDTH) } {}
        }
    }
}

/// A table keeps its size until it changes: steps, no slopes.
fn steps(sizes: &[(Instant, u64)], most: u64) -> String {
    let start = sizes.first().map_or(0, |(at, _)| at.0);
    let span = sizes.last().map_or(1, |(at, _)| at.0.saturating_sub(start)).max(1) as f64;
    let mut path = String::new();
    for (place, (at, bytes)) in sizes.iter().enumerate() {
        let x = at.0.saturating_sub(start) as f64 / span * WIDTH;
        let y = HEIGHT - *bytes as f64 / most.max(1) as f64 * (HEIGHT - 4.0);
        let _ = if place == 0 { write!(path, "M{x:.1} {y:.1}") } else { write!(path, "H{x:.1}V{y:.1}") };
    }
    path
}

#[cfg(test)]
mod tests {
    use mulgil_core::interval::Instant;

    use super::steps;

    #[test]
    fn a_size_holds_until_the_next() {
        let sizes = [(Instant(0), 10), (Instant(50), 20), (Instant(100), 0)];
        assert_eq!(steps(&sizes, 20), "M0.0 50.0H320.0V4.0H640.0V96.0");
        assert_eq!(steps(&[(Instant(5), 0), (Instant(5), 0)], 0), "M0.0 96.0H0.0V96.0");
    }
}
