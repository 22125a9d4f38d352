"""Runs the benchmarks and prints the results: `python -m bench`. `--json FILE` also writes them to a file."""

from __future__ import annotations

import compileall
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bench import (
    api,
    blog,
    checks,
    cluster,
    digits,
    evals,
    flights,
    graph,
    handoff,
    history,
    journal,
    lazy_reads,
    looking_back,
    map_memory,
    maps,
    memory,
    metg,
    minilm,
    models,
    noop,
    peers,
    processes,
    report,
    reuse,
    scale,
    startup,
    terminal,
    tpch,
    tpch_peers,
    watch,
)
from bench.measure import Line, machine, print_line

SUITES = {
    "noop": noop.measure,
    "api": api.measure,
    "blog": blog.measure,
    "checks": checks.measure,
    "cluster": cluster.measure,
    "metg": metg.measure,
    "digits": digits.measure,
    "evals": evals.measure,
    "flights": flights.measure,
    "graph": graph.measure,
    "handoff": handoff.measure,
    "history": history.measure,
    "journal": journal.measure,
    "lazy_reads": lazy_reads.measure,
    "looking_back": looking_back.measure,
    "map_memory": map_memory.measure,
    "maps": maps.measure,
    "memory": memory.measure,
    "minilm": minilm.measure,
    "models": models.measure,
    "processes": processes.measure,
    "report": report.measure,
    "reuse": reuse.measure,
    "scale": scale.measure,
    "startup": startup.measure,
    "terminal": terminal.measure,
    "tpch": tpch.measure,
    "tpch_peers": tpch_peers.measure,
    "watch": watch.measure,
}


def main(
    suites: Annotated[list[str] | None, typer.Argument(help=f"Some of {', '.join(SUITES)}; all if left out.")] = None,
    repeat: Annotated[int, typer.Option(help="How often each variant is measured.", min=1)] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the results here.")] = None,
) -> None:
    """Measure, print ratios, and leave with 1 if a bar is missed."""
    # Without compiled bytecode, start-up figures would include the compiler.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if unknown := [name for name in suites or () if name not in SUITES]:
        raise typer.BadParameter(f"no such suite: {', '.join(unknown)}; there are {', '.join(SUITES)}")
    for package in ("nfrun", "bench"):
        compileall.compile_dir(Path(__file__).parents[1] / package, quiet=1)
    found: list[Line] = []
    described = {**machine(), **peers.versions()}
    print(", ".join(f"{key} {value}" for key, value in described.items()))
    if missing := peers.missing():
        print(f"left out, since not installed: {', '.join(missing)}; {peers.INSTALL} installs them")
    for name in suites or SUITES:
        with tempfile.TemporaryDirectory() as folder:
            for line in SUITES[name](Path(folder), repeat):
                found.append(line)
                print_line(line)
    if json_file:
        results = {"machine": described, "repeat": repeat, "results": [asdict(line) for line in found]}
        json_file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if any(line.holds is False for line in found) else 0)


if __name__ == "__main__":
    typer.run(main)
