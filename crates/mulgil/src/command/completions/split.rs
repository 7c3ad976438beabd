//! A command line as bash has it, divided into words.

/// The words of a line, without their quotes; the last is the one that is being typed, empty after a space. What
/// stands before the program (`LANG=C mulgil …`) is left out.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut signs = line.chars();
    while let Some(sign) = signs.next() {
        match (sign, quote) {
            (_, Some('\'')) if sign != '\'' => word.push(sign),
            ('\\', _) => word.extend(signs.next()),
            (_, Some(open)) if sign == open => quote = None,
            (_, Some(_)) => word.push(sign),
            ('\'' | '"', None) => quote = Some(sign),
            (_, None) if sign.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (_, None) => word.push(sign),
        }
    }
    words.push(word);
    let set = words
        .iter()
        .take(words.len() - 1)
        .take_while(|word| is_assignment(word))
        .count();
    words.split_off(set)
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// How many bytes of a word the shell takes for other words, because it divides at these signs.
pub(super) fn told_apart(word: &str, breaks: &str) -> usize {
    let divides = |sign: char| matches!(sign, ':' | '=' | '@') && breaks.contains(sign);
    word.rfind(divides).map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_divided_as_a_shell_does() {
        for (line, expected) in [
            ("mulgil why re", ["mulgil", "why", "re"].as_slice()),
            ("mulgil why ", &["mulgil", "why", ""]),
            ("LANG=C MULGIL_ENV=dev mulgil run", &["mulgil", "run"]),
            (
                "mulgil -C 'my folder' run \"a b",
                &["mulgil", "-C", "my folder", "run", "a b"],
            ),
            (r"mulgil -C my\ folder run", &["mulgil", "-C", "my folder", "run"]),
            ("mulgil  run   flow:da", &["mulgil", "run", "flow:da"]),
            ("", &[""]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn what_the_shell_has_already_is_not_given_again() {
        let breaks = " \t\n\"'@><=;|&(:";
        assert_eq!(told_apart("flow:da", breaks), 5);
        assert_eq!(told_apart("@sales", breaks), 1);
        assert_eq!(told_apart("--env=pr", breaks), 6);
        assert_eq!(told_apart("+sales", breaks), 0);
        assert_eq!(told_apart("flow:da", " \t\n"), 0);
    }
}
