//! Measurements, as Prometheus reads them. What is measured is a fixed list with fixed label names, so
//! that nobody makes a series for each run by accident; how many series a family has is bounded too.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
};

use axum::http::StatusCode;
use mulgil_core::{codes, diagnostic::Code};

/// Series of one family at most; the rest is left out and counted.
pub const SERIES: usize = 200;
/// Characters of a label's value at most.
pub const LABEL_CHARS: usize = 128;

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often values were how large.
    Histogram,
}

/// Something that is measured.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name, from `mulgil_`.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub help: &'static str,
    /// What kind of number.
    pub kind: Kind,
    /// The names of its labels: of few values each, never an id.
    pub labels: &'static [&'static str],
}

/// A family as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Which.
    pub family: &'static Family,
    /// Its series.
    pub series: Vec<Series>,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The values of the family's labels, in their order.
    pub labels: Vec<String>,
    /// How it stands.
    pub value: Value,
}

/// How a series stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// For a histogram.
    Buckets {
        /// Upper bounds with the number of values in that bucket alone, growing; what is above the last
        /// is in `count` only.
        buckets: Vec<(f64, u64)>,
        /// All values added up.
        sum: f64,
        /// All values.
        count: u64,
    },
}

impl Metric {
    /// A family of one series without labels.
    pub fn of(family: &'static Family, value: f64) -> Self {
        let series = vec![Series {
            labels: Vec::new(),
            value: Value::Number(value),
        }];
        Self { family, series }
    }

    /// A family with labels.
    pub fn with(family: &'static Family, series: impl IntoIterator<Item = (Vec<String>, f64)>) -> Self {
        let series = series.into_iter().map(|(labels, value)| Series {
            labels,
            value: Value::Number(value),
        });
        Self {
            family,
            series: series.collect(),
        }
    }
}

macro_rules! families {
    ($($name:ident = $text:literal, $kind:ident, [$($label:literal),*], $help:literal;)*) => {
        $(#[doc = $help] pub static $name: Family = Family {
            name: $text, help: $help, kind: Kind::$kind, labels: &[$($label),*],
        };)*
        /// Every family.
        pub static FAMILIES: &[&Family] = &[$(&$name),*];
    };
}

families! {
    SCHEDULER_HEARTBEAT_AGE = "mulgil_scheduler_heartbeat_age_seconds", Gauge, [], "Seconds since the scheduler went through its loop.";
    SCHEDULE_LAG = "mulgil_schedule_lag_seconds", Gauge, [], "Seconds by which the last tick came too late.";
    SCHEDULE_MISSED = "mulgil_schedule_missed_total", Counter, [], "Ticks that nobody was there for.";
    QUEUE_DEPTH = "mulgil_queue_depth", Gauge, ["pool"], "Attempts that wait for a slot.";
    CLAIM = "mulgil_claim_seconds", Histogram, [], "Seconds from ready to claimed.";
    ATTEMPTS = "mulgil_attempts_total", Counter, ["state", "reason"], "Attempts that ended, by how.";
    LEASE_LOST = "mulgil_lease_lost_total", Counter, [], "Leases that ran out with work in hand.";
    FENCED_WRITES = "mulgil_fenced_writes_total", Counter, [], "Writes that were refused because a newer claim exists.";
    DB_TX = "mulgil_db_tx_seconds", Histogram, [], "Seconds that a transaction of the ledger takes.";
    DB_POOL_WAIT = "mulgil_db_pool_wait_seconds", Histogram, [], "Seconds that a transaction waits for a connection.";
    LOG_TRUNCATED = "mulgil_log_truncated_total", Counter, [], "Logs that were cut at their bound.";
    MASKED = "mulgil_masked_total", Counter, [], "Secrets that were masked in logs.";
    QUERY_MEMORY = "mulgil_query_memory_bytes", Gauge, [], "Bytes of memory that queries hold.";
    SPILL = "mulgil_spill_bytes", Gauge, [], "Bytes that queries have on disk.";
    BACKUP_AGE = "mulgil_backup_age_seconds", Gauge, [], "Seconds since the last backup.";
    AUTH_FAILURES = "mulgil_auth_failures_total", Counter, [], "Requests without the token, or with a wrong one.";
    FOREIGN_REQUESTS = "mulgil_foreign_requests_total", Counter, [], "Requests through a name or a page of somebody else.";
    HTTP_RESPONSES = "mulgil_http_responses_total", Counter, ["class"], "Answers of the server, by the class of their status.";
    HTTP_CONNECTIONS = "mulgil_http_connections", Gauge, [], "Connections that are open.";
    HTTP_TURNED_AWAY = "mulgil_http_turned_away_total", Counter, [], "Connections that were closed because there were too many.";
    NOTICES = "mulgil_notices_total", Counter, ["result"], "Notices to webhooks, by how they ended.";
    SERIES_LEFT_OUT = "mulgil_series_left_out", Gauge, [], "Series that were left out because a family had too many.";
}

/// Writes measurements in the text format 0.0.4. A family comes once; a series whose labels are not
/// those of its family is left out and counted, as is what is too many.
pub fn text(metrics: &[Metric]) -> String {
    let mut out = String::new();
    let mut left_out = 0;
    for family in FAMILIES {
        let series = metrics
            .iter()
            .filter(|metric| metric.family == *family)
            .flat_map(|metric| &metric.series);
        let (fitting, odd): (Vec<&Series>, Vec<&Series>) =
            series.partition(|series| series.labels.len() == family.labels.len());
        left_out += odd.len() + fitting.len().saturating_sub(SERIES);
        if !fitting.is_empty() {
            write_family(&mut out, family, &fitting);
        }
    }
    let left_out = Metric::of(&SERIES_LEFT_OUT, left_out as f64);
    write_family(&mut out, left_out.family, &left_out.series.iter().collect::<Vec<_>>());
    out
}

fn write_family(out: &mut String, family: &Family, series: &[&Series]) {
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let name = family.name;
    let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for series in series.iter().take(SERIES) {
        let labels: Vec<String> = family
            .labels
            .iter()
            .zip(&series.labels)
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        match &series.value {
            Value::Number(number) => write_sample(out, name, "", &labels, *number),
            Value::Buckets { buckets, sum, count } => {
                write_buckets(out, name, &labels, buckets, *count);
                write_sample(out, name, "_sum", &labels, *sum);
                write_sample(out, name, "_count", &labels, *count as f64);
            }
        }
    }
}

fn write_buckets(out: &mut String, name: &str, labels: &[String], buckets: &[(f64, u64)], count: u64) {
    let mut below = 0;
    for (bound, values) in buckets {
        below += values;
        let labels = [labels, &[format!("le=\"{}\"", number(*bound))]].concat();
        write_sample(out, name, "_bucket", &labels, below as f64);
    }
    let labels = [labels, &["le=\"+Inf\"".to_owned()]].concat();
    write_sample(out, name, "_bucket", &labels, count as f64);
}

fn write_sample(out: &mut String, name: &str, suffix: &str, labels: &[String], value: f64) {
    let labels = if labels.is_empty() {
        String::new()
    } else {
        format!("{{{}}}", labels.join(","))
    };
    let _ = writeln!(out, "{name}{suffix}{labels} {}", number(value));
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        format!("{value}")
    }
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for char in value.chars().take(LABEL_CHARS) {
        match char {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text
}

/// What the server counts of itself.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// By the first digit of the status, from 1.
    classes: [AtomicU64; 5],
    auth_failures: AtomicU64,
    foreign: AtomicU64,
    turned_away: AtomicU64,
    connections: AtomicU64,
}

impl Counts {
    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.classes[class].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, code: Code) {
        if code == codes::NO_TOKEN {
            self.auth_failures.fetch_add(1, Ordering::Relaxed);
        } else {
            self.foreign.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connections(&self, count: usize) {
        self.connections.store(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed) as f64;
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(&self.classes);
        vec![
            Metric::of(&AUTH_FAILURES, of(&self.auth_failures)),
            Metric::of(&FOREIGN_REQUESTS, of(&self.foreign)),
            Metric::with(
                &HTTP_RESPONSES,
                classes.map(|(class, count)| (vec![class.to_owned()], of(count))),
            ),
            Metric::of(&HTTP_CONNECTIONS, of(&self.connections)),
            Metric::of(&HTTP_TURNED_AWAY, of(&self.turned_away)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_that_prometheus_takes() {
        for family in FAMILIES {
            let name = family.name.strip_prefix("mulgil_").unwrap();
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{name}"
            );
            assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
            assert!(
                !family.labels.contains(&"le") && !family.labels.contains(&"run"),
                "{name}"
            );
            assert_eq!(FAMILIES.iter().filter(|other| other.name == family.name).count(), 1);
        }
    }

    #[test]
    fn labels_are_escaped_and_families_stand_together() {
        let metrics = [
            Metric::with(&QUEUE_DEPTH, [(vec!["a\"b\\c\nd".to_owned()], 2.0)]),
            Metric::of(&SCHEDULE_LAG, 0.5),
            Metric::with(&QUEUE_DEPTH, [(vec!["default".to_owned()], f64::INFINITY)]),
        ];
        assert_eq!(
            text(&metrics),
            "# HELP mulgil_schedule_lag_seconds Seconds by which the last tick came too late.\n\
             # TYPE mulgil_schedule_lag_seconds gauge\n\
             mulgil_schedule_lag_seconds 0.5\n\
             # HELP mulgil_queue_depth Attempts that wait for a slot.\n\
             # TYPE mulgil_queue_depth gauge\n\
             mulgil_queue_depth{pool=\"a\\\"b\\\\c\\nd\"} 2\n\
             mulgil_queue_depth{pool=\"default\"} +Inf\n\
             # HELP mulgil_series_left_out Series that were left out because a family had too many.\n\
             # TYPE mulgil_series_left_out gauge\n\
             mulgil_series_left_out 0\n"
        );
    }

    #[test]
    fn a_histogram_adds_its_buckets_up() {
        let series = Series {
            labels: Vec::new(),
            value: Value::Buckets {
                buckets: vec![(0.005, 3), (0.025, 2)],
                sum: 1.5,
                count: 6,
            },
        };
        let metric = Metric {
            family: &CLAIM,
            series: vec![series],
        };
        let text = text(&[metric]);
        assert!(
            text.contains(
                "mulgil_claim_seconds_bucket{le=\"0.005\"} 3\n\
                 mulgil_claim_seconds_bucket{le=\"0.025\"} 5\n\
                 mulgil_claim_seconds_bucket{le=\"+Inf\"} 6\n\
                 mulgil_claim_seconds_sum 1.5\n\
                 mulgil_claim_seconds_count 6\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_is_too_much_is_left_out_and_counted() {
        let many = (0..SERIES + 7).map(|pool| (vec![format!("{pool}")], 1.0));
        let odd = Metric::with(&QUEUE_DEPTH, [(Vec::new(), 1.0)]);
        let long = Metric::with(&ATTEMPTS, [(vec!["x".repeat(500), String::new()], 1.0)]);
        let text = text(&[Metric::with(&QUEUE_DEPTH, many), odd, long]);
        assert_eq!(
            text.lines()
                .filter(|line| line.starts_with("mulgil_queue_depth{"))
                .count(),
            SERIES
        );
        assert!(text.ends_with("mulgil_series_left_out 8\n"), "{text}");
        assert!(text.contains(&format!("state=\"{}\",reason", "x".repeat(LABEL_CHARS))));
    }
}
