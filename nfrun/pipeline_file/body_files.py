"""Reads the text of nodes and checks that name a file in place of it, such as `sql: models/late.sql`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nfrun.core.errors import SourceSpan
from nfrun.core.pipeline import NodeSpec
from nfrun.core.values import replace
from nfrun.nodes.registry import KINDS
from nfrun.pipeline_file.contracts import checks_path
from nfrun.pipeline_file.findings import Findings, closest_file
from nfrun.pipeline_file.yaml.document import Keys
from nfrun.system.os_errors import reason

_MAX_BYTES = 1 << 24  # 16 MiB


class _Unreadable(Exception):
    """Raised for a file whose text cannot be used. `hint` says what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


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
        except _Unreadable as error:
            findings.report(path, str(error), error.hint)
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


def span_in_text(text: str, file: str, pipeline_file: str, start: int, length: int) -> SourceSpan:
    """Return the span of characters, from the index `start` on, of a text that is in a `file` of its own."""
    begin = text.rfind("\n", 0, start) + 1
    line = text[begin:].partition("\n")[0].rstrip("\r")
    shown = os.path.join(os.path.dirname(pipeline_file), file)  # noqa: PTH118, PTH120  (the name as it is given)
    return SourceSpan(shown, text.count("\n", 0, start) + 1, start - begin + 1, length, line)


def _text(file: str, folder: Path, kind: str) -> str:
    """Return the text of a file. Raises _Unreadable."""
    if "://" in file:
        raise _Unreadable(f"'{file}' is a URI, and '{kind}' takes a path", "copy the file to the pipeline")
    path = folder / file
    try:
        if path.is_dir():
            raise _Unreadable(f"'{file}' is a folder", "name a file in it")
        if not path.exists():
            near = closest_file(Path(file), folder, [path.suffix.lower()])
            hint = f"did you mean '{near}'?" if near else "a path is relative to the pipeline file"
            raise _Unreadable(f"there is no file '{file}'", hint)
        if not path.is_file():  # reading a pipe would block
            raise _Unreadable(f"'{file}' is not an ordinary file", "name a file with the text")
        if path.stat().st_size > _MAX_BYTES:
            raise _Unreadable(f"'{file}' has more than {_MAX_BYTES >> 20} MiB", "is it a file of data?")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _Unreadable(f"'{file}' is not UTF-8 text", "save it as UTF-8") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        what = reason(error) if isinstance(error, OSError) else str(error)
        raise _Unreadable(f"cannot read '{file}': {what}", "check its name and its mode") from None
    if "\0" in text:
        raise _Unreadable(f"'{file}' is not text", "save it as UTF-8")
    if not text.strip():
        raise _Unreadable(f"'{file}' is empty", f"write what belongs under '{kind}' into it")
    return text
