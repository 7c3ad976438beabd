//! `notifications:` of `mulgil.yml`: the webhooks that flows can call. Their URLs may be templates, because they
//! are secrets.

use std::{collections::BTreeMap, path::Path};

use mulgil_core::{codes, diagnostic::Diagnostic, flow::Webhook};

use super::{at, bad_name};
use crate::{
    files::MANIFEST,
    rendered,
    template::Templates,
    yaml::{self, Entry, Node},
};

/// What `notifications:` may hold; only the first is done.
pub(crate) const WORDS: &[&str] = &["webhook", "slack", "email"];
/// What a webhook says.
pub(crate) const WEBHOOK_KEYS: &[&str] = &["url"];

/// Reads the webhooks.
pub(super) fn read(tree: &Node, templates: &Templates, faults: &mut Vec<Diagnostic>) -> BTreeMap<String, Webhook> {
    let file = Path::new(MANIFEST);
    let kinds = yaml::map(file, tree, "`notifications`", faults);
    yaml::check_keys(file, kinds, WORDS, "`notifications`", faults);
    for kind in kinds.iter().filter(|kind| WORDS[1..].contains(&kind.key.as_str())) {
        faults.push(
            Diagnostic::warning(
                codes::FLOW_NOT_YET,
                format!(
                    "`{}` of `notifications` has no effect yet: only webhooks are called",
                    kind.key
                ),
            )
            .at(kind.spot.of(file))
            .with_remedy("use `webhook: {NAME: {url: …}}`; Slack takes one too"),
        );
    }
    let Some(webhooks) = tree.get("webhook") else {
        return BTreeMap::new();
    };
    let entries = yaml::map(file, webhooks, "`webhook`", faults);
    entries
        .iter()
        .filter_map(|entry| Some((entry.key.clone(), webhook(file, entry, templates, faults)?)))
        .collect()
}

fn webhook(file: &Path, entry: &Entry, templates: &Templates, faults: &mut Vec<Diagnostic>) -> Option<Webhook> {
    let what = format!("the webhook `{}`", entry.key);
    let told = faults.len();
    faults.extend(
        super::name_fault("a webhook", &entry.key, entry.spot.of(file)).filter(|_| bad_name(&entry.key).is_some()),
    );
    let fields = yaml::map(file, &entry.node, &what, faults);
    yaml::check_keys(file, fields, WEBHOOK_KEYS, &what, faults);
    let Some(node) = entry.node.get("url") else {
        if faults.len() == told {
            faults.push(
                Diagnostic::error(codes::MISSING_KEY, format!("{what} has no `url`"))
                    .at(entry.spot.of(file))
                    .with_remedy("add it: `url: \"{{ env_var('ALERTS_URL') }}\"`"),
            );
        }
        return None;
    };
    let written = yaml::text(file, node, "`url`", faults)?;
    let url = rendered::text(&written, &at(node, file), templates, faults);
    let is_url = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
    if !is_url && faults.len() == told {
        // The value may be a secret, so it is not printed.
        faults.push(
            Diagnostic::error(
                codes::BAD_VALUE,
                format!("`url` of {what} is no URL of `http` or `https`"),
            )
            .at(at(node, file))
            .with_remedy("write the whole URL, or a template that gives it: `\"{{ env_var('ALERTS_URL') }}\"`"),
        );
    }
    Some(Webhook {
        url,
        place: entry.spot.of(file),
    })
}
