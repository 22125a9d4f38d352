"""Finds the values of attributes of a project's classes, where the code shows all that is assigned to them."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

from nfrun.code.bindings import FUNCTIONS, argument_names
from nfrun.code.facts.names import Names, Place, inner_scope
from nfrun.code.facts.path_values import bindings
from nfrun.code.fingerprint import Fingerprints
from nfrun.code.reached_code import Statement
from nfrun.core.values import field, mutable

Values: TypeAlias = list[tuple[ast.expr | None, Place]]  # None is a value that is not known

# Bases and decorators that set no attributes of their own.
_PLAIN = re.compile(r"object|str|int|enum\.\w*Enum|abc\.ABC|typing\.(?:Generic|Protocol)(?:\[\])?")
_ENUM = re.compile(r"enum\.\w*Enum")
_PLAIN_DECORATOR = re.compile(r"enum\.unique|typing\.final")
_HOOKS = frozenset(["__getattribute__", "__getattr__", "__setattr__", "__setstate__", "__new__", "__init_subclass__"])


@mutable
class _Class:
    """A class at the top of a module. `is_plain`: its attributes are only set by code that names them."""

    body: ast.ClassDef
    place: Place
    bases: set[str] = field(default_factory=set)  # those of the project
    is_plain: bool = True
    is_enum: bool = False


class _Store(NamedTuple):
    value: ast.expr | None
    place: Place
    owner: str  # the class in whose method `self` is assigned to, "" if it is another object


class ClassAttributes:
    """Finds the values of attributes in the code that one node reaches: `statements`."""

    def __init__(self, code: Fingerprints, names: Names, statements: Iterable[Statement]) -> None:
        self._code = code
        self._names = names
        self._statements = statements
        self._methods: dict[int, str] = {}  # the class of a function, by its id
        self._bound: dict[int, Counter[str]] = {}  # how often a method binds each name, by its id
        self._stores: dict[str, list[_Store]] = {}  # by the name of the attribute
        self._is_dynamic = False  # attributes are assigned whose names are computed

    def values(self, node: ast.Attribute, place: Place) -> Values:
        """Return all values that an attribute may have, each with its place; [] if nothing is known of it."""
        inner = node.value
        if node.attr == "value" and isinstance(inner, ast.Attribute):
            owner = self._owner(inner.value, place)
            if owner and any(self._classes[name].is_enum for name in self._ancestors(owner)):
                return self._values(owner, inner.attr)
        owner = self._owner(inner, place)
        return self._values(owner, node.attr) if owner else []

    def _owner(self, node: ast.expr, place: Place) -> str:
        """Return the class that an expression is, or is an instance of; "" if it is none of the project."""
        if own := self._of_self(node, place):
            return own
        name = self._names.of(node, place.module, place.scope)
        if value := self._names.value_of(name):  # CONFIG = Config()
            name = self._names.of(value[1], value[0], {})
        name = name.removesuffix("()")
        return name if ":" in name and name in self._classes else ""

    def _of_self(self, node: ast.expr, place: Place) -> str:
        """Return the class of a method's first argument."""
        if not isinstance(node, ast.Name) or not place.functions:
            return ""
        method, *inner = place.functions
        is_own = isinstance(method, FUNCTIONS) and next(iter(argument_names(method)), "") == node.id
        if not is_own or any(node.id in argument_names(part) for part in inner if isinstance(part, ast.Lambda)):
            return ""
        owner = self._methods.get(id(method), "") if self._classes else ""  # `_classes` finds the methods
        if owner and id(method) not in self._bound:
            self._bound[id(method)] = Counter(map(_bound, ast.walk(method)))
        return owner if owner and self._bound[id(method)][node.id] == 1 else ""

    def _values(self, owner: str, attribute: str) -> Values:
        family = self._family(owner)
        classes = [self._classes[name] for name in family]
        if self._is_dynamic or not all(found.is_plain for found in classes):
            return []
        values = [
            (store.value, store.place) for store in self._stores.get(attribute, ()) if store.owner in {"", *family}
        ]
        for found in classes:
            for statement in found.body.body:
                value = _value_in_class(statement, attribute)
                if value is not False:
                    values.append((value, found.place))
        return values

    def _ancestors(self, owner: str) -> set[str]:
        found, left = set[str](), [owner]
        while left:
            if (name := left.pop()) in self._classes and name not in found:
                found.add(name)
                left.extend(self._classes[name].bases)
        return found

    def _family(self, owner: str) -> Set[str]:
        """Return the class, those above and below it, and those above these."""
        lines = {name: self._ancestors(name) for name in self._classes}
        return {above for line in lines.values() if owner in line for above in line}

    @cached_property
    def _classes(self) -> dict[str, _Class]:
        """All classes at the top of modules, by names such as "steps:C". Finds methods and assignments too."""
        statements = {id(statement.definition.body): statement for statement in self._statements}.values()
        classes: dict[str, _Class] = {}
        for statement in statements:
            body = statement.definition.body
            if isinstance(body, ast.ClassDef):
                name = f"{statement.module}:{body.name}"
                made = self._class(body, statement.module)
                made.is_plain &= name not in classes
                classes[name] = made
                self._methods.update((id(part), name) for part in body.body if _has_self(part))
        for statement in statements:
            self._find_stores(statement.definition.body, statement.module)
        for found in classes.values():
            found.is_plain &= all(base in classes for base in found.bases)
        return classes

    def _class(self, body: ast.ClassDef, module: str) -> _Class:
        own = {part.id for part in ast.walk(body) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
        own |= {part.name for part in body.body if isinstance(part, (*FUNCTIONS, ast.ClassDef))}
        found = _Class(body, Place(module, (), dict.fromkeys(own, "")))
        decorators = [self._names.of(part, module, {}) for part in body.decorator_list]
        found.is_plain = not body.keywords and not own & _HOOKS and all(map(_PLAIN_DECORATOR.fullmatch, decorators))
        for base in body.bases:
            name = self._names.of(base, module, {})
            found.is_enum |= _ENUM.fullmatch(name) is not None
            parts = [
                self._names.of(part, module, {})
                for part in ast.walk(base)
                if isinstance(part, ast.Name | ast.Attribute)
            ]
            found.bases.update(part for part in parts if re.fullmatch(r"[\w.]+:\w+", part))
            found.is_plain &= _PLAIN.fullmatch(name) is not None or re.fullmatch(r"[\w.]+:\w+", name) is not None
        return found

    def _find_stores(self, body: ast.AST, module: str) -> None:
        """Find the assignments to attributes in a statement at the top of a module."""
        functions = [body] if not isinstance(body, ast.ClassDef) else body.body
        symbols = self._code.symbols_of(module)
        for function in functions:
            place = Place(module, (), {})
            if isinstance(function, FUNCTIONS):
                scope = inner_scope(function, {}, module, self._names, symbols.package if symbols else "")
                place = Place(module, (function,), scope)
            values = {id(target): value for target, value in bindings(function)}
            inner = {id(part) for nested in _nested(function) for part in ast.walk(nested)}
            for part in ast.walk(function):
                match part:
                    case ast.Attribute(attr="__dict__") | ast.Call(ast.Name("vars"), [_, *_]):
                        self._is_dynamic = True
                    case ast.Attribute(value, name, ast.Store() | ast.Del()):
                        known = values.get(id(part)) if id(part) not in inner else None
                        owner = self._methods.get(id(function), "") if self._is_self(value, function) else ""
                        self._stores.setdefault(name, []).append(_Store(known, place, owner))
                    case ast.Call(ast.Name("setattr") | ast.Attribute(_, "__setattr__"), arguments):
                        named = [str(word.value) for word in arguments[:2] if isinstance(word, ast.Constant)]
                        self._is_dynamic |= not named
                        for name in named:
                            self._stores.setdefault(name, []).append(_Store(None, place, ""))

    @staticmethod
    def _is_self(node: ast.expr, function: ast.AST) -> bool:
        own = next(iter(argument_names(function)), "") if isinstance(function, FUNCTIONS) else ""
        return isinstance(node, ast.Name) and node.id == own


def _has_self(part: ast.AST) -> bool:
    """Return whether a statement in a class is a method whose first argument is an instance or the class."""
    if not isinstance(part, FUNCTIONS) or not (*part.args.posonlyargs, *part.args.args):
        return False
    return not any(isinstance(word, ast.Name) and word.id == "staticmethod" for word in part.decorator_list)


def _nested(function: ast.AST) -> Iterator[ast.AST]:
    inner = (*FUNCTIONS, ast.Lambda, ast.ClassDef)
    return (part for part in ast.walk(function) if part is not function and isinstance(part, inner))


def _bound(part: ast.AST) -> str:
    """Return the name that an argument or a variable binds, "" if a part of the code binds none."""
    return part.arg if isinstance(part, ast.arg) else _stored(part) if isinstance(part, ast.Name) else ""


def _stored(name: ast.Name) -> str:
    return "" if isinstance(name.ctx, ast.Load) else name.id


def _value_in_class(statement: ast.stmt, attribute: str) -> ast.expr | Literal[False] | None:
    """Return what a statement of a class assigns to an attribute, None if that is not known, False if nothing."""
    match statement:
        case ast.Assign([ast.Name(name)], value) if name == attribute:
            return value
        case ast.AnnAssign(ast.Name(name), _, value) if name == attribute:
            return value or False
        case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
            return None if name == attribute else False
    names = (_stored(part) for part in ast.walk(statement) if isinstance(part, ast.Name))
    imported = (part.asname or part.name for part in ast.walk(statement) if isinstance(part, ast.alias))
    return None if attribute in {*names, *imported} else False
