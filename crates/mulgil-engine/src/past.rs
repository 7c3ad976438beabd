//! Reading the past: `t FOR VERSION AS OF 3`, `t FOR TIMESTAMP AS OF '2026-11-01'`. The parser knows
//! these words in few dialects and the planner drops them silently, so they are taken out of the SQL
//! before it is parsed and become part of the table's name: `"t@version=3"`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::{
    ast::{Ident, ObjectName, Statement, TableAlias, TableFactor, VisitMut, VisitorMut},
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Word},
};
use jiff::{Timestamp, civil};
use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    grid::Zone,
    interval::Instant,
    name::Relation,
    port::Fault,
};

/// What stands between a table's name and its version.
const VERSION: &str = "@version=";
/// What stands between a table's name and the moment at which it is read.
const TIME: &str = "@time=";

/// Which state of a table is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum At {
    /// The newest.
    Newest,
    /// That of a version.
    Version(i64),
    /// The newest of a moment.
    Time(Instant),
}

/// Takes the words of time travel out of SQL: the name before them gets what they say.
pub(crate) fn mark(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while index < tokens.len() {
        match clause(&tokens[index..]) {
            Some((length, suffix)) if name_last(&mut out, &suffix) => index += length,
            Some(_) | None => {
                out.push(tokens[index].clone());
                index += 1;
            }
        }
    }
    out
}

/// A clause of time travel at the start of some tokens: how many they are, and what it says.
fn clause(tokens: &[TokenWithSpan]) -> Option<(usize, String)> {
    let mut words = Words { tokens, next: 0 };
    if words.keyword_is(Keyword::FOR) {
        words.advance();
    }
    let kind = match words.keyword()? {
        Keyword::VERSION => VERSION,
        Keyword::TIMESTAMP | Keyword::SYSTEM_TIME => TIME,
        _ => return None,
    };
    words.advance();
    for keyword in [Keyword::AS, Keyword::OF] {
        if !words.keyword_is(keyword) {
            return None;
        }
        words.advance();
    }
    if kind == TIME && words.keyword_is(Keyword::TIMESTAMP) {
        words.advance();
    }
    let value = match (&words.current()?.token, kind) {
        (Token::Number(number, _), VERSION) => number.clone(),
        (Token::SingleQuotedString(text), TIME) => text.clone(),
        _ => return None,
    };
    words.advance();
    Some((words.next, format!("{kind}{value}")))
}

/// Tokens, read without what separates them.
struct Words<'a> {
    tokens: &'a [TokenWithSpan],
    next: usize,
}

impl<'a> Words<'a> {
    fn current(&mut self) -> Option<&'a TokenWithSpan> {
        while matches!(self.tokens.get(self.next)?.token, Token::Whitespace(_)) {
            self.next += 1;
        }
        self.tokens.get(self.next)
    }

    fn keyword(&mut self) -> Option<Keyword> {
        match &self.current()?.token {
            Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
            _ => None,
        }
    }

    fn keyword_is(&mut self, keyword: Keyword) -> bool {
        self.keyword() == Some(keyword)
    }

    fn advance(&mut self) {
        self.next += 1;
    }
}

/// Gives the name at the end of some tokens a suffix, if there is a name.
fn name_last(tokens: &mut [TokenWithSpan], suffix: &str) -> bool {
    let last = tokens
        .iter_mut()
        .rev()
        .find(|token| !matches!(token.token, Token::Whitespace(_)));
    let Some(TokenWithSpan {
        token: Token::Word(word),
        ..
    }) = last
    else {
        return false;
    };
    let name = match word.quote_style {
        Some(_) => word.value.clone(),
        None => word.value.to_lowercase(),
    };
    *word = Word {
        value: format!("{name}{suffix}"),
        quote_style: Some('"'),
        keyword: Keyword::NoKeyword,
    };
    true
}

/// Lets what reads the past be named without it: `from t version as of 3` is still `t`.
pub(crate) fn name_plainly(statement: &mut Statement) {
    struct Namer;
    impl VisitorMut for Namer {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, alias, .. } = factor
                && alias.is_none()
                && let Some(plain) = plain_name(name)
            {
                *alias = Some(TableAlias {
                    explicit: true,
                    name: Ident::with_quote('"', plain),
                    columns: Vec::new(),
                    at: None,
                });
            }
            ControlFlow::Continue(())
        }
    }
    let _ = statement.visit(&mut Namer);
}

fn plain_name(name: &ObjectName) -> Option<String> {
    let last = &name.0.last()?.as_ident()?.value;
    let plain = without_time(last);
    (plain != *last).then_some(plain)
}

/// A name without the moment at which it is read.
pub(crate) fn without_time(name: &str) -> String {
    let end = [VERSION, TIME].iter().filter_map(|mark| name.find(mark)).min();
    let plain = &name[..end.unwrap_or(name.len())];
    // A reference prints what is not plain letters in quotes.
    match end {
        Some(_) if name.ends_with('"') => plain.replace('"', ""),
        Some(_) | None => plain.to_owned(),
    }
}

/// A name, and at which state it is read. Moments without an offset are those of the zone.
pub(crate) fn split<'a>(name: &'a str, zone: &Zone) -> Result<(&'a str, At), Fault> {
    if let Some((name, version)) = name.split_once(VERSION) {
        let version = version.parse().map_err(|_| not_a_version(version))?;
        return Ok((name, At::Version(version)));
    }
    match name.split_once(TIME) {
        Some((name, text)) => Ok((name, At::Time(moment(text, zone)?))),
        None => Ok((name, At::Newest)),
    }
}

/// A moment as people write it: with an offset, or a date or time of the zone.
pub(crate) fn moment(text: &str, zone: &Zone) -> Result<Instant, Fault> {
    let with_offset = text.parse::<Timestamp>().ok();
    let in_zone = || -> Option<Timestamp> {
        let time: civil::DateTime = text
            .parse()
            .ok()
            .or_else(|| Some(text.parse::<civil::Date>().ok()?.to_datetime(civil::Time::midnight())))?;
        Some(time.to_zoned(zone.tz().clone()).ok()?.timestamp())
    };
    with_offset
        .or_else(in_zone)
        .map(Instant::from_timestamp)
        .ok_or_else(|| {
            Box::new(
                Diagnostic::error(codes::BAD_QUERY, format!("`{text}` is no moment in time"))
                    .with_remedy("write a date, or a time with or without an offset: '2026-11-01T09:00:00+09:00'"),
            )
        })
}

fn not_a_version(text: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::BAD_QUERY, format!("`{text}` is no version of a table"))
            .with_remedy("versions are whole numbers from 0"),
    )
}

/// That a view or a source is read as it was.
pub(crate) fn no_past(name: &str) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::BAD_QUERY,
            format!("`{name}` has no versions: it is a view or a source's files"),
        )
        .with_remedy("read the tables under it as they were"),
    )
}

/// That a version is not there, or no longer.
pub(crate) fn gone(relation: &Relation, version: i64) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::VERSION_GONE,
            format!("the table `{relation}` has no version {version}, or no longer"),
        )
        .with_remedy(format!("`show history for {relation}` lists its versions"))
        .with_retry(Retry::AfterHumanFix),
    )
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::{dialect::GenericDialect, parser::Parser, tokenizer::Tokenizer};

    use super::*;

    fn rewritten(sql: &str) -> String {
        let tokens = Tokenizer::new(&GenericDialect {}, sql)
            .tokenize_with_location()
            .unwrap();
        let mut parser = Parser::new(&GenericDialect {}).with_tokens_with_locations(mark(&tokens));
        let mut statement = parser.parse_statement().unwrap();
        name_plainly(&mut statement);
        statement.to_string()
    }

    #[test]
    fn a_version_becomes_part_of_the_name_which_is_still_called_as_before() {
        assert_eq!(
            rewritten("select t.a from s.T for version as of 3, u version as of 1 as x"),
            r#"SELECT t.a FROM s."t@version=3" AS "t", "u@version=1" AS x"#
        );
        assert_eq!(
            rewritten("select * from \"Big\" FOR TIMESTAMP AS OF TIMESTAMP '2026-11-01 09:00'"),
            r#"SELECT * FROM "Big@time=2026-11-01 09:00" AS "Big""#
        );
        assert_eq!(
            rewritten("select version as of_them from t"),
            "SELECT version AS of_them FROM t"
        );
    }

    #[test]
    fn names_are_taken_apart_again() {
        let zone = Zone::named("Asia/Seoul").unwrap();
        assert_eq!(split("t@version=3", &zone).unwrap(), ("t", At::Version(3)));
        let seoul = split("t@time=2026-11-01", &zone).unwrap();
        let utc = split("t@time=2026-10-31T15:00:00Z", &zone).unwrap();
        assert_eq!(seoul, utc);
        assert_eq!(split("t", &zone).unwrap(), ("t", At::Newest));
        assert!(split("t@time=soon", &zone).is_err());
        assert_eq!(without_time("s.\"t@version=3\""), "s.t");
    }
}
