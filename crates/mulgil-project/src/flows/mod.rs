//! `flows/*.yml` to flows. Each file is read by itself (`file.rs` and what it calls), then its steps are put in order
//! (`order.rs`), its templates are tried with values that stand for those of a run (`templates.rs`), and the
//! models that it selects get their one schedule (`owners.rs`). `render.rs` makes the work of a step for a
//! run. Nothing here knows what ran. What hangs on one file alone is done on all cores: there may be a hundred
//! thousand of them.

mod bind;
mod file;
mod notifications;
mod order;
mod owners;
mod params;
mod process;
mod reactions;
mod render;
mod scripts;
mod settings;
mod step;
mod templates;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place, Severity},
    flow::{Channel, Flow},
    project::Project,
};

use self::file::FlowFile;
pub(crate) use self::{
    file::{KEYS, MAX_ACTIVE},
    notifications::{WEBHOOK_KEYS, WORDS as CHANNEL_KINDS},
    params::{KEYS as PARAM_KEYS, TYPES as PARAM_TYPES},
    reactions::DEADLINE_KEYS,
    settings::{MAX_FACTOR, MAX_PRIORITY, MAX_RETRIES, RETRY_KEYS},
    step::{COMMON as STEP_KEYS, KINDS as STEP_KINDS},
};
use crate::{
    assemble::Assembly,
    files::TextFile,
    parallel, text,
    yaml::{self, Node},
};

/// Bytes that the file of a flow may have.
pub(crate) const MAX_FLOW_BYTES: u64 = 4 << 20;
/// Steps that a flow may have.
const MAX_STEPS: usize = 20_000;
/// Parameters that a flow may have.
const MAX_PARAMS: usize = 200;
/// Faults of one flow that are told.
const MAX_FAULTS: usize = 100;
/// Letters that the name of a flow or a step may have.
const MAX_NAME_BYTES: usize = 63;

/// A flow while it is put together, with the places that messages point at.
pub(crate) struct Draft {
    pub(crate) flow: Flow,
    /// Where its schedule is written.
    pub(crate) schedule: Option<Place>,
    /// Where its name is written; the file, where that gives it.
    pub(crate) named: Place,
    /// The channels that it names.
    pub(crate) channels: Vec<(Channel, Place)>,
    /// What its steps need, as written, by their places in [`Flow::steps`].
    pub(crate) needs: Vec<Vec<(String, Place)>>,
    /// Where its steps say what they select or which values they have, by their names and the key.
    pub(crate) places: Places,
}

/// Places of values, by the step and the key.
pub(crate) type Places = BTreeMap<(String, &'static str), Place>;

impl Assembly<'_> {
    /// Reads the flows and puts them into the project; what is wrong with the rest is told already.
    pub(crate) fn add_flows(&mut self, project: &mut Project, faults: &mut Vec<Diagnostic>) {
        // A selector that finds nothing may only follow from what is told already.
        let is_whole = !faults.iter().any(|fault| fault.severity == Severity::Error);
        let tree = std::mem::replace(&mut self.manifest.notifications, yaml::nothing());
        project.webhooks = notifications::read(&tree, &self.templates, faults);
        let texts = std::mem::take(&mut self.files.flows);
        let (root, known) = (self.root, &*project);
        let mut drafts: Vec<Draft> = Vec::with_capacity(texts.len());
        for Read { path, draft, mut found } in parallel::map(texts, |file| read(root, known, file)) {
            match draft {
                Some(Reading::Done(draft)) => drafts.push(draft),
                Some(Reading::HasTemplates(mut draft)) => {
                    templates::check(self, &mut draft, &mut found);
                    draft.flow.fingerprint = draft.flow.version();
                    drafts.push(draft);
                }
                None => {}
            }
            faults.extend(bounded(found, &path));
        }
        unique(&mut drafts, project, faults);
        if is_whole {
            owners::select(&mut drafts, project, &self.catalog, faults);
        }
        drafts.sort_by(|one, other| one.flow.name.cmp(&other.flow.name));
        project.flows = drafts.into_iter().map(|draft| draft.flow).collect();
    }
}

/// What came of reading one file.
struct Read {
    path: PathBuf,
    /// Nothing where the file is no flow.
    draft: Option<Reading>,
    /// What is wrong with it.
    found: Vec<Diagnostic>,
}

/// How far a flow is read.
enum Reading {
    /// All of it.
    Done(Draft),
    /// All but its templates, which are tried one after the other.
    HasTemplates(Draft),
}

/// Reads a file as far as it can be read by itself.
fn read(root: &Path, project: &Project, file: TextFile) -> Read {
    let TextFile { path, text } = file;
    let mut found = Vec::new();
    let draft = draft(root, project, &path, &text, &mut found);
    Read { path, draft, found }
}

fn draft(root: &Path, project: &Project, path: &Path, text: &str, faults: &mut Vec<Diagnostic>) -> Option<Reading> {
    let tree = yaml::parse(path, text, faults)?;
    let mut reader = FlowFile {
        file: path,
        root,
        zone: &project.zone,
        faults,
    };
    let mut draft = reader.read(&tree)?;
    check_channels(&draft, project, faults);
    order::sort(&mut draft, faults);
    if !templates::check_plain(&mut draft, faults) {
        return Some(Reading::HasTemplates(draft));
    }
    draft.flow.fingerprint = draft.flow.version();
    Some(Reading::Done(draft))
}

/// Whether the project declares the channels that a flow names.
fn check_channels(draft: &Draft, project: &Project, faults: &mut Vec<Diagnostic>) {
    for (Channel::Webhook(name), place) in &draft.channels {
        if project.webhooks.contains_key(name) {
            continue;
        }
        let known = || project.webhooks.keys().map(String::as_str);
        let remedy = text::nearest(name, known()).map_or_else(
            || format!("add it in `mulgil.yml`: `notifications: {{webhook: {{{name}: {{url: \"https://…\"}}}}}}`; there are {}", text::listed(known())),
            |near| format!("write `webhook:{near}`"),
        );
        faults.push(
            Diagnostic::error(
                codes::UNKNOWN_CHANNEL,
                format!("the project declares no webhook `{name}`"),
            )
            .at(place.clone())
            .with_remedy(remedy),
        );
    }
}

/// Two flows of one name, and a flow whose steps would be named like the tables of a source.
fn unique(drafts: &mut Vec<Draft>, project: &Project, faults: &mut Vec<Diagnostic>) {
    let mut taken: BTreeMap<String, Place> = BTreeMap::new();
    drafts.retain(|draft| {
        let name = &draft.flow.name;
        let prefix = format!("{name}.");
        if let Some(source) = project
            .sources
            .iter()
            .find(|source| source.name.as_str().starts_with(&prefix))
        {
            faults.push(
                Diagnostic::error(
                    codes::DUPLICATE_NAME,
                    format!("the flow `{name}` has the name of a source, so that their parts could not be told apart"),
                )
                .at(draft.named.clone())
                .with_related(source.place.clone(), "the source")
                .with_remedy("rename the file, or give the flow another `name:`"),
            );
        }
        let Some(first) = taken.get(name) else {
            taken.insert(name.clone(), draft.named.clone());
            return true;
        };
        faults.push(
            Diagnostic::error(codes::DUPLICATE_NAME, format!("there are two flows named `{name}`"))
                .at(draft.named.clone())
                .with_related(first.clone(), "the other one")
                .with_remedy("rename one of the files, or give one another `name:`"),
        );
        false
    });
}

/// The first of many faults.
fn bounded(mut faults: Vec<Diagnostic>, file: &Path) -> Vec<Diagnostic> {
    if is_full(&faults) {
        faults.sort_by_key(|fault| fault.place.clone());
        faults.truncate(MAX_FAULTS);
        faults.push(
            Diagnostic::error(
                codes::FLOW_TOO_LARGE,
                format!("the flow has more faults than these {MAX_FAULTS}"),
            )
            .at(Place::file(file))
            .with_remedy("mend these first"),
        );
    }
    faults
}

/// Whether as many faults were found as are told, so that looking for more is in vain.
fn is_full(faults: &[Diagnostic]) -> bool {
    faults.len() > MAX_FAULTS
}

/// Whether a flow or a step may be called so.
#[cfg(test)]
pub(crate) fn is_plain_name(name: &str) -> bool {
    bad_name(name).is_none()
}

/// Why a name cannot be that of a flow or a step.
fn bad_name(name: &str) -> Option<&'static str> {
    let is_letter = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    if name.len() > MAX_NAME_BYTES {
        return Some("it is longer than 63 letters");
    }
    if !name.bytes().next().is_some_and(is_letter) {
        return Some("it has to begin with a small letter or a digit");
    }
    if !name
        .bytes()
        .all(|letter| is_letter(letter) || letter == b'_' || letter == b'-')
    {
        return Some("a name has small letters of the Latin alphabet, digits, `_` and `-`");
    }
    None
}

/// The fault of such a name.
fn name_fault(what: &str, name: &str, place: Place) -> Option<Diagnostic> {
    let why = bad_name(name)?;
    let fault = Diagnostic::error(codes::BAD_NAME, format!("{what} cannot be named `{name}`: {why}"));
    let better: String = name
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    let better = better.trim_start_matches('_');
    let remedy = if bad_name(better).is_none() {
        format!("write `{better}`")
    } else {
        "use small letters, digits, `_` and `-`: `load_sales`".to_owned()
    };
    Some(fault.at(place).with_remedy(remedy))
}

/// Whether a text holds a template, rather than being one word for word.
pub(crate) fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
}

/// The name under which a template of a flow's file is kept among the others.
fn inline(file: &Path, step: &str, part: &str) -> PathBuf {
    PathBuf::from(format!("{}#{step}.{part}", file.display()))
}

/// The place of a value.
fn at(node: &Node, file: &Path) -> Place {
    node.spot.of(file)
}
