//! Fills: the rows of one or more queries become one commit of a table. Each materialization is a
//! file; what they share is here: running the queries, stamping their rows, writing and committing.

mod file;
mod incremental;
mod interval;
mod keys;
pub(crate) mod parts;
pub(crate) mod shape;
mod stamp;
mod stats;
mod table;
pub(crate) mod target;
mod view;
mod work;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use datafusion::physical_plan::execute_stream_partitioned;
use futures::{StreamExt, TryStreamExt, stream};
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    port::{CommitTag, Fault, FillOutcome, Filled, Growth, Progress},
    project::Materialization,
    task::{Claim, FillQuery, FillSpec},
};
use tokio::{sync::mpsc, task::JoinSet};

use self::{
    keys::Keys,
    parts::{NewFiles, Part, PartSink, Parts},
    shape::{Existing, Shape},
    stamp::Slots,
    target::{PartitionValues, Target, Touched},
    work::{Places, Work},
};
use crate::{
    content::Content,
    cpu,
    fault::{self, Author},
    planner::memory,
    session::{Ready, Sessions},
    table::Snapshots,
    warehouse::Warehouse,
};

/// Queries of one fill that run at once: enough to hide planning behind work.
const QUERIES_AT_ONCE: usize = 2;

/// Makes the rows of a fill and commits them. Dropped before its end it leaves no commit. What does not
/// fit into memory is made once more, frugally: nothing was committed then.
pub(crate) async fn fill(
    sessions: &Arc<Sessions>,
    warehouse: &Warehouse,
    spec: &FillSpec,
    claim: &Claim,
    progress: &dyn Progress,
) -> Result<FillOutcome, Fault> {
    match fill_with(sessions, warehouse, spec, claim, progress).await {
        Err(fault) if memory::is_short(&fault) => {
            let outcome = fill_with(&sessions.frugal(), warehouse, spec, claim, progress).await;
            outcome.map_err(|fault| sessions.limits().named(fault))
        }
        outcome => outcome,
    }
}

async fn fill_with(
    sessions: &Arc<Sessions>,
    warehouse: &Warehouse,
    spec: &FillSpec,
    claim: &Claim,
    progress: &dyn Progress,
) -> Result<FillOutcome, Fault> {
    let fill = Fill {
        sessions,
        snapshots: Arc::default(),
        warehouse,
        spec,
        claim,
        progress,
        author: Author::Node(spec.instance.to_string()),
    };
    let outcome = match spec.materialization {
        Materialization::Interval => interval::fill(&fill).await,
        Materialization::Incremental | Materialization::Snapshot => incremental::fill(&fill).await,
        Materialization::Table | Materialization::Seed => table::fill(&fill).await,
        Materialization::View => view::fill(&fill).await,
    };
    if outcome.is_err() {
        // What it wrote for nothing is being removed.
        warehouse.store().settle().await;
    }
    outcome
}

/// A fill under way.
struct Fill<'a> {
    sessions: &'a Arc<Sessions>,
    snapshots: Arc<Snapshots>,
    warehouse: &'a Warehouse,
    spec: &'a FillSpec,
    claim: &'a Claim,
    progress: &'a dyn Progress,
    author: Author,
}

/// Rows that were made and written, named by no commit yet.
struct Made {
    shape: Shape,
    rows: Rows,
    touched: Touched,
    parts: Vec<(Part, PartitionValues)>,
    files: NewFiles,
}

/// The rows of a fill.
struct Rows {
    /// What each interval holds.
    contents: Vec<Content>,
    /// How many the queries gave.
    written: u64,
}

impl Fill<'_> {
    /// Runs everything: the rows of all queries, those that stay of files that are cut, the commit.
    async fn run(&self, mut target: Target, slots: Slots) -> Result<FillOutcome, Fault> {
        let first = self.spec.queries.first().ok_or_else(no_query)?;
        let ready = self.plan(first).await?;
        let shape = self.shape(&mut target, &ready)?;
        let touched = target.touched(slots.intervals())?;
        let made = self.make(&target, &slots, touched, shape, (first, ready)).await?;
        self.commit(target, &slots, made).await
    }

    /// Commits what was made. An incremental fill that changes nothing commits nothing.
    async fn commit(&self, target: Target, slots: &Slots, made: Made) -> Result<FillOutcome, Fault> {
        let Made {
            shape,
            rows,
            touched,
            parts,
            files,
        } = made;
        let replaced_all = target.is_replaced();
        let contents = slots.intervals().iter().zip(&rows.contents);
        let filled: Vec<Filled> = contents
            .map(|(interval, content)| content.filled(*interval, &shape.output))
            .collect();
        let is_incremental = self.spec.incremental.is_some();
        let columns = shape.columns(&self.spec.instance.key);
        let outcome = |version: i64, table_id: String, growth: Growth| FillOutcome {
            version: Some(version),
            table_id: Some(table_id),
            intervals: filled.clone(),
            written: rows.written,
            columns,
            replaced_all,
            growth,
        };
        let is_unchanged = parts.is_empty() && touched.cut.is_empty() && !shape.changes_columns;
        if is_incremental
            && !replaced_all
            && is_unchanged
            && let Some((version, table_id)) = target.present()?
        {
            return Ok(outcome(version, table_id, Growth::default()));
        }
        let tag = CommitTag {
            ledger: self.claim.ledger.clone(),
            seq: self.claim.seq,
            attempt: self.claim.attempt,
            instance: self.spec.instance.clone(),
            range: self.spec.range,
            fingerprint: self.spec.fingerprint,
            intervals: filled.clone(),
            replaces_all: replaced_all,
            total: is_incremental.then(|| rows.contents[0].into()),
            then_hooks: !self.spec.hooks.after.is_empty(),
        };
        // From here on a commit may name the new files, even if we are not told of it.
        let new_files = files.keep();
        match target.commit(&shape, &tag, touched, parts).await {
            Ok(made) => Ok(outcome(made.version, made.table_id, made.growth)),
            Err(fault) => {
                if fault.code == codes::TABLE_CHANGED {
                    self.warehouse.store().discard(&new_files);
                }
                Err(fault)
            }
        }
    }

    /// The form of the rows, that of the table where they fit into it.
    fn shape(&self, target: &mut Target, ready: &Ready) -> Result<Shape, Fault> {
        let (schema, instance) = (ready.plan.schema(), &self.spec.instance);
        if self.spec.incremental.is_some()
            && let Existing::Columns(columns) = target.existing()?
        {
            let rule = incremental::how(self)?.on_schema_change;
            return Shape::take_in(&schema, columns, rule, instance)
                .map_err(|fault| self.of_snapshot(fault))?
                .map_err(|difference| incremental::columns_changed(self, &difference.new, &difference.missing));
        }
        match Shape::fit(&schema, target.existing()?, instance) {
            Err(misfit) if misfit.code == codes::TYPE_MISFIT => {
                target.widen(self.spec, misfit)?;
                Shape::fit(&schema, target.existing()?, instance)
            }
            fitted => fitted,
        }
    }

    /// A fault whose remedy does not make a snapshot anew, which nothing does.
    fn of_snapshot(&self, fault: Fault) -> Fault {
        if self.spec.materialization != Materialization::Snapshot {
            return fault;
        }
        Box::new(fault.with_remedy("cast the column in the SQL to the type that it has in the table"))
    }

    async fn make(
        &self,
        target: &Target,
        slots: &Slots,
        mut touched: Touched,
        shape: Shape,
        (first, ready): (&FillQuery, Ready),
    ) -> Result<Made, Fault> {
        slots.check(&shape.output)?;
        let pool = &self.sessions.base().runtime_env().memory_pool;
        let (keys, things) = match &self.spec.incremental {
            Some(how) => (
                Keys::of(&how.strategy, &shape.output, pool, &self.spec.instance)?,
                Keys::of_things(how, &shape.output, pool, &self.spec.instance)?,
            ),
            None => (None, None),
        };
        let parts = Parts::start(
            self.warehouse,
            target.folder(),
            &target.file_schema(&shape),
            self.claim.seq,
        );
        let work = Arc::new(Work {
            places: Places::of(target, slots.intervals()),
            slots: slots.clone(),
            has_interval_column: target.has_interval_column(),
            instance: self.spec.instance.clone(),
            file: target.file_schema(&shape),
            shape,
            keys,
            things,
        });
        // The encoders go on while a sink is there, so ours must be gone before they are waited for.
        let sink = parts.sink();
        let rows = self
            .run_queries((first, ready), target, &mut touched, &work, &sink)
            .await;
        drop(sink);
        match rows {
            Ok(rows) => {
                let (parts, files) = parts.finish().await?;
                let place = |part: Part| {
                    let values = work.places.values(part.partition);
                    (part, values)
                };
                Ok(Made {
                    shape: work.shape.clone(),
                    rows,
                    touched,
                    parts: parts.into_iter().map(place).collect(),
                    files,
                })
            }
            Err(fault) => Err(parts.failure(fault).await),
        }
    }

    async fn run_queries(
        &self,
        (first, ready): (&FillQuery, Ready),
        target: &Target,
        touched: &mut Touched,
        work: &Arc<Work>,
        sink: &PartSink,
    ) -> Result<Rows, Fault> {
        if !touched.cut.is_empty() {
            interval::write_rest(self, target, touched, work, sink).await?;
        }
        let rows = AtomicU64::new(0);
        let mut contents = self.execute(first, Some(ready), work, sink, &rows).await?;
        let rest: Vec<_> = self.spec.queries[1..]
            .iter()
            .map(|query| self.execute(query, None, work, sink, &rows))
            .collect();
        let mut rest = stream::iter(rest).buffer_unordered(QUERIES_AT_ONCE);
        while let Some(query) = rest.try_next().await? {
            add_all(&mut contents, query);
        }
        let written = contents.iter().map(|content| content.rows()).sum();
        if self.spec.incremental.is_some() && !target.is_replaced() {
            // After the queries, whose rows say what goes; they read the table as it was.
            contents[0].add(incremental::before(self, target, work).await?);
            contents[0].take(incremental::take_out(self, target, touched, work, sink).await?);
        }
        Ok(Rows { contents, written })
    }

    /// Plans one query on a task of its own: planning is work, and the next query's goes on beside it.
    async fn plan(&self, query: &FillQuery) -> Result<Ready, Fault> {
        let (sessions, snapshots) = (Arc::clone(self.sessions), Arc::clone(&self.snapshots));
        let (query, zone, author) = (query.clone(), self.spec.grid.zone.clone(), self.author.clone());
        cpu::beside(async move {
            sessions
                .plan(&query.sql, &query.bindings, &zone, &snapshots, &author)
                .await
        })
        .await
    }

    /// Runs one query to its end; each partition of its plan is stamped and hashed on its own task.
    async fn execute(
        &self,
        query: &FillQuery,
        ready: Option<Ready>,
        work: &Arc<Work>,
        sink: &PartSink,
        rows: &AtomicU64,
    ) -> Result<Vec<Content>, Fault> {
        let Ready { plan, task } = match ready {
            Some(ready) => ready,
            None => self.plan(query).await?,
        };
        // The one query of an incremental fill has decided the form, and may give more than it keeps.
        if self.spec.incremental.is_none() {
            work.shape.admit(&plan.schema(), &self.spec.instance)?;
        }
        let streams = execute_stream_partitioned(plan, task).map_err(|error| fault::sql(&error, &self.author))?;
        let (counted, mut counts) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for stream in streams {
            let (work, sink) = (Arc::clone(work), sink.clone());
            let (counted, author, range) = (counted.clone(), self.author.clone(), query.range);
            tasks.spawn(async move { work.write_all(stream, range, &sink, &counted, &author).await });
        }
        drop(counted);
        while let Some(more) = counts.recv().await {
            self.progress.rows(rows.fetch_add(more, Ordering::Relaxed) + more);
        }
        let mut contents = vec![Content::default(); work.slots.intervals().len()];
        while let Some(part) = tasks.join_next().await {
            add_all(&mut contents, part.map_err(|error| broke(&error.to_string()))??);
        }
        Ok(contents)
    }
}

fn add_all(all: &mut [Content], more: Vec<Content>) {
    all.iter_mut().zip(more).for_each(|(all, one)| all.add(one));
}

fn no_query() -> Fault {
    broke("it has no query for its range")
}

fn broke(error: &str) -> Fault {
    Box::new(Diagnostic::error(codes::BUG, format!("a fill broke: {error}")))
}
