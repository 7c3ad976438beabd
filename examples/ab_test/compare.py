#!/usr/bin/env python3
"""Runs this project with dbt and with Mulgil, changes it, runs both again, and compares every table.

Usage: python3 compare.py MULGIL           compares; ends with 1 where something differs
       python3 compare.py MULGIL --write   also writes the figures of dbt to expected/

MULGIL is the program. Needs `pip install dbt-core dbt-duckdb`, of this interpreter. Both work in
copies of this folder that go away.

Each line is a step, a table, its rows in `Mulgil | dbt`, and whether they are equal: the names of the
columns and all rows, sorted. Numbers are compared as decimals, times as instants in UTC. Of a snapshot
`dbt_scd_id` is left out: it is a hash of a time as a text, and each program writes times in its own way.
"""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import date, datetime, timezone
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import duckdb

HERE = Path(__file__).resolve().parent
NOT_COPIED = shutil.ignore_patterns(".mulgil", "warehouse", "target", "logs", "*.duckdb", "__pycache__", ".user.yml")
HASHES = {"dbt_scd_id"}

# What the Rust test of this example expects; each is also the query that it asks Mulgil.
FIGURES = {
    "by_variant": """
        select variant, count(distinct user_id) as users, count(*) as days, sum(items) as items,
               sum(clicked_items) as clicked_items, sum(purchases) as purchases, sum(revenue) as revenue
        from main_analytics.analytics_variant_user_daily group by variant order by variant""",
    "by_age_band": """
        select age_band, gender, sum(purchases) as purchases, sum(revenue) as revenue
        from main_analytics.analytics_variant_user_daily group by age_band, gender order by age_band, gender""",
    "history": """
        select user_id, age_band, gender, dbt_valid_from, dbt_valid_to
        from user_metadata_snapshot
        where user_id in (
            select user_id from user_metadata_snapshot where dbt_valid_from >= timestamp '2026-11-01 00:00:00'
        )
        order by user_id, dbt_valid_from""",
}


class Dbt:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def build(self) -> str:
        """Runs all, and tells of the data tests."""
        command = [sys.executable, "-m", "dbt.cli.main", "build", "--quiet", "--no-use-colors", "--profiles-dir", "."]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=plain_environment())
        if done.returncode:
            sys.exit(f"dbt ends with {done.returncode}:\n{done.stdout}{done.stderr}")
        self.manifest = json.loads((self.folder / "target/manifest.json").read_text())
        results = json.loads((self.folder / "target/run_results.json").read_text())["results"]
        tests = [result for result in results if result["unique_id"].startswith("test.")]
        self.warnings = {
            result["unique_id"].split(".")[2]: result["failures"] for result in tests if result["status"] == "warn"
        }
        return f"{sum(result['status'] == 'pass' for result in tests)} of {len(tests)} data tests pass"

    def tables(self) -> list[tuple[str, str]]:
        """The schema and name of everything that is declared and has rows."""
        nodes = self.manifest["nodes"].values()
        return sorted(
            (node["schema"], node["alias"])
            for node in nodes
            if node["resource_type"] in ("seed", "model", "snapshot")
            and node["config"]["materialized"] != "ephemeral"
        )

    def query(self, sql: str):
        with duckdb.connect(self.folder / "ab_test.duckdb", read_only=True) as database:
            result = database.execute(sql)
            return [column[0] for column in result.description], result.fetchall()


class Mulgil:
    def __init__(self, program: Path, folder: Path) -> None:
        self.program, self.folder = program, folder

    def __call__(self, *words: str) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [self.program, *words], cwd=self.folder, capture_output=True, text=True, env=plain_environment()
        )
        if done.returncode:
            sys.exit(f"mulgil {' '.join(words)} ends with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def build(self) -> str:
        told = self("run").stderr
        self.warnings = {
            name: int(rows.replace(",", ""))
            for name, rows in re.findall(r"warning: (\S+) on \S+: ([\d,]+) rows?", told)
        }
        tests = re.search(r"(\d+) of (\d+) data tests passed", told)
        return f"{tests[1]} of {tests[2]} data tests pass" if tests else "no data test is due"

    def query(self, sql: str):
        out = self("query", sql, "-o", "json").stdout
        rows = json.loads(out, parse_float=Decimal)
        return list(rows[0]) if rows else None, [tuple(row.values()) for row in rows]


def plain_environment() -> dict[str, str]:
    mine = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    return {key: value for key, value in os.environ.items() if not key.startswith(("DBT_", "MULGIL_"))} | mine


def main() -> None:
    words = [word for word in sys.argv[1:] if word != "--write"]
    if len(words) != 1:
        sys.exit(__doc__)
    program = Path(shutil.which(words[0]) or words[0]).resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary) / name for name in ("dbt", "mulgil")]
        for folder in folders:
            shutil.copytree(HERE, folder, ignore=NOT_COPIED)
        story = Story(Dbt(folders[0]), Mulgil(program, folders[1]), "--write" in sys.argv)
        print(f"{story.mulgil('--version').stdout.strip()}; dbt-core {version('dbt-core')}, "
              f"dbt-duckdb {version('dbt-duckdb')}, DuckDB {duckdb.__version__}")
        story.tell()
    if story.differences:
        sys.exit(f"{story.differences} of {story.compared} comparisons differ")
    print(f"all {story.compared} comparisons equal")


class Story:
    def __init__(self, dbt: Dbt, mulgil: Mulgil, is_writing: bool) -> None:
        self.dbt, self.mulgil, self.is_writing = dbt, mulgil, is_writing
        self.compared = self.differences = 0
        self.rows: list[tuple] = []

    def tell(self) -> None:
        self.step("1 first build")
        self.figures("first")
        self.change(lambda folder: append(folder / "seeds/user_event.csv", folder / "changes/more_events.csv"))
        self.step("2 more events")
        self.appended_once("2 more events")
        self.figures("more_events")
        self.step("2 again")
        self.appended_once("2 again")
        for number in (1, 2, 3):
            changed = f"changes/user_metadata_{number}.csv"
            self.change(lambda folder: shutil.copy(folder / changed, folder / "seeds/user_metadata.csv"))
            self.step(f"3 answers changed {number}")
        self.figures("answers")
        self.change(lambda folder: edit(folder / "dbt_project.yml", "+materialized: view", "+materialized: ephemeral"))
        plan = self.mulgil("plan").stdout
        gone = sorted(re.findall(r"^no longer declared: view ([^;\s]+)", plan, re.MULTILINE))
        views = [f"main.src_user_{name}" for name in ("event", "metadata", "variant")]
        self.line("4 src ephemeral", "plan: views no longer declared", f"{len(gone)} | 3", gone == views)
        self.step("4 src ephemeral")
        self.figures("answers")
        self.figure("rows_by_table", ["step", "table", "rows"], self.rows)

    def change(self, work) -> None:
        work(self.dbt.folder)
        work(self.mulgil.folder)

    def step(self, step: str) -> None:
        told = self.mulgil.build(), self.dbt.build()
        print(f"{step:<22} Mulgil: {told[0]}; dbt: {told[1]}", flush=True)
        for name, rows in self.mulgil.warnings.items():
            theirs = self.dbt.warnings.get(name)
            self.line(step, "test that warns", f"{rows} | {theirs}", rows == theirs)
        for schema, table in self.dbt.tables():
            sql = f"select * from {schema}.{table}"
            theirs, ours = self.dbt.query(sql), self.mulgil.query(sql)
            is_same = normal(*theirs) == normal(*ours)
            self.line(step, f"{schema}.{table}", f"{len(ours[1])} | {len(theirs[1])}", is_same)
            self.rows.append((step, table, len(theirs[1])))

    def appended_once(self, step: str) -> None:
        """Each raw event is in the fact, once."""
        with open(self.mulgil.folder / "seeds/user_event.csv", encoding="utf-8") as lines:
            raw = sum(1 for _ in lines) - 1
        _, rows = self.mulgil.query("select count(*) as rows, count(distinct event_id) as events from fact_user_event")
        self.line(step, "fact: rows, events", f"{rows[0][0]}, {rows[0][1]} | {raw}", rows == [(raw, raw)])

    def figures(self, when: str) -> None:
        for name, sql in FIGURES.items():
            if name == "history" and when != "answers":
                continue
            self.figure(f"{name}_{when}", *self.dbt.query(sql))

    def figure(self, name: str, columns, rows) -> None:
        """Compares figures of dbt with the committed ones, or writes them."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([printed(value) for value in row] for row in rows)
        file = HERE / "expected" / f"{name}.csv"
        if self.is_writing:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text.getvalue(), encoding="utf-8", newline="\n")
        is_same = file.exists() and file.read_text(encoding="utf-8") == text.getvalue()
        self.line("figures", f"expected/{name}.csv", f"{len(rows)}", is_same)

    def line(self, step: str, what: str, rows: str, is_same: bool) -> None:
        self.compared += 1
        self.differences += not is_same
        print(f"{step:<22} {what:<45} {rows:>18}  {'OK' if is_same else 'DIFFERENT'}", flush=True)


def append(file: Path, lines: Path) -> None:
    with open(file, "ab") as target:
        target.write(lines.read_bytes())


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    if old not in text:
        sys.exit(f"no `{old}` in {file.name}")
    file.write_text(text.replace(old, new), encoding="utf-8")


def normal(columns, rows):
    """Rows as sorted texts that do not tell by which program they were printed."""
    if columns is None:
        return [], []
    kept = [index for index, column in enumerate(columns) if column not in HASHES]
    values = sorted([canonical(row[index]) for index in kept] for row in rows)
    return [columns[index] for index in kept], values


def canonical(value) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float() | Decimal():
            return f"{Decimal(str(value)).normalize():f}"
        case datetime():
            return instant(value)
        case date():
            return repr(value.isoformat())
        case str() if re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:", value):
            return instant(datetime.fromisoformat(value))
    return repr(value)


def instant(value: datetime) -> str:
    return value.replace(tzinfo=value.tzinfo or timezone.utc).astimezone(timezone.utc).isoformat()


def printed(value) -> str:
    """A value as `mulgil query -o csv` prints it."""
    match value:
        case None:
            return ""
        case datetime():
            return instant(value)
    return str(value)


if __name__ == "__main__":
    main()
