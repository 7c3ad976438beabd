//! What holds of every layout.

use proptest::prelude::*;

use super::{Layout, NODE_HEIGHT, layout};

fn graphs() -> impl Strategy<Value = (Vec<i32>, Vec<(usize, usize)>)> {
    prop::collection::vec(40..240_i32, 0..40).prop_flat_map(|widths| {
        let count = widths.len().max(1);
        (Just(widths), prop::collection::vec((0..count + 1, 0..count + 1), 0..80))
    })
}

fn boxes_overlap(all: &Layout, one: usize, other: usize) -> bool {
    let (a, b) = (all.nodes[one], all.nodes[other]);
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + NODE_HEIGHT && b.y < a.y + NODE_HEIGHT
}

/// Nodes through which a level stretch of an edge runs.
fn runs_through(all: &Layout) -> Option<(usize, usize)> {
    all.edges.iter().enumerate().find_map(|(place, edge)| {
        edge.points.chunks_exact(2).find_map(|pair| {
            let ((x0, y), (x1, _)) = (pair[0], pair[1]);
            let hit =
                |spot: &super::Spot| spot.y < y && y < spot.y + NODE_HEIGHT && spot.x < x1 && x0 < spot.x + spot.width;
            all.nodes.iter().position(hit).map(|node| (place, node))
        })
    })
}

proptest! {
    #[test]
    fn nothing_overlaps_and_edges_go_right((widths, edges) in graphs()) {
        let all = layout(&widths, &edges);
        prop_assert_eq!(all.nodes.len(), widths.len());
        for one in 0..widths.len() {
            let spot = all.nodes[one];
            prop_assert!(spot.x >= 0 && spot.y >= 0 && spot.x + spot.width <= all.width && spot.y + NODE_HEIGHT <= all.height);
            for other in 0..one {
                prop_assert!(!boxes_overlap(&all, one, other), "{} and {}: {:?}", one, other, all);
            }
        }
        for edge in &all.edges {
            let (from, to) = (all.nodes[edge.from], all.nodes[edge.to]);
            prop_assert_eq!(edge.points[0], (from.x + from.width, from.y + NODE_HEIGHT / 2));
            prop_assert_eq!(*edge.points.last().unwrap(), (to.x, to.y + NODE_HEIGHT / 2));
            prop_assert!(edge.points.windows(2).all(|pair| pair[0].0 <= pair[1].0), "{:?}", edge);
            prop_assert!(edge.points.iter().all(|&(_, y)| (0..=all.height).contains(&y)), "{:?}", edge);
        }
        prop_assert_eq!(runs_through(&all), None);
    }

    #[test]
    fn the_same_graph_gives_the_same_picture((widths, edges) in graphs()) {
        let mut turned = edges.clone();
        turned.reverse();
        prop_assert_eq!(layout(&widths, &edges), layout(&widths, &turned));
    }

    #[test]
    fn every_edge_of_a_graph_without_circles_is_drawn((widths, edges) in graphs()) {
        let mut forward: Vec<_> = edges.into_iter().filter(|(from, to)| from < to && *to < widths.len()).collect();
        forward.sort_unstable();
        forward.dedup();
        let drawn: Vec<_> = layout(&widths, &forward).edges.iter().map(|edge| (edge.from, edge.to)).collect();
        prop_assert_eq!(drawn, forward);
    }
}

#[test]
fn a_diamond_stands_level() {
    let all = layout(&[100; 4], &[(0, 1), (0, 2), (1, 3), (2, 3)]);
    let [first, left, right, last] = all.nodes[..] else {
        panic!()
    };
    assert_eq!((first.y, first.x, left.x, right.x, last.x), (last.y, 0, 144, 144, 288));
    assert!(left.y < right.y);
}

/// Each of 150 nodes waits for all before it: as many edges as there can be, over as many ranks.
#[test]
fn the_densest_graph_is_laid_out_all_the_same() {
    let edges: Vec<_> = (0..150).flat_map(|to| (0..to).map(move |from| (from, to))).collect();
    let all = layout(&[120; 150], &edges);
    assert_eq!(all.edges.len(), edges.len());
    assert_eq!(runs_through(&all), None);
}
