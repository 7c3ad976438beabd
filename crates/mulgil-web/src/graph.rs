//! Where the nodes of a graph stand and which way its edges take: ranks from left to right, each node as far
//! right of what it waits for as has to be, and few crossings.
//!
//! It draws nothing, and the same graph always gives the same picture: a page that is fetched again while its
//! run goes on must not move under its reader.
//!
//! An edge over several ranks runs through lanes between the nodes. All edges that leave one node share its
//! lanes, so that there are never more of them than nodes times ranks.

mod order;
mod place;

/// How high a node is.
pub const NODE_HEIGHT: i32 = 40;
/// What stays free between two nodes above one another.
pub const NODE_GAP: i32 = 12;
/// What stays free between two ranks; the edges bend there.
pub const RANK_GAP: i32 = 44;
/// What stays free between two parts of the graph that no edge joins.
pub const PART_GAP: i32 = 24;
/// Nodes without any edge that stand side by side.
const SINGLES_A_ROW: usize = 4;

/// A graph, laid out. All of it lies between 0 and [`width`](Self::width), [`height`](Self::height).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The nodes, in the order in which they were given.
    pub nodes: Vec<Spot>,
    /// The edges, by where they begin and end; those that would close a circle are left out.
    pub edges: Vec<Route>,
    /// How wide it is.
    pub width: i32,
    /// How high it is.
    pub height: i32,
}

/// Where a node stands: its upper left corner and its width. All are [`NODE_HEIGHT`] high.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spot {
    /// From the left.
    pub x: i32,
    /// From the top.
    pub y: i32,
    /// How wide.
    pub width: i32,
}

/// Which way an edge takes: from point to point, never to the left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The node where it begins.
    pub from: usize,
    /// The node where it ends, which waits for the other.
    pub to: usize,
    /// Its points; between the first of a pair and the second it is level, between pairs it bends.
    pub points: Vec<(i32, i32)>,
}

/// Lays a graph out: the width of each node, and pairs of nodes of which the second waits for the first.
/// What is no edge (to itself, to nowhere, said twice) is passed over.
pub fn layout(widths: &[i32], edges: &[(usize, usize)]) -> Layout {
    let graph = Graph::new(widths.len(), edges);
    let mut all = Layout {
        nodes: vec![Spot::default(); widths.len()],
        ..Layout::default()
    };
    let mut singles = Vec::new();
    for part in graph.parts() {
        match part.as_slice() {
            [single] => singles.push(*single),
            nodes => add_part(&mut all, &graph, nodes, widths),
        }
    }
    add_singles(&mut all, &singles, widths);
    all.edges.sort_by_key(|edge| (edge.from, edge.to));
    all
}

/// Edges without circles and doubles, and the rank of each node.
struct Graph {
    /// Who waits for each node.
    after: Vec<Vec<usize>>,
    /// For what each node waits.
    before: Vec<Vec<usize>>,
    /// Its place from the left.
    rank: Vec<usize>,
}

impl Graph {
    fn new(count: usize, edges: &[(usize, usize)]) -> Self {
        let mut edges: Vec<_> = edges
            .iter()
            .copied()
            .filter(|&(from, to)| from != to && from < count && to < count)
            .collect();
        edges.sort_unstable();
        edges.dedup();
        let order = without_circles(count, &edges);
        let mut graph = Self {
            after: vec![Vec::new(); count],
            before: vec![Vec::new(); count],
            rank: vec![0; count],
        };
        for (from, to) in edges {
            if order[from] < order[to] {
                graph.after[from].push(to);
                graph.before[to].push(from);
            }
        }
        graph.set_ranks(&order);
        graph
    }

    /// The longest way from the left; what waits for nothing stands right before its first reader.
    fn set_ranks(&mut self, order: &[usize]) {
        let mut nodes: Vec<_> = (0..order.len()).collect();
        nodes.sort_unstable_by_key(|&node| order[node]);
        for &node in &nodes {
            self.rank[node] = self.before[node]
                .iter()
                .map(|&before| self.rank[before] + 1)
                .max()
                .unwrap_or(0);
        }
        for &node in &nodes {
            if self.before[node].is_empty()
                && let Some(first) = self.after[node].iter().map(|&after| self.rank[after]).min()
            {
                self.rank[node] = first - 1;
            }
        }
    }

    /// What edges join, in the order of the first node of each.
    fn parts(&self) -> Vec<Vec<usize>> {
        let mut seen = vec![false; self.rank.len()];
        let mut parts = Vec::new();
        for first in 0..self.rank.len() {
            if seen[first] {
                continue;
            }
            seen[first] = true;
            let (mut part, mut next) = (vec![first], 0);
            while let Some(&node) = part.get(next) {
                next += 1;
                for &other in self.after[node].iter().chain(&self.before[node]) {
                    if !std::mem::replace(&mut seen[other], true) {
                        part.push(other);
                    }
                }
            }
            part.sort_unstable();
            parts.push(part);
        }
        parts
    }
}

/// A place in a row for each node, such that edges lead forward. Where a circle is in the way, its node with
/// the smallest number comes first.
fn without_circles(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let (mut after, mut waits) = (vec![Vec::new(); count], vec![0_usize; count]);
    for &(from, to) in edges {
        after[from].push(to);
        waits[to] += 1;
    }
    let mut free: std::collections::BTreeSet<_> = (0..count).filter(|&node| waits[node] == 0).collect();
    let mut left: std::collections::BTreeSet<_> = (0..count).collect();
    let mut order = vec![0; count];
    for place in 0..count {
        let Some(node) = free.pop_first().or_else(|| left.first().copied()) else {
            break;
        };
        left.remove(&node);
        order[node] = place;
        for &next in &after[node] {
            waits[next] = waits[next].saturating_sub(1);
            if waits[next] == 0 && left.contains(&next) {
                free.insert(next);
            }
        }
    }
    order
}

/// Sets a part below what is there.
fn add_part(all: &mut Layout, graph: &Graph, nodes: &[usize], widths: &[i32]) {
    let ranks = order::ranks(graph, nodes);
    let placed = place::place(&ranks, widths);
    let top = below(all);
    for &(node, spot) in &placed.nodes {
        all.nodes[node] = Spot {
            y: spot.y + top,
            ..spot
        };
    }
    for mut route in placed.routes {
        for point in &mut route.points {
            point.1 += top;
        }
        all.edges.push(route);
    }
    all.width = all.width.max(placed.width);
    all.height = top + placed.height;
}

/// Sets the nodes that nothing joins below what is there, side by side.
fn add_singles(all: &mut Layout, singles: &[usize], widths: &[i32]) {
    let column = singles.iter().map(|&node| widths[node]).max().unwrap_or(0);
    for row in singles.chunks(SINGLES_A_ROW) {
        let y = if row.first() == singles.first() {
            below(all)
        } else {
            all.height + NODE_GAP
        };
        let mut x = 0;
        for &node in row {
            all.nodes[node] = Spot {
                x,
                y,
                width: widths[node],
            };
            all.width = all.width.max(x + widths[node]);
            x += column + NODE_GAP;
        }
        all.height = y + NODE_HEIGHT;
    }
}

fn below(all: &Layout) -> i32 {
    if all.height == 0 { 0 } else { all.height + PART_GAP }
}

#[cfg(test)]
mod tests;
