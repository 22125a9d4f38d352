"""What stands at the top of the repository: a file that no list names was left there by mistake."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOP_LEVEL = {
    *(".ci", ".gitignore", "LICENSE", "pyproject.toml"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs"),
    *("nfrun", "schemas", "pipelines", "tests", "bench"),
}


def test_every_tracked_file_at_the_top_level_is_listed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=False, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert {path.split("/")[0] for path in listed.stdout.splitlines()} == TOP_LEVEL
