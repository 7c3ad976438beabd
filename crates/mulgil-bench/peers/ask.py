"""DuckDB's answers and times over a folder of Parquet files: a line of JSON in, a line of JSON out.

ask.py THREADS FOLDER
in:   {"sql": "…", "runs": 3, "rows": true}
out:  {"seconds": [0.1, …], "rows": [["1", null, …], …]}   or   {"error": "…"}

NULLs sort as in PostgreSQL, so that a LIMIT cuts the same rows off.
"""

import json
import pathlib
import sys
import time

import duckdb


def cell(value):
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def answer(connection, asked):
    seconds, rows = [], []
    for _ in range(asked.get("runs", 1)):
        began = time.perf_counter()
        rows = connection.execute(asked["sql"]).fetchall()
        seconds.append(time.perf_counter() - began)
    given = [[cell(value) for value in row] for row in rows] if asked.get("rows") else []
    return {"seconds": seconds, "rows": given}


def main(threads, folder):
    connection = duckdb.connect(config={"threads": int(threads)})
    connection.execute("set default_null_order = 'postgres'")
    for path in pathlib.Path(folder).glob("*.parquet"):
        connection.execute(f"create view {path.stem} as from '{path}'")
    for line in sys.stdin:
        try:
            said = answer(connection, json.loads(line))
        except duckdb.Error as error:
            said = {"error": str(error)}
        print(json.dumps(said), flush=True)


main(*sys.argv[1:])
