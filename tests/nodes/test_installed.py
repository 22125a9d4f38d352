"""Finding the kinds of installed packages: without importing them, in all ways in which packages are installed."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

import pytest
from plugin_site import KIND, on_path, write_plugin

from nfrun.nodes import plugins
from nfrun.nodes.plugins import PluginError, find_kind


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    with on_path(folder):
        yield folder


def problem(asked: str) -> tuple[str, str]:
    with pytest.raises(PluginError) as error:
        find_kind(asked)
    return str(error.value), error.value.hint


def test_neither_the_module_nor_a_package_around_it_is_imported(site: Path) -> None:
    write_plugin(site, module="toy_kinds.inner.repeat", source="raise SystemExit('imported')")
    (site / "toy_kinds" / "__init__.py").write_text("raise SystemExit('imported')")
    half = find_kind("toy.repeat")
    assert (half.name, half.module, half.package) == ("toy.repeat", "toy_kinds.inner.repeat", "toy-kinds 1.2.0")
    assert half.origin == str(site / "toy_kinds" / "inner" / "repeat.py")
    assert not [name for name in sys.modules if name.startswith("toy_kinds")]


@pytest.mark.parametrize("module", ["toy_repeat", "toy_space.repeat", "toy_space.deep.repeat"])
def test_a_module_on_its_own_and_one_in_a_namespace_package(site: Path, module: str) -> None:
    write_plugin(site, module=module)
    for init in site.rglob("__init__.py"):
        init.unlink()
    assert find_kind("toy.repeat@1").module == module


def test_a_namespace_package_with_portions_in_two_folders(site: Path, tmp_path: Path) -> None:
    (site / "toy_space").mkdir()
    write_plugin(tmp_path / "other", module="toy_space.repeat")
    (tmp_path / "other" / "toy_space" / "__init__.py").unlink()
    with on_path(tmp_path / "other"):
        assert find_kind("toy.repeat").origin == str(tmp_path / "other" / "toy_space" / "repeat.py")


def test_a_package_has_its_static_half_inside(site: Path) -> None:
    write_plugin(site, module="toy_repeat.__init__", name="unused")
    (site / "toy_repeat" / "__init__.kind.json").rename(site / "toy_repeat" / "toy_repeat.kind.json")
    write_plugin(site, module="toy_repeat", kind=None, source=None)
    assert find_kind("toy.repeat").origin == str(site / "toy_repeat" / "__init__.py")


def test_a_package_in_a_zip_file(site: Path, tmp_path: Path) -> None:
    write_plugin(tmp_path / "files", name="toy.zipped", module="zipped_kinds.repeat")
    with zipfile.ZipFile(tmp_path / "toy.zip", "w") as archive:
        for path in (tmp_path / "files").rglob("*"):
            archive.write(path, path.relative_to(tmp_path / "files"))
    with on_path(tmp_path / "toy.zip"):
        assert find_kind("toy.zipped").revision == 3


def test_an_editable_package_with_a_finder_of_its_own(site: Path, tmp_path: Path) -> None:
    """As setuptools installs it: the source is on no path, and a finder knows where it is."""
    source = tmp_path / "source"
    write_plugin(source, module="edited_kinds.repeat")
    (site / "edited.dist-info").mkdir()
    for path in (source / "toy_kinds-1.2.0.dist-info").iterdir():
        path.rename(site / "edited.dist-info" / path.name)

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
            return PathFinder.find_spec(name, [str(source)]) if name == "edited_kinds" else None

    sys.meta_path.append(Finder)  # type: ignore[arg-type]
    try:
        assert find_kind("toy.repeat").origin == str(source / "edited_kinds" / "repeat.py")
    finally:
        sys.meta_path.remove(Finder)  # type: ignore[arg-type]


def test_what_is_not_installed_is_told_with_the_nearest_names(site: Path) -> None:
    write_plugin(site)
    assert problem("toy.repaet") == ("no installed package has the kind 'toy.repaet'", "did you mean 'toy.repeat'?")
    message, hint = problem("qwertz")
    assert (message, "toy.repeat" in hint) == ("no installed package has the kind 'qwertz'", True)


def test_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "installed_kinds", dict)
    where = "it is in the package nfrun-adbc: pip install './plugins/nfrun-adbc[all]' in a checkout of nfrun"
    assert problem("adbc.write") == ("no installed package has the kind 'adbc.write'", where)
    assert problem("adbc.quer@1")[1] == "did you mean 'adbc.query'?"
    assert problem("qwertz")[1] == "no package with kinds is installed"


def test_another_major_version_is_an_error(site: Path) -> None:
    write_plugin(site)
    assert find_kind("toy.repeat@1").version == "1.2"
    assert problem("toy.repeat@2") == (
        "'toy.repeat' is installed in version 1.2 (of toy-kinds 1.2.0), and this asks for 2",
        "install another version, or write toy.repeat@1",
    )
    assert problem("toy.repeat@12")[0].endswith("and this asks for 12")


def test_a_kind_in_two_packages_is_an_error(site: Path) -> None:
    write_plugin(site)
    write_plugin(site, distribution="other-kinds", module="other_kinds.repeat", version="3")
    message, hint = problem("toy.repeat")
    assert message.startswith("the kind 'toy.repeat' is in two packages: ")
    assert {"toy-kinds 1.2.0", "other-kinds 3"} == {*message.partition(": ")[2].split(" and ")}
    assert hint == "uninstall one of them"


MEND = "this is for the authors of toy-kinds to mend; another version of it may do"


def test_a_plug_in_that_is_not_usable_is_told_with_its_file(site: Path) -> None:
    file = write_plugin(site, name="toy.a", module="toy_kinds.a", kind=None)
    assert problem("toy.a") == (f"the kind 'toy.a' of toy-kinds 1.2.0 has no static half: {file} is not there", MEND)
    file = write_plugin(site, name="toy.b", module="toy_kinds.b", kind={**KIND, "maps": True})
    what = f"the static half of the kind 'toy.b' of toy-kinds 1.2.0 is wrong: {file}: maps: a static half has no 'maps'"
    assert problem("toy.b") == (what, "did you mean 'map'?")
    write_plugin(site, name="toy.c", module="toy_kinds.c", source=None)
    assert problem("toy.c") == (
        "toy-kinds 1.2.0 has the kind 'toy.c' in the module 'toy_kinds.c', which is not there",
        "install toy-kinds again",
    )
    write_plugin(site, name="toy.d", module="toy_kinds.d:run")
    assert problem("toy.d") == (
        "toy-kinds 1.2.0 says 'toy.d = toy_kinds.d:run', and the entry point of a kind is a module",
        MEND,
    )
    write_plugin(site, name="toy.e", module="toy_kinds.e", kind="{")
    assert problem("toy.e")[0].endswith(
        "e.kind.json: it is no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
    )
    assert problem("toy.e")[1] == MEND


def test_a_static_half_that_cannot_be_read_is_an_error(site: Path) -> None:
    file = write_plugin(site)
    file.unlink()
    file.mkdir()
    assert problem("toy.repeat")[0].startswith("the static half of the kind 'toy.repeat' cannot be read: ")


def test_the_folder_of_a_pipeline_is_no_place_of_plug_ins(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plugin(site)
    (tmp_path / "toy_kinds").mkdir()
    (tmp_path / "toy_kinds" / "repeat.py").touch()
    (tmp_path / "toy_kinds" / "repeat.kind.json").write_text(json.dumps({**KIND, "revision": 99}))
    monkeypatch.chdir(tmp_path)
    assert find_kind("toy.repeat").revision == 3
