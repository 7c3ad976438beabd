//! `mulgil demo`: the story of a small data team in a new folder, filled by the program itself. Some things in it
//! are wrong on purpose; what they are and what helps is said at the end.

mod events;
mod files;
mod story;

use std::{collections::BTreeMap, sync::Arc};

use jiff::civil::Date;
use mulgil_core::{
    codes,
    decide::Scope,
    diagnostic::Diagnostic,
    interval_text,
    name::NodeName,
    run::Trigger,
    select::{self, Selection},
};
use mulgil_scheduler::{RunRequest, RunSummary};

use crate::{
    browser,
    cli::{self, Global},
    command::{Faults, Outcome, runs, serve},
    progress::Talk,
    say, serving,
    wire::{self, Opened},
};

/// The zone of the story.
const ZONE: &str = "Asia/Seoul";

/// Days that there are files of.
const DAYS: i32 = 14;

/// Days for which the flow has run; those before were filled by hand.
const FLOW_DAYS: i32 = 7;

/// Days whose files change once more.
const CHANGING_DAYS: i32 = 3;

/// The model whose SQL is wrong.
const BROKEN: &str = "ranking";

pub(crate) async fn demo(global: &Global, flags: &cli::Demo) -> Outcome {
    let folder = global.project_dir.join(&flags.dir);
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    if folder.exists() {
        return Err(
            Diagnostic::error(codes::ALREADY_THERE, format!("{} exists already", folder.display()))
                .with_remedy("name a folder that does not exist: `mulgil demo DIR`")
                .into(),
        );
    }
    let days = Days::before(flags.until)?;
    // A port that is taken is told before anything is made.
    let listener = if flags.no_serve {
        None
    } else {
        Some(serving::listen(flags.port).await?)
    };
    let has_python = wire::program(serving::PYTHON).is_some();
    let global = Global {
        project_dir: folder.clone(),
        ..global.clone()
    };
    story::begin(&folder);
    files::write_project(&folder, &days, has_python)?;
    let filled = match fill(&global, &days, flags.parallel).await? {
        Ended::Well(filled) => filled,
        Ended::With(code) => return Ok(code),
    };
    story::tell(&filled, &days, has_python);
    story::help(&folder, &filled, &days, listener.is_some());
    let Some(listener) = listener else {
        return Ok(0);
    };
    let address = listener.url()?;
    browser::open(&address);
    story::serving(&address);
    let flags = cli::Serve {
        port: flags.port,
        slots: None,
        parallel: flags.parallel,
    };
    serve::while_you_work(&global, wire::open(&global)?, &flags, listener).await
}

/// The days of the story.
struct Days {
    begin: Date,
    /// The first day of which there is nothing.
    until: Date,
    /// The first day for which the flow ran.
    flow_begin: Date,
    /// The days whose sales came too late.
    holes: [Date; 2],
}

impl Days {
    /// The days before a date, or before today.
    fn before(until: Option<Date>) -> Result<Self, Diagnostic> {
        let today = wire::today(ZONE);
        let until = until.unwrap_or(today);
        let back = |days: i32| until.checked_sub(jiff::Span::new().days(days));
        let days = || -> Result<Self, jiff::Error> {
            Ok(Self {
                begin: back(DAYS)?,
                until,
                flow_begin: back(FLOW_DAYS)?,
                holes: [back(FLOW_DAYS - 1)?, back(FLOW_DAYS - 2)?],
            })
        };
        days().ok().filter(|_| until <= today).ok_or_else(|| {
            Diagnostic::error(codes::USAGE, format!("the days before {until} are not over"))
                .with_remedy(format!("name today in Seoul, or a day before: `--until {today}`"))
        })
    }

    fn all(&self) -> impl Iterator<Item = Date> + '_ {
        self.begin
            .series(jiff::Span::new().days(1))
            .take_while(|date| *date < self.until)
    }

    /// Those whose files change once more.
    fn newest(&self) -> impl Iterator<Item = Date> + '_ {
        self.all().skip((DAYS - CHANGING_DAYS).unsigned_abs() as usize)
    }
}

/// What was filled.
struct Filled {
    /// The run in which the model failed, and the attempt.
    failed: (i64, i64),
    took: String,
}

/// How filling ended.
enum Ended {
    /// As it was meant to.
    Well(Filled),
    /// Otherwise, which was said.
    With(u8),
}

/// Fills the tables in the order of the story: the first days by hand, the next ones by the flow, and all again
/// after three files have changed.
async fn fill(global: &Global, days: &Days, parallel: Option<usize>) -> Result<Ended, Faults> {
    let began = wire::now();
    let opened = wire::open(global)?;
    let root = opened.project.root.clone();
    let by_hand = run(&opened, by_hand(&opened, days)?, parallel).await?;
    if let Some(code) = unmeant(&by_hand, None) {
        return Ok(Ended::With(code));
    }
    let code = run_flow(&opened, days, parallel).await?;
    if code != 0 {
        return Ok(Ended::With(code));
    }
    files::change_newest(&root, days)?;
    let all = run(&opened, RunRequest::of_all(Trigger::Manual), parallel).await?;
    if let Some(code) = unmeant(&all, Some(BROKEN)) {
        return Ok(Ended::With(code));
    }
    files::send_late(&root, days)?;
    Ok(Ended::Well(Filled {
        failed: attempt_of_broken(&opened, all.run.unwrap_or_default()).await?,
        took: say::span(began, wire::now()),
    }))
}

/// The attempt in which the model failed, with its run.
async fn attempt_of_broken(opened: &Opened, run: i64) -> Result<(i64, i64), Faults> {
    let store = opened.ledger_to_read().await?;
    let (_, tasks) = runs::find(store.as_ref(), Some(run)).await?;
    let task = tasks.iter().find(|task| task.instance.node.as_str() == BROKEN);
    let attempt = task.and_then(|task| task.attempts.last());
    Ok((run, attempt.map_or(0, |attempt| attempt.id)))
}

/// The run of the days before the flow.
fn by_hand(opened: &Opened, days: &Days) -> Result<RunRequest, Diagnostic> {
    let range = format!("{}..{}", days.begin, days.flow_begin);
    let of_range = ["reads_daily", "readers_daily", "readers_7d", "sales_daily"].map(|node| format!("{node}@{range}"));
    let mut chosen = vec!["episodes".to_owned()];
    chosen.extend(of_range);
    let Selection { ranges, named, .. } = select::select(&opened.project, &chosen, &[], None)?;
    Ok(RunRequest {
        selector: chosen.join(" "),
        scope: Scope::Only(ranges),
        named: named.into_iter().collect(),
        ..RunRequest::of_all(Trigger::Manual)
    })
}

async fn run(opened: &Opened, request: RunRequest, parallel: Option<usize>) -> Result<RunSummary, Faults> {
    let (runner, right) = opened.runner("mulgil demo", parallel).await?;
    let talk = Arc::new(Talk::bars_alone(Arc::clone(&opened.project)));
    let summary = runner.run(&request, talk.clone(), wire::interrupt()).await;
    talk.clear();
    right.give_back().await;
    Ok(summary?)
}

/// The exit code of a run that did not end as it was meant to, and what was wrong with it.
fn unmeant(summary: &RunSummary, broken: Option<&str>) -> Option<u8> {
    if summary.interrupted {
        return Some(wire::INTERRUPTED);
    }
    let is_meant = |node: &NodeName| Some(node.as_str()) == broken;
    let failed: Vec<&Diagnostic> = summary
        .failed
        .iter()
        .filter(|failed| !is_meant(&failed.instance.node))
        .map(|failed| &failed.fault)
        .chain(&summary.unseen)
        .chain(&summary.stopped)
        .collect();
    for fault in &failed {
        say::fault(fault);
    }
    (!failed.is_empty() || !summary.failed_tests.is_empty()).then_some(1)
}

/// Runs the flow for its days, one after the other.
async fn run_flow(opened: &Opened, days: &Days, parallel: Option<usize>) -> Outcome {
    let flow = serving::flow(opened, "morning")?;
    let range = interval_text::parse(&format!("{}..{}", days.flow_begin, days.until), &flow.grid)?;
    let asked = serving::FlowAsked {
        flow: flow.clone(),
        intervals: flow.grid.intervals(range).collect(),
        params: flow.params(&BTreeMap::new()).map_err(Faults)?,
        is_quiet: true,
    };
    let code = serving::run_flow(opened, &asked, parallel).await?;
    if code != 0 {
        say::talk("the flow `morning` failed; `mulgil runs ls` in the new folder shows its runs");
    }
    Ok(code)
}
