"""Tests of what `nfrun doctor` says of packages and variables, and of the whole command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Here

from nfrun.core.health import NOTE, OK, PROBLEM
from nfrun.session import health
from nfrun.session.health import check_variables, check_versions


def test_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"pyarrow": "26.0.0", "numpy": "2.0"}
    monkeypatch.setattr(health, "_version", lambda name: there.get(name, ""))
    found = check_versions()
    assert (found.level, found.advice.endswith(" -m pip install duckdb")) == (NOTE, True)
    assert found.text.endswith(", pyarrow 26.0.0, numpy 2.0; without duckdb 'sql' nodes cannot run")
    there["duckdb"] = "1.5.0"
    assert check_versions().level == OK


def test_variables_of_nfrun() -> None:
    assert check_variables({"HOME": "/x", "NFRUN_INPUT_A": "in a node"}).text == "none of nfrun is set"
    found = check_variables({"NFRUN_CACHE_SIZE": "5GB", "NFRUN_STORE": "s3://secret"})
    assert (found.level, found.text) == (OK, "NFRUN_CACHE_SIZE=5GB, NFRUN_STORE")
    found = check_variables({"NFRUN_CACHE_SIZE": "much"})
    text = "NFRUN_CACHE_SIZE: 'much' is not a size such as 10GB, 500MiB or 0"
    assert (found.level, found.text, found.advice) == (PROBLEM, text, "mend it or unset it")
    found = check_variables({"NFRUN_PROFIL": "prod"})
    assert (found.level, found.text) == (NOTE, "NFRUN_PROFIL is set, and nfrun does not read it")
    assert found.advice.startswith("there is NFRUN_ADDRESS, NFRUN_CACHE_SIZE")


def test_the_command(tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p.yaml").write_text("nodes: {a: {sql: select 1 as x}}\n")
    assert here(tmp_path, "run", "p.yaml", "-q").returncode == 0
    done = here(tmp_path, "doctor", "--json")
    found = json.loads(done.stdout)
    assert [check for check in found["checks"] if check["level"] == "problem"] == []
    assert (done.returncode, done.stderr, found["ok"], found["work"]) == (0, "", True, str(tmp_path / ".nfrun"))
    checks = {check["about"]: check for check in found["checks"]}
    assert checks["reuse"]["text"] == "p.yaml, run 1: 1 ran, 0 reused"
    monkeypatch.setenv("NFRUN_CACHE_SIZE", "much")
    done = here(tmp_path, "doctor", "p.yaml", "--work", "elsewhere")
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    text = "problem  variables: NFRUN_CACHE_SIZE: 'much' is not a size such as 10GB, 500MiB or 0"
    assert lines[lines.index(text) + 1] == "         mend it or unset it"
    assert f"ok       work folder: {tmp_path / 'elsewhere'}: no run was kept there yet" in lines
    assert lines[-1].startswith("doctor: ") and "1 problem" in lines[-1]
    assert not (tmp_path / "elsewhere").exists()


def test_wrong_arguments(tmp_path: Path, here: Here) -> None:
    done = here(tmp_path, "doctor", "missing.yaml")
    assert (done.returncode, done.stderr) == (2, "missing.yaml: there is no such file\n   check the path\n")
    (tmp_path / "file").touch()
    for name, path in (("file", str(tmp_path / "file")), ("/dev/null", "/dev/null")):
        done = here(tmp_path, "doctor", "--work", name)
        assert done.returncode == 1
        assert f"problem  work folder: cannot use {path}: it is not a folder\n" in done.stdout
