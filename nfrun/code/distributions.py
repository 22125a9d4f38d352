"""Finds the versions of installed distributions, by name or by a file of theirs. Imports none of them.

`importlib.metadata` is not used: its import takes longer than all of this, and it reads all lists of files.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

_ENDINGS = (".dist-info", ".egg-info")


class Distributions:
    """Looks up distributions in the folders on `sys.path`, and lists each folder once.

    Names are in the form in which they are compared: in lower case, with "-" for each "_" and ".".
    """

    def __init__(self) -> None:
        self._infos: dict[str, dict[str, str]] = {}  # by folder, the paths of the metadata by name
        self._versions: dict[str, str | None] = {}
        self._owners: dict[str, tuple[str, str] | None] = {}  # by file

    def names(self) -> list[str]:
        """Return the names of all distributions."""
        return [*{name: None for place in sys.path for name in self._listed(place)}]

    def version(self, name: str) -> str | None:
        """Return the version of a distribution; None if it is not installed.

        If it was not installed from an index, a digest of what was installed follows, as its source may have changed.
        """
        if name not in self._versions:
            info = next(self._infos_of(name), None)
            self._versions[name] = None if info is None else _version(info)
        return self._versions[name]

    def is_editable(self, name: str) -> bool:
        """Return whether the distribution is installed in editable mode: its version says little about its source."""
        texts = (_read(info, "direct_url.json") for info in self._infos_of(name))
        return any(re.search(rb'"editable"\s*:\s*true', text) for text in texts)

    def _infos_of(self, name: str) -> Iterator[Path]:
        found = (self._listed(place).get(normalized(name)) for place in sys.path)
        return (Path(info) for info in found if info)

    def owner(self, module: str, file: str) -> tuple[str, str] | None:
        """Return the name and version of the distribution that installed this file of a module, None if none did."""
        if file not in self._owners:
            places = (place for place in sys.path if file.startswith(f"{place}{os.sep}"))
            found = (self._owner_in(place, module.partition(".")[0], file[len(place) + 1 :]) for place in places)
            self._owners[file] = next(filter(None, found), None)
        return self._owners[file]

    def _owner_in(self, place: str, top: str, file: str) -> tuple[str, str] | None:
        infos, likely = self._listed(place), normalized(top)
        line, listed = f"\n{file.replace(os.sep, '/')},".encode(), f"\n{top}\n".encode()
        for name in sorted(infos, key=lambda name: name != likely):
            info = Path(infos[name])
            record = _read(info, "RECORD")
            if line in b"\n" + record or (not record and listed in b"\n" + _read(info, "top_level.txt") + b"\n"):
                return name, _version(info)
        return None

    def _listed(self, place: str) -> dict[str, str]:
        if place not in self._infos:
            found: dict[str, str] = {}
            with suppress(OSError):
                for name in sorted(os.listdir(place)):  # noqa: PTH208
                    if name.endswith(_ENDINGS):
                        found[normalized(name.rpartition(".")[0].partition("-")[0])] = f"{place}{os.sep}{name}"
            self._infos[place] = found
        return self._infos[place]


@cache
def normalized(name: str) -> str:
    """Return the name of a distribution in the form in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _version(info: Path) -> str:
    version = info.name.removesuffix(".dist-info").partition("-")[2]
    if info.suffix == ".egg-info":  # a folder or a file
        text = _read(info, "PKG-INFO") or _read(info.parent, info.name)
        version = next(iter(re.findall(rb"^Version: *(\S+)", text, re.MULTILINE)), b"").decode("latin-1")
    if _read(info, "direct_url.json"):
        from nfrun.system.checksums import text_checksum

        version += f" {text_checksum(_read(info, 'RECORD').decode('latin-1'))[:8]}"
    return version


def _read(folder: Path, name: str) -> bytes:
    with suppress(OSError):
        return (folder / name).read_bytes()
    return b""
