"""The pipeline of `docs/selection.md`: what the commands in its table select, and what is told of a selection."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import forked
import pytest

from nfrun.history.work_dir import WorkDir
from nfrun.pipeline_file.resolve import resolve
from nfrun.session.options import PlanOptions
from nfrun.session.selection import selection_of
from tests.docs.pages import ROOT, write_files

PAGE = (ROOT / "docs" / "selection.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\| `nfrun run shop.yaml (.*)` \| (.*) \|$", PAGE, re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of the page."""
    write_files("docs/selection.md", tmp_path)
    return tmp_path


def nfrun(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nfrun", *arguments]
    return forked.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_every_command_selects_what_the_page_says(folder: Path) -> None:
    assert len(COMMANDS) == 10
    pipeline = resolve(folder / "shop.yaml", given={}, params_file=None, environ={}, run_id="plan").pipeline
    for words, nodes in COMMANDS:
        flags = shlex.split(words)
        given: dict[str, list[str]] = {}
        for flag, value in zip(flags[::2], flags[1::2], strict=True):
            given.setdefault({"--from": "from_"}.get(flag, flag[2:]), []).append(value)
        options = PlanOptions(folder / "shop.yaml", **given)
        found = selection_of(options, pipeline, WorkDir.of_pipeline(pipeline, None))
        assert found.nodes == set(re.findall("`(.*?)`", nodes)), words


def test_runs_and_plans_with_a_selection(folder: Path) -> None:
    done = nfrun(folder, "run", "shop.yaml", "--until", "total@de")
    assert done.returncode == 0, done.stderr
    assert "shop: ok, 3 ran, 5 not selected, " in done.stderr
    done = nfrun(folder, "run", "shop.yaml", "--exclude", "count", "--json")
    statuses = {name: node["status"] for name, node in json.loads(done.stdout)["nodes"].items()}
    assert statuses == {
        **dict.fromkeys(("clean@de", "total@de"), "reused"),
        **dict.fromkeys(("sales", "clean@fr", "total@fr", "best", "save"), "ok"),
        "count": "not_selected",
    }
    assert json.loads(done.stdout)["counts"]["not_selected"] == 1
    text = (folder / "shop.yaml").read_text().replace("sum(amount) as total", "sum(amount) + 0 as total")
    (folder / "shop.yaml").write_text(text)
    for command in ("run", "plan"):
        done = nfrun(folder, command, "shop.yaml", "--only", "best")
        assert (done.returncode, done.stdout) == (2, "")
        assert "'total@de' is not selected, and has no result that is up to date (its text changed)" in done.stderr
    plan = json.loads(nfrun(folder, "plan", "shop.yaml", "--from", "total", "--format", "json").stdout)
    assert {name: node.get("resume", node.get("not_selected")) for name, node in plan["nodes"].items()} == {
        **dict.fromkeys(("sales", "clean@de", "clean@fr", "count"), True),
        **dict.fromkeys(("total@de", "total@fr", "best", "save"), "run"),
    }
    assert plan["stages"] == [["total@de", "total@fr"], ["best"], ["save"]]
    told = nfrun(folder, "plan", "shop.yaml", "--from", "total", "--until", "best").stdout
    assert "\nnot selected  (5 nodes)\n  sales, clean, save, count\n\nnfrun run reuses 0 of 3 nodes\n" in told
    drawn = nfrun(folder, "plan", "shop.yaml", "--from", "best", "--fresh", "--format", "dot").stdout
    assert re.findall('"(.*)" -> "(.*)"', drawn) == [("best", "save")]
