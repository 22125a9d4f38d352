"""Runs without a file that a node reads: the node fails, the run is recorded, and what tells of a failure runs."""

import json
from pathlib import Path

import pytest

from tests.conftest import Here

LAST = """
on_failure:
  tell: {run: echo told}
finally:
  end: {run: echo ended}
"""
NAMED = "'files' of the node names"
# Nodes, of which `late` lacks a file, and what the run says of it.
NODES = {
    "a file": ("late: {read: data/late.csv}", "no such file: data/late.csv"),
    "a file in no folder": ("late: {read: x/late.csv}", "no such file: x/late.csv"),
    "a pattern": ("late: {read: 'data/*.jsonl'}", "no file matches data/*.jsonl"),
    "an empty folder": ("late: {read: empty/, with: {format: csv}}", "there is no file in the folder empty/"),
    "a folder": ("late: {read: none/, with: {format: csv}}", "no such folder: none/"),
    "a URI": ("late: {read: 'file:///data/late.csv'}", "no such file: /data/late.csv"),
    "a file as it is": ("late: {read: x.bin, outputs: {f: .bin}}", "there is no file 'x.bin'"),
    "a folder as it is": ("late: {read: none, outputs: {f: folder}}", "there is no file 'none'"),
    "a declared file": ("late: {run: 'true', files: x.bin}", f"there is no file 'x.bin', which {NAMED}"),
    "a declared pattern": ("late: {sql: select 1, files: ['*.x']}", f"no file matches '*.x', which {NAMED}"),
    "a declared file of a function": ("late: {python: 'steps:f', files: x}", f"there is no file 'x', which {NAMED}"),
    "a link": ("late: {run: 'true', files: gone}", f"'gone' is a link to a file that does not exist, which {NAMED}"),
    "a query": ("late: {sql: from 'x.csv'}", 'IO Error: No files found that match the pattern "x.csv"'),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "data" / "date.csv").write_text("n\n1\n")
    (tmp_path / "steps.py").write_text("def f():\n    return {'n': [1]}\n")
    (tmp_path / "gone").symlink_to("nowhere")
    return tmp_path


@pytest.mark.parametrize("handoff", ["auto", "memory"])
@pytest.mark.parametrize("what", NODES)
def test_a_node_without_its_file_fails_and_that_is_told(folder: Path, here: Here, what: str, handoff: str) -> None:
    node, message = NODES[what]
    (folder / "p.yaml").write_text(f"nodes:\n  {node}\n{LAST}")
    done = here(folder, "run", "p.yaml", "--json", "--handoff", handoff)
    assert done.returncode == 1, done.stderr
    run = json.loads(done.stdout)
    assert run["status"] == "failed"
    statuses = {name: node["status"] for name, node in run["nodes"].items()}
    assert statuses == {"late": "failed", "tell": "ok", "end": "ok"}
    assert run["nodes"]["late"]["error"] == message
    assert f"node 'late' failed: {message}\n" in done.stderr
    recorded = json.loads(here(folder, "runs", "--json").stdout)["runs"]
    assert [one["status"] for one in recorded] == (["failed"] if handoff == "auto" else [])  # memory records nothing


def test_what_lacks_a_file_fails_before_other_nodes_begin(folder: Path, here: Here) -> None:
    """`late` has the shortest path to the end, so that it would come last."""
    nodes = "a: {sql: select 1 as x}\n  b: {sql: from a, inputs: a}\n  save: {write: out.csv, inputs: b}"
    (folder / "p.yaml").write_text(f"nodes:\n  {nodes}\n  late: {{read: data/late.csv}}\n")
    done = here(folder, "run", "p.yaml", "--json", "--jobs", "1")
    statuses = {name: node["status"] for name, node in json.loads(done.stdout)["nodes"].items()}
    assert statuses == {"a": "cancelled", "b": "cancelled", "save": "cancelled", "late": "failed"}
    assert here(folder, "run", "p.yaml", "-k").returncode == 1
    assert (folder / "out.csv").exists()


def test_a_file_that_comes_before_the_last_attempt_is_read(folder: Path, here: Here) -> None:
    (folder / "p.yaml").write_text(
        "nodes:\n  late: {read: late.csv, retries: {max: 100, delay: 0.05s}}\n"
        "  make: {run: 'cp data/date.csv part && mv part late.csv'}\n"
    )
    done = here(folder, "run", "p.yaml", "--json", "-k")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["nodes"]["late"]["attempts"] > 1


def test_a_node_that_is_not_selected_needs_no_file(folder: Path, here: Here) -> None:
    (folder / "p.yaml").write_text("nodes:\n  late: {read: late.csv}\n  a: {sql: select 1}\n")
    assert here(folder, "run", "p.yaml", "--only", "a").returncode == 0


def test_a_node_of_another_file_without_its_file_fails(folder: Path, here: Here) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "q.yaml").write_text("nodes:\n  late: {read: late.csv}\noutputs: {late: late}\n")
    (folder / "p.yaml").write_text(f"nodes:\n  all: {{pipeline: inner/q.yaml}}\n{LAST}")
    done = here(folder, "run", "p.yaml")
    assert done.returncode == 1
    assert "node 'all/late' failed: no such file: late.csv\n" in done.stderr
    assert "tell | told" in done.stderr


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ("{files: 'in/*.csv'}", "no file matches in/*.csv"),
        ("{files: '${{ params.day }}/*.txt'}", "no file matches today/*.txt"),
        ("{rows: days.csv}", "no such file: days.csv"),
    ],
)
def test_an_axis_without_its_files_fails_and_that_is_told(folder: Path, here: Here, axis: str, message: str) -> None:
    """There are no cells, and so nothing else runs. `fin` reads what there would be."""
    (folder / "steps.py").write_text("def f(all=None):\n    print(all)\n")
    (folder / "p.yaml").write_text(
        "params: {day: {type: string, default: today}}\n"
        f"matrix: {{f: {axis}}}\nnodes:\n  each: {{matrix: f, sql: select 1 as x}}\n  other: {{sql: select 1}}\n"
        "  all: {sql: from each, inputs: {each: {from: each, gather: concat}}}\noutputs: {all: all}\n"
        "on_failure: {tell: {run: echo told}}\n"
        "finally: {f: {python: 'steps:f', inputs: all}}\n"
    )
    done = here(folder, "run", "p.yaml", "--json")
    assert done.returncode == 1, done.stderr
    run = json.loads(done.stdout)
    statuses = {name: node["status"] for name, node in run["nodes"].items()}
    assert statuses == {"matrix/f": "failed", "tell": "ok", "f": "ok"}
    assert f"node 'matrix/f' failed: {message}\n" in done.stderr
    assert here(folder, "plan", "p.yaml").returncode == 2
    assert here(folder, "show").returncode == 0
    assert here(folder, "report", "-o", "r.html").returncode == 0
    for name in ("in/a.csv", "today/a.txt", "days.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("id\nx\n")
    assert here(folder, "run", "p.yaml").returncode == 0


MISTAKES = {
    "a folder for a table": ("late: {read: empty, with: {format: csv}}", "'empty' is a folder"),
    "a pattern for a file": ("late: {read: 'x*.bin', outputs: {f: .bin}}", "'x*.bin' is a pattern, and one file"),
    "another scheme": ("late: {read: 'zip://x.csv'}", "a read node cannot read zip://"),
    "a URI under files": ("late: {run: 'true', files: 'http://x/y'}", "'http://x/y' is a URI, and 'files' takes paths"),
    "all files": ("late: {run: 'true', files: /}", "'/' contains the pipeline's folder"),
    "an axis with an empty list": ("late: {matrix: {f: '${{ [] }}'}, sql: select 1}", "the axis 'f' has no values"),
    "a module": ("late: {python: 'stepz:f'}", "there is no module 'stepz'"),
    "a package": ("late: {run: 'true', packages: [nosuchpackage]}", "no package 'nosuchpackage' is installed"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_of_the_file_is_still_refused(folder: Path, here: Here, what: str) -> None:
    node, message = MISTAKES[what]
    (folder / "p.yaml").write_text(f"nodes:\n  {node}\n{LAST}")
    done = here(folder, "run", "p.yaml")
    assert (done.returncode, (folder / ".nfrun").exists()) == (2, False)
    assert message in done.stderr
