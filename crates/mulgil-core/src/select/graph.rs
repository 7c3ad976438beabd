//! Who reads whom, by instance: what `+` and `@` walk along. A node with keys is read key by key where
//! the reader has the same ones. Views are steps of their own here, as they are to people.

use std::collections::{BTreeMap, BTreeSet};

use super::parse::{ALL_STEPS, Reach};
use crate::{
    name::{Instance, NodeName},
    project::{Node, Project, Source, Upstream},
};

/// A point of the graph, by its position in the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Vertex {
    /// An instance of a node.
    Instance(usize),
    /// A source: a way to what reads it, and nothing to fill.
    Source(usize),
}

/// One node reads another, or a source.
struct Edge {
    reader: usize,
    from: Read,
    /// The key columns that both have.
    shared: Vec<String>,
}

#[derive(Clone, Copy)]
enum Read {
    Node(usize),
    Source(usize),
}

/// A project's instances and sources with the edges between them.
pub(super) struct Graph<'a> {
    pub(super) project: &'a Project,
    /// Each with the position of its node; those of one node stand side by side.
    instances: Vec<(Instance, usize)>,
    /// For each node where its instances begin; and the end of all.
    first: Vec<usize>,
    edges: Vec<Edge>,
    /// For each node the edges to what it reads, and to what reads it.
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
    below_source: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(project: &'a Project) -> Self {
        let nodes = project.nodes.len();
        let mut graph = Self {
            project,
            instances: Vec::new(),
            first: vec![0],
            edges: Vec::new(),
            above: vec![Vec::new(); nodes],
            below: vec![Vec::new(); nodes],
            below_source: vec![Vec::new(); project.sources.len()],
        };
        for (index, node) in project.nodes.iter().enumerate() {
            let instances = node.instances().into_iter().map(|instance| (instance, index));
            graph.instances.extend(instances);
            graph.first.push(graph.instances.len());
        }
        graph.connect();
        graph
    }

    fn connect(&mut self) {
        let (nodes, sources) = (&self.project.nodes, &self.project.sources);
        let node_at: BTreeMap<&NodeName, usize> = nodes.iter().map(|node| &node.name).zip(0..).collect();
        let source_at: BTreeMap<&NodeName, usize> = sources.iter().map(|source| &source.name).zip(0..).collect();
        for (reader, node) in nodes.iter().enumerate() {
            for read in &node.reads {
                let from = match read {
                    Upstream::Node(name) => node_at.get(name).copied().map(Read::Node),
                    Upstream::Source(name) => source_at.get(name).copied().map(Read::Source),
                };
                let Some(from) = from else {
                    continue;
                };
                let edge = self.edges.len();
                let shared = match from {
                    Read::Node(upstream) => {
                        self.below[upstream].push(edge);
                        shared_keys(node, &nodes[upstream])
                    }
                    Read::Source(source) => {
                        self.below_source[source].push(edge);
                        Vec::new()
                    }
                };
                self.above[reader].push(edge);
                self.edges.push(Edge { reader, from, shared });
            }
        }
    }

    /// The nodes, each with the points of its instances.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&'a Node, impl Iterator<Item = Vertex> + use<>)> + '_ {
        let places = self
            .first
            .windows(2)
            .map(|edge| (edge[0]..edge[1]).map(Vertex::Instance));
        self.project.nodes.iter().zip(places)
    }

    /// The sources, each with its point.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&'a Source, Vertex)> + '_ {
        self.project.sources.iter().zip((0..).map(Vertex::Source))
    }

    /// The instance at a point and its node; nothing for a source.
    pub(super) fn instance(&self, vertex: Vertex) -> Option<(&Instance, &'a Node)> {
        match vertex {
            Vertex::Instance(index) => {
                let (instance, node) = &self.instances[index];
                Some((instance, &self.project.nodes[*node]))
            }
            Vertex::Source(_) => None,
        }
    }

    /// What is reached, the start included.
    pub(super) fn reach(&self, start: &BTreeSet<Vertex>, reach: Reach) -> BTreeSet<Vertex> {
        let up = |from: &BTreeSet<Vertex>, steps| walk(from, steps, |vertex| self.above(vertex));
        let down = |from: &BTreeSet<Vertex>, steps| walk(from, steps, |vertex| self.below(vertex));
        match reach {
            Reach::Steps { up: above, down: below } => &up(start, above) | &down(start, below),
            Reach::Around => up(&down(start, ALL_STEPS), ALL_STEPS),
        }
    }

    fn above(&self, vertex: Vertex) -> Vec<Vertex> {
        let Vertex::Instance(reader) = vertex else {
            return Vec::new();
        };
        let mut out = Vec::new();
        for edge in &self.above[self.instances[reader].1] {
            let edge = &self.edges[*edge];
            match edge.from {
                Read::Source(source) => out.push(Vertex::Source(source)),
                Read::Node(node) => out.extend(
                    self.of_node(node)
                        .filter(|upstream| self.fit(edge, reader, *upstream))
                        .map(Vertex::Instance),
                ),
            }
        }
        out
    }

    fn below(&self, vertex: Vertex) -> Vec<Vertex> {
        let edges = match vertex {
            Vertex::Instance(index) => &self.below[self.instances[index].1],
            Vertex::Source(index) => &self.below_source[index],
        };
        let mut out = Vec::new();
        for edge in edges {
            let edge = &self.edges[*edge];
            let readers = self.of_node(edge.reader).filter(|reader| match vertex {
                Vertex::Instance(upstream) => self.fit(edge, *reader, upstream),
                Vertex::Source(_) => true,
            });
            out.extend(readers.map(Vertex::Instance));
        }
        out
    }

    fn of_node(&self, node: usize) -> std::ops::Range<usize> {
        self.first[node]..self.first[node + 1]
    }

    /// Whether two instances have the same values in the key columns that both have.
    fn fit(&self, edge: &Edge, reader: usize, upstream: usize) -> bool {
        let (reader, upstream) = (&self.instances[reader].0, &self.instances[upstream].0);
        let mut shared = edge.shared.iter();
        shared.all(|column| reader.key.0.get(column) == upstream.key.0.get(column))
    }
}

fn shared_keys(reader: &Node, upstream: &Node) -> Vec<String> {
    let has = |name: &str| upstream.keys.iter().any(|key| key.name == name);
    let shared = reader.keys.iter().filter(|key| has(&key.name));
    shared.map(|key| key.name.clone()).collect()
}

fn walk(start: &BTreeSet<Vertex>, steps: u32, next: impl Fn(Vertex) -> Vec<Vertex>) -> BTreeSet<Vertex> {
    let mut reached = start.clone();
    let mut edge: Vec<Vertex> = start.iter().copied().collect();
    let mut left = steps;
    while left > 0 && !edge.is_empty() {
        let beyond = edge.into_iter().flat_map(&next);
        edge = beyond.filter(|vertex| reached.insert(*vertex)).collect();
        left -= 1;
    }
    reached
}
