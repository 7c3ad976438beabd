//! A text of statements and commands, run in order up to the first that fails.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    statements::Splitter,
};

use super::{
    dot,
    shell::{Ended, Origin, Shell},
};
use crate::say;

/// How deep scripts may run scripts.
const MAX_DEPTH: usize = 16;

/// Runs the script in a file; `-` is standard input.
pub(super) async fn file(shell: &mut Shell, path: &Path) -> Ended {
    if path == Path::new("-") {
        return stdin(shell).await;
    }
    nested(shell, path, 0).await
}

/// Runs what comes on standard input.
pub(super) async fn stdin(shell: &mut Shell) -> Ended {
    let origin = Origin {
        file: Some("stdin".to_owned()),
    };
    run(shell, BufReader::new(io::stdin()), &origin, 0).await
}

/// Runs what was typed.
pub(super) async fn typed(shell: &mut Shell, text: &str) -> Ended {
    run(shell, text.as_bytes(), &Origin { file: None }, 0).await
}

async fn nested(shell: &mut Shell, path: &Path, depth: usize) -> Ended {
    let name = path.display().to_string();
    if depth >= MAX_DEPTH {
        let fault = Diagnostic::error(
            codes::USAGE,
            format!("scripts run scripts more than {MAX_DEPTH} deep at {name}"),
        );
        return failed(fault.with_remedy("look for a script that reads itself with `.read`"));
    }
    let opened = File::open(path).and_then(|file| {
        if file.metadata()?.is_dir() {
            Err(io::ErrorKind::IsADirectory.into())
        } else {
            Ok(file)
        }
    });
    match opened {
        Ok(file) => Box::pin(run(shell, BufReader::new(file), &Origin { file: Some(name) }, depth)).await,
        Err(error) => failed(unreadable(&name, &error)),
    }
}

/// Reads lines as they come; a statement is run when it is whole.
async fn run(shell: &mut Shell, mut lines: impl BufRead, origin: &Origin, depth: usize) -> Ended {
    let mut splitter = Splitter::default();
    let mut whole = String::new();
    let mut number = 0;
    loop {
        let start = whole.len();
        let read = tokio::task::block_in_place(|| lines.read_line(&mut whole));
        number += 1;
        match read {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return failed(unreadable(origin.file.as_deref().unwrap_or("the text"), &error)),
        }
        let line = &whole[start..];
        let ended = if !splitter.is_open() && line.trim_start().starts_with('.') {
            let place = origin.file.as_deref().map(|file| Place::at(file, number, 1));
            let line = line.trim().to_owned();
            // The splitter counts lines, and this one is not empty to it.
            splitter.push("\n");
            command(shell, &line, place, depth).await
        } else {
            splitter.push(line);
            statements(shell, &mut splitter, origin, &whole).await
        };
        match ended {
            Ended::Well => {}
            Ended::Quit | Ended::Interrupted | Ended::Failed(_) => return ended,
        }
    }
    match splitter.rest() {
        Some(last) => shell.statement(&last, origin, &whole).await,
        None => Ended::Well,
    }
}

async fn statements(shell: &mut Shell, splitter: &mut Splitter, origin: &Origin, whole: &str) -> Ended {
    while let Some(statement) = splitter.next_statement() {
        match shell.statement(&statement, origin, whole).await {
            Ended::Well => {}
            ended @ (Ended::Quit | Ended::Interrupted | Ended::Failed(_)) => return ended,
        }
    }
    Ended::Well
}

async fn command(shell: &mut Shell, line: &str, place: Option<Place>, depth: usize) -> Ended {
    let done = match dot::parse(line) {
        Ok(dot::Command::Read(path)) => return nested(shell, &path, depth + 1).await,
        Ok(command) => dot::perform(shell, &command).await,
        Err(fault) => Err(Box::new(fault)),
    };
    match done {
        Ok(ended) => ended,
        Err(mut fault) => {
            fault.place = fault.place.or(place);
            failed(*fault)
        }
    }
}

fn failed(fault: Diagnostic) -> Ended {
    say::fault(&fault);
    Ended::Failed(Box::new(fault))
}

fn unreadable(name: &str, error: &io::Error) -> Diagnostic {
    Diagnostic::error(codes::USAGE, format!("{name} cannot be read: {error}"))
        .with_remedy("name a file of SQL in UTF-8; relative paths start in the folder where you are")
}
