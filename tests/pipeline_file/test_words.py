"""Words of other tools, and values in the wrong place: the message leads to what nfrun has."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.core.errors import SpecError
from nfrun.nodes.registry import written_kinds
from nfrun.pipeline_file.loader import read_pipeline

FILE = "a file is read by a node of its own, as in 'read: data.csv', or stands under 'files'"
LAST = "nodes that run at the end stand at the top of the file: finally: {clean: {run: …}}"
KINDS = f"the kind is a key: {', '.join(written_kinds())}"

HINTS = {
    "run: x, deps: [steps.py]": "did you mean 'files'? nodes that it waits for go under 'needs'",
    "run: x, file_deps: [steps.py]": "did you mean 'files'?",
    "run: x, depends_on: [a]": "did you mean 'needs'?",
    "run: x, dependencies: [a]": "did you mean 'needs'?",
    "run: x, requires: [a]": "did you mean 'needs'?",
    "run: x, upstream: a": "did you mean 'needs'?",
    "run: x, outs: [m]": "did you mean 'outputs'?",
    "run: x, artifacts: [m]": "did you mean 'outputs'?",
    "run: x, input: a": "did you mean 'inputs'?",
    "run: x, args: {n: 1}": "did you mean 'with'?",
    "run: x, requirements: [pandas]": "did you mean 'packages'?",
    "uses: other.yaml": "did you mean 'use'?",
    "image: python": "nfrun starts no containers; a 'run' node can call docker run",
    "run: x, image: python": "nfrun starts no containers; a 'run' node can call docker run",
    "run: x, when: y": "did you mean 'if'?",
    "run: x, allow_failure: true": "did you mean 'continue_on_error'?",
    "run: x, ignore_errors: true": "did you mean 'continue_on_error'?",
    "run: x, always: true": LAST,
    "run: x, finally: y": LAST,
    "run: x, on_error: y": LAST,
    "run: x, cleanup: y": LAST,
    "run: x, retry: 2": "did you mean 'retries'?",
    "run: x, cwd: y": "a script starts in the pipeline's folder; use cd in it",
    "command: x": "did you mean 'run'?",
    "cmd: x": "did you mean 'run'?",
    "script: x": "did you mean 'run'?",
    "bash: x": "did you mean 'run'?",
    "source: x.csv": "did you mean 'read'?",
    "query: select 1": "did you mean 'sql'?",
    "function: m.f": "did you mean 'python'?",
    "kind: sql": KINDS,
    "task: x": KINDS,
    "run: x, type: shell": KINDS,
    "run: x, stage: build": "stages follow from 'inputs' and 'needs'",
    "run: x, inputs: data/x.csv": FILE,
    "run: x, inputs: [x.csv]": FILE,
    "run: x, inputs: {t: out/x.csv}": FILE,
    "run: x, outputs: [out/x.csv]": (
        "these are names; 'outputs: {name: file}' hands a file on, and a 'write' node writes one"
    ),
    "run: x, needs: steps.py": "these are names of nodes; a file stands under 'files'",
    "run: x, needs: a.t": "write the name of a node",
    "run: x, inputs: a.t": "there is 'a'",
}


@pytest.mark.parametrize("node", HINTS)
def test_hints(tmp_path: Path, node: str) -> None:
    (tmp_path / "p.yaml").write_text(f"nodes:\n  a: {{run: x}}\n  b: {{{node}}}\n")
    with pytest.raises(SpecError) as caught:
        read_pipeline(tmp_path / "p.yaml")
    assert [found.hint for found in caught.value.diagnostics] == [HINTS[node]]
