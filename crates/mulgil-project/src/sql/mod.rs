//! Reading SQL: whether it is one query, the form in which layout does not count, and how many
//! intervals may be filled by one run of it. The engine remains the judge of everything else.

mod batch;
mod expression;

use std::{collections::BTreeSet, ops::ControlFlow};

use sqlparser::{
    ast::{Query, Statement, visit_relations},
    dialect::GenericDialect,
    parser::{Parser, ParserError},
    tokenizer::{Token, Tokenizer, Word},
};

pub(crate) use self::batch::{Names, Scoping, fills_many};

/// Why SQL is not one query, and where in the rendered text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SqlFault {
    pub(crate) message: String,
    /// Whether it does not parse; else it is something else than one query.
    pub(crate) is_syntax: bool,
    /// Line and column, from 1.
    pub(crate) at: Option<(usize, usize)>,
}

/// Parses SQL that has to be one query.
pub(crate) fn parse(sql: &str) -> Result<Query, SqlFault> {
    let statements = Parser::parse_sql(&GenericDialect {}, sql).map_err(fault)?;
    let mut statements = statements.into_iter();
    match (statements.next(), statements.next()) {
        (Some(Statement::Query(query)), None) => Ok(*query),
        (None, _) => Err(whole("the file holds no SQL")),
        (Some(_), None) => Err(whole("a model is one SELECT, and this is another statement")),
        (Some(_), Some(_)) => Err(whole("a model is one SELECT, and here are several statements")),
    }
}

/// The relations that a script names, each as its parts; where it does not parse, what follows `from` and
/// the like.
pub(crate) fn relations(script: &str) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    if let Ok(statements) = Parser::parse_sql(&GenericDialect {}, script) {
        let _ = visit_relations(&statements, |name| {
            let parts = name.0.iter().filter_map(|part| part.as_ident());
            found.insert(parts.map(|part| folded(&part.value, part.quote_style)).collect());
            ControlFlow::<()>::Continue(())
        });
        return found;
    }
    let tokens = Tokenizer::new(&GenericDialect {}, script)
        .tokenize()
        .unwrap_or_default();
    let mut tokens = tokens
        .into_iter()
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .peekable();
    while let Some(token) = tokens.next() {
        let Token::Word(word) = token else { continue };
        let leads = ["from", "join", "into", "update", "table", "using"];
        if word.quote_style.is_some() || !leads.contains(&word.value.to_lowercase().as_str()) {
            continue;
        }
        let mut parts = Vec::new();
        while let Some(Token::Word(word)) = tokens.next_if(|token| matches!(token, Token::Word(_))) {
            parts.push(folded(&word.value, word.quote_style));
            if tokens.next_if_eq(&Token::Period).is_none() {
                break;
            }
        }
        found.insert(parts);
    }
    found
}

/// A name as SQL takes it.
fn folded(name: &str, quote: Option<char>) -> String {
    match quote {
        Some(_) => name.to_owned(),
        None => name.to_lowercase(),
    }
}

/// The text in which comments, layout and the case of words do not count. Where it does not
/// parse, its tokens; where it has none, itself.
pub(crate) fn canonical(sql: &str) -> String {
    match parse(sql) {
        Ok(query) => written(&query.to_string(), true) + &quotes(sql),
        Err(_) => written(sql, true),
    }
}

/// The quoted words and literals that hold what a parsed query may print in the same way for two.
fn quotes(sql: &str) -> String {
    let is_hidden = |text: &str| {
        ["''", "\"\"", "``", "\\'", "\\\"", "\\`"]
            .iter()
            .any(|hidden| text.contains(hidden))
    };
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap_or_default();
    tokens
        .into_iter()
        .filter_map(|token| match token {
            Token::Word(word) if word.quote_style.is_some() => Some(word.value),
            Token::SingleQuotedString(text) => Some(text),
            _ => None,
        })
        .filter(|text| is_hidden(text))
        .map(|text| format!(" {text:?}"))
        .collect()
}

/// The text in which comments and layout do not count, but the case of words does.
pub(crate) fn tokens(text: &str) -> String {
    written(text, false)
}

fn written(sql: &str, folds_case: bool) -> String {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else {
        return sql.to_owned();
    };
    let mut out = String::with_capacity(sql.len());
    for token in tokens {
        match token {
            Token::Whitespace(_) => continue,
            Token::Word(word) if folds_case && word.quote_style.is_none() => out.push_str(&word.value.to_lowercase()),
            // Their own printing leaves quotes inside as they are, and so cannot be told apart.
            Token::Word(Word {
                value,
                quote_style: Some(quote),
                ..
            }) => {
                let quote = quote.to_string();
                out.extend([&quote, &value.replace(&quote, &quote.repeat(2)), &quote].map(String::as_str));
            }
            Token::SingleQuotedString(text) => out.extend(["'", &text.replace('\'', "''"), "'"]),
            other => out.push_str(&other.to_string()),
        }
        out.push(' ');
    }
    out.truncate(out.trim_end_matches([' ', ';']).len());
    out
}

fn whole(message: &str) -> SqlFault {
    SqlFault {
        message: message.to_owned(),
        is_syntax: false,
        at: None,
    }
}

fn fault(error: ParserError) -> SqlFault {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => "it is nested too deep".to_owned(),
    };
    let (text, at) = match message.rfind(" at Line: ") {
        Some(index) => (&message[..index], read_place(&message[index..])),
        None => (message.as_str(), None),
    };
    SqlFault {
        message: text
            .replace("Expected: ", "expected ")
            .replace("found: EOF", "found its end")
            .replace("found: ", "found "),
        is_syntax: true,
        at,
    }
}

fn read_place(text: &str) -> Option<(usize, usize)> {
    let (line, column) = text.strip_prefix(" at Line: ")?.split_once(", Column: ")?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn layout_comments_and_case_do_not_count() {
        let plain = canonical("select A, 'It''s' as b from \"T\" inner join u on u.x = t.x -- why\nwhere c = 1");
        let other = canonical("SELECT a,'It''s' B\n/* here */ FROM \"T\" JOIN U ON U.X=T.X WHERE C=1;");
        assert_snapshot!(plain, @r#"select a , 'It''s' as b from "T" inner join u on u . x = t . x where c = 1"#);
        assert_ne!(
            plain,
            other.replace("inner ", ""),
            "an alias without `as` is printed with it"
        );
        assert_eq!(canonical("select 1 x"), canonical("SELECT 1 AS X ;"));
    }

    #[test]
    fn quoted_words_and_literals_count() {
        assert_ne!(canonical("select \"A\""), canonical("select \"a\""));
        assert_ne!(canonical("select 'A'"), canonical("select 'a'"));
        assert_ne!(canonical("select 1.0"), canonical("select 1"));
    }

    #[test]
    fn quotes_inside_of_quotes_count() {
        for (one, other) in [
            (r#"select "a" , "b" from t"#, r#"select "a"" , ""b" from t"#),
            (r#"select from "a" , "b""#, r#"select from "a"" , ""b""#),
            (r#"select "a""b""#, r#"select "a""""b""#),
            ("select 'a''b'", "select 'a''''b'"),
        ] {
            assert_ne!(canonical(one), canonical(other));
        }
    }

    #[test]
    fn what_does_not_parse_is_compared_by_its_tokens() {
        assert_eq!(
            canonical("select from where  ("),
            canonical("SELECT from -- x\n where (")
        );
        assert_ne!(canonical("select from where ("), canonical("select from where )"));
    }

    fn message(sql: &str) -> String {
        parse(sql).expect_err("it is not one query").message
    }

    #[test]
    fn faults_have_a_place() {
        assert_eq!(
            parse("select a\nfrom t wher x = 1").err().and_then(|fault| fault.at),
            Some((2, 13))
        );
        assert_snapshot!(message(""), @"the file holds no SQL");
        assert_snapshot!(message("drop table x"), @"a model is one SELECT, and this is another statement");
        assert_snapshot!(message("select 1; select 2"), @"a model is one SELECT, and here are several statements");
    }
}
