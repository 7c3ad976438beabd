//! The order of a flow's steps: each after all that it needs, by name where that leaves a choice, so that
//! the order in the file does not count.

use std::collections::HashMap;

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    flow::{Flow, Step},
};

use super::{Draft, is_full};
use crate::{graph, text};

/// Checks what steps need, and puts the steps in order.
pub(super) fn sort(draft: &mut Draft, faults: &mut Vec<Diagnostic>) {
    check_needs(draft, faults);
    let mut by_name: Vec<usize> = (0..draft.flow.steps.len()).collect();
    by_name.sort_by(|one, other| {
        let key = |index: &usize| {
            (
                draft.flow.steps[*index].is_finally,
                draft.flow.steps[*index].name.as_str(),
            )
        };
        key(one).cmp(&key(other))
    });
    let position: HashMap<&str, usize> = by_name
        .iter()
        .enumerate()
        .map(|(at, index)| (draft.flow.steps[*index].name.as_str(), at))
        .collect();
    let dependencies: Vec<Vec<usize>> = by_name
        .iter()
        .map(|index| {
            let needs = draft.flow.steps[*index].needs.iter();
            needs.filter_map(|need| position.get(need.as_str()).copied()).collect()
        })
        .collect();
    let order = graph::order(&dependencies);
    for circle in &order.circles {
        let circle: Vec<usize> = circle.iter().map(|at| by_name[*at]).collect();
        faults.push(circle_fault(draft, &circle));
    }
    let mut steps: Vec<Option<Step>> = std::mem::take(&mut draft.flow.steps).into_iter().map(Some).collect();
    let (own, last): (Vec<usize>, Vec<usize>) = order
        .sorted
        .into_iter()
        .map(|at| by_name[at])
        .partition(|index| steps[*index].as_ref().is_some_and(|step| !step.is_finally));
    draft.flow.steps = own
        .into_iter()
        .chain(last)
        .filter_map(|index| steps[index].take())
        .collect();
    draft.needs.clear();
}

/// Tells which needs are none, and keeps the others, by name.
fn check_needs(draft: &mut Draft, faults: &mut Vec<Diagnostic>) {
    let finally: HashMap<String, bool> = draft
        .flow
        .steps
        .iter()
        .map(|step| (step.name.clone(), step.is_finally))
        .collect();
    for (step, needs) in draft.flow.steps.iter_mut().zip(&draft.needs) {
        let mut kept = Vec::new();
        for (need, place) in needs {
            let fault = match finally.get(need) {
                Some(false) if *need != step.name => {
                    kept.push(need.clone());
                    continue;
                }
                Some(false) => Diagnostic::error(codes::STEP_CYCLE, format!("the step `{need}` needs itself"))
                    .with_remedy("remove it from its `needs`"),
                Some(true) => Diagnostic::error(
                    codes::UNKNOWN_STEP,
                    format!("the step `{}` needs `{need}`, which runs after all others", step.name),
                )
                .with_remedy(format!(
                    "move `{need}` from `finally:` to `steps:`, or remove it from `needs`"
                )),
                // What is missing may be a step that could not be read.
                None if is_full(faults) => continue,
                None => unknown(&step.name, need, finally.keys().map(String::as_str)),
            };
            faults.push(fault.at(place.clone()));
        }
        kept.sort();
        kept.dedup();
        step.needs = kept;
    }
}

/// The fault of a step that the flow does not have.
fn unknown<'a>(step: &str, need: &str, known: impl Iterator<Item = &'a str>) -> Diagnostic {
    let mut known: Vec<&str> = known.filter(|name| *name != step).collect();
    known.sort_unstable();
    let remedy = text::nearest(need, known.iter().copied()).map_or_else(
        || format!("write one of the flow's steps: {}", text::listed(known.iter().copied())),
        |near| format!("write `{near}`"),
    );
    Diagnostic::error(
        codes::UNKNOWN_STEP,
        format!("the step `{step}` needs `{need}`, which the flow does not have"),
    )
    .with_remedy(remedy)
}

fn circle_fault(draft: &Draft, circle: &[usize]) -> Diagnostic {
    let name = |index: usize| draft.flow.steps[index].name.as_str();
    let mut path: Vec<&str> = circle.iter().map(|index| name(*index)).collect();
    path.push(name(circle[0]));
    let links = circle.iter().zip(circle.iter().cycle().skip(1));
    let mut places = links.filter_map(|(step, need)| {
        let found = draft.needs[*step].iter().find(|(own, _)| own == name(*need));
        found.map(|(need, place)| (place.clone(), format!("`{}` needs `{need}`", name(*step))))
    });
    let first = places.next();
    let mut fault = Diagnostic::error(
        codes::STEP_CYCLE,
        format!("these steps wait for each other in a circle: {}", shortened(&path)),
    )
    .with_remedy("remove one of these needs");
    if let Some((place, _)) = first {
        fault = fault.at(place);
    }
    for (place, what) in places.take(MAX_LINKS) {
        fault = fault.with_related(place, what);
    }
    fault
}

/// Links of a circle that are told.
const MAX_LINKS: usize = 20;

fn shortened(path: &[&str]) -> String {
    if path.len() <= MAX_LINKS {
        return path.join(" → ");
    }
    let rest = path.len() - MAX_LINKS;
    format!(
        "{} → … ({rest} more) → {}",
        path[..MAX_LINKS - 1].join(" → "),
        path[path.len() - 1]
    )
}

/// Whether one step has always ended when another is decided.
pub(super) fn ends_before(flow: &Flow, earlier: &str, step: &Step) -> bool {
    let by_name: HashMap<&str, &Step> = flow.steps.iter().map(|step| (step.name.as_str(), step)).collect();
    if step.is_finally {
        return by_name.get(earlier).is_some_and(|earlier| !earlier.is_finally);
    }
    let mut left: Vec<&str> = step.needs.iter().map(String::as_str).collect();
    let mut seen: std::collections::HashSet<&str> = left.iter().copied().collect();
    while let Some(name) = left.pop() {
        if name == earlier {
            return true;
        }
        let needs = by_name.get(name).into_iter().flat_map(|step| &step.needs);
        left.extend(needs.map(String::as_str).filter(|need| seen.insert(need)));
    }
    false
}
