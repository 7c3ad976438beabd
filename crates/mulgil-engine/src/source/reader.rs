//! One file of a source, batch by batch: opened, compared with what was seen of it before and
//! after, each row checked. Blocking; callers give it a thread.

use std::sync::Arc;

use datafusion::arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    port::Fault,
    project::{FileFormat, Source},
    task::{Column, FileSeen},
};

use super::{
    csv::Nulls,
    event::{EventCheck, EventKind, EventTime, RowRule},
    fault::{self, ColumnSpec, Origin},
    files::{Files, Input},
    parquet::ParquetRows,
    text::{CsvRows, JsonRows},
    window::{Span, is_packed},
    words::ledger_type,
};

/// Rows of a batch.
pub(super) const BATCH_ROWS: usize = 8_192;

/// What is read of a source's files.
#[derive(Debug)]
pub(super) struct SourceShape {
    /// Where its files are.
    pub files: Files,
    /// The source.
    pub source: Source,
    /// All its columns.
    pub schema: SchemaRef,
    /// The column that says when a row happened.
    pub event: Option<EventTime>,
}

/// What is read of one file.
pub(super) struct Wanted {
    /// The columns that come out, as a schema.
    pub schema: SchemaRef,
    /// The columns that come out.
    pub columns: Vec<ColumnSpec>,
    /// All columns, which the file must have.
    pub all: Vec<String>,
    /// Which of them are declared.
    pub declared: Vec<String>,
    /// Which rows are read.
    pub check: Option<EventCheck>,
    /// The event-time column, to word what does not fit it.
    pub event_column: Option<ColumnSpec>,
}

/// A file that is being read.
pub(super) struct FileReader {
    files: Files,
    seen: FileSeen,
    is_pinned: bool,
    origin: Origin,
    span: Span,
    rows: Rows,
}

enum Rows {
    Csv(Box<CsvRows>),
    Json(Box<JsonRows>),
    Parquet(Box<ParquetRows>),
    /// All was read.
    Done,
}

impl SourceShape {
    /// A source with the columns that the ledger fixed.
    pub(super) fn new(files: &Files, source: &Source, columns: &[Column]) -> Result<Self, Fault> {
        let fields = columns
            .iter()
            .map(|column| Ok(Field::new(&column.name, data_type(source, column)?, true)))
            .collect::<Result<Vec<_>, Fault>>()?;
        let schema = Schema::new(fields);
        Ok(Self {
            event: event_time(source, &schema)?,
            files: files.clone(),
            source: source.clone(),
            schema: Arc::new(schema),
        })
    }

    /// Opens a file to read the columns at `projection` of the rows that `rule` wants.
    pub(super) fn open(&self, seen: &FileSeen, projection: &[usize], rule: RowRule) -> Result<FileReader, Fault> {
        self.open_span(seen, Span::WHOLE, projection, rule)
    }

    /// As [`Self::open`], of the records that begin in a part of the file; of a file that cannot be
    /// cut the whole is its only part.
    pub(super) fn open_span(
        &self,
        seen: &FileSeen,
        span: Span,
        projection: &[usize],
        rule: RowRule,
    ) -> Result<FileReader, Fault> {
        let origin = Origin::new(&self.source, &seen.path);
        let (file, stamp) = self.files.open(&origin)?;
        if !stamp.is_of(seen) {
            return Err(origin.changed());
        }
        let is_pinned = file.is_pinned();
        let wanted = self.wanted(projection, rule)?;
        let rows = match self.open_rows(file, origin.clone(), span, wanted) {
            Ok(rows) => rows,
            Err(fault) => return Err(unless_changed(&self.files, seen, &origin, fault)),
        };
        Ok(FileReader {
            files: self.files.clone(),
            seen: seen.clone(),
            is_pinned,
            origin,
            span,
            rows,
        })
    }

    /// Whether parts of a file can be read by themselves.
    pub(super) fn may_be_cut(&self, path: &std::path::Path) -> bool {
        match self.source.format {
            FileFormat::Csv { .. } | FileFormat::DbtSeed { .. } | FileFormat::JsonLines => {
                self.files.is_local() && !is_packed(path)
            }
            FileFormat::Parquet => false,
        }
    }

    fn open_rows(&self, file: Input, origin: Origin, span: Span, wanted: Wanted) -> Result<Rows, Fault> {
        Ok(match &self.source.format {
            FileFormat::Csv { delimiter, null_words } => {
                let words = (ascii(&self.source, *delimiter)?, Nulls::Words(null_words.clone()));
                Rows::Csv(Box::new(CsvRows::open(file, origin, words, span, wanted)?))
            }
            FileFormat::DbtSeed { delimiter } => {
                let words = (ascii(&self.source, *delimiter)?, Nulls::AsDbt);
                Rows::Csv(Box::new(CsvRows::open(file, origin, words, span, wanted)?))
            }
            FileFormat::JsonLines => Rows::Json(Box::new(JsonRows::open(file, origin, span, wanted)?)),
            FileFormat::Parquet => Rows::Parquet(Box::new(ParquetRows::open(file, origin, wanted)?)),
        })
    }

    fn wanted(&self, projection: &[usize], rule: RowRule) -> Result<Wanted, Fault> {
        let schema = self
            .schema
            .project(projection)
            .map_err(|error| bug(&format!("a projection that the source has not: {error}")))?;
        let columns = projection.iter().map(|index| self.column(*index)).collect();
        Ok(Wanted {
            schema: Arc::new(schema),
            columns,
            all: self.schema.fields().iter().map(|field| field.name().clone()).collect(),
            declared: self.source.columns.keys().cloned().collect(),
            check: self.event.as_ref().and_then(|event| EventCheck::new(event, rule)),
            event_column: self.event.as_ref().map(|event| self.column(event.index)),
        })
    }

    fn column(&self, index: usize) -> ColumnSpec {
        let field = self.schema.field(index);
        ColumnSpec {
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            civil_zone: self
                .event
                .as_ref()
                .filter(|event| event.index == index)
                .map(|event| event.zone.clone()),
            is_declared: self.source.columns.contains_key(field.name()),
        }
    }
}

impl FileReader {
    /// The next rows, which may be none; nothing at the end, when the file is still the one that was
    /// seen.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, Fault> {
        let next = match &mut self.rows {
            Rows::Csv(rows) => rows.next(),
            Rows::Json(rows) => rows.next(),
            Rows::Parquet(rows) => rows.next(),
            Rows::Done => return Ok(None),
        };
        match next {
            Ok(Some(batch)) => Ok(Some(batch)),
            Ok(None) => {
                self.rows = Rows::Done;
                if self.is_pinned || self.files.is_still(&self.origin, &self.seen) {
                    Ok(None)
                } else {
                    Err(self.origin.changed())
                }
            }
            Err(fault) => {
                let fault = self.in_whole_file(fault);
                self.rows = Rows::Done;
                Err(unless_changed(&self.files, &self.seen, &self.origin, fault))
            }
        }
    }

    /// A fault of a part of a file as one of the file: its lines count from the start.
    fn in_whole_file(&mut self, mut fault: Fault) -> Fault {
        let has_line = fault.place.as_ref().is_some_and(|place| place.line.is_some());
        if self.span.start == 0 || !has_line {
            return fault;
        }
        let before = match &mut self.rows {
            Rows::Csv(rows) => rows.lines_before(),
            Rows::Json(rows) => rows.lines_before(),
            Rows::Parquet(_) | Rows::Done => Ok(0),
        };
        match (before, &mut fault.place) {
            (Ok(before), Some(place)) => {
                place.line = place.line.map(|line| line.saturating_add(before));
                fault
            }
            (Ok(_), None) => fault,
            (Err(first), _) => first,
        }
    }
}

/// The delimiter as a byte.
pub(super) fn ascii(source: &Source, delimiter: char) -> Result<u8, Fault> {
    u8::try_from(delimiter)
        .ok()
        .filter(|byte| byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n'))
        .ok_or_else(|| {
            fault::declaration(
                source,
                format!("source `{}` cannot be cut at {delimiter:?}", source.name),
                "use an ASCII character such as `,`, `;`, `|` or a tab under `delimiter`",
            )
        })
}

/// What cannot happen has happened.
pub(super) fn bug(what: &str) -> Fault {
    Diagnostic::error(codes::BUG, format!("while a source was read: {what}"))
        .with_remedy("please report it")
        .into()
}

/// The event-time column of a schema.
fn event_time(source: &Source, schema: &Schema) -> Result<Option<EventTime>, Fault> {
    let Some(name) = &source.event_time else {
        return Ok(None);
    };
    let Some((index, field)) = schema.column_with_name(name) else {
        let has: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        return Err(fault::event_time_missing(source, name, &has));
    };
    let kind =
        EventKind::of(field.data_type()).ok_or_else(|| fault::event_time_type(source, name, field.data_type()))?;
    Ok(Some(EventTime {
        index,
        name: name.clone(),
        kind,
        zone: source.zone.clone(),
    }))
}

fn data_type(source: &Source, column: &Column) -> Result<DataType, Fault> {
    ledger_type(&column.data_type).ok_or_else(|| {
        bug(&format!(
            "column `{}` of source `{}` was recorded as {}, which is no type",
            column.name, source.name, column.data_type
        ))
    })
}

/// A fault in a file that is being written is the fault of reading it too early; a store that fails
/// cannot say whether it is.
fn unless_changed(files: &Files, seen: &FileSeen, origin: &Origin, fault: Fault) -> Fault {
    match files.stamp(origin) {
        Ok(Some(stamp)) if stamp.is_of(seen) => fault,
        Err(fault) if matches!(files, Files::Bucket(_)) => fault,
        Ok(_) | Err(_) => origin.changed(),
    }
}
