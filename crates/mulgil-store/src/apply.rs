//! From facts to what is derived of them, in the transaction that records them.
//!
//! What is applied depends on the fact and on what is already derived, on nothing else: no project,
//! no clock, no chance. So applying all facts again from nothing gives the same ledger.

use mulgil_core::{
    interval::{Instant, Interval, RangeSet},
    name::Instance,
    port::Filled,
    run::RunState,
    state::{Cause, Failing},
    task::Column,
};

use crate::{
    apply_backfill, apply_flow,
    chunk::{self, Cover},
    document,
    error::Error,
    fact::{
        Claimed, Fact, Failed, FillRecord, ForeignCommit, Mark, Published, RolledBack, RunBegan, SourceChanged,
        TargetChanged, TargetVanished, Tested, Undone,
    },
    source,
    sql::{self, Conn},
    text,
};

/// Records a fact and applies it; gives its number.
pub(crate) async fn record(conn: &mut Conn, fact: &Fact, now: Instant) -> Result<i64, Error> {
    let seq = insert(&mut *conn, None, fact, now).await?;
    apply(conn, seq, now, fact).await?;
    Ok(seq)
}

/// Records a fact under a number that was chosen, above all others.
pub(crate) async fn record_as(conn: &mut Conn, seq: i64, fact: &Fact, now: Instant) -> Result<(), Error> {
    insert(&mut *conn, Some(seq), fact, now).await?;
    apply(conn, seq, now, fact).await
}

/// In one statement, because to a server each is a message there and back.
async fn insert(conn: &mut Conn, seq: Option<i64>, fact: &Fact, now: Instant) -> Result<i64, Error> {
    let (seq,): (i64,) = sql::query_as(
        "insert into fact (seq, at, kind, payload, run)
         select coalesce($1, max(seq) + 1, 1), $2, $3, $4, coalesce($5, (
             select t.run from attempt a join task_run t on t.id = a.task_run where a.id = $6
         )) from fact
         returning seq",
    )
    .bind(seq)
    .bind(now.0)
    .bind(fact.kind())
    .bind(serde_json::to_string(fact)?)
    .bind(fact.run())
    .bind(fact.attempt())
    .fetch_one(conn)
    .await?;
    Ok(seq)
}

/// Derives what follows from a fact.
pub(crate) async fn apply(conn: &mut Conn, seq: i64, at: Instant, fact: &Fact) -> Result<(), Error> {
    match fact {
        Fact::RunBegan(run) => run_began(conn, seq, at, run).await,
        Fact::RunEnded { run, state } => end_run(conn, *run, *state, at).await,
        Fact::Claimed(claimed) => claim(conn, seq, at, claimed).await,
        Fact::Filled(record) => fill(conn, seq, at, record).await,
        Fact::Failed(failed) => fail(conn, at, failed).await,
        Fact::Tested(tested) => test(conn, at, tested).await,
        Fact::SourceChanged(changed) => source_changed(conn, seq, at, changed).await,
        Fact::Published(published) => publish(conn, published).await,
        Fact::RolledBack(rolled_back) => roll_back(conn, seq, at, rolled_back).await,
        Fact::TargetChanged(changed) => target_changed(conn, seq, at, changed).await,
        Fact::TargetVanished(vanished) => target_vanished(conn, seq, vanished).await,
        Fact::Dropped(vanished) => dropped(conn, seq, vanished).await,
        Fact::SequenceRaised { .. } => Ok(()),
        Fact::Crashed {
            attempts,
            task_runs,
            runs,
        } => crash(conn, at, attempts, task_runs, runs).await,
        Fact::Waived { instance, ranges, .. } => {
            document::change(conn, &text::of_instance(instance), |document| {
                document.waived = document.waived.union(ranges);
            })
            .await
        }
        Fact::Ticked(ticked) => apply_flow::tick(conn, seq, at, ticked).await,
        Fact::FlowBegan(began) => apply_flow::begin(conn, seq, at, began).await,
        Fact::FlowDefined(defined) => apply_flow::define(conn, seq, defined).await,
        Fact::StepsBegan(began) => apply_flow::begin_steps(conn, seq, at, began).await,
        Fact::StepsEnded(ended) => apply_flow::end_steps(conn, at, ended).await,
        Fact::FlowCancelled { run, .. } => apply_flow::cancel(conn, *run).await,
        Fact::FlowEnded(ended) => apply_flow::end(conn, seq, at, ended).await,
        Fact::FlowReopened(reopened) => apply_flow::reopen(conn, at, reopened).await,
        Fact::BackfillMade(made) => apply_backfill::made(conn, seq, at, made).await,
        Fact::BackfillAsked(asked) => apply_backfill::asked(conn, seq, asked).await,
        Fact::BackfillPaused(paused) => apply_backfill::paused(conn, paused).await,
        Fact::BackfillResumed { backfill, .. } => apply_backfill::resumed(conn, *backfill).await,
        Fact::BackfillCancelled(cancelled) => apply_backfill::cancelled(conn, at, cancelled).await,
    }
}

async fn run_began(conn: &mut Conn, seq: i64, at: Instant, run: &RunBegan) -> Result<(), Error> {
    sql::query("insert into run (id, \"trigger\", selector, state, started_at) values ($1, $2, $3, $4, $5)")
        .bind(run.run)
        .bind(serde_json::to_string(&run.trigger)?)
        .bind(&run.selector)
        .bind(RunState::Running.as_str())
        .bind(at.0)
        .execute(&mut *conn)
        .await?;
    let manual = run.manual.iter().map(|asked| (asked, Cause::Manual));
    let again = run.again.iter().map(|asked| (asked, Cause::Again));
    for ((instance, ranges), cause) in manual.chain(again) {
        document::change(&mut *conn, &text::of_instance(instance), |document| {
            document.ask(seq, cause.clone(), ranges);
        })
        .await?;
    }
    for instance in &run.named {
        document::change(&mut *conn, &text::of_instance(instance), document::Document::let_go).await?;
    }
    if let Some(backfill) = run.backfill {
        apply_backfill::take(conn, seq, backfill, &run.manual).await?;
    }
    Ok(())
}

pub(crate) async fn end_run(conn: &mut Conn, run: i64, state: RunState, at: Instant) -> Result<(), Error> {
    sql::query("update run set state = $2, ended_at = $3 where id = $1")
        .bind(run)
        .bind(state.as_str())
        .bind(at.0)
        .execute(conn)
        .await?;
    Ok(())
}

async fn claim(conn: &mut Conn, seq: i64, at: Instant, claimed: &Claimed) -> Result<(), Error> {
    sql::query(
        "insert into task_run (id, run, instance, kind, start_at, end_at, reason, state)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (id) do update set state = excluded.state",
    )
    .bind(claimed.task_run)
    .bind(claimed.run)
    .bind(text::of_instance(&claimed.instance))
    .bind(text::of_kind(claimed.kind))
    .bind(claimed.range.start.0)
    .bind(claimed.range.end.0)
    .bind(claimed.reason.to_string())
    .bind(RunState::Running.as_str())
    .execute(&mut *conn)
    .await?;
    sql::query("insert into attempt (id, task_run, relation, seq, state, started_at) values ($1, $2, $3, $4, $5, $6)")
        .bind(claimed.attempt)
        .bind(claimed.task_run)
        .bind(text::of_relation(&claimed.relation))
        .bind(seq)
        .bind(RunState::Running.as_str())
        .bind(at.0)
        .execute(conn)
        .await?;
    Ok(())
}

async fn fill(conn: &mut Conn, seq: i64, at: Instant, record: &FillRecord) -> Result<(), Error> {
    for (instance, ranges) in &record.removed {
        lose(&mut *conn, instance, ranges).await?;
    }
    let instance = text::of_instance(&record.instance);
    let intervals: Vec<Filled> = record.intervals.iter().map(|row| Filled::from(*row)).collect();
    let cover = Cover {
        range: record.range,
        made_with: record.fingerprint,
        claim_seq: record.claim_seq,
        made_at: record.made_at,
        filled_at: at,
    };
    chunk::replace(&mut *conn, &instance, record.range, &[cover]).await?;
    chunk::replace(&mut *conn, &instance, record.range, &intervals).await?;
    document::change(&mut *conn, &instance, |document| {
        document.fill(seq, record.claim_seq, record.range, record.untested);
        for outdated in &record.outdated {
            let cause = Cause::Upstream(outdated.upstream.node.clone());
            document.add(seq, cause, outdated.ranges.clone(), true);
        }
        if record.hooks_left {
            document.add(seq, Cause::Hooks, record.range.into(), true);
        }
    })
    .await?;
    sql::query("update node set relation = $2 where instance = $1")
        .bind(&instance)
        .bind(text::of_relation(&record.relation))
        .execute(&mut *conn)
        .await?;
    sql::query(
        "insert into fill (seq, instance, relation, start_at, end_at, attempt, claim_seq)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(seq)
    .bind(&instance)
    .bind(text::of_relation(&record.relation))
    .bind(record.range.start.0)
    .bind(record.range.end.0)
    .bind(record.attempt)
    .bind(record.claim_seq)
    .execute(&mut *conn)
    .await?;
    let rows: u64 = intervals.iter().map(|filled| filled.rows).sum();
    // An adopted commit may carry the attempt's number of another ledger: then the claim's differs.
    let mine = sql::query("update attempt set rows = $3, version = $4 where id = $1 and seq = $2")
        .bind(record.attempt)
        .bind(record.claim_seq)
        .bind(rows.cast_signed())
        .bind(record.version)
        .execute(&mut *conn)
        .await?;
    if mine.rows_affected() > 0 && !record.hooks_left {
        end_attempt(&mut *conn, record.attempt, RunState::Success, at, None).await?;
    }
    apply_backfill::filled(&mut *conn, at, &instance, record.range, record.claim_seq).await?;
    put_relation(&mut *conn, record).await?;
    put_version(&mut *conn, at, record).await?;
    mark(conn, seq, &Cause::Upstream(record.instance.node.clone()), &record.marks).await
}

/// The version and the size move on only from the version before: across a gap lies a commit that was not
/// looked at yet. Nor is a table taken for the known one before its log was looked at.
async fn put_relation(conn: &mut Conn, record: &FillRecord) -> Result<(), Error> {
    let columns: &[Column] = record.columns.as_deref().unwrap_or_default();
    let growth = record.growth.unwrap_or_default();
    sql::query(
        "insert into relation (relation, schema_name, name, node, kind, columns, version, table_id, bytes, files)
         values ($1, $2, $3, $4, $5, $6, $7, $10,
             case when $11 > 0 then $11 else 0 end, case when $12 > 0 then $12 else 0 end)
         on conflict (relation) do update set
             dropped = 0,
             node = excluded.node,
             kind = excluded.kind,
             table_id = coalesce(relation.table_id, excluded.table_id),
             uncounted = case when $9 then 0 else relation.uncounted end,
             columns = case when $8 then excluded.columns else relation.columns end,
             bytes = case
                 when relation.version is null or relation.version + 1 = excluded.version
                 then case when relation.bytes + $11 > 0 then relation.bytes + $11 else 0 end
                 else relation.bytes
             end,
             files = case
                 when relation.version is null or relation.version + 1 = excluded.version
                 then case when relation.files + $12 > 0 then relation.files + $12 else 0 end
                 else relation.files
             end,
             version = case
                 when relation.version is null or relation.version + 1 = excluded.version then excluded.version
                 else relation.version
             end",
    )
    .bind(text::of_relation(&record.relation))
    .bind(&record.relation.schema)
    .bind(&record.relation.name)
    .bind(record.instance.node.as_str())
    .bind(serde_json::to_string(&record.materialization)?)
    .bind(serde_json::to_string(columns)?)
    .bind(record.version)
    .bind(record.columns.is_some())
    .bind(record.replaces_all)
    .bind(&record.table_id)
    .bind(growth.bytes)
    .bind(growth.files)
    .execute(conn)
    .await?;
    Ok(())
}

/// What is seen moves on with what is there, but where data tests have to pass first.
async fn put_version(conn: &mut Conn, at: Instant, record: &FillRecord) -> Result<(), Error> {
    let Some(version) = record.version else {
        return Ok(());
    };
    sql::query(
        "update relation set
             newest = case when newest > $2 then newest else $2 end,
             published = case when $3 then published when newest > $2 then newest else $2 end,
             waits_since = case
                 when not $3 then null
                 when published is null or published < $2 then coalesce(waits_since, $4)
                 else waits_since
             end
         where relation = $1",
    )
    .bind(text::of_relation(&record.relation))
    .bind(version)
    .bind(record.waits)
    .bind(at.0)
    .execute(conn)
    .await?;
    Ok(())
}

/// The table holds what it held at an earlier version, which readers see at once: it is no new one.
async fn roll_back(conn: &mut Conn, seq: i64, at: Instant, back: &RolledBack) -> Result<(), Error> {
    for undone in &back.undone {
        take_back(&mut *conn, seq, back, undone).await?;
    }
    for instance in &back.instances {
        document::change(&mut *conn, &text::of_instance(instance), |document| {
            let hold = Failing::rolled_back(back.to, back.fingerprint, at);
            document.failing.insert(Interval::WHOLE, hold);
        })
        .await?;
    }
    sql::query(
        "insert into rollback (seq, relation, version, to_version, claim_seq, at) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(seq)
    .bind(text::of_relation(&back.relation))
    .bind(back.version)
    .bind(back.to)
    .bind(back.claim_seq)
    .bind(at.0)
    .execute(&mut *conn)
    .await?;
    sql::query(
        "update relation set
             version = case when version is null or version + 1 = $2 then $2 else version end,
             newest = case when newest > $2 then newest else $2 end, published = $2, waits_since = null,
             columns = coalesce($3, columns)
         where relation = $1",
    )
    .bind(text::of_relation(&back.relation))
    .bind(back.version)
    .bind(back.columns.as_ref().map(serde_json::to_string).transpose()?)
    .execute(&mut *conn)
    .await?;
    mark(conn, seq, &Cause::Upstream(back.node.clone()), &back.marks).await
}

/// What an instance has filled after its table went back. What came back was made before something that was
/// filled since, so it is made again once the node is not held any more.
async fn take_back(conn: &mut Conn, seq: i64, back: &RolledBack, undone: &Undone) -> Result<(), Error> {
    let instance = text::of_instance(&undone.instance);
    for range in undone.lost.iter() {
        chunk::replace::<Filled>(&mut *conn, &instance, range, &[]).await?;
    }
    lose(&mut *conn, &undone.instance, &undone.lost).await?;
    for restored in &undone.restored {
        let cover = Cover {
            range: restored.range,
            made_with: restored.fingerprint,
            claim_seq: restored.claim_seq,
            made_at: restored.made_at,
            filled_at: restored.filled_at,
        };
        let intervals: Vec<Filled> = restored.intervals.iter().map(|row| Filled::from(*row)).collect();
        chunk::replace(&mut *conn, &instance, restored.range, &[cover]).await?;
        chunk::replace(&mut *conn, &instance, restored.range, &intervals).await?;
    }
    let ranges: RangeSet = undone.restored.iter().map(|restored| restored.range).collect();
    document::change(&mut *conn, &instance, |document| {
        document.restore(seq, ranges, back.untested);
    })
    .await?;
    sql::query(
        "update node set relation = $2
         where instance = $1 and exists (select 1 from cover where cover.instance = $1)",
    )
    .bind(&instance)
    .bind(text::of_relation(&back.relation))
    .execute(conn)
    .await?;
    Ok(())
}

/// Of the table that lies there now.
async fn publish(conn: &mut Conn, published: &Published) -> Result<(), Error> {
    sql::query(
        "update relation set published = $2, waits_since = case when newest = $2 then null else waits_since end
         where relation = $1 and ($3 is null or table_id is null or table_id = $3)",
    )
    .bind(text::of_relation(&published.relation))
    .bind(published.version)
    .bind(&published.table_id)
    .execute(conn)
    .await?;
    Ok(())
}

async fn fail(conn: &mut Conn, at: Instant, failed: &Failed) -> Result<(), Error> {
    let fault = failed.fault.as_ref().map(serde_json::to_string).transpose()?;
    end_attempt(&mut *conn, failed.attempt, failed.state, at, fault).await?;
    if let Some(failing) = failed.failing {
        let instance = text::of_instance(&failed.instance);
        document::change(&mut *conn, &instance, |document| {
            document.failing.insert(failed.range, failing);
        })
        .await?;
        apply_backfill::failed(conn, at, &instance, failed.range, i64::MAX).await?;
    }
    Ok(())
}

async fn test(conn: &mut Conn, at: Instant, tested: &Tested) -> Result<(), Error> {
    for result in &tested.results {
        sql::query(
            "insert into test (node, name, fingerprint, failures, sample, fill_seq, tested_at)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (node, name) do update set
                 fingerprint = excluded.fingerprint, failures = excluded.failures, sample = excluded.sample,
                 fill_seq = excluded.fill_seq, tested_at = excluded.tested_at",
        )
        .bind(tested.node.as_str())
        .bind(&result.name)
        .bind(result.fingerprint.to_string())
        .bind(result.failures.cast_signed())
        .bind(serde_json::to_string(&result.sample)?)
        .bind(tested.saw_seq)
        .bind(at.0)
        .execute(&mut *conn)
        .await?;
    }
    if let Some(through) = tested.clears_through {
        for instance in &tested.instances {
            document::change(&mut *conn, &text::of_instance(instance), |document| {
                document.pass(through);
            })
            .await?;
        }
    }
    end_attempt(conn, tested.attempt, tested.state, at, None).await
}

async fn source_changed(conn: &mut Conn, seq: i64, at: Instant, changed: &SourceChanged) -> Result<(), Error> {
    source::put(&mut *conn, at, changed).await?;
    let cause = Cause::Source(changed.source.clone());
    mark(&mut *conn, seq, &cause, &changed.marks).await?;
    for left in &changed.left {
        document::change(&mut *conn, &text::of_instance(&left.instance), |document| {
            document.leave(seq, cause.clone(), left);
        })
        .await?;
    }
    Ok(())
}

async fn target_changed(conn: &mut Conn, seq: i64, at: Instant, changed: &TargetChanged) -> Result<(), Error> {
    show_changed(&mut *conn, at, changed).await?;
    sql::query(
        "insert into relation (relation, schema_name, name, node, kind, columns, version, table_id, bytes, files, uncounted,
             newest, published)
         values ($1, $2, $3, $4, $5, '[]', $6, $10, $7, $8, $9, $6, case when $11 then null else $6 end)
         on conflict (relation) do update set
             dropped = 0, version = excluded.version, table_id = excluded.table_id, bytes = excluded.bytes, files = excluded.files,
             uncounted = case when excluded.uncounted <> 0 then 1 else relation.uncounted end",
    )
    .bind(text::of_relation(&changed.relation))
    .bind(&changed.relation.schema)
    .bind(&changed.relation.name)
    .bind(changed.node.as_str())
    .bind(serde_json::to_string(&changed.materialization)?)
    .bind(changed.version)
    .bind(changed.bytes.cast_signed())
    .bind(changed.files.cast_signed())
    .bind(i64::from(changed.commits.iter().any(ForeignCommit::is_untold)))
    .bind(&changed.table_id)
    .bind(changed.waits)
    .execute(&mut *conn)
    .await?;
    mark(&mut *conn, seq, &Cause::Target, &changed.marks).await?;
    mark(conn, seq, &Cause::Upstream(changed.node.clone()), &changed.read_by).await
}

/// What is seen of a table whose log has more, before its row says that it is the known one. A version that
/// is not there any more is seen by nobody.
async fn show_changed(conn: &mut Conn, at: Instant, changed: &TargetChanged) -> Result<(), Error> {
    sql::query(
        "update relation set
             newest = $2,
             published = case
                 when not $3 then $2
                 when table_id is not null and table_id <> $4 then null
                 when published > $2 then null
                 else published
             end,
             waits_since = case
                 when not $3 or (published = $2 and (table_id is null or table_id = $4)) then null
                 else coalesce(waits_since, $5)
             end
         where relation = $1",
    )
    .bind(text::of_relation(&changed.relation))
    .bind(changed.version)
    .bind(changed.waits)
    .bind(&changed.table_id)
    .bind(at.0)
    .execute(conn)
    .await?;
    Ok(())
}

async fn target_vanished(conn: &mut Conn, seq: i64, vanished: &TargetVanished) -> Result<(), Error> {
    for instance in &vanished.instances {
        lose(&mut *conn, instance, &RangeSet::whole()).await?;
    }
    sql::query(
        "update relation set version = null, table_id = null, bytes = 0, files = 0, uncounted = 0, gone_seq = $2,
             newest = null, published = null, waits_since = null
         where relation = $1",
    )
    .bind(text::of_relation(&vanished.relation))
    .bind(seq)
    .execute(conn)
    .await?;
    Ok(())
}

/// The row stays, so that the commits of the table that was are never taken for new ones.
async fn dropped(conn: &mut Conn, seq: i64, vanished: &TargetVanished) -> Result<(), Error> {
    target_vanished(&mut *conn, seq, vanished).await?;
    sql::query("update relation set dropped = 1 where relation = $1")
        .bind(text::of_relation(&vanished.relation))
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes from an instance what it has filled, because the rows are gone. What they were stays known,
/// so that readers made from them stay fresh when they come back as they were.
async fn lose(conn: &mut Conn, instance: &Instance, ranges: &RangeSet) -> Result<(), Error> {
    let instance = text::of_instance(instance);
    for range in ranges.iter() {
        chunk::replace::<Cover>(&mut *conn, &instance, range, &[]).await?;
    }
    document::change(&mut *conn, &instance, |document| document.lose(ranges)).await?;
    sql::query(
        "update node set relation = null
         where instance = $1 and not exists (select 1 from cover where cover.instance = $1)",
    )
    .bind(&instance)
    .execute(conn)
    .await?;
    Ok(())
}

async fn crash(conn: &mut Conn, at: Instant, attempts: &[i64], task_runs: &[i64], runs: &[i64]) -> Result<(), Error> {
    for attempt in attempts {
        end_attempt(&mut *conn, *attempt, RunState::Crashed, at, None).await?;
    }
    for task_run in task_runs {
        sql::query("update task_run set state = $2 where id = $1")
            .bind(task_run)
            .bind(RunState::Crashed.as_str())
            .execute(&mut *conn)
            .await?;
    }
    for run in runs {
        end_run(&mut *conn, *run, RunState::Crashed, at).await?;
    }
    Ok(())
}

/// Ends an attempt and says the same of its task run.
pub(crate) async fn end_attempt(
    conn: &mut Conn,
    attempt: i64,
    state: RunState,
    at: Instant,
    fault: Option<String>,
) -> Result<(), Error> {
    sql::query("update attempt set state = $2, ended_at = $3, fault = $4 where id = $1")
        .bind(attempt)
        .bind(state.as_str())
        .bind(at.0)
        .bind(fault)
        .execute(&mut *conn)
        .await?;
    sql::query("update task_run set state = $2 where id = (select task_run from attempt where id = $1)")
        .bind(attempt)
        .bind(state.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

async fn mark(conn: &mut Conn, seq: i64, cause: &Cause, marks: &[Mark]) -> Result<(), Error> {
    for mark in marks {
        document::change(&mut *conn, &text::of_instance(&mark.instance), |document| {
            document.mark(seq, cause.clone(), mark);
        })
        .await?;
    }
    Ok(())
}
