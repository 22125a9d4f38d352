"""Reads the static half of a plug-in, `<module>.kind.json`, and checks it against `kind.schema.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import nfrun
from nfrun.core.static_half import StaticHalf
from nfrun.nodes.plugins.worded import Violation, violations

API = 1  # the version of the static half and of `Job` that this nfrun has
_OF_SCHEMAS = "https://json-schema.org/draft/2020-12/schema"  # the schema that all schemas follow


class StaticHalfError(Exception):
    """A static half is wrong. The message says what, without the name of the file; `hint` what to do, "" if unknown."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def read_static_half(data: bytes, *, name: str, module: str, origin: str, package: str) -> StaticHalf:
    """Return the static half that the bytes of its file hold. Raises StaticHalfError."""
    try:
        found = json.loads(data, object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise StaticHalfError(f"it is no UTF-8: byte {error.start}") from None
    except RecursionError:
        raise StaticHalfError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise StaticHalfError(f"it is no JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except ValueError:  # Python reads no number of more than 4,300 digits
        raise StaticHalfError("it has a number of too many digits") from None
    api = found.get("api") if isinstance(found, dict) else None
    if isinstance(api, int) and not isinstance(api, bool) and api != API:
        older = "a newer version of the package" if api < API else "a newer nfrun"
        raise StaticHalfError(
            f"it is made for version {api} of nfrun's plug-ins, and this nfrun has {API}", f"install {older}"
        )
    for wrong in _violations(found):
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in wrong.path).lstrip(".")
        raise StaticHalfError(f"{f'{place}: ' if place else ''}{wrong.message}", wrong.hint)
    _check_values(found.get("with", {}))
    inputs, rows = found.get("inputs", {}), found.get("map", False)
    _check_rows(found, rows if isinstance(rows, dict) else {})
    least, most = inputs.get("min", 0), inputs.get("max", 0 if "inputs" not in found else None)
    if most is not None and least > most:
        raise StaticHalfError(f"inputs: 'min' is {least}, and 'max' is {most}")
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


@cache
def _schema() -> str:
    """Return the text of `kind.schema.json`: in a wheel it is in the package, in a checkout in the folder `schemas`."""
    here = Path(nfrun.__file__).parent
    places = (here / "kind.schema.json", here.parent / "schemas" / "kind.schema.json")
    return next((path for path in places if path.is_file()), places[0]).read_text(encoding="utf-8")


def _violations(found: Any) -> Iterator[Violation]:
    import decimal  # noqa: F401  (jsonschema_rs imports it, and panics if Ctrl-C comes meanwhile)

    from jsonschema_rs import Draft202012Validator as Fast

    if not Fast(json.loads(_schema())).is_valid(found):
        from jsonschema import Draft202012Validator

        for error in Draft202012Validator(json.loads(_schema())).iter_errors(found):
            yield from violations(error, "a static half")


def _check_values(values: Mapping[str, Any]) -> None:
    """Raise StaticHalfError if the schema of `with` is none, or names another file: nothing is downloaded.

    It may name JSON Schema itself, which validators have: a value that is a JSON Schema is checked as one.
    """
    for ref in _references(values):
        if not ref.startswith("#") and ref != _OF_SCHEMAS:
            raise StaticHalfError(
                f"with: the reference '{ref}' leads out of the file", "copy what it names into '$defs'"
            )
    from jsonschema_rs import Draft202012Validator

    try:
        Draft202012Validator(dict(values))
    except Exception as error:  # ValueError, or its ReferencingError
        raise StaticHalfError(f"with: it is no JSON Schema: {str(error).splitlines()[0]}") from None


def _check_rows(found: Mapping[str, Any], rows: Mapping[str, Sequence[str]]) -> None:
    """Raise StaticHalfError if a kind that is called for each row names values that it does not take, or cannot run."""
    known = found.get("with", {}).get("properties", {})
    for key, names in rows.items():
        if unknown := [name for name in names if name not in known]:
            raise StaticHalfError(f"map.{key}: there is no value '{unknown[0]}' in the 'properties' of 'with'")
    if rows and [*found.get("outputs", {}).values()] != ["table"]:
        raise StaticHalfError("outputs: a kind that is called for each row has one, a table")
    if rows and "thread" not in found.get("executor", ("thread",)):
        raise StaticHalfError("executor: a kind that is called for each row runs on an event loop, so on a thread")


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from (str(schema[key]) for key in ("$ref", "$dynamicRef") if isinstance(schema.get(key), str))
    for value in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _references(value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise StaticHalfError(f"it has '{next(name for name in names if names.count(name) > 1)}' twice")
    return found
