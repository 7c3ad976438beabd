//! `mulgil db`: the ledger's database.

use mulgil_core::{codes, diagnostic::Diagnostic};
use mulgil_store::{CopyReport, LedgerPlace, Store};
use serde_json::json;

use crate::{
    cli::{self, Global},
    command::Outcome,
    say,
    wire::{self, Opened},
};

/// Names the file in the data folder as the target of a copy.
const FILE: &str = "file";

pub(crate) async fn db(global: &Global, command: &cli::Db) -> Outcome {
    let opened = wire::open(global)?;
    opened.warnings.iter().for_each(say::fault);
    match command {
        cli::Db::Migrate => migrate(&opened).await,
        cli::Db::Copy { to, json } => copy(&opened, to, *json).await,
    }
}

async fn migrate(opened: &Opened) -> Outcome {
    let place = opened.place()?;
    let lock = match &place {
        LedgerPlace::Folder { data_dir, environment } => {
            let holder = wire::holder("mulgil db migrate");
            Some(mulgil_store::DataLock::acquire(data_dir, environment, holder)?)
        }
        // On a server all that is missing is made in one transaction.
        LedgerPlace::Postgres(_) => None,
    };
    let (before, now) = Store::migrate(&place, &opened.ledger()).await?;
    drop(lock);
    say::talk(&match before {
        0 => format!("made the ledger at {place}, schema {now}"),
        before if before == now => format!("the ledger at {place} is up to date: schema {now}"),
        before => format!("brought the ledger at {place} from schema {before} to {now}"),
    });
    Ok(0)
}

async fn copy(opened: &Opened, to: &str, json: bool) -> Outcome {
    let from = opened.place()?;
    let to = match to {
        FILE => opened.folder(),
        url => LedgerPlace::postgres(url, &opened.ledger())?,
    };
    if from == to {
        return Err(
            Diagnostic::error(codes::USAGE, format!("the ledger lies at {from} already"))
                .with_remedy("name another database")
                .into(),
        );
    }
    let Some(source) = Store::open_read_only(&from, &opened.ledger()).await? else {
        return Err(
            Diagnostic::error(codes::NOT_FOUND, format!("there is no ledger at {from} yet"))
                .with_remedy("nothing has to be copied: change `ledger:` in mulgil.yml, and run")
                .into(),
        );
    };
    let target = Store::open(&to, &opened.ledger()).await?;
    let report = source.copy_to(&target, wire::holder("mulgil db copy")).await?;
    target.close().await;
    source.close().await;
    tell(&report, &from, &to, json);
    Ok(0)
}

fn tell(report: &CopyReport, from: &LedgerPlace, to: &LedgerPlace, json: bool) {
    if json {
        let tables: Vec<_> = report
            .tables
            .iter()
            .map(|table| json!({"table": table.table, "rows": table.rows, "hash": table.target.to_string()}))
            .collect();
        say::print(&json!({"from": from.to_string(), "to": to.to_string(), "tables": tables}).to_string());
        return;
    }
    for table in &report.tables {
        say::print(&format!("{:<20} {:>10}  {}", table.table, table.rows, table.target));
    }
    let rows: u64 = report.tables.iter().map(|table| table.rows).sum();
    say::talk(&format!(
        "copied {} to {to}, read back and compared; now change `ledger:` in mulgil.yml",
        say::count(rows, "row")
    ));
}
