//! `mulgil dbt …`: dbt's commands with dbt's meaning. What is selected is done, due or not; what was done
//! is in the ledger like the work of any run, so that `mulgil run` goes on from there.

mod console;
mod fill;
mod ls;
mod show;

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    due,
    interval::Interval,
    name::Instance,
    project::{Materialization, Node},
    select::choose::{self, Chosen},
};

use crate::{
    cli::{
        Global,
        dbt::{Choice, Dbt, Indirect, Resource},
    },
    command::{Faults, Outcome},
    say,
    wire::{self, Opened},
};

/// What ended a command before it could do anything: as dbt ends then.
const UNUSABLE: u8 = 2;

/// Does one of dbt's commands. It ends with 0, with 1 where something failed, and with 2 where nothing
/// could be begun.
pub(crate) async fn dbt(global: &Global, verb: &Dbt) -> Outcome {
    let outcome = match verb {
        Dbt::Run(flags) => fill::fill(global, flags, fill::Verb::Run).await,
        Dbt::Build(flags) => fill::fill(global, flags, fill::Verb::Build).await,
        Dbt::Seed(flags) => fill::fill(global, flags, fill::Verb::Seed).await,
        Dbt::Snapshot(flags) => fill::fill(global, flags, fill::Verb::Snapshot).await,
        Dbt::Test(flags) => fill::test(global, flags).await,
        Dbt::Ls(flags) => ls::ls(global, flags),
        Dbt::Compile(flags) => show::compile(global, flags),
        Dbt::Show(flags) => show::show(global, flags).await,
        Dbt::Other(words) => Err(other(words)),
    };
    outcome.or_else(|faults| {
        say::faults(&faults);
        Ok(UNUSABLE)
    })
}

/// What is selected; what was written and is not there is said.
fn chosen(opened: &Opened, choice: &Choice) -> Result<Chosen, Faults> {
    let indirect = match choice.indirect_selection {
        Indirect::Eager => choose::Indirect::Eager,
        Indirect::Cautious => choose::Indirect::Cautious,
        Indirect::Buildable => choose::Indirect::Buildable,
        Indirect::Empty => choose::Indirect::Empty,
    };
    let chosen = choose::choose(&opened.project, &choice.select, &choice.exclude, indirect)?;
    chosen.warnings.iter().for_each(say::fault);
    Ok(chosen)
}

/// What kind of thing a node is, in dbt's words.
fn resource(node: &Node) -> Resource {
    match node.materialization {
        Materialization::Seed => Resource::Seed,
        Materialization::Snapshot => Resource::Snapshot,
        Materialization::Table | Materialization::View | Materialization::Interval | Materialization::Incremental => {
            Resource::Model
        }
    }
}

/// The word for a kind, as dbt writes it before names.
fn word(resource: Resource) -> &'static str {
    match resource {
        Resource::Model => "model",
        Resource::Seed => "seed",
        Resource::Snapshot => "snapshot",
        Resource::Source => "source",
        Resource::Test => "test",
        Resource::All => "node",
    }
}

/// Whether a kind is asked for; all are where none is named.
fn is_asked(asked: &[Resource], resource: Resource) -> bool {
    asked.is_empty() || asked.contains(&Resource::All) || asked.contains(&resource)
}

/// The newest interval of an instance that is over: what its SQL is shown for.
fn newest(opened: &Opened, instance: &Instance) -> Result<Interval, Faults> {
    let Some(node) = opened.project.node(&instance.node).filter(|node| node.grid.is_cut()) else {
        return Ok(Interval::WHOLE);
    };
    let span = due::nameable(node, wire::now()).span().ok_or_else(|| {
        Diagnostic::error(
            codes::BAD_INTERVAL,
            format!("`{instance}` has no interval that is over"),
        )
        .with_remedy("set an earlier `begin`")
    })?;
    Ok(Interval {
        start: node.grid.prev_cut(span.end),
        end: span.end,
    })
}

/// What to use in the place of a command that is not here.
fn other(words: &[String]) -> Faults {
    let word = words.first().map(String::as_str).unwrap_or_default();
    let instead = match word {
        "docs" => "`mulgil status` lists the tables, `mulgil dbt ls --output json` what is known of them",
        "deps" => "packages are not read yet: put the macros that are used under `macros/`",
        "debug" | "parse" => "`mulgil check` reads the project and says what is wrong with it",
        "clean" => {
            "nothing has to be cleaned: there is no `target/`; `mulgil run --prune` drops what is no longer declared"
        }
        "init" => "`mulgil init` makes a project",
        "retry" => "`mulgil run` fills what is left",
        "source" => "sources are looked at in every run; `mulgil status` says how they stand",
        "run-operation" => "write the SQL as a hook: `on-run-start`, or `pre_hook` of a model",
        "clone" => "each target has tables of its own, and `mulgil run --env NAME` fills them",
        _ => "use `run`, `build`, `test`, `seed`, `snapshot`, `ls`, `compile` or `show`",
    };
    Diagnostic::error(codes::USAGE, format!("`mulgil dbt {word}` is not there"))
        .with_remedy(instead)
        .into()
}
