"""Puts together the paths that an expression may have as its value, without running it.

A path is a text in which `*` stands for what is not known, and `**` if that may have slashes. A value without a file,
such as a buffer or a temporary folder, has no paths. What cannot be put together has None.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from pathlib import PurePath
from typing import Any, TypeAlias

from nfrun.code.bindings import FUNCTIONS, Definition, argument_names
from nfrun.code.facts.names import Names, Place, pattern_of
from nfrun.code.fingerprint import Fingerprints

Paths: TypeAlias = list[str] | None

_ANY = "\1"  # what is not known
INPUT = "\0"  # an input of the node: a table has no path, but what is read from it may be one
_MOST = 50  # paths of one expression
_DEEPEST = 30  # steps from one expression to the next
# Calls that return their first argument, and calls whose result has no path.
_SAME = re.compile(
    pattern_of(
        {
            "builtins": "str sorted list tuple set iter reversed",
            "os": "fspath fsdecode",
            "os.path": "abspath realpath normpath",
            "glob": "glob iglob",
            "shlex": "quote split",
        }
    )
)
_NO_FILE = re.compile(
    pattern_of(
        {
            "builtins": "open bytes bytearray",
            **dict.fromkeys(("gzip", "bz2", "lzma"), "open"),
            **dict.fromkeys(("io", "tempfile", "urllib", "requests", "httpx", "pyarrow.Table"), ".*"),
            "pyarrow": "BufferReader py_buffer memory_map OSFile input_stream table array",
            "sys": r"executable std\w+",
            "shutil": "which",
        }
    )
)
_SAME_METHODS = "resolve absolute expanduser as_posix __str__ __fspath__ items values copy"
_NO_FILE_METHODS = "open encode getvalue getbuffer read read_bytes to_pybytes to_arrow tobytes"


class PathValues:
    """Evaluates expressions in the code that one node reaches.

    `arguments` are what the function `start` ("steps:load") is called with: texts, or None for what is no text.
    `calls(name)` yields the calls of a function of the project, each with its place; None if it is also used otherwise.
    `attributes(node, place)` returns all values that an attribute of a class or object may have, [] if that is unknown.
    """

    def __init__(
        self,
        code: Fingerprints,
        names: Names,
        start: str,
        arguments: Mapping[str, Any],
        calls: Callable[[str], Sequence[tuple[ast.Call, Place]] | None],
        attributes: Callable[[ast.Attribute, Place], Sequence[tuple[ast.expr | None, Place]]],
    ) -> None:
        self._code = code
        self._names = names
        self._start = start
        self._arguments = arguments
        self._calls = calls
        self._attributes = attributes
        self._bindings: dict[ast.AST, Mapping[str, list[ast.expr | None]]] = {}  # by function
        self._depth = 0

    def of(self, node: ast.expr, place: Place) -> Paths:
        """Return the paths that an expression may have as its value."""
        found = self._value(node, place)
        # What fills a whole part of a path may have slashes in it.
        return found and [re.sub(f"(?<=/){_ANY}(?=/|$)", "**", path).replace(_ANY, "*") for path in found]

    def _value(self, node: ast.expr | None, place: Place) -> Paths:
        if node is None or self._depth >= _DEEPEST:
            return None
        self._depth += 1
        try:
            found = self._of(node, place)
        finally:
            self._depth -= 1
        return found if found is None or len(found) <= _MOST else None

    def _of(self, node: ast.expr, place: Place) -> Paths:
        match node:
            case ast.Constant(value):
                return [str(value)] if isinstance(value, str | int | float) else []
            case ast.JoinedStr(parts):
                return self._joined([self._part(part, place) for part in parts]) if parts else [""]
            case ast.BinOp(left, ast.Add(), right):
                return self._joined([self._value(left, place), self._value(right, place)])
            case ast.BinOp(left, ast.Div(), right):
                return self._below([self._value(left, place), self._value(right, place)])
            case ast.BinOp(ast.Constant(str() as text), ast.Mod()):
                return [re.sub(r"%[-+ #0-9.]*[a-z]|%\(\w+\)[a-z]", _ANY, text)]
            case ast.IfExp(_, body, orelse):
                return self._either([body, orelse], place)
            case ast.BoolOp(_, values):
                return self._either(values, place)
            case ast.List(values) | ast.Tuple(values) | ast.Set(values):
                return self._either(values, place)
            case ast.Dict(_, values):
                return self._either(values, place)
            case ast.ListComp(part) | ast.SetComp(part) | ast.GeneratorExp(part):
                return self._value(part, place)
            case ast.Starred(part) | ast.Await(part) | ast.NamedExpr(_, part) | ast.Subscript(part):
                return self._item(node, part, place)
            case ast.Name() | ast.Attribute():
                return self._named(node, place)
            case ast.Call():
                return self._called(node, place)
        return None

    def _part(self, node: ast.expr, place: Place) -> Paths:
        if not isinstance(node, ast.FormattedValue):
            return self._value(node, place)
        return self._value(node.value, place) if node.format_spec is None and node.conversion == -1 else None

    def _item(self, node: ast.expr, part: ast.expr, place: Place) -> Paths:
        if isinstance(node, ast.Subscript) and isinstance(part, ast.Attribute) and part.attr == "parents":
            up = node.slice.value + 1 if isinstance(node.slice, ast.Constant) and type(node.slice.value) is int else 0
            found = self._value(part.value, place)
            for _ in range(up):
                found = _parents(found)
            return found if up else None
        found = self._value(part, place)
        return None if found == [INPUT] else found

    # -- texts -------------------------------------------------------------------------------------------------------

    def _joined(self, parts: Sequence[Paths]) -> Paths:
        """Join the parts of a text."""
        return self._combined(parts, "".join) if any(parts) else parts[0]

    def _below(self, parts: Sequence[Paths]) -> Paths:
        """Join the parts of a path; None if its beginning is not known."""
        if not parts or parts[0] in (None, [INPUT]):
            return None
        return self._combined(parts, lambda chosen: str(PurePath(*chosen)))

    def _combined(self, parts: Sequence[Paths], join: Callable[[Sequence[str]], str]) -> Paths:
        if parts[0] == []:
            return []
        choices = [part if part and part != [INPUT] else [_ANY] for part in parts]
        return list(dict.fromkeys(map(join, product(*choices)))) if prod(map(len, choices)) <= _MOST else None

    def _either(self, nodes: Sequence[ast.expr | None], place: Place) -> Paths:
        return _all_of(self._value(node, place) for node in nodes)

    # -- names -------------------------------------------------------------------------------------------------------

    def _named(self, node: ast.Name | ast.Attribute, place: Place) -> Paths:
        if isinstance(node, ast.Name):
            if node.id == "__file__":
                file = self._code.file_of(place.module)
                return None if file is None else [str(file)]
            for depth in range(len(place.functions), 0, -1):
                bound = self._bound(node.id, Place(place.module, place.functions[:depth], place.scope))
                if bound is not False:
                    return bound  # type: ignore[return-value]
        name = self._names.of(node, place.module, place.scope)
        if _NO_FILE.fullmatch(name):
            return []
        if ":" in name and re.fullmatch(r"[\w.]+:\w+", name):
            module = name.partition(":")[0]
            values = [getattr(definition.body, "value", None) for definition in self._definitions(name)]
            return self._either(values, Place(module, (), {})) if values else None
        if isinstance(node, ast.Attribute):
            if assigned := self._attributes(node, place):
                return _all_of(self._value(value, where) for value, where in assigned)
            owner = self._value(node.value, place)
            if owner == []:
                return [] if node.attr != "env" else None
            return _parents(owner) if node.attr == "parent" and owner != [INPUT] else None
        return None

    def _bound(self, name: str, place: Place) -> Paths | bool:
        """Return the paths of a local name of the innermost function, False if it has no such name."""
        function = place.functions[-1]
        if function not in self._bindings:
            self._bindings[function] = _values_by_name(function)
        values = self._bindings[function].get(name, [])
        found = self._either(values, place)
        if found is None or not _is_argument(function, name):
            return found if values else False
        return _all_of([found, self._argument(name, place)])

    def _argument(self, name: str, place: Place) -> Paths:
        function = place.functions[-1]
        if not isinstance(function, FUNCTIONS) or len(place.functions) > 1:
            return None
        own = f"{place.module}:{function.name}"
        if function not in [definition.body for definition in self._definitions(own)]:
            return None  # a method
        default = _default(function, name)
        outside = Place(place.module, (), {})
        if own == self._start:
            if name in self._arguments:
                return texts_in(self._arguments[name])
            given = [] if name == "context" else [INPUT]
            return self._value(default, outside) if default is not None else given
        calls = self._calls(own)
        if not calls:
            return None
        passed = ((_passed(function, name, call), where) for call, where in calls)
        return _all_of(
            self._either(values, where) if values else self._value(default, outside) for values, where in passed
        )

    # -- calls -------------------------------------------------------------------------------------------------------

    def _called(self, node: ast.Call, place: Place) -> Paths:
        name = self._names.of(node.func, place.module, place.scope)
        first = node.args[0] if node.args else None
        if _NO_FILE.fullmatch(name):
            return []
        if re.fullmatch(r"pathlib\.(?:Pure)?(?:Posix)?Path", name):
            return self._below([self._value(part, place) for part in node.args]) if node.args else ["."]
        if name in ("pathlib.Path.cwd", "os.getcwd"):
            return ["."]
        if name == "os.path.join":
            return self._below([self._value(part, place) for part in node.args])
        if name == "os.path.dirname":
            return _parents(self._value(first, place))
        if name in ("enumerate", "zip", "map", "filter"):
            return self._either(node.args[-1:] if name in ("map", "filter") else node.args, place)
        if _SAME.fullmatch(name):
            return self._value(first, place)
        if ":" in name and (found := self._returned(name)) is not None:
            return found
        return self._method(node, first, place) if isinstance(node.func, ast.Attribute) else None

    def _method(self, node: ast.Call, first: ast.expr | None, place: Place) -> Paths:
        assert isinstance(node.func, ast.Attribute)
        method = node.func.attr
        if method in _NO_FILE_METHODS.split():
            return []
        owner = self._value(node.func.value, place)
        if not owner or owner == [INPUT]:
            return None if owner else owner
        if method in _SAME_METHODS.split():
            return owner
        if method == "format":
            return [re.sub(r"\{[^{}]*\}", _ANY, text) for text in owner]
        if method in ("joinpath", "glob"):
            return self._below([owner, *(self._value(part, place) for part in node.args)])
        if method == "rglob":
            return self._below([owner, ["**"], self._value(first, place)])
        if method == "iterdir":
            return self._below([owner, None])
        if method in ("with_suffix", "with_name", "with_stem"):
            new = [self._value(first, place) or [_ANY]]
            is_suffix = method == "with_suffix"
            kept = [re.sub(r"\.[^./]*$" if is_suffix else "[^/]*$", "", path) for path in owner]
            return self._joined([kept, *new])
        return None

    def _definitions(self, name: str) -> Sequence[Definition]:
        module, _, inner = name.partition(":")
        symbols = self._code.symbols_of(module)
        return symbols.definitions.get(inner, ()) if symbols is not None else ()

    def _returned(self, name: str) -> Paths:
        definitions = self._definitions(name)
        if len(definitions) != 1 or not isinstance(definitions[0].body, FUNCTIONS):
            return None
        body = definitions[0].body
        returns = [node.value for node in ast.walk(body) if isinstance(node, ast.Return)]
        return self._either(returns, Place(name.partition(":")[0], (body,), {})) if returns else None


def _values_by_name(function: ast.AST) -> Mapping[str, list[ast.expr | None]]:
    found: dict[str, list[ast.expr | None]] = {}
    for target, value in bindings(function):
        if isinstance(target, ast.Name):
            found.setdefault(target.id, []).append(value)
    return found


def bindings(function: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """Yield the targets of assignments, loops and `with` in a function, each with the value that it gets."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _targets(target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
            yield node.target, node.value
        elif isinstance(node, ast.AugAssign):
            yield node.target, None
        elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            yield from _targets(node.target, node.iter)
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            yield node.optional_vars, node.context_expr


def _targets(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    if not isinstance(target, ast.Tuple | ast.List):
        yield target, value
        return
    for i, part in enumerate(target.elts):
        match value:
            case ast.Tuple(values) | ast.List(values) if len(values) == len(target.elts):
                yield part, values[i]
            case ast.Call(ast.Name("enumerate"), [inner, *_]):
                yield part, inner if i else ast.Constant(i)
            case ast.Call(ast.Attribute(inner, "items")):
                yield part, inner if i else None
            case ast.Call(ast.Name("zip"), inners) if i < len(inners):
                yield part, inners[i]
            case _:
                yield part, None


def _is_argument(function: ast.AST, name: str) -> bool:
    return isinstance(function, (*FUNCTIONS, ast.Lambda)) and name in argument_names(function)


def _all_of(parts: Iterable[Paths]) -> Paths:
    """Return the paths of all parts, None if those of one cannot be put together."""
    found: dict[str, None] = {}
    for paths in parts:
        if paths is None:
            return None
        found.update(dict.fromkeys(paths))
    return list(found)


def _default(function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> ast.expr | None:
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = dict(zip(reversed([argument.arg for argument in plain]), reversed(arguments.defaults), strict=False))
    keywords = zip((argument.arg for argument in arguments.kwonlyargs), arguments.kw_defaults, strict=True)
    return defaults.get(name) or dict(keywords).get(name)


def _passed(function: ast.FunctionDef | ast.AsyncFunctionDef, name: str, call: ast.Call) -> list[ast.expr]:
    """Return the expressions that a call passes for an argument; [] if it passes none, or that is not known."""
    plain = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    if function.args.vararg is not None and function.args.vararg.arg == name:
        return call.args[len(plain) :]
    at = plain.index(name) if name in plain else len(call.args)
    if at < len(call.args) and not any(isinstance(argument, ast.Starred) for argument in call.args[: at + 1]):
        return [call.args[at]]
    return [keyword.value for keyword in call.keywords if keyword.arg == name]


def texts_in(value: Any) -> list[str]:
    """Return all texts and numbers in a value of a pipeline file."""
    if isinstance(value, str | int | float):
        return [str(value)]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [text for part in inner for text in texts_in(part)]


def _parents(paths: Paths) -> Paths:
    return None if paths is None else [str(PurePath(path).parent) for path in paths]
