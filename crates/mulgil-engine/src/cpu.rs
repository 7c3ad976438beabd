//! Threads of their own for what computes: a query that joins for minutes without a pause must keep
//! neither clocks nor signals nor the ledger waiting, which live on the program's other threads.

use std::mem::ManuallyDrop;

use mulgil_core::{codes, diagnostic::Diagnostic, port::Fault};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

/// Query plans nest deeply, and more so in builds that are not optimized.
const STACK_BYTES: usize = 16 << 20;

/// The threads. When this goes they are left to themselves: what does not pause cannot be ended, only
/// forgotten, and the end of the process ends it. They are not shut down either, because that would
/// detach threads which are just ending, and the C library may then read memory that is gone.
pub(crate) struct Cpu(ManuallyDrop<Runtime>);

impl Cpu {
    /// Starts that many threads.
    pub(crate) fn new(threads: usize) -> Result<Self, Fault> {
        Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("mulgil-cpu")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map(|runtime| Self(ManuallyDrop::new(runtime)))
            .map_err(|error| bug(&format!("threads cannot be started: {error}")))
    }

    /// Runs work on the threads. Dropped before its end the work is ended at its next pause.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        let mut tasks = JoinSet::new();
        tasks.spawn_on(work, self.0.handle());
        outcome(tasks).await
    }
}

/// Runs work beside whatever else these threads do. Dropped before its end it is ended at its next
/// pause.
pub(crate) async fn beside<T: Send + 'static>(
    work: impl Future<Output = Result<T, Fault>> + Send + 'static,
) -> Result<T, Fault> {
    let mut tasks = JoinSet::new();
    tasks.spawn(work);
    outcome(tasks).await
}

async fn outcome<T: Send + 'static>(mut tasks: JoinSet<Result<T, Fault>>) -> Result<T, Fault> {
    match tasks.join_next().await {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => Err(bug(&format!("the engine broke: {error}"))),
        None => Err(bug("the engine lost its work")),
    }
}

fn bug(message: &str) -> Fault {
    Box::new(Diagnostic::error(codes::BUG, message.to_owned()))
}
