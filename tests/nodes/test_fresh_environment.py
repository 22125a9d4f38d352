"""Installs the plug-in of the page, nfrun-adbc and nfrun-ai from their folders into a new environment, to run there."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, write_files

pytest.importorskip("hatchling", reason="it builds the packages: pip install hatchling")

SHOP = """
env: {ADBC_URI: "sqlite:shop.db"}
nodes:
  rows: {sql: "select range as id from range(10)"}
  save: {use: adbc.write, inputs: rows, with: {table: t, mode: {upsert: [id]}}}
  read: {use: adbc.query, needs: save, with: {sql: select count(*) as n from t}}
outputs: {read: read}
"""


def run(python: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    return subprocess.run([python, *command], cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("editable", [[], ["-e"]], ids=["", "editable"])
def test_plug_ins_are_installed_from_their_folders(tmp_path: Path, editable: list[str]) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    # nfrun and all that it needs, as they are here: nothing is downloaded.
    own = next((tmp_path / "env").glob("lib/python*/site-packages"))
    (own / "here.pth").write_text("\n".join([str(ROOT), *site.getsitepackages(), ""]))
    write_files("docs/plugins.md", tmp_path)
    (tmp_path / "words" / "words_kinds" / "__init__.py").touch()
    for folder in (tmp_path / "words", ROOT / "plugins" / "nfrun-adbc", ROOT / "plugins" / "nfrun-ai"):
        built = folder
        if folder != tmp_path / "words":  # building leaves nothing in the checkout
            built = tmp_path / folder.name
            subprocess.run(["cp", "-r", str(folder), str(built)], check=True)
        install = [
            "-m",
            "pip",
            "install",
            "-q",
            "--no-index",
            "--no-deps",
            "--no-build-isolation",
            *editable,
            str(built),
        ]
        done = run(python, tmp_path, *install)
        assert done.returncode == 0, done.stderr
    (tmp_path / "shop.yaml").write_text(SHOP)
    for file, name, expected in (
        ("count.yaml", "words", [{"word": "be", "count": 2}, {"word": "to", "count": 2}]),
        ("shop.yaml", "read", [{"n": 10}]),
    ):
        done = run(python, tmp_path, "-m", "nfrun", "run", file, "-q")
        assert done.returncode == 0, done.stderr
        done = run(python, tmp_path, "-m", "nfrun", "open", name, "--pipeline", file, "--format", "jsonl")
        assert [json.loads(line) for line in done.stdout.splitlines()] == expected
    assert "nfrun-ai 0.1.0" in run(python, tmp_path, "-m", "nfrun", "plugins").stdout
    assert sys.prefix != str(tmp_path / "env")
