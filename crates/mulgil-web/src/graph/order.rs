//! In which order the nodes and lanes of each rank stand, so that few edges cross.

use std::collections::HashMap;

use super::Graph;

/// How often each rank is put in order by its neighbours; more than a few change nothing any more.
const SWEEPS: usize = 6;

/// What stands in a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Item {
    /// A node.
    Node(usize),
    /// The lane of the edges that leave this node.
    Lane(usize),
}

/// The ranks of a part of a graph, from the left, each from the top.
pub(super) struct Ranks {
    /// What stands in each.
    pub(super) items: Vec<Vec<Item>>,
    /// For each rank but the last: pairs of places, in it and in the next one, that an edge joins.
    pub(super) joints: Vec<Vec<(usize, usize)>>,
    /// The edges: from, to.
    pub(super) edges: Vec<(usize, usize)>,
}

/// Puts some nodes into ranks and each rank into order.
pub(super) fn ranks(graph: &Graph, nodes: &[usize]) -> Ranks {
    let first = nodes.iter().map(|&node| graph.rank[node]).min().unwrap_or(0);
    let last = nodes.iter().map(|&node| graph.rank[node]).max().unwrap_or(0);
    let mut items = vec![Vec::new(); last - first + 1];
    let (mut links, mut edges) = (vec![Vec::new(); last - first + 1], Vec::new());
    for &node in nodes {
        let rank = graph.rank[node] - first;
        items[rank].push(Item::Node(node));
        let farthest = graph.after[node]
            .iter()
            .map(|&after| graph.rank[after] - first)
            .max()
            .unwrap_or(rank);
        let mut from = Item::Node(node);
        for lane in rank + 1..farthest {
            items[lane].push(Item::Lane(node));
            links[lane - 1].push((from, Item::Lane(node)));
            from = Item::Lane(node);
        }
        for &after in &graph.after[node] {
            let to = graph.rank[after] - first;
            edges.push((node, after));
            let from = if to == rank + 1 {
                Item::Node(node)
            } else {
                Item::Lane(node)
            };
            links[to - 1].push((from, Item::Node(after)));
        }
    }
    let items = best_order(items, &links);
    let joints = joints(&items, &links);
    Ranks { items, joints, edges }
}

type Links = [Vec<(Item, Item)>];

/// Sweeps right and left by turns and keeps the order with the fewest crossings.
fn best_order(mut items: Vec<Vec<Item>>, links: &Links) -> Vec<Vec<Item>> {
    let mut best = (crossings(&items, links), items.clone());
    for sweep in 0..SWEEPS {
        if best.0 == 0 {
            break;
        }
        let count = items.len();
        if sweep % 2 == 0 {
            for rank in 1..count {
                let pairs = links[rank - 1].iter().map(|&(left, right)| (right, left));
                let sorted = sorted(&items[rank], &items[rank - 1], pairs);
                items[rank] = sorted;
            }
        } else {
            for rank in (0..count.saturating_sub(1)).rev() {
                let sorted = sorted(&items[rank], &items[rank + 1], links[rank].iter().copied());
                items[rank] = sorted;
            }
        }
        let count = crossings(&items, links);
        if count < best.0 {
            best = (count, items.clone());
        }
    }
    best.1
}

/// A rank in the order of the middle of its neighbours; what has none keeps its place.
fn sorted(rank: &[Item], neighbours: &[Item], pairs: impl Iterator<Item = (Item, Item)>) -> Vec<Item> {
    /// Fine enough to tell the middles of up to some hundred neighbours apart, without a fraction.
    const FINE: u64 = 1 << 16;
    let places = places(neighbours);
    let mut sums: HashMap<Item, (u64, u64)> = HashMap::new();
    for (item, neighbour) in pairs {
        let sum = sums.entry(item).or_default();
        sum.0 += places[&neighbour] as u64;
        sum.1 += 1;
    }
    let mut keyed: Vec<_> = rank
        .iter()
        .enumerate()
        .map(|(place, &item)| match sums.get(&item) {
            Some((sum, count)) => (sum * FINE / count, place, item),
            None => (place as u64 * FINE, place, item),
        })
        .collect();
    keyed.sort_unstable_by_key(|&(middle, place, _)| (middle, place));
    keyed.into_iter().map(|(_, _, item)| item).collect()
}

fn places(rank: &[Item]) -> HashMap<Item, usize> {
    rank.iter().enumerate().map(|(place, &item)| (item, place)).collect()
}

/// The links as pairs of places, from the top.
fn joints(items: &[Vec<Item>], links: &Links) -> Vec<Vec<(usize, usize)>> {
    let places: Vec<_> = items.iter().map(|rank| places(rank)).collect();
    items
        .windows(2)
        .enumerate()
        .map(|(rank, _)| {
            let mut pairs: Vec<_> = links[rank]
                .iter()
                .map(|(left, right)| (places[rank][left], places[rank + 1][right]))
                .collect();
            pairs.sort_unstable();
            pairs
        })
        .collect()
}

/// How many pairs of edges cross: inversions, counted with a tree of sums.
fn crossings(items: &[Vec<Item>], links: &Links) -> u64 {
    joints(items, links)
        .iter()
        .enumerate()
        .map(|(rank, pairs)| inversions(pairs, items[rank + 1].len()))
        .sum()
}

fn inversions(pairs: &[(usize, usize)], width: usize) -> u64 {
    let (mut tree, mut seen, mut count) = (vec![0_u64; width + 1], 0, 0);
    for &(_, right) in pairs {
        let (mut at, mut not_below) = (right + 1, 0);
        while at > 0 {
            not_below += tree[at];
            at &= at - 1;
        }
        count += seen - not_below;
        let mut at = right + 1;
        while at <= width {
            tree[at] += 1;
            at += at & at.wrapping_neg();
        }
        seen += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::inversions;

    #[test]
    fn crossings_are_counted() {
        assert_eq!(inversions(&[(0, 0), (1, 1)], 2), 0);
        assert_eq!(inversions(&[(0, 1), (1, 0)], 2), 1);
        assert_eq!(inversions(&[(0, 2), (1, 1), (2, 0)], 3), 3);
        assert_eq!(inversions(&[(0, 1), (0, 2), (1, 0), (1, 2)], 3), 2);
    }
}
