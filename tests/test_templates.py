"""The templates of `nfrun init`, as their users have them: the commands that they are told, and their workflows."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from nfrun.cli.init_command import TEMPLATES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
FOLDER = "Meine Prüfungen ü/neu"
PACKAGES = {"ml": "sklearn", "evals": "httpx"}  # what templates need that need not be installed
USED = ("checkout", "setup-python", "cache/restore", "cache/save", "upload-artifact")  # actions of the workflows
EACH = [
    pytest.param(name, marks=pytest.mark.skipif(bool(needed and not find_spec(needed)), reason=f"needs {needed}"))
    for name, needed in ((name, PACKAGES.get(name)) for name in TEMPLATES)
]


def shell(script: str, cwd: Path, path: str = "", **variables: str) -> str:
    """Run a script as GitHub's runner does, with programs of the folder `path` first. Returns what it printed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON", "PIP_"))}
    environ |= {"PATH": f"{path}:{environ['PATH']}", **variables}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    words = ["bash", "-e", "-o", "pipefail", "-c", script]
    done = subprocess.run(words, cwd=cwd, env=environ, check=False, **streams)
    assert done.returncode == 0, f"{script}\n{done.stdout}"
    return done.stdout


@pytest.mark.parametrize("template", EACH)
def test_the_commands_that_are_told_work_as_they_are(template: str, tmp_path: Path) -> None:
    told = shell(f"{sys.executable} -m nfrun init {template} '{FOLDER}'", tmp_path)
    cd, *rest = told.partition("next (README.md says more):\n")[2].splitlines()
    assert len(rest) == 2, "all packages are there"
    printed = shell("\n".join([cd, *rest]), tmp_path)
    assert ": ok, " in printed and " passed in " in printed
    assert " reused" in shell("\n".join([cd, rest[0]]), tmp_path)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_project_has_the_style_that_ruff_has_without_settings(template: str, tmp_path: Path) -> None:
    pytest.importorskip("ruff")
    shell(f"{sys.executable} -m nfrun init {template}", tmp_path)
    ruff = f"{sys.executable} -m ruff"
    shell(f"{ruff} check --isolated --extend-select I,UP,B . && {ruff} format --isolated --check .", tmp_path)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of nfrun."""
    pytest.importorskip("build", reason="it builds the wheel: pip install build hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    shell(f"{sys.executable} -m build -q --wheel --no-isolation --outdir {folder} {ROOT}", folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new environment, which sees the packages of this one: nothing is downloaded."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=True)
    own = next(folder.glob("lib/python*/site-packages"))
    (own / "here.pth").write_text("\n".join([*site.getsitepackages(), ""]))
    return folder / "bin"


@pytest.mark.parametrize("template", EACH)
def test_what_the_workflow_runs_succeeds(template: str, tmp_path: Path, wheel: Path, programs: Path) -> None:
    shell(f"{sys.executable} -m nfrun init {template} '{FOLDER}'", tmp_path)
    folder = tmp_path / FOLDER
    (file,) = folder.glob(".github/workflows/*")
    if shutil.which("actionlint"):
        shell(f"actionlint '{file}'", folder)
    workflow: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), yaml.BaseLoader)
    assert (workflow["on"], workflow["env"]) == (["push"], {"NFRUN": ""})
    (job,) = workflow["jobs"].values()
    actions = [step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step]
    assert actions == [f"actions/{name}" for name in USED]
    scripts = [step["run"] for step in job["steps"] if "run" in step]
    with pytest.raises(AssertionError, match="NFRUN: set it in this file"):
        shell(scripts[0], folder, str(programs))
    for script in scripts:
        shell(script, folder, str(programs), NFRUN=f"file://{wheel}", PIP_NO_INDEX="1")
    uploaded = next(step["with"]["path"] for step in job["steps"] if "upload" in step.get("uses", ""))
    assert all((folder / name).exists() for name in uploaded.split())
