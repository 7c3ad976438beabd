//! Opens a page for the person who sits in front of this machine, where there is one.

use std::process::{Command, Stdio};

use crate::{say, wire};

/// Shows an address in the browser of a desktop. Where there is none, or nobody looks at a terminal, nothing
/// happens: the address is said anyway.
#[expect(clippy::disallowed_methods, reason = "a browser is no task: nobody waits for it")]
pub(crate) fn open(address: &str) {
    let Some(program) = opener().filter(|_| say::is_terminal()) else {
        return;
    };
    let opened = Command::new(program)
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Ok(mut child) = opened {
        // Somebody has to ask how it ended, or it stays in the list of processes.
        std::thread::spawn(move || child.wait());
    }
}

/// The program that opens addresses in a desktop session.
fn opener() -> Option<&'static str> {
    if cfg!(target_os = "macos") {
        return Some("open");
    }
    let environment = wire::environment();
    let has_desktop = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| environment.get(*name).is_some_and(|value| !value.is_empty()));
    has_desktop.then_some("xdg-open")
}
