//! `mulgil handover`: one document for whoever takes a project over: what runs, when, why, for whom, on whose keys,
//! and what needs a person now. It only reads, and takes no lock.

mod attention;
mod duty;
mod keys;
mod text;

use mulgil_core::{interval::Instant, interval_text::format_instant, project::Project};
use mulgil_store::LedgerPlace;
use serde_json::{Value, json};

use self::{attention::Attention, duty::Duty, keys::Key};
use crate::{
    cli::{Global, Json},
    command::Outcome,
    say,
    wire::{self, Opened},
};

const DAY_US: i64 = 86_400_000_000;

pub(crate) async fn handover(global: &Global, flags: Json) -> Outcome {
    let opened = wire::open(global)?;
    let view = opened.view().await?;
    let handover = Handover {
        duties: duty::all(&opened.project, view.now),
        unscheduled: unscheduled(&opened.project),
        keys: keys::all(&opened),
        attention: attention::all(&opened, &view).await?,
        places: Places::of(&opened)?,
        now: view.now,
        opened: &opened,
    };
    if flags.json {
        say::json(&handover.as_json());
    } else {
        say::print(&handover.as_text());
    }
    Ok(0)
}

/// All that is told.
struct Handover<'a> {
    opened: &'a Opened,
    now: Instant,
    duties: Vec<Duty>,
    /// Nodes that are filled as soon as what they read is there.
    unscheduled: Vec<String>,
    keys: Vec<Key>,
    attention: Vec<Attention>,
    places: Places,
}

/// Where everything lies.
struct Places {
    project: String,
    tables: String,
    data: String,
    ledger: String,
    logs: String,
    keep_logs_days: i64,
    keep_runs_days: i64,
    /// Commands that make a copy of all of it, in their order.
    backup: Vec<String>,
}

impl Places {
    fn of(opened: &Opened) -> Result<Self, mulgil_core::port::Fault> {
        let project = whole(&opened.project.root);
        let place = opened.place()?;
        let warehouse = &opened.project.warehouse;
        let tables = warehouse.folder().map_or_else(
            || warehouse.to_string(),
            |folder| whole(&opened.project.root.join(folder)),
        );
        // Beside the folder, so that it is no part of itself.
        let to = format!("{project}-backup.tar.gz");
        let mut backup = vec![format!("tar -czf {} -C {} .", quoted(&to), quoted(&project))];
        if warehouse.folder().is_none() || !tables.starts_with(&project) {
            backup.push(format!("# and the tables, which lie elsewhere: a copy of {tables}"));
        }
        let ledger = match &place {
            LedgerPlace::Folder { .. } => place.file().map_or_else(String::new, |file| whole(&file)),
            LedgerPlace::Postgres(server) => {
                backup.push(format!("pg_dump --schema={} …  # the ledger: {place}", server.schema()));
                place.to_string()
            }
        };
        Ok(Self {
            data: whole(opened.data_dir()),
            logs: whole(&opened.attempts_dir()),
            keep_logs_days: opened.keep_logs_us() / DAY_US,
            keep_runs_days: opened.keep_runs_us() / DAY_US,
            project,
            tables,
            ledger,
            backup,
        })
    }
}

fn whole(path: &std::path::Path) -> String {
    std::path::absolute(path)
        .unwrap_or_else(|_| path.to_owned())
        .display()
        .to_string()
}

/// As a shell takes it for one word.
fn quoted(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-');
    if path.bytes().all(is_plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

/// What nobody's schedule fills.
fn unscheduled(project: &Project) -> Vec<String> {
    let nodes = project.nodes.iter();
    let free = nodes.filter(|node| node.schedule.is_none() && project.flow_of(&node.name).is_none());
    free.map(|node| node.name.to_string()).collect()
}

impl Handover<'_> {
    fn as_json(&self) -> Value {
        let project = &self.opened.project;
        let Places {
            project: folder,
            tables,
            data,
            ledger,
            logs,
            ..
        } = &self.places;
        json!({
            "project": project.name,
            "environment": project.environment,
            "version": env!("CARGO_PKG_VERSION"),
            "now": format_instant(self.now, &project.zone),
            "runs": self.duties.iter().map(Duty::as_json).collect::<Vec<_>>(),
            "unscheduled": self.unscheduled,
            "keys": self.keys.iter().map(Key::as_json).collect::<Vec<_>>(),
            "attention": self.attention.iter().map(Attention::as_json).collect::<Vec<_>>(),
            "places": { "project": folder, "tables": tables, "data": data, "ledger": ledger, "logs": logs },
            "retention": { "logs_days": self.places.keep_logs_days, "runs_days": self.places.keep_runs_days },
            "commands": {
                "start": text::START, "stop": text::STOP, "look": text::LOOK, "backup": self.places.backup,
            },
        })
    }
}
