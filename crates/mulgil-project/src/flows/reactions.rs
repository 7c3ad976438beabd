//! By when a run has to be done, and who is told how it ended.

use jiff::civil::Time;
use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    flow::{After, By, Channel, Deadline, Late},
    grid::Zone,
};

use super::{at, file::FlowFile};
use crate::{
    config::Layer,
    yaml::{self, Node, Value},
};

/// What a deadline says.
pub(crate) const DEADLINE_KEYS: &[&str] = &["after", "within", "at", "timezone", "then"];

impl FlowFile<'_> {
    pub(super) fn deadline(&mut self, node: Option<&Node>, zone: &Zone) -> Option<Deadline> {
        let node = node.filter(|node| !matches!(node.value, Value::Null))?;
        let told = self.faults.len();
        let entries = yaml::map(self.file, node, "`deadline`", self.faults);
        yaml::check_keys(self.file, entries, DEADLINE_KEYS, "`deadline`", self.faults);
        let layer = self.layer(entries);
        let words = [("notify", Late::Notify), ("cancel", Late::Cancel)];
        let then = self.word(&layer, "then", &words).unwrap_or_default();
        let is_clock = layer.get("after").is_some_and(|setting| setting.value == "clock") || layer.contains_key("at");
        let by = if is_clock {
            self.by_clock(&layer, zone, node, told)?
        } else {
            self.within(&layer, node, told)?
        };
        Some(Deadline { by, then })
    }

    /// A time after something.
    fn within(&mut self, layer: &Layer, node: &Node, told: usize) -> Option<By> {
        let words = [
            ("scheduled", After::Scheduled),
            ("queued", After::Queued),
            ("started", After::Started),
        ];
        let after = self.word(layer, "after", &words).unwrap_or(After::Scheduled);
        let within_us = self.span(layer, "within");
        if within_us.is_none() && self.faults.len() == told {
            self.faults.push(
                Diagnostic::error(codes::MISSING_KEY, "a deadline has to say how long a run may take")
                    .at(at(node, self.file))
                    .with_remedy("add `within: 2h`, or `at: '07:30'` for a time of the clock"),
            );
        }
        Some(By::Within {
            after,
            within_us: within_us?,
        })
    }

    /// A time of the clock.
    fn by_clock(&mut self, layer: &Layer, zone: &Zone, node: &Node, told: usize) -> Option<By> {
        if let Some(setting) = layer.get("within") {
            self.faults.push(
                Diagnostic::error(
                    codes::BAD_VALUE,
                    "a deadline is a time of the clock or a span, and this one is both",
                )
                .at(setting.place.clone())
                .with_remedy(
                    "write `within` with `after: scheduled`, `queued` or `started`, or `at` with `after: clock`",
                ),
            );
            return None;
        }
        let words = [("clock", ())];
        self.word(layer, "after", &words);
        let timezone = self.settings(layer).zone("timezone").unwrap_or_else(|| zone.clone());
        let Some(setting) = layer.get("at").filter(|setting| !setting.value.is_null()) else {
            if self.faults.len() == told {
                self.faults.push(
                    Diagnostic::error(codes::MISSING_KEY, "a deadline by the clock has to say at which time")
                        .at(at(node, self.file))
                        .with_remedy("add `at: '07:30'`"),
                );
            }
            return None;
        };
        let time = setting
            .value
            .as_str()
            .and_then(|text| Time::strptime("%H:%M", text).ok());
        match time {
            Some(at) => Some(By::Clock { at, timezone }),
            None => self
                .settings(layer)
                .bad("at", setting, "write the hour and the minute in quotes: `'07:30'`"),
        }
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
