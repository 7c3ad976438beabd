//! Forms: what is going to be done, shown before it is; and done by the same verbs as on the command line, so
//! that there is one mechanism.

use std::collections::BTreeMap;

use mulgil_core::{
    diagnostic::Diagnostic,
    flow::{Flow, Param, ParamType},
    interval::Interval,
    interval_text,
    run::RunState,
};
use mulgil_server::{Answered, Control as _, Fields, NoPage, Performed, Run, Verb, Wish};
use mulgil_web::view::form::{Confirm, Deed, Field, FieldKind, Label};
use serde_json::Value as Json;

use super::{Made, Sight, backfill_form, faults, names};
use crate::serving::control;

/// A hidden field of every form: a box that is not ticked is not sent, and a form that was never sent has none.
const SENT: &str = "sent";
/// Before the name of a parameter, so that none is taken for a field of ours.
const PARAM: &str = "param.";
/// What goes on in a run that is named one by one.
const LIVE_SHOWN: usize = 100;

/// What a deed is going to do, with what is filled in so far.
pub(super) async fn preview(sight: Sight<'_>, wish: &Wish, fields: &Fields) -> Made<Confirm> {
    let confirm = match wish {
        Wish::Run { flow } => run(sight, flow, fields)?,
        Wish::Cancel { run } => cancel(sight, *run).await?,
        Wish::Backfill { node } => backfill_form::preview(sight, node, fields)?,
    };
    Ok((confirm, Vec::new()))
}

/// Does what a form says.
pub(super) async fn perform(sight: Sight<'_>, wish: &Wish, fields: &Fields) -> Result<Performed, NoPage> {
    let verb = match wish {
        Wish::Run { flow } => {
            let flow = flow_named(sight, flow)?;
            Verb::Run(Run {
                flow: Some(flow.name.clone()),
                params: given(flow, fields),
                interval: field(fields, "interval").map(str::to_owned),
                ..Run::default()
            })
        }
        Wish::Cancel { run } => Verb::CancelRun { run: *run },
        Wish::Backfill { node } => return backfill_form::perform(sight, node, fields).await,
    };
    Ok(match sight.program.perform(verb).await {
        Ok(answer) => match answer.what {
            Answered::RunQueued { run } | Answered::RunCancelled { run, .. } => Performed::Done(names::run_href(run)),
            _ => Performed::Done("/runs".to_owned()),
        },
        Err(refusal) => Performed::Refused(refusal.into_all()),
    })
}

/// A field that has something in it.
pub(super) fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let text = fields.get(name).map(|text| text.trim());
    text.filter(|text| !text.is_empty())
}

fn flow_named<'a>(sight: Sight<'a>, name: &str) -> Result<&'a Flow, NoPage> {
    let project = &sight.picture.project;
    project.flow(name).ok_or_else(|| faults::no_flow(project, name))
}

fn run(sight: Sight<'_>, name: &str, fields: &Fields) -> Result<Confirm, NoPage> {
    let flow = flow_named(sight, name)?;
    let mut shown = Vec::new();
    let mut command = format!("mulgil run flow:{name}");
    let interval = flow.grid.is_cut().then(|| interval(sight, flow, fields));
    let range = interval.as_ref().and_then(|(_, range)| range.as_ref().ok().copied());
    if let Some((text, range)) = interval {
        command.push_str(&format!(" --interval {text}"));
        shown.push(Field {
            name: "interval".to_owned(),
            label: Label::Interval,
            value: text,
            kind: FieldKind::Text,
            fault: range.err().map(|fault| in_words(&fault)),
        });
    }
    for param in &flow.params {
        let field = param_field(flow, param, fields);
        if !field.value.is_empty() && Some(&field.value) != param.default.as_ref().map(text_of).as_ref() {
            command.push_str(&format!(" --param {}={}", param.name, field.value));
        }
        shown.push(field);
    }
    Ok(Confirm {
        deed: Deed::Run {
            flow: flow.name.clone(),
            interval: range.map(|range| names::named(range, &flow.grid)),
            steps: flow.steps.iter().map(|step| step.name.clone()).collect(),
        },
        action: format!("{}/run", names::flow_href(name)),
        hidden: vec![(SENT.to_owned(), "1".to_owned())],
        fields: shown,
        faults: Vec::new(),
        back: names::flow_link(name),
        command,
    })
}

/// The interval that is filled in, or the newest that is over.
fn interval(sight: Sight<'_>, flow: &Flow, fields: &Fields) -> (String, Result<Interval, Diagnostic>) {
    let newest = || {
        let now = flow.grid.end.map_or(sight.now, |end| end.min(sight.now));
        let over = flow.grid.interval_at(flow.grid.prev_cut(flow.grid.floor(now)));
        interval_text::format(over, &flow.grid)
    };
    let text = field(fields, "interval").map_or_else(newest, str::to_owned);
    let range = control::interval(flow, Some(&text));
    (text, range)
}

fn param_field(flow: &Flow, param: &Param, fields: &Fields) -> Field {
    let name = format!("{PARAM}{}", param.name);
    let given = given_to(param, fields);
    let is_sent = fields.contains_key(SENT) || fields.contains_key(&name);
    let fault = match &given {
        Some(given) => param.value(given, &flow.grid.zone).err().map(|fault| in_words(&fault)),
        None if param.required && param.default.is_none() && is_sent => {
            let faults = flow.params(&BTreeMap::new()).err().unwrap_or_default();
            let quoted = format!("`{}`", param.name);
            faults
                .iter()
                .find(|fault| fault.message.contains(&quoted))
                .map(in_words)
        }
        None => None,
    };
    let value = given
        .as_ref()
        .or(param.default.as_ref())
        .map_or_else(String::new, text_of);
    let kind = match (param.allowed.is_empty(), param.kind) {
        (false, _) => FieldKind::Choice(param.allowed.iter().map(text_of).collect()),
        (true, ParamType::Boolean) => FieldKind::Flag,
        (true, ParamType::Integer | ParamType::Number) => FieldKind::Number,
        (true, ParamType::String | ParamType::Date | ParamType::Timestamp | ParamType::List | ParamType::Object) => {
            FieldKind::Text
        }
    };
    Field {
        name,
        label: Label::Param(param.name.clone()),
        value,
        kind,
        fault,
    }
}

/// The parameters that are filled in, as texts: the flow reads them as their types want.
fn given(flow: &Flow, fields: &Fields) -> BTreeMap<String, Json> {
    let given = flow.params.iter();
    given
        .filter_map(|param| Some((param.name.clone(), given_to(param, fields)?)))
        .collect()
}

fn given_to(param: &Param, fields: &Fields) -> Option<Json> {
    let text = field(fields, &format!("{PARAM}{}", param.name));
    match (param.kind, text) {
        (ParamType::Boolean, Some("on" | "1")) => Some(Json::from("true")),
        (ParamType::Boolean, None) if fields.contains_key(SENT) => Some(Json::from("false")),
        (_, text) => text.map(Json::from),
    }
}

fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

/// A fault beside a field: what is wrong, and what to write.
fn in_words(fault: &Diagnostic) -> String {
    match &fault.remedy {
        Some(remedy) => format!("{}: {}; {remedy}", fault.code, fault.message),
        None => format!("{}: {}", fault.code, fault.message),
    }
}

async fn cancel(sight: Sight<'_>, number: i64) -> Result<Confirm, NoPage> {
    let Some((run, tasks)) = sight.store.run(number).await? else {
        return Err(faults::no_run(number));
    };
    let is_live = |state: RunState| matches!(state, RunState::Running | RunState::Queued);
    let live = tasks.iter().filter(|task| is_live(task.state));
    let live = live.map(
        |task| match mulgil_core::flow::name::flow_in(task.instance.node.as_str()) {
            Some(step) => step.split_once('/').map_or(step, |(_, step)| step).to_owned(),
            None => match sight.picture.project.node(&task.instance.node) {
                Some(node) => names::target(&task.instance, task.range, &node.grid),
                None => task.instance.to_string(),
            },
        },
    );
    let flow = sight.picture.project.flows.iter().find(|flow| {
        let prefix = format!("{}/", flow.instance().node);
        tasks
            .iter()
            .any(|task| task.instance.node.as_str().starts_with(&prefix))
    });
    let rest = flow.map_or(0, |flow| flow.steps.len().saturating_sub(tasks.len()));
    let waiting = tasks
        .iter()
        .filter(|task| !task.state.is_terminal() && !is_live(task.state));
    let faults = run.state.is_terminal().then(|| faults::over(number, run.state));
    Ok(Confirm {
        deed: Deed::Cancel {
            run: number,
            live: live.take(LIVE_SHOWN).collect(),
            rest: (rest + waiting.count()) as u64,
        },
        action: format!("{}/cancel", names::run_href(number)),
        hidden: vec![(SENT.to_owned(), "1".to_owned())],
        fields: Vec::new(),
        faults: faults.into_iter().collect(),
        back: names::run_link(number),
        command: format!("mulgil runs cancel {number}"),
    })
}

#[cfg(test)]
mod tests {
    use mulgil_core::diagnostic::Place;

    use super::*;

    fn flow() -> Flow {
        let param = |name: &str, kind, required| Param {
            name: name.to_owned(),
            kind,
            default: None,
            required,
            allowed: Vec::new(),
            description: None,
            place: Place::file("flows/daily.yml"),
        };
        let mut flow = Flow::new("daily", "flows/daily.yml");
        flow.params = vec![
            param("days", ParamType::Integer, true),
            param("dry", ParamType::Boolean, false),
            param("country", ParamType::String, false),
        ];
        flow.params[2].allowed = vec![Json::from("kr"), Json::from("jp")];
        flow.params[2].default = Some(Json::from("kr"));
        flow
    }

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        pairs.collect()
    }

    #[test]
    fn a_form_that_was_not_sent_has_no_faults_and_shows_what_is_meant() {
        let flow = flow();
        let shown: Vec<Field> = flow
            .params
            .iter()
            .map(|param| param_field(&flow, param, &fields(&[])))
            .collect();
        assert!(shown.iter().all(|field| field.fault.is_none()));
        assert_eq!(shown[2].value, "kr");
        assert_eq!(shown[0].name, "param.days");
    }

    #[test]
    fn each_field_says_what_is_wrong_with_it() {
        let flow = flow();
        let sent = fields(&[("sent", "1"), ("param.days", "two"), ("param.country", "de")]);
        let shown: Vec<Field> = flow
            .params
            .iter()
            .map(|param| param_field(&flow, param, &sent))
            .collect();
        assert!(
            shown[0].fault.as_ref().is_some_and(|fault| fault.contains("days")),
            "{:?}",
            shown[0]
        );
        assert_eq!(shown[0].value, "two");
        assert!(shown[2].fault.is_some());
        let missing = fields(&[("sent", "1")]);
        assert!(param_field(&flow, &flow.params[0], &missing).fault.is_some());
    }

    #[test]
    fn a_box_that_is_not_ticked_says_no() {
        let flow = flow();
        let ticked = given(
            &flow,
            &fields(&[("sent", "1"), ("param.dry", "on"), ("param.days", " 3 ")]),
        );
        assert_eq!(ticked["dry"], Json::from("true"));
        assert_eq!(ticked["days"], Json::from("3"));
        assert_eq!(given(&flow, &fields(&[("sent", "1")]))["dry"], Json::from("false"));
        assert!(given(&flow, &fields(&[])).is_empty());
    }
}
