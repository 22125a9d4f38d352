"""`nfrun init`: projects that run at once, errors before anything is made, and commands that work as they are told."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from conftest import Here

import nfrun
from nfrun.cli import init_command
from nfrun.cli.init_command import TEMPLATES

PACKAGES = {"ml": "sklearn", "evals": "httpx"}  # what templates need that need not be installed
FOLDER = "Meine Prüfungen ü/neu"
_OWN = Path(sys.executable)
_SHORT = _OWN.with_name("python")  # `python3` and the like are other names for it
PYTHON = shlex.quote(str(_SHORT if _SHORT.exists() and _SHORT.resolve() == _OWN.resolve() else _OWN))
NFRUN = shlex.quote(str(Path(sys.executable).with_name("nfrun")))
WRONG = "\n\nError: Invalid value for "
TEMPLATE_FOLDERS = Path(nfrun.__file__).parent / "templates"

EACH = [
    pytest.param(
        name,
        marks=[pytest.mark.slow, pytest.mark.skipif(not find_spec(PACKAGES[name]), reason=f"needs {PACKAGES[name]}")]
        if name in PACKAGES
        else [],
    )
    for name in TEMPLATES
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, from which the shell finds no programs by their names."""
    monkeypatch.setenv("PATH", "/nonexistent")
    return tmp_path


def everything(folder: Path) -> list[str]:
    """Return the paths of all that is in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_templates_are_the_folders() -> None:
    folders = {path.name for path in TEMPLATE_FOLDERS.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert folders == set(TEMPLATES)


def test_without_a_template_they_are_listed(home: Path, here: Here) -> None:
    done = here(home, "init")
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout
        == """\
nfrun init TEMPLATE [DIR] makes a project that runs at once. The templates are

  etl    csv files, checked, joined by SQL, and written as Parquet and as a folder by month
  ml     models x folds with scikit-learn; the best model is fitted to all rows and saved
  evals  prompts x models against an API like that of OpenAI; a stand-in for it runs here
  empty  one node: a Python function

'nfrun init etl shop' makes the folder 'shop' with a pipeline, its data, a test, a workflow for GitHub and a
README. Without 'shop' it makes them here. Files that are there already are never overwritten.
"""
    )
    assert everything(home) == []


def test_what_was_made_and_what_to_do_next(home: Path, here: Here) -> None:
    done = here(home, "init", "empty", FOLDER)
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout
        == f"""\
made 8 files in '{FOLDER}'
  .github/workflows/hello.yaml
  .gitignore
  README.md
  hello.yaml
  pipeline.schema.json
  requirements.txt
  steps.py
  test_hello.py
next (README.md says more):
  cd '{FOLDER}'
  {NFRUN} run hello.yaml
  {PYTHON} -m pytest
"""
    )


def test_here_is_where_it_is_made_if_no_folder_is_named(home: Path, here: Here) -> None:
    (home / "hello.txt").touch()
    done = here(home, "init", "empty")
    assert done.stdout.startswith("made 8 files here\n")
    assert done.stdout.endswith(f"next (README.md says more):\n  {NFRUN} run hello.yaml\n  {PYTHON} -m pytest\n")
    assert (home / "hello.yaml").exists() and (home / "hello.txt").exists()


def test_programs_that_the_shell_finds_are_named(home: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    name = Path(PYTHON).name
    assert here(home, "init", "empty").stdout.endswith(
        f"next (README.md says more):\n  nfrun run hello.yaml\n  {name} -m pytest\n"
    )


def test_packages_that_are_missing_are_told(home: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def version(name: str) -> str:
        if name in ("duckdb", "pytest"):
            raise metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(init_command, "find_spec", lambda name: None)  # as in environments of uv
    assert f"  {PYTHON} -m pip install -r requirements.txt\n" in here(home, "init", "etl", "a").stdout
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}" if name == "uv" else None)
    done = here(home, "init", "etl", "b")
    assert (
        done.stdout.partition("test_etl.py\n")[2]
        == f"""\
it needs packages that are not installed here: duckdb, pytest
next (README.md says more):
  cd b
  uv pip install -p {PYTHON} -r requirements.txt
  {NFRUN} run etl.yaml
  {PYTHON} -m pytest
"""
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["shop"], "TEMPLATE: 'shop' is not one of 'etl', 'ml', 'evals', 'empty'."),
        (["../ml\x1b[31m"], "TEMPLATE: '../ml\\x1b[31m' is not one of 'etl', 'ml', 'evals', 'empty'."),
        (["etl", ""], "DIR: an empty name is no folder"),
        (["etl", "notes.txt"], "DIR: 'notes.txt' is not a folder"),
        (["etl", "nowhere"], "DIR: 'nowhere' is not a folder"),
        (["etl", "{home}/notes.txt/x"], "DIR: '{home}/notes.txt' is not a folder"),
        (["etl", ".nfrun"], "DIR: '.nfrun' is in a work folder, from which nfrun removes files"),
        (["etl", ".nfrun/runs/a"], "DIR: '.nfrun/runs/a' is in a work folder, from which nfrun removes files"),
        (
            ["etl", "{home}"],
            "DIR: data is in '{home}' already, and nothing is overwritten: name a new folder, such as "
            "'nfrun init etl my-etl'",
        ),
        (
            ["ml", "full"],
            "DIR: .github, README.md, ml.yaml are in 'full' already, and nothing is overwritten: name a new folder, "
            "such as 'nfrun init ml my-ml'",
        ),
        (
            ["evals", "full"],
            "DIR: .github, README.md are in 'full' already, and nothing is overwritten: name a new folder, such as "
            "'nfrun init evals my-evals'",
        ),
    ],
)
def test_mistakes(home: Path, here: Here, words: list[str], message: str) -> None:
    (home / "notes.txt").write_text("mine")
    (home / "data").write_text("mine")
    (home / "nowhere").symlink_to("missing")
    (home / ".nfrun" / "runs").mkdir(parents=True)
    (home / "full").mkdir()
    for name in ("README.md", "ml.yaml", ".github"):
        (home / "full" / name).symlink_to("missing")
    before = everything(home)
    done = here(home, "init", *(word.replace("{home}", str(home)) for word in words))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.partition(WRONG)[2] == message.replace("{home}", str(home)) + "\n"
    assert everything(home) == before


def test_here_in_a_message(home: Path, here: Here) -> None:
    here(home, "init", "etl")
    assert here(home, "init", "etl").stderr.partition(WRONG)[2] == (
        "DIR: .github/workflows/etl.yaml, .gitignore, README.md, data/customers.csv, data/orders.csv and 6 more are "
        "here already, and nothing is overwritten: name a new folder, such as 'nfrun init etl my-etl'\n"
    )


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (errno.ENOSPC, 74, "nfrun: {path}: No space left on device\n"),
        (errno.EACCES, 77, "nfrun: no permission: {path}\n"),
    ],
)
def test_each_file_is_written_as_a_whole_or_not(
    home: Path, here: Here, monkeypatch: pytest.MonkeyPatch, number: int, code: int, message: str
) -> None:
    write = Path.write_bytes
    orders = (TEMPLATE_FOLDERS / "etl/data/orders.csv").read_bytes()

    def fail(path: Path, content: bytes) -> int:
        if content == orders:
            write(path, content[:9])
            raise OSError(number, os.strerror(number))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail)
    done = here(home, "init", "etl", "new/folder")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == message.replace("{path}", str(home / "new/folder/data/orders.csv"))
    assert "new/folder/data/customers.csv" in everything(home)
    assert not [name for name in everything(home) if "orders" in name]


@pytest.mark.parametrize("name", ["no", "-x", "[1]*", "${{ x }}", "two\nlines"])
def test_any_name_of_a_folder_will_do(tmp_path: Path, here: Here, name: str) -> None:
    """Also names that YAML, Python, the shell or patterns of files understand as something else."""
    assert here(tmp_path, "init", "etl", "--", name).returncode == 0
    done = here(tmp_path / name, "run", "etl.yaml", "-q")
    assert (done.returncode, done.stderr) == (0, "")


# What the READMEs say. An edit: a file, what is there, what is put in its place, and which nodes it runs again, beside
# those that read small files. A break: the same, and words of the command that runs it.
EDITS = {
    "etl": (
        "sql/by_country.sql",
        *("count(*) as orders,", "count(*) as orders,\n    max(amount) as largest,"),
        {"by_country", "save_by_country"},
    ),
    "ml": (
        "ml.yaml",
        *("n_estimators: 50", "n_estimators: 80"),
        {*(f"score@forest@{fold}" for fold in range(5)), "best"},
    ),
    "evals": (
        "prompts.csv",
        *("id,template\n", "id,template\nbare,{question}\n"),
        {"answers@small@bare", "answers@large@bare", "failures", "scores", "best", "save"},
    ),
    "empty": ("steps.py", "{greeting}, {name}!", "{greeting} {name}!", {"greetings"}),
}
BREAKS = {
    "etl": ("data/orders.csv", "15,1,", "15,9,", []),
    "ml": ("ml.yaml", "", "", ["-p", "least=0.999"]),
    "evals": ("evals.yaml", "", "", ["-p", "least=0.99"]),
    "empty": ("hello.yaml", "names: [world, moon]", "names: []", []),
}


@pytest.mark.parametrize("template", EACH)
def test_a_project_runs_and_is_as_its_readme_says(
    template: str, tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # where nobody answers
    monkeypatch.delenv("PYTHONPATH")  # it hides numpy, and nodes that wait for the GIL move to workers, which import it
    here(tmp_path, "init", template, FOLDER)
    folder = tmp_path / FOLDER
    (file,) = (path.name for path in folder.glob("*.yaml"))
    checked = here(folder, "validate", "--strict", file)
    assert (checked.returncode, checked.stderr) == (0, "")

    def statuses(*words: str) -> dict[str, str]:
        done = here(folder, "run", file, "--json", "-q", *words)
        assert done.returncode == 0, done.stderr
        return {id: node["status"] for id, node in json.loads(done.stdout)["nodes"].items()}

    assert set(statuses().values()) == {"ok"}
    if template == "ml":
        statuses()  # a node may run again, as what another imported beside it changed the generator that both see
    assert set(statuses().values()) == {"reused"}
    name, old, new, nodes = EDITS[template]
    replace(folder / name, old, new)
    assert {id for id, status in statuses().items() if status == "ok"} - {"questions", "prices"} == nodes
    replace(folder / name, new, old)
    statuses()

    name, old, new, words = BREAKS[template]
    replace(folder / name, old, new)
    done = here(folder, "run", file, "-q", *words)
    assert done.returncode == 1
    told = (folder / "README.md").read_text(encoding="utf-8").partition("```text\n")[2].partition("\n```")[0]
    assert told.removesuffix("…").strip() in done.stderr
    replace(folder / name, new, old)
    assert set(statuses().values()) == {"reused"}


def test_the_next_node_of_an_empty_project(tmp_path: Path, here: Here) -> None:
    here(tmp_path, "init", "empty")
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    node, function = (readme.partition(f"```{name}\n")[2].partition("```")[0] for name in ("yaml", "python"))
    with (tmp_path / "hello.yaml").open("a", encoding="utf-8") as file:
        file.write(node)
    (tmp_path / "steps.py").write_text((tmp_path / "steps.py").read_text() + "\n\n" + function)
    done = here(tmp_path, "run", "hello.yaml")
    assert done.returncode == 0
    assert "longest: 1 row" in done.stdout, "what the new node made is shown"
    assert json.loads(here(tmp_path, "open", "longest", "--format", "jsonl").stdout) == {"longest": "Hello, world!"}


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_nothing_that_runs_leave_in_a_template_becomes_part_of_a_project(tmp_path: Path, here: Here) -> None:
    names = {name for name in init_command._project_files("empty") if name.suffix != ".json"}
    assert {str(name) for name in names} == {
        *(".github/workflows/hello.yaml", ".gitignore", "README.md", "hello.yaml"),
        *("requirements.txt", "steps.py", "test_hello.py"),
    }
    ignored = (TEMPLATE_FOLDERS / "empty" / ".gitignore").read_text().split()
    assert {"__pycache__/", ".nfrun/", "out/", ".ruff_cache/", ".pytest_cache/"} <= set(ignored)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_workflow_also_goes_on_from_runs_that_failed(template: str) -> None:
    (file,) = (TEMPLATE_FOLDERS / template / ".github" / "workflows").iterdir()
    workflow = yaml.safe_load(file.read_text())
    (job,) = workflow["jobs"].values()
    caches = [step for step in job["steps"] if step.get("uses", "").startswith("actions/cache")]
    restore, save = caches  # `actions/cache` saves nothing of a job that fails
    assert [step["uses"].partition("@")[0] for step in caches] == ["actions/cache/restore", "actions/cache/save"]
    assert save["if"] == "always()"
    assert save["with"] == {name: restore["with"][name] for name in ("path", "key")}
    assert "github.run_attempt" in save["with"]["key"], "an entry is never changed, so each attempt has its own"
    assert save["with"]["key"].startswith(restore["with"]["restore-keys"])
    run = next(step for step in job["steps"] if step.get("run", "").startswith("nfrun run"))
    assert job["steps"].index(restore) + 1 == job["steps"].index(run) == job["steps"].index(save) - 1


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_commands_of_the_readme_begin_with_its_packages(template: str) -> None:
    text = (TEMPLATE_FOLDERS / template / "README.md").read_text()
    commands = [
        line.partition(" #")[0].rstrip() for line in text.partition("```sh\n")[2].partition("```")[0].splitlines()
    ]
    assert commands == [
        "pip install -r requirements.txt",
        f"nfrun run {'hello' if template == 'empty' else template}.yaml",
        "python -m pytest",
    ]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc")
def test_a_folder_that_cannot_be_made(home: Path, here: Here) -> None:
    done = here(home, "init", "etl", "/proc/none")
    told = "nfrun: /proc/none: No such file or directory\n"
    assert (done.returncode, done.stdout, done.stderr) == (74, "", told)
