"""A pipeline of 20 nodes of every kind, with diamonds and chains, a file and a folder, whose results are known.

All nodes have a long timeout, and the last one needs two attempts.

Nodes that are functions or scripts append `start <node> <pid> <attempt> <time>` and `end <node> <time>` to the file
that FAULTS_LOG names; the time is in seconds since the epoch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tests.faults.rig import LOG, MARK, Place, digests, events_of

FILE = "mixed.yaml"
WORK = ".nfrun"
EFFECTS = frozenset({"told"})  # gives no output, so it runs in every run
SOURCES = frozenset({"seeds", "rates"})  # are read again if a node that reads them runs

STEPS = '''
import json
import os
import time
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc

NOW = vars(time)["time"]  # unseen: a node that asks for the time is not reused


@contextmanager
def noted(context, ms):
    """Tells of its start and its end, and waits in between."""
    note(f"start {context.node} {os.getpid()} {context.attempt}")
    time.sleep(ms / 1000)
    yield
    note(f"end {context.node}")


def note(text):
    file = os.open(os.environ["FAULTS_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{text} {NOW()}\\n".encode())
    os.close(file)


def numbers(context, ms, count):
    with noted(context, ms):
        return pa.table({"id": pa.array(range(count)), "n": pa.array([i * 7 % 1000 for i in range(count)])})


def scale(context, ms, table, by):
    with noted(context, ms):
        return table.set_column(table.schema.get_field_index("n"), "n", pc.multiply(table["n"], by))


def both(context, ms, left, right):
    with noted(context, ms):
        return left.append_column("m", right["n"])


def split(context, ms, table):
    with noted(context, ms):
        low = pc.less(table["n"], 2000)
        return {"low": table.filter(low), "high": table.filter(pc.invert(low))}


def total(context, ms, table):
    with noted(context, ms):
        path = context.output("made/sum.json")
        path.write_text(json.dumps({"rows": table.num_rows, "n": pc.sum(table["n"]).as_py()}))
        return path


def gather(context, ms, **tables):
    with noted(context, ms):
        names = sorted(tables)
        return pa.table({"name": names, "rows": [size(tables[name]) for name in names]})


def size(given):
    """Return the rows of a table, the number of files in a folder, or the rows that a file tells."""
    if isinstance(given, pa.Table):
        return given.num_rows
    return len(list(given.iterdir())) if given.is_dir() else json.loads(given.read_text())["rows"]
'''

PIPELINE = """\
name: mixed
defaults: {timeout: 1h}
nodes:
  seeds: {read: data/seeds.csv}
  rates: {read: data/rates.jsonl}
  numbers: {python: "steps:numbers", with: {ms: 20, count: 5000}}
  letters:
    run: BEGIN; for l in a b; do sleep 0.01; echo $l > "$NFRUN_OUTPUT_pages/$l"; done;
      ln -s a "$NFRUN_OUTPUT_pages/c"; END
    outputs: {pages: folder}
  squares: {python: "steps:scale", inputs: {table: numbers}, with: {ms: 30, by: 3}, executor: process}
  halves: {python: "steps:scale", inputs: {table: numbers}, with: {ms: 10, by: 5}}
  joined:
    sql: select numbers.id, n, weight from numbers join seeds on numbers.id % 10 = seeds.id order by numbers.id
    inputs: [numbers, seeds]
  both: {python: "steps:both", inputs: {left: squares, right: halves}, with: {ms: 5}}
  parts: {python: "steps:split", inputs: {table: both}, with: {ms: 20}, outputs: [low, high]}
  low_text:
    run: BEGIN; sleep 0.02; awk -F, 'NR == 1 || $1 % 2 == 0' "$NFRUN_INPUT_table" > "$NFRUN_OUTPUT"; END
    inputs: {table: parts.low}
    format: csv
  high_sum:
    python: steps:total
    inputs: {table: parts.high}
    with: {ms: 30}
    executor: process
    outputs: {sum: .json}
  rated:
    sql: select id, n * weight * rate as n from joined join rates on joined.id % 4 = rates.kind order by id
    inputs: [joined, rates]
  chain_1: {python: "steps:scale", inputs: {table: rated}, with: {ms: 50, by: 2}}
  chain_2: {python: "steps:scale", inputs: {table: chain_1}, with: {ms: 40, by: 3}, executor: process}
  chain_3:
    run: BEGIN; sleep 0.03; cp "$NFRUN_INPUT_table" "$NFRUN_OUTPUT"; END
    inputs: {table: chain_2}
  chain_4: {sql: "select id % 100 as id, sum(n) as n from chain_3 group by all order by all", inputs: [chain_3]}
  gathered:
    python: steps:gather
    inputs: {low: low_text, high: high_sum, chain: chain_4, letters: letters}
    with: {ms: 20}
  save: {write: out/gathered.csv, inputs: gathered}
  save_low: {write: out/low.csv, inputs: low_text}
  told:
    run: BEGIN; sleep 0.02; [ "$NFRUN_ATTEMPT" -gt 1 ]; END
    needs: [save, save_low]
    retries: {max: 1, delay: 50ms}
outputs: {gathered: gathered, chain: chain_4, low: parts.low, saved: save}
"""
# Each start has a log of its own, and a variable that a script reads is in the key of its node: nfrun does not see
# that this one is read.
_BEGIN = 'echo "start $NFRUN_NODE $$ $NFRUN_ATTEMPT $(now=date; $now +%s.%N)" >> "$(env | sed -n s,FAULTS_LOG=,,p)"'
_END = 'echo "end $NFRUN_NODE $(now=date; $now +%s.%N)" >> "$(env | sed -n s,FAULTS_LOG=,,p)"'


@dataclass(frozen=True, slots=True)
class Known:
    """The results of an undisturbed run.

    `outputs` are the digests of the shown outputs by name, `all` those of all outputs by id, `written` the files of its
    `write` nodes, and `seconds` its duration from start to exit.
    """

    outputs: dict[str, str]
    all: dict[str, str]
    written: dict[str, bytes]
    seconds: float


def make(folder: Path) -> Place:
    """Write the pipeline and its input files into a new folder."""
    (folder / "data").mkdir(parents=True)
    (folder / FILE).write_text(PIPELINE.replace("BEGIN;", f"{_BEGIN};").replace("END", _END))
    (folder / "steps.py").write_text(STEPS)
    (folder / "data/seeds.csv").write_text("id,weight\n" + "".join(f"{i},{i * 3 + 1}\n" for i in range(10)))
    (folder / "data/rates.jsonl").write_text("".join(f'{{"kind": {i}, "rate": {i + 2}}}\n' for i in range(4)))
    return Place(folder, {LOG: str(folder.parent / f"{folder.name}.log"), MARK: str(folder)})


def know(folder: Path) -> Known:
    """Run the pipeline twice undisturbed: first with every output in a file, then to measure its duration."""
    place = make(folder)
    events = folder.parent / "undisturbed.events"
    first = place.run("run", FILE, "--json", "--events", str(events), "--handoff", "mmap", "--work", "first")
    began = time.monotonic()
    second = place.run("run", FILE, "--json")
    seconds = time.monotonic() - began
    for ended in (first, second):
        if ended.code != 0:
            raise RuntimeError(f"the undisturbed run failed: {ended}")
    if digests(first.document) != digests(second.document):
        raise RuntimeError("two undisturbed runs differ")
    every = {e["output"]: e["ref"]["digest"] for e in events_of(events) if e["event"] == "output_published"}
    return Known(digests(second.document), every, written(folder), seconds)


def written(folder: Path) -> dict[str, bytes]:
    """Return the files of the `write` nodes, with any leftovers in their folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("out/*"))}


@dataclass(frozen=True, slots=True)
class Log:
    """The log of one start: the nodes that started, and the end times of those that ended."""

    started: tuple[str, ...]
    ended: dict[str, float]


def log_of(path: Path) -> Log:
    """Read the file that FAULTS_LOG named."""
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    started = tuple(line[1] for line in lines if line[0] == "start")
    return Log(started, {line[1]: float(line[2]) for line in lines if line[0] == "end"})
