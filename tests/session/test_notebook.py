"""A notebook in a kernel of Jupyter: the cells of `docs/notebooks.md`, progress, errors and interrupts."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import nfrun
from tests.docs.pages import blocks

nbformat = pytest.importorskip("nbformat", reason="needs what the extra 'test' installs")
nbclient = pytest.importorskip("nbclient", reason="needs what the extra 'test' installs")
pytest.importorskip("ipykernel", reason="needs what the extra 'test' installs")

CELLS = [block.text for block in blocks("docs/notebooks.md")]

# Behind the cells of the page: mistakes, an interrupt, markup in names and data, and progress.
MORE = [
    'shop.sql("wrong", "select 1", tiemout="3s")\nshop.run(inputs={"orders": rows})',
    """
import os, signal, time
calm = nfrun.Pipeline("calm")
def wait():
    os.kill(os.getpid(), signal.SIGINT)  # what the kernel gets when a user interrupts it
    time.sleep(60)
calm.python("wait", wait)
before = signal.getsignal(signal.SIGINT)
result = calm.run(grace=0)
result.status, signal.getsignal(signal.SIGINT) is before
""",
    "result.check()",
    """
import threading
ticking = nfrun.Pipeline("ticking <b>")
shown = threading.Event()
class Watched(nfrun.session.api.progress.NotebookProgress):
    def tick(self):
        super().tick()
        shown.set()
nfrun.session.api.progress.NotebookProgress, kept = Watched, nfrun.session.api.progress.NotebookProgress
def wait():
    assert shown.wait(60)
    raise ValueError("<script>alert(1)</script>")
ticking.python("wait", wait)
result = ticking.run()
nfrun.session.api.progress.NotebookProgress = kept
result.failures[0]
""",
    # a cell with a function is edited and run again, and functions of a loop
    """
edited = nfrun.Pipeline("edited")
def size():
    return [{"x": 1}]
edited.python("size", size)
for k in (1, 2):
    def made(k=k):
        return [{"x": k}]
    edited.python(f"made_{k}", made)
""",
    "def size():\n    return [{'x': 2}]\nedited.run()",
    """
size = 3  # no function any more
again = edited.run()
[again[name].to_pylist() for name in ("size", "made_1", "made_2")]
""",
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    """The outputs of all cells."""
    cells = [nbformat.v4.new_code_cell(code) for code in (*CELLS, *MORE)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    folder = str(tmp_path_factory.mktemp("notebook"))
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": folder}}
    )
    client.execute()
    assert (Path(folder) / ".nfrun" / "runs").is_dir()
    return [cell.outputs for cell in notebook.cells]


def form(outputs: list[Any], kind: str) -> str:
    """The last output of a cell in a form."""
    return str(outputs[-1]["data"][kind])


def test_the_page_has_the_cells_that_the_tests_are_about() -> None:
    assert len(CELLS) == 5


def test_a_pipeline_and_its_plan_show_themselves(outputs: list[list[Any]]) -> None:
    assert form(outputs[0], "text/plain") == "<pipeline shop: 2 nodes>"
    assert form(outputs[1], "text/plain") == "<plan of shop: 3 of 3 nodes would run>"
    html = form(outputs[1], "text/html")
    for text in ("orders", "large", "share", "no module has its function"):
        assert text in html


def test_a_failed_run_shows_why(outputs: list[list[Any]]) -> None:
    assert re.fullmatch(r"<run 1 of shop: failed, 2 ran, 1 failed, .*>", form(outputs[2], "text/plain"))
    html = form(outputs[2], "text/html")
    assert "run 1 of shop: failed, 2 ran, 1 failed, " in html
    line = CELLS[0].splitlines().index(next(line for line in CELLS[0].splitlines() if "share" in line)) + 1
    assert f"Cell In[1]:{line}:1: node &#x27;share&#x27; failed" in html
    assert "total" in html
    assert len(html) < 6_000


def test_the_mended_pipeline_runs_and_its_outputs_are_there(outputs: list[list[Any]]) -> None:
    assert re.fullmatch(r"<run 2 of shop: ok, 4 ran, .*>", form(outputs[3], "text/plain"))
    assert form(outputs[4], "text/plain") == "([{'share': 0.5}], 2, '3 orders\\n')"


def test_a_mistake_shows_the_line_of_the_cell_and_no_code_of_nfrun(outputs: list[list[Any]]) -> None:
    (error,) = outputs[5]
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))
    assert text.startswith("SpecError: Cell In[6]:1:1: 'tiemout' is not a key of a node\n")
    assert 'shop.sql("wrong", "select 1", tiemout="3s")' in text
    assert "did you mean 'timeout'?" in text
    assert "nfrun/api" not in text


def test_an_interrupt_cancels_the_run_and_returns_it(outputs: list[list[Any]]) -> None:
    assert form(outputs[6], "text/plain") == "('cancelled', True)"
    assert outputs[7][0]["ename"] == "KeyboardInterrupt"


def test_progress_is_shown_in_the_cell_and_becomes_one_line_without_markup(outputs: list[list[Any]]) -> None:
    progress, failure = outputs[8]
    assert re.fullmatch(r"ticking <b>: failed, 1 failed, .*", progress["data"]["text/plain"])
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in failure["data"]["text/html"]
    assert "<script" not in failure["data"]["text/html"]


def test_a_function_whose_cell_was_edited_asks_for_a_new_pipeline(outputs: list[list[Any]]) -> None:
    (error,) = outputs[10]
    what = "function: 'size' is not as when the pipeline was built: build it again, or give each function its own name"
    assert (error["ename"], error["evalue"]) == ("UsageError", what)
    values = ast.literal_eval(form(outputs[11], "text/plain"))
    assert values == [[{"x": 1}], [{"x": 1}], [{"x": 2}]]  # each function of the loop keeps its default


def test_outside_of_notebooks_progress_is_shown_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    b = nfrun.Pipeline("x", folder=tmp_path)
    b.sql("a", "select 1 as x")
    b.run()
    assert capsys.readouterr() == ("", "")
    b.run(progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "a " in err
