//! Takes the events of a task from their pipe, reads them, and keeps them.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::{Path, PathBuf},
};

use mulgil_core::diagnostic::Diagnostic;
use nix::{libc, sys::stat::Mode, unistd::mkfifo};

use super::attempt::Outputs;
use crate::{
    clock,
    exit::MAX_FAULTS,
    folder,
    log::LogStream,
    protocol::{self, Event, EventRecord, MAX_EVENT_BYTES, MAX_EVENTS, TaskError},
};

/// Takes the events of one attempt.
pub(crate) struct Events {
    pipe: File,
    path: PathBuf,
    file: Option<File>,
    line: Vec<u8>,
    /// Whether the rest of a line that is too long is passed over.
    is_skipping: bool,
    count: usize,
    /// The last result.
    pub(crate) result: Option<serde_json::Value>,
    /// The last error.
    pub(crate) error: Option<TaskError>,
    /// What was wrong with lines.
    pub(crate) faults: Vec<Diagnostic>,
    io_error: Option<io::Error>,
}

impl Events {
    /// Makes the pipe.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(folder::EVENTS_PIPE);
        // Left by a supervisor that was killed before it took this attempt.
        let _ = std::fs::remove_file(&path);
        mkfifo(&path, Mode::from_bits_truncate(0o600))?;
        // Open for both, so that it has no end while writers come and go.
        let pipe = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path)?;
        Ok(Self {
            pipe,
            path: dir.join(folder::EVENTS),
            file: None,
            line: Vec::new(),
            is_skipping: false,
            count: 0,
            result: None,
            error: None,
            faults: Vec::new(),
            io_error: None,
        })
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Takes what is there.
    pub(crate) fn read(&mut self, outputs: &mut Outputs) {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count) = self.pipe.read(&mut bytes) {
            if count == 0 {
                return;
            }
            for piece in bytes[..count].split_inclusive(|byte| *byte == b'\n') {
                self.take(piece, outputs);
            }
        }
    }

    /// Nothing more comes: what is left is half a line.
    pub(crate) fn finish(&mut self, outputs: &mut Outputs) {
        self.read(outputs);
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.keep(Err(protocol::half(&line, &outputs.forms)), outputs);
        }
    }

    /// Whether nothing was said.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What has to be on disk before the exit record is, and what went wrong with it.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        match (self.io_error.take(), &self.file) {
            (Some(error), _) => Err(error),
            (None, Some(file)) => file.sync_data(),
            (None, None) => Ok(()),
        }
    }

    fn take(&mut self, piece: &[u8], outputs: &mut Outputs) {
        let is_end = piece.ends_with(b"\n");
        if self.is_skipping {
            self.is_skipping = !is_end;
            return;
        }
        if self.line.len() + piece.len() > MAX_EVENT_BYTES {
            self.line.clear();
            self.is_skipping = !is_end;
            self.keep(Err(protocol::too_large("a line")), outputs);
            return;
        }
        self.line.extend_from_slice(piece);
        if is_end {
            let line = std::mem::take(&mut self.line);
            if !line.trim_ascii().is_empty() {
                self.keep(protocol::parse_event(line.trim_ascii(), &outputs.forms), outputs);
            }
        }
    }

    fn keep(&mut self, read: Result<Event, Box<Diagnostic>>, outputs: &mut Outputs) {
        self.count += 1;
        let read = match self.count {
            ..=MAX_EVENTS => read,
            count if count == MAX_EVENTS + 1 => Err(protocol::too_many()),
            _ => return,
        };
        let at = clock::now();
        let record = match read {
            Ok(event) => {
                self.note(&event, outputs);
                EventRecord {
                    at,
                    event: Some(event),
                    fault: None,
                }
            }
            Err(fault) => {
                outputs.note(&format!("[{}] {}", fault.code, fault.message));
                if self.faults.len() < MAX_FAULTS {
                    self.faults.push((*fault).clone());
                }
                EventRecord {
                    at,
                    event: None,
                    fault: Some(*fault),
                }
            }
        };
        if let Err(error) = self.write(&record) {
            self.io_error.get_or_insert(error);
        }
    }

    fn note(&mut self, event: &Event, outputs: &mut Outputs) {
        match event {
            Event::Log { message, level } => outputs.line(LogStream::Log, &format!("{level}: {message}")),
            Event::Result { value } => self.result = Some(value.clone()),
            Event::Error(error) => self.error = Some(error.clone()),
            Event::Rows { .. } | Event::Metadata { .. } | Event::Progress { .. } => {}
        }
    }

    fn write(&mut self, record: &EventRecord) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(folder::append_to(&self.path)?);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        file.write_all(&line)
    }
}
