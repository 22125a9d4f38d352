"""Compares what a node gives to its function or class with what that takes, as the source shows it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from nfrun.code.signatures import ClassSignature, Signature
from nfrun.core.pipeline import NodeSpec, OutputId
from nfrun.core.text import closest_match, ellipsize
from nfrun.nodes.base import NodeDiagnostic

_OF_ROWS = re.compile(r"(?:str|int|float|bool|bytes|list)\b")  # of annotations that no table has
Given = Mapping[str, OutputId | None]  # what a node gives: names of inputs with their outputs, of values with None


def given_by(node: NodeSpec) -> dict[str, OutputId | None]:
    """Return the names of the values and the inputs of a node."""
    given: dict[str, OutputId | None] = dict.fromkeys(node.with_)
    return given | {item.name: item.output for item in node.inputs}


def check_arguments(
    node: NodeSpec, function: str, signature: Signature, given: Given, columns: Collection[str] = ()
) -> Iterator[NodeDiagnostic]:
    """Compare what is given with a signature, whose parameters in `columns` get columns of a mapped input.

    A misspelled name is one error: not an unknown and a missing one.
    """
    place = f"{function}({ellipsize(', '.join(signature.names), 80)}) is at {signature.where}"
    if signature.positional_only:
        what = f"{function}() takes {listed(signature.positional_only)} by position only; nfrun gives them by name"
        yield NodeDiagnostic(("python",), what, place)
    for item in node.inputs:
        if item.optional and item.name in given and item.name in signature.required:
            what, hint = f"{function}() cannot do without '{item.name}'", f"give it a default: {item.name}=None"
            yield NodeDiagnostic(("inputs", item.name, "optional"), what, hint, at_key=True)
    missing = [name for name in signature.required if name not in (*given, *columns, "context")]
    taken = (*signature.names, *signature.positional_only)
    unknown = [name for name in given if name not in taken and not signature.takes_kwargs]
    free = [name for name in signature.names if name not in (*given, *columns)]
    unclear = 0
    for name in unknown:
        ref = given[name]
        guess = closest_match(name, free) or (missing[0] if len(missing) == len(unknown) == 1 else None)
        hint = f"did you mean '{guess}'?" if guess else place
        if guess and ref and name in (ref.node, ref.name):  # the input has no name of its own
            hint = f"name it: inputs: {{{guess}: {ref}}}"
            if node.map is None and _OF_ROWS.match(signature.annotations.get(guess, "")):
                hint = f"'{guess}' is a value of a row: to call the function for each row, add 'map: {name}'"
        if guess in missing:
            missing.remove(guess)
        unclear += not guess
        what = f"{function}() has no argument '{name}', which is given as {'an input' if ref else 'a value'}"
        yield NodeDiagnostic(("inputs" if ref else "with", name), what, hint, at_key=True)
    if len(missing) > unclear:
        what = f"{function}() needs {ellipsize(listed(missing), 100)}, which no input and no 'with' value gives"
        yield NodeDiagnostic(("python",), what, place, counts=True)


def check_class(
    node: NodeSpec, name: str, found: ClassSignature, columns: Collection[str] = (), over: str = ""
) -> Iterator[NodeDiagnostic]:
    """Check a class and, as far as its signatures are known, what the node gives to it and to its calls.

    Parameters of a call in `columns` get columns of the mapped input `over`, which is not given as a whole then.
    """
    if found.call is None and found.is_whole:
        what, hint = f"the class '{node.body}' has no method __call__", f"give it one; the class is at {found.where}"
        yield NodeDiagnostic(("python",), what, hint)
    if found.init is None:
        return
    if "context" in found.init.required:
        what = f"{name}.__init__() needs 'context', which only a call gets"
        yield NodeDiagnostic(("python",), what, "take it in __call__")
    own, of_call = split_given(given_by(node), found.init)
    if columns:
        del of_call[over]
    needed = [arg for arg in found.init.required if arg not in own]
    free = [arg for arg in found.call.names if arg not in (*of_call, *columns)] if found.call else []
    # What nobody takes is told once: where it is likely to belong.
    taken = (*found.call.names, *found.call.positional_only) if found.call else ()
    stray = [a for a in of_call if a not in taken and closest_match(a, needed) and not closest_match(a, free)]
    yield from check_arguments(node, f"{name}.__init__", found.init, {**own, **{arg: of_call[arg] for arg in stray}})
    if found.call is not None:
        rest = {arg: ref for arg, ref in of_call.items() if arg not in stray}
        yield from check_arguments(node, f"{name}.__call__", found.call, rest, columns)


def split_given(given: Given, init: Signature) -> tuple[dict[str, OutputId | None], dict[str, OutputId | None]]:
    """Return what `__init__` gets, which is what it names, and all the rest, which a call gets."""
    own = {name: ref for name, ref in given.items() if name in init.names}
    return own, {name: ref for name, ref in given.items() if name not in own}


def listed(names: Collection[str]) -> str:
    """Return names in quotes, with commas between them."""
    return ", ".join([f"'{name}'" for name in names])
