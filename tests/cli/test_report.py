"""Tests of `nfrun report` and `nfrun run --report`: pages of real runs, and what is wrong with files and runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import forked
import pytest
from conftest import Here
from recorded_lines import lines_of, rewrite_lines

from tests.lookback.test_html_page import data_of

STEPS = """
import pyarrow as pa

def orders():
    print("made <b>3</b> orders")
    return pa.table({"id": [1, 2, 3], "country": ["DE", "DE", "</script>"]})

def total(table, rate):
    return pa.table({"n": [table.num_rows / rate]})
"""
SHOP = """
name: shop
params: {rate: 1}
nodes:
  orders: {python: steps:orders}
  total: {python: "steps:total", inputs: {table: orders}, with: {rate: "${{ params.rate }}"}}
  save: {run: 'cat "$NFRUN_INPUT_total" > "$NFRUN_OUTPUT"', inputs: total}
"""
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "shop.yaml").write_text(SHOP)
    return tmp_path


def page(file: Path) -> dict[str, Any]:
    """Return the document of a page by the ids of its nodes, with the run as `run`."""
    found = data_of(file.read_text(encoding="utf-8"))
    return {"run": found["run"], **{node["id"]: node for node in found["nodes"]}}


def told(text: str) -> str:
    """Return a text on one line."""
    return " ".join(text.replace("│", " ").split())


def test_a_run_writes_its_page(folder: Path, here: Here) -> None:
    assert here(folder, "run", "shop.yaml", "--report", "out/shop.html").returncode == 0
    found = page(folder / "out/shop.html")
    assert found["run"]["status"] == "ok"
    assert found["run"]["command"][-2:] == ["--report", "out/shop.html"]
    assert [found[name]["status"] for name in ("orders", "total", "save")] == ["ok", "ok", "ok"]
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["shop.html"]


def test_a_failed_run_writes_its_page_and_says_how_to_go_on_without_the_option(folder: Path, here: Here) -> None:
    done = here(folder, "run", "shop.yaml", "-p", "rate=0", "--report", "shop.html")
    assert done.returncode == 1
    assert "to go on from here: nfrun run shop.yaml -p rate=0\n" in done.stderr
    found = page(folder / "shop.html")
    assert found["run"]["status"] == "failed"
    assert [found[name]["status"] for name in ("orders", "total", "save")] == ["ok", "failed", "skipped"]
    assert found["total"]["failure"]["type"] == "ZeroDivisionError"
    text = (folder / "shop.html").read_text()
    assert "What failed" in text and "ZeroDivisionError" in text


def test_report_writes_the_page_of_any_run_and_prints_its_name(folder: Path, here: Here) -> None:
    here(folder, "run", "shop.yaml")
    here(folder, "run", "shop.yaml", "-p", "rate=0")
    done = here(folder, "report")
    assert (done.returncode, done.stdout, done.stderr) == (0, "shop-2.html\n", "")
    assert page(folder / "shop-2.html")["run"]["status"] == "failed"
    done = here(folder, "report", "--run", "last-ok", "-o", "good.html")
    assert (done.returncode, done.stdout) == (0, "good.html\n")
    assert page(folder / "good.html")["run"]["number"] == 1
    done = here(folder, "report", "--run", "1", "-o", "good.html", "--pipeline", "shop.yaml")  # it is replaced
    assert done.returncode == 0


def test_report_writes_to_stdout(folder: Path) -> None:
    command = [sys.executable, "-m", "nfrun"]
    forked.run([*command, "run", "shop.yaml"], cwd=folder, capture_output=True, check=True)
    done = forked.run([*command, "report", "-o", "-"], cwd=folder, capture_output=True, check=True)
    assert done.stdout.startswith(b"<!doctype html><!-- a run of nfrun -->")
    assert not (folder / "-").exists()


def test_a_copied_work_folder_has_pages(folder: Path, here: Here, tmp_path: Path) -> None:
    here(folder, "run", "shop.yaml")
    shutil.move(folder / ".nfrun", tmp_path / "copy")
    shutil.rmtree(next((tmp_path / "copy/runs").iterdir()) / "logs", ignore_errors=True)
    done = here(tmp_path, "report", "--work", "copy", "-o", "there.html")
    assert (done.returncode, done.stderr) == (0, "")
    assert page(tmp_path / "there.html")["orders"]["outputs"][0]["rows"] == 3


def test_a_run_whose_journal_ends_half_way_has_a_page(folder: Path, here: Here) -> None:
    here(folder, "run", "shop.yaml")
    (run,) = (folder / ".nfrun/runs").iterdir()
    lines = lines_of(run)
    kept = next(index for index, line in enumerate(lines) if line.get("node") == "orders")
    rewrite_lines(run, lambda line: line if line in lines[: kept + 1] else None)
    done = here(folder, "report")
    assert (done.returncode, done.stderr) == (0, "")
    found = page(folder / "shop-1.html")
    assert found["run"]["status"] == "killed"
    assert found["orders"]["status"] == "ok"


def test_an_interrupted_run_has_its_page(folder: Path) -> None:
    (folder / "p.yaml").write_text("nodes: {a: {run: 'echo started >&2; sleep 300'}, b: {run: 'true', needs: a}}")
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", "--report", "p.html"]
    with forked.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("started" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    found = page(folder / "p.html")
    assert (found["run"]["status"], found["a"]["status"]) == ("cancelled", "cancelled")


def test_secrets_are_masked(folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "hunter2hunter2")
    (folder / "p.yaml").write_text(
        'params: {p: ""}\nsecrets: [API_TOKEN]\nenv: {KEY: "${{ secrets.API_TOKEN }}"}\n'
        "nodes: {a: {run: 'echo $KEY; echo it is $KEY >&2; exit 1', with: {p: \"${{ params.p }}\"}}}\n"
    )
    assert here(folder, "run", "p.yaml", "-p", "p=hunter2hunter2", "--report", "a.html").returncode == 1
    assert here(folder, "report", "-o", "b.html").returncode == 0
    for name in ("a.html", "b.html"):
        assert "hunter2" not in (folder / name).read_text()
        assert "hunter2" not in str(page(folder / name))
        assert "***" in str(page(folder / name))


WRONG = [
    ("shop.yaml", "'shop.yaml' is the pipeline file: name another file"),
    ("link.yaml", "'link.yaml' is the pipeline file: name another file"),
    (".nfrun", "'.nfrun' is the work folder: name another file"),
    ("sub", "'sub' is a folder: name a file"),
    ("steps.py", "'steps.py' is there and has no page of a run in it: name another file"),
    ("other.html", "'other.html' is there and has no page of a run in it: name another file"),
    ("", "an empty name is no file"),
]
WRONG_OF_RUN = [
    ("steps.py/a/b", "'steps.py' is no folder: name another file"),
    ("e.jsonl", "'e.jsonl' is the file of --events: name another file"),
]
WRONG_OF_REPORT = [("steps.py/a/b", "'steps.py' is no folder: name another file")]


@pytest.fixture
def wrong(folder: Path) -> Path:
    (folder / "sub").mkdir()
    (folder / "link.yaml").symlink_to("shop.yaml")
    (folder / "other.html").write_text("<!doctype html><title>mine</title>")
    return folder


@pytest.mark.parametrize(("file", "message"), [*WRONG, *WRONG_OF_RUN])
def test_a_wrong_path_is_an_error_before_anything_runs(wrong: Path, here: Here, file: str, message: str) -> None:
    done = here(wrong, "run", "shop.yaml", "--report", file, "--events", "e.jsonl")
    assert done.returncode == 2
    assert f"Invalid value for --report: {message}" in told(done.stderr)
    assert not (wrong / ".nfrun").exists()
    assert (wrong / "shop.yaml").read_text() == SHOP


@pytest.mark.parametrize(("file", "message"), [*WRONG, *WRONG_OF_REPORT])
def test_a_wrong_path_for_a_page_is_an_error(wrong: Path, here: Here, file: str, message: str) -> None:
    here(wrong, "run", "shop.yaml")
    done = here(wrong, "report", "-o", file, "--pipeline", "shop.yaml")
    assert done.returncode == 2
    assert f"Invalid value for -o: {message}" in told(done.stderr)
    assert (wrong / "shop.yaml").read_text() == SHOP


def test_the_usual_name_does_not_overwrite_what_is_no_page(folder: Path, here: Here) -> None:
    here(folder, "run", "shop.yaml")
    (folder / "shop-1.html").write_text("mine")
    done = here(folder, "report")
    assert done.returncode == 2
    assert "'shop-1.html' is there and has no page of a run in it: name another file" in told(done.stderr)
    assert (folder / "shop-1.html").read_text() == "mine"


def test_without_files_of_tables_there_is_no_page(folder: Path, here: Here) -> None:
    done = here(folder, "run", "shop.yaml", "--report", "a.html", "--handoff", "memory")
    assert done.returncode == 2
    assert "Invalid value for --report: --handoff memory leaves no files of tables" in told(done.stderr)


def test_runs_that_are_not_there_are_errors(folder: Path, here: Here) -> None:
    done = here(folder, "report")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"nfrun: there is no work folder .nfrun in {folder}: name a pipeline file")
    done = here(folder, "report", "--pipeline", "shop.yaml")
    assert done.returncode == 2
    assert done.stderr.startswith(f"nfrun: there is no folder {folder / '.nfrun'}: 'nfrun run' keeps runs")
    here(folder, "run", "shop.yaml")
    done = here(folder, "report", "--run", "7")
    assert (done.returncode, done.stderr) == (
        2,
        f"nfrun: there is no run 7 in {folder / '.nfrun'}: run 1 is kept there\n",
    )
    done = here(folder, "report", "--run", "lst")
    forms = "(a run is a number, an id, last, last-ok or last~2)"
    told = f"nfrun: there is no run lst in {folder / '.nfrun'}: run 1 is kept there {forms}\n"
    assert (done.returncode, done.stderr) == (2, told)
    done = here(folder, "report", "--pipeline", "shp.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert list(folder.glob("*.html")) == []


@FULL
def test_a_full_disk_is_an_error(folder: Path, here: Here) -> None:
    (folder / "p.yaml").write_text("nodes: {a: {run: 'true'}}")
    done = here(folder, "run", "p.yaml", "--report", "/dev/full")
    assert done.returncode == 74
    assert "nfrun: the report of the page (/dev/full) stopped: No space left on device\n" in done.stderr
    done = here(folder, "report", "-o", "/dev/full")
    assert (done.returncode, done.stdout) == (74, "")
    assert done.stderr == "nfrun: /dev/full: No space left on device\n"
    assert here(folder, "run", "p.yaml", "--report", "/dev/null").returncode == 0
    assert Path("/dev/null").is_char_device()


def test_a_page_for_stdout_reaches_the_reader_of_the_command(folder: Path, here: Here) -> None:
    """During a run, what others write to stdout goes to stderr."""
    command = [sys.executable, "-m", "nfrun", "run", "shop.yaml", "-q", "--report", "/dev/stdout"]
    with (folder / "page.html").open("wb") as file:  # a regular file: it is not replaced
        done = forked.run(command, cwd=folder, stdout=file, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, "<html" in done.stderr) == (0, False)
    assert page(folder / "page.html")["total"]["status"] == "ok"
    done = here(folder, "run", "shop.yaml", "--report", "/dev/fd/977")
    assert done.returncode == 2
    assert "'/dev/fd/977' is not open: name another file" in told(done.stderr)


@FULL
def test_a_run_that_failed_keeps_its_code_on_a_full_disk(folder: Path, here: Here) -> None:
    done = here(folder, "run", "shop.yaml", "-p", "rate=0", "--report", "/dev/full")
    assert done.returncode == 1
    assert "(/dev/full) stopped: No space left on device" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_an_error(folder: Path, here: Here) -> None:
    (folder / "shut").mkdir(mode=0o500)
    done = here(folder, "run", "shop.yaml", "--report", "shut/a.html")
    assert (done.returncode, done.stderr) == (77, "nfrun: shut/a.html: Permission denied\n")


def test_a_secret_that_is_not_set_leaves_out_what_outputs_hold(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.yaml").write_text("secrets: [TOKEN]\nnodes: {a: {sql: select 1 as n}}\n")
    monkeypatch.setenv("TOKEN", "hunter22")
    assert here(tmp_path, "run", "p.yaml", "-q").returncode == 0
    assert here(tmp_path, "report", "-o", "with.html").stderr == ""
    monkeypatch.delenv("TOKEN")
    assert here(tmp_path, "report", "-o", "without.html").stderr == (
        "nfrun: warning: the secret TOKEN is not set here and cannot be masked: the page shows nothing of what outputs "
        "hold (set it to have that)\n"
    )
    assert "TOKEN is not set here" in (tmp_path / "without.html").read_text()
