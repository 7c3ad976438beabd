#!/usr/bin/env python3
"""Replays the `.slt` files of this folder against DuckDB and PostgreSQL and reports where they differ.

    python oracle.py --postgres 'host=/run/postgresql user=postgres' [FILE or FOLDER ...]
    python oracle.py --fill FILE ...      completes records that have no result yet
    python oracle.py --count              how many records there are, by folder

Needs the packages `duckdb` and, with `--postgres`, `psycopg2`. Every file starts from an empty
database of its own, in the zone UTC. The exit code is 1 if anything differs.

A file is plain sqllogictest. What an oracle must know besides stands in comments above a record:

    # only mulgil               no oracle can judge the record
    # oracle duckdb             this oracle alone judges it: the other lacks it or means something else
    # in postgres: SQL          the same thing in the oracle's own words (several lines are joined);
    # in duckdb: SQL            `nothing` means that the oracle has nothing to do here
    # in both: SQL

`# oracle ...` or `# only mulgil` directly under the head of a file (before the first empty line)
holds for all its records that say nothing themselves. Values of a row are separated by one tab.
`skipif mulgil` says that Mulgil still differs. `$__TEST_DIR__` is a folder of the oracle's own, as after `control substitution on`.
"""

import argparse
import datetime
import json
import re
import sys
import tempfile
from dataclasses import dataclass, field
from decimal import Context, Decimal, InvalidOperation
from pathlib import Path

import duckdb

HERE = Path(__file__).resolve().parent
ORACLES = ("duckdb", "postgres")
# Decimals have 38 digits at most, and a double tells 17 apart.
EXACT, FLOAT_DIGITS = Context(prec=80), 17


# --- Reading files ----------------------------------------------------------------------------


@dataclass
class Record:
    """One record: where its lines are, what it runs, and what it expects."""

    line: int
    header: list
    sql: str
    expected: list  # lines of a result; None where there is none yet
    oracles: tuple
    spelling: dict = field(default_factory=dict)  # oracle -> its own SQL
    end: int = 0  # the line after its last

    @property
    def kind(self):
        """`ok`, `count`, `error` or `query`."""
        if self.header[0] == "query":
            return "error" if self.header[1:2] == ["error"] else "query"
        return self.header[1]

    @property
    def unfilled(self):
        """Whether the oracles still have to give its result."""
        return (self.kind == "query" and self.expected is None) or self.header == ["statement", "count"]

    def sql_for(self, oracle):
        """What this oracle runs; None where it has nothing to do."""
        if oracle not in self.oracles:
            return None
        sql = self.spelling.get(oracle, self.sql)
        return None if sql.strip() == "nothing" else sql


def judges(notes):
    """The oracles that comments name, or None where they say nothing."""
    if "# only mulgil" in notes:
        return ()
    named = tuple(o for o in ORACLES if f"# oracle {o}" in notes)
    return named or None


def spelling_of(notes):
    """The words of each oracle, out of the comments above a record."""
    words = {}
    for note in notes:
        match = re.match(r"# in (duckdb|postgres|both): (.*)", note)
        if match:
            for oracle in ORACLES if match[1] == "both" else [match[1]]:
                words[oracle] = f"{words[oracle]}\n{match[2]}" if oracle in words else match[2]
    return words


def parse(path):
    """All records of a file, in order."""
    lines = path.read_text(encoding="utf-8").split("\n")
    default, notes, records, at = None, [], [], 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("#"):
            notes.append(line.rstrip())
        elif not line.strip():
            if default is None:
                default = judges(notes) or (() if "# only mulgil" in notes else ORACLES)
            notes = []
        elif line.split()[0] == "control":
            pass  # `$__TEST_DIR__` is always substituted here
        elif line.rstrip() == "skipif mulgil":
            pass  # Mulgil still differs; the oracles judge the record all the same
        elif line.split()[0] in ("statement", "query"):
            record, at = read_record(lines, at, notes, default if default is not None else ORACLES)
            records.append(record)
            notes = []
            continue
        else:
            raise SystemExit(f"{path}:{at + 1}: not a record: {line}")
        at += 1
    return records


def read_record(lines, at, notes, default):
    """The record that begins at a line, and the line where the next thing begins."""
    start, header = at, lines[at].split()
    sql, at = [], at + 1
    while at < len(lines) and lines[at].strip() and lines[at] != "----":
        sql.append(lines[at])
        at += 1
    expected = None
    if at < len(lines) and lines[at] == "----":
        expected, at = [], at + 1
        while at < len(lines) and lines[at].strip():
            expected.append(lines[at])
            at += 1
    said = judges(notes)
    oracles = default if said is None else said
    return Record(start + 1, header, "\n".join(sql), expected, oracles, spelling_of(notes), at), at


# --- Values as text ---------------------------------------------------------------------------


def text(value):
    """A value as the files write it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, float):
        return repr(value).replace("nan", "NaN").replace("e+", "e")
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None).isoformat(" ")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=plain)
    return str(value) if str(value) != "" else "(empty)"


def plain(value):
    """A value inside a list or a struct, as JSON has it."""
    return float(value) if isinstance(value, Decimal) else text(value)


def comparable(cell):
    """A cell such that equal values compare equal, however their numbers are written.

    `2`, `2.0` and `2.00` are one, and so are two floats that differ in their last digits only. A number
    with more digits than a float has is a decimal and has to be right in each of them.
    """
    try:
        number = Decimal(cell)
    except InvalidOperation:
        return " ".join(cell.split())
    if not number.is_finite():
        return str(number).replace("Infinity", "inf")
    if len(number.normalize(EXACT).as_tuple().digits) <= FLOAT_DIGITS and ("." in cell or "e" in cell.lower()):
        number = Decimal(format(number, ".14g"))
    return format(number.normalize(EXACT) if number else Decimal(0), "f")


def same(expected, actual, ordered):
    """Whether two lists of rows, each a list of cells, say the same."""
    left, right = ([[comparable(c) for c in row] for row in rows] for rows in (expected, actual))
    return left == right if ordered else sorted(left) == sorted(right)


# --- The oracles ------------------------------------------------------------------------------


@dataclass
class Answer:
    """What an oracle said: rows with their column types, a count, or an error."""

    rows: list = None
    types: str = ""
    count: int = None
    error: str = None


class Duck:
    """DuckDB, in memory."""

    name = "duckdb"

    def __init__(self, folder):
        self.connection = duckdb.connect()
        self.connection.execute("set timezone = 'UTC'")
        self.folder = folder

    def run(self, sql):
        """Runs one statement."""
        try:
            result = self.connection.execute(sql)
            described = result.description or []
            rows = [[text(v) for v in row] for row in result.fetchall()]
        except Exception as error:  # whatever it is, it is the oracle's answer
            return Answer(error=str(error))
        types = "".join(self.letter(str(column[1])) for column in described)
        counts = len(described) == 1 and described[0][0] == "Count" and len(rows) == 1
        return Answer(rows=rows, types=types, count=int(rows[0][0]) if counts else None)

    @staticmethod
    def letter(name):
        if re.fullmatch(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?", name):
            return "I"
        return "R" if name.startswith(("DECIMAL", "DOUBLE", "FLOAT")) else "T"

    def close(self):
        self.connection.close()


class Postgres:
    """PostgreSQL: a database of its own, which is dropped again."""

    name = "postgres"
    # Type names that are spelled otherwise there.
    PRELUDE = ("create domain double as double precision", "create domain tinyint as smallint", "create domain string as text")

    def __init__(self, dsn, folder):
        import psycopg2
        import psycopg2.extras

        self.connect, self.dsn, self.folder = psycopg2.connect, dsn, folder
        self.database = "slt_oracle"
        self.administer(f"drop database if exists {self.database}")
        self.administer(f"create database {self.database} encoding 'UTF8' template template0")
        self.connection = self.connect(dsn, dbname=self.database)
        self.connection.autocommit = True
        # JSON is left as the text that it is.
        psycopg2.extras.register_default_json(self.connection, loads=str)
        psycopg2.extras.register_default_jsonb(self.connection, loads=str)
        with self.connection.cursor() as cursor:
            cursor.execute("set timezone = 'UTC'")
            for statement in self.PRELUDE:
                cursor.execute(statement)

    def administer(self, sql):
        connection = self.connect(self.dsn, dbname="postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
        connection.close()

    def run(self, sql):
        """Runs one statement."""
        with self.connection.cursor() as cursor:
            try:
                cursor.execute(sql)
                if cursor.description is None:
                    return Answer(count=cursor.rowcount)
                types = "".join(self.letter(column.type_code) for column in cursor.description)
                return Answer(rows=[[text(v) for v in row] for row in cursor.fetchall()], types=types)
            except Exception as error:  # whatever it is, it is the oracle's answer
                return Answer(error=str(error))

    @staticmethod
    def letter(oid):
        return "I" if oid in (20, 21, 23) else "R" if oid in (700, 701, 1700) else "T"

    def close(self):
        self.connection.close()
        self.administer(f"drop database {self.database}")


# --- Judging ----------------------------------------------------------------------------------


def verdict(record, answer):
    """What is wrong with an answer; None where it is as expected."""
    if record.kind == "error":
        return "succeeds" if answer.error is None else None
    if answer.error is not None:
        return f"fails: {answer.error.strip()}"
    if record.kind == "count" and not record.unfilled and answer.count != int(record.header[2]):
        return f"counts {answer.count}"
    if record.kind == "query" and not record.unfilled:
        expected = [line.split("\t") for line in record.expected]
        if not same(expected, answer.rows, "rowsort" not in record.header):
            return "gives\n" + shown(answer.rows)
    return None


def shown(rows):
    """Rows as the files write them."""
    return "\n".join("\t".join(row) for row in rows)


def filled(record, known):
    """The result that the oracles agree on; a complaint where they do not."""
    if not known:
        return None, "no oracle gives its result"
    if record.kind == "count":
        counts = {a.count for a in known}
        return (None, f"counts differ: {counts}") if len(counts) > 1 else (counts.pop(), None)
    ordered = "rowsort" not in record.header
    first = known[0]
    for other in known[1:]:
        if not same(first.rows, other.rows, ordered):
            return None, f"oracles differ\n{shown(first.rows)}\n--\n{shown(other.rows)}"
    rows = first.rows if ordered else sorted(first.rows)
    if any("\n" in cell or "\t" in cell or not cell.strip() for row in rows for cell in row):
        return None, "a value that cannot stand in a line"
    return (first.types, rows), None


def completed(record, result):
    """The lines of a record with its result."""
    sql = record.sql.split("\n")
    if record.kind == "count":
        return [f"statement count {result}", *sql]
    types, rows = result
    return [" ".join(["query", types, *record.header[1:]]), *sql, "----", *("\t".join(row) for row in rows)]


def replay(path, dsn, fill):
    """Runs a file on the oracles; gives its complaints, and with `fill` writes what they gave."""
    records = parse(path)
    complaints, completions = [], []
    with tempfile.TemporaryDirectory() as folder:
        oracles = started(Path(folder), dsn)
        try:
            for record in records:
                result, wrong = judged(record, oracles)
                complaints += [f"{path}:{record.line}: {complaint}\n  {record.sql}" for complaint in wrong]
                if result is not None:
                    completions.append((record, result))
        finally:
            for oracle in oracles:
                oracle.close()
    if fill and completions:
        lines = path.read_text(encoding="utf-8").split("\n")
        for record, result in reversed(completions):
            lines[record.line - 1 : record.end] = completed(record, result)
        path.write_text("\n".join(lines), encoding="utf-8")
    return complaints, len(records)


def started(folder, dsn):
    """The oracles, each with a folder that its server may write to."""
    for name in ORACLES:
        (folder / name).mkdir()
        (folder / name).chmod(0o777)
    folder.chmod(0o755)
    return [Duck(folder / "duckdb")] + ([Postgres(dsn, folder / "postgres")] if dsn else [])


def judged(record, oracles):
    """What the oracles make of a record: its result where it had none, and what is wrong with it."""
    answers, wrong = {}, []
    for oracle in oracles:
        sql = record.sql_for(oracle.name)
        if sql is None:
            continue
        answer = oracle.run(sql.replace("$__TEST_DIR__", str(oracle.folder)))
        complaint = verdict(record, answer)
        if complaint:
            wrong.append(f"{oracle.name} {complaint}")
        else:
            answers[oracle.name] = answer
    if not record.unfilled or wrong:
        return None, wrong
    result, complaint = filled(record, list(answers.values()))
    return result, [complaint] if complaint else []


def files_of(names):
    """The `.slt` files that are meant; all of this folder where none is named."""
    found = []
    for path in map(Path, names or [HERE]):
        found += sorted(path.rglob("*.slt")) if path.is_dir() else [path]
    return found


def count(files):
    """Prints how many records each folder has."""
    by_folder = {}
    for path in files:
        folder = path.resolve().parent.name
        by_folder[folder] = by_folder.get(folder, 0) + len(parse(path))
    for folder, records in sorted(by_folder.items()):
        print(f"{records:6} {folder}")
    print(f"{sum(by_folder.values()):6} in {len(files)} files")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("files", nargs="*")
    arguments.add_argument("--postgres", metavar="DSN", help="how to reach a PostgreSQL where databases may be made")
    arguments.add_argument("--fill", action="store_true", help="write the results that are not there yet")
    arguments.add_argument("--count", action="store_true", help="count the records and run nothing")
    options = arguments.parse_args()
    files = files_of(options.files)
    if options.count:
        return count(files)
    complaints, records = [], 0
    for path in files:
        found, ran = replay(path, options.postgres, options.fill)
        complaints += found
        records += ran
    print("\n\n".join(complaints), end="\n\n" if complaints else "")
    print(f"{records} records in {len(files)} files: {len(complaints)} complaints")
    return sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
