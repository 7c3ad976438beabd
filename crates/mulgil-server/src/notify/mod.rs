//! Notices to webhooks: each is one POST of JSON. What a webhook does never holds anything up: a notice
//! is put into a bounded line and forgotten by who sent it, each webhook has a line of its own, and what
//! does not fit is dropped, counted and told.
//!
//! It follows no redirect to another host, never goes through a proxy, and prints no address beyond its
//! host: the rest is most often a secret.

mod address;
mod lane;
mod notice;
mod post;
mod tls;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    interval::Instant,
    port::Fault,
};
use tokio::sync::watch;

pub use address::WebhookUrl;
pub use notice::{NOTICE_VERSION, Notice, Occasion, Span};
pub use tls::Roots;

use crate::metrics::{self, Metric};
use lane::Lane;

/// What the sending of notices is told.
#[derive(Clone, Debug)]
pub struct NotifyConfig {
    /// The version of the program: webhooks see it as the user agent.
    pub version: String,
    /// The time, now.
    pub clock: fn() -> Instant,
    /// Whether notices may go to this machine itself.
    pub loopback: Loopback,
    /// Ports of this machine that notices never go to: the server's own.
    pub own_ports: Vec<u16>,
    /// Whom https has to be vouched for by.
    pub roots: Roots,
    /// Its bounds.
    pub limits: NotifyLimits,
}

/// Whether notices may go to this machine itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loopback {
    /// They may not.
    Denied,
    /// They may, but not to the server's own ports.
    Allowed,
}

/// The bounds of sending notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotifyLimits {
    /// Webhooks that are known at once.
    pub webhooks: usize,
    /// Notices that wait for one webhook.
    pub waiting: usize,
    /// Tries of one notice.
    pub tries: u32,
    /// Time for all tries of one notice, pauses among it.
    pub in_all: Duration,
    /// Time for one try.
    pub one_try: Duration,
    /// The longest the first pause may be; the pauses are random below a bound that doubles each time.
    pub pause: Duration,
    /// The longest any pause may be.
    pub longest_pause: Duration,
    /// Redirects within one host that are followed.
    pub redirects: u32,
}

impl Default for NotifyLimits {
    fn default() -> Self {
        Self {
            webhooks: 64,
            waiting: 200,
            tries: 6,
            in_all: Duration::from_mins(10),
            one_try: Duration::from_secs(10),
            pause: Duration::from_secs(2),
            longest_pause: Duration::from_mins(2),
            redirects: 3,
        }
    }
}

/// What became of a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The webhook took it.
    Delivered {
        /// The webhook's host.
        host: String,
        /// The notice's id.
        id: String,
        /// Tries that it took.
        tries: u32,
    },
    /// It was given up.
    GaveUp {
        /// The notice's id.
        id: String,
        /// Why.
        fault: Diagnostic,
    },
    /// Notices were dropped; told when their number doubles.
    Dropped {
        /// How many were, to this webhook and since the start.
        dropped: u64,
        /// In words.
        fault: Diagnostic,
    },
}

/// Told what became of notices; called from the lines, must return at once.
pub type Report = Arc<dyn Fn(Delivery) + Send + Sync>;

/// Sends notices. The lines end with the last clone.
#[derive(Clone)]
pub struct Notifier {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<NotifyConfig>,
    report: Report,
    lanes: Mutex<HashMap<String, Lane>>,
    counts: Arc<Tally>,
    /// Told when what waits has one try left.
    hurry: watch::Sender<bool>,
}

/// How notices ended.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    delivered: AtomicU64,
    gave_up: AtomicU64,
    dropped: AtomicU64,
}

impl Notifier {
    /// Nothing is read or connected before the first notice.
    pub fn new(config: NotifyConfig, report: Report) -> Self {
        let inner = Inner {
            config: Arc::new(config),
            report,
            lanes: Mutex::default(),
            counts: Arc::default(),
            hurry: watch::Sender::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Puts a notice into the line of a webhook. Never waits, never fails: what becomes of it is told to
    /// the report. Has to be called inside the runtime.
    pub fn send(&self, webhook: &WebhookUrl, notice: Notice) {
        let dropped = {
            let mut lanes = self.lanes();
            match self.lane(&mut lanes, webhook) {
                Some(lane) => lane.put(notice).err(),
                None => Some(1),
            }
        };
        if let Some(dropped) = dropped {
            self.inner.counts.dropped.fetch_add(1, Ordering::Relaxed);
            if dropped.is_power_of_two() {
                let fault = *self.dropped(webhook, dropped);
                (self.inner.report)(Delivery::Dropped { dropped, fault });
            }
        }
    }

    /// Has all lines try what waits once more without a pause, and waits for that within a bound. Gives
    /// the number of notices that were not delivered by then.
    pub async fn finish(self, within: Duration) -> usize {
        self.inner.hurry.send_replace(true);
        let lanes: Vec<Lane> = self.lanes().drain().map(|(_, lane)| lane).collect();
        let until = tokio::time::Instant::now() + within;
        let mut left = 0;
        for lane in lanes {
            left += lane.finish(until).await;
        }
        left
    }

    /// What to measure of it.
    pub fn metrics(&self) -> Metric {
        let counts = &self.inner.counts;
        let of = |word: &str, count: &AtomicU64| (vec![word.to_owned()], count.load(Ordering::Relaxed) as f64);
        Metric::with(
            &metrics::NOTICES,
            [
                of("delivered", &counts.delivered),
                of("gave_up", &counts.gave_up),
                of("dropped", &counts.dropped),
            ],
        )
    }

    /// The webhook's line; a new one where there is room, for which one that is empty is closed.
    fn lane<'a>(&self, lanes: &'a mut HashMap<String, Lane>, webhook: &WebhookUrl) -> Option<&'a Lane> {
        let key = webhook.secret();
        if !lanes.contains_key(key) {
            if lanes.len() >= self.inner.config.limits.webhooks {
                lanes.retain(|_, lane| !lane.is_empty());
            }
            if lanes.len() >= self.inner.config.limits.webhooks {
                return None;
            }
            let lane = Lane::open(
                webhook.clone(),
                Arc::clone(&self.inner.config),
                Arc::clone(&self.inner.report),
                Arc::clone(&self.inner.counts),
                self.inner.hurry.subscribe(),
            );
            lanes.insert(key.to_owned(), lane);
        }
        lanes.get(key)
    }

    fn dropped(&self, webhook: &WebhookUrl, dropped: u64) -> Fault {
        let waiting = self.inner.config.limits.waiting;
        let fault = Diagnostic::warning(
            codes::NOTICES_DROPPED,
            format!("{dropped} notices to {webhook} were dropped, because {waiting} wait for it already"),
        );
        Box::new(
            fault
                .with_remedy("look why the webhook does not take them; what was dropped is not sent again")
                .with_retry(Retry::Never),
        )
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<String, Lane>> {
        self.inner.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
