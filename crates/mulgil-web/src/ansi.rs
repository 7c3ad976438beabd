//! Log lines with the sequences of terminals in them, as pieces of text with a style.
//!
//! Colours, bold, dim, italic and underline are kept. All else that a terminal would obey (moving the cursor,
//! titles, links, hiding text) is left out, and what is left of a sequence that was cut is left out too. Text is
//! never lost: only what stands inside a sequence goes, and no sequence reaches further than a terminal would
//! let it.

use maud::{Markup, Render, html};

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Its colour, 0 to 15.
    pub ink: Option<u8>,
    /// The colour behind it, 0 to 15.
    pub ground: Option<u8>,
    /// Bold.
    pub is_bold: bool,
    /// Dim.
    pub is_dim: bool,
    /// Italic.
    pub is_italic: bool,
    /// Underlined.
    pub is_underlined: bool,
}

/// Text of one style.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// How it looks.
    pub style: Style,
    /// What it says; no control character but tabs and, where a line was written over itself, line ends.
    pub text: String,
}

/// Parameters of one sequence that are heeded.
const PARAMETERS: usize = 32;
/// How far the end of a terminal's string (a title, a link) is looked for; one without an end is text.
const STRING_BYTES: usize = 4_096;

/// Takes a line apart.
pub fn pieces(line: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut style = Style::default();
    let mut rest = line.trim_end_matches(['\r', '\n']);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\u{1b}' => sequence(rest, &mut style),
            '\u{9b}' => control_sequence(rest, first.len_utf8(), &mut style),
            _ => {
                push(&mut pieces, style, visible(first));
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    pieces
}

/// A line as HTML.
pub fn line(text: &str) -> Markup {
    html! {
        @for piece in pieces(text) {
            @if piece.style == Style::default() { (piece.text) } @else { span class=(piece.style) { (piece.text) } }
        }
    }
}

impl Render for Style {
    fn render_to(&self, to: &mut String) {
        let mut names = Vec::new();
        names.extend(self.ink.map(|ink| format!("ink-{ink}")));
        names.extend(self.ground.map(|ground| format!("ground-{ground}")));
        let flags = [
            (self.is_bold, "bold"),
            (self.is_dim, "dim"),
            (self.is_italic, "italic"),
            (self.is_underlined, "underlined"),
        ];
        names.extend(
            flags
                .into_iter()
                .filter(|(is_set, _)| *is_set)
                .map(|(_, name)| name.to_owned()),
        );
        to.push_str(&names.join(" "));
    }
}

fn push(pieces: &mut Vec<Piece>, style: Style, text: char) {
    match pieces.last_mut() {
        Some(last) if last.style == style => last.text.push(text),
        _ => pieces.push(Piece {
            style,
            text: text.into(),
        }),
    }
}

/// What is shown of a character: control characters as their pictures. A line that was written over itself
/// (`\r`, a progress bar) becomes several.
fn visible(character: char) -> char {
    match character {
        '\t' => '\t',
        '\r' | '\n' => '\n',
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + character as u32).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        '\u{80}'..='\u{9f}' => '\u{fffd}',
        _ => character,
    }
}

/// How long the sequence is that begins here with an escape; colours and the like are taken into the style.
fn sequence(text: &str, style: &mut Style) -> usize {
    let bytes = text.as_bytes();
    match bytes.get(1) {
        Some(b'[') => control_sequence(text, 2, style),
        Some(b']' | b'P' | b'X' | b'^' | b'_') => string(bytes).unwrap_or(2),
        Some(0x20..=0x2f) => {
            let end = 1 + bytes[1..].iter().take_while(|byte| matches!(byte, 0x20..=0x2f)).count();
            end + usize::from(matches!(bytes.get(end), Some(0x30..=0x7e)))
        }
        Some(0x30..=0x7e) => 2,
        Some(_) | None => 1,
    }
}

/// A control sequence whose parameters begin at `from`. It ends with its last byte, or before the first one that
/// cannot be part of it.
fn control_sequence(text: &str, from: usize, style: &mut Style) -> usize {
    let bytes = text.as_bytes();
    let count = |from: usize, range: std::ops::RangeInclusive<u8>| {
        bytes[from..].iter().take_while(|byte| range.contains(byte)).count()
    };
    let parameters = from + count(from, 0x30..=0x3f);
    let end = parameters + count(parameters, 0x20..=0x2f);
    match bytes.get(end) {
        Some(b'm') if end == parameters => {
            apply(&text[from..parameters], style);
            end + 1
        }
        Some(0x40..=0x7e) => end + 1,
        Some(_) | None => end,
    }
}

/// How long a string for the terminal is: up to BEL or ST.
fn string(bytes: &[u8]) -> Option<usize> {
    let within = &bytes[..bytes.len().min(STRING_BYTES)];
    let end = within.iter().skip(2).position(|&byte| byte == 0x07 || byte == 0x1b)? + 2;
    match (within[end], within.get(end + 1)) {
        (0x07, _) => Some(end + 1),
        (_, Some(b'\\')) => Some(end + 2),
        _ => Some(end),
    }
}

/// Takes the parameters of a sequence of style over, as far as they are numbers.
fn apply(parameters: &str, style: &mut Style) {
    if !parameters
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b';' || byte == b':')
    {
        return;
    }
    let mut groups = parameters.split(';').take(PARAMETERS).map(|group| {
        group
            .split(':')
            .map(|number| number.parse::<u16>().unwrap_or(0))
            .collect::<Vec<_>>()
    });
    while let Some(group) = groups.next() {
        match (group[0], group.len()) {
            (code @ (38 | 48), 1) => {
                let kind = groups.next().map_or(0, |group| group[0]);
                let values = match kind {
                    5 => 1,
                    2 => 3,
                    _ => 0,
                };
                let values: Vec<_> = groups.by_ref().take(values).map(|group| group[0]).collect();
                set_colour(style, code, (kind == 5).then(|| values.first().copied()).flatten());
            }
            (code @ (38 | 48), _) => {
                let number = (group[1] == 5).then(|| group.get(2).copied()).flatten();
                set_colour(style, code, number);
            }
            (4, 2..) => style.is_underlined = group[1] != 0,
            (code, _) => set(style, code),
        }
    }
}

/// A colour by its number. Only the first sixteen are ours; another one leaves the text as it is by default.
fn set_colour(style: &mut Style, code: u16, number: Option<u16>) {
    let colour = number
        .and_then(|number| u8::try_from(number).ok())
        .filter(|&number| number < 16);
    match code {
        38 => style.ink = colour,
        _ => style.ground = colour,
    }
}

fn set(style: &mut Style, code: u16) {
    match code {
        0 => *style = Style::default(),
        1 => style.is_bold = true,
        2 => style.is_dim = true,
        3 => style.is_italic = true,
        4 | 21 => style.is_underlined = true,
        22 => (style.is_bold, style.is_dim) = (false, false),
        23 => style.is_italic = false,
        24 => style.is_underlined = false,
        30..=37 => style.ink = Some((code - 30) as u8),
        39 => style.ink = None,
        40..=47 => style.ground = Some((code - 40) as u8),
        49 => style.ground = None,
        90..=97 => style.ink = Some((code - 90 + 8) as u8),
        100..=107 => style.ground = Some((code - 100 + 8) as u8),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{line, pieces};

    fn text(of: &str) -> String {
        pieces(of).into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn colours_and_weights_become_classes() {
        insta::assert_snapshot!(line("a \u{1b}[1;31mred <b>\u{1b}[0m \u{1b}[38;5;12mblue\u{1b}[39;4m under\u{1b}[24m").into_string(),
            @r#"a <span class="ink-1 bold">red &lt;b&gt;</span> <span class="ink-12">blue</span><span class="underlined"> under</span>"#);
    }

    #[test]
    fn what_is_no_style_is_left_out() {
        for (of, shown) in [
            ("\u{1b}[2J\u{1b}[1;1Hhome", "home"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;https://evil.example\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}(Btext", "text"),
            ("\u{1b}[8mhidden", "hidden"),
            ("\u{1b}[38;2;1;2;3mrgb", "rgb"),
            ("\u{1b}[38:2::1:2:3mrgb", "rgb"),
            ("\u{1b}[?25lcursor", "cursor"),
        ] {
            assert_eq!(text(of), shown, "{of:?}");
            assert!(
                pieces(of).iter().all(|piece| piece.style == super::Style::default()),
                "{of:?}"
            );
        }
    }

    #[test]
    fn a_sequence_that_was_cut_takes_no_text_with_it() {
        assert_eq!(text("text\u{1b}"), "text");
        assert_eq!(text("text\u{1b}["), "text");
        assert_eq!(text("text\u{1b}[31"), "text");
        assert_eq!(text("\u{1b}[31가나다"), "가나다");
        assert_eq!(text("\u{1b}]0;no end of it"), "0;no end of it");
        assert_eq!(text("\u{1b}가"), "가");
    }

    #[test]
    fn control_characters_are_seen_and_do_nothing() {
        assert_eq!(text("10%\r20%\r100%\r\n"), "10%\n20%\n100%");
        assert_eq!(text("a\u{0}b\u{8}c\u{7f}d\u{85}"), "a␀b␈c␡d\u{fffd}");
    }

    fn sequences() -> impl Strategy<Value = String> {
        prop_oneof![
            "\u{1b}\\[[0-9;:]{0,12}m",
            "\u{1b}\\[[?]?[0-9;]{0,6}[A-HJKSTfhlsu]",
            "\u{1b}\\][0-9];[a-z<>\"&]{0,12}\u{7}",
            "\u{1b}\\([AB0]",
        ]
    }

    proptest! {
        #[test]
        fn the_text_between_sequences_is_kept(parts in prop::collection::vec(("[^\u{0}-\u{1f}\u{7f}-\u{9f}]{0,12}", sequences()), 0..12)) {
            let with: String = parts.iter().map(|(text, sequence)| format!("{text}{sequence}")).collect();
            let without: String = parts.iter().map(|(text, _)| text.as_str()).collect();
            prop_assert_eq!(text(&with), without);
        }

        #[test]
        fn nothing_reaches_the_page_unescaped(of in "(\u{1b}\\[?|[<>&\"'mA;0-9\\]\u{7}\u{0}\r가]|\\PC){0,60}") {
            let html = line(&of).into_string();
            let mut inside = html.as_str();
            while let Some(at) = inside.find('<') {
                let tag = &inside[at..=at + inside[at..].find('>').unwrap()];
                prop_assert!(tag == "</span>" || tag.strip_prefix("<span class=\"").and_then(|rest| rest.strip_suffix("\">"))
                    .is_some_and(|names| names.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" -".contains(&byte))), "{tag}");
                inside = &inside[at + tag.len()..];
            }
            prop_assert!(!html.chars().any(|c| c.is_control() && c != '\t' && c != '\n'));
        }
    }
}
