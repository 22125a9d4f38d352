"""Reads a pipeline file into a `Pipeline` and reports every problem in the file at once.

The user's Python code is read as source, never imported or run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nfrun.code.distributions import Distributions, normalized
from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import Diagnostic, SourceSpan, SpecError
from nfrun.core.map_spec import ERRORS
from nfrun.core.pipeline import (
    LAST_SECTIONS,
    NOTHING,
    TABLE,
    UTC,
    Input,
    NodeSpec,
    Param,
    Pipeline,
    StaticHalf,
    form_of,
)
from nfrun.core.text import did_you_mean, ellipsize
from nfrun.core.values import field, mutable, replace
from nfrun.nodes.base import is_evaluated
from nfrun.nodes.kind import Kind
from nfrun.nodes.registry import KINDS, kind_of, owners_of_settings, written_kinds
from nfrun.nodes.use import USE
from nfrun.pipeline_file.axes import NO_AXES, DeclaredAxes, read_axes
from nfrun.pipeline_file.budgets import read_budgets
from nfrun.pipeline_file.columns import check_columns
from nfrun.pipeline_file.contracts import checks_path, read_contracts, without_problems
from nfrun.pipeline_file.expression_checks import check_expressions
from nfrun.pipeline_file.expressions import is_one_expression
from nfrun.pipeline_file.file_conflicts import file_conflicts, with_default_paths
from nfrun.pipeline_file.findings import Findings, in_file_order, span_in_text
from nfrun.pipeline_file.known_checks import KnownChecks
from nfrun.pipeline_file.overlays import check_profiles, with_inputs, with_profile
from nfrun.pipeline_file.parameters import check_param, env_text, param_of
from nfrun.pipeline_file.references import References, input_refs, long_input, report_cycles
from nfrun.pipeline_file.schema import check_schema
from nfrun.pipeline_file.settings import (
    WITH_EXPRESSIONS,
    add_map_forms,
    check_maps,
    fields_of,
    merged_resources,
    outputs_of,
    setting_path,
    unbound_map,
)
from nfrun.pipeline_file.subpipelines import Including, read_included
from nfrun.pipeline_file.suggestions import LAST_KINDS, LAST_SETTINGS, SETTINGS, node_keys
from nfrun.pipeline_file.yaml.document import Document, Keys, items, load, mapping
from nfrun.pipeline_file.yaml.text_file import read_text, refuse
from nfrun.system.atomic_files import PARTIAL
from nfrun.system.runtime import gc_paused


def read_pipeline(
    path: str | os.PathLike[str],
    functions: FunctionLookup | None = None,
    on_warning: Callable[[Diagnostic], object] | None = None,
    profile: str = "",
    given: Mapping[str, str] = NOTHING,
    known: KnownChecks | None = None,
    document: Document | None = None,
) -> tuple[Pipeline, Document]:
    """Return the pipeline in the file, its expressions not yet evaluated, and the YAML document.

    `functions` looks up functions beside the file, whose `document` may be given. `profile` is laid over it, and its
    inputs are `given`. What is `known` to be in order is not checked again. With `on_warning`, also makes slow checks,
    and passes their warnings. Raises SpecError with all problems of it and its sub-pipelines, in file order.
    """
    warnings: list[Diagnostic] = []
    functions = functions or FunctionLookup(Path(path).absolute().parent)
    chain_of_files = ((os.path.realpath(path), Path(path).name),)
    fields: dict[str, Any] = {"functions": functions, "profile": profile, "given": given, "warnings": warnings}

    def read(*, thorough: bool) -> tuple[Pipeline, Document]:
        more: dict[str, Any] = {"including": Including(chain_of_files), "known": known or KnownChecks()}
        return _read(_Reader(document or load(path), thorough=thorough, **fields, **more))

    with gc_paused():
        try:
            found = read(thorough=on_warning is not None)
        except SpecError:
            read(thorough=True)  # the slow checks may find more, and all mistakes are told at once
            raise
    for warning in warnings if on_warning is not None else ():
        on_warning(warning)  # type: ignore[misc]
    return found


def _read(reader: _Reader) -> tuple[Pipeline, Document]:
    """Return the pipeline of a reader and its document. Raises SpecError."""
    pipeline = reader.read(Path(reader.document.file).absolute().parent)
    if reader.diagnostics or pipeline is None:
        raise SpecError(in_file_order(reader.document.file, reader.diagnostics))
    return pipeline, reader.document


@mutable
class _Reader(Findings):
    """Builds the pipeline of one document. `owners` maps settings of single kinds to the kind.

    `axes` are those of its matrix, and `excluded` the combinations of their values that have no cells.
    """

    functions: FunctionLookup = field(kw_only=True)
    known: KnownChecks = field(kw_only=True)
    thorough: bool = False
    profile: str = ""
    given: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    including: Including = field(default_factory=Including)
    owners: Mapping[str, Kind] = field(default_factory=owners_of_settings)
    distributions: Distributions = field(default_factory=Distributions)
    axes: DeclaredAxes = NO_AXES
    excluded: tuple[Mapping[str, Any], ...] = ()

    def read(self, folder: Path) -> Pipeline | None:
        """Return the pipeline, None if the document is not a mapping."""
        self.schema_and_expressions()
        if not isinstance(self.document.root, dict):
            return None
        check_profiles(self)
        if self.profile:
            self.document = with_profile(self, self.profile)
        sections = ("inputs", "nodes", *LAST_SECTIONS)
        check_names(self, {section: mapping(self.document.root.get(section)) for section in sections})
        self.document = with_inputs(self, self.given)
        root = self.document.root
        bodies = mapping(root.get("nodes"))
        params = {name: self.param(name, value) for name, value in mapping(root.get("params")).items()}
        defaults = mapping(root.get("defaults"))
        nodes = {name: self.node(name, body, defaults) for name, body in bodies.items() if isinstance(body, dict)}
        read_body_files(self, nodes, folder)
        with_plugins(self, nodes)
        included = read_included(self, nodes, self.including, self.read_other)
        found = [(each.file, each) for _, each in included.values()]
        inner = {file: each for _, document in found for file, each in document.others.items()}
        self.document = replace(self.document, others={**inner, **dict(found)})
        others = {body: other for body, (other, _) in included.items()}
        references = References(self, nodes, self.axes, others)
        references.resolve(nodes)
        report_cycles(self, nodes)
        check_maps(self, nodes)
        self.kinds(nodes, list(bodies))
        add_map_forms(nodes, self.functions)
        check_columns(self, nodes if self.thorough else {})
        # The budgets of the file that is run count.
        budgets = read_budgets(self, nodes if len(self.including.chain) == 1 else {})
        last = {section: self.last_nodes(section, defaults, references) for section in LAST_SECTIONS}
        self.diagnostics += file_conflicts(with_default_paths(nodes, params), folder, self.document)
        name = str(root.get("name", Path(self.document.file).stem))
        if "name" in root and ("name",) not in self.bad and not name.isprintable():
            self.report(("name",), "a pipeline's name is printable text on one line")
        return Pipeline(
            file=self.document.file,
            folder=str(folder),
            name=name,
            description=str(root.get("description", "")),
            params=params,
            env={key: env_text(value) for key, value in mapping(root.get("env")).items()},
            nodes=nodes,
            outputs=references.shown(),
            names_outputs="outputs" in self.document.root,
            secrets=tuple(name for _, name in items(root.get("secrets"))),
            axes=self.axes.axes,
            excluded=self.excluded,
            on_failure=last["on_failure"],
            finally_=last["finally"],
            profile=self.profile,
            jobs=root.get("jobs"),
            work=root.get("work", ""),
            budgets=budgets,
            timezone=read_timezone(self, (), root),
            inputs=tuple(mapping(root.get("inputs"))),
            included=others,
        )

    def read_other(
        self, file: str, including: Including, included: tuple[SourceSpan, ...]
    ) -> tuple[Pipeline, Document]:
        """Return the pipeline in a file that a node of this one names, and its document. Raises SpecError."""
        document = load(file, included=included)
        functions = self.functions.beside(Path(file).absolute().parent)
        more: dict[str, Any] = {"thorough": self.thorough, "warnings": self.warnings, "known": self.known}
        return _read(_Reader(document, functions=functions, including=including, **more))

    def schema_and_expressions(self) -> None:
        """Add the problems that the schema, the axes and the expression checks find, from one of them at each path."""
        broken = {found.path: found for found in check_schema(self.document, self.known)}
        for path in broken:
            self.mark_wrong(path)
            if len(path) == 3 and path[0] == "nodes" and path[2] not in node_keys():
                self.unclear.add(str(path[1]))
        if isinstance(self.document.root, dict):
            self.axes, self.excluded = read_axes(self)
        told: set[Keys] = set()
        for found in [*check_expressions(self.document, broken, self.axes), *broken.values()]:
            if found.path not in told or found.path not in broken:
                self.add(found)
            told.add(found.path)

    def param(self, name: str, value: Any) -> Param:
        param = param_of(name, value)
        if isinstance(value, dict) and ("params", name) not in self.bad:
            for wrong in check_param(param):
                self.add(wrong, ("params", name))
        return param

    def last_nodes(self, section: str, defaults: Mapping[str, Any], references: References) -> dict[str, NodeSpec]:
        """Return the nodes of `on_failure` or `finally`; all their inputs are optional."""
        usual = {key: value for key, value in defaults.items() if key in LAST_SETTINGS}
        bodies = mapping(self.document.root.get(section)).items()
        found = {name: self.node(name, body, usual, section) for name, body in bodies if isinstance(body, dict)}
        with_plugins(self, found)
        references.resolve(found)
        self.kinds(found, list(references.nodes))
        return found

    def node(self, name: str, body: Mapping[str, Any], defaults: Mapping[str, Any], section: str = "nodes") -> NodeSpec:
        """Return the node with `defaults` merged in, without the values that have a problem."""
        path: Keys = (section, name)
        kind = self.kind(path, name, body)
        merged = {**defaults, **body}
        if self.bad:
            merged = {key: value for key, value in defaults.items() if ("defaults", key) not in self.bad}
            merged |= without_problems(self, path, body)
        if "resources" in merged and "resources" in defaults and ("defaults", "resources") not in self.bad:
            merged["resources"] = merged_resources(defaults["resources"], merged["resources"])
        with_ = mapping(merged.get("with"))
        if kind:
            self.misplaced_settings(path, kind, body)
        inputs = tuple(self.inputs(path, body.get("inputs", [])))
        given = {i.name for i in inputs}
        for key in with_:
            if key in given:
                self.report((*path, "with", key), f"'{key}' is both an input and a value", "rename one", at_key=True)
        needs = [] if (*path, "needs") in self.wrong else items(body.get("needs"))
        outputs, types = read_outputs(self, path, merged.get("outputs", []))
        if_ = merged.get("if", True)
        if isinstance(if_, str) and not is_one_expression(if_):
            hint = "write true, false or ${{ … }}"
            self.report((*path, "if"), "'if' must be true, false or one expression", hint)
        settings = self.settings(path, {key: merged[key] for key in WITH_EXPRESSIONS if key in merged})
        return NodeSpec(
            id=name,
            kind=kind,
            body=str(merged.get(kind, "")),
            inputs=inputs,
            with_=with_,
            outputs=outputs_of(outputs, settings.get("map"), kind, with_),
            types=types,
            contracts=read_contracts(self, path, merged, outputs, types, self.functions),
            needs=tuple(need for step, need in needs if (*path, "needs", *step) not in self.wrong),
            env={
                key: env_text(value)
                for part in (defaults, body)
                for key, value in mapping(part.get("env")).items()
                if isinstance(value, str | int | float)
            },
            format=merged.get("format", "arrow"),
            **settings,
            description=str(merged.get("description", "")),
            axes=self.axes.of_nodes.get(name, ()),
            tags=tuple(merged.get("tags", ())),
            settings={key: merged[key] for key in self.owners if key in merged and key not in SETTINGS},
            packages=tuple(read_packages(self, path, merged.get("packages", []), self.distributions)),
            files=tuple(file for step, file in items(body.get("files")) if (*path, "files", *step) not in self.bad),
            if_=if_,
            continue_on_error=merged.get("continue_on_error", False),
            section=section,
            timezone=read_timezone(self, path, body),
            source=self.document.start_of_entry(section, name),
        )

    def settings(self, path: Keys, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a node for its settings; those with expressions are the field `unbound`."""

        def report(steps: Keys, what: str) -> None:
            self.report(setting_path(self.document.root, path, steps), what)

        unbound = {key: value for key, value in settings.items() if not is_evaluated(value)}
        fields = fields_of({key: value for key, value in settings.items() if key not in unbound}, report)
        if "map" in unbound:
            fields["map"] = unbound_map(unbound["map"])
        return {**fields, "unbound": unbound} if unbound else fields

    def kind(self, path: Keys, name: str, body: Mapping[str, Any]) -> str:
        """Return the kind key of a node, "" if it has none or several."""
        kinds = [key for key in body if key in KINDS and KINDS[key].says.in_files]
        if len(kinds) > 1:
            what = f"node '{ellipsize(name)}' has {len(kinds)} kinds: {', '.join(kinds)}"
            self.report((*path, kinds[1]), what, "a node is one of them; make it several nodes", at_key=True)
        elif not kinds and name not in self.unclear:
            hint = f"give it one of {', '.join(written_kinds() if path[0] == 'nodes' else LAST_KINDS)}"
            self.report(path, f"node '{ellipsize(name)}' has no kind", hint, at_key=True)
        return kinds[0] if len(kinds) == 1 else ""

    def misplaced_settings(self, path: Keys, kind: str, body: Mapping[str, Any]) -> None:
        """Reject the settings that only nodes of other kinds have."""
        for key in self.owners:
            if key in body and key not in KINDS[kind].says.settings:
                hint = "put it under 'env' of the file, for all nodes" if key == "env" else "remove it"
                self.report((*path, key), f"a {kind} node has no '{key}'", hint, at_key=True)

    def inputs(self, path: Keys, value: Any) -> Iterator[Input]:
        """Yield the inputs of a node. Rejects duplicate names, and names that are no identifiers."""
        seen: set[str] = set()
        for step, name, ref in input_refs(value):
            where: Keys = (*path, "inputs", *step)
            if where in self.bad:
                continue
            if name in seen:
                hint = f"name them: inputs: {{{name}: {ref}, other: …}}"
                self.report(where, f"two inputs are called '{name}'", hint)
            elif not name.isidentifier():
                hint = f"name it: inputs: {{{re.sub(r'[^A-Za-z0-9_]', '_', name)}: {ref}}}"
                self.report(where, f"'{ellipsize(name)}' cannot be the name of an input", hint)
            seen.add(name)
            long = value[name] if isinstance(value, dict) else None
            yield Input(name, ref) if not isinstance(long, dict) else long_input(name, ref, long)

    def kinds(self, nodes: Mapping[str, NodeSpec], names: Sequence[str]) -> None:
        """Run the checks of each node's kind. `names` are those of all nodes."""
        for name, spec in nodes.items():
            path: Keys = (spec.section, name)
            if not spec.kind or not spec.body or (*path, spec.kind) in self.bad or (*path, "map") in self.bad:
                continue
            wrong = [key for key in ("inputs", "with", "outputs") if (*path, key) in self.bad]
            kind = kind_of(spec)
            found = list(kind.says.check(spec, self.functions))
            if self.thorough and kind.says.examine and all(each.is_warning for each in found):
                found += kind.says.examine(spec, names)  # what follows from a mistake is not told again
            for diagnostic in found:
                # The kind does not see values that have a problem, so it may miss one of them.
                if diagnostic.path[0] in wrong or (diagnostic.counts and wrong):
                    continue
                if name in self.unclear and (diagnostic.counts or diagnostic.path[0] == "inputs"):
                    continue
                inner = self.as_written(spec, diagnostic.path)
                named = diagnostic.at_key and len(inner) == len(diagnostic.path)
                span = None
                if spec.body_file and diagnostic.path == (spec.kind,) and diagnostic.length:
                    span = span_in_text(
                        spec.body, spec.body_file, self.document.file, diagnostic.start, diagnostic.length
                    )
                self.add(replace(diagnostic, path=inner, at_key=named), path, span)

    def as_written(self, spec: NodeSpec, inner: Keys) -> Keys:
        """Convert the path of an input, by its name, or of a column of a schema to its path in the file."""
        if inner[0] == "schema":  # it may stand under an output
            output = spec.outputs[0] if spec.outputs else ""
            return (*checks_path(self.document, spec.id, output, "schema")[2:], *inner[1:])
        value = self.document.root[spec.section][spec.id].get("inputs")
        if len(inner) < 2 or inner[0] != "inputs" or isinstance(value, dict):
            return inner
        return next(("inputs", *step) for step, name, _ in input_refs(value) if name == inner[1])


_OWN_ENDINGS = (PARTIAL, ".bad")


def check_names(found: Findings, sections: Mapping[str, Mapping[str, Any]]) -> None:
    """Reject node names that differ only in case, or not at all."""
    seen: dict[str, tuple[str, str]] = {}
    for place in ((section, name) for section, nodes in sections.items() for name in nodes):
        name, first = place[1], seen.setdefault(place[1].lower(), place)
        line = "" if first == place else f"(line {found.document.key_span(*first).line})"
        if first[1] != name:
            what = f"'{ellipsize(name)}' differs from '{ellipsize(first[1])}' {line} only in case"
            found.report(place, what, "files would clash on some systems: rename one", at_key=True)
        elif first != place:
            found.report(place, f"there is a node '{ellipsize(name)}' already {line}", "rename one", at_key=True)


def read_outputs(found: Findings, path: Keys, value: Any) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return the names of the outputs of the node at `path`, and the types of those that are no tables.

    Rejects names that differ only in case, and endings that mark files of nfrun.
    """
    seen: dict[str, str] = {}
    for step, name in enumerate(value):
        if seen.setdefault(name.lower(), name) != name:
            what = f"'{name}' differs from '{seen[name.lower()]}' only in case"
            at: Keys = (*path, "outputs", name if isinstance(value, dict) else step)
            hint = "files would clash on some systems: rename one"
            found.report(at, what, hint, at_key=isinstance(value, dict))
    types: dict[str, str] = {}
    for name, form in mapping(value).items():
        kind = form.get("type", TABLE) if isinstance(form, dict) else form
        if kind.endswith(_OWN_ENDINGS):
            what = f"'{kind}' is the ending of files that nfrun has not finished or does not use"
            found.report((*path, "outputs", name, "type"), what, "name another")
        elif kind != TABLE:
            types[name] = kind
    return tuple(value), types or NOTHING


def read_packages(found: Findings, path: Keys, names: list[str], distributions: Distributions) -> Iterator[str]:
    """Yield the packages of the node at `path`. Rejects those in editable mode."""
    for i, name in enumerate(names):
        if distributions.is_editable(name):
            what = f"the package '{name}' is installed in editable mode, so its version does not tell its content"
            hint = "remove it: the code that a Python node imports from it counts anyway"
            found.report((*path, "packages", i), what, hint)
        yield normalized(name)


def read_timezone(found: Findings, path: Keys, values: Mapping[str, Any]) -> str:
    """Return the time zone of the file, or of the node at `path`: that of the file if it has none of its own.

    `values` are those of the file or the node. Reports a zone that there is not.
    """
    where = (*path, "timezone")
    if where in found.bad or "timezone" not in values:
        return str(found.document.root.get("timezone", UTC))
    name = str(values["timezone"])
    if name != UTC:
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo("" if name.startswith(("localtime", "posix", "right/")) else name)  # DuckDB does not know them
        except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
            hint = "write its name as in Europe/Berlin; on a machine that has no zones: pip install tzdata"
            found.report(where, f"there is no time zone '{ellipsize(name)}'", hint)
    return name


def with_plugins(found: Findings, nodes: dict[str, NodeSpec]) -> None:
    """Add to each node of a plug-in its static half, and the outputs and types that this has. The body is the name."""
    known: dict[str, StaticHalf] = {}
    for name, spec in nodes.items():
        path: Keys = (spec.section, name)
        if spec.kind != USE.name or (*path, spec.kind) in found.bad or not spec.body:
            continue
        from nfrun.nodes.plugins import PluginError, find_kind  # it imports importlib.metadata

        try:
            half = known[spec.body] = known.get(spec.body) or find_kind(spec.body)
        except PluginError as error:
            found.report((*path, spec.kind), str(error), error.hint)
            continue
        nodes[name] = _with_outputs(found, path, replace(spec, body=half.name, plugin=half), half)


def _with_outputs(found: Findings, path: Keys, spec: NodeSpec, half: StaticHalf) -> NodeSpec:
    """Return the node with the outputs of its plug-in, as far as the file names some only those."""
    own = [name for name in spec.outputs if name and not (spec.map and spec.map.collects and name == ERRORS)]
    given = found.document.root[spec.section][spec.id].get("outputs", [])
    before, is_mapping = len(found.diagnostics), isinstance(given, dict)
    for i, name in enumerate(own):
        at: Keys = (*path, "outputs", name if is_mapping else i)
        form = mapping(given).get(name)
        type = form.get("type") if isinstance(form, dict) else form
        if name not in half.outputs:
            hint = did_you_mean(name, half.outputs, f"it makes {', '.join(half.outputs) or 'none'}")
            found.report(at, f"'{half.name}' has no output '{ellipsize(name)}'", hint, at_key=is_mapping)
        elif isinstance(type, str) and form_of(type) != form_of(half.outputs[name]):
            what = f"the output '{name}' of '{half.name}' is a {form_of(half.outputs[name])}"
            found.report(at, what, f"write {name}: {half.outputs[name]}", at_key=is_mapping)
    if len(found.diagnostics) > before:
        return spec
    rest = spec.outputs[len(own) :] if own else spec.outputs[1:]  # of failed rows
    if not own and (len(half.outputs) > 1 or any(type != TABLE for type in half.outputs.values())):
        own = list(half.outputs)
    types = {name: half.outputs[name] for name in own if half.outputs[name] != TABLE}
    outputs = (*own, *rest) if own else spec.outputs
    return replace(spec, outputs=outputs, types=types or spec.types)


def read_body_files(findings: Findings, nodes: dict[str, NodeSpec], folder: Path) -> None:
    """Put the texts of the files in place of their names. Reports files that cannot be read."""
    texts: dict[str, str] = {}

    def text_of(body: Any, kind: str, path: Keys) -> str | None:
        """Return the text of the file that a body names, None if it names none that can be read."""
        ending = KINDS[kind].says.file_ending if kind in KINDS and path not in findings.bad else ""
        if not (ending and isinstance(body, str) and body.strip().lower().endswith(ending) and len(body.split()) == 1):
            return None
        file = body.strip()
        try:
            if file not in texts:
                texts[file] = _text(file, folder, kind)
        except SpecError as error:
            (told,) = error.diagnostics
            findings.report(path, f"'{file}': {told.message}", told.hint)
        return texts.get(file)

    for name, spec in nodes.items():
        if text := text_of(spec.body, spec.kind, ("nodes", name, spec.kind)):
            nodes[name] = replace(spec, body=text, body_file=spec.body.strip())
        contracts = {}
        for output, contract in spec.contracts.items():
            checks = []
            for check in contract.checks:
                path = (*checks_path(findings.document, name, output), check.index, check.kind)
                checks.append(replace(check, value=text_of(check.value, check.kind, path) or check.value))
            contracts[output] = replace(contract, checks=tuple(checks))
        if contracts != spec.contracts:
            nodes[name] = replace(nodes[name], contracts=contracts)


def _text(file: str, folder: Path, kind: str) -> str:
    """Return the text of a file. Raises SpecError."""
    text = read_text(Path(file), file, folder, (KINDS[kind].says.file_ending,)).removeprefix("\ufeff")
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        refuse(file, "this file is not UTF-8", "save it as UTF-8")
    if not text.strip():
        refuse(file, "this file is empty", f"write what belongs under '{kind}' into it")
    return text
