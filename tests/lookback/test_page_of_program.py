"""The page of a run that a Python program makes."""

from __future__ import annotations

from pathlib import Path

import pytest

import nfrun
from tests.lookback.test_html_page import data_of


def test_a_program_gets_the_page_of_a_run_too(tmp_path: Path) -> None:
    (tmp_path / "flights.yaml").write_text("nodes: {by_day: {run: 'true'}}")
    found = nfrun.load(tmp_path / "flights.yaml").run(report=tmp_path / "page.html")
    assert found.status == "ok"
    document = data_of((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert [node["id"] for node in document["nodes"]] == ["by_day"]
    with pytest.raises(nfrun.UsageError, match=r"'.*flights.yaml' is the pipeline file: name another file"):
        nfrun.load(tmp_path / "flights.yaml").run(report=tmp_path / "flights.yaml")
