//! `mulgil dbt compile` and `mulgil dbt show`: the SQL that models become, and some of their rows.

use std::collections::BTreeMap;

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    name::{Instance, NodeName},
    port::{Format, QueryLimits, SessionSpec, SourceSeen},
    task::Binding,
};

use super::{chosen, newest};
use crate::{
    cli::{
        Global,
        dbt::{Choice, Compile, Show, ShowAs},
    },
    command::{Faults, Outcome},
    output::Stdout,
    say,
    wire::{self, Opened},
};

pub(crate) fn compile(global: &Global, flags: &Compile) -> Outcome {
    let opened = wire::open_as(global, &flags.aim)?;
    if let Some(text) = &flags.inline {
        let (sql, _) = opened.compiler.inline(text, &BTreeMap::new())?;
        say::print(sql.trim());
        return Ok(0);
    }
    let instances = instances(&opened, &flags.choice)?;
    let is_alone = instances.len() == 1;
    for instance in instances {
        let sql = opened.compiler.rendered(&instance, newest(&opened, &instance)?)?;
        if is_alone {
            say::print(sql.trim());
        } else {
            say::print(&format!("-- {instance}\n{}\n", sql.trim()));
        }
    }
    Ok(0)
}

pub(crate) async fn show(global: &Global, flags: &Show) -> Outcome {
    let opened = wire::open_as(global, &flags.aim)?;
    let seen = match opened.ledger_to_read().await? {
        Some(store) => store.sources_seen().await?,
        None => BTreeMap::new(),
    };
    if let Some(text) = &flags.inline {
        let query = opened.compiler.inline(text, &seen)?;
        return print(&opened, flags, query).await;
    }
    if flags.choice.select.is_empty() {
        return Err(Diagnostic::error(codes::USAGE, "`show` is not told what to show")
            .with_remedy("name a model: `-s orders`; or write a query: `--inline \"select 1\"`")
            .into());
    }
    for instance in instances(&opened, &flags.choice)? {
        say::talk(&format!("{instance}:"));
        let code = print(&opened, flags, rows_of(&opened, &instance, &seen)?).await?;
        if code != 0 {
            return Ok(code);
        }
    }
    Ok(0)
}

/// The query of an instance, over the newest interval that is over.
fn rows_of(
    opened: &Opened,
    instance: &Instance,
    seen: &BTreeMap<NodeName, SourceSeen>,
) -> Result<(String, Vec<Binding>), Faults> {
    let range = newest(opened, instance)?;
    let queries = opened.compiler.fill_queries(instance, range, false, seen)?;
    let query = queries.into_iter().next().ok_or_else(|| {
        Diagnostic::error(codes::BUG, format!("`{instance}` has no query")).with_remedy("please report it")
    })?;
    Ok((query.sql, query.bindings))
}

async fn print(opened: &Opened, flags: &Show, (sql, bindings): (String, Vec<Binding>)) -> Outcome {
    let format = match flags.output {
        ShowAs::Text => Format::Table,
        ShowAs::Json => Format::Json,
    };
    let limits = QueryLimits {
        timeout_ms: opened.query_timeout_ms(None),
        max_rows: u64::try_from(flags.limit).ok(),
    };
    let engine = opened.engine()?;
    if engine.statements(&sql)?.iter().any(|statement| !statement.only_reads) {
        return Err(
            Diagnostic::error(codes::USAGE, "`show` shows the rows of a query, and this is none")
                .with_remedy("run what changes tables with `mulgil query`")
                .into(),
        );
    }
    let mut session = engine.session(&SessionSpec {
        bindings,
        ..opened.session_spec(None).await?
    });
    let mut sink = Stdout::default();
    let outcome = tokio::select! {
        outcome = session.run(&sql, format, limits, &mut sink) => outcome,
        () = wire::interrupt() => return Ok(wire::INTERRUPTED),
    };
    match outcome {
        Ok(_) => Ok(0),
        Err(_) if sink.is_closed => Ok(0),
        Err(fault) => {
            say::fault(&fault);
            Ok(1)
        }
    }
}

/// The instances that are selected: those whose SQL can be shown.
fn instances(opened: &Opened, choice: &Choice) -> Result<Vec<Instance>, Faults> {
    let chosen = chosen(opened, choice)?;
    if chosen.ranges.is_empty() {
        say::talk("nothing is selected");
    }
    let nodes = opened
        .project
        .nodes
        .iter()
        .flat_map(mulgil_core::project::Node::instances);
    Ok(nodes.filter(|instance| chosen.ranges.contains_key(instance)).collect())
}
