"""Builds all packages, installs their wheels into a new environment, and runs nfrun there, away from the checkout."""

from __future__ import annotations

import json
import os
import site
import sqlite3
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("build", reason="it builds the packages: pip install build")
pytest.importorskip("hatchling", reason="it builds the packages: pip install hatchling")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PLUGINS = sorted(file.parent for file in (ROOT / "plugins").glob("*/pyproject.toml"))
SCHEMAS = sorted(file.name.removesuffix(".schema.json") for file in (ROOT / "schemas").iterdir())
PIPELINE = """
nodes:
  numbers: {python: steps:numbers}
  top: {sql: select max(n) as total from numbers, inputs: numbers}
outputs: {top: top}
"""
STEPS = """
import pyarrow as pa

def numbers():
    return pa.table({"n": range(5)})
"""
TEMPLATES = sorted(file.parent.name for file in (ROOT / "nfrun" / "templates").glob("*/README.md"))
NEEDS = {"ml": "sklearn", "evals": "httpx"}  # beside what the tests need
SHOP = """
env: {ADBC_URI: "sqlite:shop.db"}
nodes: {read: {use: adbc.query, with: {sql: select 7 as n}}}
outputs: {read: read}
"""


def project(folder: Path) -> dict[str, Any]:
    """The table `project` of `pyproject.toml` in a folder."""
    return dict(tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"])


def command(*words: str | Path, cwd: Path) -> str:
    """Run a command that must succeed, without the variables of Python and pip. Returns its stdout."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@dataclass(frozen=True)
class Installed:
    """An environment with nfrun and its plug-ins from wheels. `folder` is an empty one, in which commands run."""

    bin: Path
    folder: Path

    def __call__(self, program: str, *words: str | Path) -> str:
        return command(self.bin / program, *words, cwd=self.folder)

    def nfrun(self, *words: str | Path) -> str:
        return self("nfrun", *words)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdists and wheels of nfrun and of all plug-ins. Each wheel is built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    for source in (ROOT, *PLUGINS):
        command(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel_names(built: Path) -> frozenset[str]:
    with zipfile.ZipFile(next(built.glob("nfrun-*.whl"))) as wheel:
        return frozenset(wheel.namelist())


@pytest.fixture(scope="module")
def environment(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment into which the wheels are installed. Nothing is downloaded: what nfrun
    needs is taken from here. `.ci/run` installs the wheels with all that they declare, and nothing else.
    """
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=True)
    offline = ["-q", "--no-index", "--no-deps"]
    command(folder / "bin" / "python", "-m", "pip", "install", *offline, *sorted(built.glob("*.whl")), cwd=folder)
    own = next(folder.glob("lib/python*/site-packages"))
    (own / "here.pth").write_text("\n".join([*site.getsitepackages(), ""]))
    return folder / "bin"


@pytest.fixture
def installed(environment: Path, tmp_path: Path) -> Installed:
    return Installed(environment, tmp_path)


def test_twine_accepts_what_is_built(built: Path) -> None:
    files = sorted(built.iterdir())
    assert len(files) == 2 * (1 + len(PLUGINS))
    command(sys.executable, "-m", "twine", "check", "--strict", *files, cwd=built)


def test_the_wheel_has_the_files_of_the_package_and_no_others(wheel_names: frozenset[str]) -> None:
    files = {str(file.relative_to(ROOT)) for file in (ROOT / "nfrun").rglob("*") if file.is_file()}
    files = {name for name in files if "__pycache__" not in name and ".ruff_cache" not in name}
    files |= {f"nfrun/{name}.schema.json" for name in SCHEMAS}
    files |= {f"nfrun/pipelines/bench/{name}" for name in ("blog-5.yaml", "blog-20.yaml", "waiting.py")}
    assert {name for name in wheel_names if ".dist-info/" not in name} == files
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel_names)


def test_the_sdist_has_what_its_tests_read(built: Path) -> None:
    with tarfile.open(next(built.glob("nfrun-*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    wanted = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("schemas/*"), *ROOT.glob("*.md")]
    assert {str(file.relative_to(ROOT)) for file in wanted if ".nfrun" not in file.parts} <= names
    assert not [name for name in names if "/.nfrun/" in name or name.startswith((".venv/", ".git/"))]


def test_nfrun_is_the_installed_one(installed: Installed) -> None:
    version = project(ROOT)["version"]
    assert installed.nfrun("--version") == f"nfrun {version}\n" == installed("python", "-m", "nfrun", "--version")
    where = installed("python", "-c", "import nfrun; print(nfrun.__file__)").strip()
    assert Path(where).is_relative_to(installed.bin.parent)


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_those_of_the_checkout(installed: Installed, name: str) -> None:
    expected = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    assert json.loads(installed.nfrun("schema", name)) == expected


def test_a_pipeline_runs_and_has_a_page(installed: Installed) -> None:
    (installed.folder / "p.yaml").write_text(PIPELINE)
    (installed.folder / "steps.py").write_text(STEPS)
    installed.nfrun("validate", "--strict", "p.yaml")
    installed.nfrun("run", "p.yaml", "-q", "--executor", "process", "--junit", "junit.xml", "--trace", "trace.json")
    assert json.loads(installed.nfrun("open", "top", "--format", "jsonl")) == {"total": 4}
    assert json.loads(installed.nfrun("plan", "p.yaml", "--json"))["nodes"]["top"]["resume"] == "reuse"
    installed.nfrun("report", "-o", "page.html")
    page = (installed.folder / "page.html").read_text(encoding="utf-8")
    assert len(page) > sum(file.stat().st_size for file in (ROOT / "nfrun/lookback/page/assets").glob("*.js")) / 2
    assert (installed.folder / "junit.xml").is_file()
    assert (installed.folder / "trace.json").is_file()


@pytest.mark.parametrize("name", ["blog-5", "blog-20"])
def test_the_pipelines_of_the_benchmark_come_with_it(installed: Installed, name: str) -> None:
    file = installed("python", "-c", f"from nfrun.cli.bench import _bundled; print(_bundled('{name}'))").strip()
    assert Path(file).is_relative_to(installed.bin.parent)
    installed.nfrun("validate", file)


def test_kinds_of_the_plug_ins_are_found_and_work(installed: Installed) -> None:
    kinds = {kind for plugin in PLUGINS for kind in project(plugin)["entry-points"]["nfrun.kinds"]}
    listed = json.loads(installed.nfrun("plugins", "--json"))
    assert kinds
    assert kinds <= {kind["name"] for kind in listed["kinds"]}
    sqlite3.connect(installed.folder / "shop.db").close()
    (installed.folder / "shop.yaml").write_text(SHOP)
    installed.nfrun("run", "shop.yaml", "-q")
    assert json.loads(installed.nfrun("open", "read", "--pipeline", "shop.yaml", "--format", "jsonl")) == {"n": 7}


def test_pytest_has_the_fixture(installed: Installed) -> None:
    (installed.folder / "p.yaml").write_text(PIPELINE)
    (installed.folder / "steps.py").write_text(STEPS)
    test = "def test_it(pipeline):\n    assert pipeline('p.yaml').node('numbers').num_rows == 5\n"
    (installed.folder / "test_it.py").write_text(test)
    assert "1 passed" in installed("python", "-m", "pytest", "-q", "-p", "no:cacheprovider")


@pytest.mark.parametrize("template", TEMPLATES)
def test_projects_of_all_templates_run_and_their_tests_pass(installed: Installed, template: str) -> None:
    installed.nfrun("init", template, "mein Projekt ü")
    folder = installed.folder / "mein Projekt ü"
    source = ROOT / "nfrun" / "templates" / template
    assert {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} == {
        "pipeline.schema.json",
        *(str(file.relative_to(source)) for file in source.rglob("*") if file.is_file() and not ignored(file)),
    }
    if template in NEEDS:
        pytest.importorskip(NEEDS[template])
    (file,) = folder.glob("*.yaml")
    inside = Installed(installed.bin, folder)
    inside.nfrun("validate", "--strict", file.name)
    inside.nfrun("run", file.name, "-q")
    assert " passed" in inside("python", "-m", "pytest", "-q", "-p", "no:cacheprovider")


def ignored(file: Path) -> bool:
    """Whether a file is one that runs leave in a template."""
    return bool({"__pycache__", ".nfrun", "out", ".ruff_cache", ".pytest_cache"}.intersection(file.parts))
