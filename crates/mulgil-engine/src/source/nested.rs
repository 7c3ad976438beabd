//! From the text of one JSON value, nested or not, to one slot of an Arrow column. A key that is
//! absent is NULL, one that its type has not is left alone.

use std::sync::Arc;

use datafusion::arrow::{
    array::{ArrayRef, ListArray, NullBufferBuilder, StructArray},
    buffer::{OffsetBuffer, ScalarBuffer},
    datatypes::{DataType, FieldRef, Fields},
};

use super::{cell::ColumnBuilder, fault::Misfit, json::cell, value::Cursor};

/// Objects as a column that grows.
#[derive(Debug)]
pub(super) struct StructBuilder {
    fields: Fields,
    columns: Vec<ColumnBuilder>,
    /// Which keys the current object has had.
    had: Vec<bool>,
    valid: NullBufferBuilder,
}

/// Arrays as a column that grows.
#[derive(Debug)]
pub(super) struct ListBuilder {
    element: FieldRef,
    column: ColumnBuilder,
    /// Elements so far.
    count: i32,
    /// Where each array begins among all elements, and where the last one ends.
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
}

/// A part of a value that its type cannot hold.
#[derive(Debug, PartialEq)]
pub(super) struct Unfit {
    /// Where it begins, in bytes of the value's text.
    pub at: usize,
    /// The way to it, to be written after the column's name; elements count from 1 as in SQL.
    pub path: String,
    /// Its text.
    pub text: String,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a part of a value.
#[derive(Debug, PartialEq)]
pub(super) enum Why {
    /// It is none of this type.
    Type(DataType),
    /// An object has this key twice.
    Twice,
}

/// Adds the value at the cursor, or says which part of it is none of its type.
pub(super) fn append(
    builder: &mut ColumnBuilder,
    data_type: &DataType,
    json: &mut Cursor<'_>,
    scratch: &mut String,
) -> Result<(), Box<Unfit>> {
    match (builder, json.peek()) {
        (ColumnBuilder::Struct(objects), Some(b'{')) => objects.append_object(json, scratch),
        (ColumnBuilder::List(arrays), Some(b'[')) => arrays.append_array(json, scratch),
        (builder, _) => {
            let at = json.at();
            let raw = json.value();
            let added = cell(raw, scratch).and_then(|cell| builder.append(cell));
            added.map_err(|Misfit| Unfit::at(at, raw, Why::Type(data_type.clone())))
        }
    }
}

impl StructBuilder {
    /// Of the fields of a struct; nothing where one has a type that no text file can have.
    pub(super) fn new(fields: &Fields) -> Option<Self> {
        let columns = fields
            .iter()
            .map(|field| ColumnBuilder::new(field.data_type(), None))
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            fields: fields.clone(),
            had: vec![false; columns.len()],
            columns,
            valid: NullBufferBuilder::new(0),
        })
    }

    /// Adds NULL.
    pub(super) fn append_null(&mut self) {
        self.columns.iter_mut().for_each(ColumnBuilder::append_null);
        self.valid.append_null();
    }

    /// The column so far; the builder starts anew.
    pub(super) fn finish(&mut self) -> ArrayRef {
        let columns = self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        Arc::new(StructArray::new(self.fields.clone(), columns, self.valid.finish()))
    }

    fn append_object(&mut self, json: &mut Cursor<'_>, scratch: &mut String) -> Result<(), Box<Unfit>> {
        self.had.fill(false);
        json.open();
        let mut next = 0;
        while !json.is_over() {
            let at = json.at();
            let key = json.key();
            // Keys mostly stand in the order of the fields.
            let index = match self.fields.get(next) {
                Some(field) if *field.name() == *key => Some(next),
                _ => self.fields.iter().position(|field| *field.name() == *key),
            };
            let Some(index) = index else {
                json.value();
                continue;
            };
            next = index + 1;
            let data_type = self.fields[index].data_type();
            let added = if std::mem::replace(&mut self.had[index], true) {
                Err(Unfit::at(at, &key, Why::Twice))
            } else {
                append(&mut self.columns[index], data_type, json, scratch)
            };
            added.map_err(|unfit| unfit.within(&format!(".{key}")))?;
        }
        for (column, had) in self.columns.iter_mut().zip(&self.had) {
            if !had {
                column.append_null();
            }
        }
        self.valid.append_non_null();
        Ok(())
    }
}

impl ListBuilder {
    /// Of such elements; nothing where no text file can have them.
    pub(super) fn new(element: &FieldRef) -> Option<Self> {
        Some(Self {
            column: ColumnBuilder::new(element.data_type(), None)?,
            element: element.clone(),
            count: 0,
            offsets: vec![0],
            valid: NullBufferBuilder::new(0),
        })
    }

    /// Adds NULL.
    pub(super) fn append_null(&mut self) {
        self.offsets.push(self.count);
        self.valid.append_null();
    }

    /// The column so far; the builder starts anew.
    pub(super) fn finish(&mut self) -> ArrayRef {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        self.count = 0;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Arc::new(ListArray::new(
            self.element.clone(),
            offsets,
            self.column.finish(),
            self.valid.finish(),
        ))
    }

    fn append_array(&mut self, json: &mut Cursor<'_>, scratch: &mut String) -> Result<(), Box<Unfit>> {
        json.open();
        let mut index = 0_usize;
        while !json.is_over() {
            index += 1;
            append(&mut self.column, self.element.data_type(), json, scratch)
                .map_err(|unfit| unfit.within(&format!("[{index}]")))?;
            // A batch has far fewer bytes than elements would need to pass this type's end.
            self.count += 1;
        }
        self.offsets.push(self.count);
        self.valid.append_non_null();
        Ok(())
    }
}

impl Unfit {
    fn at(at: usize, text: &str, why: Why) -> Box<Self> {
        Box::new(Self {
            at,
            path: String::new(),
            text: text.to_owned(),
            why,
        })
    }

    /// Of what it is a part of.
    fn within(mut self: Box<Self>, step: &str) -> Box<Self> {
        self.path.insert_str(0, step);
        self
    }
}
