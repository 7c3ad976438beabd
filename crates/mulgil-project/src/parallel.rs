//! Work on many items, on all cores.

use std::{
    num::NonZero,
    panic::resume_unwind,
    thread::{available_parallelism, scope},
};

/// Fewer items than these for each thread are not worth one.
const LEAST: usize = 64;

/// What `work` makes of each item, in the order of the items, however many threads do it.
pub(crate) fn map<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = available_parallelism().map_or(1, NonZero::get);
    map_on(threads.min(items.len() / LEAST), items, work)
}

fn map_on<T: Send, R: Send>(threads: usize, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let all = items.len();
    let mut items = items.into_iter();
    if threads <= 1 {
        return items.map(work).collect();
    }
    let part = all.div_ceil(threads);
    let own: Vec<T> = items.by_ref().take(part).collect();
    let work = &work;
    scope(|scope| {
        let mut others = Vec::with_capacity(threads - 1);
        while items.len() > 0 {
            let part: Vec<T> = items.by_ref().take(part).collect();
            others.push(scope.spawn(move || part.into_iter().map(work).collect::<Vec<R>>()));
        }
        let mut made = Vec::with_capacity(all);
        made.extend(own.into_iter().map(work));
        for other in others {
            made.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        made
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_items_whoever_made_them() {
        for threads in [0, 1, 2, 3, 7, 100] {
            for count in [0, 1, 2, 99, 1_000] {
                let items: Vec<usize> = (0..count).collect();
                let wanted: Vec<String> = items.iter().map(usize::to_string).collect();
                assert_eq!(map_on(threads, items, |item| item.to_string()), wanted);
            }
        }
        assert_eq!(
            map((0..1_000).collect(), |item: usize| item * 2),
            (0..2_000).step_by(2).collect::<Vec<_>>()
        );
    }
}
