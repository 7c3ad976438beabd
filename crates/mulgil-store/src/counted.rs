//! How many statements a piece of work sends to the ledger, so that a page can say it and a test can hold it to a
//! bound. It is counted where statements are sent, so that nobody has to say it by hand.

use std::{cell::Cell, future::Future};

tokio::task_local! {
    static SENT: Cell<u32>;
}

/// Does a piece of work, and says how many statements it sent to read the ledger. What its snapshots begin and end
/// with does not count, nor does what the writer sends.
pub async fn counted<T>(work: impl Future<Output = T>) -> (T, u32) {
    let counting = async {
        let value = work.await;
        (value, SENT.with(Cell::get))
    };
    let (value, count) = SENT.scope(Cell::new(0), counting).await;
    add(count);
    (value, count)
}

/// A statement was sent.
pub(crate) fn sent() {
    add(1);
}

fn add(count: u32) {
    // Most of the time nobody counts.
    let _ = SENT.try_with(|sent| sent.set(sent.get() + count));
}
