"""A page about one day: what its tables took in, and what readers said."""

import csv
from pathlib import Path

import mulgil

day = mulgil.interval.start.date()
tables = mulgil.outputs["tables"]
with open(f"data/events_{day:%Y%m%d}.csv", encoding="utf-8", newline="") as file:
    comments = [row["comment"] for row in csv.DictReader(file) if row["comment"]]

lines = [
    f"# 달빛 {day}",
    "",
    f"{tables['intervals']} tables took in this day, with {tables['rows']} rows.",
    "",
    f"Readers wrote {len(comments)} comments, the last ones:",
    "",
    *[f"- {comment}" for comment in comments[-3:]],
]
page = Path(f"reports/{day}.md")
page.parent.mkdir(exist_ok=True)
page.write_text("\n".join(lines) + "\n", encoding="utf-8")
mulgil.result({"page": str(page), "comments": len(comments)})
