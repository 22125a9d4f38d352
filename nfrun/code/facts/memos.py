"""Recognizes functions that keep their results in a variable of their module, by their arguments."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from nfrun.code.bindings import FUNCTIONS


def keeps_results(function: ast.AST, variable: str) -> bool:
    """Return whether a function uses a variable only to keep what it has computed from nothing but its arguments.

    Then a value that is kept is the same whoever computes it first. Two forms are recognized: `if k not in KEPT:
    KEPT[k] = …`, where `k` is all arguments, and `if KEPT is None: KEPT = …` in a function without arguments.
    """
    if not isinstance(function, FUNCTIONS):
        return False
    uses = [node for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == variable]
    memo = _Memo(function, variable)
    return memo.stores_are_guarded(function.body, False) and memo.stores > 0 and memo.known == len(uses)


class _Memo:
    """Counts the uses of a variable in a function that are `known`, and those that store a value."""

    def __init__(self, function: ast.FunctionDef | ast.AsyncFunctionDef, variable: str) -> None:
        self._variable = variable
        self._arguments = {argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)}
        changed = (node.id for node in ast.walk(function) if isinstance(node, ast.Name) and _is_stored(node))
        self._is_plain = self._arguments.isdisjoint(changed)
        self.known = self.stores = 0

    def stores_are_guarded(self, body: Sequence[ast.stmt], guarded: bool) -> bool:
        """Return whether all stores of the statements happen only while there is no value."""
        for statement in body:
            kept = self._tested(statement.test) if isinstance(statement, ast.If) else None
            if isinstance(statement, ast.If) and kept is not None:
                branches = (statement.orelse, statement.body) if kept else (statement.body, statement.orelse)
                if not self.stores_are_guarded(branches[0], True) or not self.stores_are_guarded(branches[1], guarded):
                    return False
                guarded = guarded or (kept and isinstance(statement.body[-1], ast.Return))
            elif not self._is_known(statement, guarded):
                return False
        return True

    def _tested(self, test: ast.expr) -> bool | None:
        """Return True for a test that there is a value, False for a test that there is none, None for any other."""
        match test:
            case ast.Compare(key, [ast.In() | ast.NotIn() as operator], [ast.Name(self._variable)]) if self._is_key(
                key
            ):
                kept = isinstance(operator, ast.In)
            case ast.Compare(ast.Name(self._variable), [ast.Is() | ast.IsNot() as operator], [ast.Constant(None)]):
                kept = isinstance(operator, ast.IsNot)
            case ast.UnaryOp(ast.Not(), ast.Name(self._variable)):
                kept = False
            case _:
                return None
        self.known += 1
        return kept

    def _is_known(self, statement: ast.stmt, guarded: bool) -> bool:
        """Count the uses in a statement; return False if it stores a value unguarded, or in another way."""
        match statement:
            case ast.Assign([ast.Subscript(ast.Name(self._variable), key), *others]) if self._is_key(key):
                pass
            case ast.Assign([ast.Name(self._variable), *others]) if not self._arguments:
                pass
            case ast.Return(ast.Name(self._variable)) if not self._arguments:
                self.known += 1
                return True
            case _:
                reads = [node for node in ast.walk(statement) if isinstance(node, ast.Subscript)]
                keys = [node.slice for node in reads if getattr(node.value, "id", "") == self._variable]
                self.known += sum(self._is_key(key) for key in keys)
                return not any(_is_stored(node) and self._is_in(node) for node in reads)
        self.known += 1
        self.stores += 1
        return guarded and not others and not self._is_in(statement.value)

    def _is_in(self, expression: ast.AST) -> bool:
        return any(isinstance(node, ast.Name) and node.id == self._variable for node in ast.walk(expression))

    def _is_key(self, key: ast.expr) -> bool:
        """Return whether a key has all arguments in it, as they are."""
        parts = key.elts if isinstance(key, ast.Tuple) else [key]
        names = {part.id for part in parts if isinstance(part, ast.Name)}
        return self._is_plain and bool(names) and self._arguments <= names and len(names) == len(parts)


def _is_stored(node: ast.Name | ast.Subscript) -> bool:
    return not isinstance(node.ctx, ast.Load)
