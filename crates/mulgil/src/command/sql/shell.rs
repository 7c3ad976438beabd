//! What holds between two statements, and how one of them is run.

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    port::{ByteSink, Fault, Format, QueryLimits, QueryOutcome, SharedEngine, SqlSession, StatementOutcome},
    statements::Statement,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::screen::Screen;
use crate::{
    cli::{self, TextFormat},
    command::query::say_done,
    output::Stdout,
    say,
    wire::{self, Opened},
};

/// How something that was asked of the shell ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Well: what follows can be run.
    Well,
    /// A person wants no more, or whoever reads the results.
    Quit,
    /// A person ended what was running.
    Interrupted,
    /// With a fault, which was said.
    Failed(Fault),
}

impl Ended {
    /// The exit code of a script that ended so.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Well | Self::Quit => 0,
            Self::Interrupted => wire::INTERRUPTED,
            Self::Failed(fault) => fault.code.exit(),
        }
    }
}

/// Where a text of several statements comes from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The file; none for what is typed.
    pub(super) file: Option<String>,
}

/// A project with settings that last until the shell ends.
pub(super) struct Shell {
    pub(super) opened: Opened,
    pub(super) format: TextFormat,
    /// Whether the time of each statement is said.
    pub(super) is_timed: bool,
    /// Whether a person types, and sees the results in a terminal.
    pub(super) is_typed: bool,
    /// Columns of the terminal, where there is one.
    pub(super) width: Option<usize>,
    engine: SharedEngine,
    /// What holds from one statement to the next: a transaction.
    session: Option<Box<dyn SqlSession>>,
    timeout_ms: u64,
    /// Every Ctrl-C since the last statement began; none where the system does not tell of them.
    interrupts: Option<Signal>,
}

impl Shell {
    /// Over a project.
    pub(super) fn new(opened: Opened, flags: &cli::Sql, is_typed: bool) -> Result<Self, Fault> {
        Ok(Self {
            format: flags.output,
            is_timed: is_typed,
            is_typed,
            width: None,
            engine: opened.engine()?,
            session: None,
            timeout_ms: opened.query_timeout_ms(flags.timeout),
            interrupts: signal(SignalKind::interrupt()).ok(),
            opened,
        })
    }

    /// Runs one statement and writes what it gives. Every statement passes here, and nowhere else.
    async fn perform(&mut self, sql: &str, sink: &mut dyn ByteSink) -> Result<StatementOutcome, Fault> {
        let format = match self.format {
            TextFormat::Table => Format::Table,
            TextFormat::Csv => Format::Csv,
            TextFormat::Json => Format::Json,
        };
        let limits = QueryLimits {
            timeout_ms: self.timeout_ms,
            max_rows: None,
        };
        let statements = self.engine.statements(sql)?;
        let right = if statements.iter().all(|statement| statement.only_reads) {
            None
        } else {
            Some(self.opened.right("mulgil sql").await?)
        };
        // A run beside this shell may have made tables since the last statement.
        let spec = self.opened.session_spec(None).await?;
        let session = match &mut self.session {
            Some(session) => {
                session.bind(spec.bindings);
                session
            }
            none => none.insert(self.engine.session(&spec)),
        };
        let outcome = session.run(sql, format, limits, sink).await;
        if let Some(right) = right {
            right.give_back().await;
        }
        outcome
    }

    /// Runs a statement until its end or until Ctrl-C, and says how it went. `whole` is the text that
    /// it is part of.
    pub(super) async fn statement(&mut self, statement: &Statement, origin: &Origin, whole: &str) -> Ended {
        let mut stdout = Stdout::default();
        let began = wire::now();
        let mut screen = Screen::new(&mut stdout, self.cut_at());
        let mut interrupts = self.interrupts.take();
        let outcome = tokio::select! {
            outcome = self.perform(&statement.text, &mut screen) => Some(outcome),
            () = next(&mut interrupts) => None,
        };
        self.interrupts = interrupts;
        let is_cut = screen.is_cut();
        match outcome {
            None => {
                // A terminal has just shown `^C`.
                say::talk(if self.is_typed { "\ncancelled" } else { "cancelled" });
                self.leave_engine();
                Ended::Interrupted
            }
            Some(Ok(StatementOutcome::Rows(outcome))) => {
                self.say_how_much(outcome, say::span(began, wire::now()), is_cut);
                Ended::Well
            }
            Some(Ok(outcome)) => {
                say_done(&self.opened, &outcome);
                if self.is_timed {
                    say::talk(&say::span(began, wire::now()));
                }
                Ended::Well
            }
            Some(Err(_)) if stdout.is_closed => Ended::Quit,
            Some(Err(fault)) => {
                if fault.code == codes::QUERY_TIMEOUT {
                    self.leave_engine();
                }
                let fault = placed(*fault, statement, origin);
                say::fault_in(&fault, whole, origin.file.is_some());
                Ended::Failed(Box::new(fault))
            }
        }
    }

    /// Forgets a Ctrl-C that came while nothing ran.
    pub(super) fn forget_interrupts(&mut self) {
        if let Some(interrupts) = &mut self.interrupts {
            let mut idle = std::task::Context::from_waker(std::task::Waker::noop());
            while interrupts.poll_recv(&mut idle).is_ready() {}
        }
    }

    /// Leaves the engine to what it still computes, and takes another one: a query that never pauses holds
    /// its threads until the program ends.
    fn leave_engine(&mut self) {
        if let Ok(engine) = self.opened.engine() {
            self.engine = engine;
            // A transaction's snapshots go with it.
            self.session = None;
        }
    }

    /// Where lines are cut: tables that a person sees, at the width of the terminal.
    fn cut_at(&self) -> Option<usize> {
        match self.format {
            TextFormat::Table => self.width,
            TextFormat::Csv | TextFormat::Json => None,
        }
    }

    fn say_how_much(&self, outcome: QueryOutcome, took: String, is_cut: bool) {
        let mut said = Vec::new();
        if self.is_typed || self.format == TextFormat::Table {
            said.push(say::count(outcome.rows, "row"));
        }
        if self.is_timed {
            said.push(took);
        }
        if is_cut {
            said.push("cut at the edge of the terminal: name fewer columns, or `.output csv`".to_owned());
        }
        if !said.is_empty() {
            say::talk(&said.join(", "));
        }
    }
}

/// The fault with the place in the whole text where the engine said the place in the statement.
fn placed(mut fault: Diagnostic, statement: &Statement, origin: &Origin) -> Diagnostic {
    let (line, column) = match &fault.place {
        Some(Place {
            line: Some(line),
            column: Some(column),
            ..
        }) => statement.place(*line, *column),
        Some(_) | None if origin.file.is_some() => (statement.line, statement.column),
        Some(_) | None => return fault,
    };
    fault.place = Some(Place::at(origin.file.as_deref().unwrap_or_default(), line, column));
    fault
}

/// Resolves at the next Ctrl-C, or at one that has come already.
async fn next(interrupts: &mut Option<Signal>) {
    match interrupts {
        Some(interrupts) => {
            interrupts.recv().await;
        }
        None => std::future::pending().await,
    }
}
