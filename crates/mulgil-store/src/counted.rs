//! How many queries somebody has sent: a page says what it took, and a test holds it to that.

use std::cell::Cell;

tokio::task_local! {
    static SENT: Cell<u32>;
}

/// Does some work, and gives with what came of it how many queries it sent to read the ledger. What it has other
/// tasks do is not counted.
pub async fn counted<T>(work: impl Future<Output = T>) -> (T, u32) {
    SENT.scope(Cell::new(0), async {
        let out = work.await;
        (out, SENT.with(Cell::get))
    })
    .await
}

/// One more was sent.
pub(crate) fn sent() {
    // Most who ask do not count.
    let _ = SENT.try_with(|sent| sent.set(sent.get() + 1));
}
