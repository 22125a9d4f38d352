"""Checks the profiles of a pipeline file, and lays one of them over the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nfrun.core.errors import Diagnostic, SourceSpan, SpecError
from nfrun.core.text import closest_match, ellipsize, shortened
from nfrun.core.values import replace
from nfrun.pipeline_file.budgets import read_budgets
from nfrun.pipeline_file.findings import Findings
from nfrun.pipeline_file.parameters import env_text, has_type, param_of, type_of
from nfrun.pipeline_file.settings import fields_of, is_evaluated
from nfrun.pipeline_file.yaml.document import Document, Keys, entries

VARIABLE = "NFRUN_PROFILE"
_MAX_LISTED = 6


def inside_profile(path: Keys) -> Keys:
    """Return the path of a value in a profile as that of the value that it replaces; other paths as they are."""
    return path[2:] if path[:1] == ("profiles",) else path


def check_profiles(found: Findings) -> None:
    """Report what is wrong with the profiles of a file beyond the schema, whichever of them is used."""
    for name, profile in entries(found.document.root.get("profiles")):
        if isinstance(profile, dict):
            _check_params(found, ("profiles", name, "params"), profile.get("params"))
            _check_defaults(found, ("profiles", name, "defaults"), profile.get("defaults"))
            read_budgets(found, ("profiles", name))  # to report what is wrong with them


def _check_params(found: Findings, path: Keys, given: Any) -> None:
    params = found.document.root.get("params")
    params = params if isinstance(params, dict) else {}
    for name, value in entries(given) if isinstance(given, dict) else ():
        where = (*path, name)
        if name not in params:
            guess = closest_match(name, params)
            hint = f"did you mean '{guess}'?" if guess else f"its parameters: {', '.join(params) or 'none'}"
            found.report(where, f"the pipeline has no parameter '{ellipsize(name)}'", hint, at_key=True)
            continue
        param = param_of(name, params[name])
        if where in found.bad or ("params", name) in found.bad:
            continue
        if not has_type(value, param.type):
            what = f"the parameter '{ellipsize(name)}' must be of type {param.type}, not {type_of(value)}"
            found.report(where, what, param.help)
        elif param.enum and value not in param.enum:
            listed = ellipsize(", ".join(env_text(choice) for choice in param.enum), 200)
            found.report(where, f"the parameter '{ellipsize(name)}' must be one of {listed}", param.help)


def _check_defaults(found: Findings, path: Keys, defaults: Any) -> None:
    if not isinstance(defaults, dict):
        return
    settings = {key: value for key, value in defaults.items() if (*path, key) not in found.bad and is_evaluated(value)}
    fields_of(settings, lambda steps, what: found.report((*path, *steps), what))


def with_profile(found: Findings, name: str) -> Document:
    """Return the document of a file with one of its profiles laid over it. Raises SpecError if it has none such.

    Values of the profile are found in the file where the profile has them.
    """
    document = found.document
    profiles = document.root.get("profiles")
    profiles = profiles if isinstance(profiles, dict) else {}
    if name not in profiles:
        guess = closest_match(name, profiles)
        hint = f"did you mean '{guess}'?" if guess else f"there is {shortened([*profiles], _MAX_LISTED)}"
        what = f"there is no profile '{ellipsize(name)}'; {hint if profiles else 'the file has no profiles'}"
        raise SpecError([Diagnostic(SourceSpan(document.file), what)])
    profile = profiles[name]
    if ("profiles", name) in found.bad or not isinstance(profile, dict):
        return document
    root, moved = dict(document.root), dict[Keys, Keys]()
    for path, value in _replaced(document.root, profile):
        target = root
        for step in path[:-1]:
            inner = target.get(step)
            target[step] = dict(inner) if isinstance(inner, dict) else {}
            target = target[step]
        target[path[-1]] = value
        moved[path] = ("profiles", name, *(path[:-1] if path[0] == "params" else path))
    return replace(document, root=root, moved=moved)


def _replaced(root: Mapping[str, Any], profile: Mapping[str, Any]) -> Iterator[tuple[Keys, Any]]:
    """Yield the values of a profile, each with its path in the file that it is laid over."""
    for name, value in entries(profile.get("params")):
        declared = root["params"][name]
        if not isinstance(declared, dict):
            yield ("params", name, "type"), type_of(declared)
        yield ("params", name, "default"), value
    for section in ("env", "resources"):
        for name, value in entries(profile.get(section)):
            yield (section, name), value
    for key, value in entries(profile.get("defaults")):
        if key in ("env", "resources"):
            yield from ((("defaults", key, name), item) for name, item in entries(value))
        else:
            yield ("defaults", key), value
    for key in ("jobs", "work"):
        if key in profile:
            yield (key,), profile[key]
