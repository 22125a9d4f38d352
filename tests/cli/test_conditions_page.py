"""Runs the examples of `docs/conditions.md`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import forked
import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "conditions.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of the page; those of one name are one file."""
    for name, text in re.findall(r"```(?:yaml|python)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        with (tmp_path / name).open("a") as file:
            file.write(text)
    return tmp_path


def run(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "nfrun", "run", *arguments, "--json"]
    done = forked.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def statuses(document: dict[str, Any]) -> dict[str, str]:
    return {name: node["status"] for name, node in document["nodes"].items()}


def test_a_condition_disables_nodes(folder: Path) -> None:
    code, document = run(folder, "report.yaml")
    assert code == 0
    ran = {"orders": "ok", "total": "ok"}
    assert statuses(document) == {**ran, "checked": "disabled", "push": "disabled", "mail": "disabled"}
    code, document = run(folder, "report.yaml", "-p", "fast=false", "-p", "publish=true")
    assert statuses(document) == {
        "orders": "reused",
        "checked": "ok",
        "total": "reused",
        "push": "ok",
        "mail": "disabled",
    }
    assert (folder / "published.arrow").exists()


def test_a_node_may_fail(folder: Path) -> None:
    code, document = run(folder, "news.yaml")
    assert code == 0
    ran = dict.fromkeys(("old", "titles", "extra"), "ok")
    assert statuses(document) == {**ran, "new": "failed", "only_new": "skipped"}
    assert document["nodes"]["new"]["tolerated"]
    _, document = run(folder, "news.yaml")
    assert statuses(document)["extra"] == "reused", "its input is absent again"
    file = folder / "news.yaml"
    text = 'echo \'{"title": "new"}\' > $NFRUN_OUTPUT'
    file.write_text(file.read_text().replace('"exit 1"', f"{json.dumps(text)}, format: jsonl"))
    _, document = run(folder, "news.yaml")
    assert set(statuses(document).values()) == {"ok", "reused"}
    assert statuses(document)["extra"] == statuses(document)["titles"] == "ok", "its input is there now"


def test_nodes_run_at_the_end(folder: Path) -> None:
    code, document = run(folder, "serve.yaml")
    assert (code, statuses(document)) == (0, dict.fromkeys(("up", "work", "stop", "note"), "ok"))
    assert not (folder / "server.up").exists()
    assert (folder / "note.txt").read_text() == "ok: 1 rows"
    assert not (folder / "failed.txt").exists()
    code, document = run(folder, "serve.yaml", "-p", "fail=true")
    assert (code, statuses(document)["work"], statuses(document)["tell"]) == (1, "failed", "ok")
    assert (folder / "failed.txt").read_text() == "work\n"
    assert (folder / "note.txt").read_text() == "failed: no rows"
    report = json.loads((folder / "report.json").read_text())
    assert (report["status"], report["nodes"]["work"]["status"]) == ("failed", "failed")
