"""Settings of nodes that hold expressions: they are evaluated for each node, and checked like written ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.core.errors import SpecError, render_all
from nfrun.core.pipeline import Retry
from nfrun.pipeline_file.resolve import resolve

CELLS = """
params: {retries: 2}
matrix: {model: [{id: a, timeout: 90s, cpu: 2, where: process}, {id: b}]}
defaults: {retries: "${{ params.retries }}"}
nodes:
  fit:
    matrix: model
    run: echo
    timeout: "${{ matrix.model.timeout | default('10m') }}"
    resources: {cpu: "${{ matrix.model.cpu | default(0.5) }}"}
    executor: "${{ matrix.model.where | default('thread') }}"
    cache: "${{ matrix.model.id == 'a' }}"
  plain: {run: echo, retries: {max: "${{ params.retries + 1 }}", delay: "${{ params.retries }}s"}}
"""


def test_each_cell_has_settings_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(CELLS)
    found = resolve(tmp_path / "p.yaml", given={}, params_file=None, environ={}, run_id="r")
    a, b, plain = found.pipeline.nodes.values()
    assert (a.timeout, a.cpu, a.executor, a.cache, a.retry) == (90, 2, "process", True, Retry(2))
    assert (b.timeout, b.cpu, b.executor, b.cache, b.retry) == (600, 0.5, "thread", False, Retry(2))
    assert plain.retry == Retry(3, delay=2)
    assert not any(node.unbound for node in (a, b, plain))


# The setting, and what is told of it. Its value is known only when expressions are evaluated.
WRONG = {
    "timeout: '${{ params.soon }}'": """
p.yaml:3:24: 'timeout' cannot be 'soon'
    3 |   a: {run: x, timeout: '${{ params.soon }}'}
      |                        ^^^^^^^^^^^^^^^^^^^^ write 200ms, 30s, 10m, 1.5h, or a number of seconds""",
    "timeout: '${{ params.n }}00d'": """
p.yaml:3:24: 'timeout' is longer than a year
    3 |   a: {run: x, timeout: '${{ params.n }}00d'}
      |                        ^^^^^^^^^^^^^^^^^^^^""",
    "retries: '${{ params.n * 40 }}'": """
p.yaml:3:24: 'retries' must be at most 100, not 320
    3 |   a: {run: x, retries: '${{ params.n * 40 }}'}
      |                        ^^^^^^^^^^^^^^^^^^^^^^""",
    "retries: {max: '${{ params.soon }}'}": """
p.yaml:3:30: 'max' must be a whole number, not 'soon'
    3 |   a: {run: x, retries: {max: '${{ params.soon }}'}}
      |                              ^^^^^^^^^^^^^^^^^^^^""",
    "retries: {delay: '${{ params.n }}s'}": """
p.yaml:3:24: 'retries' needs 'max'
    3 |   a: {run: x, retries: {delay: '${{ params.n }}s'}}
      |                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^ for example retries: {max: 3, delay: 1s}""",
    "executor: '${{ params.proc }}'": """
p.yaml:3:25: 'executor' must be thread, process or auto, not 'proces'
    3 |   a: {run: x, executor: '${{ params.proc }}'}
      |                         ^^^^^^^^^^^^^^^^^^^^ did you mean 'process'?""",
    "cache: '${{ params.n }}'": """
p.yaml:3:22: 'cache' must be true or false, not 8
    3 |   a: {run: x, cache: '${{ params.n }}'}
      |                      ^^^^^^^^^^^^^^^^^""",
    "resources: {cpu: '${{ params.n - 8 }}'}": """
p.yaml:3:32: 'cpu' must be more than 0, not 0
    3 |   a: {run: x, resources: {cpu: '${{ params.n - 8 }}'}}
      |                                ^^^^^^^^^^^^^^^^^^^^^""",
    "timeout: '${{ params.m }}'": """
p.yaml:3:25: 'params' has no 'm'
    3 |   a: {run: x, timeout: '${{ params.m }}'}
      |                         ^^^^^^^^^^^^^^^ there is soon, n, proc""",
    "timeout: '${{ matrix.t }}'": """
p.yaml:3:25: there is no 'matrix' here
    3 |   a: {run: x, timeout: '${{ matrix.t }}'}
      |                         ^^^^^^^^^^^^^^^ only a node with 'matrix: AXIS' has it""",
    "timeout: '${{ secrets.S }}'": """
p.yaml:3:25: a secret can be used in 'env' only
    3 |   a: {run: x, timeout: '${{ secrets.S }}'}
      |                         ^^^^^^^^^^^^^^^^ put it under 'env': python and run nodes read the variable""",
    "timeout: '${{ params.n'": """
p.yaml:3:25: this expression has no end
    3 |   a: {run: x, timeout: '${{ params.n'}
      |                         ^^^ close it with }}""",
}


@pytest.mark.parametrize("setting", WRONG)
def test_a_wrong_setting_is_told_at_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(f"params: {{soon: soon, n: 8, proc: proces}}\nnodes:\n  a: {{run: x, {setting}}}\n")
    with pytest.raises(SpecError) as caught:
        resolve(Path("p.yaml"), given={}, params_file=None, environ={}, run_id="r")
    assert render_all(caught.value.diagnostics) == WRONG[setting].strip("\n")
