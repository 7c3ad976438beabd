//! Keeps how an attempt ended: log and events on disk first, then the record, then who waits is told.

use std::{
    io,
    path::Path,
    time::{Duration, Instant as Clock},
};

use super::{control::Control, events::Events};
use crate::{
    clock,
    exit::{Exit, MAX_FAULTS},
    folder,
    log::LogWriter,
    mask::Forms,
};

/// How long a supervisor keeps a record that no disk takes and nobody has asked for.
const PATIENCE: Duration = Duration::from_mins(10);

/// How often it tries again.
const TRY_EVERY: Duration = Duration::from_millis(200);

/// Keeps a record. False when the disk did not take it; then whoever waited has it, or nobody.
pub(crate) fn keep(
    dir: &Path,
    mut exit: Exit,
    mut log: LogWriter,
    forms: &Forms,
    mut events: Events,
    mut control: Control,
) -> bool {
    exit.output_bytes = log.output_bytes;
    let left_out = log.finish(forms, clock::now());
    exit.left_out_bytes = *left_out.as_ref().unwrap_or(&0);
    exit.faults.truncate(MAX_FAULTS);
    let mut kept = match left_out {
        Ok(_) if log.is_empty() && events.is_empty() => write(dir, &exit, None),
        Ok(_) => write(dir, &exit, Some(&mut || sync_both(&mut log, &mut events))),
        Err(error) => Err(Unkept::Output(error)),
    };
    if let Err(Unkept::Output(error)) = &kept {
        // What is lost of the log stays lost; the record says so and is kept all the same.
        exit.faults
            .push(*folder::fault(dir, "did not take all of the log", error));
        kept = write(dir, &exit, None);
    }
    let kept = match kept {
        Ok(()) => true,
        Err(unkept) => insist(dir, &mut exit, &mut control, unkept.error()),
    };
    // Who asks from here on finds the record; who asked before is told, once nothing of ours is in the way.
    control.attend();
    let _ = std::fs::remove_file(dir.join(folder::CONTROL));
    let _ = std::fs::remove_file(dir.join(folder::EVENTS_PIPE));
    control.tell(&exit);
    kept
}

/// What could not be kept.
enum Unkept {
    Output(io::Error),
    Record(io::Error),
}

impl Unkept {
    fn error(self) -> io::Error {
        match self {
            Self::Output(error) | Self::Record(error) => error,
        }
    }
}

/// Waits until what the task said is on disk.
type Sync<'a> = &'a mut (dyn FnMut() -> io::Result<()> + Send);

fn sync_both(log: &mut LogWriter, events: &mut Events) -> io::Result<()> {
    log.sync()?;
    events.sync()
}

/// Writes the record and waits for the disk; meanwhile the output gets there too, since one wait of the
/// file system's journal serves both. The record is put in place only after both.
fn write(dir: &Path, exit: &Exit, sync_output: Option<Sync<'_>>) -> Result<(), Unkept> {
    let bytes = serde_json::to_vec(exit).map_err(|error| Unkept::Record(error.into()))?;
    let (file, staged) = folder::stage(dir, folder::EXIT, &bytes).map_err(Unkept::Record)?;
    let (output, record) = std::thread::scope(|scope| {
        let Some(sync_output) = sync_output else {
            return (Ok(()), file.sync_all());
        };
        let output = std::thread::Builder::new().spawn_scoped(scope, sync_output);
        let record = file.sync_all();
        let output = output.and_then(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("it panicked"))));
        (output, record)
    });
    output.map_err(Unkept::Output)?;
    record
        .and_then(|()| folder::unstage(dir, &staged, folder::EXIT))
        .map_err(Unkept::Record)
}

/// The disk did not take the record: it is tried again until it does, until somebody who waits has it, or
/// until patience ends.
fn insist(dir: &Path, exit: &mut Exit, control: &mut Control, error: io::Error) -> bool {
    exit.faults
        .push(*folder::fault(dir, "did not take the exit record", &error));
    let began = Clock::now();
    while began.elapsed() < PATIENCE {
        control.attend();
        if write(dir, exit, None).is_ok() {
            return true;
        }
        if control.tell(exit) > 0 {
            return false;
        }
        std::thread::sleep(TRY_EVERY);
    }
    false
}
