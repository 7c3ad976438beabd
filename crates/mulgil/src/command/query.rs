//! `mulgil query`: a query over the project's tables, streamed to stdout or into a file.

use std::{io::Read as _, path::Path};

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    port::{ByteSink, Format, QueryLimits, QueryOutcome, QuerySpec, SharedEngine},
};

use crate::{
    cli::{self, Global},
    command::{Faults, Outcome},
    output::{self, NewFile, Stdout},
    say, wire,
};

pub(crate) async fn query(global: &Global, flags: &cli::Query) -> Outcome {
    let format = format(flags)?;
    let target = Target::of(flags, format)?;
    let sql = if flags.sql == "-" {
        from_stdin()?
    } else {
        flags.sql.clone()
    };
    let opened = wire::open(global)?;
    let engine = opened.engine()?;
    let names = opened.names().await?;
    let spec = QuerySpec {
        sql,
        bindings: names.bindings,
        zone: opened.project.zone.clone(),
        format,
        limits: QueryLimits {
            timeout_ms: opened.query_timeout_ms(flags.timeout),
            max_rows: flags.limit,
        },
    };
    match target {
        Target::Stdout(sink) => to_stdout(&engine, &spec, sink).await,
        Target::File(file) => to_file(&engine, &spec, file).await,
    }
}

/// Where the result goes.
enum Target {
    Stdout(Stdout),
    File(NewFile),
}

impl Target {
    fn of(flags: &cli::Query, format: Format) -> Result<Self, Diagnostic> {
        match &flags.output_file {
            Some(path) if path != Path::new("-") => NewFile::begin(path, flags.force).map(Self::File),
            Some(_) | None => Stdout::of(format).map(Self::Stdout),
        }
    }
}

async fn to_stdout(engine: &SharedEngine, spec: &QuerySpec, mut sink: Stdout) -> Outcome {
    match run(engine, spec, &mut sink).await {
        Ok(Some(outcome)) => {
            if spec.format == Format::Table {
                say::talk(&format!("{}{}", say::count(outcome.rows, "row"), more(outcome)));
            }
            Ok(0)
        }
        Ok(None) => Ok(wire::INTERRUPTED),
        // A reader that closed the pipe has had enough.
        Err(_) if sink.is_closed => Ok(0),
        Err(faults) => Err(faults),
    }
}

async fn to_file(engine: &SharedEngine, spec: &QuerySpec, mut file: NewFile) -> Outcome {
    let Some(outcome) = run(engine, spec, &mut file).await? else {
        return Ok(wire::INTERRUPTED);
    };
    let path = file.path().to_owned();
    let bytes = file.finish()?;
    say::talk(&format!(
        "{} in {}, {}{}",
        say::count(outcome.rows, "row"),
        path.display(),
        say::size(bytes),
        more(outcome)
    ));
    Ok(0)
}

/// Runs the query; nothing when a person ended it.
async fn run(engine: &SharedEngine, spec: &QuerySpec, sink: &mut dyn ByteSink) -> Result<Option<QueryOutcome>, Faults> {
    tokio::select! {
        outcome = engine.query(spec, sink) => Ok(Some(outcome?)),
        () = wire::interrupt() => Ok(None),
    }
}

fn more(outcome: QueryOutcome) -> &'static str {
    if outcome.truncated {
        "; there are more (--limit)"
    } else {
        ""
    }
}

/// As it was asked for, else as the file's name says.
fn format(flags: &cli::Query) -> Result<Format, Diagnostic> {
    let named = flags.output.map(|format| match format {
        cli::Format::Table => Format::Table,
        cli::Format::Csv => Format::Csv,
        cli::Format::Json => Format::Json,
        cli::Format::Parquet => Format::Parquet,
        cli::Format::Xlsx => Format::Xlsx,
    });
    match (named, &flags.output_file) {
        (Some(format), _) => Ok(format),
        (None, Some(path)) if path != Path::new("-") => output::format_of(path).ok_or_else(|| {
            Diagnostic::error(
                codes::USAGE,
                format!("the name of {} does not say how the result is written", path.display()),
            )
            .with_remedy("say it with `-o csv`, or let the name end in .csv, .json, .parquet, .xlsx or .txt")
        }),
        (None, _) => Ok(Format::Table),
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
