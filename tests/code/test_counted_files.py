"""Tests of which files count."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nfrun.code.watch.counted_files import CountedFiles, parts_of_work


@pytest.mark.parametrize(
    "path",
    [
        "/data/project/a.csv",
        "/data/other/a.csv",
        "/home/me/data/a.csv",
        "/mnt/share/.hidden/a.csv",
        "/data/project/.config/a.toml",
        "/opt/models/net.onnx",
        "/data/project/tmp/a.csv",
    ],
)
def test_files_that_count(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert CountedFiles(Path("/data/project"), [Path("/data/project/.nfrun")]).counts(path)


@pytest.mark.parametrize(
    "path",
    [
        "/usr/share/zoneinfo/UTC",
        "/etc/hosts",
        "/proc/self/status",
        "/sys/devices/x",
        "/dev/shm/x",
        "/tmp/tmpabc/x",
        "/var/tmp/x",
        "/scratch/me/x",
        f"{sys.prefix}/etc/x",
        "/data/lib/python3.11/site-packages/pandas/data.json",
        "/home/me/.cache/x",
        "/data/project/.nfrun/runs/x/a.arrow",
        "/data/project/.nfrun",
        "/data/project/.git/HEAD",
        "/data/project/.git",
        "/data/project/__pycache__/steps.cpython-311.pyc",
        "/data/project/site-packages/x",
    ],
)
def test_files_that_do_not_count(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("TMPDIR", "/scratch")
    assert not CountedFiles(Path("/data/project"), [Path("/data/project/.nfrun")]).counts(path)


@pytest.mark.parametrize("folder", ["/tmp/a/project", "/home/me/.work/a/project", "/usr/src/project"])
def test_a_folder_that_contains_the_pipeline_counts_in_part(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    files = CountedFiles(Path(folder))
    assert files.counts(f"{folder}/a.csv")
    assert files.counts(f"{Path(folder).parent}/data/a.csv")
    assert not files.counts("/tmp/b/a.csv")
    assert not files.counts("/usr/share/a.csv")


def test_hidden_folders_of_the_home_do_not_count_for_a_pipeline_in_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    files = CountedFiles(Path("/home/me"))
    assert files.counts("/home/me/a.csv")
    assert not files.counts("/home/me/.cache/a.csv")


def test_a_virtual_environment_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "env/lib").mkdir(parents=True)
    (tmp_path / "env/pyvenv.cfg").touch()
    files = CountedFiles(tmp_path)
    assert not files.counts(str(tmp_path / "env/lib/x"))
    assert files.counts(str(tmp_path / "lib/x"))


def test_a_folder_that_is_excluded_by_its_name_counts_nowhere() -> None:
    files = CountedFiles(Path("/data/project"), [Path("902c492c")])
    assert not files.counts("/shared/902c492c/data/a.bin")
    assert not files.counts("/data/project/902c492c/data/a.bin")
    assert files.counts("/shared/902c492/data/a.bin")


def test_of_a_work_folder_that_is_the_users_only_what_nfrun_has_there_does_not_count(tmp_path: Path) -> None:
    made, users = tmp_path / "made", tmp_path / "users"
    for folder, ignored in ((made, "*\n"), (users, "*.pyc\n")):
        (folder / "locks").mkdir(parents=True)
        (folder / ".gitignore").write_text(ignored)
    assert parts_of_work(made) == [made]
    assert parts_of_work(tmp_path / "none") == [tmp_path / "none"]
    counts = CountedFiles(users, parts_of_work(users)).counts
    assert [counts(f"{users}/{name}") for name in ("a.csv", "code/b.csv", "in/runs")] == [True] * 3
    assert not any(
        counts(f"{users}/{name}") for name in ("runs/1-20260101-000000/a.arrow", "lock", "locks/x", "history.db")
    )
