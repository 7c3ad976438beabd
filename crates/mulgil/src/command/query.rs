//! `mulgil query`: statements over the project's tables and those beside them; rows are streamed to
//! stdout.

use std::io::{Read as _, Write as _};

use async_trait::async_trait;
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    port::{ByteSink, Fault, Format, QueryLimits, SessionSpec, StatementOutcome},
};

use crate::{
    cli::{self, Global},
    command::Outcome,
    say,
    wire::{self, Opened},
};

pub(crate) async fn query(global: &Global, flags: &cli::Query) -> Outcome {
    let sql = if flags.sql == "-" {
        from_stdin()?
    } else {
        flags.sql.clone()
    };
    let opened = wire::open(global)?;
    let engine = opened.engine()?;
    let (seen, catalog) = match opened.ledger_to_read().await? {
        Some(store) => (store.sources_seen().await?, store.catalog().await?),
        None => Default::default(),
    };
    let exists = |name: &_| catalog.iter().any(|entry| entry.node == *name);
    let statements = engine.statements(&sql)?;
    let as_of = flags
        .as_of
        .as_deref()
        .map(|text| wire::moment(text, &opened.project.zone));
    let mut session = engine.session(&SessionSpec {
        bindings: opened.compiler.query_bindings(&exists, &seen),
        zone: opened.project.zone.clone(),
        schema: opened.project.schema.clone(),
        as_of: as_of.transpose()?,
    });
    let limits = QueryLimits {
        timeout_ms: flags
            .timeout
            .map_or_else(|| opened.query_timeout_ms(), |seconds| seconds.saturating_mul(1000)),
        max_rows: flags.limit,
    };
    let format = match flags.output {
        cli::Format::Table => Format::Table,
        cli::Format::Csv => Format::Csv,
        cli::Format::Json => Format::Json,
    };
    let _lock = match statements.iter().all(|statement| statement.only_reads) {
        true => None,
        false => Some(opened.lock("query")?),
    };
    let mut sink = Stdout { is_closed: false };
    for statement in &statements {
        let outcome = tokio::select! {
            outcome = session.run(&statement.sql, format, limits, &mut sink) => outcome,
            () = wire::interrupt() => return Ok(wire::INTERRUPTED),
        };
        match outcome {
            Ok(outcome) => tell(&opened, &outcome, flags.output),
            // A reader that closed the pipe has had enough.
            Err(_) if sink.is_closed => return Ok(0),
            Err(fault) => return Err(fault.into()),
        }
    }
    if statements.is_empty() {
        let fault = Diagnostic::error(codes::BAD_QUERY, "there is no SQL to run");
        return Err(fault.with_remedy("write a query: `select …`").into());
    }
    Ok(0)
}

/// Says what a statement did, on stderr: stdout is for rows.
pub(crate) fn tell(opened: &Opened, outcome: &StatementOutcome, format: cli::Format) {
    match outcome {
        StatementOutcome::Rows(outcome) if format == cli::Format::Table => {
            let cut = if outcome.truncated {
                "; there are more (--limit)"
            } else {
                ""
            };
            say::talk(&format!("{}{cut}", say::count(outcome.rows, "row")));
        }
        StatementOutcome::Rows(_) => {}
        StatementOutcome::Changed {
            relation,
            inserted,
            updated,
            deleted,
            version,
        } => {
            let parts = [("inserted", inserted), ("updated", updated), ("deleted", deleted)];
            let done: Vec<String> = parts
                .into_iter()
                .filter(|(_, rows)| **rows > 0)
                .map(|(verb, rows)| format!("{verb} {}", say::count(*rows, "row")))
                .collect();
            let version = version.map_or(String::new(), |version| format!(" (version {version} of {relation})"));
            match done.as_slice() {
                [] => say::talk(&format!("changed no row of {relation}{version}")),
                done => say::talk(&format!("{}{version}", done.join(", "))),
            }
            if let Some(node) = opened.project.nodes.iter().find(|node| node.relation == *relation) {
                say::talk(&format!(
                    "note: `{}` makes this table: what was changed by hand counts as stale, and the next run makes it anew",
                    node.name
                ));
            }
        }
        StatementOutcome::Done { said } => say::talk(said),
    }
}

fn from_stdin() -> Result<String, Diagnostic> {
    let mut sql = String::new();
    std::io::stdin().read_to_string(&mut sql).map_err(|error| {
        Diagnostic::error(codes::USAGE, format!("standard input cannot be read: {error}"))
            .with_remedy("write the query as an argument, or pipe UTF-8 text")
    })?;
    Ok(sql)
}

struct Stdout {
    is_closed: bool,
}

#[async_trait]
impl ByteSink for Stdout {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| {
            self.is_closed = error.kind() == std::io::ErrorKind::BrokenPipe;
            Box::new(say::unwritten(&error))
        })
    }
}
