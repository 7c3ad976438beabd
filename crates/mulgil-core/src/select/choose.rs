//! What dbt's commands take of a project: tables, and the data tests that are named or that belong to
//! them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    evaluate::{self, Ranges},
    glob::fits,
    graph::Graph,
    parse,
};
use crate::{
    codes,
    diagnostic::{Diagnostic, Severity},
    interval::RangeSet,
    name::{Instance, NodeName},
    project::{DataTest, Project, TestKind, Upstream},
};

/// A data test by its node and its name.
pub type TestOf = (NodeName, String);

/// Which data tests belong to what is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Indirect {
    /// Those that look at anything of it.
    #[default]
    Eager,
    /// Those that look at nothing else.
    Cautious,
    /// Those that look at nothing else but what it is made of.
    Buildable,
    /// None but those that are named.
    Empty,
}

/// What is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Chosen {
    /// Tables and views, each with all of its time or with the interval that was named.
    pub ranges: BTreeMap<Instance, RangeSet>,
    /// Data tests.
    pub tests: BTreeSet<TestOf>,
    /// What was written and is not there.
    pub warnings: Vec<Diagnostic>,
}

impl Chosen {
    /// Whether any instance of a node is chosen.
    pub fn has_node(&self, name: &NodeName) -> bool {
        self.ranges.keys().any(|instance| instance.node == *name)
    }

    fn add(&mut self, other: Self) {
        evaluate::unite(&mut self.ranges, other.ranges);
        self.tests.extend(other.tests);
        self.warnings.extend(other.warnings);
    }
}

/// Reads selectors as dbt's commands do: names of data tests are names too, and a name that is not there
/// is no more than a warning. Without selectors all is chosen.
pub fn choose(
    project: &Project,
    selectors: &[String],
    exclude: &[String],
    indirect: Indirect,
) -> Result<Chosen, Diagnostic> {
    let all = ["*".to_owned()];
    let selectors = if selectors.is_empty() { &all[..] } else { selectors };
    let chooser = Chooser {
        project,
        graph: Graph::new(project),
        indirect,
    };
    let mut chosen = chooser.union(selectors)?;
    let gone = chooser.union(exclude)?;
    evaluate::take_away(&mut chosen.ranges, &gone.ranges);
    chosen.tests.retain(|test| !gone.tests.contains(test));
    chosen.warnings.extend(gone.warnings);
    Ok(chosen)
}

struct Chooser<'a> {
    project: &'a Project,
    graph: Graph<'a>,
    indirect: Indirect,
}

impl Chooser<'_> {
    fn union(&self, selectors: &[String]) -> Result<Chosen, Diagnostic> {
        let mut chosen = Chosen::default();
        let parts = selectors.iter().flat_map(|selector| selector.split_whitespace());
        for part in parts {
            chosen.add(self.part(part)?);
        }
        Ok(chosen)
    }

    /// An intersection. Where one of its terms names data tests, it is of data tests.
    fn part(&self, text: &str) -> Result<Chosen, Diagnostic> {
        let (of_tests, of_nodes): (Vec<&str>, Vec<&str>) = text.split(',').partition(|term| self.names_tests(term));
        let mut chosen = Chosen::default();
        let nodes = if of_nodes.is_empty() {
            None
        } else {
            Some(self.nodes(&of_nodes.join(","), &mut chosen.warnings)?)
        };
        if of_tests.is_empty() {
            let nodes = nodes.unwrap_or_default();
            chosen.tests = self.belonging(&nodes).collect();
            chosen.ranges = nodes;
            return Ok(chosen);
        }
        let belonging: Option<BTreeSet<TestOf>> = nodes.map(|nodes| self.belonging(&nodes).collect());
        let is_chosen = |node: &NodeName, test: &DataTest| {
            let key = (node.clone(), test.name.clone());
            of_tests.iter().all(|term| is_test(term, test))
                && belonging.as_ref().is_none_or(|belonging| belonging.contains(&key))
        };
        chosen.tests = self
            .tests()
            .filter(|(node, test)| is_chosen(node, test))
            .map(|(node, test)| (node.clone(), test.name.clone()))
            .collect();
        if chosen.tests.is_empty() {
            chosen.warnings.push(nothing(text));
        }
        Ok(chosen)
    }

    fn nodes(&self, text: &str, warnings: &mut Vec<Diagnostic>) -> Result<Ranges, Diagnostic> {
        let mut ranges = Ranges::new();
        for part in parse::parse(text)? {
            match evaluate::part(&self.graph, &part, None) {
                Ok(found) => {
                    warnings.extend(found.nothing);
                    evaluate::unite(&mut ranges, found.ranges);
                }
                Err(fault) if fault.code == codes::NOT_FOUND => warnings.push(Diagnostic {
                    severity: Severity::Warning,
                    ..fault
                }),
                Err(fault) => return Err(fault),
            }
        }
        Ok(ranges)
    }

    fn names_tests(&self, term: &str) -> bool {
        let is_method = ["test_type:", "test_name:"]
            .iter()
            .any(|method| term.starts_with(method));
        is_method
            || term == "resource_type:test"
            || !self.project.nodes.iter().any(|node| node.name.as_str() == term)
                && self.tests().any(|(_, test)| test.name == term)
            || term.contains('*')
                && term.contains('_')
                && self.tests().any(|(_, test)| fits(term, &test.name))
                && !self.project.nodes.iter().any(|node| fits(term, node.name.as_str()))
    }

    fn tests(&self) -> impl Iterator<Item = (&NodeName, &DataTest)> {
        let nodes = self.project.nodes.iter();
        nodes.flat_map(|node| node.tests.iter().map(move |test| (&node.name, test)))
    }

    /// The data tests of what is selected.
    fn belonging(&self, ranges: &Ranges) -> impl Iterator<Item = TestOf> {
        let nodes: BTreeSet<&NodeName> = ranges.keys().map(|instance| &instance.node).collect();
        let reach = match self.indirect {
            Indirect::Eager | Indirect::Cautious | Indirect::Empty => nodes.clone(),
            Indirect::Buildable => self.with_ancestors(&nodes),
        };
        self.tests()
            .filter(|(owner, test)| {
                let mut looked_at = std::iter::once(*owner).chain(test.kind.looks_into());
                match self.indirect {
                    Indirect::Eager => looked_at.any(|node| nodes.contains(node)),
                    Indirect::Cautious => looked_at.all(|node| nodes.contains(node)),
                    Indirect::Buildable => {
                        looked_at.clone().any(|node| nodes.contains(node)) && looked_at.all(|node| reach.contains(node))
                    }
                    Indirect::Empty => false,
                }
            })
            .map(|(owner, test)| (owner.clone(), test.name.clone()))
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn with_ancestors<'n>(&'n self, nodes: &BTreeSet<&'n NodeName>) -> BTreeSet<&'n NodeName> {
        let mut all = nodes.clone();
        // Nodes stand in an order in which each follows what it reads.
        for node in self
            .project
            .nodes
            .iter()
            .rev()
            .filter(|node| all.contains(&node.name))
            .collect::<Vec<_>>()
        {
            self.add_reads(&node.name, &mut all);
        }
        all
    }

    fn add_reads<'n>(&'n self, name: &NodeName, all: &mut BTreeSet<&'n NodeName>) {
        let Some(node) = self.project.node(name) else { return };
        for read in &node.reads {
            match read {
                Upstream::Node(upstream) if all.insert(upstream) => self.add_reads(upstream, all),
                Upstream::Node(_) | Upstream::Source(_) => {}
            }
        }
    }
}

/// Whether a term names a data test.
fn is_test(term: &str, test: &DataTest) -> bool {
    let is_file = test.place.file.extension().is_some_and(|extension| extension == "sql");
    if let Some(kind) = term.strip_prefix("test_type:") {
        return match kind {
            "generic" => !is_file,
            "singular" => is_file,
            "data" => true,
            _ => false,
        };
    }
    if let Some(word) = term.strip_prefix("test_name:") {
        return match &test.kind {
            TestKind::NotNull { .. } => word == "not_null",
            TestKind::Unique { .. } => word == "unique",
            TestKind::AcceptedValues { .. } => word == "accepted_values",
            TestKind::Relationships { .. } => word == "relationships",
            TestKind::Query { .. } => !is_file && test.name.starts_with(&format!("{word}_")),
        };
    }
    term == "resource_type:test" || fits(term, &test.name)
}

fn nothing(text: &str) -> Diagnostic {
    Diagnostic::warning(codes::NOT_FOUND, format!("`{text}` matches no data test"))
        .with_remedy("`mulgil dbt ls --resource-type test` lists them")
}
