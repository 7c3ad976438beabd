//! By when a run has to be done, and who is told how it ended.

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    flow::{After, Channel, Deadline, Late},
};

use super::{
    at,
    file::{FlowFile, not_yet},
};
use crate::yaml::{self, Node, Value};

/// What a deadline says.
pub(crate) const DEADLINE_KEYS: &[&str] = &["after", "within", "then"];

impl FlowFile<'_> {
    pub(super) fn deadline(&mut self, node: Option<&Node>) -> Option<Deadline> {
        let node = node.filter(|node| !matches!(node.value, Value::Null))?;
        let told = self.faults.len();
        let entries = yaml::map(self.file, node, "`deadline`", self.faults);
        yaml::check_keys(self.file, entries, DEADLINE_KEYS, "`deadline`", self.faults);
        let layer = self.layer(entries);
        if let Some(setting) = layer.get("after").filter(|setting| setting.value == "clock") {
            self.faults.push(
                not_yet(
                    "a deadline at a time of the clock is not done yet",
                    setting.place.clone(),
                )
                .with_remedy("write `after: scheduled` and how long after that"),
            );
            return None;
        }
        let words = [
            ("scheduled", After::Scheduled),
            ("queued", After::Queued),
            ("started", After::Started),
        ];
        let after = self.word(&layer, "after", &words).unwrap_or(After::Scheduled);
        let words = [("notify", Late::Notify), ("cancel", Late::Cancel)];
        let then = self.word(&layer, "then", &words).unwrap_or_default();
        let within_us = self.span(&layer, "within");
        if within_us.is_none() && self.faults.len() == told {
            self.faults.push(
                Diagnostic::error(codes::MISSING_KEY, "a deadline has to say how long a run may take")
                    .at(at(node, self.file))
                    .with_remedy("add `within: 2h`"),
            );
        }
        Some(Deadline {
            after,
            within_us: within_us?,
            then,
        })
    }

    pub(super) fn channels(&mut self, node: Option<&Node>, placed: &mut Vec<(Channel, Place)>) -> Vec<Channel> {
        let items: &[Node] = match node {
            None => &[],
            Some(Node {
                value: Value::List(items),
                ..
            }) => items,
            Some(one) => std::slice::from_ref(one),
        };
        let mut channels = Vec::new();
        for item in items.iter().filter(|item| !matches!(item.value, Value::Null)) {
            let Some(word) = yaml::text(self.file, item, "a channel", self.faults) else {
                continue;
            };
            let place = at(item, self.file);
            match channel(&word) {
                Ok(channel) => {
                    placed.push((channel.clone(), place));
                    channels.push(channel);
                }
                Err(fault) => self.faults.push(fault.at(place)),
            }
        }
        channels
    }
}

/// A channel, or why a word is none.
fn channel(word: &str) -> Result<Channel, Diagnostic> {
    match word.split_once(':') {
        Some(("webhook", name)) => Ok(Channel::Webhook(name.trim().to_owned())),
        Some((kind @ ("slack" | "email"), name)) => Err(Diagnostic::error(
            codes::FLOW_NOT_YET,
            format!("`{kind}:` is not done yet: only webhooks are called"),
        )
        .with_remedy(format!(
            "write `webhook:{}` and declare it under `notifications:` in `mulgil.yml`",
            name.trim()
        ))),
        Some(_) | None => Err(Diagnostic::error(codes::BAD_VALUE, format!("`{word}` is no channel"))
            .with_remedy("write `webhook:NAME`, with the name of a webhook under `notifications:` in `mulgil.yml`")),
    }
}
