"""Kills runs that upsert a million rows into SQLite, DuckDB and PostgreSQL, and starts them again.

Promised: the table is that of before the killed run or that of after it, never anything between. The same command then
completes it.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults import rig
from tests.faults.processes import command
from tests.faults.rig import MARK, ROOT, Setting, Trial

PLUGIN = ROOT / "plugins" / "nfrun-adbc"
sys.path[:0] = [str(PLUGIN), str(ROOT / "tests")]

ABOUT = (__doc__ or "").split("\n")[0]
FILE = "p.yaml"
SHIFT = 10  # of how many rows one is new in each run
PIPELINE = """
name: p
params: {run: 0, rows: 0}
nodes:
  rows:
    sql: >-
      select $run * ($rows // SHIFT) + range as id, 'value ' || range % 1000 as value, $run::bigint as run
      from range($rows)
    with: {run: "${{ params.run }}", rows: "${{ params.rows }}"}
  save: {use: adbc.write, inputs: rows, with: {table: t, mode: {upsert: [id]}}}
""".replace("SHIFT", str(SHIFT))


class Known:
    """What all trials share: the databases, and how long a run takes with each."""

    def __init__(self, setting: Setting, server: str) -> None:
        from plugin_site import as_installed

        self.rows, self.server = int(setting.options["rows"]), server
        path = os.pathsep.join(map(str, (ROOT, *as_installed(PLUGIN, setting.folder / "site"))))
        self.env = {"PYTHONPATH": path}
        self.schemes = ["sqlite", "duckdb", *(["postgresql"] if server else [])]
        self.seconds = {scheme: self._measured(scheme, setting.folder / scheme) for scheme in self.schemes}

    def _measured(self, scheme: str, folder: Path) -> float:
        table = Table(self, scheme, folder)
        table.ended(table.run(0))
        began = time.monotonic()
        table.ended(table.run(1))
        return time.monotonic() - began


class Table:
    """The pipeline in a folder, and the table that it writes."""

    def __init__(self, known: Known, scheme: str, folder: Path) -> None:
        from adbc_tests.trials import make_trial

        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(PIPELINE)
        self.database = make_trial(scheme, folder, lambda: known.server)
        self.place = rig.Place(folder, {**known.env, "ADBC_URI": self.database.uri})
        self.rows = known.rows
        self.done: list[int] = []

    def arguments(self, run: int) -> tuple[str, ...]:
        return "run", FILE, "-p", f"run={run}", "-p", f"rows={self.rows}", "-q"

    def run(self, run: int) -> tuple[int, rig.Ended]:
        return run, self.place.start(*self.arguments(run)).end(600)

    def ended(self, run: tuple[int, rig.Ended]) -> None:
        assert run[1].code == 0, run[1]
        self.done.append(run[0])

    def counts(self) -> dict[int, int]:
        """The number of rows of each run. They have different ids."""
        found = self.database.query(
            "select run, count(*) as n, count(distinct id) as ids from t group by run"
        ).to_pylist()
        assert all(row["n"] == row["ids"] for row in found), found
        return {row["run"]: row["n"] for row in found}

    def expected(self, done: Sequence[int]) -> dict[int, int]:
        """The number of rows of each run, when these runs have ended in turn."""
        latest: Counter[int] = Counter()
        end = 0
        for run in sorted(done, reverse=True):
            first = run * (self.rows // SHIFT)
            latest[run] = self.rows if not end else max(0, min(self.rows, end - first))
            end = first
        return {run: n for run, n in latest.items() if n}


def one(trial: Trial) -> None:
    known: Known = trial.prepared
    scheme = known.schemes[trial.number % len(known.schemes)]
    table = Table(known, scheme, trial.folder / "p")
    table.ended(table.run(0))
    for run in range(1, trial.random.randrange(2, 4)):
        mark = str(trial.folder / f"mark.{run}")
        started = table.place.start(*table.arguments(run), **{MARK: mark})
        time.sleep(known.seconds[scheme] * trial.random.uniform(0.1, 1.1))
        started.kill()
        started.end()
        left, _ = rig.await_gone(mark)
        trial.check(not left, f"run {run}: still there: {[command(pid) for pid in left]}")
        before, after = table.expected(table.done), table.expected([*table.done, run])
        found = table.counts()
        trial.check(found in (before, after), f"{scheme}, run {run}, killed: {found} instead of {before} or {after}")
        trial.count(f"{scheme}: kills {'after' if found == after else 'before'} the commit")
        _, ended = table.run(run)
        trial.check(ended.code == 0, f"{scheme}, run {run}, again: {ended}")
        table.done.append(run)
        found = table.counts()
        trial.check(found == after, f"{scheme}, run {run}, again: {found} instead of {after}")
        if scheme == "sqlite":
            trial.check(table.database.rows("pragma integrity_check") == [("ok",)], f"run {run}: the file is damaged")


def server_of(stack: ExitStack) -> str:
    """Return the URI of a PostgreSQL server, which ends with the stack; "" if there is none."""
    from adbc_tests.trials import postgresql_server

    skipped: Any = pytest.skip.Exception
    try:
        return stack.enter_context(postgresql_server())
    except skipped as why:
        print(f"without PostgreSQL: {why}")
        return ""


if __name__ == "__main__":
    try:
        import adbc_driver_postgresql  # noqa: F401
    except ModuleNotFoundError:
        sys.exit(print("skipped: needs ADBC: pip install adbc-driver-manager adbc-driver-postgresql"))
    with ExitStack() as stack:
        uri = server_of(stack)
        rig.main(
            one,
            about=ABOUT,
            prepare=lambda setting: Known(setting, uri),
            trials=60,
            options={"rows": (1e6, "rows of each upsert")},
        )
