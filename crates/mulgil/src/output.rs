//! Where the bytes of a result go: standard output, or a new file that is there when it is whole.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, IsTerminal as _, Write as _},
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    port::{ByteSink, Fault, Format},
};
use tempfile::NamedTempFile;

use crate::say;

/// Standard output.
#[derive(Debug, Default)]
pub(crate) struct Stdout {
    /// Whether its reader has had enough.
    pub(crate) is_closed: bool,
}

impl Stdout {
    /// For a format; one that is no text does not go to a terminal.
    pub(crate) fn of(format: Format) -> Result<Self, Diagnostic> {
        if format.is_binary() && io::stdout().is_terminal() {
            return Err(Diagnostic::error(
                codes::BINARY_TO_TERMINAL,
                format!("{} is no text, and standard output is a terminal", name(format)),
            )
            .with_remedy(format!(
                "name a file: `-f result.{}`; or pipe the output into another program",
                ending(format)
            )));
        }
        Ok(Self::default())
    }
}

#[async_trait]
impl ByteSink for Stdout {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| {
            self.is_closed = error.kind() == ErrorKind::BrokenPipe;
            Box::new(say::unwritten(&error))
        })
    }
}

/// A file that is written beside its place and moved there at its end. What is not a file, such as a
/// pipe with a name, is written to as it is.
#[derive(Debug)]
pub(crate) struct NewFile {
    path: PathBuf,
    is_forced: bool,
    bytes: u64,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Beside(NamedTempFile),
    InPlace(File),
}

impl NewFile {
    /// Begins it; refuses where a file is there, unless it is `forced`.
    pub(crate) fn begin(path: &Path, is_forced: bool) -> Result<Self, Diagnostic> {
        let to_fault = |error: io::Error| unwritable(path, &error);
        let body = match fs::metadata(path) {
            Ok(there) if is_special(&there) => Body::InPlace(File::options().write(true).open(path).map_err(to_fault)?),
            Ok(there) if there.is_dir() => return Err(is_folder(path)),
            Ok(_) if !is_forced => return Err(exists(path)),
            // What a link leads to is replaced, and not the link.
            Ok(_) => return Self::beside(&fs::canonicalize(path).map_err(to_fault)?, is_forced),
            Err(error) if error.kind() == ErrorKind::NotFound => return Self::beside(path, is_forced),
            Err(error) => return Err(to_fault(error)),
        };
        Ok(Self {
            path: path.to_owned(),
            is_forced,
            bytes: 0,
            body,
        })
    }

    fn beside(path: &Path, is_forced: bool) -> Result<Self, Diagnostic> {
        use std::os::unix::fs::PermissionsExt as _;
        let Some(name) = path.file_name() else {
            return Err(is_folder(path));
        };
        let temporary = tempfile::Builder::new()
            .prefix(&format!(".{}.", name.to_string_lossy()))
            .suffix(".part")
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(folder(path))
            .map_err(|error| unwritable(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            is_forced,
            bytes: 0,
            body: Body::Beside(temporary),
        })
    }

    /// Where it will be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Ends it: from now on the file is there, and how many bytes it has.
    pub(crate) fn finish(self) -> Result<u64, Diagnostic> {
        let path = &self.path;
        match self.body {
            Body::InPlace(_) => {}
            Body::Beside(temporary) => {
                temporary
                    .as_file()
                    .sync_all()
                    .map_err(|error| unwritable(path, &error))?;
                let moved = if self.is_forced {
                    temporary.persist(path)
                } else {
                    temporary.persist_noclobber(path)
                };
                moved.map_err(|refused| match refused.error.kind() {
                    ErrorKind::AlreadyExists => exists(path),
                    _ => unwritable(path, &refused.error),
                })?;
                // A folder that cannot be synced has its entry a little later.
                let _ = File::open(folder(path)).and_then(|folder| folder.sync_all());
            }
        }
        Ok(self.bytes)
    }
}

#[async_trait]
impl ByteSink for NewFile {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let written = match &mut self.body {
            Body::Beside(temporary) => temporary.as_file_mut().write_all(bytes),
            Body::InPlace(file) => file.write_all(bytes),
        };
        written.map_err(|error| unwritable(&self.path, &error))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// The format that a file's ending names.
pub(crate) fn format_of(path: &Path) -> Option<Format> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    Some(match ending.as_str() {
        "csv" => Format::Csv,
        "json" => Format::Json,
        "jsonl" | "ndjson" => Format::JsonLines,
        "parquet" | "pq" => Format::Parquet,
        "xlsx" => Format::Xlsx,
        "txt" => Format::Table,
        _ => return None,
    })
}

fn ending(format: Format) -> &'static str {
    match format {
        Format::Table => "txt",
        Format::Csv => "csv",
        Format::Json => "json",
        Format::JsonLines => "jsonl",
        Format::Parquet => "parquet",
        Format::Xlsx => "xlsx",
    }
}

fn name(format: Format) -> &'static str {
    match format {
        Format::Table => "a table",
        Format::Csv => "CSV",
        Format::Json => "JSON",
        Format::JsonLines => "JSON lines",
        Format::Parquet => "Parquet",
        Format::Xlsx => "an Excel workbook",
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

fn is_special(there: &fs::Metadata) -> bool {
    let kind = there.file_type();
    kind.is_char_device() || kind.is_fifo() || kind.is_socket() || kind.is_block_device()
}

fn exists(path: &Path) -> Diagnostic {
    Diagnostic::error(codes::OUTPUT_EXISTS, format!("{} is there already", path.display()))
        .with_remedy("name another file, or write over it with `--force`")
}

fn is_folder(path: &Path) -> Diagnostic {
    Diagnostic::error(codes::USAGE, format!("{} is a folder", path.display())).with_remedy("name a file in it")
}

fn unwritable(path: &Path, error: &io::Error) -> Diagnostic {
    let place = path.display();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Diagnostic::error(codes::DISK_FULL, format!("the disk is full: {place} was not written"))
                .with_remedy("free some space, then ask again; nothing half-written is left")
        }
        ErrorKind::NotFound => Diagnostic::error(codes::USAGE, format!("the folder of {place} is not there"))
            .with_remedy("make the folder, or name another file"),
        _ => Diagnostic::error(codes::USAGE, format!("{place} cannot be written: {error}"))
            .with_remedy("name a file in a folder that you may write to"),
    }
}
