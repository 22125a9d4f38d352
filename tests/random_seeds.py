"""Chooses which seeds of random trials are part of the fast suite."""

from __future__ import annotations

from typing import Any

import pytest


def seeds(quick: int, count: int) -> list[Any]:
    """Return seeds as parameters of a test: the first `quick` of `count` always run, the others with `-m slow` only."""
    return [pytest.param(seed, marks=[pytest.mark.slow] if seed >= quick else []) for seed in range(count)]
