"""Which files a path, a folder or a pattern stands for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nfrun.system.file_search import find_files

FILES = (
    *("a.csv", "b.csv", "x[1].csv", ".hidden.csv", "sub/c.csv", "sub/deep/d.csv", "sub/.h/e.csv"),
    *("env/pyvenv.cfg", "env/lib/f.csv", "sub/__pycache__/g.csv", "work/h.csv"),
)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / "base [1]" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("n\n1\n")
    return tmp_path / "base [1]"


CASES = {
    "a.csv": ["a.csv"],
    "./a.csv": ["./a.csv"],
    "sub/../a.csv": ["sub/../a.csv"],
    "x[1].csv": ["x[1].csv"],
    ".hidden.csv": [".hidden.csv"],
    "[ab].csv": ["a.csv", "b.csv"],
    "*.csv": ["a.csv", "b.csv", "x[1].csv"],
    "*/*.csv": ["sub/c.csv", "work/h.csv"],
    "sub": ["sub/c.csv", "sub/deep/d.csv"],
    "sub/": ["sub/c.csv", "sub/deep/d.csv"],
    "**/*.csv": ["a.csv", "b.csv", "sub/c.csv", "sub/deep/d.csv", "x[1].csv"],
    "sub/**": ["sub/c.csv", "sub/deep/d.csv"],
    "s*/**/d.csv": ["sub/deep/d.csv"],
    "**/deep/*": ["sub/deep/d.csv"],
    "absent.csv": [],
    "absent/*.csv": [],
    "fifo": [],
    "circle": [],
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_name_stands_for(base: Path, name: str) -> None:
    os.mkfifo(base / "fifo")
    (base / "circle").symlink_to("circle")
    found = find_files(name, base, [str(base / "work")])
    assert list(found) == CASES[name]
    assert all(path.is_file() for path in found.values())


def test_links_in_circles_are_followed_once(base: Path) -> None:
    for link in ("sub/one", "sub/two", "sub/deep/three"):
        (base / link).symlink_to(base / "sub")
    assert list(find_files("sub", base)) == ["sub/c.csv", "sub/deep/d.csv"]
    assert list(find_files("**/d.csv", base)) == ["sub/deep/d.csv"]


def test_a_tilde_is_the_home_folder_and_a_folder_may_be_a_link(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(base))
    (base / "linked").symlink_to(base / "sub")
    assert list(find_files("~/a.csv", base / "sub")) == [f"{base}/a.csv"]
    assert list(find_files("linked", base)) == ["linked/c.csv", "linked/deep/d.csv"]
