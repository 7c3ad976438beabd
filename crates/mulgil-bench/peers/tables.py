"""Tables made from the numbers of their rows, the same on every machine, as Parquet files.

tables.py ROWS FOLDER NAME…       big, other or narrow, each of so many rows
"""

import sys

import duckdb

# A prime that shares no factor with the counts of rows, so that every key comes once, in no order.
PRIME = 2654435761

# A row of `big` has 508 bytes in memory, one of `other` 84.
TABLES = {
    "big": f"""
        select i as id, (i * {PRIME}) % $rows as key, i % 1000 as part, repeat(md5(i::varchar), 15) as payload
        from range($rows) r(i)""",
    "other": f"""
        select (i * {PRIME} + 7) % $rows as key, i as number, repeat(md5((i + 1)::varchar), 2) as name
        from range($rows) r(i)""",
    "narrow": """
        select i as id, timestamp '2026-01-01' + to_seconds(i) as happened_at,
            ['kr', 'jp', 'us', 'de', 'vn'][1 + i % 5] as country,
            ((i * 7919) % 1000000)::decimal(12, 2) / 100 as amount, substr(md5(i::varchar), 1, 12) as code
        from range($rows) r(i)""",
}


def main(rows, folder, *names):
    connection = duckdb.connect()
    connection.execute("set preserve_insertion_order = false")
    for name in names:
        sql = TABLES[name].replace("$rows", rows)
        connection.execute(f"copy ({sql}) to '{folder}/{name}.parquet' (format parquet, compression zstd)")


main(*sys.argv[1:])
