//! `mulgil init`: a small project that runs at once, whose comments tell what is what.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use jiff::{ToSpan as _, civil::Date};
use mulgil_core::{codes, diagnostic::Diagnostic};
use mulgil_project::schema;

use crate::{
    cli::{self, Global},
    command::Outcome,
    say, wire,
};

/// Path inside the project and text of every file that is no data.
const FILES: [(&str, &str); 6] = [
    ("mulgil.yml", include_str!("project/mulgil.yml")),
    (
        "models/visits_daily.sql",
        include_str!("project/models/visits_daily.sql"),
    ),
    ("models/schema.yml", include_str!("project/models/schema.yml")),
    ("flows/daily.yml", include_str!("project/flows/daily.yml")),
    (".gitignore", include_str!("project/gitignore")),
    (".vscode/settings.json", include_str!("project/settings.json")),
];

/// The visits of a day: the clock, who, and the page.
const VISITS: [(&str, &str, &str); 6] = [
    ("08:12:44", "v1", "/"),
    ("08:13:20", "v1", "/prices"),
    ("11:40:02", "v2", "/"),
    ("15:05:31", "v3", "/about"),
    ("19:27:10", "v2", "/prices"),
    ("22:58:03", "v4", "/"),
];

/// Days that there are files of.
const DAYS: i32 = 3;

/// What a project is called whose folder's name cannot be one.
const USUAL_NAME: &str = "project";

pub(crate) fn init(global: &Global, flags: &cli::Init) -> Outcome {
    let folder = global.project_dir.join(&flags.dir);
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    refuse_project(&folder)?;
    let zone = wire::zone_here();
    let days = days(wire::today(&zone))?;
    let name = name_of(&folder);
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for (path, text) in FILES {
        let text = text
            .replace("@NAME@", &name)
            .replace("@ZONE@", &zone)
            .replace("@BEGIN@", &days[0].to_string());
        files.push((path.into(), text));
    }
    for (path, of) in [
        (".vscode/mulgil.project.schema.json", schema::project()),
        (".vscode/mulgil.flow.schema.json", schema::flow()),
    ] {
        files.push((path.into(), format!("{of:#}\n")));
    }
    for (index, day) in days.iter().enumerate() {
        let path = format!("data/visits_{}.csv", day.strftime("%Y%m%d"));
        files.push((path.into(), visits(*day, index)));
    }
    say::talk(&format!("{}: the project `{name}`\n", folder.display()));
    for (path, text) in files {
        let word = if write(&folder, &path, &text)? {
            "made"
        } else {
            "left as it was"
        };
        say::talk(&format!("  {word}  {}", path.display()));
    }
    tell_next(flags);
    Ok(0)
}

fn tell_next(flags: &cli::Init) {
    say::talk("\nNext:\n");
    if flags.dir != Path::new(".") {
        say::talk(&format!("  cd {}", say::shell_word(&flags.dir)));
    }
    for (command, what) in [
        ("mulgil check", "reads the project and shows every mistake at its line"),
        ("mulgil plan", "what is due, and why"),
        ("mulgil run", "fills it"),
        ("mulgil query \"select * from visits_daily\"", ""),
        ("mulgil dev", "serves it and loads what you save"),
    ] {
        say::talk(format!("  {command:<13} {what}").trim_end());
    }
    say::talk("\nThen read `mulgil.yml` and `models/visits_daily.sql`: their comments go on from here.");
}

/// # Errors
/// `ALREADY_THERE` for a folder that is a project, or lies inside of one.
fn refuse_project(folder: &Path) -> Result<(), Diagnostic> {
    let Some(root) = mulgil_project::find_root(folder) else {
        return Ok(());
    };
    let message = if root == folder {
        format!("there is a project in {} already", root.display())
    } else {
        format!("{} lies inside of the project in {}", folder.display(), root.display())
    };
    Err(Diagnostic::error(codes::ALREADY_THERE, message)
        .with_remedy("work with it, or name another folder: `mulgil init DIR`"))
}

/// The folder's name as a name that a project may have.
fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let name: String = name.chars().map(plain).collect();
    let name = name.trim_matches('_');
    if mulgil_project::is_project_name(name) {
        name.to_owned()
    } else {
        USUAL_NAME.to_owned()
    }
}

/// The days before today.
fn days(today: Date) -> Result<Vec<Date>, Diagnostic> {
    let back = |days: i32| {
        today.checked_sub(days.days()).map_err(|error| {
            Diagnostic::error(
                codes::USAGE,
                format!("the clock of this machine stands at {today}: {error}"),
            )
            .with_remedy("set the clock")
        })
    };
    (1..=DAYS).rev().map(back).collect()
}

/// The file of a day; on each day a little more happens.
fn visits(day: Date, index: usize) -> String {
    let mut text = String::from("visited_at,visitor,page\n");
    for (clock, visitor, page) in &VISITS[..VISITS.len() - (DAYS.unsigned_abs() as usize - 1 - index)] {
        text.push_str(&format!("{day} {clock},{visitor},{page}\n"));
    }
    text
}

/// Makes a file that is not there; says whether it did.
fn write(folder: &Path, name: &Path, text: &str) -> Result<bool, Diagnostic> {
    let path = folder.join(name);
    let made = fs::create_dir_all(path.parent().unwrap_or(folder))
        .and_then(|()| OpenOptions::new().write(true).create_new(true).open(&path));
    match made.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_file() => Ok(false),
        Err(error) => Err(
            Diagnostic::error(codes::USAGE, format!("{} cannot be written: {error}", path.display()))
                .with_remedy("name a folder that you may write in: `mulgil init DIR`"),
        ),
    }
}
