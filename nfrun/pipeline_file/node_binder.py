"""Evaluates the expressions of the nodes of one pipeline: paths, values, variables, settings and conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import PurePosixPath
from posixpath import normpath
from typing import Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.contracts import Contract
from nfrun.core.errors import Diagnostic, SourceSpan
from nfrun.core.pipeline import EXPRESSION_START, NOTHING, NodeSpec, has_expression
from nfrun.core.text import ellipsize
from nfrun.core.values import field, mutable, replace
from nfrun.nodes.registry import kind_of
from nfrun.pipeline_file.conditions import check_value
from nfrun.pipeline_file.contracts import bound_contract, checks_path, is_bound
from nfrun.pipeline_file.expressions import ExpressionError, evaluate, evaluate_all, has_secret
from nfrun.pipeline_file.matrix.expansion import MatrixNames, seen_by_graph
from nfrun.pipeline_file.parameters import env_text
from nfrun.pipeline_file.references import items
from nfrun.pipeline_file.schema import check_setting
from nfrun.pipeline_file.settings import fields_of, setting_path
from nfrun.pipeline_file.yaml.document import Document, Keys

Names = Mapping[str, Mapping[str, Any]]


@mutable
class NodeBinder:
    """Evaluates the expressions of one pipeline and collects the problems."""

    document: Document
    diagnostics: list[Diagnostic]
    names: Names
    functions: FunctionLookup
    secrets: Mapping[str, str]
    on_run: Callable[[str], object]
    checked: dict[tuple[Keys, str], dict[str, Any]] = field(default_factory=dict)
    cell: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    cells: MatrixNames = field(default_factory=lambda: MatrixNames({}))

    def node(self, spec: NodeSpec) -> NodeSpec:
        """Return the node with `env`, `with` and a body that is a template evaluated."""
        if not spec.axes:
            return self.evaluated(spec)
        names = self.names
        self.names, self.cell = {**names, "matrix": self.cells.of(spec)}, spec.cell
        bound = self.evaluated(spec)
        self.names = names
        return bound

    def evaluated(self, spec: NodeSpec) -> NodeSpec:
        """Return the node with its expressions evaluated with the names that it sees."""
        kind = kind_of(spec)
        path, before = (spec.section, spec.declared), len(self.diagnostics)
        body, env, redacted = spec.body, spec.env, spec.redacted_env
        if kind.says.is_template and has_expression(body):
            value = self.value(body, (*path, spec.kind))
            if not isinstance(value, str):
                what = f"'{spec.kind}' must be a string, and this is {ellipsize(env_text(value))}"
                self.report(self.document.span(*path, spec.kind), what)
                return spec
            # If the text before the first expression names a folder, the path must stay inside of it.
            folder = body.partition(EXPRESSION_START)[0].rpartition("/")[0]
            if folder and not PurePosixPath(normpath(value)).is_relative_to(normpath(folder)):
                what = f"'{ellipsize(value)}' leads out of the folder '{ellipsize(folder)}'"
                hint = "give the name of something in it, or have the whole path in one expression"
                self.report(self.document.span(*path, spec.kind), what, hint)
            body = value
        if env:
            own = self.document.root[spec.section][spec.declared].get("env", {})
            env, redacted = self.variables(
                env, lambda key: (*path, "env", key) if key in own else ("defaults", "env", key)
            )
        with_ = {key: self.value(value, (*path, "with", key)) for key, value in spec.with_.items()}
        files = tuple(self.files(spec, path)) if spec.files else ()
        settings = self.settings(spec) if spec.unbound else {}
        contracts = {name: self.contract(spec, name, of) for name, of in spec.contracts.items()}
        if contracts != spec.contracts:
            settings["contracts"] = contracts
        if_ = self.condition(spec.if_, (*path, "if")) if isinstance(spec.if_, str) else spec.if_
        if body is spec.body and not env and not with_ and not files and not settings and if_ is spec.if_:
            return spec
        bound = replace(spec, body=body, env=env, with_=with_, redacted_env=redacted, files=files, if_=if_, **settings)
        if (kind.says.is_template or spec.plugin) and body and len(self.diagnostics) == before:
            # The loader could not check a file ending, an option or a value that an expression produces.
            for found in kind.says.check(bound, self.functions):
                if found.is_warning:  # `validate` tells it where no expression gives the values
                    continue
                place = self.document.place((*path, *found.path), at_key=found.at_key and spec.plugin is not None)
                self.report(place, found.message, found.hint)
        if spec.plugin and bound.map is not None and kind.maps is not None:  # values may name columns
            bound = replace(bound, map=replace(bound.map, form=kind.maps.form(bound, self.functions)))
        return bound

    def settings(self, spec: NodeSpec) -> dict[str, Any]:
        """Return the fields of a node for the settings with expressions."""
        fields: dict[str, Any] = {"unbound": NOTHING}
        for key, setting in spec.unbound.items():
            node: Keys = (spec.section, spec.declared)
            place_of = partial(setting_path, self.document.root, node)
            path = place_of((key,))
            before = len(self.diagnostics)
            if key == "resources":
                value: Any = {name: self.value(item, place_of((key, name))) for name, item in setting.items()}
            else:
                value = self.value(setting, path)
            if len(self.diagnostics) > before:
                continue
            known = (path, repr(value))
            if known not in self.checked:
                self.checked[known] = self.setting(key, value, place_of)
            fields |= self.checked[known]
        if "map" in fields and spec.map is not None:
            fields["map"] = replace(fields["map"], form=spec.map.form)
        return fields

    def setting(self, key: str, value: Any, place_of: Callable[[Keys], Keys]) -> dict[str, Any]:
        """Return the fields of a node for a setting whose expressions are evaluated. Reports a wrong value."""
        wrong = list(check_setting(key, value))
        for found in wrong:
            self.report(self.document.span(*place_of((key, *found.path))), found.message, found.hint)
        if wrong:
            return {}
        return fields_of({key: value}, lambda steps, what: self.report(self.document.span(*place_of(steps)), what))

    def contract(self, spec: NodeSpec, output: str, contract: Contract) -> Contract:
        """Return the contract of an output with the values of its checks evaluated."""
        if all(map(is_bound, contract.checks)):
            return contract

        def value(value: Any, path: Keys) -> Any:
            before = len(self.diagnostics)
            found = self.value(value, path)
            return found if len(self.diagnostics) == before else None

        def report(path: Keys, what: str, hint: str) -> None:
            self.report(self.document.span(*path), what, hint)

        return bound_contract(contract, checks_path(self.document, spec.declared, output), value, report)

    def condition(self, text: str, path: tuple[str, ...]) -> bool:
        """Return whether the expression under `if` is true. Reports a value that is neither true nor false."""
        before = len(self.diagnostics)
        value = self.value(text, path, seen_by_graph(self.names))
        for what, hint in check_value(value) if len(self.diagnostics) == before else ():
            self.report(self.document.span(*path), what, hint)
        return value is True

    def files(self, spec: NodeSpec, path: tuple[str, ...]) -> Iterator[str]:
        """Yield the names of the files that the node declares; an expression may give a list of them."""
        for step, file in items(self.document.root[spec.section][spec.declared]["files"]):
            value = self.value(file, (*path, "files", *step))
            for name in value if isinstance(value, list) else [value]:
                if isinstance(name, str) and name.strip() and "\0" not in name:
                    yield name
                elif value != "":  # this comes of an expression that has failed
                    what = f"this is no name of a file: {ellipsize(env_text(name)) or 'it is empty'}"
                    self.report(self.document.span(*path, "files", *step), what)

    def variables(
        self, env: Mapping[str, str], path_of: Callable[[str], tuple[str, ...]]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Evaluate variables. Returns their values, and placeholders for the values made of secrets.

        A placeholder has the names of the secrets in place of their values.
        """
        values, redacted = {}, {}
        for key, value in env.items():
            values[key] = self.variable(value, path_of(key), {**self.names, "secrets": self.secrets})
            if self.secrets and has_secret(value):
                # A variable cannot contain a NUL, so no other value equals a placeholder.
                named = {name: f"\0{name}\0" for name in self.secrets}
                redacted[key] = str(self.value(value, path_of(key), {**self.names, "secrets": named}))
        return values, redacted

    def variable(self, value: str, path: tuple[str, ...], names: Names) -> str:
        """Evaluate one variable and return it as text. Adds a problem if it cannot be a variable's value."""
        found = self.value(value, path, names)
        if found is None or isinstance(found, dict | list):
            what = f"variable '{path[-1]}' must be a string, a number or true or false, not {env_text(found)}"
            self.report(self.document.span(*path), ellipsize(what, 200))
        # The operating system accepts no NUL and no lone surrogate.
        if isinstance(found, str) and any(c == "\0" or "\ud800" <= c <= "\udfff" for c in found):
            self.report(self.document.span(*path), f"variable '{path[-1]}' has a character that no variable can have")
        return env_text(found)

    def value(self, value: Any, path: tuple[str | int, ...], names: Names | None = None) -> Any:
        """Evaluate every string in a nested value. Returns plain lists, mappings and scalars.

        An expression that fails adds a problem and gives "".
        """

        def evaluated(text: str, path: Keys) -> Any:
            if "run" in text:
                self.on_run(text)
            try:
                return evaluate(text, names or self.names)
            except ExpressionError as error:
                place = self.document.place(path, start=error.start, length=error.length)
                self.report(place, str(error), self.hint(str(error)))
                return ""

        return evaluate_all(value, path, evaluated)

    def hint(self, message: str) -> str:
        """Return the hint for an expression that fails: the cell, if it may be that a value lacks an entry."""
        if "matrix" not in self.names or "matrix." not in message:
            return ""
        cell = ", ".join(f"{axis}: {env_text(key)}" for axis, key in self.cell.items())
        return f"for {cell}; what only some values have stands before | default(…)"

    def report(self, where: SourceSpan, what: str, hint: str = "") -> None:
        self.diagnostics.append(Diagnostic(where, what, hint))
