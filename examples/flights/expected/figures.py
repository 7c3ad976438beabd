#!/usr/bin/env python3
"""Computes with DuckDB, from the raw CSV files alone, what the tables of this example must hold.

Usage: python3 figures.py           writes the CSV files beside this script
       python3 figures.py --check   compares with them and ends with 1 where they differ

Needs `pip install duckdb`. Days are taken from the columns year, month and day of the raw rows, not
from `time_hour`, so that a mistake in a time zone cannot be on both sides. Averages are rounded to
six digits after the point.
"""

import sys
import tempfile
from pathlib import Path

import duckdb

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data"

RAW = f"""
create table flight as
select make_date(year, month, day) as day, date_trunc('month', make_date(year, month, day))::date as month,
       carrier, origin, dep_delay, time_hour
from read_csv('{DATA}/flights/*.csv.gz', header = true, delim = ',', nullstr = 'NA', sample_size = -1);

create table reading as
select make_date(year, month, day) as day, origin, time_hour
from read_csv('{DATA}/weather.csv.gz', header = true, delim = ',', nullstr = 'NA', sample_size = -1);

create table calendar as
select range::date as day from range(date '2013-01-01', date '2014-01-01', interval 1 day);
"""

SUMS = "count(*) as flights, count(dep_delay) as departed, sum(dep_delay)::bigint as dep_delay_sum"
MEAN = "round(sum(dep_delay) / count(dep_delay), 6) as dep_delay_avg"

WINDOWS = f"""
select calendar.day, origin, carrier, count(*) as flights, count(dep_delay) as departed, {MEAN}
from calendar join flight on flight.day between calendar.day - 27 and calendar.day
group by all
"""

FIGURES = {
    "delays_by_airline": f"select carrier, {SUMS} from flight group by carrier order by all",
    "delays_by_month": f"select month, {SUMS} from flight group by month order by all",
    "delays_by_day": f"select day, {SUMS} from flight group by day order by all",
    "delays_daily": f"select day, carrier, origin, {SUMS}, {MEAN} from flight group by all order by all",
    "delays_monthly": f"select month, carrier, origin, {SUMS}, {MEAN} from flight group by all order by all",
    "delays_28d": f"{WINDOWS} order by all",
    "flights_weather_by_day": """
        select flight.day, count(*) as flights, count(reading.time_hour) as with_weather
        from flight left join reading using (origin, time_hour) group by all order by all""",
    "weather_by_day": """
        select calendar.day, count(reading.day) as readings
        from calendar left join reading using (day) group by all order by all""",
    "rows_by_table": f"""
        select 'flights' as name, count(*) as rows from flight
        union all select 'weather', count(*) from reading
        union all select 'flights_weather', count(*) from flight left join reading using (origin, time_hour)
        union all select 'delays_daily', count(*) from (select distinct day, carrier, origin from flight)
        union all select 'delays_monthly', count(*) from (select distinct month, carrier, origin from flight)
        union all select 'delays_28d', count(*) from ({WINDOWS})
        order by name""",
}


def compute(target: Path) -> None:
    database = duckdb.connect()
    database.execute(RAW)
    for name, query in FIGURES.items():
        database.execute(f"copy ({query}) to '{target / name}.csv' (header, delimiter ',')")


def check() -> None:
    with tempfile.TemporaryDirectory() as folder:
        compute(Path(folder))
        differing = [
            name
            for name in FIGURES
            if (HERE / f"{name}.csv").read_text() != (Path(folder) / f"{name}.csv").read_text()
        ]
    if differing:
        sys.exit("not as committed: " + ", ".join(f"{name}.csv" for name in differing))
    print(f"{len(FIGURES)} files as committed", file=sys.stderr)


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        check()
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        compute(HERE)
