//! `mulgil query`: statements over the project's tables and those beside them; rows are streamed to
//! stdout or into a file.

use std::{io::Read as _, path::Path};

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    port::{ByteSink, Format, QueryLimits, QueryOutcome, ScriptStatement, SqlSession, StatementOutcome},
};

use crate::{
    cli::{self, Global},
    command::{Faults, Outcome},
    output::{self, NewFile, Stdout},
    say,
    wire::{self, Opened},
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
    let statements = engine.statements(&sql)?;
    if statements.is_empty() {
        let fault = Diagnostic::error(codes::BAD_QUERY, "there is no SQL to run");
        return Err(fault.with_remedy("write a query: `select …`").into());
    }
    let as_of = flags
        .as_of
        .as_deref()
        .map(|text| wire::moment(text, &opened.project.zone));
    let spec = opened.session_spec(as_of.transpose()?).await?;
    let asked = Asked {
        format,
        limits: QueryLimits {
            timeout_ms: opened.query_timeout_ms(flags.timeout),
            max_rows: flags.limit,
        },
        session: engine.session(&spec),
        opened: &opened,
    };
    let right = if statements.iter().all(|statement| statement.only_reads) {
        None
    } else {
        Some(opened.right("mulgil query").await?)
    };
    let outcome = match target {
        Target::Stdout(sink) => to_stdout(asked, &statements, sink).await,
        Target::File(file) => to_file(asked, &statements, file).await,
    };
    if let Some(right) = right {
        right.give_back().await;
    }
    outcome
}

/// How statements are run.
struct Asked<'a> {
    format: Format,
    limits: QueryLimits,
    session: Box<dyn SqlSession>,
    opened: &'a Opened,
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

async fn to_stdout(mut asked: Asked<'_>, statements: &[ScriptStatement], mut sink: Stdout) -> Outcome {
    for statement in statements {
        match asked.run(statement, &mut sink).await {
            Ok(Some(StatementOutcome::Rows(outcome))) => {
                if asked.format == Format::Table {
                    say::talk(&format!("{}{}", say::count(outcome.rows, "row"), more(outcome)));
                }
            }
            Ok(Some(outcome)) => say_done(asked.opened, &outcome),
            Ok(None) => return Ok(wire::INTERRUPTED),
            // A reader that closed the pipe has had enough.
            Err(_) if sink.is_closed => return Ok(0),
            Err(faults) => return Err(faults),
        }
    }
    Ok(0)
}

async fn to_file(mut asked: Asked<'_>, statements: &[ScriptStatement], mut file: NewFile) -> Outcome {
    let [statement @ ScriptStatement { only_reads: true, .. }] = statements else {
        let fault = Diagnostic::error(codes::USAGE, "one query fills a file, and nothing else");
        return Err(fault
            .with_remedy("run the other statements by themselves, without `-f`")
            .into());
    };
    let outcome = match asked.run(statement, &mut file).await? {
        None => return Ok(wire::INTERRUPTED),
        Some(StatementOutcome::Rows(outcome)) => outcome,
        Some(other) => {
            say_done(asked.opened, &other);
            return Ok(0);
        }
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

impl Asked<'_> {
    /// Runs a statement; nothing when a person ended it.
    async fn run(
        &mut self,
        statement: &ScriptStatement,
        sink: &mut dyn ByteSink,
    ) -> Result<Option<StatementOutcome>, Faults> {
        tokio::select! {
            outcome = self.session.run(&statement.sql, self.format, self.limits, sink) => Ok(Some(outcome?)),
            () = wire::interrupt() => Ok(None),
        }
    }
}

/// Says what a statement did that gives no rows, on stderr: stdout is for rows.
pub(crate) fn say_done(opened: &Opened, outcome: &StatementOutcome) {
    match outcome {
        StatementOutcome::Rows(_) => {}
        StatementOutcome::Done { said } => say::talk(said),
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
