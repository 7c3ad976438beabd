//! Reading tables of the warehouse: each name in SQL becomes a plan over the Delta table, with its
//! rows cut to the scope and the key that its reader may see, its hidden columns left out, and its
//! instants in the session's zone, so that `date_trunc`, `extract` and casts cut where the grid cuts.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{
    arrow::datatypes::{DataType, Field, Schema, TimeUnit},
    catalog::TableProvider,
    common::{Column, DataFusionError, ScalarValue},
    datasource::{ViewTable, provider_as_source},
    logical_expr::{Expr, LogicalPlanBuilder, cast, lit},
};
use deltalake::{
    delta_datafusion::{DeltaScanConfig, DeltaScanNext},
    kernel::EagerSnapshot,
};
use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    grid::{Grid, Zone},
    interval::{Instant, Interval},
    name::{Key, Relation},
    port::Fault,
};
use tokio::sync::Mutex;

use crate::{
    fault::{self, Author},
    hidden::{DAY, INTERVAL, TimePartition},
    log,
    past::At,
    planner::statistics::KnownTable,
    restore,
    warehouse::Warehouse,
    zone,
};

/// The name of a scan inside its own plan.
const SCAN: &str = "scan";

/// What is read of a table.
pub(crate) struct Read<'a> {
    /// Where it lies.
    pub(crate) relation: &'a Relation,
    /// How its time is cut.
    pub(crate) grid: &'a Grid,
    /// Its event-time column.
    pub(crate) event_time: Option<&'a str>,
    /// The time that is read; all where absent.
    pub(crate) scope: Option<Interval>,
    /// The key values that are read.
    pub(crate) key: &'a Key,
    /// The state that is read.
    pub(crate) at: At,
}

/// The version of each table at which one task reads it: opened once, then the same for all of its
/// queries, whoever commits in between.
#[derive(Default)]
pub(crate) struct Snapshots {
    opened: Mutex<BTreeMap<(Relation, At), Arc<EagerSnapshot>>>,
    /// The moment at which all is read that says nothing else.
    as_of: Option<Instant>,
}

impl Snapshots {
    /// All tables as they were at a moment.
    pub(crate) fn as_of(at: Instant) -> Self {
        Self {
            as_of: Some(at),
            ..Self::default()
        }
    }

    /// The moment at which all is read, if it is not now.
    pub(crate) fn past(&self) -> Option<Instant> {
        self.as_of
    }

    /// Lets the newest version of a table be opened anew.
    pub(crate) async fn forget(&self, relation: &Relation) {
        self.opened.lock().await.retain(|(known, _), _| known != relation);
    }

    async fn of(&self, warehouse: &Warehouse, relation: &Relation, at: At) -> Result<Arc<EagerSnapshot>, Fault> {
        let at = match (at, self.as_of) {
            (At::Newest, Some(moment)) => At::Time(moment),
            (at, _) => at,
        };
        let mut opened = self.opened.lock().await;
        let place = (relation.clone(), at);
        if let Some(snapshot) = opened.get(&place) {
            return Ok(Arc::clone(snapshot));
        }
        if !warehouse.has_table(relation).await? {
            return Err(not_filled(relation));
        }
        let snapshot = match at {
            At::Newest => open(warehouse, relation, None).await?,
            At::Version(version) => restore::open_at(warehouse, relation, version).await?,
            At::Time(moment) => {
                let version = log::version_at(warehouse, relation, moment).await?;
                restore::open_at(warehouse, relation, version).await?
            }
        };
        let snapshot = Arc::new(snapshot);
        opened.insert(place, Arc::clone(&snapshot));
        Ok(snapshot)
    }
}

/// A table's files at a version, or at the newest.
pub(crate) async fn open(
    warehouse: &Warehouse,
    relation: &Relation,
    version: Option<u64>,
) -> Result<EagerSnapshot, Fault> {
    let log_store = warehouse.log_store(relation)?;
    EagerSnapshot::try_new(log_store.as_ref(), version)
        .await
        .map_err(|error| fault::delta(&error, &warehouse.folder(relation)))
}

/// The rows of a table that a reader sees. The hidden columns are there if `shows_hidden`.
pub(crate) async fn provider(
    warehouse: &Warehouse,
    snapshots: &Snapshots,
    read: &Read<'_>,
    shows_hidden: bool,
    session_zone: &Zone,
) -> Result<Arc<dyn TableProvider>, Fault> {
    let snapshot = snapshots.of(warehouse, read.relation, read.at).await?;
    // Conditions come down from the plan to the decoder; those of the scan itself would be asked a second time.
    let config = DeltaScanConfig::new()
        .with_wrap_partition_values(false)
        .with_parquet_pushdown(false);
    let to_fault = |error: DataFusionError| fault::sql(&error, &Author::Node(read.relation.to_string()));
    let scan = DeltaScanNext::new(Arc::clone(&snapshot), config).map_err(to_fault)?;
    let scan = KnownTable::new(scan, snapshot);
    let schema = scan.schema();
    let columns = columns(&schema, read, shows_hidden, session_zone);
    let filters = filters(&schema, read)?;
    let mut plan = LogicalPlanBuilder::scan(SCAN, provider_as_source(Arc::new(scan)), None).map_err(to_fault)?;
    for filter in filters {
        plan = plan.filter(filter).map_err(to_fault)?;
    }
    let plan = plan
        .project(columns)
        .and_then(LogicalPlanBuilder::build)
        .map_err(to_fault)?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// A provider with its instants in the session's zone.
pub(crate) fn in_zone(provider: Arc<dyn TableProvider>, session_zone: &Zone) -> Result<Arc<dyn TableProvider>, Fault> {
    let schema = provider.schema();
    if schema
        .fields()
        .iter()
        .all(|field| zoned(field.data_type(), session_zone).is_none())
    {
        return Ok(provider);
    }
    let columns: Vec<Expr> = schema.fields().iter().map(|field| shown(field, session_zone)).collect();
    let plan = LogicalPlanBuilder::scan(SCAN, provider_as_source(provider), None)
        .and_then(|scan| scan.project(columns))
        .and_then(LogicalPlanBuilder::build)
        .map_err(|error| fault::sql(&error, &Author::Typed))?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// The name of a column inside the plan of its table, whatever letters it has.
fn column(name: &str) -> Expr {
    Expr::Column(Column::new(Some(SCAN), name))
}

/// The columns that the reader sees, in the table's order.
fn columns(schema: &Schema, read: &Read<'_>, shows_hidden: bool, session_zone: &Zone) -> Vec<Expr> {
    let hidden = TimePartition::of(read.grid).hidden();
    let mut columns: Vec<Expr> = schema
        .fields()
        .iter()
        .filter(|field| field.name() != INTERVAL && field.name() != DAY)
        .map(|field| shown(field, session_zone))
        .collect();
    if shows_hidden {
        columns.extend(hidden.iter().map(|name| match schema.field_with_name(name) {
            Ok(field) => shown(field, session_zone),
            // A table of another grid's days, read before it is filled anew.
            Err(_) => lit(ScalarValue::Null).alias(*name),
        }));
    }
    columns
}

fn shown(field: &Field, session_zone: &Zone) -> Expr {
    match zoned(field.data_type(), session_zone) {
        // Under the same qualifier: the optimizer may put the column itself beside it.
        Some(data_type) => cast(column(field.name()), data_type).alias_qualified(Some(SCAN), field.name()),
        None => column(field.name()),
    }
}

/// The same type in the session's zone, for instants in another.
fn zoned(data_type: &DataType, session_zone: &Zone) -> Option<DataType> {
    match data_type {
        DataType::Timestamp(unit, Some(zone)) if &**zone != session_zone.name() => {
            Some(DataType::Timestamp(*unit, Some(session_zone.name().into())))
        }
        _ => None,
    }
}

/// What cuts the rows to the reader's key and scope. The hidden columns prune whole files.
fn filters(schema: &Schema, read: &Read<'_>) -> Result<Vec<Expr>, Fault> {
    let mut filters: Vec<Expr> = read
        .key
        .0
        .iter()
        .map(|(name, value)| column(name).eq(lit(value.clone())))
        .collect();
    let Some(scope) = read.scope.filter(|scope| *scope != Interval::WHOLE) else {
        return Ok(filters);
    };
    if read.grid.is_cut() && schema.field_with_name(INTERVAL).is_ok() {
        filters.extend(partition_filters(schema, read.grid, scope));
    }
    if let Some(event_time) = read.event_time {
        let field = schema
            .field_with_name(event_time)
            .map_err(|_| no_event_time(read.relation, event_time))?;
        filters.extend(event_filters(field, &read.grid.zone, scope, read.relation)?);
    }
    Ok(filters)
}

/// The intervals that may hold rows of the scope.
fn partition_filters(schema: &Schema, grid: &Grid, scope: Interval) -> Vec<Expr> {
    let (from, to) = (grid.floor(scope.start), scope.end);
    let mut filters = Vec::new();
    if from > Instant::MIN {
        filters.push(column(INTERVAL).gt_eq(instant(from)));
    }
    if to < Instant::MAX {
        filters.push(column(INTERVAL).lt(instant(to)));
    }
    if schema.field_with_name(DAY).is_ok() {
        let date = |at| lit(ScalarValue::Date32(Some(zone::date_of(&grid.zone, at))));
        if from > Instant::MIN {
            filters.push(column(DAY).gt_eq(date(from)));
        }
        if to < Instant::MAX {
            filters.push(column(DAY).lt_eq(date(to)));
        }
    }
    filters
}

/// The rows whose event time lies in the scope; naive times and dates are those of the table's zone.
fn event_filters(field: &Field, zone: &Zone, scope: Interval, relation: &Relation) -> Result<Vec<Expr>, Fault> {
    let bound: Box<dyn Fn(Instant) -> Expr> = match field.data_type() {
        DataType::Timestamp(_, Some(_)) => Box::new(instant),
        DataType::Timestamp(_, None) => Box::new(|at| {
            lit(ScalarValue::TimestampMicrosecond(
                Some(zone::first_naive_from(zone, at)),
                None,
            ))
        }),
        DataType::Date32 => Box::new(|at| lit(ScalarValue::Date32(Some(zone::first_date_from(zone, at))))),
        _ => return Err(no_event_time(relation, field.name())),
    };
    let mut filters = Vec::new();
    if scope.start > Instant::MIN {
        filters.push(column(field.name()).gt_eq(bound(scope.start)));
    }
    if scope.end < Instant::MAX {
        filters.push(column(field.name()).lt(bound(scope.end)));
    }
    Ok(filters)
}

fn instant(at: Instant) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(at.0), Some("UTC".into())))
}

/// The type of `_interval`.
pub(crate) fn interval_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn no_event_time(relation: &Relation, event_time: &str) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::BAD_EVENT_TIME,
            format!(
                "the table `{relation}` is read by the event time `{event_time}`, which it does not have as a time"
            ),
        )
        .with_remedy("name a timestamp or date column of the table as its `event_time`, then `run … --full`"),
    )
}

/// That a table is not there.
pub(crate) fn not_filled(relation: &Relation) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::NOT_FILLED_YET,
            format!("the table `{relation}` is not there: it was never filled"),
        )
        .with_remedy("fill it first: `mulgil run`")
        .with_retry(Retry::AfterHumanFix),
    )
}

pub(crate) fn not_published(relation: &Relation) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::NOT_PUBLISHED,
            format!("nothing of the table `{relation}` is published: its rows have not passed their data tests yet"),
        )
        .with_remedy(
            "`mulgil nodes show NODE` says which test fails and shows rows that break it; mend them and run again",
        )
        .with_retry(Retry::AfterHumanFix),
    )
}
