"""Builds a pipeline in Python: the same document as that of a file, which the same reader checks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias, TypedDict, Unpack

from nfrun.core.errors import Diagnostic, SourceSpan, SpecError, UsageError
from nfrun.core.text import ellipsize, shortened
from nfrun.core.values import mutable
from nfrun.nodes.python import PYTHON
from nfrun.nodes.read import READ
from nfrun.pipeline_file.built_document import CONTROL, BuiltPipeline, built_document
from nfrun.session.api.calls import calling_folder, calling_place
from nfrun.session.api.errors import errors_for_programs
from nfrun.session.api.given import GivenFunctions, NotPlain, plain_value
from nfrun.session.api.pipelines import PathLike, RunnablePipeline
from nfrun.system.atomic_files import atomic_write

Keys: TypeAlias = "tuple[str | int, ...]"  # the steps to a value of the document
Function: TypeAlias = "Callable[..., Any] | str"
_ENDINGS = (".yaml", ".yml")
_FIRST_LINE = "# Written by to_yaml of nfrun, which replaces this file: edit the program, or remove this line.\n"


@mutable
class Output:
    """An output of a node that a builder has made. `str` is its reference: `node`, or `node.output`."""

    reference: str

    def __str__(self) -> str:
        return self.reference

    def ref(
        self,
        *,
        where: Mapping[str, Any] | None = None,
        gather: str | None = None,
        columns: Sequence[str] | None = None,
        optional: bool | None = None,
        else_: Reference | None = None,
    ) -> dict[str, Any]:
        """Return the long form of the reference, for `inputs` by name: which cells are read, and how.

        `where`, `gather`, `columns`, `optional` and `else_` are the keys of a reference in a file.
        """
        more = {"where": where, "gather": gather, "columns": columns, "optional": optional, "else": else_}
        return {"from": self, **{key: value for key, value in more.items() if value is not None}}


class Node(Output):
    """A node that a builder has made. `node["name"]` is an output of it by name."""

    @property
    def id(self) -> str:
        """The id of the node."""
        return self.reference

    def __getitem__(self, output: str) -> Output:
        return Output(f"{self.reference}.{output}")

    def __iter__(self) -> Any:
        raise TypeError(f"'{self.reference}' is a node: name an output of it, as in node['name']")


Reference: TypeAlias = "Output | str"
Inputs: TypeAlias = "Reference | Sequence[Reference] | Mapping[str, Reference | Mapping[str, Any]]"


class NodeSettings(TypedDict, total=False):
    """The settings of nodes. They have the names and values of those in a file, with `_` where Python has a keyword."""

    needs: Reference | Sequence[Reference]
    outputs: Sequence[str] | Mapping[str, Any]
    schema: Mapping[str, str]
    checks: Sequence[Mapping[str, Any]]
    matrix: str | Sequence[str] | Mapping[str, Any]
    map: str | Mapping[str, Any]
    if_: bool | str
    continue_on_error: bool
    tags: Sequence[str]
    files: PathLike | Sequence[PathLike]
    packages: Sequence[str]
    format: str
    retries: int | str | Mapping[str, Any]
    timeout: str
    executor: str
    cache: bool | str
    resources: Mapping[str, Any]
    env: Mapping[str, Any]
    timezone: str
    description: str


class _Nodes:
    """Adds nodes to a section of a document."""

    def __init__(self, pipeline: Pipeline, section: str) -> None:
        self._pipeline, self._section = pipeline, section

    def python(
        self,
        id: str,
        function: Function,
        inputs: Inputs | None = None,
        with_: Mapping[str, Any] | None = None,
        **settings: Unpack[NodeSettings],
    ) -> Node:
        """Add a node that calls a function, which is an object or a text such as `steps:clean`.

        An object is written as `module:name`. One that cannot be imported so, such as a lambda or a function of a
        notebook or of the script that is running, runs on a thread of this process only, and is never reused.
        """
        return self._pipeline._add(self._section, id, "python", function, inputs, with_, settings)

    def script(
        self,
        id: str,
        run: str,
        inputs: Inputs | None = None,
        with_: Mapping[str, Any] | None = None,
        **settings: Unpack[NodeSettings],
    ) -> Node:
        """Add a node that runs a shell script: `run` in a file."""
        return self._pipeline._add(self._section, id, "run", run, inputs, with_, settings)


class Pipeline(RunnablePipeline, _Nodes):
    """A pipeline that a Python program builds. It is checked when it is planned, run, or written with `to_yaml`.

    The arguments are the keys of a file. Paths, modules and the work folder are beside the file of the program, or in
    `folder`; in a notebook, in the working directory. The pipeline has the runs and the results of the file
    `<name>.yaml` there, if there is one. `finally_` and `on_failure` add nodes that run when all others have ended.
    """

    def __init__(
        self,
        name: str,
        *,
        description: str | None = None,
        params: Mapping[str, Any] | None = None,
        env: Mapping[str, Any] | None = None,
        secrets: Sequence[str] | None = None,
        timezone: str | None = None,
        matrix: Mapping[str, Any] | None = None,
        resources: Mapping[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
        profiles: Mapping[str, Any] | None = None,
        folder: PathLike | None = None,
    ) -> None:
        if not isinstance(name, str) or not name.strip() or "/" in name or "\0" in name or len(name.encode()) > 200:
            raise UsageError(f"name: {ellipsize(repr(name), 60)} is no name of a file without its ending", "name")
        _Nodes.__init__(self, self, "nodes")
        self.name = name
        self.folder = Path(folder if folder is not None else calling_folder()).absolute()
        self._root: dict[str, Any] = {}
        self._places: dict[Keys, SourceSpan] = {(): calling_place()}
        self._wrong: list[Diagnostic] = []
        self._functions = GivenFunctions(self.folder)
        self.on_failure, self.finally_ = _Nodes(self, "on_failure"), _Nodes(self, "finally")
        keys = {"description": description, "params": params, "env": env, "secrets": secrets, "matrix": matrix}
        keys |= {"timezone": timezone, "resources": resources, "defaults": defaults, "profiles": profiles}
        self._set(("name",), name)
        for key, value in keys.items():
            if value is not None:
                self._set((key,), value)
        self._root["nodes"] = {}

    def sql(
        self,
        id: str,
        query: str,
        inputs: Inputs | None = None,
        with_: Mapping[str, Any] | None = None,
        **settings: Unpack[NodeSettings],
    ) -> Node:
        """Add a node that runs a query of DuckDB, or the one in a file that ends in `.sql`."""
        return self._add("nodes", id, "sql", query, inputs, with_, settings)

    def read(
        self,
        id: str,
        source: PathLike,
        with_: Mapping[str, Any] | None = None,
        **settings: Unpack[NodeSettings],
    ) -> Node:
        """Add a node that reads a file, files that match a pattern, or a URI."""
        return self._add("nodes", id, "read", source, None, with_, settings)

    def write(
        self,
        id: str,
        target: PathLike,
        inputs: Inputs,
        with_: Mapping[str, Any] | None = None,
        **settings: Unpack[NodeSettings],
    ) -> Node:
        """Add a node that writes its input to a file or, if the path ends in `/`, to a folder."""
        return self._add("nodes", id, "write", target, inputs, with_, settings)

    def pipeline(
        self,
        id: str,
        file: PathLike,
        inputs: Inputs | None = None,
        with_: Mapping[str, Any] | None = None,
        **settings: Unpack[NodeSettings],
    ) -> Node:
        """Add a node that is another pipeline, in a YAML file. A pipeline that is built becomes one by `to_yaml`."""
        return self._add("nodes", id, "pipeline", file, inputs, with_, settings)

    def node(self, id: str, kind: str, body: Any, **settings: Any) -> Node:
        """Add a node of any kind, such as one of a plug-in: `kind` is the key of the file that has `body`.

        `settings` are those of `NodeSettings`, with `inputs` and `with_`.
        """
        inputs, with_ = settings.pop("inputs", None), settings.pop("with_", None)
        return self._add("nodes", id, kind, body, inputs, with_, settings)

    def input(self, name: str, read: PathLike | None = None, **settings: Any) -> Node:
        """Add an input of the pipeline, which `run(inputs=…)` may give. Without `read` it must be given.

        `settings` are `with_`, `schema`, `checks`, `outputs` and `description`.
        """
        body = {_key(key): value for key, value in settings.items() if value is not None}
        self._set(("inputs", name), {**({READ.name: read} if read is not None else {}), **body})
        return Node(name)

    def outputs(self, **outputs: Reference) -> None:
        """Say which outputs the pipeline shows, by the names that it shows them by. Default: what no node reads."""
        for name, reference in outputs.items():
            self._set(("outputs", name), reference)

    @staticmethod
    def expr(expression: str) -> str:
        """Return an expression for a value: `expr("params.country")` is `${{ params.country }}`."""
        return f"${{{{ {expression} }}}}"

    def to_yaml(self, path: PathLike | None = None) -> str:
        """Return the pipeline as the text of a YAML file, after a check. With a `path`, also write the file.

        A file that is there is replaced only if `to_yaml` has written it; any other is an error.

        The file in `folder` has the same keys as the pipeline here, so each reuses the results of the other. Raises
        SpecError if the pipeline is wrong, or a function of it cannot be imported by a name; UsageError and OSError.
        """
        from nfrun.pipeline_file.built_document import yaml_text

        with errors_for_programs():
            self._read()
        if self._functions.given:
            raise SpecError([found.diagnostic for found in self._functions.given.values()])
        text = yaml_text(self._root)
        if path is not None:
            _write_built(Path(path), text)
        return text

    def __repr__(self) -> str:
        return f"<pipeline {self.name}: {len(self._root['nodes'])} nodes>"

    # -- the document ----------------------------------------------------------------------------------------------

    def _add(
        self,
        section: str,
        id: str,
        kind: str,
        body: Any,
        inputs: Any,
        with_: Mapping[str, Any] | None,
        settings: Mapping[str, Any],
    ) -> Node:
        if id in self._root.get(section, {}):
            what = f"there is a node '{ellipsize(str(id))}' already, made at {self._places[section, id]}"
            self._report(what, "give it another name")
            return Node(str(id))
        given = {"inputs": inputs, "with": with_, **{_key(key): value for key, value in settings.items()}}
        if callable(body):
            body, diagnostic = self._functions.written(body, calling_place())
            if diagnostic is not None:
                given |= {"executor": "thread", "cache": False}
        self._set((section, id), {kind: body, **{key: value for key, value in given.items() if value is not None}})
        return Node(str(id))

    def _set(self, path: Keys, value: Any) -> None:
        """Set a value of the document, and remember the line of the call. Reports what no file can have."""
        place = calling_place()
        *above, last = path
        within = self._root
        for step in above:
            within = within.setdefault(str(step), {})
        if not isinstance(last, str):
            self._report(f"{ellipsize(repr(last), 60)} is no name", "")
            return
        try:
            within[last] = plain_value(value, written=self._written)
        except NotPlain as error:
            which = f"the value of '{'.'.join(error.keys)}'" if error.keys else "this value"
            self._report(f"a file cannot have {which}: it is {error}", "")
        self._places[path] = place

    def _written(self, value: Any) -> Any:
        """Return what stands in a file for an object that a builder knows; the object itself for others."""
        if isinstance(value, Output):
            return value.reference
        if isinstance(value, str) and (wrong := re.search(CONTROL, value)):
            raise NotPlain(f"a text with the control character {wrong[0]!r}")
        if isinstance(value, Mapping) and callable(value.get(PYTHON.name)):  # a check
            text, diagnostic = self._functions.written(value[PYTHON.name], calling_place(), keep=False)
            if diagnostic is not None:
                self._wrong.append(diagnostic)
            return {**value, PYTHON.name: text}
        return value

    def _report(self, what: str, hint: str) -> None:
        self._wrong.append(Diagnostic(calling_place(), what, hint))

    def _file(self) -> Path:
        return self.folder / f"{self.name}.yaml"

    def _built(self) -> BuiltPipeline:
        if self._wrong:
            raise SpecError(self._wrong)
        if changed := [f"'{found.name}'" for found in self._functions.given.values() if found.has_changed]:
            what = f"{shortened(changed, 4)} {'is' if len(changed) == 1 else 'are'} not as when the pipeline was built"
            raise UsageError(f"{what}: build it again, or give each function its own name", "function")
        document = built_document(str(self._file()), self._root, self._places)
        return BuiltPipeline(document, {name: found.function for name, found in self._functions.given.items()})


def _key(argument: str) -> str:
    """Return the key of a file for an argument: `if` for `if_`."""
    return argument.removesuffix("_")


def _write_built(path: Path, text: str) -> None:
    """Write the text of a pipeline, below a line that says where it is from.

    Raises UsageError if the path is no name of a pipeline file, or has a file without this line; and OSError.
    """
    if path.suffix.lower() not in _ENDINGS:
        raise UsageError(f"path: '{path}' is no name of a pipeline file: end it in .yaml", "path")
    found = None
    with suppress(FileNotFoundError):
        found = path.read_bytes()
    if found is not None and not found.startswith(_FIRST_LINE.encode()):
        what = f"path: '{path}' is there, and to_yaml has not written it"
        raise UsageError(f"{what}: remove it, or name another file", "path")
    with atomic_write(path) as partial:
        Path(partial).write_text(_FIRST_LINE + text, encoding="utf-8")
