//! `mulgil sql`: scripts, and the prompt in a terminal.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use rexpect::session::{PtySession, spawn_command};

use crate::harness::{Done, Place};

/// Milliseconds that the prompt may take for anything.
const PATIENCE_MS: u64 = 120_000;

/// What the terminal is told when a line is done and the program no longer reads keys.
const LINE_IS_DONE: &str = "\u{1b}[?2004l";

fn shop() -> Place {
    let place = Place::of(
        "\
=== mulgil.yml
name: shop
=== seeds/orders.csv
order_id,amount
1,10
2,20
=== models/totals.sql
{{ config(materialized='table') }}
select sum(amount) as total from {{ ref('orders') }}
",
    );
    place.mulgil(&["run"]).ends_with(0);
    place
}

/// Runs a script that comes on standard input.
fn script(place: &Place, words: &[&str], text: &str) -> Done {
    let mut command = place.command(&[&["sql"], words].concat());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Done::of(child.wait_with_output().unwrap())
}

#[test]
fn a_script_runs_its_statements_in_order() {
    let place = shop();
    let text = "\
-- a comment; with a semicolon
select ';' as a, \"total\" from totals; select $$two
lines; $$ as b;
.output json
select 1 as c
";
    let done = script(&place, &["-o", "csv"], text).ends_with(0);
    assert_eq!(done.stdout, "a,total\n;,30\nb\n\"two\nlines; \"\n[\n{\"c\":1}\n]\n");
    assert_eq!(done.stderr, "");
}

#[test]
fn a_script_stops_at_its_first_fault_and_shows_the_place() {
    let place = shop();
    let text = "select 1 as one;\n\n  select total,\n    totl from totals;\nselect 3 as three;\n";
    let done = script(&place, &["-o", "csv"], text).ends_with(2);
    assert_eq!(done.stdout, "one\n1\n");
    insta::assert_snapshot!(done.stderr, @r"
    error[MG0006]: the query names the column `totl`, which is not there
      --> stdin:4:5
          totl from totals;
          ^
    do: write `total`
    ");
    place.write("script.sql", text);
    let done = place.mulgil(&["sql", "-f", "script.sql", "-o", "csv"]).ends_with(2);
    assert_eq!(done.stdout, "one\n1\n");
    assert!(done.stderr.contains("--> script.sql:4:5"), "{}", done.stderr);
    for (text, place_said, code) in [
        ("select 1;select * from nowhere", "stdin:1:24", 2),
        ("\nselect 1 +;", "stdin:2:", 2),
        ("select 1;\n .tabels\n", "stdin:2:1", 2),
        ("select 1;\n.schema nothing\n", "stdin:2:1", 5),
    ] {
        let done = script(&place, &[], text).ends_with(code);
        assert!(done.stderr.contains(place_said), "{}", done.stderr);
    }
}

#[test]
fn scripts_read_scripts_but_not_without_end() {
    let place = shop();
    place.write("inner.sql", "select total from totals;\n");
    place.write("outer.sql", ".output csv\n.read inner.sql\nselect 'after' as a;\n");
    let done = place.mulgil(&["sql", "-f", "outer.sql"]).ends_with(0);
    assert_eq!(done.stdout, "total\n30\na\nafter\n");
    place.write("circle.sql", "select 1;\n.read circle.sql\n");
    place.mulgil(&["sql", "-f", "circle.sql"]).ends_with(2).says("16 deep");
    place
        .mulgil(&["sql", "-f", "nowhere.sql"])
        .ends_with(2)
        .says("nowhere.sql");
    place.write("quit.sql", "select 1 as a;\n.quit\nselect nope;\n");
    place.mulgil(&["sql", "-f", "quit.sql"]).ends_with(0);
}

#[test]
fn tables_and_their_columns_are_listed() {
    let place = shop();
    let done = script(&place, &[], ".tables\n.tables tot*\n.schema totals\n.help\n").ends_with(0);
    for line in [
        "name    in full      kind   columns",
        "orders  shop.orders  seed         2",
        "totals  shop.totals  table        1",
        "total   bigint",
        ".read FILE",
    ] {
        assert!(done.stdout.contains(line), "no `{line}` in:\n{}", done.stdout);
    }
    assert_eq!(done.stdout.matches("shop.orders").count(), 1);
}

/// The prompt in a terminal of 80 columns.
fn prompt(place: &Place) -> PtySession {
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_mulgil");
    command
        .args(["-c", &format!("stty cols 80 rows 24; exec '{program}' sql")])
        .current_dir(place.path())
        .env("TERM", "xterm")
        .env_remove("MULGIL_ENV")
        .env_remove("NO_COLOR");
    let mut session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
    session.exp_string("mulgil> ").unwrap();
    session
}

/// Types a line and waits until the prompt has taken it.
fn enter(session: &mut PtySession, line: &str) {
    session.send_line(line).unwrap();
    session.exp_string(LINE_IS_DONE).unwrap();
}

/// Ends the prompt by Ctrl-D.
fn end(mut session: PtySession) {
    session.send_control('d').unwrap();
    session.exp_eof().unwrap();
}

#[test]
fn the_prompt_takes_statements_of_several_lines_and_says_what_they_gave() {
    let place = shop();
    let mut session = prompt(&place);
    session.send_line("select total as answer").unwrap();
    enter(&mut session, "from totals;");
    session.exp_string(" answer").unwrap();
    session.exp_string("30").unwrap();
    session.exp_regex("1 row, [0-9.]+ m?s").unwrap();
    enter(&mut session, ".timing off");
    enter(&mut session, "select 1 as one; select 2 as two;");
    session.exp_string("1 row\r\n").unwrap();
    session.exp_string(" two").unwrap();
    session.exp_string("1 row\r\n").unwrap();
    end(session);
}

#[test]
fn a_fault_at_the_prompt_is_shown_below_what_was_typed_and_ends_nothing() {
    let place = shop();
    let mut session = prompt(&place);
    enter(&mut session, "select 'seoul', totl from totals;");
    session.exp_string("error[MG0006]").unwrap();
    session
        .exp_string("\r\n  select 'seoul', totl from totals;\r\n")
        .unwrap();
    session.exp_string(&format!("  {}^\r\n", " ".repeat(16))).unwrap();
    session.exp_string("do: write `total`").unwrap();
    enter(&mut session, ".output xml");
    session.exp_string(".output table|csv|json").unwrap();
    enter(&mut session, "select 'still' || ' here';");
    session.exp_string("still here").unwrap();
    end(session);
}

#[test]
fn words_are_completed_at_the_prompt() {
    let place = shop();
    let mut session = prompt(&place);
    session.send("sel\t amou\t from ord\t").unwrap();
    session.flush().unwrap();
    session.exp_string("orders").unwrap();
    enter(&mut session, " order by 1;");
    session.exp_string("2 rows").unwrap();
    session.exp_string("mulgil> ").unwrap();
    end(session);
}

#[test]
fn ctrl_c_ends_what_runs_and_not_the_prompt() {
    const ENDLESS: &str = "select count(*) from generate_series(1, 2000000) a cross join generate_series(1, 200000) b \
        where (a.value * b.value) % 7 = 3;";
    let place = shop();
    let mut session = prompt(&place);
    for _ in 0..3 {
        enter(&mut session, ENDLESS);
        session.send_control('c').unwrap();
        session.exp_string("cancelled").unwrap();
        session.exp_string("mulgil> ").unwrap();
    }
    // At the prompt it forgets what was typed.
    session.send("select forgotten").unwrap();
    session.flush().unwrap();
    session.send_control('c').unwrap();
    session.exp_string("mulgil> ").unwrap();
    enter(&mut session, "select 40 + 2 as answer;");
    session.exp_string("42").unwrap();
    end(session);
}

#[test]
fn wide_tables_are_cut_at_the_edge_of_the_terminal() {
    let place = shop();
    let mut session = prompt(&place);
    enter(&mut session, "select repeat('x', 200) as wide;");
    session.exp_string(&format!(" {}", "x".repeat(78))).unwrap();
    session.exp_string("cut at the edge of the terminal").unwrap();
    enter(&mut session, ".output csv");
    enter(&mut session, "select repeat('x', 200) as wide;");
    session.exp_string(&format!("\r\n{}\r\n", "x".repeat(200))).unwrap();
    end(session);
}

#[test]
fn what_was_typed_is_remembered_for_its_owner_alone() {
    let place = shop();
    let mut session = prompt(&place);
    enter(&mut session, "select 'remembered' as it;");
    session.exp_string("1 row").unwrap();
    end(session);
    let history = place.path().join(".mulgil/sql_history");
    assert_eq!(fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
    let mut session = prompt(&place);
    session.send("\u{1b}[A").unwrap();
    session.flush().unwrap();
    session.exp_string("'remembered'").unwrap();
    enter(&mut session, "");
    session.exp_string("1 row").unwrap();
    end(session);
}
