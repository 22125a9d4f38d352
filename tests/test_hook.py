"""pre-commit runs the hook of `.pre-commit-hooks.yaml` from a clone, in the environment that it makes for it."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pre_commit", reason="it runs the hook: pip install pre-commit")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
FOLDERS = ("nfrun", "schemas", "pipelines/bench")  # what a wheel has
WRONG = "nodes:\n  a: {sql: select 1 as n}\n  b: {sql: select m from a, inputs: a}\n"
MESSAGE = """\
{file}:3:19: the query of 'b' reads the column 'm', which 'a' does not have
    3 |   b: {{sql: select m from a, inputs: a}}
      |                   ^
"""


def repository(folder: Path) -> str:
    """Make a repository of all files in a folder. Returns its commit."""
    git = [
        "git",
        "-C",
        str(folder),
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@example.org",
        "-c",
        "commit.gpgsign=false",
    ]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *words], check=True)
    return subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()


@pytest.fixture(scope="module")
def pre_commit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A repository with the hook in its configuration, and the variables with which pre-commit downloads nothing."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("repository")
    for name in (
        "nfrun",
        "schemas",
        "pipelines/bench",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        ".pre-commit-hooks.yaml",
    ):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".nfrun"))
        else:
            shutil.copy(ROOT / name, source / name)
    # What the hook needs is taken from here, so DuckDB is not installed for it.
    hook = "{id: nfrun-validate, additional_dependencies: []}"
    config = f"repos: [{{repo: {source}, rev: {repository(source)}, hooks: [{hook}]}}]\n"
    (folder / ".pre-commit-config.yaml").write_text(config)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "PIP_"))}
    env |= {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    env |= {
        "PYTHONPATH": os.pathsep.join(site.getsitepackages()),
        "PRE_COMMIT_HOME": str(folder / ".git" / "hooks-home"),
    }
    return folder, env


def test_the_manifest_is_valid() -> None:
    manifest = ROOT / ".pre-commit-hooks.yaml"
    subprocess.run([sys.executable, "-m", "pre_commit", "validate-manifest", manifest], check=True)


def test_the_hook_checks_the_pipeline_files_of_a_commit(pre_commit: tuple[Path, dict[str, str]]) -> None:
    folder, env = pre_commit
    command = [sys.executable, "-m", "pre_commit", "run", "--all-files", "--color", "never"]
    checked = ("a.pipeline.yml", "deep/pipelines/größe 1.yaml", "pipeline.yaml")
    for name in (*checked, "other.yaml", "mypipeline.yaml", "pipelines/steps.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(WRONG)
    repository(folder)
    found = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert found.returncode == 1, found.stdout + found.stderr
    assert "- exit code: 2\n" in found.stdout
    assert found.stdout.endswith("\n" + "".join(MESSAGE.format(file=name) for name in checked) + "\n")

    for name in checked:
        (folder / name).write_text(WRONG.replace("select m", "select n"))
    mended = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert mended.returncode == 0, mended.stdout
    assert mended.stdout == f"nfrun validate{'Passed':.>65}\n"
