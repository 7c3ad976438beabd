//! Completion of the command line: by the verb that scripts ask, and by bash itself.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::harness::{Done, Place};

const SHOP: &str = "\
=== mulgil.yml
name: shop
environments: {prod: {schema_prefix: prod_}, stage: {schema_prefix: stage_}}
sources: {raw: {events: {files: 'data/events_{YYYYMMDD}.csv', event_time: at, columns: {at: timestamp}}}}
=== models/reads_daily.sql
select 1 as n
=== models/staging/reads_raw.sql
select 1 as n
=== seeds/shops.csv
id
1
=== flows/daily.yml
steps: {fill: {models: reads_daily}}
=== flows/files/nightly.yml
name: night
steps: {fill: {models: reads_raw}}
";

/// What the verb answers, but for its first word.
#[track_caller]
fn candidates(place: &Place, line: &str) -> (String, Vec<String>) {
    let done = place.mulgil(&["complete", "bash", "--", line]).ends_with(0);
    assert_eq!(done.stderr, "");
    let mut lines = done.stdout.lines().map(str::to_owned);
    (lines.next().unwrap(), lines.collect())
}

#[track_caller]
fn gives(place: &Place, line: &str, expected: &[&str]) {
    assert_eq!(candidates(place, line).1, expected, "{line}");
}

#[test]
fn names_of_the_project_stand_where_they_may() {
    let place = Place::of(SHOP);
    gives(&place, "mulgil why read", &["reads_daily", "reads_raw"]);
    gives(&place, "mulgil run flow:", &["flow:daily", "flow:night"]);
    gives(&place, "mulgil run r", &["reads_daily", "reads_raw"]);
    gives(&place, "mulgil status +", &["+reads_daily", "+reads_raw", "+shops"]);
    gives(&place, "mulgil status 2+sh", &["2+shops"]);
    gives(&place, "mulgil status reads_daily sho", &["shops"]);
    gives(
        &place,
        "mulgil run --select shops,@re",
        &["shops,@reads_daily", "shops,@reads_raw"],
    );
    gives(&place, "mulgil run -s sh", &["shops"]);
    gives(&place, "mulgil status source:", &["source:raw.events"]);
    gives(&place, "mulgil status flow:", &[]);
    gives(&place, "mulgil backfill flow:d", &["flow:daily"]);
    gives(&place, "mulgil backfill pa", &["pause"]);
    gives(&place, "mulgil flows show n", &["night"]);
    gives(&place, "mulgil nodes show sh", &["shops"]);
    gives(&place, "mulgil --env ", &["dev", "prod", "stage"]);
    gives(&place, "mulgil run --env=p", &["--env=prod"]);
    gives(&place, "mulgil dbt run --select reads_d", &["reads_daily"]);
    gives(
        &place,
        "mulgil explain mg510",
        &["MG5101", "MG5102", "MG5103", "MG5104", "MG5105", "MG5106", "MG5107"],
    );
    // An interval follows a name without a space.
    assert_eq!(candidates(&place, "mulgil why re").0, "open");
    assert_eq!(candidates(&place, "mulgil run re").0, "closed");
}

#[test]
fn commands_and_flags_are_the_programs_own() {
    let place = Place::of(SHOP);
    gives(&place, "mulgil doc", &["doctor"]);
    gives(&place, "mulgil comp", &["completions"]);
    gives(&place, "mulgil runs ", &["cancel", "retry", "ls", "show"]);
    gives(
        &place,
        "mulgil doctor --",
        &["--port", "--json", "--project-dir", "--env", "--var", "--help"],
    );
    gives(
        &place,
        "mulgil query 'select 1' -o ",
        &["table", "csv", "json", "parquet", "xlsx"],
    );
    gives(&place, "mulgil query 'select 1' --output=pa", &["--output=parquet"]);
    gives(&place, "mulgil completions ", &["bash", "zsh", "fish"]);
    assert_eq!(candidates(&place, "mulgil sql -f ").0, "files");
    assert_eq!(candidates(&place, "mulgil -C ").0, "folders");
    for line in [
        "mulgil unknown ",
        "mulgil why a b c ",
        "mulgil run --no-such-flag=",
        "mulgil run -- -",
        "",
        "mulgil 'open",
    ] {
        candidates(&place, line);
    }
}

#[test]
fn it_is_silent_where_something_is_wrong_and_looks_where_one_is_told() {
    let nowhere = Place::of("");
    gives(&nowhere, "mulgil why ", &[]);
    gives(&nowhere, "mulgil --env ", &[]);
    let broken = Place::of(SHOP);
    broken.write("mulgil.yml", "name: [shop\n\tenvironments");
    broken.write("models/worse.sql", "{{ select");
    gives(&broken, "mulgil why w", &["worse"]);
    // Another project than that of the current folder.
    let folder = broken.path().display();
    gives(&nowhere, &format!("mulgil -C {folder} why w"), &["worse"]);
    gives(
        &nowhere,
        &format!("mulgil --project-dir='{folder}' run flow:d"),
        &["flow:daily"],
    );
}

/// How long one key may make somebody wait; a test's program is not optimized, and the machine is busy.
const SOON: Duration = Duration::from_secs(1);

#[test]
fn it_answers_before_one_notices() {
    let place = Place::of(SHOP);
    for number in 0..200 {
        place.write(&format!("models/more/model_{number}.sql"), "select 1 as n");
    }
    let best = (0..5).map(|_| {
        let began = Instant::now();
        assert_eq!(candidates(&place, "mulgil why model_").1.len(), 200);
        began.elapsed()
    });
    let best = best.min().unwrap();
    eprintln!("200 names after {best:?}");
    assert!(best < SOON, "{best:?}");
}

/// Has bash complete a line with the program's own script, as it would for somebody who presses Tab.
fn in_bash(place: &Place, line: &str) -> Option<Vec<String>> {
    if Command::new("bash")
        .args(["-c", "((BASH_VERSINFO[0] >= 4))"])
        .status()
        .is_ok_and(|status| status.success())
    {
        // What readline does before it calls the function: the line divided at its own signs.
        let script = "
            set -eu
            source <(\"$MULGIL\" completions bash)
            complete -p mulgil >&2
            COMP_LINE=\"$1\" COMP_POINT=${#1}
            compopt() { :; }
            _mulgil \"$MULGIL\" \"\" \"\"
            printf '%s\\n' ${COMPREPLY[@]+\"${COMPREPLY[@]}\"}
        ";
        let done = Command::new("bash")
            .args(["-c", script, "bash", line])
            .current_dir(place.path())
            .env("MULGIL", env!("CARGO_BIN_EXE_mulgil"))
            .env_remove("MULGIL_ENV")
            .stdin(Stdio::null())
            .output();
        let done = Done::of(done.unwrap()).ends_with(0).says("-F _mulgil mulgil");
        return Some(
            done.stdout
                .lines()
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect(),
        );
    }
    eprintln!("not run: there is no bash 4 or newer");
    None
}

#[test]
fn bash_asks_and_is_given_what_it_has_not_yet() {
    let place = Place::of(SHOP);
    for (line, expected) in [
        ("mulgil why read", ["reads_daily", "reads_raw"].as_slice()),
        // Bash takes what follows `:`, `@` and `=` for words of their own.
        ("mulgil run flow:", &["daily", "night"]),
        ("mulgil status @sh", &["shops"]),
        ("mulgil status +sh", &["+shops"]),
        ("mulgil --env=pr", &["prod"]),
        ("mulgil --env pr", &["prod"]),
        ("mulgil nothing here", &[]),
    ] {
        if let Some(given) = in_bash(&place, line) {
            assert_eq!(given, expected, "{line}");
        }
    }
}

#[test]
fn tab_in_a_real_bash_completes_a_name() {
    if in_bash(&Place::of(SHOP), "mulgil why").is_none() {
        return;
    }
    let place = Place::of(SHOP);
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_mulgil"));
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-i"])
        .current_dir(place.path())
        .env("PS1", "ready> ")
        .env("PATH", format!("{}:/usr/bin:/bin", program.parent().unwrap().display()))
        .env("TERM", "dumb")
        .env("INPUTRC", "/dev/null")
        .env("HISTFILE", "/dev/null");
    let mut bash = rexpect::session::spawn_command(bash, Some(60_000)).unwrap();
    bash.exp_string("ready> ").unwrap();
    // What is typed is shown to people, and not by itself to tests.
    bash.send_line("stty echo; source <(mulgil completions bash); echo set''up")
        .unwrap();
    bash.exp_string("setup").unwrap();
    bash.exp_string("ready> ").unwrap();
    for (typed, completed) in [
        ("mulgil why reads_d", "reads_daily"),
        ("mulgil run flow:ni", "flow:night"),
    ] {
        bash.send(typed).unwrap();
        bash.send("\t").unwrap();
        bash.flush().unwrap();
        bash.exp_string(completed).unwrap();
        // The line is taken away, not run.
        bash.send("\u{15}").unwrap();
    }
    bash.send("exit\n").unwrap();
    bash.flush().unwrap();
    bash.exp_eof().unwrap();
}

#[test]
fn scripts_of_other_shells_are_read_by_them() {
    let place = Place::of(SHOP);
    for (shell, flags) in [("zsh", ["-n"]), ("fish", ["--no-execute"])] {
        let script = place.mulgil(&["completions", shell]).ends_with(0).stdout;
        assert!(script.contains(&format!("complete {shell} --")), "{script}");
        place.write("script", &script);
        match Command::new(shell)
            .args(flags)
            .arg("script")
            .current_dir(place.path())
            .output()
        {
            Ok(output) => drop(Done::of(output).ends_with(0)),
            Err(_) => eprintln!("not run: there is no {shell}"),
        }
    }
    let fish = place
        .mulgil(&["complete", "fish", "--", "mulgil", "why", "reads_d"])
        .ends_with(0)
        .stdout;
    assert_eq!(fish, "open\nreads_daily\tnode\n");
    let zsh = place
        .mulgil(&["complete", "zsh", "--", "mulgil", "run", "flow:n"])
        .ends_with(0)
        .stdout;
    assert_eq!(zsh, "closed\nflow:night\n");
}
