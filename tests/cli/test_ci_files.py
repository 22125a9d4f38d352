"""Tests of `run --junit` and `run --trace`: real runs, files that cannot be written, and paths that are wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import forked
import pytest
from conftest import Here
from lxml import etree

SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).parents[1] / "reports/ci/junit-10.xsd"))
STEPS = """
import pyarrow as pa

def orders():
    print("made\\x07 ]]> 3 orders")
    return pa.table({"id": [1, 2, 2], "model": ["a", "b", "b"]})

def fit(table, model):
    if model == "rf":
        raise KeyError(model)
    return {"model": model}
"""
SHOP = """
name: shop
params: {token: {type: string, default: "x"}}
matrix: {model: [lr, rf]}
nodes:
  orders:
    python: steps:orders
    checks: [{unique: id, severity: warn}]
  fit: {python: "steps:fit", inputs: {table: orders}, matrix: [model], with: {model: "${{ matrix.model }}"}}
  best: {run: cat "$NFRUN_INPUT_all" > "$NFRUN_OUTPUT", inputs: {all: {from: fit, gather: concat}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "shop.yaml").write_text(SHOP)
    return tmp_path


def cases(file: Path) -> dict[str, list[str]]:
    """Return the test cases of a file with what they have in them."""
    root = etree.parse(file)
    SCHEMA.assertValid(root)
    return {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}


def trace(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_a_failed_run_and_the_next_one_have_both_files(folder: Path, here: Here) -> None:
    both = ("--junit", "out/ci/junit.xml", "--trace", "out/trace.json")
    assert here(folder, "run", "shop.yaml", "-k", *both).returncode == 1
    junit, file = folder / "out/ci/junit.xml", folder / "out/trace.json"
    assert cases(junit) == {
        "orders": ["system-out"],
        "unique: id": ["system-out"],
        "fit@lr": [],
        "fit@rf": ["failure"],
        "best": ["skipped"],
    }
    properties = {p.get("name"): p.get("value") for p in etree.parse(junit).iter("property")}
    assert properties["param.token"] == "x"
    assert properties["command"].startswith("nfrun run shop.yaml -k --junit out/ci/junit.xml ")
    shown = trace(file)
    assert {e["name"] for e in shown["traceEvents"] if e["ph"] == "X" and e["cat"] != "phase"} == {
        "orders",
        "fit@lr",
        "fit@rf",
    }
    assert shown["otherData"]["status"] == "failed"
    done = here(folder, "run", "shop.yaml", *both)  # it overwrites the files
    assert cases(junit)["orders"] == ["system-out"]
    assert "reused: an earlier run has finished it" in etree.parse(junit).findtext(".//testcase/system-out")
    assert {e["name"] for e in trace(file)["traceEvents"] if e["ph"] == "i"} >= {"orders", "fit@lr", "fit@rf failed"}
    assert "to go on from here: nfrun run shop.yaml\n" in done.stderr
    assert sorted(path.name for path in (folder / "out").rglob("*")) == ["ci", "junit.xml", "trace.json"]


def test_the_trace_of_a_past_run_is_the_same(folder: Path, here: Here) -> None:
    here(folder, "run", "shop.yaml", "-k", "--trace", "live.json")
    done = here(folder, "report", "--format", "trace", "-o", "past.json")
    assert (done.returncode, done.stdout) == (0, "past.json\n")
    assert (folder / "past.json").read_text() == (folder / "live.json").read_text()
    facts = trace(folder / "past.json")["otherData"]
    assert facts["status"] == "failed"
    assert facts["command"] == "nfrun run shop.yaml -k --trace live.json"
    here(folder, "run", "shop.yaml", "-k")
    assert here(folder, "report", "--format", "trace").stdout == "shop-2.trace.json\n"
    reused = [e["name"] for e in trace(folder / "shop-2.trace.json")["traceEvents"] if e.get("cat") == "reused"]
    assert reused == ["orders", "fit@lr"]
    assert here(folder, "report", "--format", "trace", "-o", "-").stdout.startswith('{"traceEvents": [')


def test_a_trace_overwrites_only_traces(folder: Path, here: Here) -> None:
    here(folder, "run", "shop.yaml", "-k")
    for file, why in (
        ("steps.py", "is there and has no trace in it"),
        ("shop.yaml", "is there and has no trace in it"),
    ):
        done = here(folder, "report", "--format", "trace", "-o", file)
        assert done.returncode == 2
        assert f"Invalid value for -o: '{file}' {why}: name another file" in " ".join(done.stderr.split())
    assert here(folder, "report", "--format", "x").returncode == 2


def test_the_logs_of_a_failed_node_are_in_its_case(folder: Path, here: Here) -> None:
    (folder / "p.yaml").write_text("nodes: {a: {run: 'printf \"out ]]>\\\\001\\\\n\"; echo err >&2; exit 3'}}")
    assert here(folder, "run", "p.yaml", "--junit", "junit.xml").returncode == 1
    assert cases(folder / "junit.xml") == {"a": ["failure", "system-out"]}
    text = etree.parse(folder / "junit.xml").findtext(".//system-out")
    assert text == "stdout | out ]]>\\x01\nstderr | err"


def test_secrets_are_masked(folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "hunter2hunter2")
    (folder / "p.yaml").write_text(
        'params: {p: ""}\nsecrets: [API_TOKEN]\nenv: {KEY: "${{ secrets.API_TOKEN }}"}\n'
        "nodes: {a: {run: 'echo $KEY; echo it is $KEY >&2; exit 1', with: {p: \"${{ params.p }}\"}}}\n"
    )
    files = ("--junit", "junit.xml", "--trace", "trace.json")
    assert here(folder, "run", "p.yaml", "-p", "p=hunter2hunter2", *files).returncode == 1
    for name in ("junit.xml", "trace.json"):
        assert "hunter2" not in (folder / name).read_text()
    assert "it is ***" in (folder / "junit.xml").read_text()


def test_an_interrupted_run_has_both_files(folder: Path) -> None:
    (folder / "p.yaml").write_text("nodes: {a: {run: 'echo started >&2; sleep 300'}, b: {run: 'true', needs: a}}")
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", "--junit", "junit.xml", "--trace", "trace.json"]
    with forked.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("started" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert cases(folder / "junit.xml") == {"a": ["skipped"], "b": ["skipped"], "the run": ["error"]}
    assert [
        e["args"]["status"] for e in trace(folder / "trace.json")["traceEvents"] if e.get("cat") == "node,cancelled"
    ] == ["cancelled"]


@pytest.mark.parametrize("option", ["--junit", "--trace"])
@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("shop.yaml", "'shop.yaml' is the pipeline file: name another file"),
        ("link.yaml", "'link.yaml' is the pipeline file: name another file"),
        (".nfrun", "'.nfrun' is the work folder: name another file"),
        ("sub", "'sub' is a folder: name a file"),
        ("steps.py", "'steps.py' is there and has no {} in it: name another file"),
        ("other.json", "'other.json' is there and has no {} in it: name another file"),
        ("-", "it writes a file, and not to stdout: name one"),
        ("steps.py/a/b", "'steps.py' is no folder: name another file"),
        ("e.jsonl", "'e.jsonl' is the file of --events: name another file"),
        ("sub/../e.jsonl", "'sub/../e.jsonl' is the file of --events: name another file"),
        ("", "an empty name is no file"),
    ],
)
def test_a_wrong_path_is_an_error_before_anything_runs(
    folder: Path, here: Here, option: str, file: str, message: str
) -> None:
    (folder / "sub").mkdir()
    (folder / "link.yaml").symlink_to("shop.yaml")
    (folder / "other.json").write_text('{"a": 1, "traceEvents": "<testsuite>"}')
    done = here(folder, "run", "shop.yaml", option, file, "--events", "e.jsonl")
    assert done.returncode == 2
    what = message.format("test cases" if option == "--junit" else "trace")
    assert f"Invalid value for {option}: {what}" in " ".join(done.stderr.replace("│", " ").split())
    assert not (folder / ".nfrun").exists()
    assert (folder / "shop.yaml").read_text() == SHOP


def test_both_options_with_one_file_are_an_error(folder: Path, here: Here) -> None:
    done = here(folder, "run", "shop.yaml", "--junit", "a", "--trace", "./a")
    assert done.returncode == 2
    assert "Invalid value for --trace: 'a' is the file of --junit: name another file" in " ".join(done.stderr.split())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_an_error_before_anything_runs(folder: Path, here: Here) -> None:
    (folder / "shut").mkdir(mode=0o500)
    done = here(folder, "run", "shop.yaml", "--junit", "shut/junit.xml")
    assert (done.returncode, done.stderr) == (77, "nfrun: no permission: shut/junit.xml\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_at_the_end_is_an_error_of_a_good_run_only(folder: Path, here: Here) -> None:
    (folder / "p.yaml").write_text("nodes: {a: {run: 'true'}}")
    for option, what in (("--junit", "test cases"), ("--trace", "the trace")):
        done = here(folder, "run", "p.yaml", option, "/dev/full")
        assert done.returncode == 74
        assert f"nfrun: the report of {what} (/dev/full) stopped: No space left on device\n" in done.stderr
        assert here(folder, "run", "shop.yaml", option, "/dev/full").returncode == 1
    assert here(folder, "run", "p.yaml", "--junit", "/dev/null", "--trace", "/dev/null").returncode == 0
    assert Path("/dev/null").is_char_device()


def test_a_file_of_another_tool_may_be_overwritten_if_it_has_test_cases(folder: Path, here: Here) -> None:
    (folder / "junit.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest"/></testsuites>'
    )
    (folder / "link.xml").symlink_to("junit.xml")
    here(folder, "run", "shop.yaml", "--junit", "link.xml")
    assert (folder / "link.xml").is_symlink()
    assert "orders" in cases(folder / "junit.xml")


@pytest.mark.parametrize(
    ("file", "arguments", "code"),
    [
        ("p.yaml", ("--only", "zzz"), 2),
        ("p.yaml", ("--work", "shop.yaml/x"), 74),
        ("wrong.yaml", (), 2),
        ("none.yaml", (), 2),
    ],
)
def test_a_run_that_ends_before_its_first_node_leaves_no_green_file(
    folder: Path, here: Here, file: str, arguments: tuple[str, ...], code: int
) -> None:
    """A file of an earlier run, which was good, would be taken for that of this run."""
    (folder / "p.yaml").write_text("nodes: {a: {run: 'true'}}")
    (folder / "wrong.yaml").write_text("nodes: {a: {rn: 'true'}}")
    (folder / "link.xml").symlink_to("junit.xml")
    assert here(folder, "run", "p.yaml", "--junit", "junit.xml").returncode == 0
    assert cases(folder / "junit.xml") == {"a": []}
    assert here(folder, "run", file, "--junit", "link.xml", *arguments).returncode == code
    assert not (folder / "junit.xml").exists()


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="the system has no files for descriptors")
def test_a_descriptor_is_not_removed(folder: Path) -> None:
    command = [sys.executable, "-m", "nfrun", "run", "none.yaml", "--junit", "/dev/stdout"]
    with (folder / "out").open("w") as out:
        assert subprocess.run(command, cwd=folder, stdout=out, stderr=subprocess.DEVNULL, check=False).returncode == 2
    assert (folder / "out").read_text() == ""
    assert Path("/dev/stdout").is_symlink()
