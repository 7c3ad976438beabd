//! The values of the list of tables: all from the picture.

use mulgil_core::{
    name::Instance,
    project::{Materialization, Node, Source},
};
use mulgil_server::ListQuery;
use mulgil_web::view::{
    Paging,
    list::{ROWS_SHOWN, TableRow, Tables},
};

use super::{
    Made, Sight,
    names::{self, encoded},
    picture::Picture,
};

pub(super) fn tables(sight: Sight<'_>, query: ListQuery) -> Made<Tables> {
    let picture = sight.picture;
    let words = words(&query.search);
    let mut all: Vec<Entry<'_>> = picture.project.nodes.iter().map(Entry::Node).collect();
    all.extend(picture.project.sources.iter().map(Entry::Source));
    all.sort_by_key(Entry::name);
    let after = query.after.as_deref().unwrap_or_default();
    let mut found = all
        .into_iter()
        .filter(|entry| entry.name() > after && entry.has(picture, &words));
    let rows: Vec<TableRow> = found
        .by_ref()
        .take(ROWS_SHOWN)
        .map(|entry| entry.row(picture))
        .collect();
    let older = found.next().and(rows.last()).map(|last| {
        let search = if query.search.is_empty() {
            String::new()
        } else {
            format!("q={}&", encoded(&query.search))
        };
        format!("/tables?{search}after={}", encoded(&last.name.text))
    });
    let view = Tables {
        search: query.search,
        rows,
        paging: Paging { newer: None, older },
    };
    Ok((view, vec!["today".to_owned()]))
}

/// The words of a search; each has to be found.
fn words(search: &str) -> Vec<String> {
    search.split_whitespace().map(str::to_lowercase).collect()
}

/// What the list has.
#[derive(Clone, Copy)]
enum Entry<'a> {
    Node(&'a Node),
    Source(&'a Source),
}

impl<'a> Entry<'a> {
    fn name(&self) -> &'a str {
        match self {
            Self::Node(node) => node.name.as_str(),
            Self::Source(source) => source.name.as_str(),
        }
    }

    /// Whether every word stands in its name, its description, its tags, its owner or a column.
    fn has(&self, picture: &Picture, words: &[String]) -> bool {
        let fits = |text: &str, word: &str| text.to_lowercase().contains(word);
        words.iter().all(|word| {
            let in_columns = |columns: &std::collections::BTreeMap<String, String>| {
                columns.iter().any(|(name, told)| fits(name, word) || fits(told, word))
            };
            match self {
                Self::Node(node) => {
                    let known = picture.catalog.relations.get(&node.relation);
                    let mut made = known.into_iter().flat_map(|known| &known.columns);
                    fits(node.name.as_str(), word)
                        || fits(&node.relation.to_string(), word)
                        || node.description.as_deref().is_some_and(|text| fits(text, word))
                        || node.owner.as_deref().is_some_and(|text| fits(text, word))
                        || node.tags.iter().any(|tag| fits(tag, word))
                        || in_columns(&node.columns)
                        || made.any(|column| fits(&column.name, word))
                }
                Self::Source(source) => {
                    let told = source.description.as_deref();
                    fits(source.name.as_str(), word)
                        || told.is_some_and(|text| fits(text, word))
                        || source.columns.keys().any(|name| fits(name, word))
                }
            }
        })
    }

    fn row(&self, picture: &Picture) -> TableRow {
        let (kind, description, bytes) = match self {
            Self::Node(node) => {
                let size = picture.catalog.sizes.get(&node.relation);
                let bytes = size.filter(|size| size.version.is_some()).map(|size| size.bytes);
                (kind(node), node.description.as_deref(), bytes)
            }
            Self::Source(source) => ("source", source.description.as_deref(), None),
        };
        let instance = Instance::of(self.name().into());
        TableRow {
            name: names::table_link(&instance),
            kind,
            description: description.and_then(first_line),
            mark: picture.worst(&instance.node),
            counts: picture.counts(&instance.node),
            bytes,
        }
    }
}

/// What a node is, in a word.
pub(super) fn kind(node: &Node) -> &'static str {
    match node.materialization {
        Materialization::Seed => "seed",
        Materialization::Snapshot => "snapshot",
        Materialization::Table | Materialization::View | Materialization::Interval | Materialization::Incremental => {
            "model"
        }
    }
}

fn first_line(text: &str) -> Option<String> {
    let line = text.trim().lines().next()?;
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_a_search_has_to_be_found() {
        assert_eq!(words("  일별  Orders "), ["일별", "orders"]);
        assert!(words(" ").is_empty());
        assert_eq!(first_line("\n  one\ntwo").as_deref(), Some("one"));
        assert_eq!(first_line(" \n "), None);
    }
}
