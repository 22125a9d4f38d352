"""Tests of the versions of installed distributions, found by name and by file."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from nfrun.code.distributions import Distributions


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder of installed packages."""
    site = tmp_path / "site-packages"
    for name, text in {
        "made_up/__init__.py": "",
        "Made_Up-1.2+cpu.dist-info/RECORD": "made_up/__init__.py,sha256=x,0\nMade_Up-1.2+cpu.dist-info/RECORD,,\n",
        "other.py": "",
        "other_name-3.dist-info/RECORD": "other.py,sha256=x,0\n",
        "other-9.dist-info/RECORD": "another.py,,\n",
        "space/one/__init__.py": "",
        "space/two/__init__.py": "",
        "space_one-1.dist-info/RECORD": "space/one/__init__.py,,\n",
        "space_two-2.dist-info/RECORD": "space/two/__init__.py,,\n",
        "egg/__init__.py": "",
        "Old.Egg-5-py3.11.egg-info/PKG-INFO": "Name: Old.Egg\nVersion: 5\n\nVersion: 6\n",
        "Old.Egg-5-py3.11.egg-info/top_level.txt": "other_egg\negg\n",
        "file_egg-7.egg-info": "Version:  7.0\n",
        "stray.py": "",
    }.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    monkeypatch.syspath_prepend(site)
    return site


@pytest.mark.parametrize(
    ("module", "file", "expected"),
    [
        ("made_up", "made_up/__init__.py", ("made-up", "1.2+cpu")),
        ("made_up.inner", "made_up/__init__.py", ("made-up", "1.2+cpu")),
        ("other", "other.py", ("other-name", "3")),
        ("space.one", "space/one/__init__.py", ("space-one", "1")),
        ("space.two", "space/two/__init__.py", ("space-two", "2")),
        ("egg", "egg/__init__.py", ("old-egg", "5")),
        ("stray", "stray.py", None),
    ],
)
def test_the_distribution_of_a_module_is_found_by_its_file(
    site: Path, module: str, file: str, expected: tuple[str, str] | None
) -> None:
    assert Distributions().owner(module, str(site / file)) == expected


def test_versions_are_found_by_name(site: Path) -> None:
    found = Distributions()
    assert [found.version(name) for name in ("made.up", "OTHER", "old_egg", "file-egg", "no-such")] == [
        "1.2+cpu",
        "9",
        "5",
        "7.0",
        None,
    ]
    assert found.version("pytest") == version("pytest")
    assert {"made-up", "pytest"} <= {*found.names()}


def test_the_first_folder_wins(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = site.parent / "first"
    (first / "other-10.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(first)
    assert Distributions().version("other") == "10"


def test_what_was_not_installed_from_an_index_counts_with_its_content(site: Path) -> None:
    info = site / "other-9.dist-info"
    (info / "direct_url.json").write_text('{"dir_info": {}, "url": "file:///made/up"}')
    before = Distributions().version("other")
    assert before is not None
    assert before.startswith("9 ")
    assert Distributions().version("other") == before
    (info / "RECORD").write_text("another.py,sha256=y,\n")
    assert Distributions().version("other") != before
    assert not Distributions().is_editable("other")
    (info / "direct_url.json").write_text('{"dir_info": {"editable": true}, "url": "file:///made/up"}')
    assert Distributions().is_editable("other")
    assert not Distributions().is_editable("no-such")
