"""Runs random pipelines in many ways, and compares all results with those of one plain run.

A pipeline has nodes of all kinds, tables with columns of all types, failures, checks, retries and shared modules. It
runs under all schedules, handoffs and executors, with 1 to 4 slots, and some are killed and resumed. Promised: every
run has the same states of nodes, the same failures and the same digests of outputs. So has a run whose checks are
relaxed, whether it makes all tables or takes those whose checks had failed. Nodes that look at their inputs make a
table of the schemas, chunks and rows that they see; and readers change the arrays that a table was made of.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from nfrun.session.options import RunOptions
from nfrun.system.atomic_files import remove
from tests.faults import rig
from tests.faults.random_steps import COLUMNS
from tests.faults.rig import LOG, MARK, Place, Trial
from tests.program_runs import run_pipeline

ABOUT = (__doc__ or "").split("\n")[0]
FILE = "random.yaml"
STEPS = Path(__file__).with_name("random_steps.py")
_VARIANTS = 5
_CHUNKS = re.compile(r"\[\[\d+, ")  # how a node shows that a column has several
_LARGE = 70_000  # rows: more than nfrun joins to one batch

QUERIES = (
    "select * from a",
    "select id, count(*) as n from a group by all order by all",
    "select id % 7 as k, count(*) as n from a group by k",  # in an order that depends on how DuckDB gets its input
    "select sum(id) as s, $by as by from a",
    "select * from a order by all desc limit 20",
    "select a.id, b.id as other from a join b on a.id = b.id order by all",
)
SCRIPTS = {
    "arrow": ('cp "$NFRUN_INPUT_a" "$NFRUN_OUTPUT"',),
    "csv": ('head -n 4 "$NFRUN_INPUT_a" > "$NFRUN_OUTPUT"', 'wc -c < "$NFRUN_INPUT_a"; exit 3', "true"),
    "jsonl": ('sort "$NFRUN_INPUT_a" > "$NFRUN_OUTPUT"',),
}


@dataclass(frozen=True, slots=True)
class Result:
    """What must be the same in all runs of a pipeline: states and failures by node, digests by output, files, and
    what nodes saw of their inputs."""

    states: Mapping[str, str]
    failures: Mapping[str, tuple[str, str, str]]
    digests: Mapping[str, str]
    files: Mapping[str, bytes]
    seen: Mapping[str, Any]

    def differences(self, other: Result, *, values: bool = False, sizes: Collection[str] = ()) -> str:
        """Describe how `other` differs; "" if it does not.

        With `values`, only values need be the same: dictionaries, chunks, what is under a null, and buffers may differ,
        and so may Arrow files. `sizes` names the nodes whose tables tell the size of such a file.
        """
        skipped = []
        if values:
            skipped = [
                name for name, rows in self.seen.items() if "dictionary<" in str(rows) or _CHUNKS.search(str(rows))
            ]
            skipped += [name for name in self.files if name.endswith(".arrow")]
            skipped += [key for key in (*self.digests, *self.seen) if key.split(".")[0] in sizes]
            skipped += [name for name in self.files if f"n{name.split('.')[0]}" in sizes]
        found = []
        for what in ("states", "failures", "digests", "files", "seen"):
            mine, its = getattr(self, what), getattr(other, what)
            keys = [key for key in dict.fromkeys([*mine, *its]) if mine.get(key) != its.get(key) and key not in skipped]
            found += [f"{what} of {key}: {mine.get(key)!r:.300} became {its.get(key)!r:.300}" for key in keys[:4]]
        return "; ".join(found)


# -- making a pipeline -------------------------------------------------------------------------------------------------


class Maker:
    """Draws a pipeline.

    `outputs` are the references to the tables of its nodes so far, and `files` those to files and folders, by type.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.nodes: dict[str, dict[str, Any]] = {}
        self.outputs: list[str] = []
        self.files: dict[str, str] = {}

    def make(self, count: int) -> dict[str, Any]:
        chance = self._chance
        for i in range(count):
            source = len(self.outputs) < 2 or chance.random() < 0.2
            others = (self._sql, self._script, self._write, self._pack, *((self._unpack,) if self.files else ()))
            draw = self._source if source else chance.choice((self._python,) * 5 + others)
            node = draw()
            earlier = list(self.nodes)
            if earlier and chance.random() < 0.2:
                node["needs"] = chance.sample(earlier, min(len(earlier), chance.choice((1, 1, 2))))
            if "python" in node and chance.random() < 0.15:
                node["executor"] = chance.choice(("process", "thread"))
            if "python" in node and chance.random() < 0.4:  # the others share `arrays`, and so they are never reused
                node["cache"] = True
            if "outputs" not in node and "write" not in node and chance.random() < 0.25:
                node["checks"] = [self._check()]
            name = f"n{i}"
            self.nodes[name] = node
            if isinstance(node.get("outputs"), dict):
                self.files |= {f"{name}.{output}": kind for output, kind in node["outputs"].items()}
            else:
                self.outputs += [f"{name}.{output}" for output in node["outputs"]] if "outputs" in node else [name]
        looks = {}
        for i, output in enumerate(chance.sample(self.outputs, min(4, len(self.outputs)))):
            looks[f"look{i}"] = {"python": "steps:look", "inputs": {"a": output}, "with": {"a_of": output}}
        self.nodes |= looks
        shown = [name for name in (*self.outputs, *self.files, *looks) if name in looks or chance.random() < 0.7]
        return {"nodes": self.nodes, "outputs": {name.replace(".", "_"): name for name in dict.fromkeys(shown)}}

    def _source(self) -> dict[str, Any]:
        chance = self._chance
        kind = chance.random()
        if kind < 0.2:
            return {"read": chance.choice(("data/a.csv", "data/b.jsonl", "data/*.csv"))}
        if kind < 0.35:
            return {"read": chance.choice(("data/d.parquet", "data/d*.parquet", "data/f.parquet"))}
        if kind < 0.4:
            return {"run": 'printf "id,word\\n1,a\\n2,b\\n" > "$NFRUN_OUTPUT"', "format": "csv"}
        if kind < 0.45:
            return {
                "sql": "select range as id, range % 3 as k from range($rows)",
                "with": {"rows": chance.randrange(9)},
            }
        rows = chance.choice((0, 1, 3, 10, 10, 1000, _LARGE if chance.random() < 0.2 else 5))
        names = chance.sample(sorted(COLUMNS), chance.choice((0, 1, 2, 3)))
        given = {"names": names, "rows": rows, "seed": chance.randrange(1000), "chunks": chance.choice((0, 1, 1, 2, 5))}
        form = chance.choice(("arrow", "arrow", "reader", "polars", "pandas", "array", "frame", "rows", "refilled"))
        return {"python": f"steps:{chance.choice(('make', 'make_async'))}", "with": {**given, "form": form}}

    def _python(self) -> dict[str, Any]:
        chance = self._chance
        a = self._input()
        node: dict[str, Any] = {"inputs": {"a": a}, "with": {"a_of": a}}
        name = chance.choice(
            (
                *("same", "add", "filtered", "by_pandas", "by_polars", "batches", "split", "summed", "counted", "both"),
                *("fails", "not_a_table", "nothing", "second_try", "exits", "bad_dictionary", "grouped"),
            )
        )
        if name == "split":
            node["outputs"] = ["even", "odd"]
        if name == "both":
            node["inputs"]["b"] = self._input()
        if name == "second_try":
            node["retries"] = {"max": chance.choice((1, 2)), "delay": "1ms"}
        return {"python": f"steps:{name}", **node}

    def _sql(self) -> dict[str, Any]:
        query = self._chance.choice(QUERIES)
        inputs = {name: self._input() for name in "ab" if f" {name}" in query}
        return {"sql": query, "inputs": inputs, **({"with": {"by": 2}} if "$by" in query else {})}

    def _script(self) -> dict[str, Any]:
        form = self._chance.choice(sorted(SCRIPTS))
        return {"run": self._chance.choice(SCRIPTS[form]), "format": form, "inputs": {"a": self._input()}}

    def _pack(self) -> dict[str, Any]:
        """Make a file or a folder of a table, or hand on a file of the folder's."""
        chance = self._chance
        kind = chance.choice((".bin", "file", "folder", "source"))
        if kind == "source":
            return {"read": "data/c.csv", "outputs": {"f": ".csv"}}
        a = self._input()
        name = "packed_folder" if kind == "folder" else "packed"
        return {"python": f"steps:{name}", "inputs": {"a": a}, "with": {"a_of": a}, "outputs": {"f": kind}}

    def _unpack(self) -> dict[str, Any]:
        """Read a file or a folder: as a table, as a copy by a script or by a `write` node, or in a query."""
        chance = self._chance
        source = chance.choice(sorted(self.files))
        kind = self.files[source]
        form = chance.choice(("python", "python", "run", "write", *(("sql",) if kind != "folder" else ())))
        if form == "run":
            end = "/." if kind == "folder" else ""
            script = f'cp -R "$NFRUN_INPUT_f"{end} "$NFRUN_OUTPUT_f"'
            return {"run": script, "inputs": {"f": source}, "outputs": {"f": kind}}
        if form == "write":
            ending = "/" if kind == "folder" else ".bin"
            return {"write": f"out/{len(self.nodes)}{ending}", "inputs": {"f": source}}
        if form == "sql":
            return {"sql": "select 1 as id, content from read_text($f)", "inputs": {"f": source}}
        return {"python": "steps:unpacked", "inputs": {"f": source}}

    def _write(self) -> dict[str, Any]:
        ending = self._chance.choice(("csv", "jsonl", "parquet", "arrow"))
        return {"write": f"out/{len(self.nodes)}.{ending}", "inputs": {"a": self._input()}}

    def _check(self) -> dict[str, Any]:
        chance = self._chance
        most = chance.choice((0, 3, 10, 2000))
        query = f"select 'more' as why where (select count(*) from this) > {most}"
        check: dict[str, Any] = chance.choice(({"rows": {"max": most}}, {"sql": query}))
        return {**check, "severity": chance.choice(("error", "error", "warn"))}

    def _input(self) -> str:
        return self._chance.choice(self.outputs)


def make(folder: Path, chance: random.Random) -> None:
    """Write a random pipeline and its files into a new folder."""
    (folder / "data").mkdir(parents=True)
    pipeline = Maker(chance).make(chance.randrange(4, 15))
    (folder / FILE).write_text(yaml.safe_dump(pipeline, sort_keys=False))
    (folder / "steps.py").write_text(STEPS.read_text())
    (folder / "data/a.csv").write_text("id,word\n" + "".join(f"{i},w{i % 3}\n" for i in range(20)))
    words = pa.table({"id": pa.array(range(5000)), "word": [f"w{i % 3}" for i in range(5000)]})
    for name in ("d", "d2"):  # queries read the files themselves
        pq.write_table(words, folder / f"data/{name}.parquet", row_group_size=1000)
    times = pa.table({"id": [2, 1], "t": pa.array([1, None], pa.timestamp("ms"))})  # and these as a table
    pq.write_table(times, folder / "data/f.parquet")
    (folder / "data/c.csv").write_text("id,word\n7,x\n")
    (folder / "data/b.jsonl").write_text("".join(f'{{"id": {i}, "l": [{i}, null]}}\n' for i in range(5)))


def relax(folder: Path) -> None:
    """Let no check fail its node."""
    pipeline = yaml.safe_load((folder / FILE).read_text())
    for node in pipeline["nodes"].values():
        for check in node.get("checks", ()):
            check["severity"] = "warn"
    (folder / FILE).write_text(yaml.safe_dump(pipeline, sort_keys=False))


def of_arrow_sizes(nodes: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the nodes that write an Arrow file, and so return its size, and those that such a table reaches."""
    found: set[str] = set()
    for name, node in nodes.items():  # each after its inputs
        sources = {source.split(".")[0] for source in node.get("inputs", {}).values()}
        if str(node.get("write", "")).endswith(".arrow") or sources & found:
            found.add(name)
    return found


# -- running it --------------------------------------------------------------------------------------------------------


def run(folder: Path, **options: Any) -> Result:
    """Run the pipeline in this process and return its result."""
    for file in folder.glob("out/*"):
        remove(file)
    done = run_pipeline(RunOptions(folder / FILE, keep_going=True, **options))
    nodes = done.record.nodes
    failed = {name: node.failure for name, node in nodes.items() if node.failure is not None}
    looks = {name: table for name, table in done.tables.items() if name.startswith("look") and table is not None}
    return Result(
        {name: "ok" if node.status == "reused" else node.status for name, node in nodes.items()},
        {name: (str(why.cause), why.type, _plain(why.message, folder)) for name, why in failed.items()},
        {str(id): ref.digest for id, ref in done.record.refs.items() if ref.digest and id in done.record.plan.retained},
        {_below_out(file, folder): file.read_bytes() for file in sorted(folder.glob("out/**/*")) if file.is_file()},
        {name: table.to_pylist() for name, table in looks.items()},
    )


def _below_out(file: Path, folder: Path) -> str:
    return file.relative_to(folder / "out").as_posix()


def _plain(text: str, folder: Path) -> str:
    """Return a message without what differs from run to run: folders of runs and names of temporary files."""
    return re.sub(r"[^\s']*/scratch/[^\s']*/", "", text.replace(str(folder), "."))


def one(trial: Trial) -> None:
    folder = trial.folder / "p"
    make(folder, trial.random)
    plain = run(folder, work=trial.folder / "plain")
    for state in plain.states.values():
        trial.count(f"nodes that ended with '{state}' in the plain run")
    sizes = of_arrow_sizes(yaml.safe_load((folder / FILE).read_text())["nodes"])
    runs: dict[str, Callable[[], Result]] = {}
    for i in range(_VARIANTS):
        options = {
            "schedule": trial.random.choice(("eager", "staged", "sequential")),
            "handoff": trial.random.choice(("auto", "auto", "mmap", "memory", "json")),
            "executor": trial.random.choice(("thread", "thread", "process", "auto")),
            "slots": trial.random.randrange(1, 5),
            "memory": trial.random.choice((None, None, 1000)),  # bytes that may wait to be written
        }
        options["keep"] = options["handoff"] in ("auto", "mmap") and trial.random.random() < 0.3
        resumed = options["handoff"] in ("auto", "mmap") and trial.random.random() < 0.4
        work = trial.folder / ("plain" if resumed else f"work.{i}")
        runs[f"{options}{', resumed' if resumed else ''}"] = lambda o=options, w=work, r=resumed: run(
            folder, work=w, resume=r, **o
        )
    if trial.random.random() < 0.25:
        runs["killed and resumed"] = lambda: killed(trial, folder)
    for how, start in runs.items():
        found = start()
        trial.count("runs")
        wrong = plain.differences(found, values="'json'" in how, sizes=sizes)  # JSON has the values alone
        trial.check(not wrong, f"{how}: {wrong}")
    failed = sum("failed its check" in why for _, _, why in plain.failures.values())
    if failed:
        trial.count("nodes whose checks failed and were relaxed", failed)
        relax(folder)
        plain = run(folder, work=trial.folder / "relaxed")
        executor = trial.random.choice(("thread", "process"))
        wrong = plain.differences(run(folder, work=trial.folder / "plain", resume=True, executor=executor))
        trial.check(not wrong, f"checks relaxed, {executor}: {wrong}")


def killed(trial: Trial, folder: Path) -> Result:
    """Kill some runs of the pipeline in processes of their own, and resume in this one."""
    work = trial.folder / "killed"
    place = Place(folder, {LOG: str(trial.logs / "log"), MARK: str(trial.folder)})
    for _ in range(trial.random.choice((1, 1, 2))):
        handoff = trial.random.choice(("auto", "mmap"))
        started = place.start("run", FILE, "-k", "-q", "--handoff", handoff, "--resume", "--work", str(work))
        time.sleep(trial.random.uniform(0.3, 3.0))
        trial.count(
            "runs killed" if started.process.poll() is None else "runs that ended before they were to be killed"
        )
        started.kill()
        started.end()
        rig.await_gone(str(trial.folder))
    return run(folder, work=work, resume=True)


if __name__ == "__main__":
    rig.main(one, about=ABOUT, trials=200)
