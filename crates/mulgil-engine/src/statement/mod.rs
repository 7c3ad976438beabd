//! Statements, one after another: what each is, and who carries it out. Queries are planned by
//! DataFusion; all that defines or changes something is done here, never by DataFusion, whose own
//! tables live in memory alone.

mod alter;
mod ast;
mod change;
pub(crate) mod column_names;
mod context;
mod copy;
mod define;
mod dialect;
mod functions;
mod insert;
pub(crate) mod json;
mod locate;
pub(crate) mod maintain;
pub(crate) mod numbered;
pub(crate) mod parse;
mod pivot;
mod precedence;
mod refusals;
mod remove;
mod rows;
mod show;
pub(crate) mod subqueries;
pub(crate) mod write;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use datafusion::sql::sqlparser::ast::{Query, SetExpr, Statement, With};
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    port::{ByteSink, Fault, Format, QueryLimits, SessionSpec, SqlSession, StatementOutcome},
    task::{Binding, ScriptSpec},
};
use tokio::sync::mpsc;

use self::{
    context::Context,
    parse::{Parsed, Typed, unsupported},
};
use crate::{
    Inner,
    catalog::Catalog,
    cpu::Cpu,
    fault::Author,
    planner::memory,
    session::{Scope, Sessions},
    table::Snapshots,
};

/// Pieces of a result that wait for a slow reader; then the query waits.
const PIECES_AHEAD: usize = 4;

/// A session of statements.
pub(crate) struct Session {
    inner: Arc<Inner>,
    cpu: Arc<Cpu>,
    spec: SessionSpec,
    transaction: Option<Transaction>,
}

/// Runs the statements of a script one after another; the rows of queries are dropped.
pub(crate) async fn script(inner: &Arc<Inner>, spec: &ScriptSpec) -> Result<(), Fault> {
    let all = QueryLimits {
        timeout_ms: u64::MAX,
        max_rows: None,
    };
    for parsed in parse::statements(&spec.sql, &Author::Node("a hook".to_owned()))? {
        let sessions = inner.sessions().await?;
        let catalog = if names_nothing(sessions, &parsed)? {
            Catalog::empty(&spec.schema)
        } else {
            Catalog::load(sessions.warehouse(), &spec.schema).await?
        };
        let scope = Scope {
            bindings: spec.bindings.as_slice().into(),
            catalog: Some(Arc::new(catalog)),
            zone: spec.zone.clone(),
            // Each statement sees what is there when it begins.
            snapshots: Arc::default(),
            target: None,
        };
        let context = Context::new(sessions, scope, &inner.config.spill_dir).of_hook(spec.claim.as_ref());
        Box::pin(run(&context, parsed, (Format::Csv, all), &mut Nowhere))
            .await
            .map_err(of_hook)?;
    }
    Ok(())
}

/// Whether a statement is a query that names no tables, so that what lies in the warehouse is no matter.
fn names_nothing(sessions: &Sessions, parsed: &Parsed) -> Result<bool, Fault> {
    let Typed::Sql(statement) = &parsed.statement else {
        return Ok(false);
    };
    let is_query = matches!(statement.as_ref(), Statement::Query(_)) && parse::only_reads(statement);
    Ok(is_query
        && sessions
            .references(statement, &Author::Node("a hook".to_owned()))?
            .is_empty())
}

/// A fault of SQL that stands in the project, not at a prompt.
#[expect(clippy::boxed_local, reason = "faults are boxed wherever they go")]
fn of_hook(fault: Fault) -> Fault {
    let code = if fault.code == codes::BAD_QUERY {
        codes::SQL_FAILED
    } else {
        fault.code
    };
    Box::new(Diagnostic {
        code,
        place: None,
        ..*fault
    })
}

/// Takes bytes that nobody wants.
struct Nowhere;

#[async_trait]
impl ByteSink for Nowhere {
    async fn write(&mut self, _bytes: &[u8]) -> Result<(), Fault> {
        Ok(())
    }
}

/// What lies between `begin` and `commit`.
#[derive(Clone)]
struct Transaction {
    snapshots: Arc<Snapshots>,
    /// What it wrote, which no `rollback` takes back.
    written: Vec<String>,
}

impl Session {
    /// Over an engine's warehouse.
    pub(crate) fn new(inner: Arc<Inner>, cpu: Arc<Cpu>, spec: SessionSpec) -> Self {
        Self {
            inner,
            cpu,
            spec,
            transaction: None,
        }
    }

    fn snapshots(&self) -> Arc<Snapshots> {
        match (&self.transaction, self.spec.as_of) {
            (Some(transaction), _) => Arc::clone(&transaction.snapshots),
            (None, Some(moment)) => Arc::new(Snapshots::as_of(moment)),
            (None, None) => Arc::default(),
        }
    }

    fn begin(&mut self) -> Result<StatementOutcome, Fault> {
        if self.transaction.is_some() {
            return Err(bad_transaction(
                "a transaction is open already",
                "end it first: `commit`",
            ));
        }
        self.transaction = Some(Transaction {
            snapshots: self.snapshots(),
            written: Vec::new(),
        });
        Ok(done(
            "begun: queries read one version of each table until `commit`; what is written commits by itself, at once",
        ))
    }

    fn end(&mut self, rolls_back: bool) -> Result<StatementOutcome, Fault> {
        let Some(transaction) = self.transaction.take() else {
            return Err(bad_transaction("no transaction is open", "begin one first: `begin`"));
        };
        match (rolls_back, transaction.written.as_slice()) {
            (true, [_, ..]) => {
                let written = transaction.written.join(", ");
                Err(bad_transaction(
                    &format!("what was written since `begin` stays: {written}; each write had committed by itself"),
                    "write it back by hand: `t for version as of …` reads what was there before",
                ))
            }
            (true, []) | (false, _) => Ok(done("ended: queries read the newest versions again")),
        }
    }

    async fn dispatch(
        &mut self,
        parsed: Parsed,
        output: (Format, QueryLimits),
        sink: &mut dyn ByteSink,
    ) -> Result<StatementOutcome, Fault> {
        match &parsed.statement {
            Typed::Sql(statement) => match statement.as_ref() {
                Statement::StartTransaction { modes, statements, .. } if statements.is_empty() => {
                    if modes.is_empty() {
                        return self.begin();
                    }
                    return Err(unsupported("a mode of a transaction", &Author::Typed));
                }
                Statement::Commit { chain: false, .. } => return self.end(false),
                Statement::Rollback {
                    chain: false,
                    savepoint: None,
                } => return self.end(true),
                _ => {}
            },
            Typed::Vacuum(_) => {}
        }
        let sessions = self.inner.sessions().await?;
        let catalog = Catalog::load(sessions.warehouse(), &self.spec.schema).await?;
        let scope = Scope {
            bindings: self.spec.bindings.as_slice().into(),
            catalog: Some(Arc::new(catalog)),
            zone: self.spec.zone.clone(),
            snapshots: self.snapshots(),
            target: None,
        };
        let scratch = &self.inner.config.spill_dir;
        let mut sink = Began { sink, has: false };
        let outcome = match Box::pin(run(
            &Context::new(sessions, scope.clone(), scratch),
            parsed.clone(),
            output,
            &mut sink,
        ))
        .await
        {
            // Nothing left yet and nothing was committed: once more, with less.
            Err(fault) if memory::is_short(&fault) && !sink.has => {
                let frugal = sessions.frugal();
                let context = Context::new(&frugal, scope, scratch);
                let outcome = Box::pin(run(&context, parsed, output, &mut sink)).await;
                outcome.map_err(|fault| sessions.limits().named(fault))
            }
            outcome => outcome,
        }?;
        if let (Some(transaction), StatementOutcome::Changed { relation, .. }) = (&mut self.transaction, &outcome) {
            transaction.written.push(relation.to_string());
            transaction.snapshots.forget(relation).await;
        }
        Ok(outcome)
    }
}

/// Where a result goes, and whether any of it has.
struct Began<'a> {
    sink: &'a mut dyn ByteSink,
    has: bool,
}

#[async_trait]
impl ByteSink for Began<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.has = true;
        self.sink.write(bytes).await
    }
}

#[async_trait]
impl SqlSession for Session {
    fn bind(&mut self, bindings: Vec<Binding>) {
        self.spec.bindings = bindings;
    }

    async fn run(
        &mut self,
        sql: &str,
        format: Format,
        limits: QueryLimits,
        sink: &mut dyn ByteSink,
    ) -> Result<StatementOutcome, Fault> {
        let parsed = one(sql)?;
        let limit = Duration::from_millis(limits.timeout_ms);
        let mut session = Self {
            inner: Arc::clone(&self.inner),
            cpu: Arc::clone(&self.cpu),
            spec: self.spec.clone(),
            transaction: self.transaction.clone(),
        };
        let (pieces, mut arrived) = mpsc::channel(PIECES_AHEAD);
        let work = self.cpu.run(async move {
            let mut sink = crate::Pieces(pieces);
            let outcome = Box::pin(session.dispatch(parsed, (format, limits), &mut sink)).await;
            Ok((outcome, session.transaction))
        });
        let passed_on = async move {
            tokio::pin!(work);
            loop {
                tokio::select! {
                    biased;
                    Some(bytes) = arrived.recv() => sink.write(&bytes).await?,
                    outcome = &mut work => {
                        while let Some(bytes) = arrived.recv().await {
                            sink.write(&bytes).await?;
                        }
                        return outcome;
                    }
                }
            }
        };
        let Ok(ended) = tokio::time::timeout(limit, passed_on).await else {
            return Err(crate::too_slow(limit));
        };
        let (outcome, transaction) = ended?;
        self.transaction = transaction;
        outcome.map_err(|fault| locate::placed(fault, sql))
    }
}

/// The one statement of a text.
fn one(sql: &str) -> Result<Parsed, Fault> {
    let mut all = parse::statements(sql, &Author::Typed)?.into_iter();
    match (all.next(), all.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Box::new(
            Diagnostic::error(codes::BAD_QUERY, "there is no SQL to run").with_remedy("write a query: `select …`"),
        )),
        (Some(_), Some(_)) => Err(Box::new(
            Diagnostic::error(codes::BAD_QUERY, "there is more than one statement where one may stand")
                .with_remedy("run them one after another"),
        )),
    }
}

/// Carries one statement out.
async fn run(
    context: &Context<'_>,
    parsed: Parsed,
    (format, limits): (Format, QueryLimits),
    sink: &mut dyn ByteSink,
) -> Result<StatementOutcome, Fault> {
    let Parsed { statement, text } = parsed;
    let statement = match statement {
        Typed::Sql(statement) => *statement,
        Typed::Vacuum(vacuum) => return maintain::vacuum(context, &vacuum).await,
    };
    if parse::only_reads(&statement) {
        let statement = show::as_query(context, statement).await?;
        let ready = context.plan(statement).await?;
        let rows = ready.rows(&context.author())?;
        let output = context.output(format, limits);
        return Ok(StatementOutcome::Rows(output.write(rows, sink).await?));
    }
    context.may_write().await?;
    match statement {
        Statement::Query(query) => {
            let (with, writing) = writing(*query)?;
            Box::pin(run_change(context, writing, with)).await
        }
        change @ (Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Merge(_)) => {
            Box::pin(run_change(context, change, None)).await
        }
        Statement::Truncate(truncate) => remove::truncate(context, truncate).await,
        Statement::CreateSchema {
            schema_name,
            if_not_exists,
            with: None,
            options: None,
            default_collate_spec: None,
            clone: None,
        } => define::create_schema(context, &schema_name, if_not_exists).await,
        Statement::CreateTable(create) => define::create_table(context, create).await,
        Statement::CreateView(create) => define::create_view(context, create, &text).await,
        Statement::AlterTable(alter) => alter::alter_table(context, alter).await,
        Statement::Drop {
            object_type,
            if_exists,
            names,
            cascade,
            purge: false,
            temporary: false,
            table: None,
            restrict: _,
        } => remove::drop(context, object_type, if_exists, &names, cascade).await,
        Statement::Comment {
            object_type,
            object_name,
            comment,
            if_exists: false,
        } => alter::comment(context, object_type, &object_name, comment).await,
        copy @ Statement::Copy { .. } => Box::pin(copy::copy(context, copy, limits)).await,
        Statement::OptimizeTable {
            name,
            on_cluster: None,
            partition: None,
            include_final: false,
            deduplicate: None,
            predicate: None,
            zorder: None,
            has_table_keyword: _,
        } => maintain::optimize(context, &name).await,
        other => Err(unsupported(&named(&other), &Author::Typed)),
    }
}

async fn run_change(
    context: &Context<'_>,
    statement: Statement,
    with: Option<With>,
) -> Result<StatementOutcome, Fault> {
    match statement {
        Statement::Insert(insert) => insert::insert(context, insert, with).await,
        Statement::Update(update) => context.update(update, with).await,
        Statement::Delete(delete) => context.delete(delete, with).await,
        Statement::Merge(merge) => context.merge(merge, with).await,
        other => Err(unsupported(&named(&other), &Author::Typed)),
    }
}

/// A statement that writes and that a query is: `with … insert …`.
fn writing(query: Query) -> Result<(Option<With>, Statement), Fault> {
    let is_plain = query.order_by.is_none() && query.limit_clause.is_none() && query.pipe_operators.is_empty();
    match *query.body {
        SetExpr::Insert(statement)
        | SetExpr::Update(statement)
        | SetExpr::Delete(statement)
        | SetExpr::Merge(statement)
            if is_plain =>
        {
            Ok((query.with, statement))
        }
        SetExpr::Query(inner) if is_plain && query.with.is_none() => writing(*inner),
        _ => Err(unsupported(
            "a statement that writes, inside of a query,",
            &Author::Typed,
        )),
    }
}

/// The words with which a statement begins.
fn named(statement: &Statement) -> String {
    const WORDS: usize = 2;
    let text = statement.to_string();
    let words: Vec<&str> = text.split_whitespace().take(WORDS).collect();
    words.join(" ").to_uppercase()
}

/// That something was done.
fn done(said: impl Into<String>) -> StatementOutcome {
    StatementOutcome::Done { said: said.into() }
}

fn bad_transaction(message: &str, remedy: &str) -> Fault {
    Box::new(Diagnostic::error(codes::BAD_TRANSACTION, message.to_owned()).with_remedy(remedy.to_owned()))
}
