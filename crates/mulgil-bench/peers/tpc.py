"""What only DuckDB's own extension has: the queries of TPC-H and TPC-DS, and TPC-DS's data.

tpc.py queries tpch|tpcds FOLDER        one file per query: FOLDER/1.sql, …
tpc.py data tpcds SCALE FOLDER          one Parquet file per table
"""

import importlib
import pathlib
import sys

import duckdb


def loaded(kind):
    package = importlib.import_module(f"duckdb_extension_{kind}")
    folder = pathlib.Path(package.__file__).parent / "extensions" / f"v{duckdb.__version__}"
    connection = duckdb.connect()
    connection.execute(f"load '{folder / kind}.duckdb_extension'")
    return connection


def queries(kind, folder):
    for number, text in loaded(kind).execute(f"select query_nr, query from {kind}_queries()").fetchall():
        (pathlib.Path(folder) / f"{number}.sql").write_text(text)


def data(kind, scale, folder):
    connection = loaded(kind)
    connection.execute(f"call dsdgen(sf={scale})")
    for (table,) in connection.execute("show tables").fetchall():
        connection.execute(f"copy {table} to '{folder}/{table}.parquet' (format parquet)")


{"queries": queries, "data": data}[sys.argv[1]](*sys.argv[2:])
