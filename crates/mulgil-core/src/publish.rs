//! Which version of each table its readers see. A node that publishes after its data tests keeps a new
//! version beside the old one until they have passed; everybody else's newest version is what is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    due::has_blocking_tests,
    name::Relation,
    project::{Materialization, Node, Project, Publish},
    task::{Binding, Reads},
};

/// The version of a table at which a reader sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadVersion {
    /// The newest, whichever that is when the table is opened.
    #[default]
    Newest,
    /// That of this number: the newest one whose data tests have passed.
    Published(i64),
    /// None: no version of the table has passed its data tests yet.
    Nothing,
}

impl ReadVersion {
    /// Whether it is the newest.
    #[must_use]
    pub fn is_newest(&self) -> bool {
        *self == Self::Newest
    }
}

/// Whether readers wait for the node's data tests before they see a new version of its table. Where no
/// test could hold it back, or nothing is stored, they see it at once.
pub fn is_after_tests(node: &Node) -> bool {
    node.publish == Publish::AfterTests && node.materialization != Materialization::View && has_blocking_tests(node)
}

/// The versions that readers see, by table; a table that is not in it is read at its newest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadVersions(BTreeMap<Relation, ReadVersion>);

impl ReadVersions {
    /// Those of a project. `published` gives the published version of a table that is there, and nothing
    /// for a table that is not.
    pub fn of(project: &Project, published: impl Fn(&Relation) -> Option<Option<i64>>) -> Self {
        let guarded = project.nodes.iter().filter(|node| is_after_tests(node));
        let version = |node: &Node| {
            let version = published(&node.relation)?.map_or(ReadVersion::Nothing, ReadVersion::Published);
            Some((node.relation.clone(), version))
        };
        Self(guarded.filter_map(version).collect())
    }

    /// Says in bindings, and in those of the views among them, at which version each table is read.
    /// `own` is the table that is being filled: it goes on from its newest version.
    pub fn pin(&self, bindings: &mut [Binding], own: Option<&Relation>) {
        if self.0.is_empty() {
            return;
        }
        for binding in bindings {
            match &mut binding.reads {
                Reads::Table { relation, version, .. } if own != Some(relation) => {
                    *version = self.0.get(relation).copied().unwrap_or_default();
                }
                Reads::Query { bindings, .. } => self.pin(bindings, own),
                Reads::Table { .. } | Reads::Source { .. } | Reads::Seed { .. } => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{grid::Zone, name::Key, timeline::Timeline};

    fn table(name: &str) -> Binding {
        let relation = Relation {
            schema: "shop".to_owned(),
            name: name.to_owned(),
        };
        Binding {
            schema: None,
            name: name.to_owned(),
            reads: Reads::Table {
                relation,
                grid: crate::grid::Grid::whole(Zone::UTC),
                event_time: None,
                scope: None,
                key: Key::default(),
                version: ReadVersion::Newest,
            },
        }
    }

    fn version(binding: &Binding) -> ReadVersion {
        match &binding.reads {
            Reads::Table { version, .. } => *version,
            Reads::Query { bindings, .. } => version_of_first(bindings),
            Reads::Source { .. } | Reads::Seed { .. } => ReadVersion::Newest,
        }
    }

    fn version_of_first(bindings: &[Binding]) -> ReadVersion {
        version(&bindings[0])
    }

    #[test]
    fn readers_see_the_published_version_through_views_too_and_a_fill_its_own_newest() {
        let project = Timeline::parse("model a published test t\nmodel b test t\nmodel c published").project;
        let published = |relation: &Relation| Some((relation.name == "a").then_some(6));
        let versions = ReadVersions::of(&project, published);
        let view = Binding {
            schema: None,
            name: "v".to_owned(),
            reads: Reads::Query {
                sql: "select * from a".to_owned(),
                bindings: vec![table("a")],
            },
        };
        let mut bindings = vec![table("a"), table("b"), table("c"), view];
        versions.pin(&mut bindings, None);
        let seen: Vec<ReadVersion> = bindings.iter().map(version).collect();
        let (at_6, newest) = (ReadVersion::Published(6), ReadVersion::Newest);
        assert_eq!(
            seen,
            [at_6, newest, newest, at_6],
            "b publishes at once, c has no tests"
        );

        let mut own = vec![table("a")];
        let relation = project.nodes[0].relation.clone();
        versions.pin(&mut own, Some(&relation));
        assert_eq!(version(&own[0]), newest);

        let mut nothing = vec![table("a")];
        ReadVersions::of(&project, |_| Some(None)).pin(&mut nothing, None);
        assert_eq!(version(&nothing[0]), ReadVersion::Nothing);
        let mut absent = vec![table("a")];
        ReadVersions::of(&project, |_| None).pin(&mut absent, None);
        assert_eq!(version(&absent[0]), newest);
    }
}
