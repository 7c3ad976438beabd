//! What the `models` steps of flows select, and whose schedule each model has: of a flow that selects it, or
//! its own, never both.

use std::collections::{BTreeMap, BTreeSet};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    flow::{Flow, Step, StepKind},
    name::NodeName,
    project::Project,
    select,
};

use super::Draft;
use crate::catalog::Catalog;

/// Fills in what the steps select, and tells where two schedules would make one model tick.
pub(super) fn select(drafts: &mut [Draft], project: &Project, catalog: &Catalog, faults: &mut Vec<Diagnostic>) {
    for draft in &mut *drafts {
        let of_models = |step: &&mut Step| matches!(step.kind, StepKind::Models { .. });
        for step in draft.flow.steps.iter_mut().filter(of_models) {
            let place = draft
                .places
                .get(&(step.name.clone(), "models"))
                .unwrap_or(&step.place)
                .clone();
            let mut warnings = Vec::new();
            match selected(step, project, &mut warnings) {
                Ok(names) => {
                    faults.extend(warnings.into_iter().map(|fault| fault.at(place.clone())));
                    if let StepKind::Models { selected, .. } = &mut step.kind {
                        *selected = names;
                    }
                }
                Err(fault) => faults.push(fault.at(place)),
            }
        }
    }
    owners(drafts, catalog, faults);
}

fn selected(step: &Step, project: &Project, warnings: &mut Vec<Diagnostic>) -> Result<Vec<NodeName>, Diagnostic> {
    let StepKind::Models { select, exclude, .. } = &step.kind else {
        return Ok(Vec::new());
    };
    let wrong = |fault: Diagnostic| {
        let remedy = fault
            .remedy
            .unwrap_or_else(|| "look at `mulgil nodes` for the names".to_owned());
        Diagnostic::error(
            codes::BAD_FLOW_SELECTOR,
            format!("the step `{}` selects no models: {}", step.name, fault.message),
        )
        .with_remedy(remedy)
    };
    let selection = select::select(project, select, exclude, None).map_err(wrong)?;
    if selection.has_interval {
        return Err(Diagnostic::error(
            codes::BAD_FLOW_SELECTOR,
            format!("the step `{}` selects an interval, but it fills what is due", step.name),
        )
        .with_remedy("leave out what begins with `@` behind the name"));
    }
    warnings.extend(selection.warnings);
    let names: BTreeSet<NodeName> = selection.ranges.into_keys().map(|instance| instance.node).collect();
    if names.is_empty() {
        return Err(Diagnostic::error(
            codes::BAD_FLOW_SELECTOR,
            format!("the step `{}` selects no models: all of them are excluded", step.name),
        )
        .with_remedy("exclude less"));
    }
    Ok(names.into_iter().collect())
}

fn owners(drafts: &[Draft], catalog: &Catalog, faults: &mut Vec<Diagnostic>) {
    let mut owned: BTreeMap<&NodeName, &Draft> = BTreeMap::new();
    let mut told: BTreeSet<(&str, &str)> = BTreeSet::new();
    for draft in drafts.iter().filter(|draft| draft.flow.schedule.is_some()) {
        let names: BTreeSet<&NodeName> = draft.flow.selected().collect();
        for name in names {
            let own = catalog.model(name).and_then(|model| model.config.schedule.as_ref());
            if let Some((_, place)) = own {
                faults.push(two_schedules(
                    name,
                    format!("its own and that of the flow `{}`, which selects it", draft.flow.name),
                    (place.clone(), schedule_of(draft)),
                    format!("the schedule of the flow `{}`", draft.flow.name),
                ));
            }
            let Some(first) = owned.get(name) else {
                owned.insert(name, draft);
                continue;
            };
            // Two flows that select alike share many models; one of them tells it all.
            if told.insert((first.flow.name.as_str(), draft.flow.name.as_str())) {
                faults.push(two_schedules(
                    name,
                    format!(
                        "those of the flows `{}` and `{}`, which both select it",
                        first.flow.name, draft.flow.name
                    ),
                    (selecting(&draft.flow, name), selecting(&first.flow, name)),
                    format!("the flow `{}` selects it here", first.flow.name),
                ));
            }
        }
    }
}

fn two_schedules(name: &NodeName, which: String, places: (Place, Place), what: String) -> Diagnostic {
    Diagnostic::error(codes::TWO_SCHEDULES, format!("`{name}` has two schedules: {which}"))
        .at(places.0)
        .with_related(places.1, what)
        .with_remedy("remove one of the schedules, or select the model in one place")
}

fn schedule_of(draft: &Draft) -> Place {
    draft.schedule.clone().unwrap_or_else(|| draft.flow.place.clone())
}

/// The step of a flow that selects a model.
fn selecting(flow: &Flow, name: &NodeName) -> Place {
    let selects = |step: &&Step| match &step.kind {
        StepKind::Models { selected, .. } => selected.contains(name),
        StepKind::Sql { .. } | StepKind::Command { .. } | StepKind::Python { .. } => false,
    };
    flow.steps
        .iter()
        .find(selects)
        .map_or_else(|| flow.place.clone(), |step| step.place.clone())
}
