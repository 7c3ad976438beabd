//! Patterns of file names, as dbt has them: `*` any text, `?` one letter, `[ab]` one of these,
//! `[!ab]` none of these.

/// Whether a text is a pattern, and not just a name.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether a text fits a pattern as a whole. Letters are compared as they are.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let pattern = pieces(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut of) = (0, 0);
    // Where the last `*` stands, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while of < text.len() {
        match pattern.get(at) {
            Some(Piece::Any) => {
                star = Some((at, of));
                at += 1;
            }
            Some(piece) if piece.takes(text[of]) => {
                at += 1;
                of += 1;
            }
            Some(_) | None => {
                let Some((star_at, taken)) = star else {
                    return false;
                };
                star = Some((star_at, taken + 1));
                at = star_at + 1;
                of = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|piece| *piece == Piece::Any)
}

/// Whether a path, or a folder above it, fits a pattern: `*` stays inside one folder, `**` is any
/// number of them.
pub(super) fn fits_path(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], _) => true,
        (["**", "**", ..], _) => fits_path(&pattern[1..], path),
        (["**", rest @ ..], []) => fits_path(rest, path),
        ([_, ..], []) => false,
        (["**", rest @ ..], [_, below @ ..]) => fits_path(rest, path) || fits_path(pattern, below),
        ([first, rest @ ..], [folder, below @ ..]) => fits(first, folder) && fits_path(rest, below),
    }
}

#[derive(Debug, PartialEq)]
enum Piece {
    Any,
    One,
    Letter(char),
    Set {
        is_none_of: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Piece {
    fn takes(&self, letter: char) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Letter(own) => *own == letter,
            Self::Set { is_none_of, ranges } => {
                *is_none_of != ranges.iter().any(|(from, to)| (*from..=*to).contains(&letter))
            }
        }
    }
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let letters: Vec<char> = pattern.chars().collect();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < letters.len() {
        let (piece, length) = match letters[at] {
            '*' => (Piece::Any, 1),
            '?' => (Piece::One, 1),
            '[' => set(&letters[at..]).unwrap_or((Piece::Letter('['), 1)),
            letter => (Piece::Letter(letter), 1),
        };
        out.push(piece);
        at += length;
    }
    out
}

/// The set at the start of a text and how long it is; none where it is not closed.
fn set(letters: &[char]) -> Option<(Piece, usize)> {
    let is_none_of = letters.get(1) == Some(&'!');
    let start = if is_none_of { 2 } else { 1 };
    let end = start + letters.get(start..)?.iter().position(|letter| *letter == ']')?;
    let (mut ranges, mut rest) = (Vec::new(), &letters[start..end]);
    while let [from, after @ ..] = rest {
        if let ['-', to, after @ ..] = after {
            ranges.push((*from, *to));
            rest = after;
        } else {
            ranges.push((*from, *from));
            rest = after;
        }
    }
    Some((Piece::Set { is_none_of, ranges }, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_what_dbt_takes() {
        let is = |pattern, text| assert!(fits(pattern, text), "{pattern} {text}");
        let is_not = |pattern, text| assert!(!fits(pattern, text), "{pattern} {text}");
        is("*", "");
        is("or*rs", "orders");
        is("*_daily", "sales_daily_daily");
        is("sales_?", "sales_a");
        is("sales_[a-c]", "sales_b");
        is("sales_[!a-c]", "sales_d");
        is("a[", "a[");
        is("매출_*", "매출_일별");
        is_not("sales_?", "sales_");
        is_not("sales", "sales_a");
        is_not("Sales", "sales");
        is_not("sales_[!a-c]", "sales_b");
        is_not("*a*b*c", "aaabbb");
    }

    #[test]
    fn stars_in_paths_stay_in_their_folder() {
        let path = ["models", "staging", "shop", "orders.sql"];
        for pattern in [
            "models",
            "models/staging",
            "models/*/shop",
            "models/**/orders.sql",
            "**/o*",
            "*/*",
        ] {
            let parts: Vec<&str> = pattern.split('/').collect();
            assert!(fits_path(&parts, &path), "{pattern}");
        }
        for pattern in [
            "staging",
            "models/stag",
            "models/*/orders.sql",
            "models/staging/shop/orders.sql/x",
        ] {
            let parts: Vec<&str> = pattern.split('/').collect();
            assert!(!fits_path(&parts, &path), "{pattern}");
        }
    }
}
