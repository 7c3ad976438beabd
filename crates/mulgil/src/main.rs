//! The program: reads what was typed, does it, says how it went with its exit code.

mod browser;
mod cli;
mod command;
#[rustfmt::skip]
mod generated;
mod output;
mod progress;
mod right;
mod room;
mod say;
mod serving;
mod sql_type;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything else: a supervisor is small, and starts in no time.
    if let Some(code) = mulgil_runner::supervise_if_asked() {
        return code;
    }
    wire::arm_crash_tests();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let runtime = wire::runtime();
    let outcome = runtime.block_on(command::perform(cli));
    // What is still computing was given up: nobody waits for it. Nor are the threads shut down: to detach
    // one that is just ending may read memory that is gone.
    std::mem::forget(runtime);
    wire::tell_counted_writes();
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(faults) => {
            say::faults(&faults);
            ExitCode::from(faults.0.first().map_or(70, |fault| fault.code.exit()))
        }
    }
}
