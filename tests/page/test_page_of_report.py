"""The commands of docs/report.md, in a folder with a pipeline of the name that they use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Here

import nfrun
from tests.page.test_html_page import data_of

TEXT = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")


def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path, here: Here) -> None:
    (tmp_path / "flights.yaml").write_text("nodes: {by_day: {run: 'true'}}")
    console = re.search(r"```console\n(.*?)```", TEXT, re.DOTALL)
    assert console
    report, name, run = console[1].splitlines()
    for _ in range(3):
        assert here(tmp_path, "run", "flights.yaml").returncode == 0
    assert here(tmp_path, *report.split()[2:]).stdout == f"{name}\n"
    assert here(tmp_path, *run.split()[2:]).returncode == 0
    assert (tmp_path / "out" / "flights.html").read_text().startswith("<!doctype html>")
    for options in (("--run", "3"), ("--run", "last-ok")):
        assert here(tmp_path, "report", *options, "-o", "page.html").returncode == 0


def test_the_links_of_the_page_lead_to_files() -> None:
    for link in re.findall(r"\]\(([\w./-]+)\)", TEXT):
        assert (Path(__file__).parents[2] / "docs" / link).exists(), link


def test_a_program_gets_the_page_of_a_run_too(tmp_path: Path) -> None:
    (tmp_path / "flights.yaml").write_text("nodes: {by_day: {run: 'true'}}")
    found = nfrun.load(tmp_path / "flights.yaml").run(report=tmp_path / "page.html")
    assert found.status == "ok"
    document = data_of((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert [node["id"] for node in document["nodes"]] == ["by_day"]
    with pytest.raises(nfrun.UsageError, match=r"'.*flights.yaml' is the pipeline file: name another file"):
        nfrun.load(tmp_path / "flights.yaml").run(report=tmp_path / "flights.yaml")
