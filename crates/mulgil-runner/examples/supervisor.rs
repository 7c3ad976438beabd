//! The program that tests start in the place of `mulgil`: it supervises when asked; with `launch` it
//! launches a task and waits to be killed. Never part of the product.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use mulgil_runner::{Launcher, LauncherLimits, LogLimits, Program, Task};

fn main() -> ExitCode {
    if let Some(code) = mulgil_runner::supervise_if_asked() {
        return code;
    }
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "launch", dir, script] => launch(Path::new(dir), script),
        _ => ExitCode::from(2),
    }
}

fn launch(dir: &Path, script: &str) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let launcher = Launcher::new("/proc/self/exe", LauncherLimits::default());
    let running = runtime.block_on(launcher.launch(dir, task(script))).expect("a launch");
    println!("launched");
    std::io::stdout().flush().expect("a reader");
    // Waits for a kill, or for the end of the test that started it.
    let _ = std::io::stdin().read(&mut [0]);
    drop(running);
    ExitCode::SUCCESS
}

fn task(script: &str) -> Task {
    Task {
        attempt: "launched".to_owned(),
        epoch: 1,
        program: Program::Command {
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        },
        environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        directory: "/".into(),
        stdin: String::new(),
        timeout: None,
        grace: Duration::from_secs(10),
        log: LogLimits::default(),
        secrets: Vec::new(),
        memory_bytes: None,
        process_count: None,
        lifeline: None,
    }
}
