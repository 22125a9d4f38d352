"""Tests of what is seen of state that all nodes of a process share."""

from __future__ import annotations

import locale
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nfrun.code.watch.process_state import RANDOM, ProcessState, listed


@pytest.fixture(autouse=True)
def _state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Put back what a test changes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THERE", "1")
    for name in ("LEFT", "PYTHONHASHSEED", "PYTHONSAFEPATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    before, generator = locale.setlocale(locale.LC_ALL), random.getstate()
    yield
    locale.setlocale(locale.LC_ALL, before)
    random.setstate(generator)


def draw_from_numpy() -> None:
    import numpy as np

    np.random.rand()


def set_state_of_numpy() -> None:
    import numpy as np

    np.random.set_state(np.random.RandomState(7).get_state())


def draw_from_own_generators() -> None:
    import numpy as np

    random.Random(1).random()
    np.random.default_rng(1).random()
    np.random.RandomState(1).rand()


CHANGES: list[tuple[Callable[[], object], tuple[str, ...]]] = [
    (random.random, ("random's generator",)),
    (lambda: random.seed(1), ("random's generator",)),
    (lambda: random.shuffle([1, 2, 3]), ("random's generator",)),
    (draw_from_numpy, ("numpy's global random generator",)),
    (set_state_of_numpy, ("numpy's global random generator",)),
    (draw_from_own_generators, ()),
    (lambda: os.chdir("/"), ("the working directory",)),
    (lambda: os.environ.update(LEFT="1"), ("the environment variables",)),
    (lambda: os.environ.pop("THERE"), ("the environment variables",)),
    (lambda: os.environ.update(THERE="1"), ()),
    (lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"), ("the locale",)),
    (lambda: (random.random(), os.chdir("/")), ("random's generator", "the working directory")),
    (lambda: os.environ.update(PYTHONHASHSEED="0", PYTHONSAFEPATH="1"), ()),  # the fork server of another run starts
]


@pytest.mark.parametrize(("change", "names"), CHANGES)
def test_what_changed_is_named(change: Callable[[], object], names: tuple[str, ...]) -> None:
    pytest.importorskip("numpy")
    state = ProcessState()
    start = state.begin(state.reset())
    assert state.changed(start) == ()
    change()
    assert state.changed(start) == names


def test_open_figures_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = [1]
    pyplot: Any = ModuleType("matplotlib.pyplot")
    pyplot.get_fignums = lambda: list(figures)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", pyplot)
    state = ProcessState()
    start = state.reset()
    assert state.changed(start) == (), "those of the program, in a notebook for instance"
    figures.append(2)
    assert state.changed(start) == ("pyplot's figures",)


def test_generators_count_from_the_beginning_of_the_code_and_all_else_from_that_of_the_run() -> None:
    state = ProcessState()
    random.random()
    os.chdir("/")
    start = state.begin(state.reset())
    assert state.changed(start) == ("the working directory",), "a node that comes later is affected too"


def test_variables_that_an_import_sets_are_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THERE")
    state = ProcessState()
    start = state.begin(state.reset())
    monkeypatch.setitem(sys.modules, "imported_now", ModuleType("imported_now"))
    os.environ["THERE"] = "by the module"
    assert state.changed(start) == ()
    assert state.changed(state.reset()) == ()


def test_a_program_may_have_replaced_the_function_that_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "seed", lambda *values: None)
    state = ProcessState()
    marks = state.reset()
    random.random()
    assert state.changed(marks) == (RANDOM,)


@pytest.mark.parametrize(("names", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_listed_joins_names(names: list[str], text: str) -> None:
    assert listed(names) == text
    assert ProcessState().obstacle(names) == f"it ran on a thread while {text} changed"
