"""What the comparison of random pipelines overlooks, and what it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

pytest.importorskip("numpy")
pytest.importorskip("pandas")
pytest.importorskip("polars")

from tests.faults import random_pipelines

_HALF = {"python": "steps:split", "inputs": {"a": "words"}, "with": {"a_of": "words"}, "outputs": ["even", "odd"]}
_NODES = {
    "words": {"read": "words.csv"},
    "half": _HALF,
    "n2": {"write": "out/2.arrow", "inputs": {"a": "half.even"}},  # with the text of both halves, but for JSON
    "n3": {"write": "out/3.csv", "inputs": {"a": "n2"}},
    "look": {"python": "steps:look", "inputs": {"a": "n3"}, "with": {"a_of": "n3"}},
    "look1": {"python": "steps:look", "inputs": {"a": "n2"}, "with": {"a_of": "n2"}},
}


def test_sizes_of_arrow_files_may_differ_where_only_values_are_compared(tmp_path: Path) -> None:
    (tmp_path / "words.csv").write_text("word\n" + "a word of some length\n" * 20)
    (tmp_path / "steps.py").write_text(random_pipelines.STEPS.read_text())
    pipeline = {"nodes": _NODES, "outputs": {"half": "half.even", "n2": "n2", "n3": "n3", "look1": "look1"}}
    (tmp_path / random_pipelines.FILE).write_text(yaml.safe_dump(pipeline, sort_keys=False))
    plain = random_pipelines.run(tmp_path, work=tmp_path / "plain")
    by_json = random_pipelines.run(tmp_path, work=tmp_path / "json", handoff="json")
    assert set(plain.states.values()) == {"ok"}
    sizes = random_pipelines.of_arrow_sizes(_NODES)
    assert sizes == {"n2", "n3", "look", "look1"}
    assert "digests of n2" in plain.differences(by_json)
    assert "digests of n2" in plain.differences(by_json, values=True)
    assert plain.differences(by_json, values=True, sizes=sizes) == ""
    wrong = replace(by_json, digests={**by_json.digests, "half.even": "another"})
    assert "digests of half.even" in plain.differences(wrong, values=True, sizes=sizes)
