"""A Parquet file written anew by others: by DuckDB as Parquet, by deltalake as a Delta table.

write.py duckdb|deltalake THREADS SOURCE TARGET
"""

import sys

import duckdb


def main(what, threads, source, target):
    connection = duckdb.connect(config={"threads": int(threads)})
    if what == "duckdb":
        connection.execute(f"copy (from '{source}') to '{target}' (format parquet)")
        return
    import deltalake

    reader = connection.execute(f"from '{source}'").to_arrow_reader(100_000)
    deltalake.write_deltalake(target, reader)


main(*sys.argv[1:])
