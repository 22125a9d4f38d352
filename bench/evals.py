"""Measures `pipelines/evals` against what its rate allows, by the log of its pretended model. Needs httpx.

The floor is when the last request may come at 50 a second, and how long that takes: (requests - 1) / 50 s + the last.
Times are those of the whole command, without numpy and pandas, as `pip install '.[sql]'` has it. The counters of the
server have to agree with those of nfrun.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.measure import Line, holds, median, spread
from bench.startup import without_numpy

_EVALS = Path(__file__).parents[1] / "pipelines" / "evals"
_RATE = 50  # a second, as evals.yaml has it
_OVER_FLOOR, _RERUN, _BUSIEST = "<= 1.05", "<= 0.7", "<= 1.2"


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Yield rows for a first run, for one that has nothing to ask, and for the most requests in a second.

    No more than 50 calls begin in a second, but not all requests take the same time to arrive. Raises RuntimeError if
    the server counts other requests than nfrun.
    """
    if importlib.util.find_spec("httpx") is None:
        return
    (folder / "hidden").mkdir()
    server, environ = _server(), without_numpy(folder / "hidden")
    firsts, floors, again, most = [], [], [], []
    for turn in range(repeat + 1):
        copy = folder / str(turn)
        shutil.copytree(_EVALS, copy, ignore=shutil.ignore_patterns(".nfrun", "out", "__pycache__"))
        with server.Server() as model:
            seconds, calls = _run(copy, model, environ)
            log = sorted(model.log, key=lambda entry: entry["arrived"])
            _check(calls, len(log))
            _check(calls + _run(copy, model, environ)[1], len(model.log))  # asks again what had no answer
            rerun, calls = _run(copy, model, environ)
            _check(calls, 0)
        if turn:  # the first one has compiled the bytecode
            firsts.append(seconds)
            floors.append((len(log) - 1) / _RATE + log[-1]["seconds"])
            again.append(rerun)
            most.append(_most_in_a_second([entry["arrived"] for entry in log]))
    ratios = [first / floor for first, floor in zip(firsts, floors, strict=True)]
    yield _line(f"evals, {len(log)} requests: nfrun / its rate", firsts, spread(floors), ratios, _OVER_FLOOR)
    yield _line("evals, nothing to ask: nfrun / 1 s", again, "1 s", again, _RERUN)
    busiest = max(most)
    ratio = busiest / _RATE
    yield Line(
        "evals, most requests in a second / 50", str(busiest), str(_RATE), ratio, _BUSIEST, holds(ratio, _BUSIEST)
    )


def _line(what: str, seconds: list[float], against: str, ratios: list[float], bar: str) -> Line:
    ratio = median(ratios)
    return Line(what, spread(seconds), against, ratio, bar, holds(ratio, bar), min(ratios), max(ratios))


def _run(folder: Path, model: Any, environ: Mapping[str, str]) -> tuple[float, int]:
    """Run the pipeline in a fresh process. Returns the seconds, and how many calls nfrun has made."""
    command = [
        sys.executable,
        "-m",
        "nfrun",
        "run",
        str(folder / "evals.yaml"),
        "--json",
        "-q",
        "-p",
        f"url={model.url}",
    ]
    began = time.perf_counter()
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**environ, "API_KEY": model.key, "no_proxy": "127.0.0.1"},
    )
    seconds = time.perf_counter() - began
    nodes = json.loads(done.stdout)["nodes"].values()
    return seconds, sum(node["map"]["calls"] for node in nodes if "map" in node and node["status"] != "reused")


def _check(calls: int, requests: int) -> None:
    if calls != requests:
        raise RuntimeError(f"nfrun counts {calls} calls, and the server {requests} requests")


def _most_in_a_second(times: Sequence[float]) -> int:
    return max(bisect_right(times, start + 1) - i for i, start in enumerate(times))


def _server() -> Any:
    spec = importlib.util.spec_from_file_location("evals_server", _EVALS / "server.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
