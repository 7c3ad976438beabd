//! Who is told how runs of flows ended, by webhooks.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mulgil_core::{
    flow::{Channel, Flow},
    interval::{Instant, Interval},
    interval_text,
    port::Fault,
    project::{Fingerprint, Project},
    run::RunState,
};
use mulgil_scheduler::service::Happening;
use mulgil_server::{
    metrics::Metric,
    notify::{
        Delivery, Loopback, NOTICE_VERSION, Notice, Notifier, NotifyConfig, NotifyLimits, Occasion, Roots, Span,
        WebhookUrl,
    },
};

use super::{timestamp, warn};
use crate::wire::{self, Opened};

/// Sends notices to the webhooks of a project.
#[derive(Clone)]
pub(crate) struct Notices {
    project: Arc<Project>,
    webhooks: Arc<BTreeMap<String, WebhookUrl>>,
    notifier: Notifier,
}

impl Notices {
    /// `port` is the server's own: no notice goes there.
    pub(crate) fn new(opened: &Opened, port: u16) -> Result<Self, Fault> {
        let mut webhooks = BTreeMap::new();
        for (name, webhook) in &opened.project.webhooks {
            let url = WebhookUrl::parse(&webhook.url).map_err(|fault| Box::new(fault.at(webhook.place.clone())))?;
            webhooks.insert(name.clone(), url);
        }
        let config = NotifyConfig {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            clock: wire::now,
            // Who writes the project may name what listens on this machine.
            loopback: Loopback::Allowed,
            own_ports: vec![port],
            roots: Roots::System,
            limits: NotifyLimits::default(),
        };
        let report = |delivery: Delivery| match delivery {
            Delivery::Delivered { .. } => {}
            Delivery::GaveUp { fault, .. } | Delivery::Dropped { fault, .. } => warn(&fault),
        };
        Ok(Self {
            project: Arc::clone(&opened.project),
            webhooks: Arc::new(webhooks),
            notifier: Notifier::new(config, Arc::new(report)),
        })
    }

    /// Tells those whom a flow names.
    pub(crate) fn tell(&self, what: &Happening) {
        match what {
            Happening::Late {
                run,
                flow,
                scheduled_at,
                started_at,
                interval,
            } => {
                let told = Told {
                    run: *run,
                    flow,
                    interval: *interval,
                    scheduled_at: *scheduled_at,
                    started_at: *started_at,
                    state: RunState::Running,
                    failed: None,
                };
                self.send(Occasion::Deadline, &flow.notify.on_failure, &told);
            }
            Happening::RunEnded {
                run,
                flow,
                scheduled_at,
                started_at,
                interval,
                state,
                before,
                faults,
            } => {
                let failed = faults.iter().next().map(|(step, fault)| (step.as_str(), fault));
                let told = Told {
                    run: *run,
                    flow,
                    interval: *interval,
                    scheduled_at: *scheduled_at,
                    started_at: *started_at,
                    state: *state,
                    failed: failed.filter(|_| *state != RunState::Success),
                };
                match state {
                    RunState::Success => {
                        self.send(Occasion::Success, &flow.notify.on_success, &told);
                        if matches!(before, Some(RunState::Failed | RunState::Crashed)) {
                            self.send(Occasion::Recovery, &flow.notify.on_recovery, &told);
                        }
                    }
                    RunState::Failed | RunState::Crashed => {
                        self.send(Occasion::Failure, &flow.notify.on_failure, &told);
                    }
                    RunState::Planned
                    | RunState::Queued
                    | RunState::Running
                    | RunState::Waiting
                    | RunState::Cancelled
                    | RunState::Skipped
                    | RunState::UpstreamFailed => {}
                }
            }
            Happening::Ticked { .. }
            | Happening::RunBegan { .. }
            | Happening::StepBegan { .. }
            | Happening::StepEnded { .. }
            | Happening::LedgerFailed { .. } => {}
        }
    }

    fn send(&self, occasion: Occasion, channels: &[Channel], told: &Told<'_>) {
        for Channel::Webhook(name) in channels {
            if let Some(webhook) = self.webhooks.get(name) {
                self.notifier.send(webhook, self.notice(occasion, told));
            }
        }
    }

    fn notice(&self, event: Occasion, told: &Told<'_>) -> Notice {
        let Told { run, flow, state, .. } = told;
        let message = match (event, told.failed) {
            (Occasion::Deadline, _) => format!("run {run} of {} is not done by its deadline", flow.name),
            (_, Some((step, fault))) => format!(
                "run {run} of {} {}: {step}: {}",
                flow.name,
                state.as_str(),
                fault.message
            ),
            (_, None) => format!("run {run} of {}: {}", flow.name, state.as_str()),
        };
        let id = Fingerprint::of([
            self.project.name.as_bytes(),
            self.project.environment.as_bytes(),
            run.to_le_bytes().as_slice(),
            event.as_str().as_bytes(),
        ]);
        Notice {
            version: NOTICE_VERSION,
            id: id.to_string(),
            event,
            project: self.project.name.clone(),
            environment: self.project.environment.clone(),
            flow: Some(flow.name.clone()),
            run: Some(*run),
            interval: span(flow, told.interval),
            scheduled_at: told.scheduled_at.map(timestamp),
            started_at: Some(timestamp(told.started_at)),
            ended_at: state.is_terminal().then(|| timestamp(wire::now())),
            state: *state,
            step: told.failed.map(|(step, _)| step.to_owned()),
            code: told.failed.map(|(_, fault)| fault.code.to_string()),
            message,
            link: None,
        }
    }

    /// What to measure of them.
    pub(crate) fn metrics(&self) -> Metric {
        self.notifier.metrics()
    }

    /// Sends what waits, within a bound; gives how many notices were left.
    pub(crate) async fn finish(self, within: Duration) -> usize {
        self.notifier.finish(within).await
    }
}

/// A run, as a notice tells of it.
struct Told<'a> {
    run: i64,
    flow: &'a Flow,
    interval: Interval,
    scheduled_at: Option<Instant>,
    started_at: Instant,
    state: RunState,
    failed: Option<(&'a str, &'a Fault)>,
}

fn span(flow: &Flow, interval: Interval) -> Option<Span> {
    if !flow.grid.is_cut() {
        return None;
    }
    let at = |at: Instant| interval_text::format_instant(at, &flow.grid.zone);
    Some(Span {
        start: at(interval.start),
        end: at(interval.end),
    })
}
