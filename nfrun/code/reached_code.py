"""Finds the project code that a function may reach, and digests it. Reads sources; imports and runs nothing.

A module whose code cannot be followed counts as a whole. Not followed: code of installed packages, and changes that
other nodes make to the same modules while they run. Only a run whose code has changed imports this.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

from nfrun.code.bindings import (
    ANYWHERE_ATTRS,
    DYNAMIC_ATTRS,
    DYNAMIC_NAMES,
    FUNCTIONS,
    IMPORT_FUNCTIONS,
    Definition,
    Imported,
    Symbols,
    all_imports,
    binds,
    dump,
    finds_packages,
    imports_of,
    last_name,
    parts_of,
    scope,
    symbols_of,
)
from nfrun.code.effects import (
    changes,
    has_collection,
    makes_new,
    may_change,
    only_reads,
    registers,
    run_on_import,
)
from nfrun.code.module_index import ModuleIndex, listing_name
from nfrun.code.names_reader import ignored_warnings, parse
from nfrun.core.values import field, frozen, mutable, replace
from nfrun.system.checksums import file_checksum, text_checksum

# Functions and methods that look up what a text names: variables, which are tables, or anything, in an expression.
QUERIES = {"sql", "execute", "executemany", "from_query", "read_sql", "read_sql_query", "sqldf"}
EXPRESSIONS = {"query", "eval", "evaluate"}
# Words of a process of Python that runs a module or code by text: in one text, or the first of several.
_STARTS_MODULE = re.compile(r"\bpython[\d.]*\b.*\s-[mc]\b", re.DOTALL)
_PYTHON = re.compile(r"(.*/)?python[\d.]*")
_WORD = re.compile(r"[^\W\d][\w.]*")

_NAMES = (ast.Attribute, ast.Name)
_IMPORTS = (ast.Import, ast.ImportFrom)


@mutable
class Uses:
    """The names that a statement uses: `names` of its module and own `imports`, with attributes ("helpers.clean").

    `loads` are modules that it imports. `words` stand in its texts, and may name variables, classes and imports, as
    in an annotation; if it `is_query`, functions too. `queries` are functions that get a computed text, in which they
    look for names. `is_dynamic`: it may reach anything in its module, and `texts` may name modules. `loads_any`: it may
    load any module, by a computed name.
    """

    names: dict[str, None] = field(default_factory=dict)
    imports: dict[tuple[Imported, str], None] = field(default_factory=dict)
    loads: dict[str, None] = field(default_factory=dict)
    words: dict[str, None] = field(default_factory=dict)
    is_query: bool = False
    queries: dict[str, None] = field(default_factory=dict)
    is_dynamic: bool = False
    texts: dict[str, None] = field(default_factory=dict)
    loads_any: bool = False


def uses(body: ast.AST, package: str) -> Uses:
    """Collect what a statement uses, without names that are local to functions and comprehensions in it."""
    found = Uses()
    imported_here: dict[str, list[Imported]] = {}
    read: list[tuple[str, str, ast.Call | None]] = []  # names, with their attributes and the call of each
    left: list[ast.AST] = [body]
    computed: list[ast.expr] = []  # functions that get a computed query
    calls: dict[ast.AST, ast.Call] = {}  # by the called expression
    while left:
        node = left.pop()
        if isinstance(node, _NAMES):
            name, rest, owner = _path(node)
            read.append((name, rest, calls.get(node)))
            left += owner
        elif isinstance(node, _IMPORTS):
            for name, imported in imports_of(node, package):
                found.loads.update(dict.fromkeys(imported.loads))
                imported_here.setdefault(name, []).append(imported)
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found.loads_any = True
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a docstring
            found.texts.update({node.value.value: None} if isinstance(node.value.value, str) else {})
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                found.texts[node.value] = None
                found.words.update(dict.fromkeys(_WORD.findall(node.value)))
        else:
            left += parts_of(node)
        if isinstance(node, ast.Call):
            calls[node.func] = node
            if last_name(node.func) in QUERIES | EXPRESSIONS and _given(node):
                found.is_query = True
                computed += [] if _is_literal(node) else [node.func]
        if isinstance(node, ast.ClassDef):  # its imports are used as its attributes
            bound = (imported for part in scope(node.body) for _, imported in binds(part, package))
            found.imports.update(((imported, ""), None) for imported in bound if imported)
    local = _local_names(body)
    for name, bound_here in imported_here.items():
        if name not in local:  # bound in the module by a loop or `global`: any code may use it
            found.imports.update(((imported, ""), None) for imported in bound_here)
    for name, rest, call in read:
        _take_name(name, rest, call, imported_here.get(name, []), found, local)
    for function in computed:
        head, rest, _ = _path(function) if isinstance(function, _NAMES) else ("", "", [])
        is_known = head and head not in local
        found.queries[".".join(filter(None, [head, rest])) if is_known else f".{last_name(function)}"] = None
    for word in found.words:
        head, _, rest = word.partition(".")
        found.imports.update(((imported, rest), None) for imported in imported_here.get(head, ()))
    has_option = not found.texts.keys().isdisjoint(("-m", "-c"))
    if any(_STARTS_MODULE.search(text) or (has_option and _PYTHON.fullmatch(text)) for text in found.texts):
        found.loads_any = True
    return found


def is_by_name(name: str) -> bool:
    """Return whether the function of this dotted name imports the module that its argument names."""
    return name.rpartition(".")[2] in IMPORT_FUNCTIONS


def _local_names(body: ast.AST) -> Set[str]:
    """Return the names that functions and comprehensions bind, as Python's compiler sees it; none of the module."""
    place: dict[str, Any] = {"lineno": 1, "col_offset": 0, "end_lineno": 1, "end_col_offset": 0}
    statement = body.value if isinstance(body, ast.keyword) else body
    if isinstance(statement, ast.withitem):
        statement = ast.With([statement], [ast.Pass(**place)], **place)
    elif isinstance(statement, ast.expr):
        statement = ast.Expr(statement, **place)
    tree = statement if isinstance(statement, ast.Module) else ast.Module([statement], [])  # type: ignore[list-item]
    local, outer = set[str](), set[str]()
    with suppress(SyntaxError, TypeError, ValueError, RecursionError, MemoryError), ignored_warnings():
        left = [compile(tree, "", "exec", dont_inherit=True, optimize=0)]
        while left:
            code = left.pop()
            local.update(code.co_varnames, code.co_cellvars)
            outer.update(code.co_names)
            left += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return local - outer


def _path(node: ast.Attribute | ast.Name) -> tuple[str, str, list[ast.AST]]:
    """Return a name, "" if there is none, its attributes, and the attributes' owner if that is not a name."""
    path: list[str] = []
    part: ast.expr = node
    while isinstance(part, ast.Attribute):
        path.insert(0, part.attr)
        part = part.value
    return (part.id, ".".join(path), []) if isinstance(part, ast.Name) else ("", ".".join(path), [part])


def _take_name(
    head: str, rest: str, call: ast.Call | None, bound: list[Imported], found: Uses, local: Set[str]
) -> None:
    """Record a name with its attributes, called by `call`; `bound` are the imports of the statement that bind it."""
    path = rest.split(".")
    is_dynamic = head in DYNAMIC_NAMES and head not in local and not finds_packages(f"{head}.{rest}")
    found.is_dynamic |= is_dynamic or not DYNAMIC_ATTRS.isdisjoint({head, *path})
    if is_by_name(rest or head) or any(imported.name in IMPORT_FUNCTIONS for imported in bound):
        found.loads_any |= not _names_module(call)
    found.loads_any |= (
        any(imported.loads_more(rest) for imported in bound if not is_by_name(rest))
        or (head in ("exec", "eval") and head not in local and not _is_literal(call))
        or not ANYWHERE_ATTRS.isdisjoint(path)
    )
    found.imports.update(((imported, rest), None) for imported in bound)
    if head and head not in local:
        found.names[".".join(filter(None, [head, rest]))] = None


def _given(call: ast.Call | None) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)] if call is not None else []


def _is_literal(call: ast.Call | None) -> bool:
    """Return whether the text that a call gets stands in the code, so that all names in it are seen."""
    given = _given(call)
    if len(given) > 1 and isinstance(given[1], ast.Name | ast.JoinedStr):  # relation.query("t", text)
        return False
    return any(isinstance(part, ast.Constant) or _has_literal_names(part) for part in given[:1])


def _has_literal_names(text: ast.expr) -> bool:
    """Return whether a computed part of an f-string is inside of quotes, where it can name no variable."""
    if not isinstance(text, ast.JoinedStr):
        return False
    parts = (str(part.value) if isinstance(part, ast.Constant) else "\0" for part in text.values)
    return "\0" not in re.sub("'[^']*'", "", "".join(parts))


def _names_module(call: ast.Call | None) -> bool:
    """Return whether a call names the module that it imports, if it is relative, then from its own package."""
    given = _given(call)
    parts = [part for argument in given for part in getattr(argument, "elts", [argument])]
    text = getattr(given[0], "value", "") if given else ".."
    own = ("__name__", "__package__")
    known = all(isinstance(part, ast.Constant) or getattr(part, "id", "") in own for part in parts)
    return known and isinstance(text, str) and not text.startswith("..")


_WHOLE = "*"
_ON_IMPORT = "import"  # a keyword, so no definition has this name
_BELOW = "**"
_PATH = re.compile(r"[^\W\d]\w*([.:][^\W\d]\w*)+")  # the path of something in a module
# What makes Arrow tables of other memory, or other objects of that of Arrow.
_HOLDERS = re.compile(
    r"\b(py_buffer|foreign_buffer|from_buffers|allocate_buffer|BufferReader|PythonFile|input_stream|(create_)?memory_map"
    r"|open_(stream|file)|read_(message|record_batch)|_import_from_c|from_dlpack|to_(numpy|pandas)|__array__|df"
    r"|fetch(_?df|numpy))\b"
)

Item = tuple[str, str]  # a module, and a name in it with its attributes: "clean", "helpers.clean", _WHOLE, …


class Statement(NamedTuple):
    """A top-level statement of a module, other than an import, that a function may reach."""

    module: str
    definition: Definition


@frozen
class Source:
    """A module of the project. Without a `tree`, the code cannot be analysed and has one `digest` as a whole.

    `words` are then the words in the text, which may be names of modules. `holds_memory`: its text names something by
    which code may hold the memory of a table that it returns.
    """

    symbols: Symbols
    tree: ast.Module | None = None
    digest: str = ""
    words: Iterable[str] = ()
    is_package: bool = False
    file: Path | None = None
    holds_memory: bool = False


@frozen
class _Step:
    """The digest of an item, "" if it has no code of its own, the items that it leads to, and its statements."""

    digest: str = ""
    following: Sequence[Item] = ()
    definitions: Sequence[Definition] = ()


class ReachedCode:
    """Finds the code that functions may reach, and its digests. Reads each module once. `index` finds the modules."""

    def __init__(self, index: ModuleIndex) -> None:
        self._index = index
        self._read: dict[str, Source | None] = {}  # the modules that were asked for, None for one not of the project
        self._steps: dict[Item, _Step] = {}
        self._changing: dict[Item, bool] = {}
        self._imports: dict[str, Sequence[str]] = {}  # by module, what all of its code imports
        self._items: dict[Item, Mapping[str, tuple[str, ...]]] = {}  # by module, the names in it that are reached
        self._groups: dict[tuple[str, tuple[str, ...]], Sequence[Statement]] = {}

    def digests(self, start: Item) -> tuple[Mapping[str, str], Sequence[str]]:
        """Return the digests of the items that an item leads to, and the modules and lists that were looked up."""
        reached = self.names(start)
        names = dict.fromkeys(name for module in reached for name in _with_packages(module))
        lists = (module for module, names in reached.items() if _BELOW in names)
        lookups = [*(name for name in names if name in self._read), *map(listing_name, lists)]
        items = ((module, name) for module, names in reached.items() for name in names)
        return {":".join(item): digest for item in items if (digest := self._steps[item].digest)}, lookups

    def names(self, start: Item) -> Mapping[str, tuple[str, ...]]:
        """Return what an item leads to: the names by module. The result is cached."""
        if start not in self._items:
            self._items[start] = self._names_in(self._reach([start]))
        return self._items[start]

    def statements(self, module: str, function: str, *, by_name: bool = False) -> Sequence[Sequence[Statement]]:
        """Return the statements that a function may reach: those of each module, by position.

        Functions that reach the same statements of a module have the same object for them. Of a module that counts as a
        whole, these are all its statements; none if it cannot be parsed. With `by_name`, without modules that are among
        them only since code may load any module.
        """
        start = module, function
        names = self.names(start)
        if by_name and _may_load_any(names):
            names = self._names_in(self._reach([start], skip=("", _BELOW)))
        groups = (self._group(*reached) for reached in names.items())
        return [group for group in groups if group]

    def imports_only(self, packages: Set[str], module: str, function: str) -> bool:
        """Return whether the modules that a function reaches import no other packages, and hold no memory of tables.

        All of their code counts, also functions that are not reached: they may keep what others return.
        """
        names, known = self.names((module, function)), packages | sys.stdlib_module_names
        seen, left = {""}, [] if (loads_any := _may_load_any(names)) else list(names)
        while left:
            module = left.pop()
            if module in seen:
                continue
            seen.add(module)
            source, top = self._source(module), module.partition(".")[0]
            if source is None:
                if top not in known and self._source(top) is None:  # a name in a module is no module
                    return False
            elif source.tree is None or source.holds_memory:
                return False
            else:
                if module not in self._imports:
                    self._imports[module] = list(all_imports(source.tree, source.symbols.package))
                left += self._imports[module]
        return not loads_any

    def file_of(self, module: str) -> Path | None:
        """Return the file of a module of the project; None if it has no file or is not of the project."""
        source = self._source(module)
        return source.file if source is not None else None

    def symbols_of(self, module: str) -> Symbols | None:
        """Return the definitions and imports at the top of a module; None if it is not of the project."""
        source = self._source(module)
        return source.symbols if source is not None else None

    def _source(self, module: str) -> Source | None:
        """Return the module if it and all packages around it belong to the project, else None."""
        source = None
        for name in _with_packages(module):
            if name not in self._read:
                self._read[name] = self._read_source(name)
            source = self._read[name]
            if source is None:
                break
        return source

    def _read_source(self, module: str) -> Source | None:
        spec = self._index.find(module)
        if spec is None:
            return None
        is_package = spec.submodule_search_locations is not None
        package = module if is_package else module.rpartition(".")[0]
        nothing = ast.Module([], [])
        if not spec.has_location or spec.origin is None:  # built-in, or a folder without an __init__.py
            return Source(symbols_of(nothing, package), nothing, is_package=True) if is_package else None
        path = Path(spec.origin)
        whole = Source(
            symbols_of(nothing, package), digest="unreadable", is_package=is_package, file=path, holds_memory=True
        )
        try:
            if path.suffix != ".py":
                return replace(whole, digest=file_checksum(path))
            data = path.read_bytes()
            text = data.decode("latin-1")
            tree = parse(data, spec.origin)
        except (OSError, SyntaxError, ValueError):
            return whole
        except (RecursionError, MemoryError):  # nested too deeply for the parser, but perhaps not for an import
            return replace(whole, digest=text_checksum(text), words=dict.fromkeys(re.findall(r"[.\w]+", text)))
        holds_memory = _HOLDERS.search(text) is not None
        return Source(symbols_of(tree, package), tree, is_package=is_package, file=path, holds_memory=holds_memory)

    def _names_in(self, reached: Iterable[tuple[Item, _Step]]) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for (module, name), _ in reached:
            found.setdefault(module, []).append(name)
        return {module: tuple(sorted(found[module])) for module in sorted(found)}

    def _group(self, module: str, names: tuple[str, ...]) -> Sequence[Statement]:
        key = module, names
        if key not in self._groups:
            reached = (definition for name in names for definition in self._steps[module, name].definitions)
            found = {id(definition.body): Statement(module, definition) for definition in reached}
            self._groups[key] = sorted(found.values(), key=lambda statement: statement.definition.at)
        return self._groups[key]

    def _reach(self, items: Iterable[Item], skip: str | Item = "") -> Iterator[tuple[Item, _Step]]:
        """Yield the items and all items that they lead to, except `skip`, or those that have it as their name."""
        seen: set[Item] = set()
        wholes: set[str] = set()  # modules
        left, whole = list(items), list[Item]()  # whole modules first: then their definitions need not be read again
        while whole or left:
            item = whole.pop() if whole else left.pop()
            module, name = item
            if item in seen or (skip and skip in (item, name)) or (module in wholes and self._is_definition(*item)):
                continue
            seen.add(item)
            if name == _WHOLE:
                wholes.add(module)
            if (step := self._steps.get(item)) is None:
                step = self._steps[item] = self._step(module, name)
            yield item, step
            for following in step.following:
                if following not in seen:
                    (whole if following[1] in (_WHOLE, _BELOW) else left).append(following)

    def _is_definition(self, module: str, name: str) -> bool:
        source = self._source(module)
        return source is not None and source.tree is not None and name in source.symbols.definitions

    # -- one step ----------------------------------------------------------------------------------------------------

    def _step(self, module: str, name: str) -> _Step:
        if name == _BELOW:
            return self._step_below(module)
        source = self._source(module)
        if source is None:
            return _Step()
        symbols = source.symbols
        if name == _ON_IMPORT:
            definitions = sorted(
                [*symbols.module_body, *self._registered(module, symbols)], key=lambda definition: definition.at
            )
            step = self._digest_definitions(module, symbols, definitions)
            loads = [(load, _ON_IMPORT) for load in (*symbols.loads, module.rpartition(".")[0])]
            following = [*step.following, *loads, *([(module, _WHOLE)] if source.tree is None else ())]
            return replace(step, following=following)
        if source.tree is None:
            named = _named(source.words, symbols.package)
            return _Step(source.digest if name == _WHOLE else "", [(module, _ON_IMPORT), *named])
        if name == _WHOLE:
            digest = text_checksum(dump(source.tree)) if source.tree.body else ""
            loads = [(load, _WHOLE) for load in all_imports(source.tree, symbols.package)]
            inner = [definition for found in symbols.definitions.values() for definition in found]
            return _Step(
                digest,
                [(module, _ON_IMPORT), *loads, *self._follow(module, symbols, uses(source.tree, symbols.package))],
                [*inner, *symbols.module_body],
            )
        step = self._digest_definitions(module, symbols, symbols.definitions.get(name, ()))
        found = [item for item in self._resolve(module, name) if item != (module, name)]  # imports may go in circles
        following = [(module, _ON_IMPORT), *step.following, *found]
        if not found and name not in symbols.definitions:  # the package may load it when it is asked for
            following += [
                (module, _WHOLE),
                *([(module, _BELOW)] if source.is_package and not name.startswith("__") else ()),
            ]
        return replace(step, following=following)

    def _step_below(self, package: str) -> _Step:
        if package and self._source(package) is None:
            return _Step()
        modules, digest = self._index.modules_below(package)
        return _Step(digest, [(module, _WHOLE) for module in (*modules, package) if module])

    def _digest_definitions(self, module: str, symbols: Symbols, definitions: Sequence[Definition]) -> _Step:
        """Digest definitions of a module together with the imports behind their names, and find where they lead."""
        text = [str(imported) for imported in symbols.star_imports] if definitions else []
        following: list[Item] = []
        for definition in definitions:
            used = uses(definition.body, symbols.package)
            text.append(f"{definition.where} {dump(definition.body)}")
            words = (word for word in used.words if self._may_name(symbols, word))
            for name in sorted({name.partition(".")[0] for name in (*used.names, *words)}):
                imported = symbols.imports.get(name, [])
                text.extend(f"{name} is {what} {line.where}" for what, line in imported)
                bound = [*symbols.definitions.get(name, ()), *(line for _, line in imported)]
                if len(bound) > 1:  # which binding is in effect depends on the order
                    text.append(f"{name} {sum(other.at < definition.at for other in bound)}")
            following.extend(self._follow(module, symbols, used))
        digest = text_checksum("\n".join(text)) if text else ""
        return _Step(digest, list(dict.fromkeys(following)), definitions)

    def _follow(self, module: str, symbols: Symbols, used: Uses) -> Iterator[Item]:
        """Yield the items that the used names, imports and computed module names lead to."""
        queries = {name.rpartition(".")[2] for name in used.queries if not self._is_own(module, name)}
        finds, anywhere = False, used.is_dynamic
        loads_any = used.loads_any or any(imported.loads_more("") for imported in symbols.star_imports)
        imports = list(used.imports)
        for name in used.names:
            yield from self._resolve(module, name)
            head, _, rest = name.partition(".")
            bound = [imported for imported, _ in symbols.imports.get(head, ())]
            imports += [(imported, rest) for imported in bound]
            loads_any |= not is_by_name(name) and any(imported.loads_more(rest) for imported in bound)
        for imported, rest in imports:
            anywhere |= imported.is_dynamic(rest)
            finds |= imported.finds(rest)
            if self._source(imported.module) is None:
                queries.add(imported.name)
        for imported, rest in used.imports:
            yield from _targets(imported, rest)
        for word in used.words:
            if self._may_name(symbols, word):
                items = self._resolve(module, word)
                yield from (item for item in items if used.is_query or not self._is_function(*item))
        yield from ((load, _ON_IMPORT) for load in used.loads)
        for text in filter(_PATH.fullmatch, used.texts):  # "helpers.Handler" in a configuration
            first, rest = re.split("[.:]", text, maxsplit=1)
            yield first, rest.replace(":", ".") if self._may_have(first, rest) else _ON_IMPORT  # or it names a file
        if anywhere or queries & EXPRESSIONS:
            yield module, _WHOLE
            yield from _named([*used.texts, *used.words], symbols.package)
        elif queries & QUERIES:
            yield from self._variables(module)
        if finds:
            yield from ((text, _ON_IMPORT) for text in used.texts if text.isidentifier())
        if loads_any:  # the module's package may lie outside the pipeline's folder
            yield from (("", _BELOW), (module.partition(".")[0], _BELOW))

    def _variables(self, module: str) -> Iterator[Item]:
        """Yield the variables of a module that a query may read as tables, also those of other modules in it."""
        tops = ((own, self.symbols_of(own)) for own in (module, *self._stars(module)))
        left = [(own, name) for own, top in tops if top for name in (*top.definitions, *top.imports)]
        seen = set[Item]()
        while left:
            item = left.pop()
            source, name = self._source(item[0]), item[1].partition(".")[0]
            if source is None or item in seen:
                continue
            seen.add(item)
            definitions = source.symbols.definitions.get(name, ())
            if any(getattr(each.body, "name", "") != name for each in definitions) and name != "__doc__":
                yield item[0], name
            elif not definitions and name != _WHOLE:
                left += self._resolve(item[0], name)

    def _may_have(self, module: str, path: str) -> bool:
        """Return whether a module may have something at this path. It may make names when it runs, or be a package."""
        source = self._source(module)
        if source is None or source.tree is None or source.is_package or self._resolve(module, path.replace(":", ".")):
            return True
        return "__getattr__" in source.symbols.definitions or uses(source.tree, source.symbols.package).is_dynamic

    def _may_name(self, symbols: Symbols, word: str) -> bool:
        """Return whether a word of a text may be a name at the top of a module with these symbols."""
        head = word.partition(".")[0]
        return head in symbols.definitions or head in symbols.imports or bool(symbols.star_imports)

    def _is_own(self, module: str, name: str) -> bool:
        """Return whether a name with its attributes is that of a function of the project, which is followed."""
        return any(self._is_function(*item) for item in self._resolve(module, name))

    def _is_function(self, module: str, name: str) -> bool:
        """Return whether a name is that of a function."""
        source = self._source(module)
        found = source.symbols.definitions.get(name, ()) if source is not None else ()
        return bool(found) and all(isinstance(definition.body, FUNCTIONS) for definition in found)

    def _resolve(self, module: str, name: str) -> list[Item]:
        """Return the items that a name with its attributes leads to; [] if the module has no such name."""
        found = self._resolve_own(module, name)
        for star in self._stars(module):
            others = self._resolve_own(star, name)
            found.extend([*others, *self._resolve_own(star, "__all__")] if others else ())
        return found

    def _resolve_own(self, module: str, name: str) -> list[Item]:
        """Resolve a name as `_resolve` does, without star imports."""
        source = self._source(module)
        if source is None:
            return []
        head, _, rest = name.partition(".")
        symbols = source.symbols
        found = [(module, head)] if head in symbols.definitions else [(module, _WHOLE)] if source.tree is None else []
        bound = [imported for imported, _ in symbols.imports.get(head, ())]
        for imported in bound:
            found.extend(_targets(imported, rest))
        inner = f"{module}.{head}"
        if source.is_package and all(imported.module != inner for imported in bound) and self._source(inner):
            found.append((inner, rest or _WHOLE))
        return found

    def _stars(self, module: str) -> dict[str, None]:
        """Return the modules that the module star-imports, directly or through others."""
        found: dict[str, None] = {}
        left = [module]
        while left:
            source = self._source(left.pop())
            new = [imported.module for imported in source.symbols.star_imports] if source is not None else []
            left.extend(star for star in new if star not in found)
            found.update(dict.fromkeys(new))
        return found

    def _registered(self, module: str, symbols: Symbols) -> Iterator[Definition]:
        """Yield the definitions that may change objects of other code on import, and so count without being named."""
        for definition in dict.fromkeys(
            definition for definitions in symbols.definitions.values() for definition in definitions
        ):
            if any(self._changes_others(module, symbols, part) for part in run_on_import(definition.body)):
                yield definition

    def _changes_others(self, module: str, symbols: Symbols, part: ast.AST) -> bool:
        """Return whether code that runs on import may change an object that other code uses."""
        if registers(part) or changes(part):
            return True
        items = [] if only_reads(part) else self._follow(module, symbols, uses(part, symbols.package))
        return any(self._may_change(*item) for item, _ in self._reach(items, skip=_ON_IMPORT)) or any(
            self._hands_on(module, symbols, call) for call in ast.walk(part) if isinstance(call, ast.Call)
        )

    def _hands_on(self, module: str, symbols: Symbols, call: ast.Call) -> bool:
        """Return whether a call hands a list, mapping or set that the project has to a library, which may change it."""
        function = self._follow(module, symbols, uses(call.func, symbols.package))
        if makes_new(call, symbols) or any(self._source(inner) for inner, _ in function):
            return False
        given = (uses(part, symbols.package) for part in (*call.args, *call.keywords))
        items = [item for used in given for item in self._follow(module, symbols, used)]
        reached = self._reach(items, skip=_ON_IMPORT)
        return any(has_collection(definition.body) for _, step in reached for definition in step.definitions)

    def _may_change(self, module: str, name: str) -> bool:
        """Return whether a definition that an import uses may change objects of other code. A whole module may."""
        source = self._source(module)
        if source is None or name == _WHOLE:
            return source is not None
        if (module, name) not in self._changing:
            bodies = [definition.body for definition in source.symbols.definitions.get(name, ())]
            self._changing[module, name] = any(may_change(body, source.symbols) for body in bodies)
        return self._changing[module, name]


def _with_packages(module: str) -> Iterator[str]:
    """Yield the packages around a module, outermost first, then the module itself."""
    return accumulate(module.split("."), "{}.{}".format)


def _may_load_any(names: Mapping[str, tuple[str, ...]]) -> bool:
    """Return whether the code that reaches these names, by module, may load any module of the project."""
    return _BELOW in names.get("", ())


def _targets(imported: Imported, rest: str) -> Iterator[Item]:
    """Yield the items that an import leads to; `rest` are the attributes after its name."""
    if imported.name:
        yield imported.module, ".".join(filter(None, (imported.name, rest)))
    elif imported.first:
        first, _, inner = imported.module.partition(".")
        yield first, rest or _WHOLE
        if inner and not rest:
            yield imported.module, _WHOLE
    else:
        yield imported.module, rest or _WHOLE


def _named(words: Iterable[str], package: str) -> Iterator[Item]:
    """Yield the modules that words may name, absolute or relative to a package."""
    for word in words:
        if word.replace(".", "_").isidentifier():
            yield from ((word, _WHOLE), (f"{package}.{word.lstrip('.')}", _WHOLE))
