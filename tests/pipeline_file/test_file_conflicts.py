"""Tests of the check that no two nodes use one file in no fixed order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nfrun.core.errors import SpecError, render
from nfrun.core.text import ellipsize
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.resolve import resolve

HEAD = """\
params: {dir: out, name: {type: string}}
nodes:
  a: {sql: select 1 as n}
  w: {write: out/x.csv, inputs: [a]}
"""

WRITTEN = "node 'w' (p.yaml:4:14) writes 'out/x.csv', which this node may read, and neither waits for the other"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("linked").symlink_to("out")
    Path("link.csv").symlink_to("out/x.csv")  # leads to nothing
    return Path.cwd()


def diagnostics(text: str) -> list[str]:
    Path("p.yaml").write_text(HEAD + text)
    try:
        read_pipeline("p.yaml")
    except SpecError as error:
        return [render(diagnostic) for diagnostic in error.diagnostics]
    return []


@pytest.mark.parametrize(
    "path",
    ["./out/x.csv", "out/../out/x.csv", "HERE/out/x.csv", "linked/x.csv", "link.csv", "${{ params.dir }}/./x.csv"],
)
def test_two_writers_of_one_file(folder: Path, path: str) -> None:
    path = path.replace("HERE", str(folder))
    found = diagnostics(f'  v: {{write: "{path}", inputs: [a], needs: [w]}}\n')
    assert [line.splitlines()[0] for line in found] == ["p.yaml:5:14: node 'w' (p.yaml:4:14) writes this file too"]
    shown = path.replace("${{ params.dir }}", "out")
    assert found[0].endswith(f"^ '{ellipsize(shown)}' and 'out/x.csv' are one file: rename one")


@pytest.mark.parametrize(
    "node",
    [
        "read: out/x.csv",
        "read: linked/x.csv",
        "read: link.csv",
        'read: "${{ params.dir }}/x.csv"',
        "read: file://HERE/out/x.csv",
        "read: out/*.csv",
        "read: linked/[a-x].csv",
        "read: HERE/*/?.csv",
        'read: "**/x.csv"',
        'read: "out/**/**/*.csv"',
        "sql: select * from 'out/x.csv'",
        "sql: select * from read_csv(['./out/*.csv'])",
        "sql: select * from read_csv($f)\n    with: {f: linked/x.csv}",
        "run: sort ./out/x.csv > sorted.csv",
        "run: 'wc -l < linked/x.csv'",
        "run: python report.py --in 'out/x.csv'",
        "run: cat $NFRUN_WITH_f\n    with: {f: out/x.csv}",
        "run: echo x > out/x.csv",
    ],
)
@pytest.mark.parametrize("exists", [False, True])
def test_a_reader_of_what_another_node_writes(folder: Path, node: str, exists: bool) -> None:
    if exists:
        (folder / "out" / "x.csv").touch()
    node = node.replace("HERE", str(folder))
    node = f"  r:\n    {node}\n"
    found = diagnostics(node)
    column = 5 + node.index(": ") - node.index("    ") - 2
    assert [line.splitlines()[0] for line in found] == [f"p.yaml:6:{column}: {WRITTEN}"]
    assert found[0].endswith("^ make it wait: needs: [w]")
    assert diagnostics(f"{node}    needs: [w]\n") == []
    assert diagnostics(f"  m: {{sql: select 1, needs: [w]}}\n{node}    needs: [m]\n") == []


def test_a_declared_file_that_another_node_writes(folder: Path) -> None:
    found = diagnostics("  r:\n    sql: select 1\n    files: [linked/x.csv]\n")
    assert [line.splitlines()[0] for line in found] == [f"p.yaml:7:12: {WRITTEN}"]
    assert diagnostics("  r:\n    sql: select 1\n    files: ['out/*.csv']\n") == []  # it leaves the file out


def test_brackets_in_the_name_of_the_folder_are_no_pattern(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("[x]").mkdir()
    monkeypatch.chdir("[x]")
    assert len(diagnostics("  r: {read: 'out/*.csv'}\n")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "  r: {read: out/y.csv}\n",
        "  r: {read: out/.*.csv}\n",
        "  r: {read: '*.csv'}\n",
        "  r: {read: 'o/**/*.csv'}\n",
        "  r: {read: 's3://out/x.csv'}\n",
        "  r: {read: '${{ params.name }}/x.csv'}\n",
        "  r: {sql: \"select x.csv, 'x.csv' from a as x where regexp_matches(n, '[a-z]*/x')\", inputs: [a]}\n",
        # Updated in place: the writer waits for the reader.
        "  r: {read: out/z.csv}\n  z: {write: out/z.csv, inputs: [r]}\n",
        "  r: {read: out/z.csv}\n  m: {sql: from r, inputs: [r]}\n  z: {write: out/z.csv, inputs: [m]}\n",
        "  v: {write: out/X.csv, inputs: [a]}\n",
        "  r: {run: echo out/x.csv}\n",
        "  r: {run: 'echo \"made out/x.csv\" >&2'}\n",
        "  r: {run: cd sub && cat out/x.csv}\n",
        "  r: {run: cat $D/x.csv out/*.csv}\n",
        "  r: {run: 'true  # out/x.csv'}\n",
        "  r: {run: cat out/x.csv, needs: w}\n",
        "  r: {run: cat out/x.csv, inputs: w}\n",
    ],
)
def test_no_conflict(folder: Path, text: str) -> None:
    assert diagnostics(text) == []


@pytest.mark.parametrize("given", ["out", "./linked", "HERE/out"])
def test_conflicts_through_parameters_are_found_when_they_are_bound(folder: Path, given: str) -> None:
    given = given.replace("HERE", str(folder))
    text = '  v: {write: "${{ params.name }}/x.csv", inputs: [a]}\n  r: {read: "${{ params.name | string }}/x.csv"}'
    assert diagnostics(text) == []

    def bind(name: str) -> None:
        resolve(Path("p.yaml"), given={"name": name}, params_file=None, environ=os.environ, run_id="r", to_run=False)

    with pytest.raises(SpecError) as error:
        bind(given)
    assert [(str(d.span), d.message) for d in error.value.diagnostics] == [
        ("p.yaml:5:14", "node 'w' (p.yaml:4:14) writes this file too"),
        ("p.yaml:6:13", WRITTEN),
    ]


INTO = "  o: {write: out/o/, inputs: [a], with: {partition: n}}\n"


@pytest.mark.parametrize("path", ["out/o/", "linked/o/"])
def test_two_writers_of_one_folder(folder: Path, path: str) -> None:
    found = diagnostics(f"{INTO}  v: {{write: {path}, inputs: [a]}}\n")
    assert [line.splitlines()[0] for line in found] == ["p.yaml:6:14: node 'o' (p.yaml:5:14) writes this file too"]


@pytest.mark.parametrize("path", ["out/o/x.csv", "linked/o/n=1/", "out/o/n=1/part-0.parquet"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_writer_into_the_folder_of_another(folder: Path, path: str, exists: bool) -> None:
    if exists:
        (folder / "out/o/n=1").mkdir(parents=True)
        (folder / "out/o/n=1/part-0.parquet").touch()
    inner = f"  v: {{write: {path}, inputs: [a]}}\n"
    for text, lines in {INTO + inner: (6, 5), inner + INTO: (5, 6)}.items():
        what = f"node 'o' (p.yaml:{lines[1]}:14) writes the folder 'out/o/', which holds '{path}'"
        found = diagnostics(text)
        assert [line.splitlines()[0] for line in found] == [f"p.yaml:{lines[0]}:14: {what}"]
        assert found[0].endswith("^ write to another folder")


@pytest.mark.parametrize(
    "path",
    ["out/o/", "linked/o/", "out/", "out/o/n=1/part-0.parquet", "out/o/*/*.parquet", "*/*/n=1/*.csv", "**/*.csv"],
)
def test_a_reader_of_a_folder_that_another_node_writes(folder: Path, path: str) -> None:
    node = f"  r: {{read: '{path}'"
    found = [line.splitlines()[0] for line in diagnostics(f"{INTO}{node}, needs: [w]}}\n")]
    what = "node 'o' (p.yaml:5:14) writes 'out/o/', which this node may read, and neither waits for the other"
    assert found == [f"p.yaml:6:13: {what}"]
    assert diagnostics(f"{INTO}{node}, needs: [o, w]}}\n") == []


def test_a_reader_of_the_folder_that_cells_write_into(folder: Path) -> None:
    text = (
        "  v: {matrix: {day: [1, 2]}, write: 'out/daily/day=${{ matrix.day }}/part.csv', inputs: [a]}\n"
        "  r: {read: out/daily/"
    )
    found = [line.splitlines()[-1].split("^ ")[-1] for line in diagnostics(text + "}\n")]
    assert found == ["make it wait: needs: [v]"]
    assert diagnostics(text + ", needs: v}\n") == []


@pytest.mark.parametrize("path", ["out/p/", "out/o2/x.csv", "out/*.csv", "out/o.csv"])
def test_no_conflict_with_a_folder(folder: Path, path: str) -> None:
    text = f"{INTO}  r: {{read: '{path}', needs: w}}\n"
    assert diagnostics(text) == []


@pytest.mark.parametrize("path", ["./", "../", "/", "sub/..//", "HERE/"])
def test_the_folder_of_the_pipeline_is_not_replaced(folder: Path, path: str) -> None:
    found = diagnostics(f"  v: {{write: {path.replace('HERE', str(folder))}, inputs: [a]}}\n")
    what = "what is written takes the place of a folder, and the pipeline file is in this one"
    assert [line.splitlines()[0] for line in found] == [f"p.yaml:5:14: {what}"]
    assert found[0].endswith("^ name another one: write: out/site/")
