//! The end of a long log: raw pieces in two files that take turns.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::Path,
};

use mulgil_core::interval::Instant;

use super::LogStream;
use crate::folder;

/// Position, time, stream and length of a piece in a tail file.
const PIECE_HEADER: usize = 8 + 8 + 1 + 4;

/// The two files that take turns.
pub(super) struct Tail {
    files: [File; 2],
    current: usize,
    in_current: u64,
    position: u64,
}

impl Tail {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let open = |name: &str| {
            remove(&dir.join(name))?;
            folder::append_to(&dir.join(name))
        };
        Ok(Self {
            files: [open(folder::LOG_TAILS[0])?, open(folder::LOG_TAILS[1])?],
            current: 0,
            in_current: 0,
            position: 0,
        })
    }

    pub(super) fn add(&mut self, tail_bytes: u64, stream: LogStream, at: Instant, bytes: &[u8]) -> io::Result<()> {
        if self.in_current >= tail_bytes {
            self.current = 1 - self.current;
            self.files[self.current].set_len(0)?;
            self.in_current = 0;
        }
        let mut piece = Vec::with_capacity(PIECE_HEADER + bytes.len());
        piece.extend_from_slice(&self.position.to_le_bytes());
        piece.extend_from_slice(&at.0.to_le_bytes());
        piece.push(stream as u8);
        piece.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        piece.extend_from_slice(bytes);
        self.files[self.current].write_all(&piece)?;
        self.in_current += bytes.len() as u64;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The position of the first byte of a tail file, and how many it holds.
pub(super) fn measure(path: &Path) -> io::Result<Option<(u64, u64)>> {
    let (mut first, mut held) = (None, 0);
    for_each_piece(path, |position, _, _, bytes| {
        first.get_or_insert(position);
        held += bytes.len() as u64;
    })?;
    Ok(first.map(|first| (first, held)))
}

/// Gives each whole piece of a tail file; one that was cut by a kill is passed over.
pub(super) fn for_each_piece(path: &Path, mut take: impl FnMut(u64, Instant, LogStream, &[u8])) -> io::Result<()> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mut file = io::BufReader::with_capacity(256 * 1024, file);
    let mut header = [0; PIECE_HEADER];
    let mut bytes = Vec::new();
    while file.read_exact(&mut header).is_ok() {
        let number = |from: usize| u64::from_le_bytes(header[from..from + 8].try_into().unwrap_or_default());
        let length = u32::from_le_bytes(header[17..21].try_into().unwrap_or_default());
        bytes.resize(length as usize, 0);
        let Some(stream) = LogStream::ALL.get(usize::from(header[16])) else {
            return Ok(());
        };
        if file.read_exact(&mut bytes).is_err() {
            return Ok(());
        }
        take(number(0), Instant(number(8) as i64), *stream, &bytes);
    }
    Ok(())
}
