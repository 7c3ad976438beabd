//! `mulgil query`: a query over the project's tables, streamed to stdout.

use std::io::{Read as _, Write as _};

use async_trait::async_trait;
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    port::{ByteSink, Fault, Format, QueryLimits, QuerySpec},
    publish::ReadVersions,
};

use crate::{
    cli::{self, Global},
    command::Outcome,
    say, wire,
};

pub(crate) async fn query(global: &Global, flags: &cli::Query) -> Outcome {
    let sql = if flags.sql == "-" {
        from_stdin()?
    } else {
        flags.sql.clone()
    };
    let opened = wire::open(global)?;
    let engine = opened.engine()?;
    let (seen, catalog, versions) = match opened.ledger_to_read().await? {
        Some(store) => (
            store.sources_seen().await?,
            store.catalog().await?,
            store.versions().await?,
        ),
        None => Default::default(),
    };
    let exists = |name: &_| catalog.iter().any(|entry| entry.node == *name);
    let mut bindings = opened.compiler.query_bindings(&exists, &seen);
    let published = |relation: &_| Some(versions.get(relation)?.published);
    ReadVersions::of(&opened.project, published).pin(&mut bindings, None);
    let spec = QuerySpec {
        sql,
        bindings,
        zone: opened.project.zone.clone(),
        format: match flags.output {
            cli::Format::Table => Format::Table,
            cli::Format::Csv => Format::Csv,
            cli::Format::Json => Format::Json,
        },
        limits: QueryLimits {
            timeout_ms: flags
                .timeout
                .map_or_else(|| opened.query_timeout_ms(), |seconds| seconds.saturating_mul(1000)),
            max_rows: flags.limit,
        },
    };
    let mut sink = Stdout { is_closed: false };
    let outcome = tokio::select! {
        outcome = engine.query(&spec, &mut sink) => outcome,
        () = wire::interrupt() => return Ok(wire::INTERRUPTED),
    };
    match outcome {
        Ok(outcome) => {
            if flags.output == cli::Format::Table {
                let cut = if outcome.truncated {
                    "; there are more (--limit)"
                } else {
                    ""
                };
                say::talk(&format!("{}{cut}", say::count(outcome.rows, "row")));
            }
            Ok(0)
        }
        // A reader that closed the pipe has had enough.
        Err(_) if sink.is_closed => Ok(0),
        Err(fault) => Err(fault.into()),
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
