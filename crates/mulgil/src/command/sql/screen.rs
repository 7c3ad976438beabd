//! Lines cut at a width, so that a wide table stays one in a terminal.

use async_trait::async_trait;
use mulgil_core::port::{ByteSink, Fault};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Passes lines on, each cut at a width.
pub(super) struct Screen<'a> {
    to: &'a mut dyn ByteSink,
    width: Option<usize>,
    /// A line whose end has not come yet.
    open: Vec<u8>,
    is_cut: bool,
}

impl<'a> Screen<'a> {
    /// Over a sink; without a width everything passes as it is.
    pub(super) fn new(to: &'a mut dyn ByteSink, width: Option<usize>) -> Self {
        Self {
            to,
            width,
            open: Vec::new(),
            is_cut: false,
        }
    }

    /// Whether a line was cut.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }
}

#[async_trait]
impl ByteSink for Screen<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Some(width) = self.width else {
            return self.to.write(bytes).await;
        };
        self.open.extend_from_slice(bytes);
        let Some(end) = self.open.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(());
        };
        let rest = self.open.split_off(end + 1);
        let lines = std::mem::replace(&mut self.open, rest);
        let mut out = String::with_capacity(lines.len());
        for line in String::from_utf8_lossy(&lines).lines() {
            self.is_cut |= append(&mut out, line, width);
        }
        self.to.write(out.as_bytes()).await
    }
}

/// Appends a line, cut where it is wider; whether it was.
fn append(out: &mut String, line: &str, width: usize) -> bool {
    let is_wider = line.width() > width;
    if is_wider {
        let mut room = width.saturating_sub(1);
        for character in line.chars() {
            let cells = character.width().unwrap_or_default();
            if cells > room {
                break;
            }
            room -= cells;
            out.push(character);
        }
        out.push('…');
    } else {
        out.push_str(line);
    }
    out.push('\n');
    is_wider
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_where_the_terminal_ends() {
        for (line, shown, is_cut) in [
            (" a │ b", " a │ b\n", false),
            ("123456789", "1234567…\n", true),
            ("서울특별시", "서울특…\n", true),
            ("서울특별", "서울특별\n", false),
        ] {
            let mut out = String::new();
            assert_eq!(append(&mut out, line, 8), is_cut, "{line}");
            assert_eq!(out, shown);
        }
    }
}
