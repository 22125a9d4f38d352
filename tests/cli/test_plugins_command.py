"""`nfrun plugins` lists the kinds that installed packages have, and what is wrong with those that are not usable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Here
from plugin_site import KIND, on_path, write_plugin

from nfrun.nodes import plugins


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages, beside which no others have kinds."""
    folder = tmp_path / "site"
    folder.mkdir()
    every = plugins.installed_kinds

    def own() -> dict[str, object]:
        return {name: entries for name, entries in every().items() if name.startswith("toy.")}

    monkeypatch.setattr(plugins, "installed_kinds", own)
    with on_path(folder):
        yield folder


def test_the_kinds_are_listed(here: Here, site: Path) -> None:
    write_plugin(site)
    write_plugin(site, name="toy.a", module="toy_kinds.a", kind={**KIND, "description": "Two\x1b[31m\nlines."})
    done = here(site, "plugins")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "toy.a       1.2  toy-kinds 1.2.0  Two\\x1b[31m\\nlines.",
        "toy.repeat  1.2  toy-kinds 1.2.0  Repeats rows.",
    ]


def test_one_that_is_not_usable_is_told(here: Here, site: Path) -> None:
    write_plugin(site)
    file = write_plugin(site, name="toy.a", module="toy_kinds.a", kind=None)
    done = here(site, "plugins")
    assert done.returncode == 2
    assert done.stdout == "toy.repeat  1.2  toy-kinds 1.2.0  Repeats rows.\n"
    hint = "this is for the authors of toy-kinds to mend; another version of it may do"
    assert done.stderr == f"the kind 'toy.a' of toy-kinds 1.2.0 has no static half: {file} is not there ({hint})\n"


def test_an_error_without_a_hint_ends_with_its_message(here: Here, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_kind(name: str, entries: object) -> object:
        raise plugins.PluginError("it cannot be read")

    write_plugin(site)
    monkeypatch.setattr(plugins, "read_kind", read_kind)
    assert here(site, "plugins").stderr == "it cannot be read\n"


def test_as_json(here: Here, site: Path) -> None:
    write_plugin(site)
    write_plugin(site, name="toy.a", module="toy_kinds.a", kind=None)
    done = here(site, "plugins", "--json")
    broken, good = json.loads(done.stdout)["kinds"]
    assert (done.returncode, done.stderr) == (2, "")
    assert broken.keys() == {"name", "error", "hint"}
    assert (good["name"], good["package"]) == ("toy.repeat", "toy-kinds 1.2.0")
    assert {key: good[key] for key in KIND if key != "api"} | {"api": 1} == KIND | {"inputs": good["inputs"]}
    assert good["inputs"] == {"min": 0, "max": None, "types": ["table"]} | KIND["inputs"]


def test_without_any(here: Here, site: Path) -> None:
    done = here(site, "plugins")
    told = "no installed package has kinds of node; docs/plugins.md says how to write one\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, "", told)
    assert json.loads(here(site, "plugins", "--json").stdout) == {"kinds": []}
