//! Who reads something, and what a change of it makes stale: the ranges that a mapping touches and
//! that the reader has filled. The one place where the ledger asks the project's grids.

use mulgil_core::{
    grid::Grid,
    interval::{Interval, RangeSet},
    mapping::Mapping,
    name::{Instance, NodeName},
    project::{Materialization, Project, Upstream},
};

use crate::{
    attempt,
    chunk::{self, Cover},
    document,
    error::Error,
    fact::Mark,
    sql::Conn,
    text,
};

/// One instance that reads the changed one.
#[derive(Clone, Debug)]
struct Reader {
    instance: Instance,
    mapping: Mapping,
    grid: Grid,
}

/// All that read one instance of a node, or a source; cut out of the project so that it can wait
/// in the writer's queue.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    grid: Option<Grid>,
    readers: Vec<Reader>,
}

impl Readers {
    /// The readers of an instance of a node.
    pub(crate) fn of_instance(project: &Project, instance: &Instance) -> Self {
        Self {
            grid: project.node(&instance.node).map(|node| node.grid.clone()),
            readers: collect(project, &Upstream::Node(instance.node.clone()), instance),
        }
    }

    /// The readers of a source.
    pub(crate) fn of_source(project: &Project, source: &NodeName) -> Self {
        Self {
            grid: project.source(source).map(|source| source.grid.clone()),
            readers: collect(
                project,
                &Upstream::Source(source.clone()),
                &Instance::of(source.clone()),
            ),
        }
    }

    /// What changes make stale. The number beside each changed range is its place among the reasons.
    pub(crate) async fn marks(&self, conn: &mut Conn, changes: &[(u32, Interval)]) -> Result<Vec<Mark>, Error> {
        self.marks_where(conn, changes, |_, _| true).await
    }

    /// As [`Self::marks`], for what the reader has filled and `counts`, given the reason's place.
    pub(crate) async fn marks_where(
        &self,
        conn: &mut Conn,
        changes: &[(u32, Interval)],
        counts: impl Fn(u32, &Cover) -> bool + Send + Sync,
    ) -> Result<Vec<Mark>, Error> {
        let mut marks = Vec::new();
        let Some(grid) = self.grid.as_ref().filter(|_| !changes.is_empty()) else {
            return Ok(marks);
        };
        for reader in &self.readers {
            marks.extend(reader.mark(&mut *conn, grid, changes, &counts).await?);
        }
        Ok(merged(marks))
    }
}

impl Reader {
    async fn mark(
        &self,
        conn: &mut Conn,
        upstream: &Grid,
        changes: &[(u32, Interval)],
        counts: &(impl Fn(u32, &Cover) -> bool + Send + Sync),
    ) -> Result<Option<Mark>, Error> {
        let touched: Vec<(u32, Interval)> = changes
            .iter()
            .filter_map(|(reason, range)| Some((*reason, self.mapping.touches(&self.grid, upstream, *range)?)))
            .collect();
        let all: RangeSet = touched.iter().map(|(_, range)| *range).collect();
        let Some(span) = all.span() else {
            return Ok(None);
        };
        let name = text::of_instance(&self.instance);
        let filled: Vec<Cover> = chunk::read(&mut *conn, &name, span).await?;
        let running = attempt::running(&mut *conn, &name).await?;
        let failing = document::load(conn, &name).await?.failing.keys();
        let mut mark = Mark {
            instance: self.instance.clone(),
            ranges: RangeSet::new(),
            released: failing.intersect(&all),
            because: Vec::new(),
        };
        for (reason, range) in touched {
            let from = filled.partition_point(|cover| cover.range.end <= range.start);
            let mut stale: RangeSet = filled[from..]
                .iter()
                .take_while(|cover| cover.range.start < range.end)
                .filter(|cover| self.mapping.restates() && counts(reason, cover))
                .filter_map(|cover| cover.range.intersect(range))
                .collect();
            if self.mapping.restates() {
                // What is being filled may have read the rows of before: its record keeps this mark.
                stale.extend(running.within(range).iter());
            }
            if !stale.is_empty() {
                mark.ranges.extend(stale.iter());
                mark.because.push((reason, range));
            }
        }
        Ok((!mark.ranges.is_empty() || !mark.released.is_empty()).then_some(mark))
    }
}

/// A view has no rows that could be stale; its readers read through it.
fn collect(project: &Project, upstream: &Upstream, changed: &Instance) -> Vec<Reader> {
    let mut readers = Vec::new();
    for node in project
        .nodes
        .iter()
        .filter(|node| node.materialization != Materialization::View)
    {
        for input in node.inputs.iter().filter(|input| input.from == *upstream) {
            let instances = node.instances().into_iter();
            let reading = instances.filter(|reader| project.read_instances(reader, input).contains(changed));
            readers.extend(reading.map(|instance| Reader {
                instance,
                mapping: input.mapping,
                grid: node.grid.clone(),
            }));
        }
    }
    readers
}

/// A reader that reads the same thing in two ways has one mark.
fn merged(marks: Vec<Mark>) -> Vec<Mark> {
    let mut out: Vec<Mark> = Vec::with_capacity(marks.len());
    for mark in marks {
        match out.iter_mut().find(|known| known.instance == mark.instance) {
            Some(known) => {
                known.ranges.extend(mark.ranges.iter());
                known.released.extend(mark.released.iter());
                known.because.extend(mark.because);
            }
            None => out.push(mark),
        }
    }
    out
}
