//! The project of the demo, as files: those that stand in this folder, with the dates of the story in them, and
//! the data that is made up for it.

use std::{fs, path::Path};

use jiff::civil::Date;
use mulgil_core::{codes, diagnostic::Diagnostic};

use super::{Days, events};

/// Path inside the project and text of every file that is not data.
const FILES: [(&str, &str); 11] = [
    (".gitignore", include_str!("project/gitignore")),
    ("mulgil.yml", include_str!("project/mulgil.yml")),
    ("models/reads_daily.sql", include_str!("project/models/reads_daily.sql")),
    (
        "models/readers_daily.sql",
        include_str!("project/models/readers_daily.sql"),
    ),
    ("models/readers_7d.sql", include_str!("project/models/readers_7d.sql")),
    ("models/sales_daily.sql", include_str!("project/models/sales_daily.sql")),
    ("models/ranking.sql", include_str!("project/models/ranking.sql")),
    ("models/schema.yml", include_str!("project/models/schema.yml")),
    ("flows/morning.yml", include_str!("project/flows/morning.yml")),
    ("flows/ranking.yml", include_str!("project/flows/ranking.yml")),
    ("tasks/report.py", include_str!("project/tasks/report.py")),
];

/// The step of `flows/morning.yml` that needs Python.
const PYTHON_STEP: &str = "  report: ";

/// Writes the project as it is before anything ran: the newest files are not whole, and the store has not sent
/// the sales of two days.
pub(super) fn write_project(folder: &Path, days: &Days, has_python: bool) -> Result<(), Diagnostic> {
    for (name, text) in FILES {
        let mut text = text
            .replace("@BEGIN@", &days.begin.to_string())
            .replace("@FLOW_BEGIN@", &days.flow_begin.to_string())
            .replace("@END@", &days.until.to_string());
        if !has_python {
            text = without(&text, PYTHON_STEP);
        }
        write(folder, name, &text)?;
    }
    write(folder, "seeds/episodes.csv", &events::episodes())?;
    for date in days.all() {
        let day = events::day(date);
        let is_newest = days.newest().any(|newest| newest == date);
        let events = if is_newest { &day.events_at_first } else { &day.events };
        write(folder, &events_of(date), events)?;
        if !days.holes.contains(&date) {
            write(folder, &sales_of(date), &day.sales)?;
        }
    }
    Ok(())
}

/// The phones that were offline send what they kept: the files of the last three days change.
pub(super) fn change_newest(folder: &Path, days: &Days) -> Result<(), Diagnostic> {
    days.newest()
        .try_for_each(|date| write(folder, &events_of(date), &events::day(date).events))
}

/// The store sends the sales of the two days, too late.
pub(super) fn send_late(folder: &Path, days: &Days) -> Result<(), Diagnostic> {
    days.holes
        .iter()
        .try_for_each(|date| write(folder, &sales_of(*date), &events::day(*date).sales))
}

fn events_of(date: Date) -> String {
    format!("data/events_{}.csv", date.strftime("%Y%m%d"))
}

fn sales_of(date: Date) -> String {
    format!("data/sales_{}.csv", date.strftime("%Y%m%d"))
}

/// A text without the lines that begin so.
fn without(text: &str, begin: &str) -> String {
    let kept = text.lines().filter(|line| !line.starts_with(begin));
    kept.flat_map(|line| [line, "\n"]).collect()
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), Diagnostic> {
    let path = folder.join(name);
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(&path, text))
        .map_err(|error| {
            Diagnostic::error(codes::USAGE, format!("{} cannot be written: {error}", path.display()))
                .with_remedy("go to a folder that you may write in, or name one: `mulgil demo DIR`")
        })
}
