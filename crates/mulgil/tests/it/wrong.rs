//! Statements as people get them wrong: each gives its code at its place in the person's file, says what
//! is wrong in words of SQL, says what to do, and changes nothing. They stand in `wrong_statements.txt`.

use std::{
    collections::VecDeque,
    sync::Mutex,
    thread::{self, available_parallelism},
};

use crate::harness::{Done, Place};

/// One statement, or a script of some, and what must be said about it.
struct Wrong {
    /// Where it begins in the list.
    line: usize,
    code: String,
    /// `line:column`.
    at: String,
    message: String,
    sql: String,
}

/// Words of the engine's insides that nobody should have to read.
const INSIDE: [&str; 9] = [
    "Utf8",
    "Int64",
    "Int32",
    "Float64",
    "Date32",
    "LogicalPlan",
    "Projection",
    "Physical plan",
    "__correlated",
];

fn list() -> (String, Vec<Wrong>) {
    let text = include_str!("../wrong_statements.txt");
    let (mut setup, mut all) = (String::new(), Vec::new());
    let mut lines = text
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.starts_with('#'))
        .peekable();
    while let Some((head, line)) = lines.next() {
        let Some(head) = head.strip_prefix("=== ") else {
            continue;
        };
        let mut sql = String::new();
        while let Some((body, _)) = lines.next_if(|(line, _)| !line.starts_with("=== ")) {
            sql.push_str(body);
            sql.push('\n');
        }
        if head == "setup" {
            setup = sql;
            continue;
        }
        let mut words = head.splitn(3, ' ').map(str::to_owned);
        let mut next = || words.next().unwrap_or_else(|| panic!("line {line}: `{head}`"));
        all.push(Wrong {
            line,
            code: next(),
            at: next(),
            message: next(),
            sql,
        });
    }
    (setup, all)
}

/// What the program says wrongly, if anything.
fn complaint(wrong: &Wrong, done: &Done) -> Option<String> {
    let said = &done.stderr;
    let line = |prefix: &str| said.lines().find(|line| line.trim_start().starts_with(prefix));
    let error = line("error[").unwrap_or_default();
    let place = format!("--> case{}.sql:{}", wrong.line, wrong.at);
    let checks = [
        (done.code.is_none_or(|code| code == 0), "it ended well"),
        (!error.starts_with(&format!("error[{}]", wrong.code)), "another code"),
        (!error.contains(&wrong.message), "another message"),
        (line(&place).is_none(), "another place"),
        (line("do: ").is_none(), "it does not say what to do"),
        (
            INSIDE.iter().any(|word| said.contains(word)),
            "it speaks of the engine's insides",
        ),
    ];
    let (_, what) = checks.iter().find(|(is_wrong, _)| *is_wrong)?;
    let Wrong {
        line,
        code,
        at,
        message,
        sql,
    } = wrong;
    Some(format!(
        "line {line}: {what}; wanted {code} at {at} with `{message}`\n{sql}{}{said}",
        done.stdout
    ))
}

fn held(place: &Place) -> Vec<Vec<String>> {
    let tables = place.rows(
        "select table_schema, table_name from information_schema.tables \
         where table_schema <> 'information_schema' order by 1",
    );
    let rows = tables.iter().map(|table| {
        let (schema, name) = table.split_once(',').unwrap();
        let mut rows = place.rows(&format!("select * from \"{schema}\".\"{name}\""));
        rows.sort();
        rows
    });
    rows.chain([tables.clone()]).collect()
}

#[test]
fn each_wrong_statement_is_told_at_its_place_and_changes_nothing() {
    let (setup, all) = list();
    assert!(all.len() >= 200, "only {} statements", all.len());
    let (waiting, complaints) = (Mutex::new(all.iter().collect::<VecDeque<_>>()), Mutex::new(Vec::new()));
    let next = || waiting.lock().unwrap().pop_front();
    // Each thread has tables of its own: one statement writes at a time.
    let work = || {
        let place = Place::of("=== mulgil.yml\nname: wrong\n");
        place.write("setup.sql", &setup);
        place.mulgil(&["sql", "-f", "setup.sql"]).ends_with(0);
        let before = held(&place);
        while let Some(wrong) = next() {
            let file = format!("case{}.sql", wrong.line);
            place.write(&file, &wrong.sql);
            let done = place.mulgil(&["sql", "-f", &file]);
            complaints.lock().unwrap().extend(complaint(wrong, &done));
        }
        assert_eq!(held(&place), before);
    };
    thread::scope(|scope| {
        for _ in 0..available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let complaints = complaints.into_inner().unwrap();
    assert!(
        complaints.is_empty(),
        "{} of {}:\n{}",
        complaints.len(),
        all.len(),
        complaints.join("\n")
    );
}
