//! What a statement works with: the names of its session, the table that it changes, and the loop that
//! tries a change again when somebody else's commit came first.

use std::{path::Path, sync::Arc};

use datafusion::{
    arrow::datatypes::Fields,
    sql::sqlparser::ast::{Delete, Ident, Merge, ObjectName, Query, Statement, TableFactor, Update, With},
};
use deltalake::{kernel::LogicalFileView, kernel::transaction::CommitProperties, protocol::DeltaOperation};
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    grid::Zone,
    name::Relation,
    port::{Fault, Format, QueryLimits, StatementOutcome},
    task::{Binding, Claim, Reads},
};

use serde_json::json;

use super::{
    ast,
    change::{self, Target},
    write::{Again, Change, Counts, Written, broken},
};
use crate::{
    catalog::Catalog,
    commit,
    fault::Author,
    hidden::{self, DAY, INTERVAL, TimePartition},
    names::{self, Meaning, Meanings, UNNAMED_SCHEMA},
    output::Output,
    session::{Ready, Scope, Sessions},
    store::LOG_DIR,
    table,
    warehouse::Warehouse,
};

/// How often a change is made anew on what somebody else has committed meanwhile.
pub(super) const MAX_TRIES: usize = 5;

/// What one statement works with.
pub(super) struct Context<'a> {
    sessions: &'a Arc<Sessions>,
    scope: Scope,
    meanings: Meanings,
    scratch: &'a Path,
    claim: Option<&'a Claim>,
    is_hook: bool,
}

/// The table that a statement changes.
pub(super) struct Changed {
    /// Where it lies.
    pub(super) relation: Relation,
    /// The columns that place a row in time; none for a table without intervals.
    pub(super) placed_by: Vec<String>,
    /// Whether a project makes it.
    pub(super) is_of_project: bool,
}

impl<'a> Context<'a> {
    /// Of a session's scope.
    pub(super) fn new(sessions: &'a Arc<Sessions>, scope: Scope, scratch: &'a Path) -> Self {
        let meanings = names::meanings(&scope.bindings, scope.catalog.as_deref());
        Self {
            sessions,
            scope,
            meanings,
            scratch,
            claim: None,
            is_hook: false,
        }
    }

    /// The same for a hook, of the attempt that holds a claim: the ledger knows of what it commits.
    pub(super) fn of_hook(self, claim: Option<&'a Claim>) -> Self {
        Self {
            claim,
            is_hook: true,
            ..self
        }
    }

    /// The same with one name more.
    pub(super) fn with(&self, binding: Binding) -> Self {
        let mut scope = self.scope.clone();
        scope.bindings = scope.bindings.iter().cloned().chain([binding]).collect();
        Self {
            claim: self.claim,
            is_hook: self.is_hook,
            ..Self::new(self.sessions, scope, self.scratch)
        }
    }

    /// How rows are written.
    pub(super) fn output(&self, format: Format, limits: QueryLimits) -> Output {
        Output {
            zone: self.scope.zone.clone(),
            format,
            limits,
            scratch: self.scratch.to_owned(),
        }
    }

    /// Whose SQL it is.
    pub(super) fn author(&self) -> Author {
        if self.is_hook {
            Author::Node("a hook".to_owned())
        } else {
            Author::Typed
        }
    }

    /// The session's zone.
    pub(super) fn zone(&self) -> &Zone {
        &self.scope.zone
    }

    /// Where the tables lie.
    pub(super) fn warehouse(&self) -> &Warehouse {
        self.sessions.warehouse()
    }

    /// What plans queries.
    pub(super) fn sessions(&self) -> &'a Arc<Sessions> {
        self.sessions
    }

    /// What its queries may see.
    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// What lies in the warehouse.
    pub(super) fn catalog(&self) -> Result<&Catalog, Fault> {
        self.scope
            .catalog
            .as_deref()
            .ok_or_else(|| broken("a session without a catalog"))
    }

    /// Refuses to write beside a look at the past.
    pub(super) async fn may_write(&self) -> Result<(), Fault> {
        match self.scope.snapshots.past() {
            None => self.warehouse().check_writes().await,
            Some(_) => Err(Box::new(
                Diagnostic::error(
                    codes::NOT_CHANGEABLE,
                    "the past is read (`--as-of`), and cannot be changed",
                )
                .with_remedy("leave `--as-of` out, or only query"),
            )),
        }
    }

    /// Plans a query.
    pub(super) async fn plan(&self, statement: Statement) -> Result<Ready, Fault> {
        self.sessions.plan_query(statement, &self.scope, &self.author()).await
    }

    /// The relation that a name means, whether or not it is there.
    pub(super) fn relation(&self, name: &ObjectName) -> Result<Relation, Fault> {
        let parts: Vec<&Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
        let (schema, name) = match parts.as_slice() {
            [name] => (self.catalog()?.default_schema().to_owned(), hidden::folded(name)),
            [schema, name] => (hidden::folded(schema), hidden::folded(name)),
            _ => return Err(bad_name(&name.to_string(), "it has more than two parts")),
        };
        for part in [&schema, &name] {
            check_name(part)?;
        }
        Ok(Relation { schema, name })
    }

    /// What a name means, if anything.
    pub(super) fn meaning(&self, name: &ObjectName) -> Option<&Meaning> {
        let parts: Vec<String> = name
            .0
            .iter()
            .filter_map(|part| part.as_ident())
            .map(hidden::folded)
            .collect();
        match parts.as_slice() {
            [name] => self.meanings.get(UNNAMED_SCHEMA)?.get(name),
            [schema, name] => self.meanings.get(schema)?.get(name),
            _ => None,
        }
    }

    /// Whether there is such a schema.
    pub(super) fn has_schema(&self, schema: &str) -> Result<bool, Fault> {
        Ok(self.catalog()?.has_schema(schema) || self.is_of_project(schema))
    }

    /// Refuses a schema that is not there.
    pub(super) fn needs_schema(&self, schema: &str) -> Result<(), Fault> {
        if self.has_schema(schema)? {
            Ok(())
        } else {
            Err(super::refusals::no_schema(schema))
        }
    }

    /// Whether the project has names in a schema.
    pub(super) fn is_of_project(&self, schema: &str) -> bool {
        let names = self.meanings.get(schema);
        names.is_some_and(|names| names.values().any(|meaning| matches!(meaning, Meaning::Bound(_))))
    }

    /// The table that a name means, to be changed.
    pub(super) fn changed(&self, name: &ObjectName) -> Result<Changed, Fault> {
        let what = match self.meaning(name) {
            Some(Meaning::Stored(relation)) => {
                return Ok(Changed {
                    relation: relation.clone(),
                    placed_by: Vec::new(),
                    is_of_project: false,
                });
            }
            Some(Meaning::Bound(Reads::Table {
                relation,
                grid,
                event_time,
                ..
            })) => {
                let is_cut = TimePartition::of(grid) != TimePartition::None;
                let placed_by = [Some(INTERVAL), Some(DAY), event_time.as_deref()];
                return Ok(Changed {
                    relation: relation.clone(),
                    placed_by: if is_cut {
                        placed_by.into_iter().flatten().map(str::to_owned).collect()
                    } else {
                        Vec::new()
                    },
                    is_of_project: true,
                });
            }
            None => return Err(self.nothing(name)),
            Some(Meaning::View(_) | Meaning::Bound(Reads::Query { .. })) => "a view: it has no rows of its own",
            Some(Meaning::Bound(Reads::Source { .. })) => "a source: its files are others'",
            Some(Meaning::Bound(Reads::Seed { .. })) => "a seed's file",
        };
        Err(Box::new(
            Diagnostic::error(codes::NOT_CHANGEABLE, format!("`{name}` is {what}"))
                .with_remedy("change the table or the file that it reads"),
        ))
    }

    /// That a name means nothing here.
    pub(super) fn nothing(&self, name: &ObjectName) -> Fault {
        let written = name.to_string();
        Box::new(
            Diagnostic::error(codes::BAD_QUERY, format!("there is no table `{written}` here"))
                .with_remedy(names::remedy_of(&written.replace('"', ""), &self.meanings)),
        )
    }

    /// Carries out a DELETE.
    pub(super) async fn delete(&self, delete: Delete, with: Option<With>) -> Result<StatementOutcome, Fault> {
        let (name, alias) = table_of(change::deleted(&delete)?)?;
        let changed = self.changed(&name)?;
        let operation = DeltaOperation::Delete {
            predicate: delete.selection.as_ref().map(ToString::to_string),
        };
        let build = |target: &Target<'_>| change::delete(delete.clone(), with.clone(), target);
        self.change(&changed, &alias, Again::Allowed, operation, &build).await
    }

    /// Carries out an UPDATE.
    pub(super) async fn update(&self, update: Update, with: Option<With>) -> Result<StatementOutcome, Fault> {
        let (name, alias) = table_of(&update.table.relation)?;
        let changed = self.changed(&name)?;
        let operation = DeltaOperation::Update {
            predicate: update.selection.as_ref().map(ToString::to_string),
        };
        let build = |target: &Target<'_>| change::update(update.clone(), with.clone(), target).map(Some);
        self.change(&changed, &alias, Again::Refused, operation, &build).await
    }

    /// Carries out a MERGE.
    pub(super) async fn merge(&self, merge: Merge, with: Option<With>) -> Result<StatementOutcome, Fault> {
        let (name, alias) = table_of(&merge.table)?;
        let changed = self.changed(&name)?;
        let inserts = |clause: &datafusion::sql::sqlparser::ast::MergeClause| {
            matches!(clause.action, datafusion::sql::sqlparser::ast::MergeAction::Insert(_))
        };
        if merge.clauses.iter().any(inserts) {
            changed.takes_rows()?;
        }
        let operation = merge_operation(&merge.on.to_string());
        let build = |target: &Target<'_>| change::merge(merge.clone(), with.clone(), target).map(Some);
        self.change(&changed, &alias, Again::Refused, operation, &build).await
    }

    /// Changes rows as a query says, again where somebody else's commit came first.
    pub(super) async fn change(
        &self,
        changed: &Changed,
        alias: &str,
        again: Again,
        operation: DeltaOperation,
        build: &(dyn Fn(&Target<'_>) -> Result<Option<Query>, Fault> + Sync),
    ) -> Result<StatementOutcome, Fault> {
        let mut tries = 0;
        loop {
            tries += 1;
            let once = self.change_once(changed, alias, again, operation.clone(), build);
            match Box::pin(once).await {
                Err(fault) if fault.code == codes::TABLE_CHANGED && tries < MAX_TRIES => {}
                Err(fault) => return Err(fault),
                Ok((counts, version)) => return Ok(outcome(&changed.relation, counts, version)),
            }
        }
    }

    async fn change_once(
        &self,
        changed: &Changed,
        alias: &str,
        again: Again,
        operation: DeltaOperation,
        build: &(dyn Fn(&Target<'_>) -> Result<Option<Query>, Fault> + Sync),
    ) -> Result<(Counts, Option<u64>), Fault> {
        let written = self.open(changed).await?;
        let mut fixed = changed.placed_by.clone();
        if changed.is_of_project {
            fixed.extend(written.partition_by.iter().cloned());
        }
        let target = Target {
            alias: alias.to_owned(),
            columns: &written.columns,
            fixed,
        };
        let query = build(&target)?;
        let files = written.files()?;
        if query.is_none()
            && let Some(counts) = all_rows(&files)
        {
            let change = Change {
                written: &written,
                files,
                numbered: None,
                again,
                replaces_all: true,
                metadata: Vec::new(),
            };
            let (_, version) = change
                .carry_out(self.warehouse(), None, operation, self.properties())
                .await?;
            return Ok((counts, version));
        }
        let query = match query {
            Some(query) => query,
            None => ast::every_row(alias)?,
        };
        let numbered = written.numbered(&files, self.sessions)?;
        let ready = self.plan_change(query, &written, &numbered).await?;
        let change = Change {
            written: &written,
            files,
            numbered: Some(numbered),
            again,
            replaces_all: false,
            metadata: Vec::new(),
        };
        change
            .carry_out(self.warehouse(), Some(ready), operation, self.properties())
            .await
    }

    /// The columns of a table that is changed.
    pub(super) async fn columns_of(&self, changed: &Changed) -> Result<Fields, Fault> {
        Ok(self.open(changed).await?.columns)
    }

    async fn open(&self, changed: &Changed) -> Result<Written, Fault> {
        let written = Written::open(self.warehouse(), &changed.relation).await?;
        written.ok_or_else(|| table::not_filled(&changed.relation))
    }

    /// What the commits of statements say of themselves.
    pub(super) fn properties(&self) -> CommitProperties {
        match self.claim {
            Some(claim) => commit::alone().with_metadata([(commit::HOOK.to_owned(), json!(claim))]),
            None => commit::alone(),
        }
    }

    /// Plans the query of a change: its values in the types of the table's columns.
    async fn plan_change(
        &self,
        query: Query,
        written: &Written,
        numbered: &super::numbered::NumberedTable,
    ) -> Result<Ready, Fault> {
        // A statement of its own reads the newest versions, also inside of a transaction.
        let scope = Scope {
            target: Some(table::in_zone(Arc::new(numbered.clone()), self.zone())?),
            snapshots: Arc::default(),
            ..self.scope.clone()
        };
        let columns = written.columns.clone();
        self.sessions
            .plan_shaped(Statement::Query(Box::new(query)), &scope, &self.author(), |plan| {
                shape::in_types(plan, &columns)
            })
            .await
    }
}

impl Changed {
    /// Whether rows may come into it by hand.
    pub(super) fn takes_rows(&self) -> Result<(), Fault> {
        if self.placed_by.is_empty() {
            return Ok(());
        }
        Err(Box::new(
            Diagnostic::error(
                codes::NOT_CHANGEABLE,
                format!(
                    "`{}` is filled by intervals: rows cannot be put into it by hand",
                    self.relation
                ),
            )
            .with_remedy("put them into what its model reads, and `mulgil run` fills the intervals that they are in"),
        ))
    }
}

/// Brings the columns of a change's query into their types.
pub(super) mod shape {
    use datafusion::{
        arrow::datatypes::{DataType, Fields},
        common::DataFusionError,
        logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast},
    };

    /// Row, action, and the table's columns.
    pub(in crate::statement) fn in_types(plan: LogicalPlan, columns: &Fields) -> Result<LogicalPlan, DataFusionError> {
        let given = plan.schema().columns();
        let leading = [DataType::UInt64, DataType::Int64];
        let types = leading
            .into_iter()
            .chain(columns.iter().map(|field| field.data_type().clone()));
        let names = ["@row", "@action"]
            .into_iter()
            .chain(columns.iter().map(|field| field.name().as_str()));
        let projected = given
            .into_iter()
            .zip(types.zip(names))
            .map(|(column, (data_type, name))| cast(Expr::Column(column), data_type).alias(name));
        LogicalPlanBuilder::from(plan).project(projected)?.build()
    }
}

/// How many rows files hold, if all say it.
fn all_rows(files: &[LogicalFileView]) -> Option<Counts> {
    let rows = files
        .iter()
        .map(|file| match file.deletion_vector_descriptor() {
            None => file.num_records(),
            Some(_) => None,
        })
        .sum::<Option<usize>>()?;
    Some(Counts {
        deleted: rows as u64,
        ..Counts::default()
    })
}

/// The name of a table in a statement, and what it is called there.
fn table_of(factor: &TableFactor) -> Result<(ObjectName, String), Fault> {
    match factor {
        TableFactor::Table { name, args: None, .. } => {
            let alias = ast::called(factor).ok_or_else(|| broken("a table without a name"))?;
            Ok((name.clone(), alias))
        }
        _ => Err(change::refused("changing anything but a table")),
    }
}

/// What a statement did.
pub(super) fn outcome(relation: &Relation, counts: Counts, version: Option<u64>) -> StatementOutcome {
    StatementOutcome::Changed {
        relation: relation.clone(),
        inserted: counts.inserted,
        updated: counts.updated,
        deleted: counts.deleted,
        version,
    }
}

/// A merge in a table's history.
pub(super) fn merge_operation(on: &str) -> DeltaOperation {
    DeltaOperation::Merge {
        predicate: Some(on.to_owned()),
        merge_predicate: Some(on.to_owned()),
        matched_predicates: Vec::new(),
        not_matched_predicates: Vec::new(),
        not_matched_by_source_predicates: Vec::new(),
    }
}

/// A name is a folder's: it may not lead elsewhere, and not be one of ours.
fn check_name(name: &str) -> Result<(), Fault> {
    const MAX_BYTES: usize = 200;
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > MAX_BYTES {
        "it is longer than 200 bytes"
    } else if name.starts_with('.') || name == LOG_DIR {
        "such folders are the warehouse's own"
    } else if name.contains(['/', '\\', '@', '#', '%', '?', '*', ':', '"', '<', '>', '|'])
        || name.contains(char::is_control)
    {
        "it has letters that the name of a folder cannot have"
    } else if name == "information_schema" || name == UNNAMED_SCHEMA {
        "it is taken by the program"
    } else {
        return Ok(());
    };
    Err(bad_name(name, why))
}

fn bad_name(name: &str, why: &str) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::BAD_QUERY,
            format!("`{name}` cannot be the name of a table or schema: {why}"),
        )
        .with_remedy("write `name` or `schema.name`, of letters, digits and underscores"),
    )
}
