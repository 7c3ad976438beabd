//! Hides secret values in a stream of bytes, however it is cut into pieces.
//!
//! What may be the beginning of a secret is held back until the next bytes tell. Masking is a net, not a
//! wall: a task that transforms a value in a way that is not listed here can still print it.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, MatchKind};
use mulgil_core::{codes, diagnostic::Diagnostic};

/// What stands in the place of a secret.
const MASK: &[u8] = b"***";

/// Shorter values are not masked: they would hide ordinary words, and tell themselves by that.
pub(crate) const MIN_SECRET_CHARS: usize = 6;

/// The encoded forms of a value say less per byte.
const MIN_FORM_BYTES: usize = 6;

/// A warning for each value that is too short to be masked, which is named by its place in the list.
pub fn too_short(secrets: &[String]) -> Vec<Diagnostic> {
    let warn = |(index, _): (usize, &String)| {
        let message = format!(
            "secret {} of this task is shorter than {MIN_SECRET_CHARS} characters, so it is not masked in its log",
            index + 1
        );
        Diagnostic::warning(codes::SECRET_TOO_SHORT, message).with_remedy("use a longer value")
    };
    let short = |(_, secret): &(usize, &String)| !secret.is_empty() && !is_long_enough(secret.trim());
    secrets.iter().enumerate().filter(short).map(warn).collect()
}

/// The forms of all secrets of a task.
pub(crate) struct Forms {
    /// Sorted, so that what begins one is found quickly.
    sorted: Vec<Vec<u8>>,
    longest: usize,
    finder: Option<AhoCorasick>,
}

/// Masks one stream.
#[derive(Default)]
pub(crate) struct Masker {
    held: Vec<u8>,
}

impl Forms {
    /// Prepares to find the values in all their forms.
    pub(crate) fn new(secrets: &[String]) -> Self {
        let sorted: Vec<Vec<u8>> = secrets
            .iter()
            .flat_map(|secret| forms(secret))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        // It fails only for more forms than it can count. Then nothing is written that may hold one.
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&sorted)
            .ok();
        Self {
            longest: sorted.iter().map(Vec::len).max().unwrap_or(0),
            sorted,
            finder,
        }
    }

    /// Masks a text that stands by itself.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut out = Vec::new();
        let mut masker = Masker::default();
        masker.feed(self, text.as_bytes(), &mut out);
        masker.finish(self, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Masks every text in a value. A number that is a secret becomes a masked text.
    pub(crate) fn json(&self, value: &mut serde_json::Value) {
        use serde_json::Value;
        match value {
            _ if self.sorted.is_empty() => {}
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                let (text, masked) = (number.to_string(), self.text(&number.to_string()));
                if text != masked {
                    *value = Value::String(masked);
                }
            }
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.json(item)),
            Value::Object(fields) => {
                let masked = std::mem::take(fields).into_iter().map(|(name, mut field)| {
                    self.json(&mut field);
                    (self.text(&name), field)
                });
                *fields = masked.collect();
            }
        }
    }

    /// Where the longest end of these bytes begins that may still grow into a form.
    fn undecided_from(&self, bytes: &[u8]) -> usize {
        let reach = bytes.len().min(self.longest.saturating_sub(1));
        let may_grow = |from: &usize| {
            let end = &bytes[*from..];
            let next = self.sorted.partition_point(|form| form.as_slice() <= end);
            self.sorted.get(next).is_some_and(|form| form.starts_with(end))
        };
        (bytes.len() - reach..bytes.len()).find(may_grow).unwrap_or(bytes.len())
    }
}

impl Masker {
    /// Adds to `out` what of these bytes, and of those held back, is decided.
    pub(crate) fn feed(&mut self, forms: &Forms, bytes: &[u8], out: &mut Vec<u8>) {
        if forms.sorted.is_empty() {
            out.extend_from_slice(bytes);
            return;
        }
        let Some(finder) = &forms.finder else {
            out.extend_from_slice(MASK);
            return;
        };
        let joined;
        let all = if self.held.is_empty() {
            bytes
        } else {
            self.held.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.held);
            &joined
        };
        let undecided = forms.undecided_from(all);
        let mut done = 0;
        for found in finder.find_iter(all) {
            if found.start() >= undecided {
                break;
            }
            out.extend_from_slice(&all[done..found.start()]);
            out.extend_from_slice(MASK);
            done = found.end();
        }
        let kept = done.max(undecided);
        out.extend_from_slice(&all[done..kept]);
        self.held = all[kept..].to_vec();
    }

    /// Adds what was held back: nothing follows.
    pub(crate) fn finish(&mut self, forms: &Forms, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        if let Some(finder) = forms.finder.as_ref().filter(|_| !held.is_empty()) {
            out.extend_from_slice(&finder.replace_all_bytes(&held, &[MASK].repeat(forms.sorted.len())));
        }
    }
}

fn is_long_enough(text: &str) -> bool {
    text.chars().count() >= MIN_SECRET_CHARS
}

/// A value as it stands, trimmed, line by line, and each as URLs, JSON, shells and base64 write it.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let plain = [secret, secret.trim()].into_iter().chain(secret.lines().map(str::trim));
    let mut forms = Vec::new();
    for text in plain.filter(|text| is_long_enough(text)) {
        forms.push(text.as_bytes().to_vec());
        forms.push(text.replace('\'', "'\\''").into_bytes());
        forms.extend(json_forms(text));
        for (upper, plus) in [(true, false), (false, false), (true, true), (false, true)] {
            forms.push(url_form(text, upper, plus));
        }
        forms.extend(base64_forms(text.as_bytes()));
    }
    forms.retain(|form| form.len() >= MIN_FORM_BYTES);
    forms
}

/// As JSON writes it inside quotes: as it is, with other letters than ASCII escaped, and with `/` escaped.
fn json_forms(text: &str) -> [Vec<u8>; 3] {
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted[1..quoted.len() - 1].to_owned();
    let mut ascii = String::new();
    for letter in inner.chars() {
        if letter.is_ascii() {
            ascii.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            ascii.push_str(&format!("\\u{unit:04x}"));
        }
    }
    let slashes = inner.replace('/', "\\/");
    [inner.into_bytes(), ascii.into_bytes(), slashes.into_bytes()]
}

fn url_form(text: &str, upper: bool, plus: bool) -> Vec<u8> {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' if plus => out.push('+'),
            _ if upper => out.push_str(&format!("%{byte:02X}")),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out.into_bytes()
}

/// The letters that a value gives in base64 whatever stands before and after it, in both alphabets.
fn base64_forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const FOR_URLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut forms = Vec::new();
    for alphabet in [STANDARD, FOR_URLS] {
        for offset in 0..3_usize {
            let bit = |at: usize| bytes[at / 8] >> (7 - at % 8) & 1;
            // The first bits of the value belong to a letter that also holds bits from before it.
            let skipped = (6 - offset * 8 % 6) % 6;
            let letters = (bytes.len() * 8 - skipped) / 6;
            let letter = |index: usize| {
                let value = (0..6).fold(0, |value, at| value << 1 | bit(skipped + index * 6 + at));
                alphabet[usize::from(value)]
            };
            forms.push((0..letters).map(letter).collect());
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(secrets: &[&str], pieces: &[&[u8]]) -> String {
        let forms = Forms::new(&secrets.iter().map(|secret| (*secret).to_owned()).collect::<Vec<_>>());
        let (mut masker, mut out) = (Masker::default(), Vec::new());
        for piece in pieces {
            masker.feed(&forms, piece, &mut out);
        }
        masker.finish(&forms, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_secret_cut_anywhere_leaks_nothing() {
        let text = "before hunter2-long after";
        for cut in 0..text.len() {
            let pieces = [&text.as_bytes()[..cut], &text.as_bytes()[cut..]];
            assert_eq!(masked(&["hunter2-long"], &pieces), "before *** after", "cut at {cut}");
        }
    }

    #[test]
    fn only_what_may_become_a_secret_is_held_back() {
        let forms = Forms::new(&["hunter2-long".to_owned()]);
        let (mut masker, mut out) = (Masker::default(), Vec::new());
        masker.feed(&forms, b"ready> hunt", &mut out);
        assert_eq!(out, b"ready> ");
        masker.feed(&forms, b"ing", &mut out);
        assert_eq!(out, b"ready> hunting");
    }

    #[test]
    fn the_longer_of_two_secrets_wins() {
        assert_eq!(masked(&["abcdef", "abcdefghi"], &[b"abcdef", b"ghi."]), "***.");
        assert_eq!(masked(&["abcdef", "abcdefghi"], &[b"abcdef", b"gh."]), "***gh.");
    }

    #[test]
    fn encoded_forms_are_masked() {
        let secret = "p/ss wörd\"1";
        assert_eq!(masked(&[secret], &[b"p%2Fss%20w%C3%B6rd%221"]), "***");
        assert_eq!(masked(&[secret], &[b"p%2fss+w%c3%b6rd%221"]), "***");
        assert_eq!(masked(&[secret], &["p/ss wörd\\\"1".as_bytes()]), "***");
        assert_eq!(masked(&[secret], &[b"p/ss w\\u00f6rd\\\"1"]), "***");
        // base64 of `xhunter2-longy` and `user:hunter2-long`.
        assert_eq!(masked(&["hunter2-long"], &[b"eGh1bnRlcjItbG9uZ3k="]), "eG***3k=");
        assert_eq!(
            masked(&["hunter2-long"], &[b"dXNlcjpodW50ZXIyLWxvbmc="]),
            "dXNlcjp***c="
        );
        assert_eq!(masked(&["first line\nsecond line"], &[b"> second line <"]), "> *** <");
    }

    #[test]
    fn short_values_are_told_and_not_masked() {
        let secrets = ["abc".to_owned(), "long enough".to_owned(), String::new()];
        let warnings = too_short(&secrets);
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].code, codes::SECRET_TOO_SHORT);
        assert!(warnings[0].message.contains("secret 1"));
        assert_eq!(masked(&["abc"], &[b"xabcx"]), "xabcx");
    }

    #[test]
    fn values_in_json_are_masked_and_stay_json() {
        let forms = Forms::new(&["hunter2-long".to_owned(), "1234567".to_owned()]);
        let mut value = serde_json::json!({"hunter2-long": ["a hunter2-long b", 1_234_567, 7, null]});
        forms.json(&mut value);
        assert_eq!(value, serde_json::json!({"***": ["a *** b", "***", 7, null]}));
    }

    proptest! {
        #[test]
        fn however_it_is_cut_it_is_the_same(text in "[ab]{0,40}", cuts in prop::collection::vec(0_usize..40, 0..6)) {
            let secrets = ["aabbab", "abbabaab", "bbbbbb"];
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            prop_assert_eq!(masked(&secrets, &pieces), masked(&secrets, &[text.as_bytes()]));
        }
    }
}
