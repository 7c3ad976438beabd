//! A way through the text of one JSON value that is known to be whole: its keys and elements one
//! after the other, without building anything.

use std::borrow::Cow;

/// A place in the text of a value.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Before a value.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Where it is, in bytes of the text.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next byte that is no white space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// Goes into the array or object that is next.
    pub(super) fn open(&mut self) {
        self.peek();
        self.at += 1;
    }

    /// Whether an array or object ends here, and behind it if so; else to its next part.
    pub(super) fn is_over(&mut self) -> bool {
        if self.peek() == Some(b',') {
            self.at += 1;
        }
        match self.peek() {
            Some(b']' | b'}') => {
                self.at += 1;
                true
            }
            Some(_) => false,
            None => true,
        }
    }

    /// The key that is next; its value follows.
    pub(super) fn key(&mut self) -> Cow<'a, str> {
        let raw = self.value();
        if self.peek() == Some(b':') {
            self.at += 1;
        }
        let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
        if inner.contains('\\') {
            serde_json::from_str(raw).map_or(Cow::Borrowed(inner), Cow::Owned)
        } else {
            Cow::Borrowed(inner)
        }
    }

    /// The text of the value that is next, and behind it.
    pub(super) fn value(&mut self) -> &'a str {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"') => self.pass_text(),
            Some(b'{' | b'[') => self.pass_nested(),
            _ => self.pass_word(),
        }
        &self.text[start..self.at]
    }

    fn pass_text(&mut self) {
        let bytes = self.text.as_bytes();
        self.at += 1;
        while let Some(byte) = bytes.get(self.at) {
            self.at += match byte {
                b'"' => {
                    self.at += 1;
                    return;
                }
                b'\\' => 2,
                _ => 1,
            };
        }
        self.at = bytes.len();
    }

    fn pass_nested(&mut self) {
        let bytes = self.text.as_bytes();
        let mut depth = 0_usize;
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.pass_text();
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// Over a number, `true`, `false` or `null`.
    fn pass_word(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b':') || byte.is_ascii_whitespace();
        self.at += rest.iter().position(ends).unwrap_or(rest.len());
    }
}
