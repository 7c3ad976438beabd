//! Places in texts, and words that look like a mistyped one.

use std::path::Path;

use mulgil_core::diagnostic::Place;

/// Where a byte offset lies in a text, as a place in that file.
pub(crate) fn place_of(file: &Path, text: &str, offset: usize) -> Place {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Place::at(file, line as u32, column as u32)
}

/// Where the first letter of a line lies, with the line counted from 1.
pub(crate) fn place_of_line(file: &Path, text: &str, line: usize) -> Place {
    let content = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let column = content.chars().take_while(|letter| letter.is_whitespace()).count() + 1;
    Place::at(file, line as u32, column as u32)
}

/// The candidate that looks most like the word, when one is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = word.to_lowercase();
    let reach = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word)
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&folded, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= reach)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The words as people list them: `a`, `b` and `c`; cut after eight.
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let mut quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    if quoted.len() > SHOWN {
        let rest = quoted.len() - SHOWN;
        quoted.truncate(SHOWN);
        return format!("{} and {rest} more", quoted.join(", "));
    }
    match quoted.pop() {
        None => "none".to_owned(),
        Some(only) if quoted.is_empty() => only,
        Some(last) => format!("{} and {last}", quoted.join(", ")),
    }
}

/// Whether a name has only letters, digits and `_` of ASCII and does not begin with a digit.
pub(crate) fn is_name(text: &str) -> bool {
    text.bytes()
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && text
            .bytes()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_characters_and_lines_from_one() {
        let place = place_of(Path::new("a.sql"), "é\nab물x", 8);
        assert_eq!(place.to_string(), "a.sql:2:4");
    }

    #[test]
    fn the_nearest_word_is_near_or_absent() {
        assert_eq!(nearest("orderz", ["orders", "customers"]), Some("orders"));
        assert_eq!(nearest("matrialized", ["materialized", "tags"]), Some("materialized"));
        assert_eq!(nearest("zebra", ["orders", "customers"]), None);
        assert_eq!(nearest("tz", ["to", "at"]), Some("to"));
    }

    #[test]
    fn words_are_listed_as_people_do() {
        assert_eq!(listed([]), "none");
        assert_eq!(listed(["a"]), "`a`");
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
