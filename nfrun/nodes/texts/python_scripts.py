"""Reads from a Python script which files it may name and which modules it may import. Runs nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nfrun.code.names_reader import ignored_warnings
from nfrun.core.values import field, mutable

_PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[-+#0]*\d*(?:\.\d+)?[sdifr]|\{\w*[^{}]*\}")  # of `%` and `format`
_LOGS = frozenset({"FileHandler", "basicConfig"})  # of `logging`
_JOINS = frozenset({"join", "joinpath", "Path", "PurePath"})


@mutable
class ScriptNames:
    """The texts and modules in a script. In a text, `*` stands for a part that is computed.

    A module that begins with dots is relative to the script's own package.
    """

    texts: dict[str, None] = field(default_factory=dict)
    modules: dict[str, None] = field(default_factory=dict)


def names_in_python(source: bytes | str) -> ScriptNames | None:
    """Return the texts and modules that a Python script names, None if it is not Python."""
    try:
        with ignored_warnings():
            return _names(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _names(tree: ast.AST) -> ScriptNames:
    found = ScriptNames()
    left: list[ast.AST] = [tree]
    while left:
        node = left.pop()
        if isinstance(node, ast.Call) and _appends(node):
            continue  # to a log: what is in it does not matter to the script
        text = _text(node) if isinstance(node, ast.expr) else ""
        # Not the parts of a text: the file is `data/x.csv`, and not the folder `data`.
        parts = ast.iter_child_nodes(node)
        left.extend(part for part in parts if not (text and isinstance(part, ast.expr) and _text(part)))
        if isinstance(node, ast.Import):
            found.modules.update(dict.fromkeys(alias.name for alias in node.names))
        elif isinstance(node, ast.ImportFrom):
            package = "." * node.level + (node.module or "")
            separator = "." if node.module else ""
            found.modules[package] = None
            found.modules.update(dict.fromkeys(f"{package}{separator}{alias.name}" for alias in node.names))
        elif text:
            found.texts[text] = found.texts[_PLACEHOLDER.sub("*", text)] = None
            if isinstance(node, ast.Constant) and text.replace(".", "_").isidentifier():
                found.modules[text] = None  # as in import_module("helpers")
    return found


def _appends(call: ast.Call) -> bool:
    """Return whether a call opens a file to append to it, such as `open("x.log", "a")`."""
    first = 1  # the mode is the second argument
    match call.func:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="io" | "codecs" | "gzip" | "bz2" | "lzma"), attr=name):
            pass
        case ast.Attribute(attr=name):
            first = 0  # of a path
        case _:
            return False
    modes = [*call.args[first : first + 1], *(word.value for word in call.keywords if word.arg == "mode")]
    is_append = any(isinstance(mode, ast.Constant) and mode.value in ("a", "at", "ab") for mode in modes)
    return (name == "open" and is_append) or name in _LOGS


def _text(node: ast.expr) -> str:
    """Return the text that an expression has as its value, with `*` for what is computed; "" if it is no text."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) or "*" for part in parts)
        case ast.BinOp(left=left, op=ast.Add() | ast.Mod(), right=right):
            first, second = _text(left), _text(right)
            return f"{first or '*'}{second or '*'}" if first or second else ""
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return "/".join(_steps([left, right]))
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), args=parts) if name in _JOINS:
            return "/".join(_steps(parts))
    return ""


def _steps(parts: list[ast.expr]) -> Iterator[str]:
    """Yield the steps of a path. What is computed at its beginning, such as the script's folder, is left out."""
    texts = [_text(part) for part in parts]
    while texts and not texts[0]:
        del texts[0]
    yield from (text.rstrip("/") or "*" for text in texts)
