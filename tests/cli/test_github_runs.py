"""Tests of commands in a GitHub workflow: what they print, the summary of the step, and the options that decide."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from conftest import Here

STEPS = """
def orders():
    print("::warning file=steps.py,line=3::few orders")
    print("::set-env name=X::1 ##[add-path]/tmp")
    return [{"id": 1, "text": "##[stop-commands]t"}, {"id": 1, "text": "::error::x"}]

def report(orders):
    raise ValueError("##[add-path]/tmp\\n::stop-commands::t")
"""
SHOP = """
name: shop
nodes:
  orders: {python: "steps:orders", checks: [{unique: id, severity: warn}]}
  report: {python: "steps:report", inputs: {orders: orders}}
"""
UNIQUE = "shop%3A the check 'unique%3A id' of node 'orders' does not hold"
GOOD = SHOP[: SHOP.index("  report")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a pipeline in the folder `shop`, in an environment such as that of a step."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "steps.py").write_text(STEPS)
    (folder / "shop.yaml").write_text(SHOP)
    (folder / "good.yaml").write_text(GOOD)
    (folder / "bad.yaml").write_text("nodes:\n  a: {rn: 'true', x: 1}\n")
    for name in [name for name in os.environ if name.startswith("GITHUB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    return folder


def commands(text: str) -> list[str]:
    """Return the lines of a text that are commands, as the runner finds them, without their messages."""
    new = [line.strip() for line in text.splitlines() if line.lstrip().startswith("::")]
    old = [line for line in text.splitlines() if "##[" in line and line.strip() not in new]
    return [*(line.partition("::")[2].partition("::")[0] for line in new), *old]


def test_a_failed_run(folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "o/r")
    monkeypatch.setenv("GITHUB_SHA", "abc")
    done = here(folder, "run", "shop.yaml")
    assert done.returncode == 1
    assert commands(done.stderr) == [
        "group",
        "warning file=steps.py,line=3",
        "endgroup",
        "error file=shop/steps.py,line=8,title=shop%3A node 'report' failed",
        f"warning file=shop/shop.yaml,line=4,col=3,title={UNIQUE}",
    ]
    assert "| ::set-env name=X::1 ## [add-path]/tmp\n" in done.stderr
    page = (folder.parent / "summary.md").read_text()
    assert page.startswith("\n## ❌ shop: failed\n")
    assert '<a href="https://github.com/o/r/blob/abc/shop/shop.yaml#L5">' in page
    here(folder, "run", "good.yaml")
    pages = (folder.parent / "summary.md").read_text()
    assert pages.startswith(page)
    assert "## ✅ shop: ok" in pages.removeprefix(page)


def test_tables_and_documents_have_no_commands(folder: Path, here: Here) -> None:
    done = here(folder, "run", "good.yaml")
    assert "## [stop-commands]t" in done.stdout
    assert commands(done.stdout) == []
    done = here(folder, "run", "shop.yaml", "--json")
    assert commands(done.stdout) == []
    assert json.loads(done.stdout)["nodes"]["report"]["error"] == "ValueError: ##[add-path]/tmp\n::stop-commands::t"


def test_it_can_be_turned_off_and_on(folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    done = here(folder, "run", "shop.yaml", "--no-github")
    assert "::error " not in done.stderr
    assert "orders | ::warning file=steps.py,line=3::few orders" in done.stderr
    assert not (folder.parent / "summary.md").exists()
    monkeypatch.setenv("GITHUB_ACTIONS", "false")
    assert "::error " not in here(folder, "run", "shop.yaml").stderr
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    monkeypatch.delenv("GITHUB_WORKSPACE")
    assert (
        "::error title=shop%3A node 'report' failed::shop.yaml:5:3: "
        in here(folder, "run", "shop.yaml", "--github").stderr
    )


def test_quiet_prints_annotations_only(folder: Path, here: Here) -> None:
    done = here(folder, "run", "good.yaml", "-q")
    (line,) = done.stderr.splitlines()
    assert line.startswith("::warning file=shop/good.yaml,line=4,col=3,title=shop%3A the check 'unique%3A id' ")


@pytest.mark.parametrize("command", ["run", "validate"])
def test_mistakes_in_the_file_are_annotations(folder: Path, here: Here, command: str) -> None:
    done = here(folder, command, "bad.yaml")
    assert done.returncode == 2
    found = [line for line in done.stderr.splitlines() if line.startswith("::")]
    assert [line.partition(",title=")[0] for line in found] == [
        f"::error file=shop/bad.yaml,line=2,col={column}" for column in (7, 19)
    ]
    assert ",title='rn' is not a key of a node::bad.yaml:2:7: 'rn' is not a key of a node%0Adid you mean" in found[0]
    assert not [
        line for line in here(folder, command, "bad.yaml", "--no-github").stderr.splitlines() if line[:2] == "::"
    ]


def test_warnings_of_validate_are_annotations(folder: Path, here: Here) -> None:
    (folder / "p.yaml").write_text("nodes: {a: {read: gone.csv}}")
    done = here(folder, "validate", "p.yaml")
    assert done.returncode == 0
    assert "::warning file=shop/p.yaml,line=1,col=" in done.stderr
    assert "::error file=shop/p.yaml,line=1,col=" in here(folder, "validate", "p.yaml", "--strict").stderr


def test_other_errors_are_annotations_without_a_place(folder: Path, here: Here) -> None:
    done = here(folder, "run", "shop.yaml", "--only", "status:failed")
    assert done.returncode == 2
    found = [line for line in done.stderr.splitlines() if line.startswith("::")]
    assert found == ["::error title=nfrun::--only: no node has the status 'failed'; there is none"]
    assert "::error title=nfrun::-j: 'x' is neither" in here(folder, "run", "shop.yaml", "-j", "x").stderr
    done = here(folder, "run", "shop.yaml", "--work", "shop.yaml")
    assert done.stderr.splitlines()[-1].startswith(
        f"::error title=nfrun::cannot use {folder}/shop.yaml: it is not a folder"
    )


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("shop", "Is a directory"),
        ("no/such/summary.md", "No such file or directory"),
        ("shop/steps.py/summary.md", "Not a directory"),
        pytest.param(
            "/dev/full", "No space left on device", marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="")
        ),
    ],
)
def test_a_summary_that_cannot_be_written_is_a_warning(
    folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch, file: str, why: str
) -> None:
    path = folder.parent / file
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    done = here(folder, "run", "good.yaml", "-q")
    assert done.returncode == 0
    assert f"::warning title=nfrun::the summary of the step is not written: {path}: {why}" in done.stderr.splitlines()


def test_a_summary_stays_below_the_limit_of_a_step(folder: Path, here: Here) -> None:
    file = folder.parent / "summary.md"
    for used in ((1 << 20) - 400, 1 << 20, (1 << 20) + 5):
        file.write_bytes(b"x" * used)
        assert here(folder, "run", "shop.yaml", "-q").returncode == 1
        assert used <= file.stat().st_size <= max(used, 1 << 20)


def test_secrets_are_masked(folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "hunter2hunter2")
    (folder / "p.yaml").write_text(
        'secrets: [API_TOKEN]\nenv: {KEY: "${{ secrets.API_TOKEN }}"}\n'
        "nodes: {a: {run: 'echo \"::error::$KEY\" >&2; exit 1'}}\n"
    )
    done = here(folder, "run", "p.yaml")
    assert "\n::error::***\n" in done.stderr
    assert "hunter2" not in done.stderr + (folder.parent / "summary.md").read_text()
    assert "add-mask" not in done.stderr
