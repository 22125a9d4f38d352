"""A pipeline with every kind of node and most features, and what of its run must be the same wherever it runs."""

from __future__ import annotations

# ruff: noqa: E501  (lines of a pipeline file)
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

FILE = "features.yaml"
_SECONDS = ("at", "took", "published", "opened", "queued", "locked", "cpu", "busy", "delay")
_TIMES = (*_SECONDS, "stored", "path", "checksum", "size")
# Digests are known at the end of a node or a moment later; `output_published` has them all.
_LATER = ("digest", "traits", "attempt")

FILES = {
    "p/features.yaml": """
name: features
params: {rows: 40, word: {type: string, default: hello}}
env: {GREETING: "${{ params.word }}"}
resources: {api: 2}
matrix:
  model: [{id: lr, C: 0.5}, {id: rf, C: 2.0}]
  fold: [0, 1, 2]
defaults: {env: {LOG: info}}
nodes:
  seeds: {read: data/seeds.csv, schema: {id: int64, name: string}}
  numbers: {python: "steps:numbers", with: {rows: "${{ params.rows }}"}}
  later: {python: "steps:later", inputs: {table: numbers}}
  joined: {sql: queries/joined.sql, inputs: [numbers, seeds], with: {most: 30}}
  script:
    run: >-
      echo "$GREETING $LOG" ; echo problem >&2 ; awk -F, 'NR == 1 || $1 % 2 == 0' "$NFRUN_INPUT_table" > "$NFRUN_OUTPUT"
    inputs: {table: joined}
    format: csv
  talks: {python: "steps:talks"}
  retried: {run: '[ "$NFRUN_ATTEMPT" -gt 1 ] && echo "n\\n1" > "$NFRUN_OUTPUT"', format: csv, retries: {max: 2, delay: 10ms}}
  slow: {run: "sleep 60", timeout: 500ms, continue_on_error: true}
  fit: {matrix: [model, fold], python: "steps:fit", inputs: {table: numbers}, with: {C: "${{ matrix.model.C }}", fold: "${{ matrix.fold }}"}}
  per_model: {matrix: model, sql: "select sum(score) as score, count(*) as n from s", inputs: {s: {from: fit, gather: concat}}}
  best: {python: "steps:best", inputs: {models: {from: per_model, gather: dict}}}
  report: {python: "steps:report", inputs: {best: best}, outputs: {page: .html}}
  pages: {python: "steps:pages", inputs: {table: numbers}, outputs: {all: folder}}
  listing: {run: 'ls "$NFRUN_INPUT_all" > names && (echo name; cat names) > "$NFRUN_OUTPUT"; rm names', inputs: {all: pages}, format: csv}
  parts: {python: "steps:split", inputs: {table: numbers}, outputs: [low, high]}
  rowwise: {python: "steps:rowwise", inputs: {numbers: numbers}, map: {over: numbers, batch: 7}, resources: {cpu: 0.5, api: 1}}
  tables: {python: "steps:per_group", inputs: {numbers: numbers}, map: {over: numbers, by: kind}}
  model: {python: "steps:Model", inputs: {numbers: numbers}, with: {factor: 3}, map: {over: numbers, batch: 16}}
  waits: {python: "steps:waits", inputs: {numbers: numbers}, map: {over: numbers, batch: 20}}
  scripts: {run: 'cp "$NFRUN_INPUT_numbers" "$NFRUN_OUTPUT"', inputs: {numbers: numbers}, map: {over: numbers, parts: 3}}
  some: {python: "steps:some", inputs: {numbers: numbers}, map: {over: numbers, batch: 5, on_error: collect, max_failed: 50%}}
  sub: {pipeline: ../other/sub.yaml, inputs: {table: numbers}, with: {by: 7}}
  checked:
    sql: select id, n - 5 as n from numbers
    inputs: numbers
    checks: [{unique: id}, {range: {n: {min: 0}}, severity: warn}, {python: "steps:is_small"}]
  nothing: {sql: "select * from numbers where n < 0", inputs: numbers, checks: [{rows: {min: 1}, severity: skip}]}
  behind: {sql: "select * from nothing", inputs: nothing}
  instead: {sql: "select count(*) as n from t", inputs: {t: {from: nothing, else: numbers}}}
  off: {if: false, python: "steps:numbers", with: {rows: 1}}
  here: {python: "steps:talks", executor: thread}
  bad: {python: "steps:bad", inputs: {table: numbers}, continue_on_error: true}
  refused: {sql: "select nope from numbers", inputs: numbers, continue_on_error: true}
  wrong: {run: "echo first >&2; exit 7", continue_on_error: true}
  dies: {python: "steps:leaves", executor: process, continue_on_error: true}
  unchecked: {sql: "select 1 as id union all select 1", checks: [{unique: id}], continue_on_error: true}
  save: {write: out/joined.csv, inputs: script}
  all: {python: "steps:all_rows", inputs: [later, script, retried, best, listing, parts.high, rowwise, tables, model, waits, scripts, some, sub, checked, instead]}
finally:
  end: {run: 'echo "$NFRUN_STATUS"'}
outputs: {all: all, report: report, pages: pages, low: parts.low, rows: rowwise, sub: sub, errors: some.errors}
""",
    "p/data/seeds.csv": "id,name\n" + "".join(f"{i},n{i}\n" for i in range(10)),
    "p/queries/joined.sql": "select numbers.id, n, name from numbers join seeds on numbers.id % 10 = seeds.id "
    "where numbers.id < $most order by numbers.id",
    "p/helpers.py": "FACTOR = 7\n\n\ndef times(n):\n    return n * FACTOR % 1000\n",
    "p/steps.py": """
import asyncio
import os
import sys

import pyarrow as pa
import pyarrow.compute as pc
from helpers import times


def numbers(rows):
    return pa.table({"id": list(range(rows)), "n": [times(i) for i in range(rows)], "kind": [i % 3 for i in range(rows)]})


async def later(table):
    await asyncio.sleep(0.001)
    return table.slice(0, 3)


def talks(context):
    print("out", os.environ.get("GREETING"), os.environ.get("OWN"))
    print("err", file=sys.stderr)
    context.log.warning("logged")
    context.progress(1, 1)
    return {"folder": os.path.basename(os.getcwd()), "run": context.run.partition("-")[0]}


def fit(table, C, fold):
    return {"score": pc.sum(table["n"]).as_py() * C + fold}


def best(models):
    return pa.table({"model": [*models], "score": [table["score"][0].as_py() for table in models.values()]})


def report(best, context):
    path = context.output("page.html")
    path.write_text(f"<p>{best.num_rows}</p>")
    return path


def pages(table, context):
    folder = context.output("all")
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.txt").write_text(str(table["n"][i]))
    return folder


def split(table):
    low = pc.less(table["n"], 500)
    return {"low": table.filter(low), "high": table.filter(pc.invert(low))}


def rowwise(id: int, n: int):
    return {"twice": 2 * n}


def per_group(numbers):
    return pa.table({"kind": [numbers["kind"][0].as_py()], "sum": [pc.sum(numbers["n"]).as_py()]})


class Model:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, n: list[int]):
        return {"m": [x * self.factor for x in n]}

    def close(self):
        self.factor = None


async def waits(n: int):
    await asyncio.sleep(0.001)
    return {"w": n + 1}


def some(id: int):
    if id % 4 == 1:
        raise ValueError(f"not {id}")
    return {"ok": True}


def is_small(table):
    return pc.all(pc.less(table["n"], 1000)).as_py()


def bad(table):
    def inner(row):
        raise ValueError(f"no good: {row}")

    inner(table.num_rows)


def leaves():
    os._exit(3)


def all_rows(**tables):
    return pa.table({"name": sorted(tables), "rows": [tables[name].num_rows for name in sorted(tables)]})
""",
    "other/sub.yaml": """
name: sub
inputs: {table: {}}
params: {by: 2}
nodes:
  scaled: {python: "steps:scaled", inputs: {table: table}, with: {by: "${{ params.by }}"}}
  small: {sql: "select * from scaled where n < 5000", inputs: scaled}
outputs: {small: small}
""",
    "other/steps.py": """
import pyarrow.compute as pc


def scaled(table, by):
    print("in the other folder")
    return table.set_column(1, "n", pc.multiply(table["n"], by))
""",
}


def write(folder: Path) -> Path:
    """Write all files below a folder. Returns the folder of the pipeline."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.lstrip("\n"))
    return folder / "p"


def same_parts(events: Path) -> list[str]:
    """Return of the events of a run what must be the same wherever it runs, sorted: all but times and places."""
    found = []
    for line in events.read_text().splitlines():
        event = json.loads(line)
        kind = event["event"]
        if kind in ("output_released", "run_finished") or (kind == "node_progressed" and event.get("map")):
            continue
        event.pop("inputs", None)
        parts = event if kind == "output_published" else _without(event, _LATER)
        found.append(json.dumps(_without(parts, _TIMES), sort_keys=True))
    return sorted(found)


def _without(value: Any, keys: Collection[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, keys) for key, item in value.items() if key not in keys}
    if isinstance(value, list):
        return [_without(item, keys) for item in value]
    if isinstance(value, str):
        value = re.sub(r"\b\d+-\d{8}-\d{6}\b", "RUN", value)
        return re.sub(r"/\S+?/(?=p/|other/|\.nfrun)", "", value)
    return value
