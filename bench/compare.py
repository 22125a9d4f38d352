"""Compares two result files row by row: `python -m bench.compare OLD NEW`.

Reports the rows that got worse by more than the spread. Compares ratios, not times, because the files may come from
different machines and each ratio is from one run.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

# Relative spread of a row without `low` and `high`.
_SPREAD = 0.1


@dataclass(frozen=True)
class Row:
    """One row of the comparison: the ratios in the old and the new file, None where the row is missing.

    `verdict` is `worse`, `better`, `differs`, `missed`, `gone`, `new` or empty.
    """

    what: str
    old: float | None
    new: float | None
    verdict: str

    @property
    def change(self) -> float | None:
        """The new ratio divided by the old one, None if either is missing or the old one is 0."""
        if self.old is None or self.new is None or not self.old:
            return None
        return self.new / self.old


def compare(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[Row]:
    """Compare the rows of two files, in the order of the new file. Rows that are gone come last."""
    before = {line["what"]: line for line in old}
    after = {line["what"]: line for line in new}
    rows = [_row(what, before.get(what), line) for what, line in after.items()]
    return rows + [Row(what, line["ratio"], None, "gone") for what, line in before.items() if what not in after]


def _row(what: str, old: dict[str, Any] | None, new: dict[str, Any]) -> Row:
    if old is None:
        return Row(what, None, new["ratio"], "new")
    verdict = ""
    bar = new.get("bar", "")
    less_is_better = not bar.startswith(">")
    (old_low, old_high), (low, high) = _span(old), _span(new)
    if bar and low > old_high:
        verdict = "worse" if less_is_better else "better"
    elif bar and high < old_low:
        verdict = "better" if less_is_better else "worse"
    elif low > old_high or high < old_low:
        verdict = "differs"
    if old.get("holds") and new.get("holds") is False:
        verdict = "missed"
    return Row(what, old["ratio"], new["ratio"], verdict)


def _span(line: dict[str, Any]) -> tuple[float, float]:
    low, high, ratio = line.get("low"), line.get("high"), line["ratio"]
    if low is None or high is None:
        return ratio * (1 - _SPREAD), ratio * (1 + _SPREAD)
    return low, high


def main(old: Annotated[Path, typer.Argument()], new: Annotated[Path, typer.Argument()]) -> None:
    """Compare two files that `python -m bench --json FILE` wrote; leave with 1 if something got worse."""
    first, second = _load(old), _load(new)
    for key, value in first["machine"].items():
        if second["machine"].get(key) != value:
            print(f"{key}: {value} before, {second['machine'].get(key, 'not there')} now")
    rows = compare(first["results"], second["results"])
    for row in rows:
        change = f"x {row.change:.2f}" if row.change is not None and math.isfinite(row.change) else ""
        print(f"{row.what:<64} {_number(row.old):>9} {_number(row.new):>9} {change:>8} {row.verdict}")
    worse = [row for row in rows if row.verdict in ("worse", "missed")]
    if worse:
        print(f"worse by more than the spread, or below its bar now: {', '.join(row.what for row in worse)}")
    sys.exit(1 if worse else 0)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _load(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"machine": dict(found["machine"]), "results": list(found["results"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{path}: not a file of results: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    typer.run(main)
