//! What the values of a column have in common, nested ones too: the keys of its objects, the elements
//! of its arrays.

use datafusion::arrow::datatypes::DataType;

use super::{
    json::cell,
    types::Seen,
    value::Cursor,
    words::{MAX_DEPTH, array_type, struct_type},
};

/// Keys that the objects of one place may have in all. What has more uses them as data, and stays
/// text.
const MAX_KEYS: usize = 256;

/// Keys that a column may have in all its objects together; one with more stays text.
const MAX_COLUMN_KEYS: usize = 1_024;

/// What the values of one place have in common, as far as they were seen.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    /// They have no parts.
    Flat(Seen),
    /// Arrays, with what their elements have in common.
    Array(Box<Form>),
    /// Objects, with the keys of all of them in the order in which they came.
    Object(Vec<(String, Form)>),
}

/// What two values of a place have in common.
pub(super) type And = fn(Seen, Seen) -> Seen;

impl Default for Form {
    fn default() -> Self {
        Self::Flat(Seen::Nothing)
    }
}

impl Form {
    /// Takes in one value of a JSON file.
    pub(super) fn see(&mut self, value: &str, and: And, scratch: &mut String) {
        self.see_next(&mut Cursor::new(value), 0, and, scratch);
    }

    /// What both have in common.
    pub(super) fn join(self, other: Self, and: And) -> Self {
        match (self, other) {
            (Self::Flat(a), Self::Flat(b)) => Self::Flat(and(a, b)),
            (Self::Flat(Seen::Nothing), form) | (form, Self::Flat(Seen::Nothing)) => form,
            (Self::Array(a), Self::Array(b)) => Self::Array(Box::new(a.join(*b, Seen::and))),
            (Self::Object(a), Self::Object(b)) => join_keys(a, b),
            (Self::Flat(_) | Self::Array(_) | Self::Object(_), _) => Self::Flat(Seen::Text),
        }
    }

    /// The type of a column whose values are so: where nothing is known of an array's elements or an
    /// object's keys, it is text.
    pub(super) fn data_type(self) -> DataType {
        if self.keys() > MAX_COLUMN_KEYS {
            return DataType::Utf8;
        }
        match self {
            Self::Flat(seen) => seen.data_type(),
            Self::Array(element) if *element == Self::default() => DataType::Utf8,
            Self::Array(element) => array_type(element.data_type()),
            Self::Object(keys) if keys.is_empty() => DataType::Utf8,
            Self::Object(keys) => struct_type(keys.into_iter().map(|(key, form)| (key, form.data_type()))),
        }
    }

    fn keys(&self) -> usize {
        match self {
            Self::Flat(_) => 0,
            Self::Array(element) => element.keys(),
            Self::Object(keys) => keys.iter().map(|(_, form)| 1 + form.keys()).sum(),
        }
    }

    fn see_next(&mut self, json: &mut Cursor<'_>, depth: usize, and: And, scratch: &mut String) {
        let is_known_text = *self == Self::Flat(Seen::Text);
        match json.peek() {
            Some(b'{' | b'[') if is_known_text || depth >= MAX_DEPTH => {
                json.value();
                *self = Self::Flat(Seen::Text);
            }
            Some(b'{') => self.see_object(json, depth, scratch),
            Some(b'[') => self.see_array(json, depth, scratch),
            _ => {
                let seen = cell(json.value(), scratch).map_or(Seen::Text, Seen::of);
                match self {
                    Self::Flat(known) => *known = and(*known, seen),
                    Self::Array(_) | Self::Object(_) if seen == Seen::Nothing => {}
                    Self::Array(_) | Self::Object(_) => *self = Self::Flat(Seen::Text),
                }
            }
        }
    }

    fn see_array(&mut self, json: &mut Cursor<'_>, depth: usize, scratch: &mut String) {
        if *self == Self::default() {
            *self = Self::Array(Box::default());
        }
        let Self::Array(element) = self else {
            json.value();
            *self = Self::Flat(Seen::Text);
            return;
        };
        json.open();
        while !json.is_over() {
            element.see_next(json, depth + 1, Seen::and, scratch);
        }
    }

    fn see_object(&mut self, json: &mut Cursor<'_>, depth: usize, scratch: &mut String) {
        if *self == Self::default() {
            *self = Self::Object(Vec::new());
        }
        let Self::Object(keys) = self else {
            json.value();
            *self = Self::Flat(Seen::Text);
            return;
        };
        json.open();
        let mut next = 0;
        while !json.is_over() {
            let key = json.key();
            // Keys mostly stand in the same order.
            let at = match keys.get(next) {
                Some((name, _)) if *name == *key => Some(next),
                _ => keys.iter().position(|(name, _)| *name == *key),
            };
            let at = at.unwrap_or_else(|| {
                keys.push((key.into_owned(), Self::default()));
                keys.len() - 1
            });
            if at < MAX_KEYS {
                keys[at].1.see_next(json, depth + 1, Seen::and, scratch);
            } else {
                json.value();
            }
            next = at + 1;
        }
        if keys.len() > MAX_KEYS {
            *self = Self::Flat(Seen::Text);
        }
    }
}

fn join_keys(mut keys: Vec<(String, Form)>, other: Vec<(String, Form)>) -> Form {
    for (key, form) in other {
        match keys.iter_mut().find(|(name, _)| *name == key) {
            Some((_, known)) => *known = std::mem::take(known).join(form, Seen::and),
            None => keys.push((key, form)),
        }
    }
    if keys.len() > MAX_KEYS {
        Form::Flat(Seen::Text)
    } else {
        Form::Object(keys)
    }
}
