//! A project in a folder of its own, and the program started in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// A project folder that goes away with the test.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its exit code; none when it was killed.
    pub(crate) code: Option<i32>,
    /// Data.
    pub(crate) stdout: String,
    /// Talk.
    pub(crate) stderr: String,
}

impl Done {
    /// Of a process that has ended.
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn ends_with(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// stdout as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// The rows of a result in CSV, without its header.
    pub(crate) fn rows(&self) -> Vec<String> {
        self.stdout.lines().skip(1).map(str::to_owned).collect()
    }

    /// Asserts that this plan, as JSON, has no steps.
    #[track_caller]
    pub(crate) fn is_empty_plan(&self, when: &str) {
        let plan = self.json();
        assert_eq!(plan["steps"].as_array().unwrap().len(), 0, "{when}: {plan}");
    }

    /// How many durable writes a run with `MULGIL_CRASH_TEST=count` has counted.
    #[track_caller]
    pub(crate) fn writes(&self) -> u64 {
        let counted = self.stderr.lines().find_map(|line| line.strip_prefix("writes: "));
        counted.unwrap().parse().unwrap()
    }

    /// Asserts that stderr says something.
    #[track_caller]
    pub(crate) fn says(self, what: &str) -> Self {
        assert!(self.stderr.contains(what), "no `{what}` in:\n{}", self.stderr);
        self
    }
}

impl Place {
    /// A project from one text: each file begins with a line `=== path`.
    pub(crate) fn of(text: &str) -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for part in text.split("=== ").skip(1) {
            let (path, body) = part.split_once('\n').unwrap();
            place.write(path.trim(), body);
        }
        place
    }

    /// The flights of January 2013.
    pub(crate) fn january() -> Self {
        let place = Self::year();
        place.edit("mulgil.yml", "+end: 2014-01-01", "+end: 2013-02-01");
        place
    }

    /// The flights of 2013.
    pub(crate) fn year() -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        copy_but(&MADE, &example(), place.path());
        place
    }

    /// The A/B test of the second example.
    pub(crate) fn ab_test() -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        copy_but(&MADE, &ab_test(), place.path());
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, path: &str, body: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, body).unwrap();
    }

    /// Replaces text that must be there.
    #[track_caller]
    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let path = self.path().join(path);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "no `{from}` in {}", path.display());
        fs::write(path, text.replace(from, to)).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.path().join(path)).unwrap();
    }

    /// The program, not started yet.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mulgil"));
        command
            .args(words)
            .current_dir(self.path())
            .env_remove("MULGIL_ENV")
            .stdin(Stdio::null());
        command
    }

    /// Starts the program and waits for its end.
    pub(crate) fn mulgil(&self, words: &[&str]) -> Done {
        Done::of(self.command(words).output().unwrap())
    }

    /// `run`, to be killed at a place.
    pub(crate) fn run_killed_at(&self, place: &str) -> Done {
        Done::of(self.command(&["run"]).env("MULGIL_CRASH_TEST", place).output().unwrap())
    }

    /// A query's rows as CSV without the header.
    #[track_caller]
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        self.mulgil(&["query", sql, "-o", "csv"]).ends_with(0).rows()
    }

    /// The plan's steps, one line each, sorted: `node start..end count kind`, a `?` behind `if_changed`.
    #[track_caller]
    pub(crate) fn plan(&self) -> Vec<String> {
        let plan = self.mulgil(&["plan", "--json"]).ends_with(0).json();
        let mut lines: Vec<String> = plan["steps"].as_array().unwrap().iter().map(line).collect();
        lines.sort();
        lines
    }

    /// All rows of all tables of the flights, in one order.
    pub(crate) fn tables(&self) -> Vec<(&'static str, Vec<String>)> {
        const TABLES: [&str; 6] = [
            "flights",
            "weather",
            "flights_weather",
            "delays_daily",
            "delays_monthly",
            "delays_28d",
        ];
        let rows = |table: &'static str| {
            let mut rows = self.rows(&format!("select * from {table}"));
            rows.sort();
            (table, rows)
        };
        TABLES.into_iter().map(rows).collect()
    }

    /// Runs Python with the packages of tests/requirements.txt in the project's folder.
    #[track_caller]
    pub(crate) fn python(&self, script: &str) -> String {
        let python = std::env::var("MULGIL_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let output = Command::new(python)
            .args(["-c", script])
            .current_dir(self.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The example in the repository.
pub(crate) fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/flights")
}

/// The dbt project in the repository.
pub(crate) fn ab_test() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/ab_test")
}

fn line(step: &Value) -> String {
    let date = |value: &Value| value.as_str().unwrap_or("-").chars().take(10).collect::<String>();
    let range = match &step["interval"] {
        Value::Null => "all".to_owned(),
        range => format!("{}..{} {}", date(&range["start"]), date(&range["end"]), range["count"]),
    };
    let maybe = if step["if_changed"] == true { "?" } else { "" };
    format!(
        "{} {range} {}{maybe}",
        step["node"].as_str().unwrap(),
        step["reason"]["kind"].as_str().unwrap()
    )
}

/// What runs make in a project's folder.
const MADE: [&str; 2] = [".mulgil", "warehouse"];

/// Copies a folder, but for what is named.
pub(crate) fn copy_but(left_out: &[&str], from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if left_out.iter().any(|left_out| name == *left_out) {
            continue;
        }
        if entry.path().is_dir() {
            copy_but(left_out, &entry.path(), &to.join(name));
        } else {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}
