//! The pages of flows, runs and attempts.

use mulgil_web::{look::Look, page, view::run::Tab};

use super::{
    attempt, flow, run,
    world::{Shown, shown},
};

pub(crate) fn pages(look: &Look) -> Vec<Shown> {
    let mut out = Vec::new();
    for (name, view) in [
        ("daily_sales", flow::daily()),
        ("new", flow::new()),
        ("hostile", flow::hostile()),
        ("largest", flow::largest()),
    ] {
        out.push(shown(
            &format!("flow-{name}"),
            &format!("/flows/{name}"),
            look,
            |frame| page::flow(frame, &view),
        ));
    }
    for tab in [Tab::Graph, Tab::Gantt, Tab::List, Tab::Events] {
        let word = page::word(tab);
        for (name, view) in [
            ("1022", run::failed(tab)),
            ("1023", run::running(tab)),
            ("1021", run::models(tab)),
            ("666", run::hostile(tab)),
        ] {
            let address = format!("/runs/{name}?tab={word}");
            out.push(shown(&format!("run-{name}-{word}"), &address, look, |frame| {
                page::run(frame, &view)
            }));
        }
    }
    for (number, view) in [
        attempt::failed(),
        attempt::running(),
        attempt::retrying(),
        attempt::silent(false),
        attempt::silent(true),
        attempt::searched(),
        attempt::hostile(),
    ]
    .into_iter()
    .enumerate()
    {
        let address = format!("/runs/1022/tasks/7158/attempts/{}", number + 1);
        out.push(shown(&format!("attempt-{}", number + 1), &address, look, |frame| {
            page::attempt(frame, &view)
        }));
    }
    out
}
