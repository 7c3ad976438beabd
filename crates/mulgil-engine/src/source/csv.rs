//! CSV as RFC 4180 has it: takes a file apart into records and fields, strictly, so that a broken
//! row is found where it is broken. Knows nothing of types.

use std::{borrow::Cow, ops::Range};

use mulgil_core::port::Fault;

use super::{
    cell::Cell,
    fault::{Origin, Spot, shown},
    files::Input,
    window::{Window, spot_in},
};

/// A file, record by record, after its header line.
pub(super) struct CsvFile {
    window: Window,
    delimiter: u8,
    nulls: Nulls,
    /// The names of the columns.
    pub header: Vec<String>,
    fields: Vec<Field>,
    /// Bytes of the current record in the window, with its line end.
    record_bytes: usize,
    /// Bytes of the current record without its line end.
    text_bytes: usize,
}

/// Which fields are NULL.
#[derive(Clone, Debug)]
pub(super) enum Nulls {
    /// Without quotes, the empty field and these words; with quotes they are so only where the column is
    /// not text.
    Words(Vec<String>),
    /// The field without letters, quoted or not; and `null` where the column is not text.
    AsDbt,
}

/// Where a field's text lies in its record.
#[derive(Clone, Debug)]
struct Field {
    text: Range<usize>,
    is_quoted: bool,
    has_doubled_quotes: bool,
}

/// The current record.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    text: &'a str,
    fields: &'a [Field],
    nulls: &'a Nulls,
    line: u32,
}

/// What a look at the window found.
enum Step {
    /// A record of that many bytes with its line end, and without it.
    Record(usize, usize),
    /// Only part of a record.
    More,
    /// Nothing more.
    End,
}

impl CsvFile {
    /// Reads the header line.
    pub(super) fn open(file: Input, origin: Origin, delimiter: u8, nulls: Nulls) -> Result<Self, Fault> {
        let mut csv = Self {
            window: Window::open(file, origin)?,
            delimiter,
            nulls,
            header: Vec::new(),
            fields: Vec::new(),
            record_bytes: 0,
            text_bytes: 0,
        };
        csv.read_header()?;
        Ok(csv)
    }

    /// The next record; nothing at the end. Its fields are as many as the header's.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, Fault> {
        if !self.advance()? {
            return Ok(None);
        }
        if self.fields.len() != self.header.len() {
            return Err(self.wrong_field_count());
        }
        self.record().map(Some)
    }

    fn read_header(&mut self) -> Result<(), Fault> {
        if !self.advance()? {
            return Err(self.window.origin.broken_file(
                None,
                format!(
                    "the file is empty: it has not even the header line that source `{}` needs",
                    self.window.origin.source
                ),
                "write the header line also where there are no rows",
            ));
        }
        let record = self.record()?;
        let mut header: Vec<String> = Vec::with_capacity(record.fields.len());
        for (index, field) in record.fields.iter().enumerate() {
            let name = record.field_text(field);
            let name = if name.is_empty() {
                Cow::Owned(format!("column_{}", index + 1))
            } else {
                name
            };
            if header.iter().any(|known: &String| **known == *name) {
                return Err(self.window.origin.bad_header(
                    record.spot(index),
                    format!("the header names the column {} twice", shown(&name)),
                    "give each column its own name",
                ));
            }
            header.push(name.into_owned());
        }
        self.header = header;
        Ok(())
    }

    /// Moves to the next record; blank lines are passed over, unless a line is one NULL field.
    fn advance(&mut self) -> Result<bool, Fault> {
        loop {
            self.window.pass(self.record_bytes);
            self.record_bytes = 0;
            match self.look()? {
                Step::Record(record, text) => {
                    self.record_bytes = record;
                    self.text_bytes = text;
                    if text > 0 || self.header.len() == 1 {
                        return Ok(true);
                    }
                }
                Step::More => self.window.grow()?,
                Step::End => return Ok(false),
            }
        }
    }

    /// Takes the record at the window's start apart.
    fn look(&mut self) -> Result<Step, Fault> {
        let bytes = self.window.bytes();
        let is_last = self.window.is_at_end();
        self.fields.clear();
        if bytes.is_empty() {
            return Ok(if is_last { Step::End } else { Step::More });
        }
        let mut at = 0;
        loop {
            let field = match bytes.get(at) {
                Some(b'"') => quoted_field(bytes, at, is_last),
                _ => plain_field(bytes, at, self.delimiter, is_last),
            };
            let field = match field {
                Ok(Some(field)) => field,
                Ok(None) => return Ok(Step::More),
                Err(quote) => return Err(self.bad_quote(quote)),
            };
            let after = field.text.end + usize::from(field.is_quoted);
            self.fields.push(field);
            match line_end(bytes, after, self.delimiter, is_last) {
                Next::Field => at = after + 1,
                Next::Record(length) => return Ok(Step::Record(after + length, after)),
                Next::More => return Ok(Step::More),
                Next::Text => return Err(self.bad_quote(BadQuote::TextAfter(after))),
            }
        }
    }

    /// The record that [`Self::advance`] found, as text.
    fn record(&self) -> Result<Record<'_>, Fault> {
        let bytes = &self.window.bytes()[..self.text_bytes];
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Record {
                text,
                fields: &self.fields,
                nulls: &self.nulls,
                line: self.window.line,
            }),
            Err(error) => Err(self.not_utf8(bytes, error.valid_up_to())),
        }
    }

    fn not_utf8(&self, bytes: &[u8], at: usize) -> Fault {
        let index = self.fields.iter().position(|field| at < field.text.end).unwrap_or(0);
        let value = self.fields.get(index).map_or(bytes, |field| &bytes[field.text.clone()]);
        self.window.origin.broken_row(
            spot_in(bytes, self.window.line, at),
            format!(
                "{} in column `{}` is not text in UTF-8",
                shown(&String::from_utf8_lossy(value)),
                self.column_name(index)
            ),
            "write the file in UTF-8",
        )
    }

    fn wrong_field_count(&self) -> Fault {
        let (found, expected) = (self.fields.len(), self.header.len());
        let bytes = &self.window.bytes()[..self.text_bytes];
        let (at, remedy) = if found > expected {
            (
                self.fields[expected].text.start,
                "quote the field that holds a delimiter, or take the extra field out",
            )
        } else {
            (bytes.len(), "add what is missing; an empty field is NULL")
        };
        self.window.origin.broken_row(
            spot_in(bytes, self.window.line, at),
            format!(
                "a row has {found} field{}, and the header names {expected}: {}",
                if found == 1 { "" } else { "s" },
                shown(&String::from_utf8_lossy(bytes))
            ),
            remedy,
        )
    }

    fn bad_quote(&self, quote: BadQuote) -> Fault {
        let bytes = self.window.bytes();
        let column = self.column_name(self.fields.len().saturating_sub(quote.fields_behind()));
        let (at, what) = match quote {
            BadQuote::Open(at) => (at, format!("a quote in column `{column}` is never closed")),
            BadQuote::Inside(at) => (
                at,
                format!("a quote stands inside a field of column `{column}` that does not begin with one"),
            ),
            BadQuote::TextAfter(at) => (at, format!("text follows the closing quote in column `{column}`")),
        };
        self.window.origin.broken_row(
            spot_in(bytes, self.window.line, at),
            what,
            "put the whole field in quotes and write each quote in it twice",
        )
    }

    fn column_name(&self, index: usize) -> String {
        self.header
            .get(index)
            .cloned()
            .unwrap_or_else(|| (index + 1).to_string())
    }
}

impl<'a> Record<'a> {
    /// The value of a field; whether it is NULL may depend on whether its column is text.
    pub(super) fn cell<'b>(&self, index: usize, is_text: bool, scratch: &'b mut String) -> Cell<'b>
    where
        'a: 'b,
    {
        let field = &self.fields[index];
        let text: &'b str = match self.field_text(field) {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => {
                *scratch = text;
                scratch
            }
        };
        let is_null = match self.nulls {
            Nulls::Words(_) if field.is_quoted && is_text => false,
            Nulls::Words(words) => text.is_empty() || words.iter().any(|word| word == text),
            Nulls::AsDbt => {
                let text = text.trim();
                text.is_empty() || !is_text && text.eq_ignore_ascii_case("null")
            }
        };
        if is_null { Cell::Null } else { Cell::Plain(text) }
    }

    /// Its length in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Where a field begins.
    pub(super) fn spot(&self, index: usize) -> Spot {
        let field = &self.fields[index];
        let start = field.text.start - usize::from(field.is_quoted);
        spot_in(self.text.as_bytes(), self.line, start)
    }

    fn field_text(&self, field: &Field) -> Cow<'a, str> {
        let text = &self.text[field.text.clone()];
        if field.has_doubled_quotes {
            Cow::Owned(text.replace("\"\"", "\""))
        } else {
            Cow::Borrowed(text)
        }
    }
}

/// A quote where none may be; where it is in the record.
enum BadQuote {
    /// It opens a field and nothing closes it.
    Open(usize),
    /// It is inside a field without quotes.
    Inside(usize),
    /// A closed field goes on.
    TextAfter(usize),
}

impl BadQuote {
    /// How many fields before the end of the list the faulty one is.
    fn fields_behind(&self) -> usize {
        match self {
            Self::Open(_) | Self::Inside(_) => 0,
            Self::TextAfter(_) => 1,
        }
    }
}

/// What follows a field.
enum Next {
    Field,
    /// The end of the record, of that many bytes.
    Record(usize),
    More,
    /// Something else.
    Text,
}

/// A field that begins with a quote at `at`; `None` when the window ends first.
fn quoted_field(bytes: &[u8], at: usize, is_last: bool) -> Result<Option<Field>, BadQuote> {
    let start = at + 1;
    let mut end = start;
    let mut has_doubled_quotes = false;
    loop {
        let Some(step) = bytes[end..].iter().position(|byte| *byte == b'"') else {
            return if is_last { Err(BadQuote::Open(at)) } else { Ok(None) };
        };
        end += step;
        match bytes.get(end + 1) {
            Some(b'"') => {
                has_doubled_quotes = true;
                end += 2;
            }
            None if !is_last => return Ok(None),
            _ => {
                return Ok(Some(Field {
                    text: start..end,
                    is_quoted: true,
                    has_doubled_quotes,
                }));
            }
        }
    }
}

/// A field without quotes; `None` when the window ends first.
fn plain_field(bytes: &[u8], at: usize, delimiter: u8, is_last: bool) -> Result<Option<Field>, BadQuote> {
    let rest = &bytes[at..];
    let stop = rest
        .iter()
        .position(|byte| *byte == delimiter || *byte == b'\n' || *byte == b'"');
    let mut end = match stop {
        Some(stop) if rest[stop] == b'"' => return Err(BadQuote::Inside(at + stop)),
        Some(stop) => at + stop,
        None if is_last => bytes.len(),
        None => return Ok(None),
    };
    let at_line_end = bytes.get(end).is_none_or(|byte| *byte == b'\n');
    if at_line_end && end > at && bytes[end - 1] == b'\r' {
        end -= 1;
    }
    Ok(Some(Field {
        text: at..end,
        is_quoted: false,
        has_doubled_quotes: false,
    }))
}

/// What stands at `after`, where a field has ended.
fn line_end(bytes: &[u8], after: usize, delimiter: u8, is_last: bool) -> Next {
    match bytes.get(after) {
        None if is_last => Next::Record(0),
        Some(b'\n') => Next::Record(1),
        Some(byte) if *byte == delimiter => Next::Field,
        Some(b'\r') => match bytes.get(after + 1) {
            Some(b'\n') => Next::Record(2),
            None if is_last => Next::Record(1),
            None => Next::More,
            Some(_) => Next::Text,
        },
        None => Next::More,
        Some(_) => Next::Text,
    }
}
