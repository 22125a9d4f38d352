"""Tests that no node of a pipeline or template that comes with nfrun asks for the time, or draws what nothing seeds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import nfrun
from nfrun.history.cache.cache_key import CacheKeys
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.resolve import bind

ROOT = Path(__file__).parents[2]
FILES = [
    *sorted((ROOT / "pipelines").glob("**/*.yaml")),
    *sorted(Path(nfrun.__file__).parent.glob("templates/*/*.yaml")),
]
PIPELINES = [file for file in FILES if "\nnodes:" in f"\n{file.read_text('utf-8')}"]


@pytest.mark.parametrize("file", PIPELINES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_nodes_are_not_run_again_for_the_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(file.parent)
    inputs = {"texts": "texts.csv"} if file.name == "embed.yaml" else {}  # which other pipelines include
    pipeline = bind(
        *read_pipeline(file, given=inputs), given={}, typed={}, environ=os.environ, run_id="plan", to_run=False
    )
    keys = CacheKeys(pipeline)
    for node in pipeline.nodes:
        facts = keys.facts(node)
        assert [*facts.clocks, *facts.draws] == [], node
