//! Which coordinates ranks in order get: columns from the left; in each, everything as close to the height of
//! its neighbours as its order and the gaps let it be.

use std::collections::HashMap;

use super::{
    NODE_GAP, NODE_HEIGHT, RANK_GAP, Route, Spot,
    order::{Item, Ranks},
};

/// How often heights are taken over from the neighbours.
const SWEEPS: usize = 8;
/// The room of a lane: edges side by side stay apart.
const LANE_HEIGHT: i32 = 8;
/// How much more a lane wants to be level than a node: its bends are what the eye follows.
const LANE_WEIGHT: i64 = 4;

/// A part of a graph with its coordinates, from 0.
pub(super) struct Placed {
    /// Its nodes.
    pub(super) nodes: Vec<(usize, Spot)>,
    /// Its edges.
    pub(super) routes: Vec<Route>,
    /// How wide it is.
    pub(super) width: i32,
    /// How high it is.
    pub(super) height: i32,
}

/// Gives coordinates.
pub(super) fn place(ranks: &Ranks, widths: &[i32]) -> Placed {
    let columns = columns(&ranks.items, widths);
    let mut middles = stacked(&ranks.items);
    for sweep in 0..SWEEPS {
        level(ranks, &mut middles, sweep % 2 == 0);
    }
    let top = (ranks.items.iter().zip(&middles))
        .flat_map(|(items, middles)| items.iter().zip(middles))
        .map(|(item, middle)| middle - height(*item) / 2)
        .min()
        .unwrap_or(0);
    let (mut nodes, mut bottom) = (Vec::new(), 0);
    for (rank, items) in ranks.items.iter().enumerate() {
        for (item, middle) in items.iter().zip(&mut middles[rank]) {
            *middle -= top;
            bottom = bottom.max(*middle + height(*item) / 2);
            if let Item::Node(node) = *item {
                nodes.push((
                    node,
                    Spot {
                        x: columns[rank].0,
                        y: *middle - NODE_HEIGHT / 2,
                        width: widths[node],
                    },
                ));
            }
        }
    }
    let width = columns.last().map_or(0, |(x, width)| x + width);
    Placed {
        nodes,
        routes: routes(ranks, &columns, &middles, widths),
        width,
        height: bottom,
    }
}

fn height(item: Item) -> i32 {
    match item {
        Item::Node(_) => NODE_HEIGHT,
        Item::Lane(_) => LANE_HEIGHT,
    }
}

fn weight(item: Item) -> i64 {
    match item {
        Item::Node(_) => 1,
        Item::Lane(_) => LANE_WEIGHT,
    }
}

/// How far apart the middles of two neighbours of a rank are at least.
fn distance(above: Item, below: Item) -> i32 {
    let gap = match (above, below) {
        (Item::Lane(_), Item::Lane(_)) => 0,
        (Item::Node(_), _) | (_, Item::Node(_)) => NODE_GAP,
    };
    height(above) / 2 + height(below) / 2 + gap
}

/// From where to where each rank reaches: its left side and its width.
fn columns(items: &[Vec<Item>], widths: &[i32]) -> Vec<(i32, i32)> {
    let mut x = 0;
    items
        .iter()
        .map(|rank| {
            let widest = rank.iter().map(|item| match *item {
                Item::Node(node) => widths[node],
                Item::Lane(_) => 0,
            });
            let width = widest.max().unwrap_or(0);
            let column = (x, width);
            x += width + RANK_GAP;
            column
        })
        .collect()
}

/// The middles of everything, one below the other.
fn stacked(items: &[Vec<Item>]) -> Vec<Vec<i32>> {
    items
        .iter()
        .map(|rank| {
            let mut middle = 0;
            let mut above = None;
            rank.iter()
                .map(|&item| {
                    middle += above.map_or(height(item) / 2, |above| distance(above, item));
                    above = Some(item);
                    middle
                })
                .collect()
        })
        .collect()
}

/// Takes heights over from the neighbours at the left, or at the right.
fn level(ranks: &Ranks, middles: &mut [Vec<i32>], rightwards: bool) {
    let count = ranks.items.len();
    for step in 1..count {
        let (rank, from) = if rightwards {
            (step, step - 1)
        } else {
            (count - 1 - step, count - step)
        };
        let mut sums = vec![(0_i64, 0_i64); ranks.items[rank].len()];
        for &(left, right) in &ranks.joints[rank.min(from)] {
            let (here, there) = if rightwards { (right, left) } else { (left, right) };
            sums[here].0 += i64::from(middles[from][there]);
            sums[here].1 += 1;
        }
        let wished: Vec<i64> = (sums.iter().zip(&middles[rank]))
            .map(|(&(sum, count), &middle)| {
                if count == 0 {
                    i64::from(middle)
                } else {
                    sum.div_euclid(count)
                }
            })
            .collect();
        middles[rank] = nearest(&ranks.items[rank], &wished);
    }
}

/// The heights nearest to those that are wished for, in order and with their distances kept: what would
/// overlap is put together into a block that stands where its members want to be on average.
fn nearest(items: &[Item], wished: &[i64]) -> Vec<i32> {
    let mut offset = 0;
    let mut offsets = Vec::with_capacity(items.len());
    for (place, &item) in items.iter().enumerate() {
        offset += if place == 0 {
            0
        } else {
            i64::from(distance(items[place - 1], item))
        };
        offsets.push(offset);
    }
    let mut blocks: Vec<Block> = Vec::new();
    for (place, &item) in items.iter().enumerate() {
        let weight = weight(item);
        let mut block = Block {
            sum: (wished[place] - offsets[place]) * weight,
            weight,
            count: 1,
        };
        while let Some(above) = blocks.pop_if(|above| above.middle() >= block.middle()) {
            block.sum += above.sum;
            block.weight += above.weight;
            block.count += above.count;
        }
        blocks.push(block);
    }
    let starts = blocks
        .iter()
        .flat_map(|block| std::iter::repeat_n(block.middle(), block.count));
    starts
        .zip(offsets)
        .map(|(start, offset)| (start + offset) as i32)
        .collect()
}

struct Block {
    sum: i64,
    weight: i64,
    count: usize,
}

impl Block {
    fn middle(&self) -> i64 {
        self.sum.div_euclid(self.weight)
    }
}

/// The way of each edge: level through its own rank and through each lane, bent between them.
fn routes(ranks: &Ranks, columns: &[(i32, i32)], middles: &[Vec<i32>], widths: &[i32]) -> Vec<Route> {
    let (mut nodes, mut lanes) = (HashMap::new(), HashMap::new());
    for (rank, items) in ranks.items.iter().enumerate() {
        for (&item, &middle) in items.iter().zip(&middles[rank]) {
            match item {
                Item::Node(node) => nodes.insert(node, (rank, middle)),
                Item::Lane(node) => lanes.insert((node, rank), middle).map(|middle| (rank, middle)),
            };
        }
    }
    let way = |&(from, to): &(usize, usize)| {
        let ((first, y), (last, end)) = (nodes[&from], nodes[&to]);
        let (x, width) = columns[first];
        let mut points = vec![(x + widths[from], y), (x + width, y)];
        for rank in first + 1..last {
            let ((x, width), y) = (columns[rank], lanes[&(from, rank)]);
            points.extend([(x, y), (x + width, y)]);
        }
        points.push((columns[last].0, end));
        Route { from, to, points }
    };
    ranks.edges.iter().map(way).collect()
}
