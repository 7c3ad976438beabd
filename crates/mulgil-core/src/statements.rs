//! SQL text cut into its statements: a `;` ends one, unless it stands in quotes, between dollars or in
//! a comment. What a statement means is not looked at.

/// One statement of a longer text, and where it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// It, from its first letter, without the `;` that ends it.
    pub text: String,
    /// The line of its first letter, from 1.
    pub line: u32,
    /// The column of its first letter in characters, from 1.
    pub column: u32,
}

impl Statement {
    /// Where a place in the statement, which counts from 1, lies in the whole text.
    pub fn place(&self, line: u32, column: u32) -> (u32, u32) {
        match line {
            0 | 1 => (self.line, self.column + column.max(1) - 1),
            _ => (self.line + line - 1, column),
        }
    }
}

/// Takes text as it comes, in whole lines, and gives its statements.
#[derive(Clone, Debug)]
pub struct Splitter {
    /// What belongs to no statement that was given.
    text: String,
    /// Bytes of it that were looked at.
    seen: usize,
    within: Within,
    /// Whether more than blanks and comments was seen.
    is_begun: bool,
    line: u32,
    column: u32,
}

/// What the text is inside of.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Within {
    Nothing,
    Quotes {
        end: char,
        has_escapes: bool,
    },
    Dollars(String),
    LineComment,
    /// Comments in comments, so many.
    Comments(u32),
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            text: String::new(),
            seen: 0,
            within: Within::Nothing,
            is_begun: false,
            line: 1,
            column: 1,
        }
    }
}

impl Splitter {
    /// Takes the next lines.
    pub fn push(&mut self, lines: &str) {
        self.text.push_str(lines);
    }

    /// The next statement that a `;` ends; nothing while there is none.
    pub fn next_statement(&mut self) -> Option<Statement> {
        while let Some(end) = self.look_for_end() {
            let is_begun = self.is_begun;
            let statement = self.cut(end, 1);
            if is_begun {
                return Some(statement);
            }
        }
        None
    }

    /// What is left and has no `;`: the last statement of a text. Nothing where only blanks and
    /// comments are left.
    pub fn rest(&mut self) -> Option<Statement> {
        let is_begun = self.is_begun;
        let end = self.text.len();
        let statement = self.cut(end, 0);
        self.within = Within::Nothing;
        is_begun.then_some(statement)
    }

    /// Whether a statement, or a comment of several lines, has begun and not ended.
    pub fn is_open(&self) -> bool {
        self.is_begun || !matches!(self.within, Within::Nothing | Within::LineComment)
    }

    /// The place of the next `;` that ends a statement.
    fn look_for_end(&mut self) -> Option<usize> {
        while let Some(next) = self.text[self.seen..].chars().next() {
            let at = self.seen;
            if self.within == Within::Nothing {
                if next == ';' {
                    return Some(at);
                }
                let (within, length) = outside(&self.text[at..], next);
                self.is_begun |= !next.is_whitespace() && !is_comment(&within);
                (self.within, self.seen) = (within, at + length);
            } else {
                let (ended, length) = self.within.take(&self.text[at..]);
                self.seen = at + length;
                if ended {
                    self.within = Within::Nothing;
                }
            }
        }
        None
    }

    /// Takes away what lies before an end, and the letters of the end itself.
    fn cut(&mut self, end: usize, letters: usize) -> Statement {
        let rest = self.text.split_off(end + letters);
        let whole = std::mem::replace(&mut self.text, rest);
        let body = whole[..end].trim_start();
        let (line, column) = moved((self.line, self.column), &whole[..end - body.len()]);
        let statement = Statement {
            text: body.trim_end().to_owned(),
            line,
            column,
        };
        (self.line, self.column) = moved((self.line, self.column), &whole);
        (self.seen, self.is_begun) = (0, false);
        statement
    }
}

impl Within {
    /// Goes on inside: whether it ends, and after how many bytes.
    fn take(&mut self, text: &str) -> (bool, usize) {
        match self {
            Self::Nothing => (true, 0),
            Self::Quotes { end, has_escapes } => quoted(text, *end, *has_escapes),
            Self::Dollars(end) => match text.find(end.as_str()) {
                Some(at) => (true, at + end.len()),
                None => (false, text.len()),
            },
            Self::LineComment => match text.find('\n') {
                Some(at) => (true, at + 1),
                None => (false, text.len()),
            },
            Self::Comments(depth) => match (text.find("*/"), text.find("/*")) {
                (Some(close), open) if open.is_none_or(|open| close < open) => {
                    *depth -= 1;
                    (*depth == 0, close + 2)
                }
                (_, Some(open)) => {
                    *depth += 1;
                    (false, open + 2)
                }
                (_, None) => (false, text.len()),
            },
        }
    }
}

fn is_comment(within: &Within) -> bool {
    matches!(within, Within::LineComment | Within::Comments(_))
}

/// What begins with the first letter of a text that is inside of nothing, and its length.
fn outside(text: &str, first: char) -> (Within, usize) {
    let quotes = |end, has_escapes| Within::Quotes { end, has_escapes };
    match first {
        '\'' | '"' | '`' => (quotes(first, false), 1),
        '-' if text.starts_with("--") => (Within::LineComment, 2),
        '/' if text.starts_with("/*") => (Within::Comments(1), 2),
        '$' => match dollars(text) {
            Some(end) => {
                let length = end.len();
                (Within::Dollars(end), length)
            }
            None => (Within::Nothing, 1),
        },
        letter if is_of_word(letter) => {
            let length = text.find(|letter| !is_of_word(letter)).unwrap_or(text.len());
            let has_escapes = text[..length].eq_ignore_ascii_case("e") && text[length..].starts_with('\'');
            if has_escapes {
                (quotes('\'', true), length + 1)
            } else {
                (Within::Nothing, length)
            }
        }
        other => (Within::Nothing, other.len_utf8()),
    }
}

/// The `$$` or `$word$` with which a text begins.
fn dollars(text: &str) -> Option<String> {
    let end = text[1..].find('$')? + 1;
    let is_word = text[1..end].chars().all(|c| c.is_alphanumeric() || c == '_');
    is_word.then(|| text[..=end].to_owned())
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '$' | '@' | '#')
}

/// Goes on inside of quotes, which stand doubled for themselves.
fn quoted(text: &str, end: char, has_escapes: bool) -> (bool, usize) {
    let found = text.find(|letter| letter == end || (has_escapes && letter == '\\'));
    let Some(at) = found else {
        return (false, text.len());
    };
    if text[at..].starts_with('\\') {
        let escaped = text[at + 1..].chars().next().map_or(0, char::len_utf8);
        return (false, at + 1 + escaped);
    }
    if text[at + 1..].starts_with(end) {
        return (false, at + 2);
    }
    (true, at + 1)
}

/// The place after a text that begins at a place.
fn moved((line, column): (u32, u32), text: &str) -> (u32, u32) {
    let letters = |text: &str| text.chars().count() as u32;
    match text.rsplit_once('\n') {
        None => (line, column + letters(text)),
        Some((before, last)) => (line + before.matches('\n').count() as u32 + 1, letters(last) + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The statements of a text that comes line by line, and what is left of it.
    fn split(text: &str) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut found = Vec::new();
        for line in text.split_inclusive('\n') {
            splitter.push(line);
            found.extend(std::iter::from_fn(|| splitter.next_statement()));
        }
        found.extend(splitter.rest());
        let shown = |statement: Statement| format!("{}:{} {}", statement.line, statement.column, statement.text);
        found.into_iter().map(shown).collect()
    }

    #[test]
    fn a_semicolon_ends_a_statement_and_nothing_is_no_statement() {
        assert_eq!(
            split("select 1; select 2 ;;\n ;select\n3"),
            ["1:1 select 1", "1:11 select 2", "2:3 select\n3"]
        );
        assert!(split("").is_empty());
        assert!(split(" ; -- nothing;\n;\n/* at all; */").is_empty());
    }

    #[test]
    fn quotes_dollars_and_comments_hide_semicolons() {
        for one in [
            "select 'a;b', 'it''s;', ';'",
            "select \"a;\"\"b;\", `c;`",
            "select e'\\';', E'\\\\', 1",
            "select '\\', 1",
            "select $$a;b$$, $tag$ $$;$other$; $tag$",
            "select 1 -- one;\n, 2",
            "select 1 /* ; /* ; */ ; */ + 2",
            "select note', 2;\n'",
            "select a$b, '서울;물길'",
            "select 1 - 2 / 3",
        ] {
            assert_eq!(split(&format!("{one};select 2")).len(), 2, "{one}");
            assert_eq!(split(&format!("{one};"))[0], format!("1:1 {one}"));
        }
    }

    #[test]
    fn what_does_not_end_is_one_statement() {
        for open in ["select 'a; select 2;", "select $a$ ; $b$ ;", "select /* /* */ ; 1"] {
            assert_eq!(split(open).len(), 1, "{open}");
        }
    }

    #[test]
    fn a_statement_is_open_until_it_ends() {
        let mut splitter = Splitter::default();
        for (line, is_open) in [
            ("-- first\n", false),
            ("/* several\n", true),
            ("lines */\n", false),
            ("select 1\n", true),
            (";\n", false),
        ] {
            splitter.push(line);
            while splitter.next_statement().is_some() {}
            assert_eq!(splitter.is_open(), is_open, "{line}");
        }
    }

    #[test]
    fn places_are_those_of_the_whole_text() {
        let mut splitter = Splitter::default();
        splitter.push("select '서울';  select\n  x from t;\n");
        splitter.next_statement();
        let second = splitter.next_statement().expect("a second statement");
        assert_eq!((second.line, second.column), (1, 15));
        assert_eq!(second.place(1, 1), (1, 15));
        assert_eq!(second.place(2, 3), (2, 3));
    }
}
