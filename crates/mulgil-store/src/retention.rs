//! What is not kept for ever: the lines that attempts said. Facts are kept, and so is what follows from them.

use mulgil_core::{interval::Instant, port::Fault};

use crate::{Store, sql};

/// Attempts whose lines are removed in one request, so that nobody waits long for the writer.
const ATTEMPTS_AT_ONCE: i64 = 200;

impl Store {
    /// Removes the lines of attempts that ended before a moment; gives of how many attempts.
    ///
    /// # Errors
    /// A coded MG5 fault; what was removed until then stays removed.
    pub async fn forget_logs(&self, before: Instant) -> Result<u64, Fault> {
        let mut forgotten = 0;
        loop {
            let count = self.forget_some(before).await?;
            forgotten += count;
            if count < ATTEMPTS_AT_ONCE.unsigned_abs() {
                return Ok(forgotten);
            }
        }
    }

    async fn forget_some(&self, before: Instant) -> Result<u64, Fault> {
        self.write(move |conn| {
            Box::pin(async move {
                let attempts: Vec<(i64,)> = sql::query_as(
                    "select distinct attempt_log.attempt from attempt_log
                     join attempt on attempt.id = attempt_log.attempt
                     where attempt.ended_at < $1 order by 1 limit $2",
                )
                .bind(before.0)
                .bind(ATTEMPTS_AT_ONCE)
                .fetch_all(&mut *conn)
                .await?;
                for (attempt,) in &attempts {
                    sql::query("delete from attempt_log where attempt = $1")
                        .bind(*attempt)
                        .execute(&mut *conn)
                        .await?;
                }
                Ok(attempts.len() as u64)
            })
        })
        .await
    }
}
