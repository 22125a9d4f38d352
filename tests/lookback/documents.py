"""Documents of runs, made by hand: with all that a page can show, of many nodes, and with hostile texts."""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

BEGAN = 1_764_255_000.0
# One red pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
Document = dict[str, Any]


def node(name: str, start: float | None = None, work: float = 0.1, **more: Any) -> Document:
    """A node that ran for `work` seconds from `start`, or did not run if that is None."""
    made: Document = {"id": name, "of": "", "group": "", "kind": "sql", "stage": 1, "status": "ok", "attempts": []}
    if start is not None:
        inputs, handoff = start + work * 0.06, start + work * 0.96
        end = start + work
        phases = [["queued", max(0.0, start - work * 0.3), start], ["inputs", start, inputs]]
        phases += [["work", inputs, handoff], ["handoff", handoff, end]]
        made |= {"started": start, "ended": end, "queued": phases[0][1], "phases": phases, "duration": work, "lane": 0}
        made |= {"cpu": work * 0.8, "memory": 48_000_000, "reason": "it never ran before"}
        made["outputs"] = [table(name, 1000)]
    return made | more


def table(name: str, rows: int, **more: Any) -> Document:
    """An output that is a table without details."""
    schema = [["id", "int64"], ["country", "string"], ["amount", "double"]]
    size = {"rows": rows, "bytes": rows * 27, "digest": f"{hash_of(name):032x}"}
    return {"id": name, "name": "", "type": "table", **size, "schema": schema, "kept": True, **more}


def hash_of(text: str) -> int:
    """The same number for a text in each process."""
    return random.Random(ascii(text)).getrandbits(128)


def document(nodes: list[Document], edges: list[list[str]] = (), **run: Any) -> Document:  # type: ignore[assignment]
    """A document of nodes and edges, with the counts of the nodes."""
    counts = {
        "ran": 0,
        "reused": 0,
        "failed": 0,
        "skipped": 0,
        "cancelled": 0,
        "disabled": 0,
        "not_selected": 0,
        "not_ended": 0,
    }
    for each in nodes:
        counts[{"ok": "ran"}.get(each["status"], each["status"])] += 1
    duration = max((each.get("ended", 0.0) for each in nodes), default=0.0)
    about = {"id": "12-20251127-145000", "number": 12, "pipeline": "shop", "status": "ok"}
    about |= {"began": BEGAN, "duration": duration, "counts": counts, "slots": 4}
    return {"version": 1, "run": about | run, "nodes": nodes, "edges": list(edges)}


def shop(**run: Any) -> Document:
    """A run with all that a page can show: a failure, a matrix, a sub-pipeline, media, checks, change."""
    rows = [[1, "DE", 12.5], [2, "FR", None], [3, "IT", 99.0]]
    nodes = [
        node(
            "orders", 0.0, 0.12, kind="read", lane=0, outputs=[table("orders", 1204, first_rows=rows, nulls=[0, 3, 40])]
        ),
        node("customers", 0.0, 0.08, kind="read", lane=1, outputs=[table("customers", 330)]),
        node(
            "prices",
            0.0,
            0.4,
            kind="python",
            lane=2,
            worker=None,
            attempts=[
                {"started": 0.0, "duration": 0.1, "failure": "ConnectionError: the service is away"},
                {"started": 0.2, "duration": 0.2, "failure": None},
            ],
        ),
        node(
            "load/split",
            0.13,
            0.22,
            group="load",
            stage=2,
            lane=0,
            kind="python",
            outputs=[
                table("load/split.small", 800) | {"name": "small"},
                table("load/split.large", 404) | {"name": "large"},
            ],
        ),
        node("load/clean", 0.36, 0.31, group="load", stage=3, lane=0, critical=True),
        node(
            "codes",
            status="reused",
            home="11",
            kind="read",
            reason="",
            outputs=[table("codes", 52, gone="Its table was removed: the cache is full.")],
        ),
        *[
            node(
                f"fit@{country}/{money}",
                0.7 + index * 0.13,
                0.4 - index * 0.03,
                of="fit",
                stage=4,
                kind="python",
                lane=index % 4,
                matrix={"country": country, "money": money},
            )
            for index, (country, money) in enumerate((c, m) for c in ("DE", "FR", "IT") for m in ("euros", "francs"))
        ],
        node(
            "score",
            1.66,
            0.52,
            stage=5,
            kind="python",
            lane=1,
            status="failed",
            outputs=[],
            failure={
                "type": "KeyError",
                "message": "'price'",
                "place": "shop.yaml:21:3",
                "frames": [
                    {"file": "steps.py", "line": 40, "function": "score", "source": "return total(table)"},
                    {"file": "steps.py", "line": 21, "function": "total", "source": "return table['price'].sum()"},
                ],
                "details": "inputs\n  orders: 1,204 rows, id: int64, amount: double",
            },
            log={
                "tail": ["loading the model", "score: 1 of 3", "WARNING: price is missing"],
                "path": ".nfrun/runs/12/logs/score.1.log",
                "more": True,
            },
            definition={"place": "shop.yaml:20:3", "yaml": "score:\n  python: steps:score\n  inputs: [orders, fit]\n"},
        ),
        node(
            "plot",
            1.3,
            0.2,
            stage=5,
            kind="python",
            lane=0,
            checks=[
                {"name": "unique: id", "ok": True, "severity": "error"},
                {
                    "name": "amount in [0, 100]",
                    "ok": False,
                    "severity": "warn",
                    "failing": 2,
                    "text": "2 of 1,204 rows fail",
                    "failing_rows": [{"id": 4, "amount": -1.0}, {"id": 9, "amount": 170.0}],
                },
            ],
            outputs=[
                {
                    "id": "plot.picture",
                    "name": "picture",
                    "type": ".png",
                    "bytes": 70,
                    "digest": "ab" * 16,
                    "media": {"type": "image/png", "data": PNG},
                },
                {
                    "id": "plot.page",
                    "name": "page",
                    "type": ".html",
                    "bytes": 90,
                    "media": {
                        "type": "text/html",
                        "data": "<h1 style='color: teal'>All well</h1><p>Sales by country.</p>",
                    },
                },
                {
                    "id": "plot.note",
                    "name": "note",
                    "type": ".txt",
                    "bytes": 90,
                    "media": {"type": "text/plain", "data": "first line\nsecond line", "cut": True},
                },
            ],
        ),
        node("report", status="skipped", stage=6, because="score", reason="'score' failed", kind="write", outputs=[]),
        node("mail", status="disabled", stage=6, reason="if: params.mail is false", kind="run", outputs=[]),
    ]
    fits = [each["id"] for each in nodes if each["of"] == "fit"]
    edges = [
        ["orders", "load/split", "data"],
        ["customers", "load/split", "data"],
        ["load/split.small", "load/clean", "data"],
    ]
    edges += [["load/clean", fit, "data"] for fit in fits] + [["prices", fit, "data"] for fit in fits]
    edges += [[fit, "score", "data"] for fit in fits] + [
        ["load/split.large", "score", "data"],
        ["codes", "score", "data"],
        ["orders", "plot", "data"],
    ]
    edges += [["fit@DE/euros", "plot", "data"], ["score", "report", "data"], ["report", "mail", "order"]]
    inputs = [
        {"name": name.replace("/", "_"), "output": name, "rows": 1000, "bytes": 27_000}
        for name in ("load/split.large", "codes", fits[0])
    ]
    next(each for each in nodes if each["id"] == "score")["inputs"] = inputs
    path = ["orders", "load/split", "load/clean", fits[-1], "score"]
    for each in nodes:
        each["critical"] = each["id"] in path
    about: Mapping[str, Any] = {
        "status": "failed",
        "duration": 2.24,
        "command": ["nfrun", "run", "shop.yaml", "-p", "country=DE"],
        "params": {"country": "DE", "limit": 100},
        "profile": "nightly",
        "versions": {"nfrun": "0.1.0", "python": "3.11.7", "pyarrow": "26.0.1", "polars": "1.40"},
        "host": "builder-3",
        "machine": {"cores": 8, "memory": 33_000_000_000, "platform": "Linux 6.18 x86_64"},
        "executor": "auto",
        "critical_path": {
            "nodes": path,
            "seconds": 2.1,
            "text": "Critical path 2.10 s of 2.24 s: orders -> load/split -> load/clean -> fit@IT/francs -> score",
        },
        "overhead": {
            "seconds": 0.06,
            "share": 0.027,
            "text": "nfrun itself took 60 ms (3 %): start and planning 41 ms, end 19 ms.",
        },
    }
    made = document(nodes, edges, **(dict(about) | run))
    made["change"] = {
        "against": {"number": 11},
        "seconds": 0.42,
        "nodes": [
            {"id": "score", "what": "the function steps:score changed", "before": 0.31, "after": 0.52},
            {"id": "prices", "what": "slower", "before": 0.2, "after": 0.4},
        ],
    }
    return made


def many(number: int, slots: int = 8, seed: int = 1) -> Document:
    """A run of so many nodes in layers, as they fill slots, each reading up to two of the layer before."""
    chance = random.Random(seed)
    wide = max(4, int(number**0.5))
    free = [0.0] * slots
    nodes, edges = [], []
    ends: dict[str, float] = {}
    for index in range(number):
        name, stage = f"node_{index:05d}", index // wide + 1
        before = (
            [f"node_{chance.randrange(max(0, (stage - 2) * wide), (stage - 1) * wide):05d}" for _ in range(2)]
            if stage > 1
            else []
        )
        lane = min(range(slots), key=free.__getitem__)
        start = max([free[lane], *(ends[other] for other in before)])
        made = node(
            name,
            start,
            chance.uniform(0.002, 0.05),
            stage=stage,
            lane=lane,
            kind=chance.choice(["sql", "python", "run"]),
        )
        status = chance.random()
        if status < 0.02:
            made |= {
                "status": "failed",
                "failure": {"type": "ValueError", "message": f"no number in row {index}"},
                "outputs": [],
            }
        elif status < 0.2:
            made = node(name, stage=stage, status="reused", kind="sql", outputs=[table(name, 1000)])
        ends[name] = made.get("ended", start)
        free[lane] = max(free[lane], ends[name])
        nodes.append(made)
        edges += [[other, name, "data"] for other in dict.fromkeys(before)]
    return document(nodes, edges, pipeline=f"layers-{number}")


MARKUP = "<script>parent.hacked = 6</script><img src=x onerror='parent.hacked = 7'>"
DRAWING = b"<svg xmlns='http://www.w3.org/2000/svg' onload='parent.hacked = 8'/>"
HOSTILE = (
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    '"><img src=x onerror="window.hacked = 3">',
    "<!--<script>",
    "javascript:window.hacked=4",
    "{{ 7 * 7 }}${window.hacked = 5}",
    "abc\u202egpj.exe",
    "\u2066left\u2069\u200f",
    "tab\tand\nnewline\x00\x1b[31mred",
    "'; drop table nodes; --",
    "\U0001f600 schön 数据",
    "#node=x&y=%zz",
    "\ud800 lone",
)


def hostile() -> Document:
    """A run in which each text is hostile: names, values, logs, errors, checks, outputs."""
    nodes = []
    for index, text in enumerate(HOSTILE):
        made = node(
            f"{text}{index}",
            index * 0.1,
            0.09,
            reason=text,
            because=text,
            kind=text[:20],
            worker=text,
            of="",
            group=text,
        )
        made["outputs"] = [
            table(
                f"{text}{index}",
                3,
                first_rows=[[text, {"a": text}, float("nan")]],
                schema=[[text, text], ["b", text], ["c", "double"]],
                nulls=[0],
                gone=text,
            ),
            {
                "id": f"page{index}",
                "type": ".html",
                "bytes": 9,
                "media": {
                    "type": "text/html",
                    "data": f"{MARKUP}{text}",
                },
            },
            {
                "id": f"svg{index}",
                "type": ".svg",
                "bytes": 9,
                "media": {
                    "type": "image/svg+xml",
                    "data": b64encode(b"<svg xmlns='http://www.w3.org/2000/svg' onload='parent.hacked = 8'/>").decode(),
                },
            },
            {"id": f"odd{index}", "type": text, "bytes": 9, "media": {"type": text, "data": text}},
        ]
        made["log"] = {"tail": [text, f"{text} again"], "path": text, "more": False}
        made["checks"] = [
            {"name": text, "ok": False, "severity": text, "failing": 1, "text": text, "failing_rows": [{text: text}]}
        ]
        made["failure"] = {
            "type": text,
            "message": text,
            "place": text,
            "details": text,
            "frames": [{"file": text, "line": 1, "function": text, "source": text}],
        }
        made["definition"] = {"place": text, "yaml": text}
        made["inputs"] = [{"name": text, "output": text, "rows": 1, "bytes": 1}]
        made["matrix"] = {text: text}
        made["status"] = "ok" if index % 2 else "failed"
        nodes.append(made)
    text = HOSTILE[1]
    made = document(
        nodes,
        [[nodes[0]["id"], nodes[1]["id"], "data"], [text, text, text]],
        pipeline=text,
        status="failed",
        error="".join(HOSTILE),
        host=text,
        params={text: text},
        versions={text: text},
        command=[*HOSTILE],
        critical_path={"nodes": [nodes[0]["id"], text], "seconds": 1, "text": text},
        overhead={"seconds": 1, "share": 1, "text": text},
        profile=text,
        executor=text,
    )
    made["change"] = {
        "against": text,
        "seconds": 1,
        "nodes": [{"id": text, "what": text, "before": text, "after": text}],
    }
    return made
