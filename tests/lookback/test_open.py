"""`nfrun open`: tables as text and in other formats, and what it refuses."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import forked
import pyarrow as pa
import pyarrow.parquet
import pytest
from conftest import Here
from project import BROKEN, SOURCE, Project, new_project

PATH = "--format path prints the name of a file and no rows"
CSV = '"n","name"\n0,"n0"\n2,"n1"\n4,"n2"\n'


@pytest.fixture(scope="module")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with one run, which the tests do not change."""
    project = new_project(tmp_path_factory.mktemp("project"))
    project.run()
    return project


@pytest.fixture
def kept(_kept: Project, here: Here) -> Project:
    """The same project; nfrun runs in this process."""
    return Project(_kept.folder, here)


def opened(project: Project, *words: str) -> str:
    before = project.files()
    done = project.look("open", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert project.files() == before
    return done.stdout


def test_a_table_is_shown_as_in_the_summary(kept: Project) -> None:
    assert [line.rstrip() for line in opened(kept, "double").splitlines()] == [
        "",
        f"double: 3 rows, 2 columns {kept.table(1, 'double')}",
        "",
        " n   name",
        " ────────",
        " 0   n0",
        " 2   n1",
        " 4   n2",
        "",
    ]


def test_the_number_of_rows_can_be_chosen(kept: Project) -> None:
    assert opened(kept, "double", "-n", "1").splitlines()[-1] == "… and 2 more rows"
    assert opened(kept, "double", "-n", "1", "--format", "csv") == '"n","name"\n0,"n0"\n'


@pytest.mark.parametrize("name", ["parts.low", "double", "sum", "drawn"])
def test_an_output_is_named_by_its_id_or_as_the_file_names_it(kept: Project, name: str) -> None:
    assert opened(kept, name, "--format", "path").strip().endswith(".arrow")


def test_formats_go_to_stdout(kept: Project) -> None:
    assert opened(kept, "double", "--format", "csv") == CSV
    assert opened(kept, "double", "--format", "jsonl").splitlines()[2] == '{"n":4,"name":"n2"}'
    assert opened(kept, "double", "--format", "path") == f"{kept.table(1, 'double')}\n"


@pytest.mark.parametrize("format", ["arrow", "parquet"])
def test_binary_formats_go_to_a_pipe_and_to_a_file(kept: Project, format: str, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "nfrun", "open", "double", "--format", format]
    piped = forked.run(command, cwd=kept.folder, capture_output=True, timeout=60, check=True).stdout
    with (tmp_path / "out").open("wb") as file:
        forked.run(command, cwd=kept.folder, stdout=file, timeout=60, check=True)
    for data in (piped, (tmp_path / "out").read_bytes()):
        read = pa.ipc.open_file if format == "arrow" else pa.parquet.ParquetFile
        opened = read(io.BytesIO(data))
        table = opened.read_all() if format == "arrow" else opened.read()
        assert table.to_pylist()[2] == {"n": 4, "name": "n2"}


@pytest.mark.parametrize("format", ["arrow", "parquet"])
def test_binary_formats_refuse_a_terminal(kept: Project, format: str) -> None:
    outer, inner = pty.openpty()
    command = [sys.executable, "-P", "-m", "nfrun", "open", "double", "--format", format]
    done = forked.run(
        command, check=False, cwd=kept.folder, stdout=inner, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(inner)
    os.close(outer)
    assert done.returncode == 2
    assert f"{format} is no text for a terminal: redirect it, or write a file with -o" in " ".join(done.stderr.split())


def test_a_file_is_written_in_the_format_of_its_ending(kept: Project, tmp_path: Path) -> None:
    assert opened(kept, "double", "-o", str(tmp_path / "t.csv")) == ""
    assert (tmp_path / "t.csv").read_text() == CSV
    assert opened(kept, "double", "-o", str(tmp_path / "t.tsv.gz"), "--format", "csv") == ""


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.run("-p", "count=100000")
    for words in ("--format csv", "--format jsonl", "--format parquet", "--format arrow", "-n 20000"):
        command = [sys.executable, "-P", "-m", "nfrun", "open", "numbers", *words.split()]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with forked.Popen(command, cwd=tmp_path, stdin=subprocess.DEVNULL, **pipes) as process:
            read = process.stdout.read(10)
            process.stdout.close()
            errors = process.stderr.read()
        assert (process.returncode, len(read), errors) == (141, 10, b""), words


def test_control_characters_are_escaped_as_text_only(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.edit("steps.py", '"n%d" % n', r'"\x1b[31m"')
    project.run()
    assert r"\x1b[31m" in opened(project, "numbers")
    assert '"\x1b[31m"' in opened(project, "numbers", "--format", "csv")


def test_a_copy_of_a_work_folder_is_read_elsewhere(kept: Project, tmp_path: Path) -> None:
    shutil.copytree(kept.folder / ".nfrun", tmp_path / "copied")
    for path in [tmp_path / "copied", *(tmp_path / "copied").rglob("*")]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    done = kept.look("open", "double", "--work", str(tmp_path / "copied"), "--format", "csv")
    for path in [tmp_path / "copied", *(tmp_path / "copied").rglob("*")]:
        path.chmod(0o700)
    assert (done.returncode, done.stdout, done.stderr) == (0, CSV, "")


def test_a_reused_table_is_found_in_the_run_that_made_it(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.run()
    project.run()
    assert opened(project, "double", "--format", "csv") == CSV
    assert opened(project, "double", "--format", "path") == f"{project.table(1, 'double')}\n"


def test_a_removed_table_is_named_with_the_command_that_makes_it_again(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.run("--fresh")
    project.table(1, "double").unlink()
    done = project.look("open", "double")
    again = "to make it again: nfrun run trial.yaml --keep --force double"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"nfrun: the table of 'double' in run 1 was removed; {again}\n"


def test_the_command_that_makes_a_table_again_is_for_the_present_directory_and_folder(
    tmp_path: Path, here: Here
) -> None:
    (tmp_path / "first").mkdir()
    project = new_project(tmp_path / "first", here)
    first = project.folder
    assert project.look("run", "-q", "--keep", "--work", "other", "--", "trial.yaml").returncode == 0
    project.run()
    project.table(1, "double").unlink()
    next((first / "other").glob("runs/*/double.*")).unlink()
    shutil.copytree(first / ".nfrun", tmp_path / "copied")
    plain = "--keep --force double"
    for folder, words, again in (
        (first, [], f"nfrun run trial.yaml {plain}"),
        (first, ["--work", "other"], "nfrun run --keep --work other --force double -- trial.yaml"),
        (
            tmp_path,
            ["--work", "first/other"],
            "nfrun run --keep --work first/other --force double -- first/trial.yaml",
        ),
        (tmp_path, ["--pipeline", "first/trial.yaml"], f"nfrun run first/trial.yaml {plain}"),
        (first, ["--work", "../copied"], "nfrun run trial.yaml --keep --work ../copied --force double"),
    ):
        done = here(folder, "open", "double", *words)
        assert done.stderr == f"nfrun: the table of 'double' in run 1 was removed; to make it again: {again}\n"


def test_a_damaged_table_is_an_error_in_any_format(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.run()
    file = project.damage(1, "double")
    whole = file.read_bytes()
    for damaged in (whole, whole[:-1], b""):
        file.write_bytes(damaged)
        for format in ("text", "csv", "path"):
            done = project.look("open", "double", "--format", format)
            assert (done.returncode, done.stdout) == (74, "")
            again = "to make it again: nfrun run trial.yaml --keep --force double"
            assert done.stderr == f"nfrun: {file} is damaged and is not used; {again}\n"


def test_it_works_while_a_run_holds_the_folder(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.run()
    project.rewrite_journal(1, lambda line: line if line["event"] != "ended" and line.get("node") != "listed" else None)
    with (tmp_path / ".nfrun" / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert opened(project, "double", "--format", "csv") == CSV
        done = project.look("open", "listed")
        unknown = project.look("open", "nothing").stderr
    assert unknown.endswith(" and 3 more\n")  # nine in all: listed has not ended
    assert done.returncode == 2
    assert re.match(
        "nfrun: run 1 has no output 'listed' that has ended in it .it is (killed|running).: it has ", done.stderr
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["doubel"], "nfrun: run 1 has no output 'doubel': did you mean 'double'?"),
        (["parts.hihg"], "nfrun: run 1 has no output 'parts.hihg': did you mean 'parts.high'?"),
        (["zzz\x1b[1m"], r"nfrun: run 1 has no output 'zzz\x1b[1m': it has "),
        (["parts"], "nfrun: 'parts' has several outputs in run 1: name one of parts.low, parts.high"),
        (["told"], "nfrun: 'told' gave no table in run 1"),
        (["double", "--run", "9"], "nfrun: there is no run 9 in "),
        (["double", "--run", "lasst"], "nfrun: there is no run lasst in "),
        (["double", "--work", "nowhere"], "nfrun: there is no folder "),
        (["double", "--work", "trial.yaml"], "nfrun: there is no folder "),
        (["double", "--pipeline", "nothing.yaml"], "nothing.yaml: there is no such file"),
        (["double", "-n", "x"], "'x' is not a number from 1"),
        (["double", "--format", "xlsx"], "xlsx"),
        (["double", "-o", "t.xlsx"], "Invalid value for -o: t.xlsx has an ending that says no format"),
        (["double", "-o", "t.csv", "--format", "parquet"], "'t.csv' is not a name for parquet"),
        (["double", "-o", "."], "Invalid value for -o: '.' is a folder: name a file in it"),
        (["double", "-o", ".nfrun/"], "Invalid value for -o: '.nfrun' is a folder: name a file in it"),
        (["double", "--format", "path", "-o", "t.csv"], f"Invalid value for -o: {PATH}"),
        (["double", "--format", "path", "-n", "3"], f"Invalid value for -n: {PATH}"),
        (["double", "--format", "path", "-w"], f"Invalid value for --wide: {PATH}"),
        (
            ["double", "--format", "csv", "--wide"],
            "Invalid value for --wide: it is for a table that is printed as text",
        ),
        (["double", "-o", "t.csv", "--wide"], "Invalid value for --wide: it is for a table that is printed as text"),
        ([], "OUTPUT"),
    ],
)
def test_what_is_not_there_is_named(kept: Project, words: list[str], message: str) -> None:
    done = kept.look("open", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (kept.folder / "new").exists()


def test_nodes_that_left_no_table_say_why(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.edit("trial.yaml", "\noutputs:", BROKEN)
    project.run(code=1)
    for name, message in {
        "broken": "'broken' failed in run 1 and handed on no table: ValueError: no \\x1b[31m",
        "after": "'after' was skipped in run 1, because 'broken' failed: it handed on no table",
    }.items():
        done = project.look("open", name)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"nfrun: {message}\n")
    cancelled = {"status": "cancelled", "because": "another node failed"}
    project.rewrite_journal(1, lambda line: {**line, **cancelled} if line.get("node") == "after" else line)
    message = "'after' was cancelled in run 1 and handed on no table: another node failed"
    assert project.look("open", "after").stderr == f"nfrun: {message}\n"


def test_the_table_of_a_node_whose_check_failed_is_shown_and_said_to_be_so(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.edit("trial.yaml", "outputs: [low, high]", "outputs: {low: {checks: [{rows: 2}]}, high: table}")
    project.edit("trial.yaml", "{factor: 2}}", "{factor: 2}, checks: [{unique: n}, {unique: name}]}")
    project.edit("trial.yaml", "outputs: {sum: total", "outputs: {low: parts.low, sum: total")
    project.run(code=1)
    told = (
        "nfrun: no node reads this table: 'parts' failed its check 'rows: 2' of 'parts.low': 1 row, and not exactly 2\n"
    )
    for name, rows in {"parts.low": "0\n", "parts.high": "2\n4\n", "low": "0\n"}.items():
        done = project.look("open", name, "--format", "csv")
        assert (done.returncode, done.stderr) == (0, told)
        assert re.sub(",.*", "", done.stdout) == f'"n"\n{rows}'
    path = project.look("open", "parts.low", "--format", "path").stdout.strip()
    assert pa.ipc.open_file(path).read_all().num_rows == 1
    for name, message in {
        "parts": "'parts' has several outputs in run 1: name one of parts.low, parts.high",
        "parts.lo": "run 1 has no output 'parts.lo': did you mean 'parts.low'?",
        "drawn": "'drawn' was skipped in run 1, because 'parts' failed: it handed on no table",
    }.items():
        assert project.look("open", name).stderr == f"nfrun: {message}\n"
    shell = project.nfrun("shell", "drawn", stdin="print(table)")
    assert (shell.returncode, shell.stdout) == (2, "")
    assert shell.stderr.startswith("nfrun: 'parts' failed in run 1 and handed on no table: failed its check")
    Path(path).unlink()
    removed = "the table of 'parts.low' in run 1 was removed; to make it again: "
    assert removed in project.look("open", "parts.low").stderr


def test_a_source_is_read_again_if_it_has_the_same_content(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.write("data.csv", "n\n1\n2\n")
    project.edit("trial.yaml", "\noutputs:", SOURCE)
    project.run()
    assert opened(project, "data", "--format", "csv") == '"n"\n1\n2\n'
    assert opened(project, "data").splitlines()[1] == "data: 2 rows, 1 column"
    refused = project.look("open", "data", "--format", "path")
    why = "no file of 'data' alone is kept: name another format"
    assert (refused.returncode, refused.stderr) == (2, f"nfrun: {why}\n")
    assert project.nfrun("shell", "count", stdin="print(table.num_rows)").stdout == "2\n"
    shutil.copytree(tmp_path / ".nfrun", tmp_path / "copied" / ".nfrun")
    elsewhere = project.look("open", "data", "--work", "copied/.nfrun")
    why = "no file of 'data' is kept in run 1: name its pipeline file with --pipeline FILE, to read its source again"
    assert (elsewhere.returncode, elsewhere.stderr) == (2, f"nfrun: {why}\n")
    project.write("data.csv", "n\n1\n3\n")
    changed = project.look("open", "data")
    why = "the table of 'data' in run 1 is not kept, and its source has changed since then"
    why += " (run the pipeline again, and look at the new run)"
    assert (changed.returncode, changed.stderr) == (2, f"nfrun: {why}\n")
    (tmp_path / "data.csv").unlink()
    assert project.look("open", "data").stderr == changed.stderr


def test_secrets_are_masked_in_text_only(tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "magical")
    project = new_project(tmp_path, here)
    project.edit("trial.yaml", "env: {GREETING: hello}", 'secrets: [WORD]\nenv: {GREETING: "${{ secrets.WORD }}"}')
    project.run()
    assert "magical" not in opened(project, "drawn")
    assert "magical" in opened(project, "drawn", "--format", "csv")


def test_a_table_without_columns_is_no_csv(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.edit("steps.py", "return table.set_column", "return pa.table({})\n    return table.set_column")
    project.edit("trial.yaml", "outputs: {sum: total, listed: listed, drawn: drawn}", "outputs: {double: double}")
    project.run("-k", code=1)
    done = project.look("open", "double", "--format", "csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the table cannot be written as csv: it has no columns" in done.stderr


CELLS = """
  fin: {python: "steps:numbers", with: {count: 1}}
  fit: {matrix: {fold: [0, 1], model: [lr, gb]}, python: "steps:double", inputs: {table: numbers}}
outputs:"""


@pytest.mark.parametrize("command", ["open", "logs", "shell"])
def test_the_name_of_a_matrix_leads_to_its_cells(tmp_path: Path, here: Here, command: str) -> None:
    project = new_project(tmp_path, here)
    project.edit("trial.yaml", "\noutputs:", CELLS)
    project.run()
    done = project.look(command, "fit")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch("nfrun: 'fit' has 4 cells: say which, such as 'fit@[01]@(lr|gb)'\n", done.stderr)


def test_outputs_of_cells_and_of_other_files_are_opened_by_the_names_that_the_run_shows(
    tmp_path: Path, here: Here
) -> None:
    (tmp_path / "steps.py").write_text("def fit(k): return {'k': k}\n")
    (tmp_path / "other.yaml").write_text(
        "nodes: {mine: {python: 'steps:fit', with: {k: 7}}, more: {python: 'steps:fit', with: {k: 8}}}\n"
        "outputs: {mine: mine, more: more}\n"
    )
    (tmp_path / "p.yaml").write_text(
        "matrix: {k: [1, 2]}\n"
        "nodes:\n"
        "  fit: {matrix: k, python: 'steps:fit', with: {k: '${{ matrix.k }}'}}\n"
        "  sub: {pipeline: other.yaml}\n"
        "outputs: {model: fit, seven: sub.mine}\n"
    )
    assert here(tmp_path, "run", "p.yaml").returncode == 0
    for name, k in (("model@2", 2), ("seven", 7), ("fit@1", 1), ("sub/mine", 7)):
        done = here(tmp_path, "open", name, "--format", "csv")
        assert (done.returncode, done.stdout, done.stderr) == (0, f'"k"\n{k}\n', "")
