"""What stands at the top of the repository: a file that no list names was left there by mistake; README's git."""

from __future__ import annotations

import re
import shlex
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOP_LEVEL = {
    *(".ci", ".gitignore", "LICENSE", "pyproject.toml"),
    *(".github", "action.yml", ".pre-commit-hooks.yaml"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs", "mkdocs.yml"),
    *("nfrun", "plugins", "schemas", "pipelines", "tests", "bench"),
}


def top_level() -> set[str]:
    """The top-level names that git tracks; in an unpacked archive, those that `.gitignore` does not match."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
        return {path.split("/")[0] for path in listed.stdout.splitlines()}
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    return {path.name for path in ROOT.iterdir() if not any(fnmatch(path.name, pattern) for pattern in ignored)}


def test_everything_at_the_top_level_is_listed() -> None:
    assert top_level() <= TOP_LEVEL


@pytest.mark.parametrize("folder", ["", "pipelines/reviews"])
def test_the_command_of_the_readme_that_takes_edits_back(tmp_path: Path, folder: str) -> None:
    (command,) = re.findall(r"`(git [^`]+)` takes back", (ROOT / "README.md").read_text(encoding="utf-8"))
    file = tmp_path / "pipelines" / "reviews" / "steps.py"
    file.parent.mkdir(parents=True)
    file.write_text("as it was")
    for words in (["init", "-q"], ["add", "."]):  # restore takes what the index has
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    file.write_text("edited")
    subprocess.run(shlex.split(command), cwd=tmp_path / folder, check=True)
    assert file.read_text() == "as it was"
