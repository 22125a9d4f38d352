"""The kind `read`: a file, a glob or a URI becomes a table. Knows which options there are, not how files are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nfrun import formats
from nfrun.callables import Library
from nfrun.errors import near
from nfrun.expressions import has_expression
from nfrun.kinds.kind import Job, Mistake
from nfrun.spec import NodeSpec


def check(node: NodeSpec, library: Library) -> Iterator[Mistake]:
    """A read node takes no inputs, gives one output, and its `with` holds options of the reader."""
    if node.inputs:
        yield Mistake(("inputs",), "a read node has no inputs", "'needs:' makes it wait for another node", at_key=True)
    if len(node.outputs) > 1:
        yield Mistake(("outputs",), "a read node has one output", at_key=True)
    if not has_expression(node.body) and formats.format_of(node.body) is None and "format" not in node.with_:
        known = ", ".join(formats.FORMATS)
        yield Mistake(
            ("read",), "the ending of this file does not tell its format", f"or say with: {{format: …}}, one of {known}"
        )
    for name, value in node.with_.items():
        if name not in formats.READ_OPTIONS:
            guess = near(name, formats.READ_OPTIONS)
            hint = f"did you mean '{guess}'?" if guess else f"there is {', '.join(formats.READ_OPTIONS)}"
            yield Mistake(("with", name), f"a read node has no option '{name}'", hint, at_key=True)
        elif isinstance(value, str) and has_expression(value):
            continue
        elif name in ("columns", "null_values"):
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                yield Mistake(("with", name), f"'{name}' is a list of strings")
        elif not isinstance(value, str):
            yield Mistake(("with", name), f"'{name}' is a string")


def run(job: Job) -> Mapping[str, Any]:
    """Read it all. Raises `nfrun.formats.FormatError`."""
    from nfrun.files import read_table

    name = job.node.outputs[0] if job.node.outputs else ""
    return {name: read_table(job.node.body, base=job.folder, **job.node.with_)}
