"""DuckDB on the day of events, with the memory and the threads that Mulgil has.

ga4.py run MEMORY THREADS EVENTS MODELS DATABASE   fills a table for each MODELS/*.sql, each once
ga4.py parquet EVENTS FILE                          the same day as Parquet
ga4.py rows DATABASE SQL                            the answer as CSV without a line of names
"""

import csv
import pathlib
import sys

import duckdb

OBJECT_BYTES = 1 << 20


def events(path):
    if path.endswith(".parquet"):
        return f"read_parquet('{path}')"
    return f"read_json('{path}', format = 'newline_delimited', maximum_object_size = {OBJECT_BYTES})"


def run(memory, threads, path, models, database):
    connection = duckdb.connect(database, config={"memory_limit": memory, "threads": int(threads)})
    # Only then may it spill as we do; the order of the file's lines means nothing here.
    connection.execute("set preserve_insertion_order = false")
    for model in sorted(pathlib.Path(models).glob("*.sql")):
        sql = model.read_text().replace("EVENTS", events(path))
        connection.execute(f"create or replace table {model.stem} as {sql}")


def parquet(path, file):
    duckdb.connect().execute(f"copy (from {events(path)}) to '{file}' (format parquet)")


def rows(database, sql):
    found = duckdb.connect(database, read_only=True).execute(sql).fetchall()
    csv.writer(sys.stdout, lineterminator="\n").writerows(found)


{"run": run, "parquet": parquet, "rows": rows}[sys.argv[1]](*sys.argv[2:])
