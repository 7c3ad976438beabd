#!/usr/bin/env python3
"""Makes the raw data of this example: the same files each time, by Python's standard library alone.

Usage: python3 generate.py           writes seeds/ and changes/ beside this script
       python3 generate.py --check   compares with them and ends with 1 where they differ

Nobody in it is real. What the data is made to have in it:

- users who are in neither variant, and users of whom nothing but the variant is known;
- events before the user was given a variant, which must not count;
- texts in Korean and in English, and times with their offset written out (`Z`).
"""

import csv
import io
import random
import sys
from datetime import datetime, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent

USERS = 300
EVENTS = 3600
MORE_EVENTS = 240
START = datetime(2026, 10, 1)
DAYS = 28

AGE_BANDS = ["10대", "20대", "30대", "40대", "50대+"]
GENDERS = ["여성", "남성", "other"]
ITEMS = [f"{kind}-{number:02}" for kind in ["셔츠", "모자", "mug", "lamp", "가방"] for number in range(1, 13)]


def files() -> dict[str, str]:
    dice = random.Random(20261121)
    users = list(range(1001, 1001 + USERS))
    assigned = {
        user: START + timedelta(minutes=dice.randrange(3 * 24 * 60)) for user in users if user % 23 != 0
    }
    variants = {user: dice.choice(["control", "test"]) for user in assigned}
    people = {
        user: (dice.choice(AGE_BANDS), dice.choice(GENDERS), datetime(2026, 9, 1) + timedelta(hours=dice.randrange(600)))
        for user in users
        if user % 17 != 0
    }
    events = moments(dice, users, variants, EVENTS, START, DAYS)
    more = moments(dice, users, variants, MORE_EVENTS, START + timedelta(days=DAYS), 2)
    out = {
        "seeds/user_event.csv": table(
            ["user_id", "event_id", "event_at", "event_type", "item_id", "amount"], rows(events, 1)
        ),
        "seeds/user_variant.csv": table(
            ["user_id", "variant", "assigned_at"],
            [[user, variants[user], iso(assigned[user])] for user in assigned],
        ),
        "seeds/user_metadata.csv": metadata(people),
        # Without a header: these lines are appended.
        "changes/more_events.csv": table(None, rows(more, 1 + EVENTS)),
    }
    for number in (1, 2, 3):
        change(dice, people, users, datetime(2026, 10, 25) + timedelta(days=7 * number), number)
        out[f"changes/user_metadata_{number}.csv"] = metadata(people)
    return out


def moments(dice, users, variants, count, start, days):
    """Events in the order of their time."""
    out = []
    for _ in range(count):
        user = dice.choice(users)
        bias = 0.08 if variants.get(user) == "test" else 0.0
        roll = dice.random()
        kind = "purchase" if roll < 0.10 + bias else "click" if roll < 0.40 + bias else "view"
        at = start + timedelta(seconds=dice.randrange(days * 24 * 3600))
        amount = f"{dice.randrange(500, 20000) / 100:.2f}" if kind == "purchase" else ""
        out.append((at, user, kind, dice.choice(ITEMS), amount))
    return sorted(out)


def rows(events, first):
    return [
        [user, first + index, iso(at), kind, item, amount]
        for index, (at, user, kind, item, amount) in enumerate(events)
    ]


def change(dice, people, users, at, number):
    """Some people tell something else of themselves, and some tell it for the first time."""
    for user in dice.sample(sorted(people), 12):
        age_band, gender, _ = people[user]
        others = [band for band in AGE_BANDS if band != age_band]
        people[user] = (dice.choice(others), gender, at + timedelta(minutes=dice.randrange(600)))
    silent = [user for user in users if user not in people]
    people[silent[number]] = (dice.choice(AGE_BANDS), dice.choice(GENDERS), at)


def metadata(people) -> str:
    return table(
        ["user_id", "age_band", "gender", "updated_at"],
        [[user, age_band, gender, iso(at)] for user, (age_band, gender, at) in sorted(people.items())],
    )


def iso(at: datetime) -> str:
    return f"{at.isoformat(timespec='seconds')}Z"


def table(header, lines) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue()


def main() -> None:
    made = files()
    if sys.argv[1:] == ["--check"]:
        differing = [name for name, text in made.items() if (HERE / name).read_text(encoding="utf-8") != text]
        if differing:
            sys.exit("not as committed: " + ", ".join(differing))
        print(f"{len(made)} files as committed", file=sys.stderr)
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        for name, text in made.items():
            (HERE / name).parent.mkdir(exist_ok=True)
            (HERE / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
