"""What the values of axes alone make wrong: `plan` and `run` tell it, once for all cells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nfrun.core.errors import SpecError
from nfrun.pipeline_file.resolve import resolve

AXES = "params: {n: 1}\nmatrix: {m: [{id: a}, {id: b, C: 1, t: 3 moons}], fold: [0, 1]}\nnodes:\n  "
# Each is a node and what is told of it.
CASES = r"""
x: {matrix: m, run: x, with: {c: "${{ matrix.m.C }}"}}
4:37: 'matrix.m.C': there is no 'C' (for m: a; what only some values have stands before | default(…))

x: {matrix: m, run: x, env: {A: "${{ matrix.m.C }}"}}
4:36: 'matrix.m.C': there is no 'C' (for m: a; what only some values have stands before | default(…))

x: {matrix: fold, run: x, if: "${{ matrix.fold }}"}
4:33: 'if' must be true or false, and this is 0 (compare it, as in ${{ … != none }})

x: {matrix: m, run: x, timeout: "${{ matrix.m.t | default('3s') }}"}
4:35: 'timeout' cannot be '3 moons' (write 200ms, 30s, 10m, 1.5h, or a number of seconds)

x: {matrix: fold, run: x, resources: {cpu: "${{ matrix.fold }}"}}
4:46: 'cpu' must be more than 0, not 0

x: {matrix: fold, run: x, executor: "${{ matrix.fold }}"}
4:39: 'executor' must be thread, process or auto, not 0

x: {matrix: fold, run: x, files: ["${{ matrix.fold }}"]}
4:37: this is no name of a file: 0

x: {matrix: m, sql: select 1 as a, checks: [{rows: "${{ matrix.m.id }}"}]}
4:54: 'rows' must be a whole number, or {min, max} with min <= max (for example rows: 5, or rows: {min: 1})

x: {matrix: m, read: "${{ matrix.m.id }}.foo"}
4:24: the ending of this file does not tell its format (known are .arrow .feather .ipc .csv .tsv .jsonl .ndjson .parquet .pq; or say with: {format: csv})

x: {matrix: fold, read: "${{ matrix.fold }}"}
4:27: 'read' must be a string, and this is 0
""".strip("\n").split("\n\n")  # noqa: E501


def told(folder: Path, act: Callable[[Path], object]) -> list[str]:
    with pytest.raises(SpecError) as caught:
        act(folder / "p.yaml")
    found = caught.value.diagnostics
    return [f"{d.span.line}:{d.span.column}: {d.message}{f' ({d.hint})' if d.hint else ''}" for d in found]


def bound(file: Path) -> object:
    return resolve(file, given={}, params_file=None, environ={}, run_id="r", to_run=False)


@pytest.mark.parametrize("case", CASES)
def test_a_value_that_is_wrong_for_its_place_is_told_once(tmp_path: Path, case: str) -> None:
    text, expected = case.split("\n")
    (tmp_path / "p.yaml").write_text(f"{AXES}{text}\n")
    assert told(tmp_path, bound) == [expected]
