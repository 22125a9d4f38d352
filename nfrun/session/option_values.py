"""Makes values of options from texts, and checks those that depend on the environment or on the pipeline."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from math import inf
from pathlib import Path

from nfrun.core.errors import UsageError
from nfrun.core.pipeline import Pipeline, has_expression
from nfrun.core.selection import parse_selector
from nfrun.system.runtime import cores
from nfrun.system.units import LONGEST, parse_duration, parse_size

_CACHE_SIZE = "NFRUN_CACHE_SIZE"
NO_CACHE_SIZE = "not a size such as 10GB, 500MiB or 0"
NO_ADDRESS = "not the address of a scheduler, such as tcp://host:8786 or tls://host:8786"
FOREVER = "forever"
MAX_DAYS = f"{LONGEST / 86400:.0f}"
_ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://([\w.-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})", re.ASCII)


def parse_params(given: Mapping[str, str] | Iterable[str]) -> Mapping[str, str]:
    """Return the values of parameters by name, from texts such as `month=3`. Raises ValueError."""
    if isinstance(given, Mapping):
        for name, value in given.items():
            if not isinstance(value, str):
                raise ValueError(f"the value of '{name}' is not a text: {value!r}")
        return given
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"'{text}' is not NAME=VALUE")
        if text.encode(errors="ignore").decode() != text:  # the argument has bytes that are not UTF-8
            raise ValueError(f"'{text}' is not UTF-8")
        if name.strip() in pairs:
            raise ValueError(f"'{name.strip()}' is given twice: leave one out")
        pairs[name.strip()] = value
    return pairs


def parse_inputs(given: Mapping[str, str] | Iterable[str]) -> Mapping[str, str]:
    """Return the files of inputs by name, from texts such as `orders=a.csv`: absolute paths, or URIs.

    Raises ValueError.
    """
    files = parse_params(given)
    for name, file in files.items():
        if not file.strip():
            raise ValueError(f"the input '{name}' has no file")
        if has_expression(file):
            raise ValueError(f"'{file}' is no name of a file")
    return {name: file if "://" in file else os.path.abspath(file) for name, file in files.items()}  # noqa: PTH100


def parse_selectors(selectors: str | Iterable[str]) -> tuple[str, ...]:
    """Return the selectors of nodes without repetitions. Raises ValueError if one cannot be understood."""
    found = tuple(dict.fromkeys([selectors] if isinstance(selectors, str) else selectors))
    for selector in found:
        parse_selector(selector)
    return found


def parse_number(number: str | int, most: int) -> int:
    """Return a number from 1 to `most`. Raises ValueError for other texts."""
    text = str(number)
    if not (text.isascii() and text.isdecimal()) or len(text) > 20 or not 1 <= int(text) <= most:
        raise ValueError(number)
    return int(text)


def parse_slots(slots: str | int) -> int:
    """Return how many nodes run at once. Raises ValueError."""
    # At least 4, because nodes also wait for disks and services.
    return parse_number(max(4, cores()) if slots == "auto" else slots, 10_000)


def slots_of(given: int | None, pipeline: Pipeline) -> int:
    """Return how many nodes run at once: `given`, or what the profile says, or as many as there are cores."""
    return given or pipeline.jobs or parse_slots("auto")


def parse_date(date: object) -> str:
    """Return a date as in 2026-01-31. Raises ValueError."""
    from datetime import date as dates

    return dates.fromisoformat(str(date)).isoformat()


def parse_profile(name: str) -> str:
    """Return the name of a profile. Raises ValueError if it is empty."""
    if not name.strip():
        raise ValueError("an empty name is no profile")
    return name


def parse_cache_size(size: str | int) -> int:
    """Return the bytes of a size, which may be 0. Raises ValueError."""
    return 0 if str(size).strip() == "0" else parse_size(str(size))


def cache_budget(given: int | None, environ: Mapping[str, str]) -> int | None:
    """Return how many bytes kept tables may take: `given`, or that of NFRUN_CACHE_SIZE; None for the default.

    Raises UsageError if the variable is wrong.
    """
    text = environ.get(_CACHE_SIZE, "")
    if given is not None or not text:
        return given
    try:
        return parse_cache_size(text)
    except ValueError:
        raise UsageError(f"'{text}' is {NO_CACHE_SIZE}", _CACHE_SIZE) from None


def parse_address(address: str) -> str:
    """Return the address of a scheduler. Raises ValueError."""
    found = _ADDRESS.fullmatch(address)
    if not found or int(found["port"]) > 65535:
        raise ValueError(f"'{address}' is {NO_ADDRESS}")
    return address


def parse_store(store: str) -> str:
    """Return the address of a place for outputs: a URI, or an absolute path. Raises ValueError."""
    from nfrun.tables.places.base import (
        PlaceError,
        check_address,  # few runs have a store
    )

    try:
        check_address(store)
    except PlaceError as error:
        raise ValueError(str(error)) from None
    return store if "://" in store else os.path.abspath(os.path.expanduser(store))  # noqa: PTH100, PTH111


def parse_wait(wait: str | float) -> float:
    """Return the seconds of a duration; infinity for `forever`. Raises ValueError."""
    return inf if wait in (FOREVER, inf) else parse_seconds(wait)


def parse_seconds(duration: str | float) -> float:
    """Return the seconds of a duration, which may be given as a number. Raises ValueError."""
    return parse_duration(duration if isinstance(duration, str) else f"{duration:.9f}")


def parse_path(path: str | Path, what: str = "file") -> Path:
    """Return the path of a file or a folder. Raises ValueError if it is empty."""
    if path == "":  # as from an unset variable; an empty Path is the working directory
        raise ValueError(f"an empty name is no {what}")
    return Path(path)


def tells_github(options: object, environ: Mapping[str, str]) -> bool:
    """Return whether a command tells GitHub's runner what it finds; always False for one without these options."""
    found: tuple[bool | None, bool | None] = getattr(options, "github", None), getattr(options, "no_github", None)
    return bool(found[0]) or (found[1] is False and environ.get("GITHUB_ACTIONS") == "true")
