//! JSON lines: one object per line. Takes each line apart into its keys and the text of their
//! values; nested objects and arrays stay text. Knows nothing of types.

use std::{borrow::Cow, fmt};

use mulgil_core::port::Fault;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::{
    cell::Cell,
    fault::{Misfit, Origin, Spot, shown},
    files::Input,
    window::{Window, spot_in},
};

/// A file, object by object.
pub(super) struct JsonFile {
    window: Window,
    line_bytes: usize,
}

/// The current object.
pub(super) struct Object<'a> {
    text: &'a str,
    line: u32,
    /// Its keys and the text of their values, as written.
    pub entries: Vec<(Cow<'a, str>, &'a str)>,
}

impl JsonFile {
    /// Over an open file.
    pub(super) fn open(file: Input, origin: Origin) -> Result<Self, Fault> {
        Ok(Self {
            window: Window::open(file, origin)?,
            line_bytes: 0,
        })
    }

    /// The next object; nothing at the end. Blank lines are passed over.
    pub(super) fn next(&mut self) -> Result<Option<Object<'_>>, Fault> {
        loop {
            self.window.pass(self.line_bytes);
            self.line_bytes = 0;
            while !self.window.bytes().contains(&b'\n') && !self.window.is_at_end() {
                self.window.grow()?;
            }
            let bytes = self.window.bytes();
            if bytes.is_empty() {
                return Ok(None);
            }
            let newline = bytes.iter().position(|byte| *byte == b'\n');
            self.line_bytes = newline.map_or(bytes.len(), |at| at + 1);
            if !bytes[..self.line_bytes].iter().all(u8::is_ascii_whitespace) {
                return self.object().map(Some);
            }
        }
    }

    fn object(&self) -> Result<Object<'_>, Fault> {
        let bytes = &self.window.bytes()[..self.line_bytes];
        let line = self.window.line;
        let text = std::str::from_utf8(bytes).map_err(|error| {
            self.window.origin.broken_row(
                spot_in(bytes, line, error.valid_up_to()),
                format!(
                    "a line is not text in UTF-8: {}",
                    shown(&String::from_utf8_lossy(bytes))
                ),
                "write the file in UTF-8",
            )
        })?;
        let text = text.trim_end_matches(['\n', '\r']);
        match serde_json::from_str::<Keys<'_>>(text) {
            Ok(Keys(keys)) => {
                let entries = keys.into_iter().zip(values(text)).collect();
                Ok(Object { text, line, entries })
            }
            Err(error) => Err(self.not_an_object(text, &error)),
        }
    }

    fn not_an_object(&self, text: &str, error: &serde_json::Error) -> Fault {
        let spot = spot_in(text.as_bytes(), self.window.line, error.column().saturating_sub(1));
        let message = error.to_string();
        let why = message.split(" at line ").next().unwrap_or_default();
        let remedy = if text.trim_start().starts_with('[') {
            "write one object per line, without the array around them"
        } else {
            "write one whole JSON object per line"
        };
        self.window.origin.broken_row(
            spot,
            format!("a line is no JSON object: {why}: {}", shown(text)),
            remedy,
        )
    }
}

impl Object<'_> {
    /// The value of an entry: a string's text goes through `scratch` when it has escapes. Half of
    /// a surrogate pair is a misfit.
    pub(super) fn cell<'b>(&'b self, index: usize, scratch: &'b mut String) -> Result<Cell<'b>, Misfit> {
        let raw = self.entries[index].1;
        Ok(match raw.as_bytes().first() {
            Some(b'n') => Cell::Null,
            Some(b'"') if raw.contains('\\') => {
                *scratch = serde_json::from_str(raw).map_err(|_| Misfit)?;
                Cell::Text(scratch)
            }
            Some(b'"') => Cell::Text(&raw[1..raw.len() - 1]),
            _ => Cell::Plain(raw),
        })
    }

    /// Its length in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Where the value of an entry begins.
    pub(super) fn spot(&self, index: usize) -> Spot {
        let start = self.entries[index].1.as_ptr() as usize - self.text.as_ptr() as usize;
        spot_in(self.text.as_bytes(), self.line, start)
    }

    /// Where the object begins.
    pub(super) fn start(&self) -> Spot {
        spot_in(self.text.as_bytes(), self.line, 0)
    }
}

/// The text of each value of an object, in order. The text is known to be one JSON object.
fn values(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut values, mut depth, mut in_text, mut start) = (Vec::new(), 0_usize, false, None);
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_text => at += 1,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => depth += 1,
            b':' if depth == 1 => start = Some(at + 1),
            byte @ (b'}' | b']' | b',') => {
                if depth == 1
                    && let Some(start) = start.take()
                {
                    values.push(text[start..at].trim());
                }
                depth -= usize::from(byte != b',');
            }
            _ => {}
        }
        at += 1;
    }
    values
}

/// The keys of an object, each once; its values are only checked.
struct Keys<'a>(Vec<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Keys<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeysVisitor;

        impl<'de> Visitor<'de> for KeysVisitor {
            type Value = Vec<Cow<'de, str>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut keys: Self::Value = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    map.next_value::<IgnoredAny>()?;
                    if keys.contains(&key) {
                        return Err(A::Error::custom(format!("the key `{key}` is there twice")));
                    }
                    keys.push(key);
                }
                Ok(keys)
            }
        }

        deserializer.deserialize_map(KeysVisitor).map(Keys)
    }
}

/// A key, borrowed where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }

        deserializer.deserialize_str(KeyVisitor).map(Key)
    }
}
