"""Tells what code a function may reach in the project, as digests by piece. Reads sources; imports and runs nothing.

Pieces are named "module:name", a whole module "module:*", what runs when one is imported "module:import", and which
modules there are below one "module:**"; below "" are those of the project. What cannot be followed counts as a whole:
better that a node runs once too often than that it is reused when it is stale. Not followed: what
installed packages do, and what other nodes do to the same modules while they run.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import itemgetter
from pathlib import Path

from nfrun.code.module_index import ModuleIndex, modules_prefix
from nfrun.code.symbols import (
    Definition,
    Imported,
    Symbols,
    Uses,
    all_imports,
    dump,
    is_by_name,
    may_remember,
    symbols_of,
    told_on_import,
    uses,
)
from nfrun.system.checksums import file_checksum, text_checksum

_WHOLE = "*"
_ON_IMPORT = "import"  # no name of Python's, so no piece can be called so
_BELOW = "**"

Item = tuple[str, str]  # a module, and a name in it with what follows: "clean", "helpers.clean", _WHOLE, …


@dataclass(frozen=True, slots=True)
class _Source:
    """A module of the project: what it defines; no tree but a digest, and words that may be of modules, where
    only the whole of it can be told."""

    defines: Symbols
    tree: ast.Module | None = None
    digest: str = ""
    words: Iterable[str] = ()
    is_package: bool = False


@dataclass(frozen=True, slots=True)
class _Step:
    """What an item is, if anything itself, and where it leads next."""

    digest: str = ""
    following: Sequence[Item] = ()


class Fingerprints:
    """Reads each module once. `folder` is the pipeline's, searched before the places where Python looks."""

    def __init__(self, folder: Path) -> None:
        self._module_index = ModuleIndex(folder)
        self._sources: dict[str, _Source | None] = {}
        self._steps: dict[Item, _Step] = {}
        self._found: dict[Item, Mapping[str, str]] = {}
        self._asked: dict[Item, list[str]] = {}  # the modules that were looked for, whether there are such or not

    def of(self, module: str, function: str) -> Mapping[str, str]:
        """By "module:name", the digests of the function and of all of the project that it may reach."""
        start = module, function
        if start not in self._found:
            reached = sorted(self._reach([start]), key=itemgetter(0))
            names = dict.fromkeys(name for (module, _), _ in reached for name in _with_packages(module))
            lists = (module for (module, name), _ in reached if name == _BELOW)
            self._asked[start] = [*(name for name in names if name in self._sources), *map(modules_prefix, lists)]
            self._found[start] = {":".join(item): step.digest for item, step in reached if step.digest}
        return self._found[start]

    def is_current(self, module: str, function: str) -> bool:
        """Whether `of` these would still be the same, as nothing of it was changed, came or went; see `look_again`."""
        return self._module_index.hold(self._asked.get((module, function), ()))

    def refresh(self) -> None:
        """What held may hold no more."""
        self._module_index.refresh()

    def _reach(self, items: Iterable[Item], skip: str = "") -> Iterator[tuple[Item, _Step]]:
        """All that the items lead to, and they themselves, without what is called `skip`."""
        seen: set[Item] = set()
        left = list(items)
        while left:
            item = left.pop()
            if item not in seen and item[1] != skip:
                seen.add(item)
                if item not in self._steps:
                    self._steps[item] = self._step(*item)
                yield item, self._steps[item]
                left.extend(self._steps[item].following)

    # -- one step ----------------------------------------------------------------------------------------------------

    def _step(self, module: str, name: str) -> _Step:
        if name == _BELOW:
            return self._step_below(module)
        source = self._source(module)
        if source is None:
            return _Step()
        defines = source.defines
        if name == _ON_IMPORT:
            pieces = sorted([*defines.module_body, *self._registered(module, defines)], key=lambda piece: piece.at)
            step = self._look_at(module, defines, pieces)
            loads = [(load, _ON_IMPORT) for load in (*defines.loads, module.rpartition(".")[0])]
            return _Step(step.digest, [*step.following, *loads, *([(module, _WHOLE)] if source.tree is None else ())])
        if source.tree is None:
            named = _named(source.words, defines.package)
            return _Step(source.digest if name == _WHOLE else "", [(module, _ON_IMPORT), *named])
        if name == _WHOLE:
            digest = text_checksum(dump(source.tree)) if source.tree.body else ""
            loads = [(load, _WHOLE) for load in all_imports(source.tree, defines.package)]
            return _Step(
                digest, [(module, _ON_IMPORT), *loads, *self._lead(module, defines, uses(source.tree, defines.package))]
            )
        step = self._look_at(module, defines, defines.definitions.get(name, ()))
        found = [item for item in self._find(module, name) if item != (module, name)]  # imports may go in circles
        lost = not found and name not in defines.definitions
        return _Step(
            step.digest, [(module, _ON_IMPORT), *step.following, *found, *([(module, _WHOLE)] if lost else ())]
        )

    def _step_below(self, package: str) -> _Step:
        if package and self._source(package) is None:
            return _Step()
        modules, digest = self._module_index.modules_below(package)
        return _Step(digest, [(module, _WHOLE) for module in (*modules, package) if module])

    def _look_at(self, module: str, defines: Symbols, pieces: Sequence[Definition]) -> _Step:
        """The digest of pieces of a module with what the names in them are imported from, and where they lead."""
        text = [str(imported) for imported in defines.everywhere] if pieces else []
        following: list[Item] = []
        for piece in pieces:
            used = uses(piece.body, defines.package)
            text.append(f"{piece.where} {dump(piece.body)}")
            for name in sorted({name.partition(".")[0] for name in used.names}):
                imported = defines.imports.get(name, [])
                text.extend(f"{name} is {what} {line.where}" for what, line in imported)
                bound = [*defines.definitions.get(name, ()), *(line for _, line in imported)]
                if len(bound) > 1:  # which of them counts depends on the order
                    text.append(f"{name} {sum(other.at < piece.at for other in bound)}")
            following.extend(self._lead(module, defines, used))
        return _Step(text_checksum("\n".join(text)) if text else "", list(dict.fromkeys(following)))

    def _lead(self, module: str, defines: Symbols, used: Uses) -> Iterator[Item]:
        anywhere = used.anywhere
        packages = dict(used.below)
        for name in used.names:
            yield from self._find(module, name)
            bound = defines.imports.get(name.partition(".")[0], ())
            anywhere = anywhere or any(imported.is_dynamic for imported, _ in bound)
            if not is_by_name(name) and any(imported.loads_more(name.partition(".")[2]) for imported, _ in bound):
                packages[""] = None
        for imported, rest in used.imports:
            yield from _targets(imported, rest)
            anywhere = anywhere or imported.is_dynamic
        yield from ((load, _ON_IMPORT) for load in used.loads)
        if anywhere:
            yield module, _WHOLE
            yield from _named(used.texts, defines.package)
        for package in packages:
            yield f"{defines.package}{package}".rstrip(".") if package.startswith(".") else package, _BELOW
        if "" in packages:  # which may lie elsewhere than the pipeline
            yield module.partition(".")[0], _BELOW

    def _find(self, module: str, name: str) -> list[Item]:
        """Where a name of a module leads, with what follows it. Nowhere if the module has no such name."""
        found = self._own(module, name)
        for star in self._stars(module):
            others = self._own(star, name)
            found.extend([*others, *self._own(star, "__all__")] if others else ())
        return found

    def _own(self, module: str, name: str) -> list[Item]:
        source = self._source(module)
        if source is None:
            return []
        head, _, rest = name.partition(".")
        defines = source.defines
        found = [(module, head)] if head in defines.definitions else [(module, _WHOLE)] if source.tree is None else []
        bound = [imported for imported, _ in defines.imports.get(head, ())]
        for imported in bound:
            found.extend(_targets(imported, rest))
        inner = f"{module}.{head}"
        if source.is_package and all(imported.module != inner for imported in bound) and self._source(inner):
            found.append((inner, rest or _WHOLE))
        return found

    def _stars(self, module: str) -> dict[str, None]:
        """The modules that it has all names of, at any depth."""
        found: dict[str, None] = {}
        left = [module]
        while left:
            source = self._source(left.pop())
            new = [imported.module for imported in source.defines.everywhere] if source is not None else []
            left.extend(star for star in new if star not in found)
            found.update(dict.fromkeys(new))
        return found

    def _registered(self, module: str, defines: Symbols) -> Iterator[Definition]:
        """Definitions that something may know of though no name leads there: who registers them may remember them."""
        for piece in dict.fromkeys(piece for pieces in defines.definitions.values() for piece in pieces):
            for told in told_on_import(piece.body):
                used = uses(told, defines.package)
                items = [*self._lead(module, defines, used), *((module, name) for name in used.names if "." in name)]
                if any(self._remembers(*item) for item, _ in self._reach(items, skip=_ON_IMPORT)):
                    yield piece
                    break

    def _remembers(self, module: str, name: str) -> bool:
        source = self._source(module)
        head, _, rest = name.partition(".")
        if source is None or name == _WHOLE:
            return source is not None
        pieces = [piece.body for piece in source.defines.definitions.get(head, ())]
        return any(may_remember(body) or (rest and not isinstance(body, ast.Assign)) for body in pieces)

    # -- reading -----------------------------------------------------------------------------------------------------

    def _source(self, module: str) -> _Source | None:
        """The module, if it is one of the project, and so are all packages that it is in."""
        source = None
        for name in _with_packages(module):
            if name not in self._sources:
                self._sources[name] = self._read(name)
            source = self._sources[name]
            if source is None:
                break
        return source

    def _read(self, module: str) -> _Source | None:
        spec = self._module_index.find(module)
        if spec is None:
            return None
        is_package = spec.submodule_search_locations is not None
        package = module if is_package else module.rpartition(".")[0]
        nothing = ast.Module([], [])
        if not spec.has_location or spec.origin is None:  # built in, or a folder without an __init__.py
            return _Source(symbols_of(nothing, package), nothing, is_package=True) if is_package else None
        whole = _Source(symbols_of(nothing, package), digest="unreadable", is_package=is_package)
        try:
            if not spec.origin.endswith(".py"):
                return replace(whole, digest=file_checksum(spec.origin))
            text = Path(spec.origin).read_bytes()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # such as of odd escapes in a string: that is for the run
                tree = ast.parse(text)
        except (OSError, SyntaxError, ValueError):
            return whole
        except (RecursionError, MemoryError):  # too deep for the parser, though perhaps not for an import
            words = dict.fromkeys(re.findall(r"[.\w]+", text.decode("latin-1")))
            return replace(whole, digest=text_checksum(text.decode("latin-1")), words=words)
        return _Source(symbols_of(tree, package), tree, is_package=is_package)


def _targets(imported: Imported, rest: str) -> Iterator[Item]:
    """Where an imported name leads, with what follows it."""
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
    """The modules that words may be the names of, from the top or from a package."""
    for word in words:
        if word.replace(".", "_").isidentifier():
            yield from ((word, _WHOLE), (f"{package}.{word.lstrip('.')}", _WHOLE))


def _with_packages(module: str) -> Iterator[str]:
    """A module, and the packages that it is in before it."""
    return accumulate(module.split("."), "{}.{}".format)
