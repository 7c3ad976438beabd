//! The order in which each model follows what it reads, and the circles that have none.

use std::collections::BTreeSet;

/// Positions in an order in which each follows its dependencies, the lower position first where
/// there is a choice; and one circle of each knot that has no order.
pub(crate) struct Order {
    pub(crate) sorted: Vec<usize>,
    pub(crate) circles: Vec<Vec<usize>>,
}

/// Orders positions `0..dependencies.len()`; each entry lists what it depends on, each once.
pub(crate) fn order(dependencies: &[Vec<usize>]) -> Order {
    let mut readers = vec![Vec::new(); dependencies.len()];
    let mut waits_for: Vec<usize> = dependencies.iter().map(Vec::len).collect();
    for (reader, upstreams) in dependencies.iter().enumerate() {
        for &upstream in upstreams {
            readers[upstream].push(reader);
        }
    }
    let mut free: BTreeSet<usize> = (0..dependencies.len()).filter(|index| waits_for[*index] == 0).collect();
    let mut sorted = Vec::with_capacity(dependencies.len());
    while let Some(next) = free.pop_first() {
        sorted.push(next);
        for &reader in &readers[next] {
            waits_for[reader] -= 1;
            if waits_for[reader] == 0 {
                free.insert(reader);
            }
        }
    }
    let left: BTreeSet<usize> = (0..dependencies.len()).filter(|index| waits_for[*index] > 0).collect();
    Order {
        circles: circles(dependencies, left),
        sorted,
    }
}

fn circles(dependencies: &[Vec<usize>], mut left: BTreeSet<usize>) -> Vec<Vec<usize>> {
    let mut circles = Vec::new();
    while let Some(&start) = left.first() {
        let mut path = vec![start];
        loop {
            let last = path[path.len() - 1];
            let Some(&next) = dependencies[last].iter().find(|next| left.contains(next)) else {
                // It only waited for a circle that is already told.
                left.retain(|index| !path.contains(index));
                break;
            };
            if let Some(from) = path.iter().position(|index| *index == next) {
                left.retain(|index| !path.contains(index));
                let mut circle = path.split_off(from);
                // It begins with its lowest, so that it reads the same whatever was found first.
                let lowest = circle.iter().enumerate().min_by_key(|(_, index)| **index);
                let turn = lowest.map_or(0, |(at, _)| at);
                circle.rotate_left(turn);
                circles.push(circle);
                break;
            }
            path.push(next);
        }
    }
    circles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_comes_first_and_names_decide_the_rest() {
        let order = order(&[vec![2], vec![], vec![1], vec![]]);
        assert_eq!(order.sorted, [1, 2, 0, 3]);
        assert!(order.circles.is_empty());
    }

    #[test]
    fn each_knot_is_told_once() {
        // 0 and 1 read each other, 2 reads itself, 3 reads 0, 4 is free.
        let order = order(&[vec![1], vec![0], vec![2], vec![0], vec![]]);
        assert_eq!(order.sorted, [4]);
        assert_eq!(order.circles, [vec![0, 1], vec![2]]);
    }
}
