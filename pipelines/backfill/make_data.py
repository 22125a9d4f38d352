"""Makes the days of a web server: `python make_data.py [--first DAY] [--days N] [FOLDER]`. The same every time.

A day depends on its date alone, so that more days leave those that are there.
"""

import argparse
import json
import random
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

SEED = 2026
FIRST, DAYS = date(2026, 1, 1), 10
PAGES = ("/", "/pricing", "/docs", "/docs/start", "/blog", "/login")
WEIGHTS = (30, 10, 20, 12, 8, 5)


def visits(day: date) -> Iterator[dict[str, Any]]:
    """Yield the visits of a day, in order: fewer at the weekend, and none on 1 January."""
    if (day.month, day.day) == (1, 1):
        return
    chance = random.Random(f"{SEED} {day}")
    count = chance.randrange(40, 60) // (2 if day.weekday() >= 5 else 1)
    midnight = datetime.combine(day, time())
    for second in sorted(chance.randrange(86_400) for _ in range(count)):
        yield {
            "at": (midnight + timedelta(seconds=second)).isoformat(),
            "visitor": chance.randrange(1, 25),
            "page": chance.choices(PAGES, WEIGHTS)[0],
            "ms": chance.randrange(8, 400),
        }


def main() -> None:
    """Write a file for each day."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).with_name("data"))
    parser.add_argument("--first", type=date.fromisoformat, default=FIRST)
    parser.add_argument("--days", type=int, default=DAYS)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for day in (given.first + timedelta(days=n) for n in range(given.days)):
        text = "".join(json.dumps(visit) + "\n" for visit in visits(day))
        (given.folder / f"{day}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
