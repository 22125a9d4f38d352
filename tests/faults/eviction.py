"""Runs a pipeline again and again after random edits, within a budget for a tenth of the tables that it makes.

Some runs are killed, and sometimes `clean` runs between them, or another pipeline in the same work folder beside them.
Promised: after each step the tables fit the budget, but
for those that are never removed; what is removed takes less time per byte to make again than what stays; no result is
wrong; and `clean` changes no decision about what is reused.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import yaml

from nfrun.core.plan import plan_of
from nfrun.history import kept_tables
from nfrun.history.cache import run_cache
from nfrun.history.database import Database, KeptTable
from nfrun.history.work_dir import WorkDir
from nfrun.pipeline_file.resolve import resolve
from nfrun.session.options import RunOptions
from tests.faults import rig
from tests.faults.rig import LOG, MARK, Place, Trial
from tests.program_runs import RunResult, run_pipeline

ABOUT = (__doc__ or "").split("\n")[0]
FILE = "sizes.yaml"
OTHER = "other.yaml"
_STEPS = 50
_STEP = '''
import time

import pyarrow as pa


def make(rows, value, seconds, **tables):
    """Return a table that depends on all inputs."""
    time.sleep(seconds)
    total = sum(table.num_rows + sum(table["n"].to_pylist()[:9]) for table in tables.values())
    return pa.table({"n": pa.array(range(value + total, value + total + rows), pa.int64())})
'''


class Edited:
    """A pipeline that is edited at random. It often comes back to a state that it had before."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder, self._chance = folder, chance
        self._nodes: dict[str, dict[str, Any]] = {"source": {"read": "source.csv"}}
        self.names = ["source"]
        for i in range(chance.randrange(8, 17)):
            inputs = {
                name: name for name in chance.sample(self.names, min(len(self.names), chance.choice((0, 1, 1, 2))))
            }
            given = {
                "rows": chance.choice((1, 100, 3000, 20000)),
                "value": 0,
                "seconds": chance.choice((0.0, 0.0, 0.02)),
            }
            self._nodes[f"n{i}"] = {"python": "sizes:make", "inputs": inputs, "with": given}
            self.names.append(f"n{i}")
        self._shown = [self.names[-1]]
        (folder / "sizes.py").write_text(_STEP)
        given = {"rows": 3000, "value": 0, "seconds": 0.02}
        nodes = {
            f"n{i}": {"python": "sizes:make", "with": given, "inputs": [f"n{i - 1}"] if i else []} for i in range(6)
        }
        (folder / OTHER).write_text(yaml.safe_dump({"nodes": nodes}))
        self._source(0)
        self._save()

    def edit(self) -> None:
        chance = self._chance
        name = chance.choice(self.names)
        kind = chance.random()
        if kind < 0.1:
            self._source(chance.randrange(3))
        elif kind < 0.25:
            self._shown = chance.sample(self.names, chance.choice((1, 1, 2)))
        elif kind < 0.35 and name != "source":
            self._nodes[name].update(cache=True) if "cache" not in self._nodes[name] else self._nodes[name].pop("cache")
        elif kind < 0.9 and name != "source":
            self._nodes[name]["with"]["value"] = chance.randrange(3)
        self._save()

    def _source(self, value: int) -> None:
        (self._folder / "source.csv").write_text("n\n" + f"{value}\n" * 1000)

    def _save(self) -> None:
        outputs = {name: name for name in self._shown}
        text = yaml.safe_dump({"nodes": self._nodes, "outputs": outputs}, sort_keys=False)
        (self._folder / FILE).write_text(text)


_choices: dict[Path, list[tuple[list[KeptTable], int]]] = {}  # by work folder: among which tables runs chose


def _remove(database: Database, tables: list[KeptTable], budget: int | None) -> tuple[int, int]:
    work = database.work.path
    _choices.setdefault(work, []).append((tables, kept_tables.budget_of(work, kept_tables.size_of(tables), budget)))
    return kept_tables.remove_over_budget(database, tables, budget)


run_cache.remove_over_budget = _remove  # type: ignore[assignment]


def one(trial: Trial) -> None:
    folder, work = trial.folder / "p", trial.folder / "work"
    folder.mkdir()
    edited = Edited(folder, trial.random)
    made = sum(
        ref.size or ref.bytes for ref in run(folder, work=trial.folder / "first", keep=True).record.refs.values()
    )
    budget = made // 10
    for step in range(_STEPS):
        for _ in range(trial.random.choice((0, 1, 1, 2))):
            edited.edit()
        if trial.random.random() < 0.1:
            killed(trial, folder, work, budget)
        if trial.random.random() < 0.1:
            cleaned(trial, folder, work, budget, f"step {step}")
        with beside(trial, folder, work, budget) as is_alone:
            found = run(folder, work=work, cache_size=budget)
        choices = _choices.pop(work, [])
        wanted = run(folder, work=trial.folder / f"plain.{step}", handoff="memory")
        trial.check(digests(found) == digests(wanted) != {}, f"step {step}: {digests(found)}, not {digests(wanted)}")
        trial.count("steps")
        trial.count("nodes reused", len(found.record.named("reused")))
        trial.count("nodes that ran", len(found.record.named("ok")))
        kept = sum(path.stat().st_size for path in rig.visible(work))
        trial.check(choices or kept <= budget or not is_alone, f"step {step}: {kept} bytes stay, nothing was looked at")
        for tables, limit in choices if is_alone else ():
            judge(trial, work, tables, limit, f"step {step}")


def run(folder: Path, **options: Any) -> RunResult:
    return run_pipeline(RunOptions(folder / FILE, slots=2, **options))


def digests(found: RunResult) -> dict[str, str]:
    """Return the content of the shown outputs: the digests of their tables."""
    from nfrun.tables.digest import table_digest

    return {name: "" if table is None else table_digest(table) for name, table in found.tables.items()}


def judge(trial: Trial, work: Path, tables: list[KeptTable], budget: int, told: str) -> None:
    """Check what was removed of these tables, and that no others are there."""
    stays = [table for table in tables if table.path.exists()]
    removed = [table for table in tables if not table.path.exists()]
    size = sum(table.path.stat().st_size for table in stays)
    trial.count("tables removed", len(removed))
    trial.count("times that the budget was too small for what is never removed", size > budget)
    trial.check(size <= budget or all(table.is_protected for table in stays), f"{told}: {size} bytes of {budget} stay")
    trial.check(not any(table.is_protected for table in removed), f"{told}: a protected table was removed")
    costs = [table.seconds_per_byte for table in stays if not table.is_protected]
    most = max((table.seconds_per_byte for table in removed), default=0.0)
    trial.check(most <= min(costs, default=most), f"{told}: a table was removed that costs {most} s per byte")
    unknown = set(rig.visible(work)) - {table.path for table in stays}
    trial.check(not unknown, f"{told}: tables that no journal names: {sorted(unknown)}")


@contextmanager
def beside(trial: Trial, folder: Path, work: Path, budget: int) -> Iterator[bool]:
    """Sometimes run the other pipeline beside a run. Yields whether that is alone."""
    if trial.random.random() < 0.9:
        yield True
        return
    place = Place(folder, {MARK: str(trial.folder)})
    value = trial.random.randrange(3)
    text = (folder / OTHER).read_text().split("value: ")
    (folder / OTHER).write_text("value: ".join([text[0], f"{value}{text[1][1:]}", *text[2:]]))
    started = place.start("run", OTHER, "--json", "--work", str(work), "--cache-size", str(budget))
    time.sleep(trial.random.uniform(0.2, 1.0))
    yield False
    ended = started.end()
    rig.clean_words(trial, ended, "the other pipeline")
    wanted = run_pipeline(RunOptions(folder / OTHER, handoff="memory", work=trial.folder / "other"))
    rig.right_outputs(trial, ended, digests(wanted), "the other pipeline")
    trial.count("runs beside another pipeline")


def killed(trial: Trial, folder: Path, work: Path, budget: int) -> None:
    """Kill a run in a process of its own."""
    place = Place(folder, {LOG: str(trial.logs / "log"), MARK: str(trial.folder)})
    started = place.start("run", FILE, "-q", "--work", str(work), "--cache-size", str(budget))
    time.sleep(trial.random.uniform(0.2, 1.0))
    trial.count("runs killed" if started.process.poll() is None else "runs that ended before they were to be killed")
    started.kill()
    started.end()
    rig.await_gone(str(trial.folder))


def cleaned(trial: Trial, folder: Path, work: Path, budget: int, told: str) -> None:
    """Run `clean`, or kill it, and check that the plan says the same before and after."""
    before = decisions(folder, work)
    started = Place(folder, {MARK: str(trial.folder)}).start("clean", "--work", str(work), "--cache-size", str(budget))
    if trial.random.random() < 0.3:
        time.sleep(trial.random.uniform(0.05, 0.3))
        started.kill()
        trial.count("cleanings killed")
    ended = started.end()
    trial.check(ended.code in (0, -9), f"{told}: clean: {ended}")
    rig.await_gone(str(trial.folder))
    after = decisions(folder, work)
    trial.check(before == after, f"{told}: clean changed what is reused: {before} became {after}")
    trial.count("cleanings")


def decisions(folder: Path, work: Path) -> Mapping[str, str]:
    """Return why each node would run now, "" for those that would be reused.

    Those too whose tables are made again: `clean` removes tables over the budget, after a run that was killed.
    """
    spec = resolve(folder / FILE, given={}, params_file=None, environ={}, run_id="plan").pipeline
    with closing(Database(WorkDir(work))) as database:
        found = run_cache.forecast(spec, plan_of(spec), database, lambda text: None)
    return {name: "" if decision.made_again else decision.reason for name, decision in found.items()}


if __name__ == "__main__":
    rig.main(one, about=ABOUT, trials=20)
