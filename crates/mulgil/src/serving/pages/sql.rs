//! The SQL of a try: as a person wrote it, and as it was asked. What was asked is what the try recorded; where it
//! recorded nothing it is what the templates give for it now.

use std::collections::BTreeMap;

use mulgil_core::{
    diagnostic::{Diagnostic, Place as Where},
    flow::{Flow, Step, StepContext, StepKind, StepOutcome, StepWork, Template},
    interval::Interval,
    name::Instance,
    port::Fault,
    project::{Materialization, Node},
    run::TaskKind,
};
use mulgil_scheduler::masked;
use mulgil_store::{
    Store,
    page::{StepRow, TaskHead, TriedAttempt},
};
use mulgil_web::view::attempt::{Source, Sql};

use super::attempt::{Place, step_of};
use crate::wire::Opened;

/// Lines of recorded SQL that a page shows.
const LINES: usize = 5_000;
/// Bytes of a text that a page shows.
const BYTES: usize = 256 * 1024;
/// What engines call a text that was typed, or that a step asked.
const ASKED: &str = "query";

/// Of which try.
pub(super) struct Of<'a> {
    /// The project.
    pub(super) opened: &'a Opened,
    /// Its task.
    pub(super) head: &'a TaskHead,
    /// The try.
    pub(super) tried: &'a TriedAttempt,
    /// The definition that its run goes by.
    pub(super) flow: Option<&'a Flow>,
    /// Which it is.
    pub(super) place: &'a Place,
}

/// The SQL of a try; nothing where it asked the database nothing.
pub(super) async fn sql(store: &Store, of: &Of<'_>) -> Result<Option<Sql>, Fault> {
    match of.head.kind {
        TaskKind::Fill => of_table(store, of).await,
        TaskKind::Step => of_step(store, of).await,
        TaskKind::Test => Ok(None),
    }
}

async fn of_table(store: &Store, of: &Of<'_>) -> Result<Option<Sql>, Fault> {
    let Some(instance) = Instance::parse(&of.head.instance) else {
        return Ok(None);
    };
    let node = of.opened.project.node(&instance.node).filter(|node| is_sql(node));
    let recorded = recorded(store.lines_behind(of.tried.id, "sql: ", LINES).await?);
    let rendered = recorded.or_else(|| {
        node?;
        let now = of.opened.compiler.rendered(&instance, of.head.range).ok()?;
        Some(masked(&now, &of.opened.compiler.secrets()))
    });
    let fault = of.tried.fault.as_ref();
    let source = node.and_then(|node| {
        let text = of.opened.compiler.written(&node.name).ok()?;
        let path = node.file.clone();
        let at = fault.and_then(|fault| place_in(fault, |at| at.file == path));
        Some(Source {
            path: path.display().to_string(),
            text: cut(text),
            at,
            has_changed: of
                .tried
                .fingerprint
                .is_some_and(|made_with| made_with != node.fingerprint),
        })
    });
    if source.is_none() && rendered.is_none() {
        return Ok(None);
    }
    Ok(Some(Sql {
        source,
        rendered: rendered.map(cut),
        rendered_at: fault.and_then(asked_at),
    }))
}

/// A seed's file holds rows.
fn is_sql(node: &Node) -> bool {
    let is_text = node
        .file
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("sql"));
    is_text && node.materialization != Materialization::Seed
}

/// The lines that the try recorded, without the note that there are more queries like it.
fn recorded(mut lines: Vec<String>) -> Option<String> {
    let is_note = |line: &String| line.ends_with(" more queries, one for each batch");
    if lines.last().is_some_and(is_note) {
        lines.pop();
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

async fn of_step(store: &Store, of: &Of<'_>) -> Result<Option<Sql>, Fault> {
    let step = step_of(of.head).and_then(|step| of.flow?.step(step));
    let (Some(flow), Some(step)) = (of.flow, step) else {
        return Ok(None);
    };
    let StepKind::Sql { script, .. } = &step.kind else {
        return Ok(None);
    };
    // What earlier steps gave is only read for a template that may ask for it.
    let steps = if asks_for_steps(step, script) {
        store.steps_of(of.place.run).await?
    } else {
        BTreeMap::new()
    };
    let context = context(of, flow, step, steps);
    let rendered = of.opened.compiler.render_step(flow, step, &context, &BTreeMap::new());
    let rendered = match rendered {
        Ok(StepWork::Script(script)) => Some(masked(&script.sql, &of.opened.compiler.secrets())),
        Ok(StepWork::Models(_) | StepWork::Process(_) | StepWork::Python(_)) | Err(_) => None,
    };
    let fault = of.tried.fault.as_ref();
    Ok(Some(Sql {
        source: Some(Source {
            path: script.place.file.display().to_string(),
            text: cut(script.text.clone()),
            at: fault.and_then(|fault| in_template(fault, script)),
            has_changed: today(of, step).is_none_or(|today| today != script.text),
        }),
        rendered: rendered.map(cut),
        rendered_at: fault.and_then(asked_at),
    }))
}

fn asks_for_steps(step: &Step, script: &Template) -> bool {
    let names_them = |text: &str| text.contains("steps");
    names_them(&script.text) || step.params.values().any(|value| names_them(&value.to_string()))
}

/// What the templates of the step were told.
fn context(of: &Of<'_>, flow: &Flow, step: &Step, steps: BTreeMap<String, StepRow>) -> StepContext {
    let interval = of.head.interval.unwrap_or(Interval::WHOLE);
    let outcome = |(name, row): (String, StepRow)| {
        let outcome = StepOutcome {
            state: row.progress.stage.ended()?,
            rows: row.rows,
            output: row.output,
        };
        (name != step.name).then_some((name, outcome))
    };
    StepContext {
        run_id: of.place.run.to_string(),
        scheduled_at: of.head.scheduled_at,
        started_at: of.head.run_started_at,
        interval: flow.grid.is_cut().then_some(interval),
        params: of.head.params.clone(),
        steps: steps.into_iter().filter_map(outcome).collect(),
        attempt: of.place.number,
        idempotency_id: StepContext::idempotency_id(&flow.name, &step.name, of.place.run, interval),
    }
}

/// The script of the step as it is declared today.
fn today<'a>(of: &Of<'a>, step: &Step) -> Option<&'a str> {
    let flow = of.opened.project.flow(of.head.flow.as_deref()?)?;
    match &flow.step(&step.name)?.kind {
        StepKind::Sql { script, .. } => Some(&script.text),
        StepKind::Models { .. } | StepKind::Command { .. } | StepKind::Python { .. } => None,
    }
}

/// The place of a fault in a template, from its first line; its file may hold more than it.
fn in_template(fault: &Diagnostic, script: &Template) -> Option<(u32, u32)> {
    let (line, column) = place_in(fault, |at| at.file == script.place.file)?;
    let first = script.place.line.unwrap_or(1);
    Some((line.checked_sub(first)? + 1, column))
}

/// The line and column of a fault in a file, where it has one there.
fn place_in(fault: &Diagnostic, is_there: impl Fn(&Where) -> bool) -> Option<(u32, u32)> {
    let related = fault.related.iter().map(|(place, _)| place);
    let at = fault.place.iter().chain(related).find(|place| is_there(place))?;
    Some((at.line?, at.column.unwrap_or(1)))
}

/// The place of a fault in the text that was asked: a place of its own, or words at the end of its sentence.
fn asked_at(fault: &Diagnostic) -> Option<(u32, u32)> {
    place_in(fault, |at| at.file.as_os_str() == ASKED).or_else(|| {
        let (_, words) = fault.message.rsplit_once(" (line ")?;
        let (line, rest) = words.split_once(", column ")?;
        let (column, _) = rest.split_once(')')?;
        Some((line.parse().ok()?, column.parse().ok()?))
    })
}

/// A text as far as a page shows it.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(BYTES));
    text
}

#[cfg(test)]
mod tests {
    use mulgil_core::codes;

    use super::*;

    #[test]
    fn a_fault_has_its_place_in_what_was_asked_and_in_what_was_written() {
        let of = |message: &str| Diagnostic::error(codes::SQL_INVALID, message);
        let worded = of("the SQL of `sales` names no column `x` (line 12, column 7)");
        assert_eq!(asked_at(&worded), Some((12, 7)));
        assert_eq!(asked_at(&of("no place (line of thought)")), None);
        assert_eq!(asked_at(&of("typed").at(Where::at(ASKED, 3, 4))), Some((3, 4)));
        let script = Template {
            text: "select 1\nfrom x".to_owned(),
            place: Where::at("flows/daily.yml", 10, 5),
        };
        let inside = of("template").at(Where::at("flows/daily.yml", 11, 6));
        assert_eq!(in_template(&inside, &script), Some((2, 6)));
        let elsewhere = of("template").at(Where::at("flows/daily.yml", 2, 1));
        assert_eq!(in_template(&elsewhere, &script), None);
    }

    #[test]
    fn what_was_recorded_is_the_sql_without_its_note() {
        let lines = |all: &[&str]| all.iter().map(ToString::to_string).collect();
        assert_eq!(
            recorded(lines(&["select 1", "from x"])).as_deref(),
            Some("select 1\nfrom x")
        );
        let noted = lines(&["select 1", "7 more queries, one for each batch"]);
        assert_eq!(recorded(noted).as_deref(), Some("select 1"));
        assert_eq!(recorded(Vec::new()), None);
    }
}
