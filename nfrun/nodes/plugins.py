"""Finds the kinds of installed packages, without importing these, and reads their static halves.

A plug-in is an entry point of the group `nfrun.kinds`. Its static half, `<module>.kind.json`, is data: it is found and
checked without importing the module or a package around it. `schemas/kind.schema.json` describes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from nfrun.code.module_finder import find_module
from nfrun.core.pipeline import StaticHalf
from nfrun.core.text import did_you_mean, ellipsize
from nfrun.nodes.schemas import check_value, document_schema, fast_validator

GROUP = "nfrun.kinds"
API = 1  # the version of the static half and of `Job` that this nfrun has
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
    except PluginError as error:
        what = f"the static half of the kind '{name}' of {package} is wrong: {file}: {ellipsize(str(error), 300)}"
        raise PluginError(what, error.hint or _fault(package)) from None


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "a package"


def _fault(package: str) -> str:
    return f"this is for the authors of {package.partition(' ')[0]} to mend; another version of it may do"


def _instead(name: str, kinds: Mapping[str, object]) -> str:
    """Return what to do about a kind that is not there: the package that has it, the nearest name, or all."""
    if name in PACKAGES:
        return f"it is in the package {PACKAGES[name]}"
    known = dict.fromkeys((*kinds, *PACKAGES))
    return did_you_mean(name, known, f"there is {', '.join(kinds)}" if kinds else "no package with kinds is installed")


def read_static_half(data: bytes, *, name: str, module: str, origin: str, package: str) -> StaticHalf:
    """Return the static half that the bytes of its file hold. Raises PluginError, without the name of the file."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PluginError(f"it is no JSON: {error}") from None
    api = found.get("api") if isinstance(found, dict) else None
    if isinstance(api, int) and not isinstance(api, bool) and api != API:
        older = "a newer version of the package" if api < API else "a newer nfrun"
        raise PluginError(
            f"it is made for version {api} of nfrun's plug-ins, and this nfrun has {API}", f"install {older}"
        )
    for wrong in check_value(json.loads(document_schema("kind")), found, "a static half"):
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in wrong.path).lstrip(".")
        raise PluginError(f"{f'{place}: ' if place else ''}{wrong.message}", wrong.hint)
    _check_values(found.get("with", {}))
    inputs, rows = found.get("inputs", {}), found.get("map", False)
    _check_rows(found, rows if isinstance(rows, dict) else {})
    least, most = inputs.get("min", 0), inputs.get("max", 0 if "inputs" not in found else None)
    if most is not None and least > most:
        raise PluginError(f"inputs: 'min' is {least}, and 'max' is {most}")
    return StaticHalf(
        name=name,
        module=module,
        origin=origin,
        package=package,
        version=found["version"],
        revision=found["revision"],
        description=found.get("description", ""),
        values=found.get("with", {"type": "object", "properties": {}, "additionalProperties": False}),
        least=least,
        most=most,
        forms=tuple(inputs.get("types", ("table",))),
        outputs=found.get("outputs", {}),
        maps=bool(rows),
        columns_in=tuple(rows["columns_in"]) if isinstance(rows, dict) else (),
        after=tuple(rows.get("after", ())) if isinstance(rows, dict) else (),
        executors=tuple(found.get("executor", ("thread", "process"))),
        effects=found.get("effects", False),
        external=found.get("external", False),
        env=tuple(found.get("env", ())),
    )


def _check_values(values: Mapping[str, Any]) -> None:
    """Raise PluginError if the schema of `with` is none, or names another file."""
    try:
        fast_validator(json.dumps(values))
    except Exception as error:  # ValueError, or its ReferencingError
        raise PluginError(f"with: it is no JSON Schema: {str(error).splitlines()[0]}") from None


def _check_rows(found: Mapping[str, Any], rows: Mapping[str, Sequence[str]]) -> None:
    """Raise PluginError if a kind that is called for each row names values that it does not take, or cannot run."""
    known = found.get("with", {}).get("properties", {})
    for key, names in rows.items():
        if unknown := [name for name in names if name not in known]:
            raise PluginError(f"map.{key}: there is no value '{unknown[0]}' in the 'properties' of 'with'")
    if rows and [*found.get("outputs", {}).values()] != ["table"]:
        raise PluginError("outputs: a kind that is called for each row has one, a table")
    if rows and "thread" not in found.get("executor", ("thread",)):
        raise PluginError("executor: a kind that is called for each row runs on an event loop, so on a thread")
