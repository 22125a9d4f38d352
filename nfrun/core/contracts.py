"""Defines what a pipeline file says of an output: the schema of its table, and the checks that it must pass."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from nfrun.core.text import ellipsize
from nfrun.core.values import field, frozen

BUILT_IN_CHECKS = ("rows", "unique", "not_null", "enum", "range", "match", "references", "fresh")
CHECKS = (*BUILT_IN_CHECKS, "sql", "python")
SCHEMA = "schema"  # the name of the check of a table's schema
EVIDENCE = "checks"  # the folder of a run with the first rows that fail checks
OF_TABLES = ("rows", "fresh")  # checks that no single row fails


@frozen
class Check:
    """One check of an output. `kind` is one of CHECKS, and `value` what the file has under that key.

    `allow` is how many failing rows are let pass: a number, or a share of all rows as in `1%`. `with_` has the values
    of a `sql` or `python` check. `index` is its place in the list of the file.
    """

    kind: str
    value: Any
    name: str
    severity: str = "error"
    allow: int | str = 0
    with_: Mapping[str, Any] = field(default_factory=dict)
    index: int = 0

    def input_name(self, output: str, column: str) -> str:
        """Return the name of the input of a node with what this check of an output compares a column with."""
        return f"{output}.{self.index}.{column}"

    def allowed(self, rows: int) -> float:
        """Return how many failing rows are let pass in a table of so many rows."""
        if isinstance(self.allow, str):
            return rows * float(self.allow.strip().removesuffix("%")) / 100
        return self.allow


@frozen
class Contract:
    """Requirements on a table. `columns` maps the columns of its schema to their types; it is empty without one."""

    columns: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()


@frozen
class CheckResult:
    """The result of a check of an output. The check of the schema has the name `schema`.

    `failing` is the number of rows that fail, None for a check that is not about single rows; `rows` are all rows of
    the table. `path` is the file with the first failing rows, and `shown` has a few of them as text, by column.
    `reason` says why a check that no single row fails does not hold. `key` is the digest of the check.
    """

    name: str
    output: str
    severity: str
    ok: bool
    failing: int | None = None
    rows: int = 0
    path: str | None = None
    reason: str = ""
    shown: tuple[Mapping[str, str], ...] = ()
    key: str = ""

    @property
    def text(self) -> str:
        """In which way the check does not hold: how many rows fail, and the first of them."""
        if self.failing is None:
            return self.reason
        count = f"{self.failing:,} row{'' if self.failing == 1 else 's'} of {self.rows:,}"
        return f"{count}; the first: {row_text(self.shown[0])}" if self.shown else count

    def as_json(self) -> dict[str, Any]:
        """Return how the check went as JSON values, with the reason where there is one."""
        keys = ("name", "output", "severity", "ok", "failing", "rows", "path")
        return {key: getattr(self, key) for key in keys} | ({"reason": self.reason} if self.reason else {})


def failed_checks(results: Iterable[CheckResult]) -> list[CheckResult]:
    """Return the checks that let their node fail."""
    return [result for result in results if result.severity == "error" and not result.ok]


def row_text(row: Mapping[str, str]) -> str:
    """Return a row on one line."""
    return ellipsize(", ".join(f"{name}: {value}" for name, value in row.items()), 200)


def default_name(kind: str, value: Any) -> str:
    """Return the name of a check to which the file gives none: what it checks, and of which columns."""
    if kind in ("unique", "not_null"):
        shown = value if isinstance(value, str) else ", ".join(map(str, value))
    elif kind == "rows" and isinstance(value, Mapping):
        shown = ", ".join(f"{key} {limit}" for key, limit in value.items())
    elif isinstance(value, Mapping):
        shown = ", ".join(map(str, value))
    else:
        shown = value if isinstance(value, str) else json.dumps(value)
    return f"{kind}: {ellipsize(' '.join(str(shown).split()))}"
