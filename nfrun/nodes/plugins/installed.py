"""Finds the kinds of installed packages: their entry points, modules and static halves. Imports none of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from nfrun.code.module_finder import find_module
from nfrun.core.static_half import StaticHalf
from nfrun.core.text import ellipsize
from nfrun.nodes.plugins.static_half import StaticHalfError, read_static_half

GROUP = "nfrun.kinds"
# The packages that are known to have kinds, for those who have not installed them.
PACKAGES = {
    "ai.chat": "nfrun-ai: pip install ./plugins/nfrun-ai in a checkout of nfrun",
    "adbc.query": "nfrun-adbc: pip install './plugins/nfrun-adbc[all]' in a checkout of nfrun",
    "adbc.write": "nfrun-adbc: pip install './plugins/nfrun-adbc[all]' in a checkout of nfrun",
}


class PluginError(Exception):
    """A kind is not installed, or its plug-in is not usable. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def installed_kinds() -> Mapping[str, list[EntryPoint]]:
    """Return the entry points by the name of their kind; more than one if several packages have it."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, []).append(entry)
    return dict(sorted(found.items()))


def find_kind(asked: str) -> StaticHalf:
    """Return the static half of the kind `NAME` or `NAME@MAJOR` that a node asks for. Raises PluginError."""
    name, _, major = asked.partition("@")
    kinds = installed_kinds()
    if name not in kinds:
        raise PluginError(f"no installed package has the kind '{ellipsize(name)}'", _instead(name, kinds))
    half = read_kind(name, kinds[name])
    if major and major != half.version.partition(".")[0]:
        what = f"'{name}' is installed in version {half.version} (of {half.package}), and this asks for {major}"
        raise PluginError(what, f"install another version, or write {name}@{half.version.partition('.')[0]}")
    return half


def read_kind(name: str, entries: list[EntryPoint]) -> StaticHalf:
    """Return the static half of a kind that is installed. Raises PluginError, whose message names the file."""
    entry, package = entries[0], _package(entries[0])
    if len(entries) > 1:
        what = f"the kind '{name}' is in two packages: {' and '.join(map(_package, entries[:2]))}"
        raise PluginError(what, "uninstall one of them")
    if entry.attr or entry.extras:
        what = f"{package} says '{name} = {ellipsize(entry.value)}', and the entry point of a kind is a module"
        raise PluginError(what, _fault(package))
    module = entry.value
    spec = find_module(module, None)
    if spec is None or not spec.origin or not spec.has_location:
        what = f"{package} has the kind '{name}' in the module '{module}', which is not there"
        raise PluginError(what, f"install {package.partition(' ')[0]} again")
    file = os.path.join(os.path.dirname(spec.origin), f"{module.rpartition('.')[2]}.kind.json")  # noqa: PTH118, PTH120
    read = getattr(spec.loader, "get_data", None)  # also reads in a zip file
    try:
        data: bytes = read(file) if read is not None else Path(file).read_bytes()
    except FileNotFoundError:
        raise PluginError(
            f"the kind '{name}' of {package} has no static half: {file} is not there", _fault(package)
        ) from None
    except OSError as error:
        raise PluginError(f"the static half of the kind '{name}' cannot be read: {error}") from None
    try:
        return read_static_half(data, name=name, module=module, origin=spec.origin, package=package)
    except StaticHalfError as error:
        what = f"the static half of the kind '{name}' of {package} is wrong: {file}: {ellipsize(str(error), 300)}"
        raise PluginError(what, error.hint or _fault(package)) from None


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "a package"


def _fault(package: str) -> str:
    return f"this is for the authors of {package.partition(' ')[0]} to mend; another version of it may do"


def _instead(name: str, kinds: Mapping[str, object]) -> str:
    """Return what to do about a kind that is not there: the package that has it, the nearest names, or all."""
    if name in PACKAGES:
        return f"it is in the package {PACKAGES[name]}"
    near = get_close_matches(name.lower(), [*dict.fromkeys((*kinds, *PACKAGES))], n=2, cutoff=0.6)
    if near:
        names = " or ".join(f"'{other}'" for other in near)
        lacking = next((PACKAGES[other] for other in near if other not in kinds), "")
        return f"did you mean {names}?" + (f" it is in the package {lacking}" if lacking else "")
    return f"there is {', '.join(kinds)}" if kinds else "no package with kinds is installed"
