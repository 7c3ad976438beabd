//! Many who write at once.

use std::sync::Arc;

use mulgil_core::codes;
use tokio::task::JoinSet;

use super::support::*;

#[tokio::test]
async fn those_who_wait_together_share_a_commit() {
    let store = Arc::new(scratch().await);
    let mut writers = JoinSet::new();
    for attempt in 0..400 {
        let store = Arc::clone(&store);
        writers.spawn(async move { store.append_log(attempt, vec!["a line".to_owned()], minute(0)).await });
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap().unwrap();
    }
    let (requests, commits) = store.writes();
    assert_eq!(requests, 400);
    assert!(commits <= 40, "{commits} commits for 400 requests");
    for attempt in [0, 199, 399] {
        assert_eq!(store.log(attempt).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_refused_request_undoes_only_itself() {
    let (store, project) = (Arc::new(scratch().await), Arc::new(shop()));
    begin(&store, Vec::new()).await;
    let mut claims = JoinSet::new();
    for of in ["flights", "flights", "windows", "flights", "months", "windows"] {
        let (store, request) = (Arc::clone(&store), request(&project, 1, &instance(of), days(0, 1)));
        claims.spawn(async move { store.claim(request, minute(1)).await });
    }
    let (mut held, mut attempts) = (0, Vec::new());
    while let Some(claim) = claims.join_next().await {
        match claim.unwrap() {
            Ok(claim) => attempts.push(claim.attempt),
            Err(fault) => {
                assert_eq!(fault.code, codes::CLAIM_HELD);
                held += 1;
            }
        }
    }
    attempts.sort_unstable();
    assert_eq!(
        (held, attempts),
        (3, vec![1, 2, 3]),
        "the refused ones use up no number"
    );
    let seqs: Vec<i64> = store.facts().await.unwrap().into_iter().map(|(seq, ..)| seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
}
