//! The prompt: an editor with history and completion, and what was typed is run.

use std::{fs, path::Path};

use mulgil_core::{codes, diagnostic::Diagnostic, port::Fault};
use rustyline::{Config, Editor, config::CompletionType, error::ReadlineError, history::FileHistory};

use super::{
    complete::Words,
    script,
    shell::{Ended, Shell},
};
use crate::say;

/// Columns of a terminal below which nothing is cut: some have none.
const LEAST_WIDTH: usize = 20;

/// Entries that are remembered.
const HISTORY: usize = 5_000;

/// Reads and runs until a person has had enough. What fails is said, and the prompt goes on.
pub(super) async fn run(shell: &mut Shell) -> Result<Ended, Fault> {
    let history = shell.opened.history();
    let mut editor = editor(&history).map_err(no_editor)?;
    let project = &shell.opened.project;
    say::talk(&format!(
        "Mulgil {}, project {}, environment {}. SQL ends with `;`; `.help` lists the commands, Ctrl-D ends.",
        env!("CARGO_PKG_VERSION"),
        project.name,
        project.environment
    ));
    loop {
        if let (Some(words), Ok(names)) = (editor.helper_mut(), shell.opened.names().await) {
            words.learn(&names);
        }
        shell.forget_interrupts();
        let entry = match tokio::task::block_in_place(|| editor.readline("mulgil> ")) {
            Ok(entry) => entry,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(Ended::Quit),
            Err(error) => return Err(no_editor(error)),
        };
        remember(&mut editor, &history, &entry);
        let columns = editor.dimensions().map(|(columns, _)| usize::from(columns));
        shell.width = columns.filter(|columns| *columns >= LEAST_WIDTH);
        match script::typed(shell, &entry).await {
            Ended::Well | Ended::Interrupted | Ended::Failed(_) => {}
            Ended::Quit => return Ok(Ended::Quit),
        }
    }
}

fn editor(history: &Path) -> rustyline::Result<Editor<Words, FileHistory>> {
    let config = Config::builder()
        .max_history_size(HISTORY)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Words::default()));
    // A first time has no history, and one that cannot be read is no reason not to work.
    let _ = editor.load_history(history);
    Ok(editor)
}

/// Keeps an entry, at once: a shell that is killed has lost nothing. Where the folder cannot be written,
/// the history ends with the shell.
fn remember(editor: &mut Editor<Words, FileHistory>, history: &Path, entry: &str) {
    if entry.trim().is_empty() {
        return;
    }
    if let Some(folder) = history.parent() {
        let _ = fs::create_dir_all(folder);
    }
    let _ = editor.add_history_entry(entry);
    let _ = editor.append_history(history);
}

fn no_editor(error: ReadlineError) -> Fault {
    Box::new(
        Diagnostic::error(codes::USAGE, format!("the terminal cannot be read: {error}"))
            .with_remedy("give the statements as a script: `mulgil sql -f FILE`"),
    )
}
