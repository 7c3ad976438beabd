#!/usr/bin/env python3
"""Cuts the flights of 2013 into one gzipped CSV per New York day: data/flights/flights_YYYYMMDD.csv.gz.

Usage: python3 split.py PATH/TO/flights.csv.gz

Rows keep their bytes and their order. The day is the date of `time_hour` (UTC) in New York; a row
whose `year`, `month`, `day` say another date stops the script. The same input gives the same
files: gzip level 9, no time stamp, no file name.
"""

import csv
import gzip
import sys
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
TARGET = Path(__file__).resolve().parent / "data" / "flights"


def split(source: Path) -> dict[str, list[str]]:
    """The file's lines by day (`YYYYMMDD`), each day with the header first."""
    opened = gzip.open if source.suffix == ".gz" else open
    with opened(source, "rt", encoding="utf-8", newline="") as text:
        header, *lines = text.read().splitlines(keepends=True)
    days: dict[str, list[str]] = {}
    for number, (line, row) in enumerate(zip(lines, csv.DictReader([header, *lines]), strict=True), start=2):
        day = datetime.fromisoformat(row["time_hour"].replace("Z", "+00:00")).astimezone(NEW_YORK).date()
        if (day.year, day.month, day.day) != (int(row["year"]), int(row["month"]), int(row["day"])):
            sys.exit(f"{source}:{number}: time_hour is on {day} in New York, the row says otherwise: {line.strip()}")
        days.setdefault(f"{day:%Y%m%d}", [header]).append(line)
    return days


def write(path: Path, lines: list[str]) -> None:
    with path.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=0) as packed:
        packed.write("".join(lines).encode())


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    days = split(Path(sys.argv[1]))
    TARGET.mkdir(parents=True, exist_ok=True)
    for day, lines in sorted(days.items()):
        write(TARGET / f"flights_{day}.csv.gz", lines)
    rows = sum(len(lines) - 1 for lines in days.values())
    print(f"{rows} flights on {len(days)} days, {min(days)} to {max(days)}", file=sys.stderr)


if __name__ == "__main__":
    main()
