"""Checks expressions of cells for `validate`, which binds nothing: those that the values of axes alone decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import Diagnostic
from nfrun.core.pipeline import NOTHING, NodeSpec, Pipeline, has_expression
from nfrun.core.values import replace
from nfrun.nodes.registry import kind_of
from nfrun.pipeline_file.binder import each_once
from nfrun.pipeline_file.expressions import names_in
from nfrun.pipeline_file.matrix.resolution import MatrixNames
from nfrun.pipeline_file.node_binder import NodeBinder
from nfrun.pipeline_file.yaml.document import Document, entries

_MATRIX = {"matrix"}


def cell_problems(pipeline: Pipeline, document: Document) -> list[Diagnostic]:
    """Return what is wrong with expressions in cells that use nothing but `matrix`. The pipeline is expanded."""
    found: list[Diagnostic] = []
    binder = NodeBinder(document, found, NOTHING, FunctionLookup(Path(pipeline.folder)), NOTHING, lambda text: None)
    binder.cells = MatrixNames(pipeline.axes)
    fields: dict[str, dict[str, Any]] = {}
    for spec in pipeline.nodes.values():
        if spec.of:
            if spec.of not in fields:
                fields[spec.of] = _of_matrix_alone(spec)
            if fields[spec.of]:
                binder.node(replace(spec, **fields[spec.of]))
    return each_once(found)


def _of_matrix_alone(spec: NodeSpec) -> dict[str, Any]:
    """Return the fields with expressions of a cell without values that see more than `matrix`, {} if none is left."""
    kept = {
        name: {key: value for key, value in getattr(spec, name).items() if _names(value) <= _MATRIX}
        for name in ("with_", "env", "unbound")
    }
    # A path is checked together with the options under `with`.
    is_known = kind_of(spec).says.is_template and _names(spec.body) <= _MATRIX and len(kept["with_"]) == len(spec.with_)
    body = spec.body if is_known else ""
    files = spec.files if _names([*spec.files]) <= _MATRIX else ()
    if_ = spec.if_ if _names(spec.if_) <= _MATRIX else True
    if not any(map(_names, (body, [*files], if_, *kept.values()))):
        return {}
    return {"body": body, "files": files, "if_": if_, "redacted_env": NOTHING, **kept}


def _names(value: Any) -> set[str]:
    """Return the top-level names in the expressions of a nested value."""
    if isinstance(value, str):
        return names_in(value) if has_expression(value) else set()
    return {name for _, item in entries(value) for name in _names(item)}
