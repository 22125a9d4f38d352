"""Reads a file of parameters, YAML or JSON, with the place of what is wrong in it. Knows no pipeline."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from nfrun.core.errors import Problem, SpecError, Where
from nfrun.core.text import shorten
from nfrun.spec.text_file import read_text, refuse
from nfrun.spec.yaml_document import load


def params_file(path: Path | None) -> dict[str, Any]:
    """The parameters in the file, none without one. Raises SpecError."""
    if path is None:
        return {}
    if path.suffix.lower() == ".json":
        root, where = _json(path), Where(str(path))
    else:
        document = load(path)
        root, where = document.root, document.where()
    if not isinstance(root, dict):
        what = "a file of parameters is a mapping of names to values"
        raise SpecError([Problem(where, what)])
    return root


def _json(path: Path) -> Any:
    """What a file of JSON says, which is not all YAML: `\\ud83d\\ude00` is one character there. Raises SpecError."""
    import json

    name = str(path)
    text = read_text(path, name)
    try:
        root = json.loads(text, object_pairs_hook=_once, parse_constant=_number, parse_float=_number, parse_int=_number)
        json.dumps(root, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        lines = text.split("\n")  # as the error counts them
        where = Where(name, error.lineno, error.colno, 1, lines[error.lineno - 1].rstrip("\r"))
        raise SpecError([Problem(where, f"this is not JSON: {error.msg}")]) from None
    except UnicodeEncodeError:
        refuse(name, "this file has bytes or escapes that are not text", "save it as UTF-8")
    except RecursionError:
        refuse(name, "this file is nested too deeply", "")
    except ValueError as error:
        refuse(name, str(error), "")
    return root


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise ValueError(f"the key '{shorten(twice)}' is there more than once")
    return found


def _number(text: str) -> int | float:
    """Raises ValueError for what is none, and for what fits neither 64 bits nor a float."""
    if text.lstrip("-").isdecimal():
        if len(text) <= 20 and -(2**63) <= (whole := int(text)) < 2**63:
            return whole
    elif math.isfinite(number := float(text)):
        return number
    raise ValueError(f"{shorten(text)} is no number that a parameter can have")
