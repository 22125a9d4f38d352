"""`nfrun shell`: the names that it offers, `rerun`, and what it refuses."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import forked
import pytest
from conftest import Here
from project import BROKEN, Project, new_project

from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.lookback.reopen.node_shell import NodeShell


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with one run, which the tests do not change."""
    project = new_project(tmp_path_factory.mktemp("project"))
    project.edit("trial.yaml", ", executor: thread", "")  # draws are the same in all runs of a worker process
    project.run()
    return project


def said(project: Project, node: str, script: str, *words: str, **env: str) -> list[str]:
    """Run a script in the shell of a node and return the lines that it prints."""
    before = project.files()
    done = project.nfrun("shell", node, *words, stdin=script, **env)
    assert done.returncode == 0, done.stderr
    assert project.files() == before, "the shell changes nothing in the work folder"
    return done.stdout.splitlines()


def test_inputs_and_values_have_their_names(kept: Project) -> None:
    assert said(kept, "double", "print(table.num_rows, factor, double.__name__)") == ["3 2 double"]


def test_rerun_returns_what_the_node_gives(kept: Project) -> None:
    assert said(kept, "double", "print(rerun()['n'].to_pylist())") == ["[0, 2, 4]"]


def test_rerun_takes_inputs_and_values_as_they_are_now_or_as_they_are_given(kept: Project) -> None:
    script = "factor = 5\ntable = table.slice(1)\nprint(rerun()['n'].to_pylist(), rerun(factor=1)['n'].to_pylist())"
    assert said(kept, "double", script) == ["[5, 10] [1, 2]"]


def test_an_input_may_be_anything_that_makes_a_table(kept: Project) -> None:
    assert said(kept, "double", "table = [{'n': 7}]\nprint(rerun().to_pylist())") == ["[{'n': 14}]"]


def test_several_outputs_come_as_a_dictionary(kept: Project) -> None:
    assert said(kept, "parts", "print({name: t.num_rows for name, t in rerun().items()})") == ["{'low': 1, 'high': 2}"]


def test_rerun_imports_the_code_again(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.run()
    script = """
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
steps = Path("steps.py")
steps.write_text(steps.read_text().replace("factor * n", "factor * n + 1"))
print(rerun()["n"].to_pylist(), double(table=table)["n"].to_pylist())
"""
    assert said(project, "double", script) == ["[1, 3, 5] [1, 3, 5]"]


def test_a_node_without_inputs_has_its_values(kept: Project) -> None:
    assert said(kept, "numbers", "print(count, rerun(count=1).to_pylist())") == ["3 [{'n': 0, 'name': 'n0'}]"]


def test_the_parameters_are_those_of_the_run(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.run("-p", "count=5")
    project.run()
    assert said(project, "numbers", "print(count)") == ["3"]
    assert said(project, "numbers", "print(count)", "--run", "1") == ["5"]
    assert said(project, "numbers", "print(count)", "--run", "1", "-p", "count=9") == ["9"]


def test_the_environment_of_the_file_is_set_and_draws_are_those_of_a_run(kept: Project) -> None:
    drawn = kept.nfrun("open", "drawn", "--format", "csv").stdout.splitlines()[1].split(",")[0]
    (first, second) = said(kept, "drawn", "for _ in range(2): print(rerun().to_pylist()[0])")
    assert first == second == f"{{'drawn': {drawn}, 'rows': 1, 'env': 'hello'}}"


def test_a_function_that_takes_a_context_can_be_called(kept: Project) -> None:
    script = "import asyncio\nprint(asyncio.run(draw(table=table, context=context))['rows'], context.node)"
    assert said(kept, "drawn", script) == ["1 drawn"]


def test_a_query_can_be_run_again_or_another_one(kept: Project) -> None:
    script = """
print(*(int(table["total"][0].as_py()) for table in (rerun(), rerun(times=1))))
print(query("select max(n) as m from double").to_pylist())
"""
    assert said(kept, "total", script) == ["60 6", "[{'m': 4}]"]


def test_a_script_runs_with_its_inputs_as_files_and_shows_what_it_prints(kept: Project) -> None:
    done = kept.nfrun("shell", "listed", stdin="print(rerun().to_pylist())")
    assert done.stdout == "[{'n': 2, 'name': 'n1'}, {'n': 4, 'name': 'n2'}]\n"
    assert done.stderr == f"in {kept.folder}\n"


def test_a_node_without_inputs_and_without_outputs_can_be_run_again(kept: Project) -> None:
    assert said(kept, "told", "print(rerun())") == ["None"]


def test_an_error_in_the_node_shows_the_users_frames(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.run()
    project.edit("trial.yaml", "\noutputs:", BROKEN)
    done = project.nfrun("shell", "broken", stdin="rerun()\nprint('not reached')")
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == '  File "<stdin>", line 1, in <module>'
    assert f'  File "{tmp_path}/steps.py", line 23, in fail' in lines
    assert lines[-1] == r"ValueError: no \x1b[31m"
    assert sum("/nfrun/" in line for line in lines) <= 1


def test_an_error_in_the_script_and_its_exit_code_are_those_of_python(kept: Project) -> None:
    done = kept.nfrun("shell", "double", stdin="print(1)\nmissing\n")
    assert (done.returncode, done.stdout) == (1, "1\n")
    assert done.stderr.splitlines() == [
        "Traceback (most recent call last):",
        '  File "<stdin>", line 2, in <module>',
        "    missing",
        "NameError: name 'missing' is not defined",
    ]
    assert kept.nfrun("shell", "double", stdin="if True print(1)").returncode == 1
    assert kept.nfrun("shell", "double", stdin="import sys; sys.exit(7)").returncode == 7
    assert kept.nfrun("shell", "double", stdin="exit()").returncode == 0


def test_code_that_cannot_be_imported_leaves_the_inputs(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.run()
    project.write("steps.py", f"{(tmp_path / 'steps.py').read_text()}\nraise RuntimeError('not now')\n")
    done = project.nfrun("shell", "double", stdin="print(table.num_rows)")
    assert (done.returncode, done.stdout) == (0, "3\n")
    assert done.stderr == "nfrun: the code of the node cannot be loaded: RuntimeError: not now\n"


def test_secrets_are_asked_from_the_environment(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.edit("trial.yaml", "env: {GREETING: hello}", 'secrets: [WORD]\nenv: {GREETING: "${{ secrets.WORD }}"}')
    done = project.nfrun("run", "trial.yaml", "-q", "--keep", WORD="magical")
    assert done.returncode == 0, done.stderr
    refused = project.nfrun("shell", "double", stdin="print(1)")
    assert refused.returncode == 2
    assert "the secret 'WORD' is not set" in refused.stderr
    assert said(project, "drawn", "print(rerun().to_pylist()[0]['env'])", WORD="magical") == ["magical"]


def test_tables_that_were_removed_are_named_with_the_command_that_makes_them_again(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.run("-p", "count=5")
    project.table(1, "numbers").unlink()
    done = project.nfrun("shell", "double", stdin="print(1)")
    again = "nfrun run trial.yaml --keep -p count=5 --force numbers"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"nfrun: the table of 'numbers' in run 1 was removed; to make it again: {again}\n"
    project.run("-p", "count=5", "--force", "numbers")
    assert said(project, "double", "print(table.num_rows)") == ["5"]


def test_a_damaged_table_is_an_error(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.run()
    file = project.damage(1, "numbers")
    done = project.nfrun("shell", "double", stdin="print(table)")
    assert (done.returncode, done.stdout) == (74, "")
    again = "to make it again: nfrun run trial.yaml --keep --force numbers"
    assert done.stderr == f"nfrun: {file} is damaged and is not used; {again}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["doubel"], "trial.yaml has no node 'doubel': did you mean 'double'?"),
        (["x\x1b[31m"], r"trial.yaml has no node 'x\x1b[31m': its nodes are numbers, double, parts, total"),
        (["double", "--run", "9"], "nfrun: there is no run 9 in "),
        (["double", "--work", "nowhere"], "nfrun: there is no folder "),
        (["double", "--pipeline", "nothing.yaml"], "nothing.yaml: there is no such file"),
        (["double", "--pipeline", "steps.py"], "nfrun: no run of steps.py is kept in "),
        (["double", "-p", "cuont=1"], "the pipeline has no parameter 'cuont'"),
        (["double", "-p", "count=x"], "parameter 'count'"),
    ],
)
def test_what_is_not_there_is_named(kept: Project, words: list[str], message: str) -> None:
    done = kept.nfrun("shell", *words, stdin="print(1)")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_input_whose_node_failed_is_an_error(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.edit("trial.yaml", "\noutputs:", BROKEN)
    project.run(code=1)
    done = project.nfrun("shell", "after", stdin="print(1)")
    assert done.returncode == 2
    assert done.stderr == "nfrun: 'broken' failed in run 1 and handed on no table: ValueError: no \\x1b[31m\n"


def test_a_terminal_gets_a_prompt_and_what_there_is(kept: Project) -> None:
    outer, inner = pty.openpty()
    command = [sys.executable, "-P", "-m", "nfrun", "shell", "double"]
    with forked.Popen(command, cwd=kept.folder, stdin=inner, stdout=inner, stderr=subprocess.PIPE) as process:
        os.close(inner)
        os.write(outer, b"print('rows', table.num_rows)\nexit()\n")
        shown = b""
        with suppress(OSError):  # a terminal whose other end is closed
            while data := os.read(outer, 4096):
                shown += data
        assert process.stderr
        said = process.stderr.read().decode()
    os.close(outer)
    assert process.returncode == 0
    assert b"rows 3" in shown
    assert said.splitlines()[:5] == [
        f"node 'double' of {kept.folder}/trial.yaml, with the tables of run 1",
        "  table  3 rows",
        "  factor = 2",
        "  rerun, double",
        "rerun() runs the node with these as they are now, with its code read again",
    ]


def test_the_banner_of_a_node_without_inputs_and_values_names_none(tmp_path: Path) -> None:
    node = NodeSpec("a", "sql", "select 1", (), {}, (), (), {})
    pipeline = Pipeline("trial.yaml", str(tmp_path), "trial", "", {}, {}, {"a": node}, {})
    with NodeShell(pipeline, node, "1", {}, {}, lambda text: None) as session:
        assert session.banner("node 'a'").splitlines() == [
            "node 'a'",
            "  rerun, query",
            "rerun() runs the node, with its code read again",
        ]


GATHERING = """
matrix: {factor: [1, 2, 3]}
nodes:
  numbers: {python: "steps:numbers", with: {count: 2}}
  cell:
    matrix: factor
    python: "steps:double"
    inputs: {table: numbers}
    with: {factor: "${{ matrix.factor }}"}
  all: {sql: "select factor, n from cells order by all", inputs: {cells: {from: cell, gather: concat}}}
  count: {python: "steps:cells", inputs: {cells: {from: cell, gather: dict}}}
  names:
    run: (echo name; ls $NFRUN_INPUT_cells) > $NFRUN_OUTPUT
    inputs: {cells: {from: cell, gather: dict}}
    format: csv
"""


def test_gathered_inputs_are_as_the_node_had_them(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    project.write("trial.yaml", GATHERING)
    steps = (project.folder / "steps.py").read_text()
    project.write("steps.py", steps + "\ndef cells(cells):\n    return [{'factor': f} for f in cells]\n")
    project.run()
    assert said(project, "all", "print(cells.column_names, rerun()['n'].to_pylist())") == [
        "['factor', 'n', 'name'] [0, 1, 0, 2, 0, 3]"
    ]
    script = "del cells[2]\nprint(list(cells), rerun()['factor'].to_pylist())"
    assert said(project, "count", script) == ["[1, 3] [1, 3]"]
    assert said(project, "names", "print(rerun()['name'].to_pylist())") == ["['1.csv', '2.csv', '3.csv']"]


def test_the_shell_of_a_node_in_another_folder_has_the_inputs_that_were_given(tmp_path: Path, here: Here) -> None:
    project = Project(tmp_path, here)
    for folder in ("part", "data"):
        (tmp_path / folder).mkdir()
    project.write("data/t.csv", "n\n4\n")
    project.write("trial.yaml", "inputs: {t: {}}\nnodes:\n  p: {pipeline: part/p.yaml, inputs: {t: t}}\n")
    project.write("part/p.yaml", "inputs: {t: {}}\nnodes:\n  f: {python: 'steps:f', inputs: t}\n")
    project.write("part/steps.py", "import common\ndef f(t):\n    return [{'who': common.WHO, 'rows': t.num_rows}]\n")
    project.write("part/common.py", "WHO = 'part'\n")
    project.write("common.py", "WHO = 'main'\n")
    project.run("--input", "t=data/t.csv")
    assert said(project, "p/f", "print(t.to_pylist(), rerun().to_pylist())") == [
        "[{'n': 4}] [{'who': 'part', 'rows': 1}]"
    ]
    assert ["inputs", "t=data/t.csv"] in [line.split() for line in project.look("show").stdout.splitlines()]
    assert project.look("open", "t", "--format", "csv").stdout.split() == ['"n"', "4"]
    assert project.look("open", "p/t", "--format", "csv").stdout.split() == ['"n"', "4"]
    for command in ("open", "show"):
        assert project.look(command, "p").stderr == "nfrun: 'p' has 2 nodes: say which, such as 'p/f'\n"


def test_what_a_node_in_another_folder_has_pickled_can_be_loaded(tmp_path: Path, here: Here) -> None:
    project = Project(tmp_path, here)
    (tmp_path / "part").mkdir()
    project.write("trial.yaml", "nodes: {p: {pipeline: part/p.yaml}}\n")
    project.write(
        "part/p.yaml",
        "nodes:\n  make: {python: 'steps:make', outputs: {m: .pkl}}\n  use: {python: 'steps:use', inputs: {m: make}}\n",
    )
    project.write(
        "part/steps.py",
        "import pickle\nclass Model:\n    n = 7\ndef make():\n    return pickle.dumps(Model())\n"
        "def use(m):\n    return [{'n': pickle.loads(m.read_bytes()).n}]\n",
    )
    project.run()
    assert said(project, "p/use", "print(use(m), rerun().to_pylist())") == ["[{'n': 7}] [{'n': 7}]"]
