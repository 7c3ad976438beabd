//! All that a model's SQL can be: rendered once for each value of `is_incremental()` and, where it
//! names its keys, for each of their values, because it may branch on them.

use std::path::Path;

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    name::Key,
    project::{KeyColumn, keys},
};

use crate::{
    config::Config,
    template::{Facts, Mention, Rendered, Templates},
};

/// Instances whose SQL is rendered when a project is loaded.
const MAX_INSTANCES: usize = 1_000;

/// One text of a model's SQL, with sentinels for what changes from run to run.
#[derive(Clone, Debug)]
pub(crate) struct Rendering {
    /// What it was rendered with.
    pub(crate) facts: Facts,
    pub(crate) rendered: Rendered,
    /// The text in which the values of keys are words; the same text, where they are more than
    /// printed.
    pub(crate) form: String,
    /// The keys that have this form; empty where the SQL names no key.
    pub(crate) keys: Vec<Key>,
}

impl Rendering {
    /// What does not depend on a key.
    pub(crate) fn plain(facts: Facts, rendered: Rendered) -> Self {
        Self {
            facts,
            form: rendered.sql.clone(),
            rendered,
            keys: Vec::new(),
        }
    }
}

/// All renderings of a model, of which the first is there already, each form once.
pub(crate) fn all(
    templates: &Templates,
    file: &Path,
    first: Rendering,
    config: &Config,
) -> Result<Vec<Rendering>, Diagnostic> {
    let keeps_rows = config.kind.keeps_rows();
    let mut all = vec![first];
    if keeps_rows && all[0].rendered.asked_incremental {
        let facts = Facts {
            is_incremental: true,
            ..all[0].facts.clone()
        };
        let rendered = templates.render(file, &facts)?;
        all.push(Rendering::plain(facts, rendered));
    }
    if config.keys.is_empty() || !all.iter().any(names_key) {
        return Ok(all);
    }
    let keys = bounded_keys(&config.keys).map_err(|fault| fault.at(templates.locate_setting(file, "keys")))?;
    let facts = all[0].facts.clone();
    all = by_key(templates, file, &facts, &keys)?;
    // Where one key asks, all are rendered again: the SQL says for which of them it matters.
    if keeps_rows && all.iter().any(|one| one.rendered.asked_incremental) {
        let facts = Facts {
            is_incremental: true,
            ..facts
        };
        all.extend(by_key(templates, file, &facts, &keys)?);
    }
    Ok(all)
}

fn names_key(rendering: &Rendering) -> bool {
    let mut mentions = rendering.rendered.mentions.iter();
    mentions.any(|mention| matches!(mention, Mention::Key(_)))
}

fn bounded_keys(columns: &[KeyColumn]) -> Result<Vec<Key>, Diagnostic> {
    let count = columns
        .iter()
        .try_fold(1_usize, |count, column| count.checked_mul(column.values.len()));
    if count.is_some_and(|count| count <= MAX_INSTANCES) {
        return Ok(keys(columns));
    }
    Err(Diagnostic::error(
        codes::TEMPLATE_LIMIT,
        format!("the keys have more than {MAX_INSTANCES} values together, each with SQL of its own"),
    )
    .with_remedy("group by the column instead of having it as a key, or make several models"))
}

fn by_key(templates: &Templates, file: &Path, facts: &Facts, keys: &[Key]) -> Result<Vec<Rendering>, Diagnostic> {
    let mut all: Vec<Rendering> = Vec::new();
    for key in keys {
        let mut facts = facts.clone();
        facts.key = Some(key.clone());
        let rendered = templates.render(file, &facts)?;
        let form = form(templates, file, &facts, &rendered.sql)?;
        let same = |one: &&mut Rendering| {
            one.form == form
                && one.rendered.mentions == rendered.mentions
                && one.rendered.asked_incremental == rendered.asked_incremental
        };
        match all.iter_mut().find(same) {
            Some(one) => one.keys.push(key.clone()),
            None => all.push(Rendering {
                facts,
                rendered,
                form,
                keys: vec![key.clone()],
            }),
        }
    }
    Ok(all)
}

/// The text with words for the values of the key: the same for all keys that are only printed. A
/// value that takes another way into the text, such as through a macro that compares it, makes the
/// two differ in more than the words; then the text itself has to do.
fn form(templates: &Templates, file: &Path, facts: &Facts, sql: &str) -> Result<String, Diagnostic> {
    let facts = Facts {
        prints_key_words: true,
        ..facts.clone()
    };
    let words = templates.render(file, &facts)?.sql;
    let key = facts.key.unwrap_or_default();
    let back = key.0.iter().fold(words.clone(), |text, (column, value)| {
        text.replace(&Facts::key_word(column), value)
    });
    Ok(if back == sql { words } else { sql.to_owned() })
}
