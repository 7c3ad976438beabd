//! From text to statements: splits a script, takes the words of time travel out, and refuses parts
//! of a query that the planner would drop without a word.

use std::ops::ControlFlow;

use datafusion::{
    error::DataFusionError,
    sql::sqlparser::{
        ast::{ObjectName, Query, Select, SetExpr, Statement, TableFactor, Visit, Visitor},
        dialect::GenericDialect,
        keywords::Keyword,
        parser::{Parser, ParserError},
        tokenizer::{Token, TokenWithSpan, Tokenizer},
    },
};
use mulgil_core::{
    codes,
    diagnostic::{Code, Diagnostic},
    port::Fault,
};

use super::{dialect, locate};
use crate::{
    fault::{self, Author},
    past,
};

/// How deep expressions and queries may nest.
const MAX_DEPTH: usize = 200;

/// One statement of a script.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    /// It.
    pub(crate) statement: Typed,
    /// Its text, with as many line breaks and blanks before it as the script has before it, so that
    /// places in it are places in the script.
    pub(crate) text: String,
}

impl Parsed {
    /// Whether it only reads; a transaction's begin and end write nothing either.
    pub(crate) fn only_reads(&self) -> bool {
        match &self.statement {
            Typed::Sql(statement) => {
                only_reads(statement)
                    || matches!(
                        **statement,
                        Statement::StartTransaction { .. } | Statement::Commit { .. } | Statement::Rollback { .. }
                    )
            }
            Typed::Vacuum(vacuum) => vacuum.is_dry,
        }
    }
}

/// A statement.
#[derive(Clone, Debug)]
pub(crate) enum Typed {
    /// One that the parser knows.
    Sql(Box<Statement>),
    /// `VACUUM t [RETAIN n HOURS] [DRY RUN]`.
    Vacuum(Vacuum),
}

/// What a vacuum is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vacuum {
    /// The table.
    pub(crate) name: ObjectName,
    /// Hours for which old versions stay; the usual ones where absent.
    pub(crate) retain_hours: Option<u64>,
    /// Whether it only says what it would remove.
    pub(crate) is_dry: bool,
}

/// The statements of a script. What does not parse is a fault before anything runs.
pub(crate) fn statements(sql: &str, author: &Author) -> Result<Vec<Parsed>, Fault> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize_with_location()
        .map_err(|error| syntax(ParserError::TokenizerError(error.to_string()), author))?;
    let mut parsed = Vec::new();
    for tokens in tokens.split(|token| token.token == Token::SemiColon) {
        let is_blank = |token: &TokenWithSpan| matches!(token.token, Token::Whitespace(_));
        let Some(first) = tokens.iter().find(|token| !is_blank(token)) else {
            continue;
        };
        let start = first.span.start;
        let end = tokens.last().map_or(start, |token| token.span.end);
        let text = excerpt(sql, (start.line, start.column), (end.line, end.column));
        let statement = one(&past::mark(tokens), author).map_err(|fault| match author {
            Author::Typed => locate::placed(fault, &text),
            Author::Node(_) => fault,
        })?;
        parsed.push(Parsed { statement, text });
    }
    Ok(parsed)
}

/// Parses SQL that must be one statement, and one that only reads.
pub(crate) fn one_query(sql: &str, author: &Author) -> Result<Statement, Fault> {
    let mut all = statements(sql, author)?.into_iter();
    match (all.next(), all.next()) {
        (None, _) => Err(Box::new(
            Diagnostic::error(author.code(codes::SQL_INVALID), "there is no SQL to run")
                .with_remedy("write a query: `select …`"),
        )),
        (Some(_), Some(_)) => Err(Box::new(
            Diagnostic::error(
                author.code(codes::SQL_INVALID),
                "there is more than one statement where one query may stand",
            )
            .with_remedy("keep one query; a `;` is only allowed at its end"),
        )),
        (Some(parsed), None) => match parsed.statement {
            Typed::Sql(statement) if only_reads(&statement) => Ok(*statement),
            Typed::Sql(_) | Typed::Vacuum(_) => Err(not_a_query(author)),
        },
    }
}

/// Whether a statement only reads.
pub(crate) fn only_reads(statement: &Statement) -> bool {
    match statement {
        Statement::Query(query) => body_only_reads(&query.body),
        Statement::Explain { statement, .. } => only_reads(statement),
        Statement::ExplainTable { .. }
        | Statement::ShowTables { .. }
        | Statement::ShowColumns { .. }
        | Statement::ShowVariable { .. }
        | Statement::ShowFunctions { .. }
        | Statement::ShowCreate { .. }
        | Statement::ShowSchemas { .. }
        | Statement::ShowViews { .. } => true,
        _ => false,
    }
}

/// Whether a query only reads: a `with` may also stand before what writes.
fn body_only_reads(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(_) | SetExpr::Values(_) | SetExpr::Table(_) => true,
        SetExpr::Query(query) => body_only_reads(&query.body),
        SetExpr::SetOperation { left, right, .. } => body_only_reads(left) && body_only_reads(right),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => false,
    }
}

/// That a statement stands where only a query may.
pub(crate) fn not_a_query(author: &Author) -> Fault {
    let (code, message) = match author {
        Author::Typed => {
            let message = "only queries run here: this statement would define or change something";
            (codes::BAD_QUERY, message.to_owned())
        }
        Author::Node(name) => {
            let message = format!("the SQL of `{name}` is no query: it would define or change something");
            (codes::NOT_A_QUERY, message)
        }
    };
    Box::new(
        Diagnostic::error(code, message)
            .with_remedy("write a `select`; what tables hold is changed by their models alone"),
    )
}

fn one(tokens: &[TokenWithSpan], author: &Author) -> Result<Typed, Fault> {
    let mut parser = Parser::new(&GenericDialect {})
        .with_recursion_limit(MAX_DEPTH)
        .with_tokens_with_locations(tokens.to_vec());
    let statement = if parser.parse_keyword(Keyword::VACUUM) {
        vacuum(&mut parser).map(Typed::Vacuum)
    } else {
        parser
            .parse_statement()
            .map(|statement| Typed::Sql(Box::new(statement)))
    };
    let ended = |parser: &mut Parser<'_>| match parser.peek_token().token {
        Token::EOF => Ok(()),
        _ => parser.expected("the end of the statement", parser.peek_token()),
    };
    let mut statement = statement
        .and_then(|statement| ended(&mut parser).map(|()| statement))
        .map_err(|error| syntax(placed_at_end(error, tokens), author))?;
    if let Typed::Sql(statement) = &mut statement {
        past::name_plainly(statement);
        refuse_what_would_be_dropped(statement, author)?;
        dialect::translate(statement, author)?;
    }
    Ok(statement)
}

fn vacuum(parser: &mut Parser<'_>) -> Result<Vacuum, ParserError> {
    let name = parser.parse_object_name(false)?;
    let mut vacuum = Vacuum {
        name,
        retain_hours: None,
        is_dry: false,
    };
    loop {
        let word = match parser.peek_token().token {
            Token::Word(word) => word.value.to_lowercase(),
            _ => return Ok(vacuum),
        };
        match word.as_str() {
            "retain" => {
                parser.next_token();
                vacuum.retain_hours = Some(parser.parse_literal_uint()?);
                parser.expect_keyword(Keyword::HOURS)?;
            }
            "dry" => {
                parser.next_token();
                parser.expect_keyword(Keyword::RUN)?;
                vacuum.is_dry = true;
            }
            _ => return Ok(vacuum),
        }
    }
}

fn syntax(error: ParserError, author: &Author) -> Fault {
    fault::sql(&DataFusionError::SQL(Box::new(error), None), author)
}

/// The parser notes no place where the text ends too early: it is behind the last word.
fn placed_at_end(error: ParserError, tokens: &[TokenWithSpan]) -> ParserError {
    let last = tokens
        .iter()
        .rfind(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
    match (error, last) {
        (ParserError::ParserError(text), Some(last)) if text.ends_with("found: EOF") => {
            let (what, end) = (text.trim_end_matches("EOF"), last.span.end);
            ParserError::ParserError(format!("{what}the end at Line: {}, Column: {}", end.line, end.column))
        }
        (error, _) => error,
    }
}

/// A part of a script, with its place kept by blanks before it. Lines and columns count from 1.
fn excerpt(sql: &str, from: (u64, u64), to: (u64, u64)) -> String {
    let mut text = String::new();
    let (mut line, mut column) = (1, 1);
    for letter in sql.chars() {
        let at = (line, column);
        if at >= to {
            break;
        }
        text.push(match letter {
            _ if at >= from => letter,
            '\n' => '\n',
            _ => ' ',
        });
        if letter == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    text
}

/// The planner passes over these in silence, so they are refused before it sees them.
fn refuse_what_would_be_dropped(statement: &Statement, author: &Author) -> Result<(), Fault> {
    match statement.visit(&mut Dropped) {
        ControlFlow::Break(what) => Err(unsupported(&what, author)),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Dropped;

impl Visitor for Dropped {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        let parts = [
            (!query.locks.is_empty(), "FOR UPDATE"),
            (query.for_clause.is_some(), "FOR XML or FOR JSON"),
            (query.settings.is_some(), "SETTINGS"),
            (query.format_clause.is_some(), "FORMAT"),
            (
                query.fetch.as_ref().is_some_and(|fetch| fetch.with_ties),
                "FETCH WITH TIES",
            ),
            (query.fetch.as_ref().is_some_and(|fetch| fetch.percent), "FETCH PERCENT"),
        ];
        first_of(&parts)
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        let parts = [
            (select.top.is_some(), "TOP"),
            (select.into.is_some(), "SELECT … INTO"),
            (select.prewhere.is_some(), "PREWHERE"),
            (!select.connect_by.is_empty(), "CONNECT BY"),
            (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
            (select.value_table_mode.is_some(), "SELECT AS STRUCT or AS VALUE"),
            (select.select_modifiers.is_some(), "a modifier after SELECT"),
        ];
        first_of(&parts)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
        match factor {
            TableFactor::Table {
                version,
                sample,
                with_hints,
                partitions,
                json_path,
                index_hints,
                ..
            } => first_of(&[
                (sample.is_some(), "TABLESAMPLE"),
                (version.is_some(), "this form of time travel"),
                (!with_hints.is_empty() || !index_hints.is_empty(), "a hint"),
                (!partitions.is_empty(), "PARTITION after a table"),
                (json_path.is_some(), "a JSON path after a table"),
            ]),
            TableFactor::Derived { sample: Some(_), .. } => ControlFlow::Break("TABLESAMPLE".to_owned()),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn first_of(parts: &[(bool, &str)]) -> ControlFlow<String> {
    match parts.iter().find(|(is_there, _)| *is_there) {
        Some((_, what)) => ControlFlow::Break((*what).to_owned()),
        None => ControlFlow::Continue(()),
    }
}

/// That something is not done here.
pub(crate) fn unsupported(what: &str, author: &Author) -> Fault {
    let code: Code = match author {
        Author::Typed => codes::UNSUPPORTED_SQL,
        Author::Node(_) => codes::SQL_INVALID,
    };
    let whose = match author {
        Author::Typed => String::new(),
        Author::Node(name) => format!(" (in the SQL of `{name}`)"),
    };
    Box::new(Diagnostic::error(code, format!("{what} is not done here{whose}")).with_remedy(remedy_of(what)))
}

fn remedy_of(what: &str) -> &'static str {
    match what {
        "TABLESAMPLE" => "filter by chance instead: `where random() < 0.01`",
        "FOR UPDATE" => "leave it out: each statement reads one version of its tables, whoever writes meanwhile",
        "TOP" => "write `limit` at the end",
        "FETCH WITH TIES" => "rank the rows: `qualify rank() over (order by …) <= 3`",
        "SELECT … INTO" => "write `create table … as select …`",
        "this form of time travel" => "write `t for version as of 3` or `t for timestamp as of '2026-11-01'`",
        "a hint" => "leave it out",
        _ => "leave it out, or say it in another way; docs/guide/sql.md lists what runs here",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(sql: &str) -> Result<Vec<Parsed>, Fault> {
        statements(sql, &Author::Typed)
    }

    #[test]
    fn a_script_is_split_where_it_ends_and_places_stay() {
        let all = parse("select ';' as a; -- one;\n  delete from t where b = $$;$$ ;;").unwrap();
        let texts: Vec<&str> = all.iter().map(|parsed| parsed.text.as_str()).collect();
        assert_eq!(texts[0], "select ';' as a");
        assert!(texts[1].ends_with("\n  delete from t where b = $$;$$ "), "{texts:?}");
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn a_fault_is_at_its_place_in_the_script() {
        let fault = parse("select 1;\nselect 2 from )").unwrap_err();
        assert_eq!(fault.place.unwrap().line, Some(2));
    }

    #[test]
    fn what_the_planner_would_drop_is_refused() {
        for sql in [
            "select * from t tablesample bernoulli (10)",
            "select * from (select 1) as x tablesample (5 percent)",
            "select * from t for update",
            "select * into u from t",
            "insert into u select * from t tablesample (10 rows)",
        ] {
            assert_eq!(parse(sql).unwrap_err().code, codes::UNSUPPORTED_SQL, "{sql}");
        }
    }

    #[test]
    fn vacuum_has_words_of_its_own() {
        let all = parse("vacuum s.t retain 24 hours dry run").unwrap();
        let Typed::Vacuum(vacuum) = &all[0].statement else {
            panic!("{all:?}");
        };
        assert_eq!((vacuum.retain_hours, vacuum.is_dry), (Some(24), true));
        assert!(parse("vacuum t now").is_err());
    }
}
