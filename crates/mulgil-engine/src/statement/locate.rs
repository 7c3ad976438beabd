//! Where in a statement's text a fault lies that nobody noted a place for: where the text has what the
//! fault names.

use datafusion::sql::sqlparser::{
    dialect::GenericDialect,
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};
use mulgil_core::port::Fault;

use crate::fault::typed_place;

/// Gives a fault the place of what it names, if it has none and the text has that.
pub(super) fn placed(mut fault: Fault, sql: &str) -> Fault {
    if fault.place.is_none()
        && let Some((line, column)) = place_of(&fault.message, sql)
    {
        fault.place = Some(typed_place(line, column));
    }
    fault
}

fn place_of(message: &str, sql: &str) -> Option<(u64, u64)> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()?;
    let tokens: Vec<TokenWithSpan> = tokens
        .into_iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
        .collect();
    let found = named(message).into_iter().find_map(|name| find(&tokens, &name))?;
    let start = tokens[found].span.start;
    Some((start.line, start.column))
}

/// What a message points at.
#[derive(Debug, PartialEq)]
enum Named {
    /// A name, perhaps with those that it lies in.
    Name(Vec<String>),
    /// A text, a number or a word, as it is written.
    Literal(String),
    /// Some words of SQL.
    Keywords(Vec<String>),
}

/// All that a message names: in backticks, in quotes, and words in capitals.
fn named(message: &str) -> Vec<Named> {
    let quoted = |mark: char| -> Vec<&str> { message.split(mark).skip(1).step_by(2).collect() };
    let names = quoted('`')
        .into_iter()
        .filter(|name| !name.is_empty() && !name.contains('('));
    let mut all: Vec<Named> = names.map(|name| Named::Name(parts(name))).collect();
    let literals = quoted('\'')
        .into_iter()
        .chain(quoted('"'))
        .filter(|text| !text.is_empty());
    all.extend(literals.map(|text| Named::Literal(text.to_owned())));
    let is_keyword = |word: &&str| word.len() > 1 && word.chars().all(|letter| letter.is_ascii_uppercase());
    let mut run: Vec<String> = Vec::new();
    for word in message.split_whitespace() {
        let plain = word.trim_matches(|letter: char| !letter.is_alphanumeric());
        if is_keyword(&plain) {
            run.push(plain.to_lowercase());
        } else if !run.is_empty() {
            all.push(Named::Keywords(std::mem::take(&mut run)));
        }
    }
    if !run.is_empty() {
        all.push(Named::Keywords(run));
    }
    all
}

fn parts(name: &str) -> Vec<String> {
    name.split('.')
        .map(|part| part.trim_matches('"').to_lowercase())
        .collect()
}

/// The token at which the text has it.
fn find(tokens: &[TokenWithSpan], named: &Named) -> Option<usize> {
    match named {
        Named::Name(parts) => find_name(tokens, parts),
        Named::Literal(text) => (0..tokens.len()).find(|at| is_literal(&tokens[*at].token, text)),
        Named::Keywords(words) => {
            let is_there = |at: &usize| {
                let meant = tokens[*at..].iter().zip(words);
                meant.clone().count() == words.len() && meant.clone().all(|(token, word)| is_word(&token.token, word))
            };
            // What begins the statement says what it is, not what is wrong with it.
            let from = usize::from(words.len() == 1);
            (from..tokens.len()).find(is_there)
        }
    }
}

/// A name as it is written, with fewer or more of the names that it lies in. The last part decides.
fn find_name(tokens: &[TokenWithSpan], parts: &[String]) -> Option<usize> {
    let last = parts.last()?;
    let at = (0..tokens.len()).find(|at| {
        let before = at
            .checked_sub(2)
            .filter(|_| is_period(tokens, at - 1))
            .map(|before| &tokens[before].token);
        let owner = parts.len().checked_sub(2).map(|owner| &parts[owner]);
        let is_of_owner = match (before, owner) {
            (Some(before), Some(owner)) => is_word(before, owner),
            _ => true,
        };
        is_word(&tokens[*at].token, last) && is_of_owner
    });
    let mut at = at?;
    while at >= 2 && is_period(tokens, at - 1) {
        at -= 2;
    }
    Some(at)
}

fn is_period(tokens: &[TokenWithSpan], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| token.token == Token::Period)
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(known) if known.value.to_lowercase() == word)
}

fn is_literal(token: &Token, text: &str) -> bool {
    match token {
        Token::SingleQuotedString(known) => known == text,
        Token::Number(known, _) => known == text,
        Token::Word(known) => known.value.eq_ignore_ascii_case(text),
        Token::Placeholder(known) => known == text,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(message: &str, sql: &str) -> Option<(u64, u64)> {
        place_of(message, sql)
    }

    #[test]
    fn names_are_found_however_they_are_written() {
        assert_eq!(at("there is no table `main.ordrs`", "delete\nfrom ordrs"), Some((2, 6)));
        assert_eq!(
            at("there is no table `ordrs`", "update main.ordrs set a = 1"),
            Some((1, 8))
        );
        assert_eq!(
            at("`t` has no column `b`", "alter table t drop column B"),
            Some((1, 13))
        );
        assert_eq!(at("no column `s.b`", "select t.b,\n s.b"), Some((2, 2)));
    }

    #[test]
    fn texts_and_clauses_are_found() {
        assert_eq!(at("cannot cast 'abc'", "select\n  'x', 'abc'"), Some((2, 8)));
        assert_eq!(
            at("LIMIT in DELETE is not done", "delete from t\nlimit 3"),
            Some((2, 1))
        );
        assert_eq!(
            at("FULL JOIN with USING", "select * from a full join b using (c)"),
            Some((1, 17))
        );
        assert_eq!(at("Invalid function 'nope'", "select 1, nope(2)"), Some((1, 11)));
        assert_eq!(at("the disk is full", "select 1"), None);
    }
}
