//! The line of one webhook: its notices one after the other, each tried within bounds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

use super::{
    Delivery, Notice, NotifyConfig, NotifyLimits, Report, Tally, WebhookUrl,
    post::{Failed, Letter, Poster},
};
use mulgil_core::diagnostic::Retry;

/// Where notices for one webhook wait.
pub(super) struct Lane {
    line: mpsc::Sender<Notice>,
    worker: JoinHandle<()>,
    /// Notices that are neither delivered nor given up.
    pending: Arc<AtomicUsize>,
    dropped: AtomicU64,
}

impl Lane {
    /// Opens a line and has it worked off.
    pub(super) fn open(
        webhook: WebhookUrl,
        config: Arc<NotifyConfig>,
        report: Report,
        counts: Arc<Tally>,
        hurry: watch::Receiver<bool>,
    ) -> Self {
        let (line, notices) = mpsc::channel(config.limits.waiting.max(1));
        let pending = Arc::new(AtomicUsize::new(0));
        let worker = Worker {
            host: webhook.host(),
            limits: config.limits,
            poster: Poster::new(webhook, config),
            report,
            counts,
            pending: Arc::clone(&pending),
            hurry,
            is_down: false,
        };
        Self {
            line,
            worker: tokio::spawn(worker.work(notices)),
            pending,
            dropped: AtomicU64::new(0),
        }
    }

    /// Puts a notice at the end, or says how many have been dropped, this one among them.
    pub(super) fn put(&self, notice: Notice) -> Result<(), u64> {
        self.pending.fetch_add(1, Ordering::SeqCst);
        self.line.try_send(notice).map_err(|_| {
            self.pending.fetch_sub(1, Ordering::SeqCst);
            self.dropped.fetch_add(1, Ordering::SeqCst) + 1
        })
    }

    /// Whether nothing waits and nothing is being sent.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.load(Ordering::SeqCst) == 0
    }

    /// Takes nothing more and works off what waits, until a moment; gives what is left then.
    pub(super) async fn finish(self, until: Instant) -> usize {
        let Self {
            line,
            mut worker,
            pending,
            ..
        } = self;
        drop(line);
        if tokio::time::timeout_at(until, &mut worker).await.is_err() {
            worker.abort();
        }
        pending.load(Ordering::SeqCst)
    }
}

/// What works a line off; it ends with the line.
struct Worker {
    host: String,
    limits: NotifyLimits,
    poster: Poster,
    report: Report,
    counts: Arc<Tally>,
    pending: Arc<AtomicUsize>,
    hurry: watch::Receiver<bool>,
    /// Whether the last notice was given up: then the next ones are tried once, until one is taken.
    is_down: bool,
}

impl Worker {
    async fn work(mut self, mut notices: mpsc::Receiver<Notice>) {
        while let Some(notice) = notices.recv().await {
            let delivery = self.deliver(notice).await;
            let count = match &delivery {
                Delivery::Delivered { .. } => &self.counts.delivered,
                Delivery::GaveUp { .. } | Delivery::Dropped { .. } => &self.counts.gave_up,
            };
            count.fetch_add(1, Ordering::Relaxed);
            self.pending.fetch_sub(1, Ordering::SeqCst);
            (self.report)(delivery);
        }
    }

    async fn deliver(&mut self, notice: Notice) -> Delivery {
        let letter = Letter {
            event: notice.event.as_str(),
            body: Bytes::from(serde_json::to_vec(&notice).unwrap_or_default()),
            id: notice.id,
        };
        let until = Instant::now() + self.limits.in_all;
        let mut tries = 0;
        loop {
            tries += 1;
            let failed = match self.poster.post(&letter).await {
                Ok(()) => {
                    self.is_down = false;
                    let host = self.host.clone();
                    let id = letter.id;
                    return Delivery::Delivered { host, id, tries };
                }
                Err(failed) => failed,
            };
            let pause = self.pause(&letter.id, tries, &failed);
            let is_last = self.is_down || tries >= self.limits.tries || self.is_in_hurry();
            if is_last || failed.fault.retry != Retry::Later || Instant::now() + pause >= until {
                self.is_down = true;
                let mut fault = *failed.fault;
                fault.message = format!("{}; the notice was given up after {}", fault.message, times(tries));
                return Delivery::GaveUp { id: letter.id, fault };
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // One try is left then; where nobody can hurry any more, the line is over.
                _ = self.hurry.wait_for(|hurry| *hurry) => {}
            }
        }
    }

    /// Whether what waits has one try left: somebody said so, or the sender of notices is gone.
    fn is_in_hurry(&self) -> bool {
        *self.hurry.borrow() || self.hurry.has_changed().is_err()
    }

    /// What the webhook asks for, else something random below a bound that doubles with each try. The
    /// randomness is the notice's own, so that a hundred notices do not come back together.
    fn pause(&self, id: &str, tries: u32, failed: &Failed) -> Duration {
        if let Some(after) = failed.after {
            return after;
        }
        let bound = self.limits.pause.saturating_mul(1 << tries.saturating_sub(1).min(16));
        let bound = bound.min(self.limits.longest_pause);
        let hash = blake3::hash(format!("{id} {tries}").as_bytes());
        let mut digits = [0; 4];
        digits.copy_from_slice(&hash.as_bytes()[..4]);
        bound.mul_f64(f64::from(u32::from_be_bytes(digits)) / f64::from(u32::MAX))
    }
}

fn times(tries: u32) -> String {
    match tries {
        1 => "one try".to_owned(),
        many => format!("{many} tries"),
    }
}
