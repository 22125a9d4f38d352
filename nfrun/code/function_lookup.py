"""Finds `module:function` and its arguments by reading the source. Imports nothing, so no user code runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nfrun.code.module_finder import OURS, find_module
from nfrun.code.signatures import ClassSignature, ModuleNames, Signature, module_from_json, to_json
from nfrun.core.text import closest_match, ellipsize
from nfrun.core.values import field, frozen, mutable
from nfrun.system.checksums import bytes_checksum

PROGRAM = "__program__"  # the module of functions that a program gives as objects: no file has one of this name


@frozen
class LookupResult:
    """The result of a lookup: a `message` and a `hint` if the call cannot work, a `signature` if the source shows one.

    `class_` is what a class takes, if the name is that of one. `likely` is the signature in the source, also where a
    decorator may change it. All are empty if only the run can tell. `unreadable` is set if the module itself is at
    fault, whatever the function.
    """

    message: str = ""
    hint: str = ""
    signature: Signature | None = None
    unreadable: bool = False
    class_: ClassSignature | None = None
    likely: Signature | None = None


@mutable
class FunctionLookup:
    """Looks up functions, and reads each module once. `folder` is searched before `sys.path`.

    Messages name files relative to `base`, the folder of the pipeline, if that is another one. What modules bind
    is `known`, with the checksums of their files, and is not read again while these are the same. `given` are the
    functions of `PROGRAM`.
    """

    folder: Path
    base: Path | None = None
    known: dict[str, Sequence[Any]] = field(default_factory=dict)
    given: Mapping[str, LookupResult] = field(default_factory=dict)
    _modules: dict[str, ModuleNames | LookupResult] = field(default_factory=dict)
    _found: dict[tuple[str, str], LookupResult] = field(default_factory=dict)
    _others: dict[Path, FunctionLookup] = field(default_factory=dict)  # by folder

    def beside(self, folder: Path) -> FunctionLookup:
        """Return the lookup in another folder of the same pipeline."""
        if folder == self.folder:
            return self
        if folder not in self._others:
            self._others[self.folder] = self
            self._others[folder] = FunctionLookup(folder, self.base or self.folder, self.known, _others=self._others)
        return self._others[folder]

    def find(self, module: str, function: str) -> LookupResult:
        """Look up `module:function` without importing anything. Problems are returned, not raised.

        If a module cannot be read, only its first lookup returns the problem: it is one mistake, however many nodes
        use the module.
        """
        key = module, function
        if module == PROGRAM and function in self.given:
            return self.given[function]
        if key not in self._found:
            read = self._module(module)
            if isinstance(read, LookupResult):
                self._modules[module] = LookupResult() if read.unreadable else read
                return read
            self._found[key] = _look_up(read, function)
        return self._found[key]

    def defined(self, module: str, function: str) -> LookupResult:
        """Look up `module:function` like `find`, and where its module imports it from another one, in that.

        The result of the other module has no message: its module can be imported, or the run tells why not.
        """
        found, read = self.find(module, function), self._modules.get(module)
        if found != LookupResult() or not isinstance(read, ModuleNames) or function not in read.from_others:
            return found
        other, name = read.from_others.pop(function)  # taken out, so that a circle of imports ends
        elsewhere = self.defined(other, name)
        read.from_others[function] = other, name
        return LookupResult(class_=elsewhere.class_, likely=elsewhere.likely)

    def _module(self, module: str) -> ModuleNames | LookupResult:
        if module not in self._modules:
            self._modules[module] = self._read(module)
        return self._modules[module]

    def _read(self, module: str) -> ModuleNames | LookupResult:
        spec = find_module(module, self.folder)
        if spec is None:
            return self._no_module(module)
        first = module.split(".")[0]
        in_folder = any((self.folder / name).exists() for name in (f"{first}.py", f"{first}/__init__.py"))
        if in_folder and (first in sys.stdlib_module_names or first in OURS):
            what = f"the module '{first}' beside the pipeline file has the name of one that is in use already"
            return LookupResult(what, "rename the file", unreadable=True)
        if spec.origin is None and spec.submodule_search_locations is not None:
            return LookupResult(f"'{ellipsize(module)}' is a folder without an __init__.py, and has no functions")
        if spec.origin is None or not spec.origin.endswith(".py"):
            return LookupResult()  # compiled or built-in: checked by the run
        try:
            data = Path(spec.origin).read_bytes()
            checksum = bytes_checksum(data)
            shown = self._shown(spec.origin)
            known, binds = self.known.get(spec.origin, ("", [""]))
            if (known, binds[0]) == (checksum, shown):
                return module_from_json(binds)
            from nfrun.code.names_reader import read_names  # needed only where a file is new

            package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
            found = read_names(data, spec.origin, shown, package)
            self.known[spec.origin] = [checksum, to_json(found)]
            return found
        except SyntaxError as error:
            line = f":{error.lineno}:{error.offset}" if error.lineno else ""
            fault = error.msg.replace(f" for {spec.origin!r}", "")
            hint = f"the module '{module}' cannot be read"
            return LookupResult(f"{self._shown(spec.origin)}{line}: {fault}", hint, unreadable=True)
        except (OSError, UnicodeDecodeError, ValueError, RecursionError, MemoryError) as error:
            why = str(error.strerror if isinstance(error, OSError) else error)
            return LookupResult(
                f"the module '{ellipsize(module)}' cannot be read: {ellipsize(why, 200)}", unreadable=True
            )

    def _no_module(self, module: str) -> LookupResult:
        first, *inner = module.split(".")
        package = find_module(first, self.folder) if inner else None
        places = [self.folder] if package is None else map(Path, package.submodule_search_locations or ())
        before = "" if package is None else f"{first}."
        known = [f"{before}{name}" for name in _modules_in(places)]
        guess = closest_match(module, known) or (first if package and not known else None)
        nowhere = f"there is no {ellipsize(first)}.py beside the pipeline file, and no such module is installed"
        hint = f"did you mean '{guess}'?" if guess else nowhere if package is None else ""
        return LookupResult(f"there is no module '{ellipsize(module)}'", hint)

    def _shown(self, origin: str) -> str:
        file, folder = Path(origin), self.base or self.folder
        return str(file.relative_to(folder)) if file.is_relative_to(folder) else "/".join(file.parts[-2:])


def _modules_in(folders: Iterable[Path]) -> list[str]:
    """Return the sorted names of the modules and packages in the folders."""
    inside = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    names = {path.stem for path in inside if path.suffix == ".py" or (path / "__init__.py").is_file()}
    return sorted(name for name in names if name.isidentifier() and not name.startswith("__"))


def _look_up(module: ModuleNames, function: str) -> LookupResult:
    likely = module.functions.get(function)
    if module.dynamic or function in module.others:
        class_ = None if function in module.functions else module.classes.get(function)
        return LookupResult(class_=class_, likely=likely)
    if function not in module.functions:
        names = (*module.functions, *(name for name in module.others if name not in module.imported))
        public = [name for name in names if not name.startswith("_")]
        guess = closest_match(function, public)
        hint = (
            f"did you mean '{guess}'?" if guess else f"there is {ellipsize(', '.join(public), 100)}" if public else ""
        )
        return LookupResult(f"{module.file} has no function '{ellipsize(function)}'", hint)
    return LookupResult(signature=None if function in module.decorated else likely, likely=likely)
